"""The cheapest control: a linear model on the k-mers of a sequence. It knows which words occur and not where.

Notation used for shapes: r: sequences (rows), f: k-mers of all lengths (features), o: outputs.
"""

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from ..arguments.training import REGRESSION, SINGLE_LABEL
from ..metrics import compute_scores
from ..modeling.nucleotides_vqdna import UNKNOWN_ID, bases_to_ids


Strands = Literal["one", "both"]
STRANDS = get_args(Strands)
MAX_K = 10  # a million features; longer k-mers hardly ever occur twice

# How counts become features, and the inverse regularizations tried on dev for each. tf-idf is the better one on the
# short sequences of most tasks; in long ones nearly every k-mer occurs, so that only deviations from the mean tell.
_STRENGTHS = {"tf-idf": (0.3, 1.0, 3.0, 10.0), "standardized": (1e-5, 1e-4, 3e-4, 1e-3, 3e-3)}
_ITERATIONS = 300
# bases handled at a time
_CHUNK = 1 << 22


class KmerRegression:
    """Counts of k-mers -> tf-idf or standardized frequencies -> logits, or a value.

    Args:
        scaling: the transformer of scikit-learn that makes features of counts; see `scaling_of`.
        linear: its linear model, with `coef_` of shape `(o, f)`. Two classes have one output, whose sign decides.
        settings: `kmers`, `strands`, `weighting`, `strength`, `problem_type`, and `dev_score`, by which weighting and
            strength were chosen.
    """

    def __init__(self, scaling, linear: LogisticRegression | Ridge, settings: dict):
        self.scaling, self.linear, self.settings = scaling, linear, settings

    @classmethod
    def fit(
        cls,
        train_sequences: Sequence[str],
        train_labels: Sequence[float] | np.ndarray,
        dev_sequences: Sequence[str],
        dev_labels: Sequence[float] | np.ndarray,
        problem_type: str,
        metric: str,
        seed: int = 0,
        kmers: Sequence[int] = (4, 5, 6),
        strands: str = "one",
    ) -> "KmerRegression":
        """Fit on train: logistic regression for classes, ridge regression for values.

        The weighting of the k-mers and the strength of the regularization are those with the best `metric` on dev.

        Args:
            train_sequences, dev_sequences: DNA strings, of any length. A k-mer with an unknown base is left out.
            train_labels, dev_labels: classes 0 to n-1, or values; shape `(rows,)`.
            problem_type: `single_label_classification` or `regression`.
            metric: one of the scores of `compute_scores`.
            seed: handed to the solvers. Those used draw no random numbers: every seed gives the same model.
            kmers: lengths in bases, 1 to 10.
            strands: `"both"` counts a k-mer and its reverse complement as one, so that a sequence and its other
                strand get the same prediction.

        Raises:
            ValueError: no sequences, sequences and labels of different numbers, labels that are not of the problem's
                kind, a class without train rows, no k-mer in all of train, a character that is no nucleotide, or an
                unknown setting.
        """
        kmers = check_settings(kmers, strands, problem_type)
        train_labels = _check_labels(train_sequences, train_labels, "train", problem_type, metric)
        dev_labels = _check_labels(dev_sequences, dev_labels, "dev", problem_type, metric)
        if problem_type == SINGLE_LABEL:
            _check_classes(train_labels, dev_labels)
        train, dev = count_kmers(train_sequences, kmers, strands), count_kmers(dev_sequences, kmers, strands)
        if not train.nnz:
            raise ValueError(
                f"No train sequence has a k-mer of {', '.join(map(str, kmers))} known bases: there is nothing to "
                "learn from. Use shorter k-mers."
            )
        settings = {"kmers": kmers, "strands": strands, "problem_type": problem_type}
        best = None
        for weighting, strengths in _STRENGTHS.items():
            scaling = scaling_of(weighting).fit(train)
            train_features, dev_features = scaling.transform(train), scaling.transform(dev)
            for strength, linear in _solutions(train_features, train_labels, strengths, problem_type, seed):
                predictions = linear.predict(dev_features)
                score = compute_scores(predictions, dev_labels, metric, problem_type)[metric]
                if best is None or score > best.settings["dev_score"]:
                    chosen = {"weighting": weighting, "strength": strength, "dev_score": score}
                    best = cls(scaling, copy.deepcopy(linear), {**settings, **chosen})
        return best

    @property
    def parameters(self) -> int:
        """Fitted numbers: weights and biases."""
        return self.linear.coef_.size + np.size(self.linear.intercept_)

    def logits(self, sequences: Sequence[str]) -> np.ndarray:
        """Scores of sequences: one per class, `(rows, classes)`, or the value, `(rows, 1)`.

        Raises:
            ValueError: no sequences, or a character that is no nucleotide.
        """
        if self.settings["problem_type"] == REGRESSION:
            return self.predict(sequences)[:, None]
        scores = self.linear.decision_function(self._features(sequences))
        return scores if scores.ndim == 2 else np.stack([np.zeros_like(scores), scores], axis=1)

    def predict(self, sequences: Sequence[str]) -> np.ndarray:
        """Classes (`int64`) or values (`float64`) of sequences, of shape `(rows,)`.

        Raises:
            ValueError: as `logits`.
        """
        return self.linear.predict(self._features(sequences))

    def _features(self, sequences: Sequence[str]) -> sp.csr_array:
        return self.scaling.transform(count_kmers(sequences, self.settings["kmers"], self.settings["strands"]))


# counts


def count_kmers(sequences: Sequence[str], kmers: Sequence[int], strands: str = "one") -> sp.csr_array:
    """How often each k-mer occurs in each sequence.

    Returns:
        `(r, f)`: length after length of `kmers`, in alphabetical order within each. With `strands="both"` a k-mer and
        its reverse complement share a column, at the place of the first of the two.

    Raises:
        ValueError: no sequences, something else than a string, or a character that is no nucleotide; names the
            sequence (0-based) and the position in it.
    """
    if isinstance(sequences, (str, bytes)):
        raise ValueError(f"A list of sequences is needed, not the single string {sequences[:20]!r}: put it in a list.")
    if not len(sequences):
        raise ValueError("There are no sequences to count k-mers of.")
    columns = [_columns(k, strands) for k in kmers]
    parts = [_count(ids, rows, count, kmers, columns) for ids, rows, count in _chunks(sequences)]
    return sp.vstack(parts, format="csr")


def _columns(k: int, strands: str) -> np.ndarray:
    """The column of each k-mer among those of its length, of shape `(4^k,)`."""
    numbers = np.arange(4**k, dtype=np.int32)
    if strands == "one":
        return numbers
    rest, other = numbers.copy(), np.zeros_like(numbers)
    for _ in range(k):
        other, rest = other * 4 + (3 - rest % 4), rest // 4
    return np.unique(np.minimum(numbers, other), return_inverse=True)[1].astype(np.int32)


def _chunks(sequences: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Nucleotide ids of several sequences, an unknown base behind each; the row of each id; and the number of rows."""
    parts, bases = [], 0
    for row, sequence in enumerate(sequences):
        if not isinstance(sequence, str):
            raise ValueError(f"Sequence {row} (0-based) is {sequence!r}, but a DNA string is needed.")
        parts.append(np.append(bases_to_ids(sequence, where=f"sequence {row} (0-based)"), UNKNOWN_ID))
        bases += len(sequence)
        if bases >= _CHUNK or row == len(sequences) - 1:
            rows = np.repeat(np.arange(len(parts), dtype=np.int32), [part.size for part in parts])
            yield np.concatenate(parts), rows, len(parts)
            parts, bases = [], 0


def _count(
    ids: np.ndarray, rows: np.ndarray, count: int, kmers: Sequence[int], columns: list[np.ndarray]
) -> sp.csr_array:
    places, start = [], 0
    for k, column in zip(kmers, columns):
        starts = max(ids.size - k + 1, 0)
        numbers, known = np.zeros(starts, dtype=np.int32), np.ones(starts, dtype=bool)
        for offset in range(k):
            bases = ids[offset : offset + starts]
            numbers = numbers * 4 + (bases & 3)
            known &= bases != UNKNOWN_ID
        places.append((rows[:starts][known], start + column[numbers[known]]))
        start += int(column.max()) + 1
    at = tuple(np.concatenate(parts) for parts in zip(*places))
    counts = sp.coo_array((np.ones(at[0].size), at), shape=(count, start)).tocsr()  # which adds up what is there twice
    counts.sort_indices()
    return counts


# the linear model


def scaling_of(weighting: str):
    """What makes features of counts, both of shape `(r, f)`: a transformer of scikit-learn, to be fitted on train.

    A second occurrence tells less than the first, so that both weightings grow more slowly than counts do. The rows of
    "tf-idf" have unit length, the columns of "standardized" unit variance.
    """
    if weighting == "tf-idf":
        return TfidfTransformer(sublinear_tf=True)
    # frequencies, so that length does not matter; of their square roots, as rare and common k-mers then spread alike
    roots = FunctionTransformer(np.sqrt, accept_sparse=True)
    return make_pipeline(Normalizer("l1"), roots, StandardScaler(with_mean=False))


def _solutions(
    features: sp.csr_array, labels: np.ndarray, strengths: tuple[float, ...], problem_type: str, seed: int
) -> Iterator[tuple[float, LogisticRegression | Ridge]]:
    """Each strength with the model fitted with it, which is fitted again for the next."""
    if problem_type == REGRESSION:
        linear = Ridge(random_state=seed)
    else:
        # from each strength on to the next; the tolerance ends what dev would not notice
        linear = LogisticRegression(max_iter=_ITERATIONS, tol=1e-3, warm_start=True, random_state=seed)
    for strength in strengths:
        linear.set_params(**{"alpha": 1 / strength} if problem_type == REGRESSION else {"C": strength})
        with warnings.catch_warnings():
            # stopping early is one more regularization, and dev judges the result
            warnings.simplefilter("ignore", ConvergenceWarning)
            yield strength, linear.fit(features, labels)


# checks


def check_settings(kmers: Sequence[int], strands: str, problem_type: str) -> tuple[int, ...]:
    """The lengths as a tuple; a `ValueError` for what `KmerRegression.fit` does not take."""
    if problem_type not in (SINGLE_LABEL, REGRESSION):
        raise ValueError(f"problem_type is {problem_type!r}, but it must be {SINGLE_LABEL} or {REGRESSION}.")
    if strands not in STRANDS:
        raise ValueError(f"strands is {strands!r}, but it must be one of {', '.join(STRANDS)}.")
    kmers = tuple(kmers)
    if not kmers or len(set(kmers)) != len(kmers) or not all(k in range(1, MAX_K + 1) for k in kmers):
        raise ValueError(f"kmers is {kmers}, but it must hold different lengths from 1 to {MAX_K} bases.")
    return kmers


def _check_labels(sequences: Sequence[str], labels, split: str, problem_type: str, metric: str) -> np.ndarray:
    labels = np.asarray(labels)
    if not len(sequences):
        raise ValueError(f"There are no {split} sequences.")
    if labels.shape != (len(sequences),):
        raise ValueError(
            f"{split} has {len(sequences)} sequences, but its labels have the shape {labels.shape}: one number per "
            "sequence is needed."
        )
    if labels.dtype.kind not in "biuf":
        raise ValueError(
            f"The {split} labels start with {labels.tolist()[0]!r}, but they must be numbers, not {labels.dtype}."
        )
    try:
        compute_scores(labels, labels, metric, problem_type)
    except ValueError as error:
        raise ValueError(f"The {split} labels cannot be scored: {error}") from error
    return labels.astype(np.float64 if problem_type == REGRESSION else np.int64)


def _check_classes(train_labels: np.ndarray, dev_labels: np.ndarray):
    classes = np.unique(train_labels)
    if len(classes) < 2 or not np.array_equal(classes, np.arange(len(classes))):
        raise ValueError(
            f"The train labels are {classes[:20].tolist()}, but they must be all the classes from 0 on, at least two, "
            "each with a train sequence."
        )
    foreign = np.flatnonzero((dev_labels < 0) | (dev_labels >= len(classes)))
    if foreign.size:
        raise ValueError(
            f"The dev label in row {foreign[0]} (0-based) is {dev_labels[foreign[0]]}, but train has the classes 0 to "
            f"{len(classes) - 1}."
        )
