"""Which class a code is relevant to, by Grad-CAM of a linear classifier (Section 4.4; Selvaraju et al. 2017).

The paper says no more than "the most relevant class with Grad-CAM of the linear classifier learned upon HRQ-tokenized
sequences"; this is how it is read here.

The classifier is the linear probe: logits y_c = w_c . (mean over the positions i of v_i) + b_c, where v_i is the code
vector of position i, all levels combined. Grad-CAM's weight of channel d for class c is the gradient of y_c with
respect to v_id, averaged over the L positions of a sequence: w_cd / L. The map of class c at position i is

    ReLU( sum over d of (w_cd - mean over classes of w_d) / L * (v_id - mu_d) )

and a code's relevance to c is the mean of that map over all positions where the code stands, at its level. Its label
is the class with the largest relevance.

Two things are centred, because neither says anything about classes and both would decide labels:

* **The weights, over classes.** A softmax does not change if one vector is added to the weights of every class, but
  the map would. With two classes this makes the one's map the mirror of the other's.
* **The vectors, over positions.** No ReLU comes before the pooling, so that the origin of code vectors is arbitrary:
  moving it is undone by the biases b_c, and classifies every sequence as before. Measured from that origin, w_c . mu
  would be part of every position's map, and one class could own every code. mu is the mean that the classifier
  standardizes by.

**What the labels cannot show.** The map is a linear function of the code vector up to the ReLU. Codes that are near
each other therefore get the same label whatever the classes are, and a map of the codebook coloured by label falls
into coloured regions even if classes are dealt out at random. `labels` measures what is left to believe.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array, diags
from sklearn.preprocessing import StandardScaler

from ...arguments.training import SINGLE_LABEL
from ...baselines.linear_probe import STRENGTHS, fit_linear
from ...metrics import compute_scores
from ...modeling.modeling_vqdna_codec import VQDNACodecModel
from .rows import Encoded


# shares of many codes or k-mers want more regularization
_OF_SHARES = STRENGTHS[:4]


@dataclass
class CodeTable:
    """Rows as counts of the different combinations of level codes; a combination is all that the classifier sees.

    Attributes:
        codes: the combinations that occur, `int64`, shape `(combinations, levels)`.
        vectors: their code vectors, levels combined, `float64`, shape `(combinations, dim)`.
        counts: known bases of each row with each combination, sparse, shape `(rows, combinations)`.
    """

    codes: np.ndarray
    vectors: np.ndarray
    counts: csr_array

    @property
    def shares(self) -> csr_array:
        """`counts` over the row's length: what mean pooling makes of them."""
        lengths = np.asarray(self.counts.sum(axis=1)).reshape(-1)
        return csr_array(diags(1 / np.maximum(lengths, 1)) @ self.counts)

    @property
    def features(self) -> np.ndarray:
        """Mean-pooled code vectors, shape `(rows, dim)`."""
        return np.asarray(self.shares @ self.vectors)

    def code_shares(self, sizes: list[int]) -> np.ndarray:
        """Share of a row's bases that have each code, levels one after the other: shape `(rows, sum of sizes)`."""
        columns = [
            csr_array((np.ones(len(self.codes)), (np.arange(len(self.codes)), level)), shape=(len(self.codes), size))
            for level, size in zip(self.codes.T, sizes)
        ]
        return np.concatenate([(self.shares @ column).toarray() for column in columns], axis=1)


def code_tables(codec: VQDNACodecModel, splits: dict[str, Encoded]) -> dict[str, CodeTable]:
    """The tables of several splits, over the same combinations."""
    every = np.concatenate([part.codes for part in splits.values()])
    codes, which = np.unique(every, axis=0, return_inverse=True)
    which = which.reshape(-1)
    vectors = codec.quantizer.lookup(torch.from_numpy(codes).to(codec.device)).double().cpu().numpy()
    tables, first = {}, 0
    for split, part in splits.items():
        columns = which[first : first + len(part.codes)][part.known]
        first += len(part.codes)
        rows = part.rows[part.known]
        shape = (len(part.starts) - 1, len(codes))
        tables[split] = CodeTable(codes, vectors, csr_array((np.ones(len(rows)), (rows, columns)), shape=shape))
    return tables


@dataclass
class Probe:
    """A fitted classifier: `weight` of shape `(classes, dim)`, `bias` `(classes,)`, and the `mean` of its features."""

    weight: np.ndarray
    bias: np.ndarray
    mean: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray, strength: float) -> "Probe":
        """Multinomial logistic regression on standardized features; every class must be among the labels."""
        scaler = StandardScaler().fit(features)
        weight, bias = fit_linear(scaler, features, labels, SINGLE_LABEL, strength)
        return cls(weight.astype(np.float64), bias.astype(np.float64), scaler.mean_)

    def score(self, features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        return compute_scores((features @ self.weight.T + self.bias).argmax(axis=1), labels)

    def activations(self, vectors: np.ndarray) -> np.ndarray:
        """The map of each class where a code vector stands, before the division by L: shape `(vectors, classes)`."""
        return np.maximum((vectors - self.mean) @ (self.weight - self.weight.mean(axis=0)).T, 0)


def choose_probe(
    train: np.ndarray, dev: np.ndarray, labels: dict[str, np.ndarray], metric: str, strengths=STRENGTHS
) -> tuple[Probe, float]:
    """The classifier of features whose regularization is best on dev, and its strength (C of scikit-learn)."""
    probes = {strength: Probe.fit(train, labels["train"], strength) for strength in strengths}
    scores = {strength: probe.score(dev, labels["dev"])[metric] for strength, probe in probes.items()}
    best = max(scores, key=scores.get)
    return probes[best], best


def code_share_score(
    tables: dict[str, CodeTable], labels: dict[str, np.ndarray], sizes: list[int], metric: str
) -> float:
    """The score on test of the same classifier on the shares of the codes of each level.

    More than mean code vectors can say: those have fewer dimensions than there are codes.
    """
    return _share_score({split: table.code_shares(sizes) for split, table in tables.items()}, labels, metric)


def kmer_score(
    sequences: dict[str, list[np.ndarray]], labels: dict[str, np.ndarray], metric: str, k: int = 3
) -> float:
    """The score on test of the same classifier on the shares of overlapping k-mers instead of mean code vectors.

    Args:
        sequences, labels: nucleotide ids and classes of `train`, `dev` and `test`; k-mers with an unknown base are
            left out.
    """
    shares = {split: np.stack([_kmer_shares(row, k) for row in part]) for split, part in sequences.items()}
    return _share_score(shares, labels, metric)


def _share_score(shares: dict[str, np.ndarray], labels: dict[str, np.ndarray], metric: str) -> float:
    probe, _ = choose_probe(shares["train"], shares["dev"], labels, metric, _OF_SHARES)
    return probe.score(shares["test"], labels["test"])[metric]


def _kmer_shares(row: np.ndarray, k: int) -> np.ndarray:
    """Shares of the 4^k k-mers of a sequence, shape `(4**k,)`; zeros for one that is too short."""
    if len(row) < k:
        return np.zeros(4**k)
    windows = np.lib.stride_tricks.sliding_window_view(row.astype(np.int64), k)
    numbers = windows[(windows < 4).all(axis=1)] @ (4 ** np.arange(k))
    return np.bincount(numbers, minlength=4**k) / max(1, len(numbers))


def code_relevance(
    probe: Probe, table: CodeTable, sizes: list[int], rows: np.ndarray | None = None
) -> list[np.ndarray]:
    """The mean of each class's map over the occurrences of each code.

    Args:
        rows: the rows to average over; all when not given.

    Returns:
        For each level an array of shape `(codes, classes)`; nan for codes that do not occur.
    """
    counts, shares = table.counts, table.shares
    if rows is not None:
        counts, shares = counts[rows], shares[rows]
    uses, weights = (np.asarray(matrix.sum(axis=0)).reshape(-1) for matrix in (counts, shares))
    maps = weights[:, None] * probe.activations(table.vectors)
    found = []
    for level, size in enumerate(sizes):
        sums = np.zeros((size, maps.shape[1]))
        np.add.at(sums, table.codes[:, level], maps)
        occurrences = np.bincount(table.codes[:, level], weights=uses, minlength=size)
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(np.where(occurrences[:, None] > 0, sums / occurrences[:, None], np.nan))
    return found


def code_labels(relevance: list[np.ndarray]) -> np.ndarray:
    """The most relevant class of every code, levels one after the other; -1 for codes that do not occur."""
    joined = np.concatenate(relevance)
    known = ~np.isnan(joined).any(axis=1)
    return np.where(known, np.where(known[:, None], joined, 0).argmax(axis=1), -1)
