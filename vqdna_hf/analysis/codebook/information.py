"""What a code, by itself, tells about the bases around it."""

import numpy as np
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from ...modeling.tokenization_vqdna import CodeVocabulary
from .rows import Encoded
from .statistics import shifted


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
    known, rows = np.flatnonzero(encoded.known), encoded.rows
    # numbers from 0 on, so that tables have no row for the many ids that do not occur
    codes = [*encoded.codes.T, CodeVocabulary(sizes).ids(encoded.codes)]
    codes = [np.unique(one, return_inverse=True)[1] for one in codes]
    offsets = list(range(-reach, reach + 1))
    found = [{"entropy": float(entropy(np.bincount(one[known]), base=2)), "bits": []} for one in codes]
    for offset in offsets:
        here, there = shifted(known, offset, rows, encoded.known)
        for one, entry in zip(codes, found):
            table = np.bincount(one[here] * _BASES + encoded.bases[there], minlength=_BASES * (one.max() + 1))
            entry["bits"].append(_mutual_information(table.reshape(-1, _BASES)))
    return {"offsets": offsets, "levels": found[:-1], "together": found[-1]}


def _mutual_information(table: np.ndarray) -> float:
    """Of a contingency table of shape `(codes, bases)`, in bits; 0 for an empty one."""
    if not table.any():
        return 0.0
    cells, codes, bases = (np.count_nonzero(counts) for counts in (table, table.sum(axis=1), table.sum(axis=0)))
    chance = max(0, cells - codes - bases + 1) / (2 * table.sum())
    measured = mutual_info_score(None, None, contingency=table)
    return round(max(0.0, measured - chance) / np.log(2), 6)
