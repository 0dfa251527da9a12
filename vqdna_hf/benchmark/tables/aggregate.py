"""Cells of a benchmark put together: mean and spread over seeds, intervals, paired differences, average ranks.

A cell is one run: a model on a task, in one mode, with one seed. Its replicates are its score on resampled test rows,
the same rows for every cell of a task, so that those of two models can be subtracted. An interval covers what the
choice of test rows decides; what the seeds decide is in the standard deviation over seeds.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from scipy.stats import rankdata

from ...tasks.catalogue import list_tasks


FORMAT = 1
KINDS = ("learned vocabulary", "hand-made vocabulary", "control", "other")
_REQUIRED = ("task", "family", "metric", "model", "mode", "seed", "kind", "dev", "test")
_LEVEL = 0.95


@dataclass(frozen=True)
class Spread:
    """Scores of several seeds: mean, standard deviation (`ddof=1`; None of a single one), and how many they are."""

    mean: float
    sd: float | None
    seeds: int

    @classmethod
    def of(cls, scores: list[float]) -> "Spread":
        """That of the scores of at least one seed."""
        sd = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
        return cls(float(np.mean(scores)), sd, len(scores))


@dataclass(frozen=True)
class Difference:
    """Mean of the first minus that of the second, and its 95 % interval (None without replicates)."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class Summary:
    """A model on a task in one mode.

    Attributes:
        row: model and mode: what is a row of the tables.
        cells: one per seed, in the order of the seeds.
    """

    task: str
    family: str
    metric: str
    kind: str
    row: tuple[str, str]
    cells: tuple[dict, ...]

    @classmethod
    def of(cls, cells: list[dict]) -> "Summary":
        """That of the cells of one task, model and mode."""
        facts = (cells[0][name] for name in ("task", "family", "metric", "kind"))
        return cls(*facts, (cells[0]["model"], cells[0]["mode"]), tuple(cells))

    @property
    def seeds(self) -> list[int]:
        return [cell["seed"] for cell in self.cells]

    def spread(self, split: str = "test", metric: str | None = None) -> Spread | None:
        """That of `dev`, `test` or `test_clean` over the seeds that have it; None if none has."""
        name = metric or self.metric
        values = [cell[split][name] for cell in self.cells if cell.get(split) and name in cell[split]]
        return Spread.of(values) if values else None

    @cached_property
    def replicates(self) -> np.ndarray:
        """The mean over seeds on each resampling of the test rows, shape `(replicates,)`; empty if there are none."""
        return np.mean([cell.get("bootstrap") or [] for cell in self.cells], axis=0)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of the mean test score."""
        return percentile_interval(self.replicates)

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        values = {name: self.cells[0][name] for name in ("task", "model", "mode", "kind", "metric")}
        values["seeds"] = self.seeds
        for split in ("dev", "test", "test_clean"):
            spread = self.spread(split)
            values[split] = spread and asdict(spread)
        interval = self.interval
        return values | {"clean_rows": self.cells[0].get("clean_rows"), "interval": interval and list(interval)}


@dataclass(frozen=True)
class Ranks:
    """Average ranks, 1 being best.

    Attributes:
        average: row -> average rank over `tasks`.
        intervals: row -> 95 % bootstrap interval of it; None without replicates.
        tasks: those that count.
        left_out: task -> the rows that it lacks.
    """

    average: dict[tuple[str, str], float]
    intervals: dict[tuple[str, str], tuple[float, float] | None]
    tasks: tuple[str, ...]
    left_out: dict[str, tuple[tuple[str, str], ...]]


def summarize(cells: Iterable[dict]) -> list[Summary]:
    """Put the seeds of every task, model and mode together: tasks in the catalogue's order, models as they come.

    Raises:
        ValueError: a cell of another format, without a key, or with a score or replicate that is not finite; two cells
            with the same seed; seeds of one row that differ in kind or number of replicates, or of one task in metric.
    """
    groups: dict[tuple[str, str, str], dict[int, dict]] = {}
    metrics: dict[str, str] = {}
    for number, cell in enumerate(cells):
        _check_cell(cell, number)
        key = (cell["task"], cell["model"], cell["mode"])
        seeds = groups.setdefault(key, {})
        if cell["seed"] in seeds:
            raise ValueError(f"{_name(cell)} is there twice with seed {cell['seed']}: leave one of the cells out.")
        for other in list(seeds.values())[:1]:
            _check_same(other, cell)
        seeds[cell["seed"]] = cell
        if metrics.setdefault(cell["task"], cell["metric"]) != cell["metric"]:
            raise ValueError(
                f"{_name(cell)} is scored by {cell['metric']!r}, but other cells of the task by "
                f"{metrics[cell['task']]!r}: a table compares one metric."
            )
    if not groups:
        raise ValueError("There are no cells to make tables of: run the benchmark first.")
    known = {task.name: place for place, task in enumerate(list_tasks())}
    order = {task: place for place, task in enumerate(dict.fromkeys(key[0] for key in groups))}
    rows = {row: place for place, row in enumerate(dict.fromkeys(key[1:] for key in groups))}
    keys = sorted(groups, key=lambda key: (known.get(key[0], len(known)), order[key[0]], rows[key[1:]]))
    return [Summary.of([groups[key][seed] for seed in sorted(groups[key])]) for key in keys]


def _name(cell: dict) -> str:
    return f"The cell of {cell['task']}, {cell['model']} ({cell['mode']})"


def _check_cell(cell: dict, number: int):
    missing = [key for key in _REQUIRED if cell.get(key) is None]
    if missing:
        raise ValueError(f"Cell {number} (0-based) has no {' and no '.join(missing)}; it has {', '.join(cell)}.")
    if cell.get("format", FORMAT) != FORMAT:
        raise ValueError(f"{_name(cell)} has the format {cell['format']!r}, but this version reads {FORMAT}.")
    if cell["kind"] not in KINDS:
        raise ValueError(f"{_name(cell)} is of the kind {cell['kind']!r}, but it must be one of {', '.join(KINDS)}.")
    for split in ("dev", "test"):
        if cell["metric"] not in cell[split]:
            found = ", ".join(cell[split]) or "none"
            raise ValueError(f"{_name(cell)} has no {cell['metric']!r} of {split}; its scores are {found}.")
    scores = [cell["dev"][cell["metric"]], cell["test"][cell["metric"]], *(cell.get("bootstrap") or [])]
    if not np.isfinite(np.asarray(scores, dtype=float)).all():
        raise ValueError(f"{_name(cell)}, seed {cell['seed']}, has a score or replicate that is not a finite number.")


def _check_same(first: dict, second: dict):
    ours, theirs = (len(cell.get("bootstrap") or []) for cell in (first, second))
    if ours != theirs:
        raise ValueError(
            f"{_name(second)} has {theirs} replicates with seed {second['seed']} and {ours} with seed "
            f"{first['seed']}: score them again with one number of replicates."
        )
    if first["kind"] != second["kind"]:
        raise ValueError(f"{_name(second)} is of two kinds, {first['kind']!r} and {second['kind']!r}.")


def percentile_interval(replicates: np.ndarray) -> tuple[float, float] | None:
    """The middle 95 % of replicates, shape `(replicates,)`; None if there are none."""
    if not len(replicates):
        return None
    low, high = np.percentile(replicates, [50 * (1 - _LEVEL), 50 * (1 + _LEVEL)])
    return float(low), float(high)


def mean_difference(pairs: list[tuple[Summary, Summary]]) -> Difference:
    """How far the first of each pair is above the second on their task, in the mean over one or several pairs.

    The replicates of a pair are on the same resampled rows.

    Raises:
        ValueError: a pair is of different tasks, or its replicates are not as many.
    """
    means = [first.spread().mean - second.spread().mean for first, second in pairs]
    replicates = [_paired(first, second) for first, second in pairs]
    shortest = min(map(len, replicates))
    interval = percentile_interval(np.mean([one[:shortest] for one in replicates], axis=0))
    return Difference(float(np.mean(means)), *(interval or (None, None)))


def _paired(first: Summary, second: Summary) -> np.ndarray:
    if first.task != second.task:
        raise ValueError(f"{first.task} and {second.task} are two tasks: only scores of one can be paired.")
    if len(first.replicates) != len(second.replicates):
        raise ValueError(
            f"On {first.task}, {first.row[0]} has {len(first.replicates)} replicates and {second.row[0]} "
            f"{len(second.replicates)}: score them again with one number of replicates."
        )
    return first.replicates - second.replicates


def average_ranks(summaries: list[Summary]) -> Ranks:
    """Rank rows by their mean test score on every task that all of them have; equal scores share the mean rank."""
    scores = {(one.task, one.row): one for one in summaries}
    rows = list(dict.fromkeys(one.row for one in summaries))
    tasks, left_out = [], {}
    for task in dict.fromkeys(one.task for one in summaries):
        if missing := tuple(row for row in rows if (task, row) not in scores):
            left_out[task] = missing
        else:
            tasks.append(task)
    if not tasks:
        return Ranks({}, {}, (), left_out)
    average = _ranks([[100 * scores[task, row].spread().mean for row in rows] for task in tasks])
    shortest = min(len(scores[task, row].replicates) for task in tasks for row in rows)
    replicates = _ranks([[scores[task, row].replicates[:shortest] for row in rows] for task in tasks])
    intervals = map(percentile_interval, replicates)
    return Ranks(dict(zip(rows, map(float, average))), dict(zip(rows, intervals)), tuple(tasks), left_out)


def _ranks(scores: list) -> np.ndarray:
    """Mean ranks over `(tasks, rows, ...)`, of shape `(rows, ...)`; rounded first: a mean's last bit breaks no tie."""
    return rankdata(-np.round(scores, 10), method="average", axis=1).mean(axis=0)
