"""The VQDNA tokenizer: a DNA string in, one code id per base out, through the codec it carries.

Ids are 0-4 for [PAD], [UNK], [CLS], [SEP], [MASK], then one id per combination of level codes. The token of code 12 is
`c12`; with two levels, `c12.345`.

Input policy: lower case is read as upper case and U as T; N and the other IUPAC letters become [UNK] and are unknown
to the network; `[MASK]` masks a base *before* the network sees the sequence, so that nothing of it leaks into
the codes around; white space and any other character are refused, with their place.

Long strings become windows as with fast tokenizers (`return_overflowing_tokens`, `stride`): the codes in a window are
those of the whole string, so that those of its edges have seen the bases beyond.

Not handled: fast (Rust) tokenization; the codes come from a network. Special tokens cannot be changed or added.

Notation used for windows: a window is one pair `(start, stop)` for each sequence of a row (0-based, half-open, bases).
"""

import json
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import BatchEncoding, PreTrainedTokenizer
from transformers.tokenization_utils_base import PaddingStrategy, TruncationStrategy
from transformers.utils import logging

from .batches_vqdna import Padding, Rows, cut_rows, is_whole, surround_rows
from .compiled_vqdna import TABLE_FILE, load_table, missing_table, save_table
from .configuration_vqdna import NUM_SPECIAL_TOKENS, SPECIAL_TOKENS, VQDNACodecConfig
from .encoding_vqdna import check_precision, compile_network
from .files_vqdna import replacing
from .modeling_vqdna_codec import VQDNACodecModel
from .nucleotides_vqdna import (
    CLS_NUCLEOTIDE_ID,
    MASK_NUCLEOTIDE_ID,
    PAD_NUCLEOTIDE_ID,
    SEP_NUCLEOTIDE_ID,
    UNKNOWN_ID,
    ids_to_bases,
    join_nucleotides,
    parse_joined,
    parse_sequence,
)
from .quantization_vqdna import level_codes, product_codes
from .repository_vqdna import TOKENIZER_AUTO_MAP, is_downloaded


logger = logging.get_logger(__name__)

VOCAB_FILES_NAMES = {
    "codec_file": "codec.safetensors",
    "codec_config_file": "codec_config.json",
    "codec_table_file": TABLE_FILE,  # of a compiled vocabulary alone
}
# fields of a configuration that say nothing about the codec, one of them where it lay on this machine
_NOT_SAVED = ("auto_map", "dtype", "architectures", "_name_or_path")

INPUT_NAMES = ("input_ids", "nucleotide_ids")
# the special tokens by the names that transformers gives them; a BERT has no others
SPECIAL_ROLES = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL_TOKENS))
_FURTHER = ("extra_special_tokens", "additional_special_tokens", "model_specific_special_tokens")

_PAD, _UNK, _CLS, _SEP, _MASK = range(NUM_SPECIAL_TOKENS)
# tokens by nucleotide id
_NUCLEOTIDE_TOKENS = ("A", "C", "G", "T", "[UNK]", "[MASK]", "[CLS]", "[SEP]", "[PAD]")
# what transformers passes on to `_encode_plus` beside the arguments it has there
_PASSED_ON = {
    "return_token_type_ids",
    "return_special_tokens_mask",
    "sanitize_control_tokens",
    "split_special_tokens",
    "verbose",
}
# what makes a row of a string: a subclass that has one of its own is asked, string by string
_ROW_METHODS = (
    "build_inputs_with_special_tokens",
    "create_token_type_ids_from_sequences",
    "encode_nucleotides",
    "get_special_tokens_mask",
    "num_special_tokens_to_add",
    "pad",
    "_pad",
)

# subtle: a process forked after torch has run inherits OpenMP's locks but not its threads, and would wait for them
# forever in its first product; `datasets.map(num_proc=...)` forks exactly like that (where there is fork)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


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
        products = np.maximum(np.asarray(ids, dtype=np.int64) - NUM_SPECIAL_TOKENS, 0)
        return level_codes(products, self.codebook_sizes)

    def ids(self, codes: np.ndarray) -> np.ndarray:
        """Ids, `(...)`, of level codes, `(..., levels)`."""
        return product_codes(codes.astype(np.int64, copy=False), self.codebook_sizes) + NUM_SPECIAL_TOKENS

    def copy(self) -> "CodeVocabulary":
        """The vocabulary never changes, so that it is its own copy."""
        return self


def save_codec(codec: VQDNACodecModel, weights: Path, config: Path):
    """Write a codec's two files; each under another name first, then renamed, so that none is ever half-written."""
    codec.describe_table()
    tensors = {name: value.detach().cpu().contiguous() for name, value in codec.state_dict().items()}
    fields = {key: value for key, value in codec.config.to_dict().items() if key not in _NOT_SAVED}
    with replacing(config) as partial_config, replacing(weights) as partial_weights:
        save_file(tensors, partial_weights, metadata={"format": "pt"})
        partial_config.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_codec(
    codec_file: str | None,
    codec_config_file: str | None,
    codec_table_file: str | None = None,
    use_table: bool = True,
) -> VQDNACodecModel:
    """Read the codec of a tokenizer directory; of a compiled vocabulary with its table.

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
    if use_table and config.compiled and codec_table_file is None:
        raise ValueError(missing_table(Path(codec_config_file).parent))
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
    codec.float().requires_grad_(False).eval()
    if use_table and config.compiled:
        codec.table = load_table(codec_table_file, config, codec.fingerprint())
    return codec


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


# settings, and what each may be
_SETTINGS: dict[str, tuple[Callable, str]] = {
    "batch_bases": (lambda value: value is None or (is_whole(value) and value > 0), "a number of bases, or None"),
    "chunk_length": (lambda value: is_whole(value) and value > 0, "a number of bases"),
    "compile": (lambda value: isinstance(value, bool), "True or False"),
    "model_max_length": (
        # transformers' own "no limit" is also written as a float
        lambda value: (is_whole(value) and value > 0) or value == 1e30,
        "a whole number of ids (leave it out for no limit)",
    ),
    "padding_side": (lambda value: value in ("left", "right"), "'left' or 'right'"),
    "return_nucleotide_ids": (lambda value: isinstance(value, bool), "True or False"),
    "special_tokens_pattern": (lambda value: value == "cls_sep", "'cls_sep'"),
    "truncation_side": (lambda value: value in ("left", "right"), "'left' or 'right'"),
}


def is_other_special_token(name: str, value) -> bool:
    """Whether a setting would change a special token or add one.

    Args:
        name: as transformers has it, for example `pad_token` or `extra_special_tokens`.
        value: a token, several, or `None`.
    """
    if name in SPECIAL_ROLES:
        return str(value) != SPECIAL_ROLES[name]
    if name == "added_tokens_decoder":
        return any(str(token) not in SPECIAL_TOKENS for token in (value or {}).values())
    if name in _FURTHER:
        values = value.values() if isinstance(value, Mapping) else value or ()
        return any(str(token) not in SPECIAL_TOKENS for token in values)
    return name.endswith("_token") and value is not None and not isinstance(value, bool)


def refuse_special_token(name: str, value):
    """Raise the error for a special token that cannot be.

    Raises:
        ValueError: always; names the token and what there is instead.
    """
    if name in SPECIAL_ROLES:
        what = f"{name} cannot become {value!r}: it is {SPECIAL_ROLES[name]!r}"
    elif name in ("bos_token", "eos_token", *_FURTHER):
        what = f"{name} cannot become {value!r}: there is none"
    else:  # whatever it is, it may be a secret
        what = f"{name} cannot be given: it would be a special token"
    raise ValueError(
        f"{what}. The special tokens are {', '.join(SPECIAL_TOKENS)}, and no other can be had: the vocabulary is "
        "learned, one id per combination of codes. Leave them as they are ([PAD] pads, [CLS] begins and [SEP] ends)."
    )


def own_special_tokens(settings: dict) -> dict:
    """A tokenizer's settings with its own special tokens and no others.

    Settings that were loaded from files are put right, with a warning: files can hold what could once be assigned.

    Raises:
        ValueError: the settings come from a caller, and change or add a special token.
    """
    others = [name for name, value in settings.items() if is_other_special_token(name, value)]
    if others and "name_or_path" not in settings:
        refuse_special_token(others[0], settings[others[0]])
    if others:
        logger.warning(
            f"tokenizer_config.json of {settings['name_or_path']} changes {', '.join(others)}, which cannot be: the "
            f"special tokens are {', '.join(SPECIAL_TOKENS)}. They are used; save the tokenizer again to be rid of "
            "this warning."
        )
    kept = {name: value for name, value in settings.items() if name not in others and name != "added_tokens_decoder"}
    return kept | SPECIAL_ROLES


@dataclass(frozen=True)
class Cutting:
    """How rows are cut, in the words of transformers.

    Attributes:
        strategy: `longest_first`, `only_first`, `only_second` or `do_not_truncate`.
        max_length: ids of a row, special tokens included; `None` cuts nothing.
        stride: bases that a window shares with the one before it.
        side: where what is cut off stands, `left` or `right`.
        overflow: whether what is cut off becomes further windows.
    """

    strategy: str
    max_length: int | None
    stride: int = 0
    side: str = "right"
    overflow: bool = False

    @property
    def cuts(self) -> bool:
        """Whether rows that are too long are cut at all."""
        return self.strategy != "do_not_truncate" and self.max_length is not None

    def check(self, special: int):
        """Refuse numbers that no window can have, whatever the sequences.

        Args:
            special: special tokens of a row of one sequence.

        Raises:
            ValueError: names the argument and its value.
        """
        for name, value, least in (("max_length", self.max_length, 1), ("stride", self.stride, 0)):
            if value is not None and not (is_whole(value) and value >= least):
                raise ValueError(f"{name}={value!r} is no number of ids; give a whole number of at least {least}.")
        if not self.cuts:
            return
        room = self.max_length - special
        if room < 0:
            raise ValueError(
                f"max_length={self.max_length} leaves no room for the {special} special tokens of a sequence; give "
                f"more than {special}, or add_special_tokens=False."
            )
        if self.stride and self.stride >= room:
            raise ValueError(
                f"stride={self.stride} must be smaller than the {room} bases of a window (max_length="
                f"{self.max_length} less {special} special tokens): windows would not move on."
            )

    def windows(self, lengths: list[int], special: int, where: str) -> list[tuple[tuple[int, int], ...]]:
        """The windows of a row, as transformers' fast tokenizers cut it.

        Args:
            lengths: bases of the row's one or two sequences.
            special: special tokens of the row.
            where: how an error message names the row.

        Raises:
            ValueError: the sequence to cut is missing, or too short to make the row short enough; or overflowing
                windows of it are empty, or do not move on.
        """
        excess = 0 if not self.cuts else sum(lengths) + special - self.max_length
        if excess <= 0:
            return [tuple((0, length) for length in lengths)]
        if self.strategy == "longest_first" and len(lengths) == 2:
            if self.overflow:
                raise ValueError(  # as transformers says it
                    "Not possible to return overflowing tokens for pair of sequences with the `longest_first`. Please "
                    "select another truncation strategy than `longest_first`, for instance `only_second` or "
                    f"`only_first`. Of {where} both sequences would be cut."
                )
            shares = _shares(lengths, self.max_length - special, where)
            return [tuple(self._kept(length, share) for length, share in zip(lengths, shares))]
        cut = 1 if self.strategy == "only_second" else 0
        if cut == len(lengths):
            raise ValueError(
                f"{where} has no second sequence to cut, but truncation='only_second'; take truncation=True."
            )
        size = lengths[cut] - excess
        if size < 0 or (size == 0 and (len(lengths) == 2 or self.overflow)):
            raise ValueError(
                f"{where} cannot be cut to max_length={self.max_length}: cutting {self.strategy.replace('_', ' ')}, "
                f"of {lengths[cut]} bases, leaves none of it. Give a larger max_length."
            )
        if self.overflow and self.stride >= size:
            raise ValueError(
                f"stride={self.stride} must be smaller than the {size} bases of a window of {where}: windows would "
                "not move on."
            )
        spans = self._spans(lengths[cut], size) if self.overflow else [self._kept(lengths[cut], size)]
        rest = tuple((0, length) for length in lengths)
        return [(*rest[:cut], span, *rest[cut + 1 :]) for span in spans]

    def _kept(self, length: int, size: int) -> tuple[int, int]:
        return (0, min(size, length)) if self.side == "right" else (max(0, length - size), length)

    def _spans(self, length: int, size: int) -> list[tuple[int, int]]:
        """Windows from the end that is kept; the last one may be shorter."""
        spans = [(start, min(start + size, length)) for start in range(0, length - self.stride, size - self.stride)]
        return spans if self.side == "right" else [(length - stop, length - start) for start, stop in spans]


def _shares(lengths: list[int], room: int, where: str) -> tuple[int, int]:
    """Bases that two sequences keep when the longer one is cut first."""
    if room < 0:
        raise ValueError(f"{where} is a pair, for whose special tokens max_length leaves no room; give more.")
    short, long = min(lengths), max(lengths)
    if 2 * short > room:
        short, long = room // 2, room - room // 2
    else:
        long = room - short
    return (short, long) if lengths[0] <= lengths[1] else (long, short)


def as_rows(text, text_pair, is_split_into_words: bool) -> tuple[list[list[str]], bool]:
    """Bring every form of input into rows of one or two strings, and say whether the input was a batch.

    Raises:
        ValueError: a container other than a list or a tuple, batches of different lengths, rows of more than two
            sequences, or pairs of sequences in words. What a row holds is checked when it is parsed.
    """
    for name, value in (("text", text), ("text_pair", text_pair)):
        _check_container(name, value)
    if is_split_into_words:
        return _rows_of_words(text, text_pair)
    if not isinstance(text, (list, tuple)):
        if isinstance(text_pair, (list, tuple)):
            raise ValueError(f"`text` is one sequence, but `text_pair` is a batch of {len(text_pair)}.")
        return [[text] if text_pair is None else [text, text_pair]], False
    if text_pair is not None:
        if not isinstance(text_pair, (list, tuple)) or len(text_pair) != len(text):
            raise ValueError(f"`text` is a batch of {len(text)}, so `text_pair` must be a batch of {len(text)} too.")
        return [[first, second] for first, second in zip(text, text_pair)], True
    rows = [list(row) if isinstance(row, (list, tuple)) else [row] for row in text]
    for number, row in enumerate(rows):
        if not 1 <= len(row) <= 2:
            raise ValueError(
                f"Row {number} of the batch holds {len(row)} sequences; give 1, or 2 as a pair. Parts of one sequence "
                "are joined with is_split_into_words=True."
            )
    return rows, True


def _rows_of_words(text, text_pair) -> tuple[list[list[str]], bool]:
    batch = isinstance(text, (list, tuple)) and len(text) > 0 and isinstance(text[0], (list, tuple))
    rows = text if batch else [text]
    if text_pair is not None or any(isinstance(word, (list, tuple)) for row in rows for word in row):
        raise ValueError(
            "Pairs cannot be given in words (`is_split_into_words`): join the words of each sequence, and give two "
            "strings."
        )
    for number, row in enumerate(rows):
        wrong = [word for word in row if not isinstance(word, str)]
        if wrong or not isinstance(row, (list, tuple)):
            raise ValueError(
                f"Row {number} is to be a list of strings, the words of a sequence (is_split_into_words=True), but "
                f"holds {type(wrong[0]).__name__ if wrong else type(row).__name__}."
            )
    return [["".join(row)] for row in rows], batch


def _check_container(name: str, value):
    """Refuse containers that are no list, with what to give instead."""
    if value is None or isinstance(value, (str, bytes, list, tuple)) or not isinstance(value, Iterable):
        return
    if isinstance(value, Mapping) or hasattr(value, "columns") or hasattr(value, "column_names"):
        remedy = "give one of its columns, as a list"
    elif isinstance(value, torch.Tensor) or getattr(getattr(value, "dtype", None), "kind", "O") in "biufc":
        remedy = "numbers are no DNA; nucleotide ids go to `encode_nucleotides`"
    elif isinstance(value, (set, frozenset)):
        remedy = "a set has no order"
    else:
        remedy = f"give list({name})"
    raise ValueError(f"`{name}` is a {type(value).__name__}, but a string or a list of strings is needed: {remedy}.")


class VQDNATokenizer(PreTrainedTokenizer):
    r"""
    A DNA string to code ids, through the learned vocabulary.

    Args:
        codec_file, codec_config_file (`str`, *optional*): The network's weights and configuration; `from_pretrained`
            passes both.
        codec_table_file (`str`, *optional*): The table of a compiled vocabulary, which decides instead of the network.
        codec ([`VQDNACodecModel`], *optional*): The network itself, to make a tokenizer of a trained codec.
        vocabulary_fingerprint (`str`, *optional*): What the network's fingerprint must be; checked on load.
        batch_bases (`int`, *optional*): Bases of one network pass; chosen from the device if `None`.
        chunk_length (`int`, *optional*, defaults to 8192): Longer strings pass in pieces, with the same codes.
        return_nucleotide_ids (`bool`, *optional*, defaults to `False`):
            Whether to give `nucleotide_ids` instead of `input_ids`, for models that run the codec themselves
            (end-to-end fine-tuning, strand averaging). No network runs then. `encode`, `decode`, `tokenize`, `pad` and
            the conversions speak of nucleotide ids too; the vocabulary (`get_vocab`, `len`) and `pad_token_id` and its
            like stay those of the codes, as the model's configuration has them.
        precision (`str`, *optional*, defaults to `"float32"`):
            `bfloat16` computes the network's products with 16 bits: faster where the processor has such products, and
            some codes become others. Not saved: whoever loads the tokenizer has to ask for it, too.
        compile (`bool`, *optional*, defaults to `False`):
            Whether long inputs pass through a compiled network, which costs up to minutes at the first of them. Not
            saved either.
        kwargs: As of every tokenizer (`model_max_length`, `padding_side`, ...); special tokens can only be those
            there are.

    Raises:
        ValueError: a setting that cannot be, another special token, or files that are damaged or do not belong
            together.

    Example:

    ```python
    >>> from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer

    >>> tokenizer = VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")))
    >>> len(tokenizer("ACGTN")["input_ids"])  # [CLS], five bases, [SEP]
    7
    ```
    """

    vocab_files_names = VOCAB_FILES_NAMES
    model_input_names = ["input_ids", "attention_mask"]
    _nucleotides = False

    def __init__(
        self,
        codec_file: str | None = None,
        codec_config_file: str | None = None,
        codec: VQDNACodecModel | None = None,
        vocabulary_fingerprint: str | None = None,
        batch_bases: int | None = None,
        chunk_length: int = 8_192,
        return_nucleotide_ids: bool = False,
        precision: str = "float32",
        compile: bool = False,
        codec_table_file: str | None = None,
        **kwargs,
    ):
        kwargs = own_special_tokens(kwargs)
        self.codec = load_codec(codec_file, codec_config_file, codec_table_file) if codec is None else codec
        self.vocabulary_fingerprint = self.codec.fingerprint()
        if vocabulary_fingerprint not in (None, self.vocabulary_fingerprint):
            raise ValueError(
                f"The tokenizer was saved with the vocabulary {vocabulary_fingerprint}, but {codec_file} holds "
                f"{self.vocabulary_fingerprint}: the files are damaged or mixed from two. Save the tokenizer again."
            )
        check_precision(precision)
        self.precision, self.compile, self._network = precision, compile, None
        self.vocabulary = CodeVocabulary(self.codec.config.codebook_sizes)
        self.batch_bases, self.chunk_length = batch_bases, chunk_length
        kwargs.setdefault("special_tokens_pattern", "cls_sep")
        kwargs.setdefault("clean_up_tokenization_spaces", False)
        for side in ("padding_side", "truncation_side"):  # what is passed here is saved
            kwargs.setdefault(side, getattr(self, side))
        super().__init__(
            vocabulary_fingerprint=self.vocabulary_fingerprint,
            batch_bases=batch_bases,
            chunk_length=chunk_length,
            return_nucleotide_ids=return_nucleotide_ids,
            **kwargs,
        )
        self.return_nucleotide_ids = return_nucleotide_ids

    @property
    def return_nucleotide_ids(self) -> bool:
        """Whether strings become `nucleotide_ids` instead of `input_ids`."""
        return self._nucleotides

    @return_nucleotide_ids.setter
    def return_nucleotide_ids(self, value: bool):
        self._nucleotides = value
        self.model_input_names = self.model_input_names  # whose first name it decides

    # settings

    # transformers accepts any value of a setting, and any special token, at any time. Here the vocabulary is learned:
    # a token that is added has no code, and a tokenizer saved with one would never load again. So each is refused
    # where it is given, to the constructor, to `from_pretrained` or by an assignment, and a refusal changes nothing.

    def __setattr__(self, name: str, value):
        role = name.removesuffix("s").removesuffix("_id") if name.endswith(("_id", "_ids")) else name
        if role in (*self.SPECIAL_TOKENS_ATTRIBUTES, *_FURTHER, "added_tokens_decoder"):
            token = SPECIAL_TOKENS[value] if role != name and value in range(NUM_SPECIAL_TOKENS) else value
            if is_other_special_token(role, token):
                refuse_special_token(role, value)
            return  # as it is already
        allowed, what = _SETTINGS.get(name, (None, None))
        if allowed is not None and not allowed(value):
            raise ValueError(f"{name}={value!r} cannot be: it is {what}.")
        if name == "model_input_names":
            value = self._input_names(value)
        super().__setattr__(name, value)

    def __getattr__(self, name: str):
        if name.removesuffix("_id") in SPECIAL_ROLES and name.endswith("_id"):
            # subtle: the codes' ids also beside nucleotide ids: Trainer writes them into the model's configuration
            return SPECIAL_TOKENS.index(SPECIAL_ROLES[name.removesuffix("_id")])
        return super().__getattr__(name)

    def add_special_tokens(self, special_tokens_dict: dict, replace_extra_special_tokens: bool = True) -> int:
        """Accept the special tokens there are, which adds none.

        Raises:
            ValueError: any other; nothing is changed.
        """
        for name, value in (special_tokens_dict or {}).items():
            if name not in self.SPECIAL_TOKENS_ATTRIBUTES or is_other_special_token(name, value):
                if name not in ("extra_special_tokens", "additional_special_tokens") or value:
                    refuse_special_token(name, value)
        return 0

    def _input_names(self, names: list[str]) -> list[str]:
        """The model's inputs, of which the ids come first."""
        names = list(names)
        if names[:1] not in ([INPUT_NAMES[0]], [INPUT_NAMES[1]]):
            raise ValueError(
                f"model_input_names={names!r} must begin with {' or '.join(INPUT_NAMES)}, which return_nucleotide_ids "
                "chooses."
            )
        return [INPUT_NAMES[self._nucleotides], *names[1:]]

    # vocabulary

    @property
    def vocab_size(self) -> int:
        """Special tokens and product ids."""
        return len(self.vocabulary)

    def get_vocab(self) -> Mapping[str, int]:
        """Token -> id, as a mapping that computes its items (see [`CodeVocabulary`])."""
        return self.vocabulary

    def get_added_vocab(self) -> dict[str, int]:
        """The special tokens and their ids."""
        return {token: self._convert_token_to_id(token) for token in SPECIAL_TOKENS}

    def _add_tokens(self, new_tokens, special_tokens: bool = False) -> int:
        new_tokens = list(new_tokens or [])
        known = SPECIAL_TOKENS if special_tokens else self.vocabulary
        foreign = [str(token) for token in new_tokens if str(token) not in known]
        if foreign:
            raise ValueError(
                f"Cannot add {', '.join(map(repr, foreign))}: the vocabulary is learned, one id per combination of "
                f"codes, with the special tokens {', '.join(SPECIAL_TOKENS)}. Train a codec with other "
                "`codebook_sizes` instead."
            )
        return super()._add_tokens(
            [token for token in new_tokens if str(token) in SPECIAL_TOKENS], special_tokens=True
        )

    def _convert_token_to_id_with_added_voc(self, token: str) -> int:
        return self._convert_token_to_id(token)

    def _convert_token_to_id(self, token: str) -> int:
        if self.return_nucleotide_ids:
            return _NUCLEOTIDE_TOKENS.index(token) if token in _NUCLEOTIDE_TOKENS else UNKNOWN_ID
        return self.vocabulary.get(token, _UNK)

    def convert_ids_to_tokens(self, ids: int | list[int], skip_special_tokens: bool = False) -> str | list[str]:
        """The token of an id, or those of several.

        Raises:
            IndexError: an id lies outside the vocabulary.
        """
        if hasattr(ids, "__index__") and np.ndim(ids) == 0:
            return self._convert_id_to_token(operator.index(ids))
        tokens = [self._convert_id_to_token(operator.index(index)) for index in ids]
        return [token for token in tokens if not (skip_special_tokens and token in SPECIAL_TOKENS)]

    def _convert_id_to_token(self, index: int) -> str:
        if not self.return_nucleotide_ids:
            return self.vocabulary.token(index)
        if not 0 <= index < len(_NUCLEOTIDE_TOKENS):
            raise IndexError(f"{index} is no nucleotide id; these are 0 to {len(_NUCLEOTIDE_TOKENS) - 1}.")
        return _NUCLEOTIDE_TOKENS[index]

    # the network

    def to(self, device: str | torch.device) -> "VQDNATokenizer":
        """Move the network, so that strings are encoded on `device`."""
        self.codec.to(device)
        self._network = None  # compiled for a device
        return self

    def __getstate__(self) -> dict:
        """Without the compiled network, which every process makes for itself, and the warnings given so far."""
        return {**self.__dict__, "_network": None, "deprecation_warnings": {}}

    @property
    def device(self) -> torch.device:
        """Where strings are encoded."""
        return self.codec.device

    def encode_nucleotides(self, sequences: list[np.ndarray]) -> list[np.ndarray]:
        """Ids, without special tokens, of nucleotide ids 0-5: all sequences in few network passes.

        Args:
            sequences: each `np.ndarray` of integers, shape `(length,)`.

        Returns:
            One `np.ndarray` of `int64` and shape `(length,)` per sequence.

        Raises:
            ValueError: what is no nucleotide id of a base; names it and its place.
        """
        if not sequences:
            return []
        joined, lengths = join_nucleotides(sequences)
        ids, stops = self.encode_joined(joined, lengths), np.cumsum(lengths)
        return [ids[start:stop] for start, stop in zip((stops - lengths).tolist(), stops.tolist())]

    def encode_joined(self, joined: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Ids, without special tokens, of sequences that stand end to end.

        Args:
            joined (`np.ndarray` of `uint8`, shape `(bases,)`): nucleotide ids 0-5; not checked.
            lengths (`np.ndarray` of integers, shape `(sequences,)`): bases of each sequence.

        Returns:
            `np.ndarray` of `int64`, shape `(bases,)`.
        """
        if self.compile and self._network is None and self.codec.table is None:
            self._network = compile_network(self.codec)
        options = {"batch_bases": self.batch_bases, "chunk_length": self.chunk_length}
        options |= {"precision": self.precision, "network": self._network}
        ids = self.codec.encode_joined(joined, lengths, **options)
        ids += NUM_SPECIAL_TOKENS
        if (joined >= UNKNOWN_ID).any():
            ids[joined == UNKNOWN_ID] = _UNK
            ids[joined == MASK_NUCLEOTIDE_ID] = _MASK
        return ids

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs) -> list[str]:
        """The token of every base of a string; the network sees the whole string."""
        return self.convert_ids_to_tokens(self.encode(text, pair, add_special_tokens, **kwargs))

    def _tokenize(self, text: str, **kwargs) -> list[str]:
        return self.tokenize(text)

    # encoding

    def encode(self, text: str, text_pair: str | None = None, add_special_tokens: bool = True, **kwargs) -> list[int]:
        """The ids alone that calling the tokenizer gives."""
        return self(text, text_pair, add_special_tokens=add_special_tokens, **kwargs)[self.model_input_names[0]]

    def _get_padding_truncation_strategies(self, padding=False, truncation=None, max_length=None, **kwargs):
        given = (padding, truncation, max_length)
        strategies = super()._get_padding_truncation_strategies(padding, truncation, max_length, **kwargs)
        if kwargs.get("verbose", True) and strategies[2] is None:
            if given[1] not in (None, False, TruncationStrategy.DO_NOT_TRUNCATE, "do_not_truncate"):
                _warn_of_no_length("truncate", "truncation")
            if given[0] in (PaddingStrategy.MAX_LENGTH, "max_length"):
                _warn_of_no_length("pad", "padding")
        return strategies

    def _encode_plus(
        self,
        text,
        text_pair=None,
        add_special_tokens: bool = True,
        padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD,
        truncation_strategy: TruncationStrategy = TruncationStrategy.DO_NOT_TRUNCATE,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors=None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        **kwargs,
    ) -> BatchEncoding:
        if ignored := sorted(kwargs.keys() - _PASSED_ON):
            logger.warning_once(f"Keyword arguments {', '.join(ignored)} are none of the tokenizer's: ignored.")
        if pad_to_multiple_of is not None and padding_strategy is PaddingStrategy.DO_NOT_PAD:
            logger.warning_once("pad_to_multiple_of is ignored without padding.")
        cutting = Cutting(
            truncation_strategy.value, max_length, stride, self.truncation_side, return_overflowing_tokens
        )
        wanted = {**kwargs, "add_special_tokens": add_special_tokens, "return_offsets_mapping": return_offsets_mapping}
        if text_pair is None and not is_split_into_words:
            side = self.padding_side if padding_side is None else padding_side
            padding = Padding(padding_strategy, max_length, pad_to_multiple_of, side)
            further = {"return_attention_mask": return_attention_mask, "return_length": return_length}
            outputs = self._encode_at_once(text, cutting, padding, return_tensors, {**wanted, **further})
            if outputs is not None:
                return BatchEncoding(outputs, tensor_type=return_tensors)
        rows, is_batch = as_rows(text, text_pair, is_split_into_words)
        cutting.check(self.num_special_tokens_to_add() if add_special_tokens else 0)
        outputs, samples = self._encode_rows(rows, cutting, wanted)
        is_batch = is_batch or return_overflowing_tokens  # of windows, as fast tokenizers have it
        for ids in outputs[self.model_input_names[0]]:
            self._eventual_warn_about_too_long_sequence(ids, max_length, kwargs.get("verbose", True))
        if not is_batch:
            outputs = {key: value[0] for key, value in outputs.items()}
        outputs = self.pad(
            outputs,
            padding=padding_strategy.value,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
            return_attention_mask=return_attention_mask,
        )
        if return_length:
            ids = outputs[self.model_input_names[0]]
            outputs["length"] = [len(row) for row in ids] if is_batch else len(ids)
        if return_overflowing_tokens:
            outputs["overflow_to_sample_mapping"] = samples
        return BatchEncoding(outputs, tensor_type=return_tensors, prepend_batch_axis=not is_batch)

    def _encode_at_once(
        self, text, cutting: Cutting, padding: Padding, tensor_type: str | None, wanted: dict
    ) -> dict | None:
        """What a call gives, by its name, of strings that are read and looked up as one array.

        `None` for calls and strings that go row by row: with inline tokens, wrong characters, windows or offsets.
        """
        texts = text if isinstance(text, (list, tuple)) else [text]
        parsed = parse_joined(texts) if texts and self._goes_at_once(cutting, padding, tensor_type, wanted) else None
        if parsed is None or not (isinstance(text, (list, tuple)) or text):
            return None
        special, (nucleotides, lengths) = wanted["add_special_tokens"], parsed
        around = self.num_special_tokens_to_add() if special else 0
        cutting.check(around)
        if cutting.cuts:
            nucleotides, lengths = cut_rows(nucleotides, lengths, self._bases_to_read(cutting))
        ids = nucleotides if self.return_nucleotide_ids else self.encode_joined(nucleotides, lengths)
        if cutting.cuts:
            ids, lengths = cut_rows(ids, lengths, cutting.max_length - around)
        rows = Rows(lengths + around, padding.padded_lengths(lengths + around), padding.side == "left")
        for length in rows.lengths.tolist():
            if length > self.model_max_length:  # `range`: its length alone is looked at
                self._eventual_warn_about_too_long_sequence(
                    range(length), cutting.max_length, wanted.get("verbose", True)
                )
                break
        as_tensors = tensor_type is not None and rows.are_a_matrix
        outputs = {}
        for key, (joined, fill) in self._columns(ids, lengths, wanted).items():
            outputs[key] = (rows.as_matrix if as_tensors else rows.as_lists)(joined, fill)
            if as_tensors and tensor_type == "pt":
                outputs[key] = torch.as_tensor(outputs[key])
        if wanted["return_length"]:
            outputs["length"] = rows.padded.tolist()
        is_one = not isinstance(text, (list, tuple)) and not as_tensors
        return {key: value[0] for key, value in outputs.items()} if is_one else outputs

    def _goes_at_once(self, cutting: Cutting, padding: Padding, tensor_type: str | None, wanted: dict) -> bool:
        """Whether a call of strings is one for `_encode_at_once`."""
        return (
            not (cutting.overflow or wanted["return_offsets_mapping"])
            and (not cutting.cuts or (cutting.side == "right" and cutting.strategy != "only_second"))
            and tensor_type in (None, "np", "pt")
            and padding.is_sound
            and self.token_type_ids_include_special_tokens
            and all(getattr(type(self), name) is getattr(VQDNATokenizer, name) for name in _ROW_METHODS)
        )

    def _columns(self, ids: np.ndarray, lengths: np.ndarray, wanted: dict) -> dict[str, tuple]:
        """What a call gives: its name, the values of all rows, joined or one for all, and the value of padding."""
        special, nucleotides = wanted["add_special_tokens"], self.return_nucleotide_ids
        if special:
            ends = (CLS_NUCLEOTIDE_ID, SEP_NUCLEOTIDE_ID) if nucleotides else (_CLS, _SEP)
            surrounded = surround_rows(ids, lengths, *ends)
        columns = {
            self.model_input_names[0]: (surrounded if special else ids, PAD_NUCLEOTIDE_ID if nucleotides else _PAD)
        }
        if self._gives("token_type_ids", wanted.get("return_token_type_ids")):
            columns["token_type_ids"] = (0, self.pad_token_type_id)
        if wanted.get("return_special_tokens_mask"):
            bases = np.zeros(len(ids), dtype=np.uint8)
            columns["special_tokens_mask"] = (surround_rows(bases, lengths, 1, 1) if special else 0, 1)
        if self._gives("attention_mask", wanted["return_attention_mask"]):
            columns["attention_mask"] = (1, 0)
        return columns

    def _gives(self, name: str, asked: bool | None) -> bool:
        """Whether a call gives a model input: as it was asked, or as the tokenizer does."""
        return bool(name in self.model_input_names if asked is None else asked)

    def _bases_to_read(self, cutting: Cutting) -> int:
        """Bases of a string, cut on the right, that its ids depend on."""
        # the halo keeps the codes before the cut what they are in the whole string; one more makes a cut visible
        return cutting.max_length + self.codec.config.halo + 1

    def _encode_rows(self, rows: list[list[str]], cutting: Cutting, wanted: dict) -> tuple[dict, list[int]]:
        """What all windows of all rows give, by its name, and the row of each window."""
        parts, windows = self._parse(rows, cutting, wanted["add_special_tokens"])
        encoded = iter(self._encode_parts([ids for row in parts for ids, _ in row]))
        outputs, samples = {self.model_input_names[0]: []}, []
        for number, (row, spans) in enumerate(zip(parts, windows)):
            streams = [next(encoded) for _ in row]
            offsets = [_offsets(ids, starts) for ids, starts in row] if wanted["return_offsets_mapping"] else None
            for span in spans:
                samples.append(number)
                for key, value in self._lay_out(streams, offsets, span, wanted).items():
                    outputs.setdefault(key, []).append(value)
        return outputs, samples

    def _parse(self, rows: list[list[str]], cutting: Cutting, special: bool) -> tuple[list, list]:
        """Nucleotide ids and character starts of every string, and the windows of every row.

        A string that will be cut is read no further than it must.
        """
        wanted = None
        if cutting.cuts and cutting.strategy != "only_second" and cutting.side == "right" and not cutting.overflow:
            wanted = self._bases_to_read(cutting)
        parsed, windows = [], []
        for number, row in enumerate(rows):
            where = "the sequence" if len(rows) == 1 else f"sequence {number} of the batch"
            if len(row) == 2 and self.return_nucleotide_ids:
                raise ValueError(
                    f"{where} is a pair, but nucleotide ids cannot hold one: a codec would see both as one sequence. "
                    "Use a tokenizer with return_nucleotide_ids=False, which encodes them one by one."
                )
            parts = [parse_sequence(part, where) for part in row]
            if wanted is not None and len(parts) == 1:
                parts = [(ids[:wanted], starts if starts is None else starts[: wanted + 1]) for ids, starts in parts]
            parsed.append(parts)
            around = len(row) + 1 if special else 0
            windows.append(cutting.windows([len(ids) for ids, _ in parts], around, where))
        return parsed, windows

    def _encode_parts(self, nucleotides: list[np.ndarray]) -> list[np.ndarray]:
        if self.return_nucleotide_ids:
            return [ids.astype(np.int64) for ids in nucleotides]
        return self.encode_nucleotides(nucleotides)

    def _lay_out(
        self,
        streams: list[np.ndarray],
        offsets: list[np.ndarray] | None,
        window: tuple[tuple[int, int], ...],
        wanted: dict,
    ) -> dict:
        """What a window of one or two sequences gives, with special tokens around them."""
        special = wanted["add_special_tokens"]
        parts = [stream[start:stop].tolist() for stream, (start, stop) in zip(streams, window)]
        ids = self.build_inputs_with_special_tokens(*parts) if special else sum(parts, [])
        result = {self.model_input_names[0]: ids}
        if self._gives("token_type_ids", wanted.get("return_token_type_ids")):
            made = self.create_token_type_ids_from_sequences(*parts) if special else [0] * len(ids)
            result["token_type_ids"] = made
        if wanted.get("return_special_tokens_mask"):
            result["special_tokens_mask"] = self.get_special_tokens_mask(*parts) if special else [0] * len(ids)
        if offsets is not None:
            spans = [list(map(tuple, own[start:stop].tolist())) for own, (start, stop) in zip(offsets, window)]
            result["offset_mapping"] = _around(spans, (0, 0), (0, 0)) if special else sum(spans, [])
        return result

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """`[CLS] first [SEP]` or `[CLS] first [SEP] second [SEP]`."""
        parts = [token_ids_0] if token_ids_1 is None else [token_ids_0, token_ids_1]
        return _around(parts, *self.convert_tokens_to_ids(["[CLS]", "[SEP]"]))

    def prepare_for_model(self, ids: list[int], *args, **kwargs) -> BatchEncoding:
        """As `PreTrainedTokenizer.prepare_for_model`, of code ids.

        Raises:
            ValueError: the tokenizer gives nucleotide ids.
        """
        if self.return_nucleotide_ids:
            raise ValueError(
                "prepare_for_model takes code ids, but this tokenizer gives nucleotide ids: call it with the strings."
            )
        return super().prepare_for_model(ids, *args, **kwargs)

    def _switch_to_target_mode(self):
        """transformers calls it before it encodes `text_target`."""
        if self.return_nucleotide_ids:
            raise ValueError("text_target needs code ids as labels, but this tokenizer gives nucleotide ids.")

    def _pad(self, encoded_inputs, *args, **kwargs) -> dict:
        multiple = kwargs.get("pad_to_multiple_of")
        if multiple is not None and not (is_whole(multiple) and multiple > 0):
            raise ValueError(
                f"pad_to_multiple_of={multiple!r} is no number of ids; give a whole number of at least 1."
            )
        name = self.model_input_names[0]
        before = len(encoded_inputs[name])
        padded = super()._pad(encoded_inputs, *args, **kwargs)
        added = len(padded[name]) - before
        if added == 0:
            return padded
        left = (kwargs.get("padding_side") or self.padding_side) == "left"

        def extended(values, fill):
            return [fill] * added + values if left else values + [fill] * added

        if name == "nucleotide_ids":  # the base class pads with [PAD]'s token id, which is the nucleotide A
            values = padded[name][added:] if left else padded[name][:before]
            padded[name] = extended(values, PAD_NUCLEOTIDE_ID)
        if "offset_mapping" in padded:
            padded["offset_mapping"] = extended(padded["offset_mapping"], (0, 0))
        return padded

    # decoding

    def _decode(self, token_ids, skip_special_tokens: bool = False, **kwargs) -> str:
        ids = np.atleast_1d(np.asarray(token_ids))
        if ids.size and ids.dtype.kind not in "iu":
            raise ValueError(f"Cannot decode {ids.ravel()[0]!r}: ids are whole numbers.")
        ids = ids.astype(np.int64)
        if self.return_nucleotide_ids:
            return _spell(ids, skip_special_tokens)
        outside = np.isin(ids, (_PAD, _CLS, _SEP))
        pieces, start = [], 0
        while start < len(ids):
            end = start + 1
            if outside[start]:
                pieces.append("" if skip_special_tokens else SPECIAL_TOKENS[ids[start]])
            else:
                while end < len(ids) and not outside[end]:
                    end += 1
                pieces.append(self._decode_run(ids[start:end], skip_special_tokens))
            start = end
        return "".join(pieces)

    def _decode_run(self, ids: np.ndarray, skip_special_tokens: bool) -> str:
        """The bases of consecutive codes; [UNK] is N, and [MASK] stays or is left out."""
        if ids.min() < 0 or ids.max() >= self.vocab_size:
            raise ValueError(f"Cannot decode ids {ids.min()} to {ids.max()}: the vocabulary has {self.vocab_size}.")
        coded = ids >= NUM_SPECIAL_TOKENS
        bases = self.codec.decode_sequence(self.vocabulary.codes(ids), coded, self.chunk_length)
        letters = np.array(list(ids_to_bases(np.where(ids == _UNK, UNKNOWN_ID, bases))), dtype=object)
        letters[ids == _MASK] = "" if skip_special_tokens else SPECIAL_TOKENS[_MASK]
        return "".join(letters)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The bases of tokens."""
        return self._decode(self.convert_tokens_to_ids(tokens))

    # files

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *init_inputs, **kwargs):
        """As `PreTrainedTokenizer.from_pretrained`; special tokens that a file has otherwise are put right.

        Raises:
            ValueError: as the class, or another special token is asked for.
        """
        for name, value in kwargs.items():
            if is_other_special_token(name, value):
                refuse_special_token(name, value)
        return super().from_pretrained(pretrained_model_name_or_path, *init_inputs, **kwargs)

    @classmethod
    def _from_pretrained(cls, resolved_vocab_files: dict, *args, **kwargs):
        # subtle: files that `tokenizer_config.json` names would be read instead, wherever they are
        own = {name: resolved_vocab_files.get(name) for name in VOCAB_FILES_NAMES}
        return super()._from_pretrained(resolved_vocab_files, *args, **{**own, **kwargs})

    def save_pretrained(self, save_directory, *args, **kwargs) -> tuple[str, ...]:
        """As `PreTrainedTokenizer.save_pretrained`, under the fingerprint that the codec has by now.

        Raises:
            ValueError: `save_directory` is a file, or the format of fast tokenizers is asked for.
        """
        if Path(save_directory).is_file():
            raise ValueError(f"{save_directory} is a file, but a tokenizer is saved in a directory.")
        if (args[0] if args else kwargs.get("legacy_format")) is False:
            raise ValueError("legacy_format=False is for fast tokenizers; leave it out.")
        self.vocabulary_fingerprint = self.init_kwargs["vocabulary_fingerprint"] = self.codec.fingerprint()
        for name in ("is_local", "local_files_only"):  # how it was loaded here says nothing about it
            self.init_kwargs.pop(name, None)
        if is_downloaded(type(self)):
            self._auto_map = self.init_kwargs["auto_map"] = dict(TOKENIZER_AUTO_MAP)
        else:
            self.init_kwargs.pop("auto_map", None)
        return super().save_pretrained(save_directory, *args, **kwargs)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write the network's weights and configuration; each file under another name first, then renamed."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        weights, config, table = (Path(save_directory) / (prefix + name) for name in VOCAB_FILES_NAMES.values())
        save_codec(self.codec, weights, config)
        if not self.codec.config.compiled:
            return str(weights), str(config)
        save_table(self.codec._valid_table(), table)
        return str(weights), str(config), str(table)


def _warn_of_no_length(verb: str, noun: str):
    """What transformers' tokenizers say when nothing tells how long a row may be."""
    logger.warning_once(
        f"Asking to {verb} to max_length but no maximum length is provided and the model has no predefined maximum "
        f"length. Default to no {noun}."
    )


def _around(parts: list[list], first, last) -> list:
    """Something before the first part and something behind every part. Example: `[[1], [2]], 8, 9` -> `8 1 9 2 9`"""
    return [first, *(item for part in parts for item in (*part, last))]


def _spell(nucleotide_ids: np.ndarray, skip_special_tokens: bool) -> str:
    """The letters of nucleotide ids; special tokens stay or are left out."""
    names = list(_NUCLEOTIDE_TOKENS)
    names[UNKNOWN_ID] = "N"
    wrong = nucleotide_ids[(nucleotide_ids < 0) | (nucleotide_ids >= len(names))]
    if wrong.size:
        raise ValueError(f"Cannot decode {wrong[0]}: nucleotide ids are 0 to {len(names) - 1}.")
    if skip_special_tokens:
        names[MASK_NUCLEOTIDE_ID:] = [""] * (len(names) - MASK_NUCLEOTIDE_ID)
    return "".join(names[index] for index in nucleotide_ids)


def _offsets(ids: np.ndarray, starts: np.ndarray | None) -> np.ndarray:
    """Start and end, in characters, 0-based and half-open, of every base; shape `(length, 2)`."""
    starts = np.arange(len(ids) + 1) if starts is None else starts
    return np.stack([starts[:-1], starts[1:]], axis=1)


__all__ = [
    "INPUT_NAMES",
    "SPECIAL_ROLES",
    "VOCAB_FILES_NAMES",
    "CodeVocabulary",
    "Cutting",
    "VQDNATokenizer",
    "as_rows",
    "is_whole",
    "load_codec",
    "own_special_tokens",
    "save_codec",
]
