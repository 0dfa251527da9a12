"""Scores of a card: results of several seeds become one row, and the test scores the card's `model-index`."""

import math
from dataclasses import dataclass
from statistics import mean, stdev

from huggingface_hub import EvalResult

from ..tasks.catalogue import list_tasks


# score -> (name of the `evaluate` metric, how it is written)
METRICS = {
    "mcc": ("matthews_correlation", "MCC"),
    "f1": ("f1", "macro-F1"),
    "accuracy": ("accuracy", "accuracy"),
    "spearman": ("spearmanr", "Spearman correlation"),
    "pearson": ("pearsonr", "Pearson correlation"),
}
MODE_WORDS = {
    "lora": "LoRA adapters and the head",
    "full": "encoder and head",
    "end-to-end": "encoder, head and the vocabulary's network",
    "linear": "linear probe on the code vectors",
}

_GUE = {task.name for task in list_tasks() if task.hub_repo}
# what differs between the runs that one row sums up, or says nothing about them
_FREE_SETTINGS = ("seed", "data", "model", "task")


@dataclass(frozen=True)
class TaskScores:
    """The results of one task and one mode.

    Attributes:
        results: one per seed, in the order of the seeds.
    """

    results: list[dict]

    @property
    def task(self) -> str:
        return self.results[0]["task"]

    @property
    def mode(self) -> str:
        return self.results[0]["mode"]

    @property
    def metric(self) -> str:
        """The score that dev selected by."""
        return self.results[0]["metric"]

    @property
    def seeds(self) -> list[int]:
        return [result["seed"] for result in self.results]

    def values(self, split: str, metric: str | None = None) -> list[float]:
        """A score of every seed; nan where a record says that it is no number."""
        values = [result[split][metric or self.metric] for result in self.results]
        return [math.nan if value is None else value for value in values]

    def spread(self, split: str) -> str:
        """Mean and, of several seeds, standard deviation of the selecting score, as text."""
        values = self.values(split)
        return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")

    def eval_results(self) -> list[EvalResult]:
        """The test scores, for the `model-index`."""
        entries = []
        for name in self.results[0]["test"]:
            values = self.values("test", name)
            spread = stdev(values) if len(values) > 1 else None
            entries.append(eval_result(self.task, self.mode, name, mean(values), spread, self.seeds, self.metric))
        return entries


def metric_words(metric: str) -> str:
    """How a metric is written; its name where nothing is known of it."""
    return METRICS.get(metric, (metric, metric))[1]


def dataset_name(task: str) -> str:
    """A task's name with its benchmark's, where it is known."""
    return f"GUE {task}" if task in _GUE else task


def eval_result(
    task: str, mode: str, metric: str, value: float, sd: float | None, seeds: list[int], selected_by: str | None = None
) -> EvalResult:
    """A test score for the `model-index`.

    Args:
        value, sd: mean of the seeds, and standard deviation if there are several.
        selected_by: the metric that dev selected by, which tells a regression; `metric` when not given.
    """
    kind = "regression" if (selected_by or metric) in ("spearman", "pearson") else "classification"
    name = METRICS.get(metric, (metric, metric))[0]
    how = f"mean of {len(seeds)} seeds" if len(seeds) > 1 else "one seed"
    spread = {} if sd is None else {"standard_deviation": round(sd, 6)}
    return EvalResult(
        task_type="text-classification",
        task_name=f"DNA sequence {kind}",
        dataset_type="gue" if task in _GUE else "custom",
        dataset_name=dataset_name(task),
        dataset_config=task,
        dataset_split="test",
        metric_type=name,
        metric_name=f"test {metric_words(metric)}, {MODE_WORDS.get(mode, mode)}, {how}",
        metric_value=round(value, 6),
        metric_args={"mode": mode, "seeds": seeds, **spread},
    )


def join_results(results: list[dict]) -> list[TaskScores]:
    """Sort results by task and mode, and put the seeds of one recipe together.

    Raises:
        ValueError: two results of a task and mode differ in their options, or in their scores for one seed.
    """
    groups: dict[tuple[str, str], dict[int, dict]] = {}
    for result in results:
        seeds = groups.setdefault((result["task"], result["mode"]), {})
        before = next(iter(seeds.values()), result)
        _check_same_recipe(before, result)
        twin = seeds.setdefault(result["seed"], result)
        if (twin["dev"], twin["test"]) != (result["dev"], result["test"]):
            raise ValueError(
                f"Two results of {result['task']} ({result['mode']}) have the seed {result['seed']} and different "
                f"scores, {twin['test']} and {result['test']} on test: leave one out."
            )
    return [TaskScores([seeds[seed] for seed in sorted(seeds)]) for _, seeds in sorted(groups.items())]


def _check_same_recipe(first: dict, second: dict):
    """Seeds can be averaged only where nothing else differs."""
    ours, theirs = (result.get("arguments", {}) | {"metric": result["metric"]} for result in (first, second))
    names = (name for name in ours | theirs if name not in _FREE_SETTINGS)
    different = [name for name in names if ours.get(name) != theirs.get(name)]
    if different:
        changes = "; ".join(f"{name}: {ours.get(name)!r} and {theirs.get(name)!r}" for name in different)
        raise ValueError(
            f"Results of {first['task']} ({first['mode']}) come from different recipes ({changes}). A card gives one "
            "recipe a task: leave the others out."
        )
