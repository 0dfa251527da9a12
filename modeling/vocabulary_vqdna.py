"""What a VQDNA tokenizer carries: the computed vocabulary, and the codec's two files."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .configuration_vqdna import NUM_SPECIAL_TOKENS, SPECIAL_TOKENS, VQDNACodecConfig
from .files_vqdna import replacing
from .modeling_vqdna_codec import VQDNACodecModel


VOCAB_FILES_NAMES = {"codec_file": "codec.safetensors", "codec_config_file": "codec_config.json"}
# fields of a configuration that say nothing about the codec, one of them where it lay on this machine
_NOT_SAVED = ("auto_map", "dtype", "architectures", "_name_or_path")


class CodeVocabulary(Mapping):
    """Token -> id, computed: a dict of the 1.18M tokens of two levels of 768 and 1536 would take 138 MB."""

    def __init__(self, codebook_sizes: list[int]):
        self.codebook_sizes = list(codebook_sizes)

    def __len__(self) -> int:
        return NUM_SPECIAL_TOKENS + int(np.prod(self.codebook_sizes, dtype=object))

    def __iter__(self) -> Iterator[str]:
        return (self.token(index) for index in range(len(self)))

    def __getitem__(self, token: str) -> int:
        if token in SPECIAL_TOKENS:
            return SPECIAL_TOKENS.index(token)
        digits = token[1:].split(".") if isinstance(token, str) and token[:1] == "c" else []
        if len(digits) != len(self.codebook_sizes):
            raise KeyError(token)
        index = 0
        for digit, size in zip(digits, self.codebook_sizes):
            code = int(digit) if digit.isdecimal() and len(digit) <= len(str(size)) else size
            if code >= size or str(code) != digit:  # one token per id: "c01" is none
                raise KeyError(token)
            index = index * size + code
        return index + NUM_SPECIAL_TOKENS

    def token(self, index: int) -> str:
        """The token of an id. Example, for levels of 8 and 16: 58 -> `"c3.5"`

        Raises:
            IndexError: the id lies outside the vocabulary.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"id {index} lies outside the vocabulary of {len(self)} ids.")
        if index < NUM_SPECIAL_TOKENS:
            return SPECIAL_TOKENS[index]
        return "c" + ".".join(str(code) for code in self.codes(np.array(index)).tolist())

    def codes(self, ids: np.ndarray) -> np.ndarray:
        """Level codes, `(..., levels)`, of ids, `(...)`; 0 for special tokens."""
        rest, codes = np.maximum(np.asarray(ids, dtype=np.int64) - NUM_SPECIAL_TOKENS, 0), []
        for size in reversed(self.codebook_sizes):
            codes.append(rest % size)
            rest = rest // size
        return np.stack(codes[::-1], axis=-1)

    def ids(self, codes: np.ndarray) -> np.ndarray:
        """Ids, `(...)`, of level codes, `(..., levels)`."""
        index = np.zeros(codes.shape[:-1], dtype=np.int64)
        for level, size in enumerate(self.codebook_sizes):
            index = index * size + codes[..., level]
        return index + NUM_SPECIAL_TOKENS

    def copy(self) -> "CodeVocabulary":
        """The vocabulary never changes, so that it is its own copy."""
        return self


def save_codec(codec: VQDNACodecModel, weights: Path, config: Path):
    """Write a codec's two files; each under another name first, then renamed, so that none is ever half-written."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in codec.state_dict().items()}
    fields = {key: value for key, value in codec.config.to_dict().items() if key not in _NOT_SAVED}
    with replacing(config) as partial_config, replacing(weights) as partial_weights:
        save_file(tensors, partial_weights, metadata={"format": "pt"})
        partial_config.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_codec(codec_file: str | None, codec_config_file: str | None) -> VQDNACodecModel:
    """Read the codec of a tokenizer directory.

    Raises:
        ValueError: a file is missing, damaged, or the weights do not fit the configuration or are not finite; names
            the file.
    """
    for key, path in (("codec_file", codec_file), ("codec_config_file", codec_config_file)):
        if path is None or not Path(path).is_file():
            raise ValueError(
                f"The tokenizer needs the file {VOCAB_FILES_NAMES[key]}, which was not found ({path}). A tokenizer "
                "directory holds it beside tokenizer_config.json: copy or download the whole directory."
            )
    config = _read_config(codec_config_file)
    with torch.device("meta"):  # no random initialization, which would move the global random state
        codec = VQDNACodecModel(config)
    try:
        tensors = load_file(codec_file)
    except PermissionError as error:
        raise _denied(codec_file) from error
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{codec_file} cannot be read ({error}): the file is truncated or damaged. Copy or download it again."
        ) from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(
                f"{codec_file} holds weights that are not finite ({name}): the training of this vocabulary has "
                "diverged, or the file is damaged. Learn it again with a lower learning rate, or copy it again."
            )
    try:
        # a copy: the tensors read are the file itself, which may be replaced or cut while the codec is in use
        codec.load_state_dict({name: value.clone() for name, value in tensors.items()}, assign=True)
    except RuntimeError as error:
        raise ValueError(
            f"{codec_file} does not fit {codec_config_file}: {error} The two files come from different codecs."
        ) from error
    return codec.float().requires_grad_(False).eval()


def _read_config(path: str) -> VQDNACodecConfig:
    try:
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
    except PermissionError as error:
        raise _denied(path) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); save the tokenizer again.") from error
    try:
        return VQDNACodecConfig(**{key: value for key, value in fields.items() if key != "model_type"})
    except (AttributeError, TypeError, StrictDataclassError) as error:
        raise ValueError(f"{path} is no codec's configuration ({error}); save the tokenizer again.") from error


def _denied(path: str) -> ValueError:
    return ValueError(f"{path} cannot be read: permission denied. Ask its owner to let you read it.")


__all__ = ["VOCAB_FILES_NAMES", "CodeVocabulary", "load_codec", "save_codec"]
