"""Windows of a genome: random ones to train on, consecutive ones to store, and the collator that pads them.

`WindowDataset` holds no windows. Window `i` follows from `(seed, i)` by integer hashing alone, so that a resumed run,
another number of workers or another batch size sees the very same data, and a "data set" of a billion windows takes no
memory.

Notation: batch is the number of items asked for, length the longest of them, in bases. Coordinates are 0-based and
half-open.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from vqdna_hf.modeling.nucleotides_vqdna import COMPLEMENT, MASK_NUCLEOTIDE_ID, PAD_NUCLEOTIDE_ID, UNKNOWN_ID

from .base_labels import IGNORED
from .genome_bases import GenomeBases


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
# rows: read forward, read backward
_STRAND_TABLE = np.stack([np.arange(COMPLEMENT.size, dtype=np.uint8), COMPLEMENT])
# which of an item's random numbers decides what; bases are masked by numbers _MASKED, _MASKED + 1, ...
_POSITION, _START, _STRAND, _MASKED = 1, 2, 3, 4


def mix_bits(values: np.ndarray) -> np.ndarray:
    """The output function of SplitMix64 (Steele, Lea and Flood, 2014): `uint64` to well mixed `uint64`, any shape."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _draw(states: np.ndarray, number: int | np.ndarray) -> np.ndarray:
    """Random number `number` of the items with these states, `uint64`."""
    # subtle: at least one dimension, because numpy warns of the (intended) overflow of scalars
    return mix_bits(states + np.atleast_1d(number).astype(np.uint64) * _GOLDEN)


class WindowDataset(torch.utils.data.Dataset):
    """Random windows of a genome, on either strand, optionally with some bases masked.

    A contig is drawn with probability proportional to its length, then a start uniformly among those at which the
    window fits. A contig shorter than the window is given whole.

    Args:
        genome: where windows come from.
        num_windows: the length of this data set.
        length_schedule: `[(first_index, length), ...]`; `[(0, 128), (50_000, 256)]` gives 50,000 windows of 128 bases,
            then windows of 256. Read the data set in order (no shuffling: it is random already) for this to be a
            schedule.
        seed: any integer.
        random_strand: read the reverse strand with probability 1/2.
        mask_ratio: share of a window's bases to mask, 0 to 1 (exclusive).
        clean_from: the first window of which nothing is masked any more; all windows are masked if not given.

    Items: `{"nucleotide_ids": uint8 of shape (length,)}`. With a `mask_ratio`, `round(mask_ratio * length)` randomly
    chosen known bases are masked (id 5), and `"labels"` are the ids before that, of the same shape.

    Raises:
        ValueError: an empty genome, or a schedule, ratio or size out of range.
    """

    def __init__(
        self,
        genome: GenomeBases,
        num_windows: int,
        length_schedule: list[tuple[int, int]],
        seed: int,
        random_strand: bool = True,
        mask_ratio: float = 0.0,
        clean_from: int | None = None,
    ):
        if not genome.total_bases:
            raise ValueError("The genome has no bases, so there are no windows to draw.")
        if num_windows < 1:
            raise ValueError(
                f"num_windows is {num_windows}, but at least 1 is needed. To train, it is the steps times the windows "
                "of a step, and to evaluate, --eval-windows: none of these may be 0."
            )
        if not 0 <= mask_ratio < 1:
            raise ValueError(f"mask_ratio is {mask_ratio}, but it must be at least 0 and below 1.")
        first = np.array([index for index, _ in length_schedule], dtype=np.int64)
        lengths = np.array([length for _, length in length_schedule], dtype=np.int64)
        if not first.size or first[0] != 0 or (np.diff(first) <= 0).any() or (lengths < 1).any():
            raise ValueError(
                f"length_schedule is {length_schedule}, but it must be [(first index, length), ...] with first "
                "indices that start at 0 and increase, and lengths of at least 1, as in [(0, 128), (50_000, 256)]."
            )
        self.genome, self.num_windows, self.mask_ratio = genome, num_windows, mask_ratio
        self.random_strand = random_strand
        self.clean_from = num_windows if clean_from is None else clean_from
        self._first, self._lengths = first, lengths
        self._ends = np.cumsum(genome.lengths)
        self._seed = mix_bits(np.array([seed % 2**64], dtype=np.uint64) + _GOLDEN)

    def __len__(self) -> int:
        return self.num_windows

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, np.ndarray]]:
        """Many items at once: what `DataLoader` calls, and some twenty times as fast as one by one."""
        indices = np.asarray(indices, dtype=np.int64)
        outside = indices[(indices < 0) | (indices >= self.num_windows)]
        if outside.size:
            raise IndexError(f"There is no window {outside[0]}: indices go from 0 to {self.num_windows - 1}.")
        states = mix_bits(self._seed + indices.astype(np.uint64) * _GOLDEN)  # [batch]
        starts, lengths = self._place(states, indices)
        clean = self._read(states, starts, lengths)  # [batch, length]
        if not self.mask_ratio:
            return [{"nucleotide_ids": row[:length]} for row, length in zip(clean, lengths)]
        chosen = self._mask(states, clean, lengths) & (indices < self.clean_from)[:, None]
        masked = np.where(chosen, np.uint8(MASK_NUCLEOTIDE_ID), clean)
        return [
            {"nucleotide_ids": row[:length], "labels": label[:length]}
            for row, label, length in zip(masked, clean, lengths)
        ]

    def _place(self, states: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Start in `genome.bases` and length of every window, two `int64` of shape `[batch]`."""
        lengths = self._lengths[np.searchsorted(self._first, indices, side="right") - 1]
        # the remainder of a division favours small positions, by one part in 2**64 / bases: not measurable
        positions = (_draw(states, _POSITION) % np.uint64(self._ends[-1])).astype(np.int64)
        contigs = np.searchsorted(self._ends, positions, side="right")
        sizes = self.genome.lengths[contigs]
        lengths = np.minimum(lengths, sizes)
        starts = (_draw(states, _START) % (sizes - lengths + 1).astype(np.uint64)).astype(np.int64)
        return self.genome.starts[contigs] + starts, lengths

    def _read(self, states: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Bases of every window on its strand, `uint8` of shape `[batch, length]`; any bases after a window's end."""
        columns = np.arange(lengths.max(initial=0))
        if not self.random_strand:
            return self.genome.bases.take(starts[:, None] + columns, mode="clip")
        backward = (_draw(states, _STRAND) >> np.uint64(63)).astype(np.int64)  # [batch], 0 or 1
        first, step = starts + backward * (lengths - 1), 1 - 2 * backward
        bases = self.genome.bases.take(first[:, None] + step[:, None] * columns, mode="clip")
        return _STRAND_TABLE[backward[:, None], bases]

    def _mask(self, states: np.ndarray, clean: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Which bases to mask, `bool` of shape `[batch, length]`: in each row those of the smallest random numbers."""
        columns = np.arange(clean.shape[1])
        keys = _draw(states[:, None], _MASKED + columns)
        known = (clean < UNKNOWN_ID) & (columns < lengths[:, None])
        keys = np.where(known, keys, np.uint64(2**64 - 1))
        counts = np.minimum(np.rint(self.mask_ratio * lengths).astype(np.int64), known.sum(axis=1))
        last = np.take_along_axis(np.sort(keys, axis=1), np.maximum(counts - 1, 0)[:, None], axis=1)
        return known & (keys <= last) & (counts > 0)[:, None]


class NucleotideCollator:
    """Pad windows to the longest of a batch and turn them into tensors.

    Takes items with `nucleotide_ids` and, in all or none of them, `labels` of the same shape `(length,)`. Returns
    `int64` tensors of shape `(batch, length)`: `nucleotide_ids` (padding: 8), `attention_mask` (1 for a base, 0 for
    padding) and `labels` (-100 for padding and for unknown bases, which nobody can predict).
    """

    def __call__(self, items: list[dict]) -> dict[str, torch.Tensor]:
        lengths = np.array([len(item["nucleotide_ids"]) for item in items])
        inside = np.arange(lengths.max()) < lengths[:, None]  # [batch, length]
        batch = {
            "nucleotide_ids": self._pad(items, "nucleotide_ids", inside, PAD_NUCLEOTIDE_ID),
            "attention_mask": inside.astype(np.int64),
        }
        if "labels" in items[0]:
            labels = self._pad(items, "labels", inside, IGNORED)
            labels[labels == UNKNOWN_ID] = IGNORED
            batch["labels"] = labels
        return {name: torch.from_numpy(values) for name, values in batch.items()}

    @staticmethod
    def _pad(items: list[dict], key: str, inside: np.ndarray, value: int) -> np.ndarray:
        padded = np.full(inside.shape, value, dtype=np.int64)
        padded[inside] = np.concatenate([np.asarray(item[key]) for item in items])
        return padded


def iter_windows(genome: GenomeBases, length: int, min_length: int = 1) -> Iterator[tuple[str, int, int, np.ndarray]]:
    """Cut every contig into consecutive windows that do not overlap.

    The last window of a contig is as long as what is left, if that is at least `min_length`. A window of which more
    than half is unknown (an assembly gap, a centromere) is left out.

    Args:
        length: bases a window.
        min_length: bases of the shortest window kept.

    Yields:
        Contig name, start, end (0-based, half-open, in the contig) and nucleotide ids 0-4, a view of shape `(end -
        start,)`.

    Raises:
        ValueError: lengths that are not `1 <= min_length <= length`.
    """
    if not 1 <= min_length <= length:
        raise ValueError(
            f"Windows of {length} bases with at least {min_length} make no sense: 1 <= min_length <= length."
        )
    for index, name in enumerate(genome.names):
        contig = genome.contig(index)
        # one look at the contig spares a look at each of its windows
        has_unknown = bool((contig == UNKNOWN_ID).any())
        for start in range(0, contig.size, length):
            ids = contig[start : start + length]
            if ids.size < min_length:
                continue
            if has_unknown and 2 * np.count_nonzero(ids == UNKNOWN_ID) > ids.size:
                continue
            yield name, start, start + ids.size, ids


def check_windows(
    genome: GenomeBases, length: int, min_length: int, what: str, remedy: str, error: type[ValueError] = ValueError
):
    """Make sure that there is something to read in a genome: at least one window, as `iter_windows` gives them.

    Args:
        what: names the genome in the message: `"train"`.
        remedy: the message's last sentence.
        error: raised where there is none.
    """
    if next(iter_windows(genome, length, min_length), None) is None:
        contigs = f"{len(genome)} contigs have" if len(genome) != 1 else "one contig has"
        files = [entry["file"] for entry in genome.inputs]
        files = [*files[:3], f"{len(files) - 3} more"] if len(files) > 4 else files
        source = f" of {', '.join(files)}" if files else ""
        raise error(
            f"No {what} contig{source} has a window of {min_length} bases, half of them known (A, C, G or T): the "
            f"{contigs} {genome.total_bases} bases. {remedy}"
        )
