"""The labels of codes (`relevance`), and what they are worth.

A label that is noise looks like any other. So labels are fitted on two halves of the train rows that share none, and
compared; and everything is done again with the classes of the train rows permuted, where nothing is to be found: what
that finds too is no finding.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors
from tqdm.auto import tqdm

from ...modeling.modeling_vqdna_codec import VQDNACodecModel
from .relevance import CodeTable, Probe, choose_probe, code_labels, code_relevance, code_share_score


# share of the classifiers, fitted on halves of the rows, that must give a code its label for it to be called stable
STABLE = 0.9
_NEIGHBOURS = 10


def halves(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of the rows, each with half the rows of every class."""
    first = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        first[rows[: len(rows) // 2]] = True
    return np.flatnonzero(first), np.flatnonzero(~first)


def half_labels(table: CodeTable, labels: np.ndarray, strength: float, sizes: list[int], rng) -> list[np.ndarray]:
    """The labels of all codes from either half of the rows: each has its own classifier and its own occurrences."""
    features, found = table.features, []
    for rows in halves(labels, rng):
        probe = Probe.fit(features[rows], labels[rows], strength)
        found.append(code_labels(code_relevance(probe, table, sizes, rows)))
    return found


def agreement(pairs: list[list[np.ndarray]]) -> dict[str, float]:
    """How often two halves give a code the same label.

    Returns:
        `same`, the share of the codes that both label; `by_chance`, what labels dealt out with the same frequencies
        would give; `kappa`, (same - by_chance) / (1 - by_chance): 1 for equal labels, 0 for chance.
    """
    same, chance = [], []
    for one, other in pairs:
        both = (one >= 0) & (other >= 0)
        count = max(one.max(), other.max()) + 1
        shares = [np.bincount(part[both], minlength=count) / both.sum() for part in (one, other)]
        same.append(float((one[both] == other[both]).mean()))
        chance.append(float(shares[0] @ shares[1]))
    same, chance = float(np.mean(same)), float(np.mean(chance))
    return {"same": same, "by_chance": chance, "kappa": (same - chance) / (1 - chance) if chance < 1 else 0.0}


def label_support(labels: np.ndarray, pairs: list[list[np.ndarray]]) -> np.ndarray:
    """For each code, the share of the classifiers of halves that give it its label; 0 for codes without one."""
    support = np.mean([half == labels for pair in pairs for half in pair], axis=0)
    return np.where(labels >= 0, support, 0.0)


def neighbour_purity(vectors: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """How often the nearest code vectors have the same label.

    Returns:
        `same`, the mean share of a code's 10 nearest labelled neighbours (all levels, Euclidean) with its label, and
        `by_chance`, that of any two codes.
    """
    kept = labels >= 0
    vectors, labels = vectors[kept], labels[kept]
    count = min(_NEIGHBOURS, len(labels) - 1)
    if count < 1:
        return {"same": 1.0, "by_chance": 1.0}
    near = NearestNeighbors(n_neighbors=count).fit(vectors).kneighbors(return_distance=False)
    sizes = np.bincount(labels)
    pairs = (sizes * (sizes - 1)).sum() / (len(labels) * (len(labels) - 1))
    return {"same": float((labels[near] == labels[:, None]).mean()), "by_chance": float(pairs)}


def enrichment(table: CodeTable, labels: np.ndarray, codes: np.ndarray, sizes: list[int], classes: int) -> list:
    """How much more often codes of a class's label stand in rows of that class than in the others.

    Args:
        labels: classes of the table's rows.
        codes: labels of the codes, levels one after the other.

    Returns:
        For each class the ratio of the two frequencies, all levels together; None where either is not defined or 0.
    """
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    mine = codes[table.codes + offsets]  # [combinations, levels]
    ratios = []
    for label in range(classes):
        share = np.asarray(table.shares @ (mine == label).mean(axis=1))
        inside, outside = share[labels == label], share[labels != label]
        defined = inside.size and outside.size and outside.mean() > 0
        ratios.append(float(inside.mean() / outside.mean()) if defined else None)
    return ratios


@dataclass
class Study:
    """What `study_labels` finds: plain values in `report`, and labels of the codes to draw.

    Attributes:
        labels, support: of all codes, levels one after the other, shape `(codes,)`.
        permuted_labels, permuted_support: what the first permutation of the classes gives.
    """

    report: dict
    labels: np.ndarray
    support: np.ndarray
    permuted_labels: np.ndarray
    permuted_support: np.ndarray


@dataclass
class _Control:
    """One permutation of the classes: the classifier, its labels, those of halves, and their support."""

    probe: Probe
    labels: np.ndarray
    pairs: list[list[np.ndarray]]
    support: np.ndarray

    @classmethod
    def fit(
        cls, train: CodeTable, permuted: np.ndarray, strength: float, sizes: list[int], pairs: list[list[np.ndarray]]
    ) -> "_Control":
        probe = Probe.fit(train.features, permuted, strength)
        labels = code_labels(code_relevance(probe, train, sizes))
        return cls(probe, labels, pairs, label_support(labels, pairs))


def study_labels(
    codec: VQDNACodecModel,
    tables: dict[str, CodeTable],
    labels: dict[str, np.ndarray],
    classes: tuple[str, ...],
    metric: str,
    repeats: int,
    seed: int,
) -> Study:
    """Label every code from the train rows, and find out what the labels are worth.

    Args:
        tables, labels: of `train`, `dev` and `test`.
        repeats: times that the rows are halved, and that the classes are permuted; each permutation is halved as
            often.
    """
    rng, sizes = np.random.default_rng(seed), list(codec.config.codebook_sizes)
    vectors = np.concatenate([book.embedding.detach().cpu().numpy() for book in codec.quantizer.codebooks])
    train, test = tables["train"], tables["test"]
    probe, strength = choose_probe(train.features, tables["dev"].features, labels, metric)
    relevance = code_relevance(probe, train, sizes)
    found = code_labels(relevance)
    permutations = [rng.permutation(labels["train"]) for _ in range(repeats)]
    pairs, controls = [], []
    for permuted in tqdm(permutations, desc="Labels from halves, and from permuted classes"):
        pairs.append(half_labels(train, labels["train"], strength, sizes, rng))
        # halves of one permutation share its accidents: only many permutations show what accidents do
        halves = [half_labels(train, permuted, strength, sizes, rng) for _ in range(repeats)]
        controls.append(_Control.fit(train, permuted, strength, sizes, halves))
    support, control_codes = label_support(found, pairs), [control.labels for control in controls]
    stable = [_stable(control.labels, control.support) for control in controls]
    purities = [neighbour_purity(vectors, one) for one in control_codes]
    ratios = [enrichment(test, labels["test"], one, sizes, len(classes)) for one in control_codes]
    report = {
        "classifier": {
            "strength": strength,
            "metric": metric,
            "dev": probe.score(tables["dev"].features, labels["dev"]),
            "test": probe.score(test.features, labels["test"]),
            "code_shares_test": code_share_score(tables, labels, sizes, metric),
            "permuted_test": [control.probe.score(test.features, labels["test"])[metric] for control in controls],
        },
        "halves": {
            "measured": agreement(pairs) | {"stable": _stable(found, support)},
            "permuted": agreement([pair for control in controls for pair in control.pairs])
            | {"stable": float(np.mean(stable)), "least_stable": min(stable), "most_stable": max(stable)},
        },
        "neighbours": {
            "measured": neighbour_purity(vectors, found),
            "permuted": {key: float(np.mean([one[key] for one in purities])) for key in purities[0]},
        },
        "classes": _by_class(found, support, sizes, classes),
        "levels": _by_level(relevance, found, support, sizes),
    }
    own = enrichment(test, labels["test"], found, sizes, len(classes))
    for label, row in enumerate(report["classes"]):
        by_chance = [one[label] for one in ratios if one[label] is not None]
        row["enrichment"] = own[label]
        row["permuted_enrichment"] = float(np.mean(by_chance)) if by_chance else None
    return Study(report, found, support, controls[0].labels, controls[0].support)


def _stable(labels: np.ndarray, support: np.ndarray) -> float:
    """The share of the labelled codes whose label is stable."""
    kept = labels >= 0
    return float((support[kept] >= STABLE).mean()) if kept.any() else 0.0


def _by_class(labels: np.ndarray, support: np.ndarray, sizes: list[int], classes: tuple[str, ...]) -> list[dict]:
    edges = np.concatenate([[0], np.cumsum(sizes)])
    rows = []
    for label, name in enumerate(classes):
        mine = labels == label
        stable = mine & (support >= STABLE)
        counts = {
            key: [int(part[a:b].sum()) for a, b in zip(edges, edges[1:])]
            for key, part in (("codes", mine), ("stable_codes", stable))
        }
        rows.append({"class": name, **counts})
    return rows


def _by_level(relevance: list[np.ndarray], labels: np.ndarray, support: np.ndarray, sizes: list[int]) -> list[dict]:
    levels, first = [], 0
    for table, size in zip(relevance, sizes):
        mine, certain = labels[first : first + size], support[first : first + size]
        first += size
        values = [None if np.isnan(row).any() else [float(f"{value:.6g}") for value in row] for row in table]
        levels.append(
            {
                "stable": _stable(mine, certain),
                "labels": mine.tolist(),
                "support": np.round(certain, 4).tolist(),
                "relevance": values,
            }
        )
    return levels
