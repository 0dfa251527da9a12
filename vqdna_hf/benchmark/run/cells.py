"""The cells of a benchmark: what there is to run, where each is kept, and what decides its result."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ...runs.files import read_record
from ..spec.schema import ModelEntry, Specification, TaskEntry
from .archive import find_records
from .tasks import TaskData


# bases that cells of files without a `max_length` were trained on before all were
_CUT_ONCE = 512


# what is read of a finished cell
CELL_FIELDS = {name: str for name in ("task", "family", "metric", "problem_type", "model", "mode", "kind")}
CELL_FIELDS |= {"seed": int, "settings": dict, "weights": (str, type(None)), "dev": dict, "test": dict}


@dataclass(frozen=True)
class Cell:
    """One run of the benchmark: a task, a model, a mode and a seed."""

    task: TaskEntry
    model: ModelEntry
    mode: str
    seed: int

    @property
    def name(self) -> str:
        """The name of its file, without the suffix."""
        content = {"task": self.task.name, "model": self.model.name, "mode": self.mode, "seed": self.seed}
        return cell_name(content)


def cell_name(content: dict) -> str:
    """The name of a finished cell's file, without the suffix."""
    return "__".join(str(content[name]) for name in ("task", "model", "mode", "seed")).replace("/", "-")


def list_cells(specification: Specification) -> list[Cell]:
    """Every cell, the first seed of all of them first, so that an unfinished table is a whole one of fewer seeds.

    What no seed changes (linear probes, k-mer regression) runs with the first seed alone.
    """
    return [
        Cell(task, model, mode, seed)
        for seed in specification.seeds
        for task in specification.tasks
        for model in specification.models
        for mode in specification.modes_of(model)
        if seed in specification.seeds[: _seeds_of(model, mode)]
    ]


def _seeds_of(model: ModelEntry, mode: str) -> int | None:
    """How many of the seeds run; None is all."""
    return 1 if mode == "linear" or model.control == "kmer-regression" else model.seeds


def cell_path(output: Path, cell: Cell) -> Path:
    """Where a finished cell is."""
    return output / "cells" / f"{cell.name}.json"


def read_cell(path: Path) -> dict:
    """The content of a finished cell.

    Raises:
        ValueError: the file is damaged, or lacks what tables and later runs read of it.
    """
    return read_record(path, CELL_FIELDS)


def find_cells(output: Path, cells: list[Cell]) -> list[dict]:
    """The content of those that are finished, from their files or, where there are none, from `cells.parquet`.

    Raises:
        ValueError: as `find_records`.
    """
    return list(find_records(output / "cells", [cell.name for cell in cells], CELL_FIELDS, cell_name).values())


def cell_settings(specification: Specification, cell: Cell, task: TaskData) -> dict:
    """What decides a cell's result, as far as the file says it, and the rows of each split that are used."""
    settings = {
        "points": specification.points(cell.task, cell.model, cell.mode),
        "model": describe(cell.model),
        "rows": task.counts,
        "window": specification.window,
        "fasta": [Path(path).name for path in specification.fasta],
    }
    if (read := _training_sequences(settings["points"], cell, task)) is not None:
        settings["training_sequences"] = read
    if task.dev_split is not None:
        settings["dev_split"] = task.dev_split
    if isinstance(cell.model.vocabulary, str):
        settings["vocabulary"] = describe(specification.owner_of(cell.model))
    if cell.model.encoder is None:
        del settings["window"], settings["fasta"]
    return json.loads(json.dumps(settings))


def _training_sequences(points: list[dict], cell: Cell, task: TaskData) -> str | None:
    """What a cell reads of its training sequences; None where cells without this setting read the same.

    Those were trained on the first 512 bases if the file did not say otherwise; linear probes were fitted on all.
    """
    if cell.model.control == "kmer-regression":
        return None
    longest, ends = max(map(len, task.train.sequences)), [point.get("max_length") for point in points]
    if cell.mode == "linear":
        return "cut" if any(end is not None and end < longest for end in ends) else None
    return "whole" if None in ends and longest > _CUT_ONCE else None


def describe(entry: ModelEntry) -> dict:
    """What the file says of a model, without places on this machine."""
    content = {name: value for name, value in asdict(entry).items() if value not in (None, {}, False, ())}
    for name in ("modes", "seeds"):  # which say what runs, and decide no cell
        content.pop(name, None)
    for place in (content, content.get("vocabulary")):
        if isinstance(place, dict) and "path" in place and Path(place["path"]).is_dir():
            place["path"] = Path(place["path"]).resolve().name
    return content
