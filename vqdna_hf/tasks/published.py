"""The figures that the paper prints, to be set beside one's own: always marked as published, never as one's own.

They are package data, `published.json`, in percent as printed, with notes on what is unclear in them.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .catalogue import Task, get_task


SECTION = "published"


@dataclass(frozen=True)
class PublishedScore:
    """A score that the paper prints.

    Attributes:
        model: one of `published_models()`.
        task: as in the catalogue; species classification with its length, for example `"species/1k"`.
        metric: mcc, f1 (macro), accuracy or spearman.
        value: in percent; None where the model ran out of memory.
        table: number of the paper's table.
    """

    model: str
    task: str
    metric: str
    value: float | None
    table: int


@cache
def _document() -> dict:
    return json.loads((Path(__file__).resolve().parent / "published.json").read_text(encoding="utf-8"))


@cache
def _scores() -> tuple[PublishedScore, ...]:
    return tuple(
        PublishedScore(model, task, metric, value, int(number))
        for number, table in _document()["tables"].items()
        if "tasks" in table
        for model, values in table["rows"].items()
        for task, metric, value in zip(table["tasks"], table["metrics"], values, strict=True)
    )


def published_models() -> dict[str, str]:
    """Name -> what the paper calls it."""
    return dict(_document()["models"])


def published_note() -> str:
    """What to know of every published figure, with its source."""
    return f"{_document()['note']} Source: {_document()['source']}."


def task_of(name: str) -> Task:
    """The catalogue's task of a name; `"species/1k"` is the task `species` at one length.

    Raises:
        ValueError: there is no such task.
    """
    return get_task("species" if name.lower().startswith("species/") else name)


def published_scores(model: str | None = None, task: str | None = None) -> tuple[PublishedScore, ...]:
    """The task scores of Tables 3 to 6, of one model or task if given.

    Raises:
        ValueError: the paper has no such model, or the catalogue no such task.
    """
    found = _scores()
    if model is not None:
        names = {name.lower(): name for name in _document()["models"]}
        if model.lower() not in names:
            raise ValueError(f"The paper prints no model {model!r}; it has {', '.join(names.values())}.")
        found = tuple(score for score in found if score.model == names[model.lower()])
    if task is not None:
        name = task.lower() if task.lower().startswith("species/") else task_of(task).name
        found = tuple(score for score in found if score.task == name)
    return found


def published_rows(metrics: dict[str, str]) -> dict[str, dict[str, float]]:
    """What the paper prints of some tasks: model -> task -> percent. Models without any are left out.

    Args:
        metrics: task -> metric. Tasks that the paper does not have, or scores by another metric, are left out.
    """
    rows: dict[str, dict[str, float]] = {}
    for score in _scores():
        if metrics.get(score.task) == score.metric and score.value is not None:
            rows.setdefault(score.model, {})[score.task] = score.value
    return rows


def published_table(number: int) -> dict:
    """A table of the paper as transcribed: `title`, `rows` (name -> values), `columns` or `tasks`, `notes`, ...

    Raises:
        ValueError: no such table is transcribed.
    """
    tables = _document()["tables"]
    if str(number) not in tables:
        raise ValueError(f"There is no published table {number!r}; there are {', '.join(tables)}.")
    return json.loads(json.dumps(tables[str(number)]))  # a copy: the caller may change it
