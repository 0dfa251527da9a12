"""How well a codebook is used, from the number of times each code was chosen.

Both figures are for one level. A vocabulary with several levels has one pair a level.
"""

import numpy as np


def codebook_usage(counts: np.ndarray) -> float:
    """Share of the codes that were chosen at least once, 0 to 1. `counts`: shape `(codes,)`.

    Example: `[3, 0, 1, 0]` -> `0.5`
    """
    return float(np.count_nonzero(_checked(counts)) / np.size(counts))


def perplexity(counts: np.ndarray) -> float:
    """Exponential of the entropy of the codes, 1 (one code) to `codes` (all equally often). `counts`: shape
    `(codes,)`.

    0.0 where nothing was counted. Example: `[5, 5, 0, 0]` -> `2.0`
    """
    counts = _checked(counts)
    total = counts.sum()
    if not total:
        return 0.0
    shares = counts[counts > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _checked(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, dtype=np.float64)
    if counts.ndim != 1 or not counts.size:
        raise ValueError(f"Counts have the shape {counts.shape}, but one count per code, (codes,), is needed.")
    wrong = np.flatnonzero(~(np.isfinite(counts) & (counts >= 0)))
    if wrong.size:
        raise ValueError(
            f"The count of code {wrong[0]} is {counts[wrong[0]]:g}, but counts cannot be negative or infinite."
        )
    return counts
