"""Sequence logos of codes: the bases around their occurrences, and how many bits those tell."""

import numpy as np

from .rows import Encoded


_BASES = 4


def base_frequencies(encoded: Encoded) -> np.ndarray:
    """Shares of A, C, G and T among the known bases, shape `(4,)`."""
    counts = np.bincount(encoded.bases[encoded.known], minlength=_BASES)
    return counts / counts.sum()


def code_logos(encoded: Encoded, level: int, counts: list[int], number: int, halo: int) -> list[dict]:
    """The bases around the occurrences of the most used codes of a level.

    Args:
        counts: uses of each code of the level.
        number: codes to show; never-used ones are not.
        halo: bases on either side.

    Returns:
        The most used first: `code`, `uses`, and `counts`, how often A, C, G and T stand at each offset of -halo to
        halo, shape `(2 halo + 1, 4)`. Near the end of a row there are fewer.
    """
    padded, places = _padded(encoded, halo)
    offsets = np.arange(-halo, halo + 1)
    logos = []
    for code in np.argsort(-np.asarray(counts), kind="stable")[:number]:
        found = places[encoded.known & (encoded.codes[:, level] == code)]
        if not found.size:
            break
        table = np.stack([np.bincount(padded[found + offset], minlength=_BASES + 1)[:_BASES] for offset in offsets])
        logos.append({"code": int(code), "uses": int(found.size), "counts": table.tolist()})
    return logos


def _padded(encoded: Encoded, halo: int) -> tuple[np.ndarray, np.ndarray]:
    """All rows with `halo` unknown bases before, between and behind them, and where each position went."""
    places = np.arange(len(encoded.bases)) + halo * (encoded.rows + 1)
    padded = np.full(len(encoded.bases) + halo * len(encoded.starts), _BASES, dtype=np.uint8)
    padded[places] = np.minimum(encoded.bases, _BASES)
    return padded, places


def letter_heights(counts, background: np.ndarray) -> np.ndarray:
    """The letters of a logo, in bits.

    The information of an offset is the relative entropy of its bases to the background, sum of p log2(p / q), less
    the mean that this has by chance, 3 / (2 n ln 2) for n bases (the small-sample correction of Schneider et al.
    1986), and not below 0. Each base gets its share p of it.

    Args:
        counts: shape `(offsets, 4)`.
        background: q, shape `(4,)`.

    Returns:
        Shape `(offsets, 4)`; 0 at offsets without bases.

    Example: 100 times A where all four are as frequent: `[1.978, 0, 0, 0]`
    """
    counts = np.asarray(counts, dtype=np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    background = np.maximum(background, 1e-12)
    ratio = np.log2(np.where(shares > 0, shares, 1) / np.where(shares > 0, background, 1))
    information = (shares * ratio).sum(axis=1, keepdims=True)
    correction = (_BASES - 1) / (2 * np.log(2) * np.maximum(totals, 1))
    return shares * np.maximum(information - correction, 0)
