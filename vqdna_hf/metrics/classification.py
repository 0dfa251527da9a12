"""Scores of downstream tasks, on scikit-learn and scipy.

Which score a task is judged by: the Matthews correlation coefficient (MCC), as GUE does; macro-F1 for the covid
variants; Spearman correlation for editing efficiency; accuracy for species. MCC, Spearman and Pearson are in [-1, 1],
the others in [0, 1]. Here they are fractions; papers print them times 100.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from ..arguments.training import MULTI_LABEL, REGRESSION, SINGLE_LABEL


def _classification(predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
    labels = zip(np.atleast_2d(references.T), np.atleast_2d(predictions.T))  # one, or each of several
    return {
        "mcc": float(np.mean([matthews_corrcoef(true, predicted) for true, predicted in labels])),
        "f1": float(f1_score(references, predictions, average="macro", zero_division=0)),
        "accuracy": float(accuracy_score(references, predictions)),
    }


def _regression(predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
    # a constant has no rank: scipy gives nan with a warning, and a nan would win or lose every comparison at random
    if np.ptp(predictions) == 0 or np.ptp(references) == 0:
        return {"spearman": 0.0, "pearson": 0.0}
    return {
        "spearman": float(spearmanr(predictions, references).statistic),
        "pearson": float(pearsonr(predictions, references).statistic),
    }


_METRICS = {
    SINGLE_LABEL: ("mcc", "f1", "accuracy"),
    MULTI_LABEL: ("mcc", "f1", "accuracy"),
    REGRESSION: ("spearman", "pearson"),
}


def metric_names(problem_type: str) -> tuple[str, ...]:
    """The scores of a problem type, as `compute_scores` gives them."""
    return _METRICS[problem_type]


def compute_scores(
    predictions: np.ndarray,
    references: np.ndarray,
    metric: str | None = None,
    problem_type: str = SINGLE_LABEL,
) -> dict[str, float]:
    """Score predictions against references.

    Args:
        predictions, references: classes, shape `(rows,)`; zeros and ones, `(rows, labels)`, for multi-label; numbers,
            `(rows,)`, for regression. Logits are the business of `make_compute_metrics`.
        metric: one of the scores below, for that one alone.
        problem_type: one of transformers' problem types.

    Returns:
        Classification: `mcc`, `f1` (macro, over the classes that occur), `accuracy`. Multi-label: the same, with `mcc`
        the mean over labels and `accuracy` the share of rows that are right altogether. Regression: `spearman` and
        `pearson`, both 0.0 where predictions or references are constant.

    Raises:
        ValueError: no rows, shapes that differ, values that are not of the problem's kind, or a metric it does not
            have.
    """
    if problem_type not in _METRICS:
        raise ValueError(f"problem_type is {problem_type!r}, but it must be one of {', '.join(_METRICS)}.")
    if metric is not None and metric not in _METRICS[problem_type]:
        raise ValueError(f"{problem_type} has no metric {metric!r}; it has {', '.join(_METRICS[problem_type])}.")
    predictions, references = np.asarray(predictions), np.asarray(references)
    if predictions.shape != references.shape:
        raise ValueError(
            f"Predictions have the shape {predictions.shape} and references {references.shape}, but they must be "
            "equal."
        )
    if not references.size:
        raise ValueError("There are no predictions to score.")
    dimensions = 2 if problem_type == MULTI_LABEL else 1
    if references.ndim != dimensions:
        raise ValueError(
            f"{problem_type} needs arrays of {dimensions} dimension(s), but the shape is {references.shape}."
        )
    for values, what in [(predictions, "prediction"), (references, "reference")]:
        _check_values(values, what, problem_type)
    if problem_type != REGRESSION:
        predictions, references = predictions.astype(np.int64), references.astype(np.int64)
    scores = (_regression if problem_type == REGRESSION else _classification)(predictions, references)
    return scores if metric is None else {metric: scores[metric]}


def rounded_scores(predictions: np.ndarray, references: np.ndarray, problem_type: str) -> dict[str, float]:
    """As `compute_scores`, with as many digits as are worth keeping in a record."""
    scores = compute_scores(predictions, references, problem_type=problem_type)
    return {name: round(float(value), 6) for name, value in scores.items()}


def _check_values(values: np.ndarray, what: str, problem_type: str) -> None:
    wrong = ~np.isfinite(values)
    if problem_type != REGRESSION:
        wrong |= values != np.rint(values)
    if problem_type == MULTI_LABEL:
        wrong |= (values != 0) & (values != 1)
    if wrong.any():
        row = int(np.argwhere(wrong)[0, 0])
        kinds = {SINGLE_LABEL: "a class (an integer)", MULTI_LABEL: "0 or 1", REGRESSION: "a finite number"}
        raise ValueError(f"The {what} in row {row} (0-based) is {values[row]}, but it must be {kinds[problem_type]}.")


def predictions_of(logits: np.ndarray, problem_type: str) -> np.ndarray:
    """What logits of shape `(rows, labels)` say of each row.

    That is the class with the largest logit, every label with a positive logit (multi-label), or the number itself.

    Raises:
        ValueError: logits that are not finite.
    """
    if not np.isfinite(logits).all():
        row = int(np.argwhere(~np.isfinite(logits))[0, 0])
        raise ValueError(f"The logits of row {row} (0-based) are {logits[row]}: the model has diverged.")
    if problem_type == REGRESSION:
        return logits.reshape(len(logits))
    return logits > 0 if problem_type == MULTI_LABEL else logits.argmax(axis=-1)


def make_compute_metrics(problem_type: str) -> Callable[[object], dict[str, float]]:
    """Make the `compute_metrics` function of a `Trainer`.

    It takes the `EvalPrediction` of a sequence classifier: logits of shape `(rows, labels)`, or a tuple that starts
    with them.

    Raises:
        ValueError: an unknown problem type; and, when called, as `predictions_of`.
    """
    if problem_type not in _METRICS:
        raise ValueError(f"problem_type is {problem_type!r}, but it must be one of {', '.join(_METRICS)}.")

    def compute_metrics(evaluation) -> dict[str, float]:
        logits = evaluation.predictions
        logits = np.asarray(logits[0] if isinstance(logits, (tuple, list)) else logits)
        predictions = predictions_of(logits, problem_type)
        return compute_scores(predictions, evaluation.label_ids, problem_type=problem_type)

    return compute_metrics
