"""The VQDNA tokenizer: a DNA string in, one code id per base out, through the codec it carries.

Ids are 0-4 for [PAD], [UNK], [CLS], [SEP], [MASK], then one id per combination of level codes. The token of code 12 is
`c12`; with two levels, `c12.345`.

Input policy: lower case is read as upper case and U as T; N and the other IUPAC letters become [UNK] and are unknown
to the network; `[MASK]` hides a base from the network *before* it sees the sequence, so that nothing of it leaks into
the codes around; white space and any other character are refused, with their place.

Not handled: fast (Rust) tokenization; the codes come from a network.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from transformers import BatchEncoding, PreTrainedTokenizer
from transformers.tokenization_utils_base import PaddingStrategy, TruncationStrategy

from .configuration_vqdna import NUM_SPECIAL_TOKENS, SPECIAL_TOKENS
from .encoding_vqdna import check_precision, compile_network
from .modeling_vqdna_codec import VQDNACodecModel
from .nucleotides_vqdna import (
    CLS_NUCLEOTIDE_ID,
    MASK_NUCLEOTIDE_ID,
    PAD_NUCLEOTIDE_ID,
    SEP_NUCLEOTIDE_ID,
    UNKNOWN_ID,
    ids_to_bases,
    parse_sequence,
)
from .repository_vqdna import TOKENIZER_AUTO_MAP, is_downloaded
from .vocabulary_vqdna import VOCAB_FILES_NAMES, CodeVocabulary, load_codec, save_codec


_PAD, _UNK, _CLS, _SEP, _MASK = range(NUM_SPECIAL_TOKENS)
# the nucleotide id that stands for each special token, by token id
_SPECIAL_NUCLEOTIDES = np.array(
    [PAD_NUCLEOTIDE_ID, UNKNOWN_ID, CLS_NUCLEOTIDE_ID, SEP_NUCLEOTIDE_ID, MASK_NUCLEOTIDE_ID]
)

# subtle: a process forked after torch has run inherits OpenMP's locks but not its threads, and would wait for them
# forever in its first product; `datasets.map(num_proc=...)` forks exactly like that
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class VQDNATokenizer(PreTrainedTokenizer):
    r"""
    A DNA string to code ids, through the learned vocabulary.

    Args:
        codec_file, codec_config_file (`str`, *optional*): The network's weights and configuration; `from_pretrained`
            passes both.
        codec ([`VQDNACodecModel`], *optional*): The network itself, to make a tokenizer of a trained codec.
        vocabulary_fingerprint (`str`, *optional*): What the network's fingerprint must be; checked on load.
        batch_bases (`int`, *optional*): Bases of one network pass; what suits the device when not given.
        chunk_length (`int`, *optional*, defaults to 8192): Longer strings pass in pieces, with the same codes.
        return_nucleotide_ids (`bool`, *optional*, defaults to `False`):
            Whether to give `nucleotide_ids` instead of `input_ids`, for models that run the codec themselves
            (end-to-end fine-tuning, strand averaging). No network runs then.
        precision (`str`, *optional*, defaults to `"float32"`):
            `bfloat16` computes the network's products with 16 bits: faster where the processor has such products, and
            some codes become others. Not saved: whoever loads the tokenizer has to ask for it, too.
        compile (`bool`, *optional*, defaults to `False`):
            Whether long inputs pass through a compiled network, which costs up to minutes at the first of them. Not
            saved either.

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
        pad_token: str = "[PAD]",
        unk_token: str = "[UNK]",
        cls_token: str = "[CLS]",
        sep_token: str = "[SEP]",
        mask_token: str = "[MASK]",
        **kwargs,
    ):
        self.codec = load_codec(codec_file, codec_config_file) if codec is None else codec
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
        super().__init__(
            vocabulary_fingerprint=self.vocabulary_fingerprint,
            batch_bases=batch_bases,
            chunk_length=chunk_length,
            return_nucleotide_ids=return_nucleotide_ids,
            pad_token=str(pad_token),
            unk_token=str(unk_token),
            cls_token=str(cls_token),
            sep_token=str(sep_token),
            mask_token=str(mask_token),
            **kwargs,
        )
        self.return_nucleotide_ids = return_nucleotide_ids
        if return_nucleotide_ids:
            self.model_input_names = ["nucleotide_ids", "attention_mask"]

    # vocabulary

    @property
    def vocab_size(self) -> int:
        """Special tokens and product ids."""
        return len(self.vocabulary)

    def get_vocab(self) -> Mapping[str, int]:
        """Token -> id, as a mapping that computes its items (see [`CodeVocabulary`])."""
        return self.vocabulary

    def _add_tokens(self, new_tokens, special_tokens: bool = False) -> int:
        foreign = [str(token) for token in new_tokens or [] if str(token) not in self.vocabulary]
        if foreign:
            raise ValueError(
                f"Cannot add {', '.join(map(repr, foreign))}: the vocabulary is learned, one id per combination of "
                "codes. Train a codec with other `codebook_sizes` instead."
            )
        return super()._add_tokens(new_tokens, special_tokens=special_tokens)

    def _convert_token_to_id(self, token: str) -> int:
        return self.vocabulary.get(token, _UNK)

    def _convert_id_to_token(self, index: int) -> str:
        return self.vocabulary.token(index)

    # the network

    def to(self, device: str | torch.device) -> "VQDNATokenizer":
        """Move the network, so that strings are encoded on `device`."""
        self.codec.to(device)
        self._network = None  # compiled for a device
        return self

    def __getstate__(self) -> dict:
        """Without the compiled network, which every process makes for itself."""
        return {**self.__dict__, "_network": None}

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
        """
        if self.compile and self._network is None:
            self._network = compile_network(self.codec)
        codes = self.codec.encode_sequences(
            sequences, self.batch_bases, self.chunk_length, self.precision, self._network
        )
        ids = [self.vocabulary.ids(code) for code in codes]
        for row, nucleotides in zip(ids, sequences):
            row[nucleotides == UNKNOWN_ID] = _UNK
            row[nucleotides == MASK_NUCLEOTIDE_ID] = _MASK
        return ids

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs) -> list[str]:
        """The token of every base of a string; the network sees the whole string."""
        texts = [text] if pair is None else [text, pair]
        ids = [self.encode_nucleotides([parse_sequence(part)[0]])[0].tolist() for part in texts]
        row = self.build_inputs_with_special_tokens(*ids) if add_special_tokens else sum(ids, [])
        return [self.vocabulary.token(index) for index in row]

    def _tokenize(self, text: str, **kwargs) -> list[str]:
        return self.tokenize(text)

    # encoding

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
        rows, is_batch = _as_rows(text, text_pair, is_split_into_words)
        layout = {
            "add_special_tokens": add_special_tokens,
            "truncation": truncation_strategy.value,
            "max_length": max_length,
            "stride": stride,
            "return_overflowing_tokens": return_overflowing_tokens,
            "return_token_type_ids": kwargs.get("return_token_type_ids"),
            "return_special_tokens_mask": kwargs.get("return_special_tokens_mask", False),
            "verbose": kwargs.get("verbose", True),
        }
        parts = self._parse(rows, layout)
        encoded = self._encode_parts([ids for row in parts for ids, _ in row])
        outputs: dict[str, list] = {}
        for row in parts:
            streams = [encoded.pop(0) for _ in row]
            offsets = [_offsets(ids, starts) for ids, starts in row] if return_offsets_mapping else None
            for key, value in self._lay_out(streams, offsets, layout).items():
                outputs.setdefault(key, []).append(value)
        if not is_batch:
            outputs = {key: value[0] for key, value in outputs.items()}
        outputs = self.pad(
            outputs or {self.model_input_names[0]: []},
            padding=padding_strategy.value,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
            return_attention_mask=return_attention_mask,
        )
        if return_length:
            ids = outputs[self.model_input_names[0]]
            outputs["length"] = [len(row) for row in ids] if is_batch else len(ids)
        if return_tensors is not None:
            for key in ("overflowing_tokens", "num_truncated_tokens"):
                outputs.pop(key, None)
        return BatchEncoding(outputs, tensor_type=return_tensors, prepend_batch_axis=not is_batch)

    def _parse(self, rows: list[list[str]], layout: dict) -> list[list[tuple[np.ndarray, np.ndarray | None]]]:
        """Nucleotide ids and character starts of every string; a string that will be cut is read no further."""
        wanted = None
        cut = layout["truncation"] in ("longest_first", "only_first") and layout["max_length"]  # 0 cuts nothing
        if cut and self.truncation_side == "right" and not layout["return_overflowing_tokens"]:
            # the halo keeps the codes before the cut what they are in the whole string; one more makes a cut visible
            wanted = layout["max_length"] + self.codec.config.halo + 1
        parsed = []
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
        return parsed

    def _encode_parts(self, nucleotides: list[np.ndarray]) -> list[np.ndarray]:
        if self.return_nucleotide_ids:
            return [ids.astype(np.int64) for ids in nucleotides]
        return self.encode_nucleotides(nucleotides)

    def _lay_out(self, streams: list[np.ndarray], offsets: list[np.ndarray] | None, layout: dict) -> dict:
        """Truncate and put special tokens around one or two sequences."""
        # subtle: `prepare_for_model` arranges places (behind the special ids), which then stand for ids and offsets
        lengths = [len(stream) for stream in streams]
        places = [list(range(NUM_SPECIAL_TOKENS, NUM_SPECIAL_TOKENS + lengths[0])), None]
        if len(streams) == 2:
            places[1] = list(range(NUM_SPECIAL_TOKENS + lengths[0], NUM_SPECIAL_TOKENS + sum(lengths)))
        out = self.prepare_for_model(places[0], pair_ids=places[1], return_attention_mask=False, **layout)
        special = _SPECIAL_NUCLEOTIDES if self.return_nucleotide_ids else np.arange(NUM_SPECIAL_TOKENS)
        table = np.concatenate([special, *streams])
        order = np.array(out.pop("input_ids"), dtype=np.int64)
        result = {self.model_input_names[0]: table[order].tolist(), **out}
        if "overflowing_tokens" in result:
            result["overflowing_tokens"] = table[np.array(result["overflowing_tokens"], dtype=np.int64)].tolist()
        if offsets is not None:
            spans = np.concatenate([np.zeros((NUM_SPECIAL_TOKENS, 2), dtype=np.int64), *offsets])
            result["offset_mapping"] = [tuple(span) for span in spans[order].tolist()]
        return result

    def _pad(self, encoded_inputs, *args, **kwargs) -> dict:
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
        ids = np.atleast_1d(np.asarray(token_ids, dtype=np.int64))
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

    def save_pretrained(self, save_directory, *args, **kwargs) -> tuple[str, ...]:
        """As `PreTrainedTokenizer.save_pretrained`, under the fingerprint that the codec has by now."""
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
        weights, config = (Path(save_directory) / (prefix + name) for name in VOCAB_FILES_NAMES.values())
        save_codec(self.codec, weights, config)
        return str(weights), str(config)


def _spell(nucleotide_ids: np.ndarray, skip_special_tokens: bool) -> str:
    """The letters of nucleotide ids; special tokens stay or are left out."""
    names = ["A", "C", "G", "T", "N", "[MASK]", "[CLS]", "[SEP]", "[PAD]"]
    if skip_special_tokens:
        names[MASK_NUCLEOTIDE_ID:] = [""] * (len(names) - MASK_NUCLEOTIDE_ID)
    return "".join(names[index] for index in nucleotide_ids)


def _as_rows(text, text_pair, is_split_into_words: bool) -> tuple[list[list[str]], bool]:
    """Bring every form of input into rows of one or two strings, and say whether the input was a batch."""
    if is_split_into_words:
        if text_pair is not None:
            raise ValueError("`text_pair` cannot be given with `is_split_into_words`; join each sequence's words.")
        if text and isinstance(text[0], (list, tuple)):
            return [["".join(words)] for words in text], True
        return [["".join(text)]], False
    if isinstance(text, (list, tuple)):
        pairs = [None] * len(text) if text_pair is None else text_pair
        if not isinstance(pairs, (list, tuple)) or len(pairs) != len(text):
            raise ValueError(f"`text` is a batch of {len(text)}, so `text_pair` must be a batch of {len(text)} too.")
        rows = []
        for first, second in zip(text, pairs):
            row = list(first) if isinstance(first, (list, tuple)) and second is None else [first]
            rows.append(row if second is None else [*row, second])
        for number, row in enumerate(rows):
            if not 1 <= len(row) <= 2:
                raise ValueError(f"Row {number} of the batch holds {len(row)} sequences; give 1, or 2 as a pair.")
        return rows, True
    return [[text] if text_pair is None else [text, text_pair]], False


def _offsets(ids: np.ndarray, starts: np.ndarray | None) -> np.ndarray:
    """Start and end, in characters, 0-based and half-open, of every base; shape `(length, 2)`."""
    starts = np.arange(len(ids) + 1) if starts is None else starts
    return np.stack([starts[:-1], starts[1:]], axis=1)


__all__ = ["VQDNATokenizer"]
