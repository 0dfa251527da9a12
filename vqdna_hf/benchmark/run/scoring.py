"""Scores of one cell: official, on the clean test rows, and on resampled test rows."""

import zlib

import numpy as np

from ...metrics import bootstrap_scores, rounded_scores
from .tasks import TaskData


REPLICATES = 200


def score_test(task: TaskData, predictions: np.ndarray) -> dict:
    """The parts of a cell that come from the predictions on test: `test`, `test_clean`, `clean_rows`, `bootstrap`.

    The replicates of the bootstrap take the same rows for every model and seed, so that those of two cells of a task
    are paired.
    """
    labels, rows = task.test.labels, None if task.clean is None else int(task.clean.sum())
    seed = zlib.crc32(f"{task.name} bootstrap".encode())
    replicates = bootstrap_scores(predictions, labels, task.metric, task.problem_type, REPLICATES, seed)
    return {
        "test": rounded_scores(predictions, labels, task.problem_type),
        "test_clean": rounded_scores(predictions[task.clean], labels[task.clean], task.problem_type) if rows else None,
        "clean_rows": rows,
        "bootstrap": [round(float(score), 5) for score in replicates],
    }
