"""What a code, by itself, tells about the bases around it."""

import numpy as np

from .rows import Encoded


_BASES = 4
_REACH = 8  # bases on either side that are asked about


def word_information(encoded: Encoded, sizes: list[int], reach: int = _REACH) -> dict:
    """Mutual information of a code and each base near it, in bits: 2 where the base is certain.

    Estimated from counts, less what as many independent pairs would seem to share (Miller and Madow); never negative.

    Args:
        encoded: codes of known sequences; pairs with an unknown base, or across two rows, do not count.
        sizes: codes of each level.
        reach: largest distance, in bases.

    Returns:
        `offsets`, from -reach to reach; for each level, and for all levels `together`, `entropy` (bits a code) and
        `bits`, shape `(offsets,)`.
    """
    together = np.zeros(len(encoded.codes), dtype=np.int64)
    for level, size in enumerate(sizes):
        together = together * size + encoded.codes[:, level]
    codes = [*encoded.codes.T, together]
    found = [_about(code, encoded, reach) for code in codes]
    return {"offsets": list(range(-reach, reach + 1)), "levels": found[:-1], "together": found[-1]}


def _about(codes: np.ndarray, encoded: Encoded, reach: int) -> dict:
    used, codes = np.unique(codes[encoded.known], return_inverse=True)
    compact = np.zeros(len(encoded.known), dtype=np.int64)
    compact[encoded.known] = codes
    rows, bits = encoded.rows, []
    for offset in range(-reach, reach + 1):
        here = slice(max(0, -offset), len(rows) - max(0, offset))
        there = slice(max(0, offset), len(rows) - max(0, -offset))
        pairs = (rows[here] == rows[there]) & encoded.known[here] & encoded.known[there]
        table = np.bincount(
            compact[here][pairs] * _BASES + encoded.bases[there][pairs], minlength=_BASES * len(used)
        ).reshape(-1, _BASES)
        bits.append(_mutual_information(table))
    return {"entropy": _entropy(np.bincount(codes)), "bits": bits}


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(share * np.log2(share)).sum())


def _mutual_information(table: np.ndarray) -> float:
    """Of a contingency table of shape `(codes, bases)`, in bits."""
    by_code, by_base = table.sum(axis=1), table.sum(axis=0)
    measured = _entropy(by_code) + _entropy(by_base) - _entropy(table.ravel())
    cells, codes, bases = (np.count_nonzero(counts) for counts in (table, by_code, by_base))
    chance = (cells - codes - bases + 1) / (2 * np.log(2) * max(table.sum(), 1))
    return round(max(0.0, measured - max(0.0, chance)), 6)
