"""The catalogue of datasets, as a table to read or as JSON."""

from ..arguments.data import TasksArguments
from ..runs.files import as_json
from .catalogue import list_tasks


_COLUMNS = ("name", "family", "organism", "metric", "classes", "length", "train / dev / test")


def tasks(arguments: TasksArguments) -> list[dict]:
    """Print and return the catalogue, or one family of it.

    Raises:
        ValueError: there is no such family.
    """
    found = [task.to_dict() for task in list_tasks(arguments.family)]
    if arguments.json:
        print(as_json(found))
        return found
    rows = [_COLUMNS, *(_row(task) for task in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return found


def _row(task: dict) -> tuple[str, ...]:
    counts = " / ".join(str(task["counts"].get(split, "-")) for split in ("train", "dev", "test"))
    classes = str(len(task["classes"]) or "-")
    return (*(task[key] for key in ("name", "family", "organism", "metric")), classes, str(task["length"]), counts)
