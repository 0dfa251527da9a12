"""Scores of downstream tasks and of codebooks: plain functions, and the `evaluate` module over the same scores."""

from pathlib import Path
from typing import TYPE_CHECKING

from .bootstrap import bootstrap_scores
from .classification import compute_scores, make_compute_metrics, metric_names, predictions_of, rounded_scores
from .codebook import codebook_usage, perplexity


if TYPE_CHECKING:
    from .masked_lm import MaskedLMMetrics


__all__ = [
    "MaskedLMMetrics",
    "bootstrap_scores",
    "codebook_usage",
    "compute_scores",
    "evaluate_module_path",
    "make_compute_metrics",
    "metric_names",
    "perplexity",
    "predictions_of",
    "rounded_scores",
]


def __getattr__(name: str):
    # it needs torch, which the scores of finished predictions do not
    if name == "MaskedLMMetrics":
        from .masked_lm import MaskedLMMetrics

        return MaskedLMMetrics
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def evaluate_module_path() -> str:
    """The folder of the `evaluate` module: `evaluate.load(evaluate_module_path(), "mcc")` works offline."""
    return str(Path(__file__).resolve().parent / "gue")
