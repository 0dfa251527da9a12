"""Scores on resampled rows: how much a score depends on which rows a test set happens to hold."""

import numpy as np

from ..arguments.training import SINGLE_LABEL
from .classification import compute_scores


def bootstrap_scores(
    predictions: np.ndarray,
    references: np.ndarray,
    metric: str,
    problem_type: str = SINGLE_LABEL,
    replicates: int = 200,
    seed: int | list[int] = 0,
) -> np.ndarray:
    """A score on rows drawn with replacement, again and again.

    The same seed and number of rows draw the same rows, so that the replicates of two models are paired.

    Args:
        predictions, references, metric, problem_type: as `compute_scores` takes them.

    Returns:
        `np.ndarray` of shape `(replicates,)`; a replicate with one class only has an MCC of 0.

    Raises:
        ValueError: as `compute_scores`.
    """
    compute_scores(predictions, references, metric, problem_type)  # which checks the arguments
    random = np.random.default_rng(seed)
    rows, found = len(references), np.zeros(replicates)
    if problem_type == SINGLE_LABEL:
        # subtle: a table of counts says all, and counting is a hundred times as fast as scoring row by row
        classes, numbers = np.unique(np.concatenate([references, predictions]), return_inverse=True)
        size, pairs = len(classes), numbers[:rows] * len(classes) + numbers[rows:]
        for number in range(replicates):
            drawn = random.integers(rows, size=rows)
            counts = np.bincount(pairs[drawn], minlength=size * size).reshape(size, size)
            found[number] = _FROM_COUNTS[metric](counts.astype(np.float64))
        return found
    for number in range(replicates):
        drawn = random.integers(rows, size=rows)
        found[number] = compute_scores(predictions[drawn], references[drawn], metric, problem_type)[metric]
    return found


def _mcc(counts: np.ndarray) -> float:
    """The correlation of both sides' class indicators (Gorodkin 2004); counts of shape `(references, predictions)`."""
    true, predicted, total = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    spread = (total**2 - predicted @ predicted) * (total**2 - true @ true)
    return float((np.trace(counts) * total - true @ predicted) / np.sqrt(spread)) if spread > 0 else 0.0


def _f1(counts: np.ndarray) -> float:
    """Mean F1 of the classes that occur on either side."""
    both = counts.sum(axis=0) + counts.sum(axis=1)
    return float((2 * np.diag(counts)[both > 0] / both[both > 0]).mean())


def _accuracy(counts: np.ndarray) -> float:
    return float(np.trace(counts) / counts.sum())


_FROM_COUNTS = {"mcc": _mcc, "f1": _f1, "accuracy": _accuracy}
