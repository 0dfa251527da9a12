"""Scores of one cell: official, on the clean test rows, and on resampled test rows."""

import zlib

import numpy as np

from ...metrics import bootstrap_scores, compute_scores
from ...tasks.rows import MULTI_LABEL, REGRESSION
from .tasks import TaskData


REPLICATES = 200


def predictions_of(logits: np.ndarray, problem_type: str) -> np.ndarray:
    """Classes, labels or values of logits of shape `(rows, labels)`.

    Raises:
        ValueError: logits that are not finite.
    """
    if not np.isfinite(logits).all():
        row = int(np.argwhere(~np.isfinite(logits))[0, 0])
        raise ValueError(f"The logits of row {row} (0-based) are {logits[row]}: the model has diverged.")
    if problem_type == REGRESSION:
        return logits.reshape(len(logits))
    return logits > 0 if problem_type == MULTI_LABEL else logits.argmax(axis=-1)


def score_test(task: TaskData, predictions: np.ndarray) -> dict:
    """The parts of a cell that come from the predictions on test: `test`, `test_clean`, `clean_rows`, `bootstrap`.

    The replicates of the bootstrap take the same rows for every model and seed, so that those of two cells of a task
    are paired.
    """
    labels, metric = task.test.labels, task.metric
    scores = rounded(compute_scores(predictions, labels, problem_type=task.problem_type))
    clean, rows = None, None
    if task.clean is not None:
        rows = int(task.clean.sum())
        if rows:
            clean = rounded(
                compute_scores(predictions[task.clean], labels[task.clean], problem_type=task.problem_type)
            )
    seed = zlib.crc32(f"{task.name} bootstrap".encode())
    replicates = bootstrap_scores(predictions, labels, metric, task.problem_type, REPLICATES, seed)
    return {
        "test": scores,
        "test_clean": clean,
        "clean_rows": rows,
        "bootstrap": [round(float(score), 5) for score in replicates],
    }


def rounded(scores: dict[str, float]) -> dict[str, float]:
    """Scores with as many digits as are worth keeping."""
    return {name: round(float(value), 6) for name, value in scores.items()}
