"""How codes are used, what a changed base does to them, and what the other strand makes of them."""

import numpy as np
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from ...metrics.codebook import codebook_usage, perplexity
from ...modeling.modeling_vqdna_codec import VQDNACodecModel
from .rows import Encoded


# positions beyond the receptive field that are compared as well: none of them may change
_BEYOND = 10
# bases on either side that the strands are shifted against each other by
_SHIFTS = 8
_BASES = 4


def level_radius(codec: VQDNACodecModel, level: int) -> int:
    """Bases on either side of a position that can change its code at a level (0-based).

    `codec.config.halo` for the last level; less for a level that quantizes an earlier layer.
    """
    config = codec.config
    layer = config.quantized_layers[min(level, len(config.quantized_layers) - 1)]
    return config.stem_kernel_size // 2 + layer * (config.kernel_size // 2)


def code_usage(encoded: Encoded, sizes: list[int]) -> list[dict]:
    """How often each code of each level is used at known bases.

    Returns:
        For each level `codes`, `used`, `share_used`, `perplexity`, and `counts`, shape `(codes,)`.
    """
    levels = []
    for level, size in enumerate(sizes):
        counts = np.bincount(encoded.codes[encoded.known, level], minlength=size)
        levels.append(
            {
                "codes": size,
                "used": int(np.count_nonzero(counts)),
                "share_used": codebook_usage(counts),
                "perplexity": perplexity(counts),
                "counts": counts.tolist(),
            }
        )
    return levels


def base_change(codec: VQDNACodecModel, sequences: list[np.ndarray], count: int, rng: np.random.Generator) -> dict:
    """Replace one base by another, and see which codes change.

    Args:
        sequences: nucleotide ids, each of shape `(length,)`.
        count: substitutions, each of a base drawn from all known ones, by one of the three others.

    Returns:
        `substitutions`, `compared_beyond` (codes outside the receptive field that were compared, none of which
        changed), and for each level `radius` (bases), `codes_changed` (mean per substitution), `by_offset` and
        `by_distance`: the share of codes that change at an offset of -radius to radius, or at a distance of 0 to
        radius, from the changed base.

    Raises:
        RuntimeError: a code outside the receptive field changed, which would make every piecewise encoding wrong.
    """
    radii = [level_radius(codec, level) for level in range(codec.config.num_levels)]
    reach = codec.config.halo + _BEYOND
    places = _draw_positions(sequences, count, rng)
    before, after, centres = [], [], []
    for row, position in places:
        left = max(0, position - reach - codec.config.halo)
        window = sequences[row][left : position + reach + codec.config.halo + 1]
        centre = position - left
        changed = window.copy()
        changed[centre] = (window[centre] + rng.integers(1, 4)) % 4
        before.append(window)
        after.append(changed)
        centres.append(centre)
    # subtle: equal lengths make equal batches, so that what does not change is equal to the last bit
    pairs = zip(codec.encode_sequences(before), codec.encode_sequences(after), centres)
    differs = np.zeros((len(radii), 2 * reach + 1), dtype=np.int64)
    compared = np.zeros(2 * reach + 1, dtype=np.int64)
    for one, other, centre in pairs:
        first, last = max(0, centre - reach), min(len(one), centre + reach + 1)
        span = slice(first - centre + reach, last - centre + reach)
        differs[:, span] += (one != other)[first:last].T
        compared[span] += 1
    offsets = np.arange(-reach, reach + 1)
    levels, beyond = [], 0
    for level, radius in enumerate(radii):
        outside = np.abs(offsets) > radius
        beyond += int(compared[outside].sum())
        if differs[level, outside].any():
            offset = int(offsets[outside][differs[level, outside].argmax()])
            raise RuntimeError(
                f"A code of level {level + 1} changed {offset} bases from the only base that was changed, but it sees "
                f"{radius} bases on either side."
            )
        levels.append(_by_offset(differs[level], compared, offsets, radius, len(places)))
    return {"substitutions": len(places), "compared_beyond": beyond, "levels": levels}


def _draw_positions(sequences: list[np.ndarray], count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    known = np.concatenate([row < 4 for row in sequences])
    starts = np.concatenate([[0], np.cumsum([len(row) for row in sequences])])
    flat = rng.choice(np.flatnonzero(known), min(count, int(known.sum())), replace=False)
    rows = np.searchsorted(starts, flat, side="right") - 1
    return list(zip(rows.tolist(), (flat - starts[rows]).tolist()))


def _by_offset(differs: np.ndarray, compared: np.ndarray, offsets: np.ndarray, radius: int, count: int) -> dict:
    inside = np.abs(offsets) <= radius
    distances = np.abs(offsets[inside])
    changed = np.bincount(distances, weights=differs[inside], minlength=radius + 1)
    seen = np.bincount(distances, weights=compared[inside], minlength=radius + 1)
    return {
        "radius": radius,
        "codes_changed": float(differs.sum() / count),
        "by_offset": _share(differs[inside], compared[inside]),
        "by_distance": _share(changed, seen),
    }


def _share(part: np.ndarray, whole: np.ndarray) -> list[float | None]:
    return [float(a / b) if b else None for a, b in zip(part, whole)]


def strand_consistency(
    encoded: Encoded, mirrored: np.ndarray, sizes: list[int], rng: np.random.Generator
) -> list[dict]:
    """How well a code tells the code that the same base has on the other strand.

    A code's partner is the code found most often in its place on the other strand. Partners are learned on one half
    of the rows, drawn at random, and tested on the other half.

    A code need not stand in the middle of the bases it reads: one that reads its own base and the two behind it finds
    the same bases, on the other strand, two positions on. So the shift at which the strands tell most about each other
    is looked for as well, on the first half of the rows.

    Args:
        mirrored: as `encode_other_strand` gives it, shape `(positions, levels)`.

    Returns:
        For each level `measured`, `shuffled` (the other strand's codes in random order), `shuffled_within_base` (the
        same among positions of one base, which leaves what the base alone tells) and `shifted` (with `shift`: code `i`
        is paired with the other strand's code at base `i + shift`), each with `partner` (the share of positions where
        the partner is found) and `nmi` (normalised mutual information, 0 to 1).
    """
    known, count = np.flatnonzero(encoded.known), len(encoded.starts) - 1
    bases, learn = encoded.bases[known], np.zeros(count, dtype=bool)
    learn[rng.permutation(count)[: (count + 1) // 2]] = True
    rows = encoded.rows
    orders = {"measured": known, "shuffled_within_base": known.copy(), "shuffled": rng.permutation(known)}
    for base in range(_BASES):
        places = bases == base
        orders["shuffled_within_base"][places] = rng.permutation(known[places])
    levels = []
    for level, size in enumerate(sizes):
        one, other = encoded.codes[:, level], mirrored[:, level]
        found = {name: _pairing(one[known], other[order], learn[rows[known]], size) for name, order in orders.items()}
        shifts = {}
        for shift in range(-_SHIFTS, _SHIFTS + 1):
            pair = shifted(known, shift, rows, encoded.known)
            seen = pair[:, learn[rows[pair[0]]]]
            shifts[shift] = _mutual_information(_table(one[seen[0]], other[seen[1]], size))
        best = max(shifts, key=lambda shift: (shifts[shift], -abs(shift)))
        here, there = shifted(known, best, rows, encoded.known)
        levels.append(
            found | {"shifted": {"shift": best, **_pairing(one[here], other[there], learn[rows[here]], size)}}
        )
    return levels


def shifted(known: np.ndarray, shift: int, rows: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """Positions and the positions `shift` bases on, of the same row and both known: shape `(2, positions)`."""
    here = known[(known + shift >= 0) & (known + shift < len(rows))]
    here = here[(rows[here + shift] == rows[here]) & is_known[here + shift]]
    return np.stack([here, here + shift])


def _table(one: np.ndarray, other: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(one * size + other, minlength=size * size).reshape(size, size)


def _mutual_information(table: np.ndarray) -> float:
    """Mutual information over the mean of the two entropies, 0 to 1; 1 where neither varies."""
    if not table.sum():
        return 0.0
    mean = (entropy(table.sum(axis=0)) + entropy(table.sum(axis=1))) / 2
    return float(mutual_info_score(None, None, contingency=table) / mean) if mean > 0 else 1.0


def _pairing(one: np.ndarray, other: np.ndarray, learn: np.ndarray, size: int) -> dict[str, float]:
    table = _table(one[learn], other[learn], size)
    # a code that was not met while learning gets the most frequent partner of all
    partners = np.where(table.any(axis=1), table.argmax(axis=1), table.sum(axis=0).argmax())
    test = ~learn if (~learn).any() else learn
    return {
        "partner": float((partners[one[test]] == other[test]).mean()) if test.any() else 0.0,
        "nmi": _mutual_information(_table(one, other, size)),
    }
