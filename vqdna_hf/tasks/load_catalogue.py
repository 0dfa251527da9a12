"""The catalogue's datasets as `DatasetDict`s, from files or the Hub, checked against the paper's table."""

import logging
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, load_dataset

from .catalogue import Task, get_task, own_classes
from .files import SPLITS, TaskDataError, check_columns, find_split, read_table
from .load import check_float32, named_dataset, sequence_ids, string_feature


logger = logging.getLogger(__name__)

CHECKS = ("error", "warn")


def load_task(
    name: str, data_dir: str | PathLike | None = None, check: str = "error", hub_repo: str | PathLike | None = None
) -> DatasetDict:
    """Load one of the catalogue's datasets and compare it with the catalogue.

    Args:
        name: a task's name or an alias of it, for example `"tf/0"` or `"human_tf_0"`.
        data_dir: a folder in GUE's layout, `data_dir/tf/0/train.csv` (or `.csv.gz`, `.parquet`), or the folder above
            it (`data_dir/GUE/tf/0`); a download of the Hub repository (`data_dir/GUE/human_tf_0`) does as well.
            Without it, the data are fetched from the Hub. For `"species"`, `data_dir/species` or `data_dir` itself is
            what `vqdna species-task` wrote; its `task.json` names the classes.
        check: what happens if splits are missing or counts or classes differ from the catalogue: "error", or "warn"
            and return what is there.
        hub_repo: another repository, or a local copy of one, with the same configurations.

    Returns:
        `DatasetDict` of `train`, `dev` and `test`, as far as the task has them, with `sequence` (a string) and
        `label`: `ClassLabel` with the names of the classes, or `float32` for a regression.

    Raises:
        TaskDataError: no files; a file that cannot be read; a sequence that is not DNA; a label that is none of the
            task's; and, unless `check` is "warn", whatever else differs from the catalogue.
        ValueError: there is no such task, it is not on the Hub, or `check` is neither "error" nor "warn".
    """
    if check not in CHECKS:
        raise ValueError(f"check is {check!r}, but it must be {' or '.join(map(repr, CHECKS))}.")
    task = get_task(name)
    if data_dir is not None:
        tables, origin = _read_files(task, Path(data_dir))
        task = replace(task, classes=own_classes(origin) or task.classes)
    else:
        tables, origin = _read_hub(task, hub_repo)
    for split, table in tables.items():
        _check_rows(task, table, f"{split} of {task.name} in {origin}")
    differences = _differences(task, tables)
    if differences:
        message = f"{task.name} in {origin} is not the dataset of the paper: {'; '.join(differences)}."
        if check == "error":
            raise TaskDataError(f"{message} Download it again, or pass check='warn' to use it as it is.")
        logger.warning("%s", message)
    kind = string_feature(max(sum(map(len, table["sequence"])) for table in tables.values()))
    features = Features({"sequence": kind, "label": _label_feature(task)})
    return DatasetDict({split: _to_dataset(table, features) for split, table in tables.items()})


def find_directory(task: Task, data_dir: str | PathLike) -> Path | None:
    """The folder of a task below `data_dir`, by any of its names, or None."""
    names = [task.name, *([task.hub_config] if task.hub_config else []), *task.aliases]
    if task.family == "SC" and own_classes(data_dir):
        return Path(data_dir)
    folders = (Path(data_dir) / above / name for above in ("", "GUE") for name in names)
    return next((folder for folder in folders if any(find_split(folder, split) for split in SPLITS)), None)


def _read_files(task: Task, data_dir: Path) -> tuple[dict[str, pd.DataFrame], str]:
    directory = find_directory(task, data_dir)
    if directory is None and task.family == "SC":
        raise TaskDataError(
            f"There is no species task in {data_dir} or {data_dir / task.name}. Draw its windows from FASTA files: "
            f"`vqdna species-task --fasta human=PATH --fasta mouse=PATH ... --length 1000 --output "
            f"{data_dir / task.name}`."
        )
    if directory is None:
        raise TaskDataError(
            f"There are no files of {task.name} in {data_dir}. Expected {data_dir / task.name}/train.csv, dev.csv and "
            f"test.csv, or the same below {data_dir / 'GUE'}."
        )
    paths = {split: path for split in SPLITS if (path := find_split(directory, split))}
    return {split: read_table(path) for split, path in paths.items()}, str(directory)


def _read_hub(task: Task, hub_repo: str | PathLike | None) -> tuple[dict[str, pd.DataFrame], str]:
    repository = hub_repo or task.hub_repo
    if repository is None:
        raise ValueError(f"{task.name} is not on the Hub; give its folder as data_dir. {task.note}")
    dataset = load_dataset(str(repository), task.hub_config or task.name.replace("/", "_"))
    dataset = {"dev" if split == "validation" else split: rows for split, rows in dataset.items()}
    for split, rows in dataset.items():
        check_columns(rows.column_names, f"{split} of {task.name} in {repository}")
    return {split: dataset[split].to_pandas() for split in SPLITS if split in dataset}, str(repository)


def _check_rows(task: Task, table: pd.DataFrame, where: str) -> None:
    """Check every sequence and label; turns the labels into numbers, in place."""
    sequence_ids(table["sequence"], where)
    labels = pd.to_numeric(table["label"], errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(labels)
    if task.classes:
        wrong |= ~np.isin(labels, np.arange(len(task.classes)))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        allowed = f"one of 0 to {len(task.classes) - 1}" if task.classes else "a number"
        raise TaskDataError(
            f"{where}, row {row + 1}: the label is {table['label'].iloc[row]!r}, but it must be {allowed}."
        )
    check_float32({"": labels}, {"": where})
    table["label"] = labels


def _differences(task: Task, tables: dict[str, pd.DataFrame]) -> list[str]:
    """What differs from the catalogue, in words."""
    found = []
    missing = [split for split in task.counts if split not in tables]
    if missing:
        found.append(f"it has no {' and no '.join(missing)} split")
    for split, table in tables.items():
        expected = dict.fromkeys([task.counts.get(split), task.file_counts.get(split)])
        expected = [count for count in expected if count is not None]
        if expected and len(table) not in expected:
            found.append(f"{split} has {len(table)} rows instead of {' or '.join(map(str, expected))}")
        absent = [name for label, name in enumerate(task.classes) if not (table["label"] == label).any()]
        if absent:
            found.append(f"{split} has no row of the class {' and none of '.join(absent)}")
    return found


def _label_feature(task: Task) -> ClassLabel | Value:
    return ClassLabel(names=list(task.classes)) if task.classes else Value("float32")


def _to_dataset(table: pd.DataFrame, features: Features) -> Dataset:
    labels = table["label"].to_numpy()
    labels = labels.astype(np.int64) if isinstance(features["label"], ClassLabel) else labels.astype(np.float32)
    sequences = pa.array(table["sequence"].tolist(), features["sequence"].pa_type)
    content = (*(sequence.encode() + b"\n" for sequence in table["sequence"]), labels)
    return named_dataset(pa.table({"sequence": sequences, "label": labels}), features, content)
