"""The rows of a batch, padded, as one matrix or as lists: what a call of the tokenizer gives, without a loop per base.

The values of all rows stand behind one another in one array ("joined"), as they were looked up; `lengths` says how
many belong to each row.

Not handled here: pairs, windows and character offsets, which the tokenizer lays out row by row.
"""

import operator
from dataclasses import dataclass

import numpy as np
from transformers.tokenization_utils_base import PaddingStrategy


def is_whole(value) -> bool:
    """Whether something is a whole number, NumPy's included."""
    return not isinstance(value, bool) and hasattr(value, "__index__")


@dataclass(frozen=True)
class Padding:
    """How rows are padded, in the words of transformers.

    Attributes:
        strategy: to the longest row, to `max_length`, or not at all.
        max_length: ids of a row, special tokens included.
        multiple: of what the width is to be a multiple; `None` for any.
        side: `left` or `right`.
    """

    strategy: PaddingStrategy
    max_length: int | None
    multiple: int | None
    side: str

    @property
    def is_sound(self) -> bool:
        """Whether `padded_lengths` knows what to do; what is not sound is refused where rows are padded one by one."""
        return (
            self.side in ("left", "right")
            and (self.multiple is None or (is_whole(self.multiple) and self.multiple > 0))
            and (self.strategy is not PaddingStrategy.MAX_LENGTH or self.max_length is not None)
        )

    def padded_lengths(self, lengths: np.ndarray) -> np.ndarray:
        """Ids of each row once it is padded, `(rows,)`; a row that is longer than `max_length` stays as it is."""
        if self.strategy is PaddingStrategy.DO_NOT_PAD:
            return lengths
        width = int(lengths.max()) if self.strategy is PaddingStrategy.LONGEST else operator.index(self.max_length)
        if self.multiple is not None:
            width = -(-width // operator.index(self.multiple)) * operator.index(self.multiple)
        return np.maximum(lengths, width)


@dataclass(frozen=True)
class Rows:
    """Where values stand in the rows of a batch.

    Attributes:
        lengths (`np.ndarray` of `int64`, shape `(rows,)`): values of each row.
        padded (`np.ndarray` of `int64`, shape `(rows,)`): the same with padding.
        left: whether padding stands before the values.
    """

    lengths: np.ndarray
    padded: np.ndarray
    left: bool

    @property
    def are_a_matrix(self) -> bool:
        """Whether all rows are of one width."""
        return bool((self.padded == self.padded[0]).all())

    def as_matrix(self, joined: np.ndarray | int, fill: int) -> np.ndarray:
        """The rows as `np.ndarray` of `int64`, shape `(rows, width)`.

        Args:
            joined: shape `(sum of lengths,)`, or the one value that stands everywhere.
            fill: what stands where there is no value.
        """
        width = int(self.padded[0])
        places, lengths = np.arange(width), self.lengths[:, None]
        matrix = np.full((len(self.lengths), width), fill, dtype=np.int64)
        matrix[places >= width - lengths if self.left else places < lengths] = joined
        return matrix

    def as_lists(self, joined: np.ndarray | int, fill: int) -> list[list[int]]:
        """The rows as lists; arguments as of `as_matrix`."""
        if isinstance(joined, int):
            rows = [[joined] * length for length in self.lengths.tolist()]
        else:
            stops = np.cumsum(self.lengths)
            spans = zip((stops - self.lengths).tolist(), stops.tolist())
            # subtle: one list of all values, to be sliced, takes longer: it does not fit the cache of a core
            rows = [joined[start:stop].tolist() for start, stop in spans]
        added = (self.padded - self.lengths).tolist()
        if self.left:
            return [[fill] * count + row if count else row for row, count in zip(rows, added)]
        return [row + [fill] * count if count else row for row, count in zip(rows, added)]


def cut_rows(joined: np.ndarray, lengths: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `longest` values of every row, joined, and how many each row has."""
    if (lengths <= longest).all():
        return joined, lengths
    kept, starts = np.minimum(lengths, longest), np.cumsum(lengths) - lengths
    spans = zip(starts.tolist(), (starts + kept).tolist())
    return np.concatenate([joined[start:stop] for start, stop in spans]), kept


def surround_rows(joined: np.ndarray, lengths: np.ndarray, first: int, last: int) -> np.ndarray:
    """The rows with a value before each and one behind it, joined. Example: `[1, 2, 3], [2, 1], 8, 9` -> `8129839`"""
    stops = np.cumsum(lengths + 2)
    surrounded = np.empty(len(joined) + 2 * len(lengths), dtype=joined.dtype)
    inside = np.ones(len(surrounded), dtype=bool)
    for places, value in ((stops - lengths - 2, first), (stops - 1, last)):
        surrounded[places], inside[places] = value, False
    surrounded[inside] = joined
    return surrounded


__all__ = ["Padding", "Rows", "cut_rows", "is_whole", "surround_rows"]
