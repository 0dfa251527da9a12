"""What a tokenizer is called with: rows of strings, and the windows that long ones are cut into.

Notation used for windows: a window is one pair `(start, stop)` for each sequence of a row (0-based, half-open, bases).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from .tokenizer_settings_vqdna import is_whole


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


__all__ = ["Cutting", "as_rows"]
