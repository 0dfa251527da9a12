"""Which sequences have a k-mer in common with others, on either strand, in memory that does not grow with the others.

A k-mer is a number of 64 bits: its bases, two bits each, if it has up to 32; a hash of them if it has more. Two of
10^8 different k-mers have the same hash with a probability of 0.0003.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ..data.windows import mix_bits
from ..modeling.nucleotides_vqdna import UNKNOWN_ID, bases_to_ids, reverse_complement


# bases handled at a time
_CHUNK = 1 << 22
_WORD = 32


def share_kmers(queries: Sequence[str], references: Sequence[str], k: int) -> np.ndarray:
    """Which of `queries` contain a k-mer of `references`, or its reverse complement.

    A k-mer with an unknown base equals none. A sequence shorter than `k` has no k-mers.

    Returns:
        `np.ndarray` of `bool`, shape `(queries,)`.

    Raises:
        ValueError: `k` is not positive.
    """
    if k < 1:
        raise ValueError(f"A k-mer has at least one base, but k is {k}.")
    shared = np.zeros(len(queries), dtype=bool)
    numbers, rows = zip(*_chunks(queries, k))
    numbers, rows = np.concatenate(numbers), np.concatenate(rows)
    known, inverse = np.unique(numbers, return_inverse=True)
    if not known.size:
        return shared
    found = np.zeros(known.size, dtype=bool)
    for others, _ in _chunks(references, k):
        places = np.searchsorted(known, others).clip(max=known.size - 1)
        found[places[known[places] == others]] = True
    shared[rows[found[inverse]]] = True
    return shared


def _chunks(sequences: Sequence[str], k: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The k-mers of the sequences, and the row of each: pairs of arrays of the same length."""
    start = 0
    while True:
        end, bases = start, 0
        while end < len(sequences) and (end == start or bases + len(sequences[end]) <= _CHUNK):
            bases += len(sequences[end])
            end += 1
        # one unknown base after each sequence: no k-mer spans two
        ids = bases_to_ids("".join(sequence + "N" for sequence in sequences[start:end]))
        rows = np.repeat(np.arange(start, end), [len(sequence) + 1 for sequence in sequences[start:end]])
        numbers, complete = canonical_kmers(ids, k)
        yield numbers[complete], rows[: numbers.size][complete]
        start = end
        if start >= len(sequences):
            return


def canonical_kmers(ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Number the k-mers of nucleotide ids so that a k-mer and its reverse complement have the same number.

    Returns:
        `uint64` of shape `(length - k + 1,)`, and which of them have no unknown base.
    """
    if ids.size < k:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=bool)
    # the k-mer that starts at base i (0-based) starts at base `length - k - i` of the other strand
    numbers = np.minimum(_numbers(ids, k), _numbers(reverse_complement(ids), k)[::-1])
    unknown = np.concatenate([[0], np.cumsum(ids >= UNKNOWN_ID)])
    return numbers, unknown[k:] == unknown[:-k]


def _numbers(ids: np.ndarray, k: int) -> np.ndarray:
    count = ids.size - k + 1
    bases, total = ids.astype(np.uint64) & np.uint64(3), np.zeros(count, dtype=np.uint64)
    for first in range(0, k, _WORD):
        if first:
            total = mix_bits(total)
        word = np.zeros(count, dtype=np.uint64)
        for place in range(first, min(first + _WORD, k)):
            word = (word << np.uint64(2)) | bases[place : place + count]
        total = total ^ word
    return total
