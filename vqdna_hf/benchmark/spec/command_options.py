"""Mappings of a benchmark file: which options of the commands each may set, and how they are read.

A value is checked as the command checks it; the message names the place in the file, as `models.a.encoder: preset`.
"""

import contextlib
import difflib
from dataclasses import dataclass, fields

from ...arguments.data import BaselineTokenizerArguments
from ...arguments.training import (
    MOST_STEPS,
    FinetuneArguments,
    MaskingKind,
    PretrainArguments,
    TrainTokenizerArguments,
)
from ...baselines.kmer_regression import MAX_K, Strands
from ...options import Arguments, check_value, option, required, value_type


@dataclass(kw_only=True)
class VocabularyPath(Arguments):
    """A vocabulary that is there already."""

    path: str = required("directory, or checkpoint of the package, with a learned tokenizer")


@dataclass(kw_only=True)
class EncoderArguments(PretrainArguments):
    """Stage 2, which may have no steps at all."""

    max_steps: int = option(
        PretrainArguments.max_steps, "0 leaves the encoder as it was initialized", at_least=0, at_most=MOST_STEPS
    )


@dataclass(kw_only=True)
class StudyArguments(TrainTokenizerArguments):
    """Stage 1, and the masking of stage 2; `mask_ratio` is stage 1's, so that stage 2's has another name."""

    masking: MaskingKind = option("base", "which positions are predicted")
    masked_share: float = option(0.25, "fraction of the bases to predict", above=0, below=1)
    span_length: int | None = option(None, "length, in bases, of a masked span or run", at_least=1)


@dataclass(kw_only=True)
class RegressionArguments(FinetuneArguments):
    """What the k-mer regression takes besides."""

    kmers: list[int] = option([6], "lengths of the k-mers, in bases", at_least=1, at_most=MAX_K)
    strands: Strands = option("one", "both counts a k-mer and its reverse complement as one")


# options that the benchmark decides itself
_OWNED = {
    *("output", "resume", "save_steps", "eval_steps", "logging_steps", "fasta", "corpus", "tokenizer", "model"),
    *("data", "task", "problem", "metric", "mode", "seed", "recipe", "trust_remote_code", "lora"),
    # a cell's codes are held in memory, and how fast it trains is no part of a comparison
    *("cache_codes", "cache_dir", "group_by_length", "attn_implementation", "compile", "gradient_checkpointing"),
}


def _all_but_owned(arguments_class: type[Arguments]) -> tuple[type[Arguments], tuple[str, ...]]:
    return arguments_class, tuple(one.name for one in fields(arguments_class) if one.name not in _OWNED)


# what a mapping is about (a hand-made tokenizer and a control by their kinds) -> whose options it takes, and which
OPTIONS = {
    "fine-tuning": _all_but_owned(FinetuneArguments),
    "vocabulary": _all_but_owned(TrainTokenizerArguments),
    "vocabulary path": _all_but_owned(VocabularyPath),
    "encoder": _all_but_owned(EncoderArguments),
    "study": _all_but_owned(StudyArguments),
    "character": (BaselineTokenizerArguments, ("kind",)),
    "kmer": (BaselineTokenizerArguments, ("kind", "k", "overlapping")),
    "bpe": (BaselineTokenizerArguments, ("kind", "vocab_size", "max_bases", "file")),
    "cnn": _all_but_owned(FinetuneArguments),
    "kmer-regression": _all_but_owned(RegressionArguments),
}
# options of a study that are about the masking
MASKING = ("masking", "masked_share", "span_length")
# options of fine-tuning whose values may be lists of values to try
GRID = ("learning_rate", "dropout", "epochs", "weight_decay", "batch_size", "ema_decay", "pooling", "pooling_bins")


def read_options(given, about: str, where: str) -> dict:
    """The options that a mapping sets; of fine-tuning a list of values, which is a grid.

    Raises:
        ValueError: no mapping, an unknown key, or a value that the command would refuse.
    """
    arguments_class, names = OPTIONS[about]
    given = {} if given is None else check_mapping(given, where)
    check_keys(given, names, where)
    values = {}
    for name, value in given.items():
        is_grid = name in GRID and isinstance(value, list) and issubclass(arguments_class, FinetuneArguments)
        if is_grid and not value:
            raise ValueError(f"{where}.{name} is an empty list: write the values to try, or leave it out.")
        each = [_read_value(arguments_class, name, one, where) for one in (value if is_grid else [value])]
        values[name] = each if is_grid else each[0]
    return values


def _read_value(arguments_class: type[Arguments], name: str, value, where: str):
    """A checked value. Whole numbers do for fractions, and so does `5e-4`, which YAML reads as text."""
    field = arguments_class.__dataclass_fields__[name]
    if value_type(field.type).kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            value = float(value)
    check_value(field, value, f"{where}: {name}")
    return value


def read_fields(given, entry_class: type[Arguments], where: str, but: tuple[str, ...] = ()) -> dict:
    """The fields that a mapping sets, all `but` some of a class; those that are null are left out.

    Raises:
        ValueError: no mapping, an unknown key, or a value of the wrong type or out of its range.
    """
    check_keys(check_mapping(given, where), {one.name for one in fields(entry_class)} - set(but), where)
    values = {name: value for name, value in given.items() if value is not None}
    entry_class.check_options(values, where)
    return values


def check_mapping(value, where: str) -> dict:
    """The value, if it is a mapping; a `ValueError` otherwise."""
    if not isinstance(value, dict):
        raise ValueError(f"{where or 'the file'} should be a mapping (name: value), not {value!r}.")
    return value


def check_keys(entry: dict, known, where: str):
    """Raise `ValueError`, naming the nearest known keys, unless every key is known."""
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}?" if near else f"Known are {', '.join(sorted(known))}."
            raise ValueError(f"{where + ': ' if where else ''}unknown key {key!r}. {hint}")


def check_unique(values: list, where: str):
    """Raise `ValueError` if a value is there twice."""
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{where}: {value!r} is there twice.")
