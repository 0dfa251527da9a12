"""Downstream tasks as rows: from the paper's catalogue, or from a directory of `train`, `dev` and `test` tables.

The files are those of the GUE benchmark: CSV with the columns `sequence` and `label`. A wrong row is an error that
names the file, the row and the value; nothing is dropped or repaired in silence. Rows are counted from 1, without the
header.

`read_task` gives what the commands use, `load_task` and `load_task_files` a `DatasetDict`.
"""

import hashlib
import logging
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import DatasetDict, load_dataset

from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids, ids_to_bases

from ..arguments.training import REGRESSION, SINGLE_LABEL
from .catalogue import Task, class_names, get_task, own_classes
from .memory_datasets import ids_datasets, text_datasets
from .rows import (
    PROBLEM_TYPES,
    Split,
    check_float32,
    check_labels,
    infer_problem,
    parse_labels,
    sequence_ids,
)
from .split_files import SPLITS, TaskDataError, check_columns, find_split, find_splits, read_table


logger = logging.getLogger(__name__)

CHECKS = ("error", "warn")
# one sequence in this many goes to a dev split that is carved out of train
_CARVE = 10
# rows of a carved dev split below which it is said that it decides little
_FEW = 20


@dataclass(frozen=True)
class TaskInfo:
    """What is known of a task.

    Attributes:
        name: the catalogue's, the name of the directory, or the one given.
        problem_type: as in transformers' configs.
        num_labels: classes, labels a row, or 1 for a regression.
        counts: rows of each split.
        sequence_lengths: shortest, median and longest sequence of all splits, in bases.
        family: the paper's abbreviation (see `Task`), or "own".
        metric: what it is scored by.
        classes: names of labels 0, 1, ..., where they are known.
        carved: whether dev was taken from train (`carve_dev`).
    """

    name: str
    problem_type: str
    num_labels: int
    counts: dict[str, int] = field(hash=False)
    sequence_lengths: tuple[int, int, int]
    family: str = "own"
    metric: str = "mcc"
    classes: tuple[str, ...] = ()
    carved: bool = False


@dataclass(frozen=True, kw_only=True)
class LoadedTask(TaskInfo):
    """A task with its rows, wherever they are from.

    Attributes:
        splits: `train`, `dev` and `test`, as far as the task has them.
    """

    splits: dict[str, Split] = field(hash=False, repr=False)

    @classmethod
    def of(cls, splits: dict[str, Split], name: str, problem_type: str, num_labels: int, **facts) -> "LoadedTask":
        """A task of these rows; `facts` are further fields of `TaskInfo`."""
        return cls(name, problem_type, num_labels, *_measure(splits), **facts, splits=splits)

    def missing(self) -> list[str]:
        """The splits that the task lacks."""
        return [split for split in SPLITS if split not in self.splits]


def _measure(splits: dict[str, Split]) -> tuple[dict[str, int], tuple[int, int, int]]:
    """Rows of each split, and the shortest, median and longest sequence of all."""
    lengths = [len(sequence) for part in splits.values() for sequence in part.sequences]
    counts = {split: len(part.sequences) for split, part in splits.items()}
    return counts, (min(lengths), int(np.median(lengths)), max(lengths))


# all tasks


def find_task(name: str, data_dir: str | PathLike | None = None) -> Task | Path:
    """A task of the catalogue, or any directory of train, dev and test files, below `data_dir` if that is given.

    Raises:
        ValueError: neither.
    """
    try:
        return get_task(name)
    except ValueError:
        directory = Path(data_dir or "") / name
        if directory.is_dir():
            return directory
        raise


def read_task(
    task: Task | str | PathLike,
    data_dir: str | PathLike | None = None,
    check: str = "error",
    carve: bool = False,
    name: str | None = None,
) -> LoadedTask:
    """The rows of a task of the catalogue, as `load_task` finds and checks them, or of a directory.

    Args:
        task: of the catalogue, or a directory as `load_task_files` takes it (see `find_task`).
        data_dir, check: see `load_task`; of tasks of the catalogue alone.
        carve: take a dev split from train where a task of the catalogue has none, as is done for any directory.
        name: what to call it.

    Raises:
        TaskDataError, ValueError: as `load_task` and `load_task_files`.
    """
    if not isinstance(task, Task):
        splits, info = _read_directory(Path(task), None, name)
        # letters as all vocabularies read them
        splits = {split: Split(list(map(ids_to_bases, part.sequences)), part.labels) for split, part in splits.items()}
        return LoadedTask(**vars(info), splits=splits)
    splits, task = _read_catalogue(task, data_dir, check)
    carved = carve and "dev" not in splits and "train" in splits
    if carved:
        _carve(splits, name or task.name)
    facts = {"family": task.family, "metric": task.metric, "classes": task.classes, "carved": carved}
    return LoadedTask.of(splits, name or task.name, task.problem_type, max(len(task.classes), 1), **facts)


# a directory of files


def load_task_files(
    directory: str | PathLike, problem: str | None = None, name: str | None = None
) -> tuple[DatasetDict, TaskInfo]:
    """Load the splits of a task from `train`, `dev` and `test` files (`.csv`, `.csv.gz` or `.parquet`).

    The dev file may be called `validation`, `valid`, `val` or `eval` as well, and names may be in upper or lower case.
    The columns `sequence` and `label` are read, others ignored. A label is an integer (a class, 0 to n-1), any other
    number (regression), or numbers 0 and 1 joined by semicolons (multi-label: `"0;1;0"`). Without a dev file, a tenth
    of the train sequences becomes dev, chosen by a fixed hash of the sequence; copies of a sequence stay together.

    Args:
        directory: holds the three files.
        problem: one of transformers' problem types; by default it follows from the labels. `"regression"` is needed
            for measurements that happen to be integers.
        name: the task's name, for example `"tf/0"`; by default that of the directory.

    Returns:
        `DatasetDict` of `train`, `dev`, `test`, in memory, with `nucleotide_ids` (`uint8`, one list a row; large lists
        where a split has 2^31 bases or more) and
        `labels` (`int64`; `float32` for regression; a list of `float32` for multi-label), and the `TaskInfo`.

    Raises:
        TaskDataError: a file is missing, empty or unreadable, or there twice; a column is missing, or there twice;
            a row has more or fewer fields than the header; a sequence is empty or not DNA; a
            label is missing, not a number, not of the problem's kind, or outside the classes of train.
    """
    splits, info = _read_directory(Path(directory), problem, name)
    return ids_datasets(splits, info.problem_type), info


def _read_directory(directory: Path, problem: str | None, name: str | None) -> tuple[dict[str, Split], TaskInfo]:
    """The rows of a directory's files, as nucleotide ids, `uint8` arrays, and what is known of them."""
    if problem not in (None, *PROBLEM_TYPES):
        raise ValueError(f"problem is {problem!r}, but it must be one of {', '.join(PROBLEM_TYPES)}, or None.")
    paths = find_splits(directory)
    tables = {split: read_table(path) for split, path in paths.items() if path is not None}
    sequences = {split: sequence_ids(table["sequence"], str(paths[split])) for split, table in tables.items()}
    labels = {split: parse_labels(table["label"], paths[split]) for split, table in tables.items()}
    problem = problem or infer_problem(labels)
    num_labels = check_labels(labels, paths, problem)
    kind = np.int64 if problem == SINGLE_LABEL else np.float32
    splits = {split: Split(sequences[split], labels[split].astype(kind)) for split in tables}
    carved = "dev" not in splits
    if carved:
        _carve(splits, str(paths["train"]))
    splits = {split: splits[split] for split in SPLITS}
    return splits, TaskInfo(
        name or directory.resolve().name,
        problem,
        num_labels,
        *_measure(splits),
        metric="spearman" if problem == REGRESSION else "mcc",
        classes=() if problem == REGRESSION else class_names(directory.resolve(), num_labels),
        carved=carved,
    )


def carve_dev(sequences: list[np.ndarray], where: str) -> np.ndarray:
    """Which training rows are the dev split of a task that has none: a tenth, by a hash of each sequence alone.

    Args:
        sequences: nucleotide ids of every row.
        where: what holds the rows, for messages.

    Returns:
        `np.ndarray` of `bool`, shape `(rows,)`: copies of a sequence are on one side, whatever the other rows are.

    Raises:
        TaskDataError: fewer than two different sequences.
    """
    hashes = np.array(
        [int.from_bytes(hashlib.blake2b(ids.tobytes(), digest_size=8).digest()) for ids in sequences], dtype=np.uint64
    )
    # the second case: among a handful of rows there may be none below the threshold
    dev = hashes <= max(np.uint64((2**64 - 1) // _CARVE), hashes.min())
    if dev.all():
        raise TaskDataError(f"{where} has too few different sequences to take a dev split from. Add a dev file.")
    few = " So few hardly tell one epoch from another: add a dev file." if dev.sum() < _FEW else ""
    logger.warning(
        "%s: there is no dev split; %d of the %d train rows, chosen by a hash of the sequence, are the dev split.%s",
        where, dev.sum(), dev.size, few,
    )  # fmt: skip
    return dev


def _carve(splits: dict[str, Split], where: str):
    """Move rows of train to dev, in place; sequences are letters or nucleotide ids."""
    train = splits["train"]
    ids = [bases_to_ids(sequence) if isinstance(sequence, str) else sequence for sequence in train.sequences]
    dev = carve_dev(ids, where)
    splits["train"], splits["dev"] = (train.take(np.flatnonzero(rows)) for rows in (~dev, dev))


# the catalogue


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
    splits, task = _read_catalogue(get_task(name), data_dir, check, hub_repo)
    return text_datasets(splits, task.classes)


def _read_catalogue(
    task: Task, data_dir: str | PathLike | None, check: str, hub_repo: str | PathLike | None = None
) -> tuple[dict[str, Split], Task]:
    """The checked rows of a task, and the task with the classes of these rows; see `load_task`."""
    if check not in CHECKS:
        raise ValueError(f"check is {check!r}, but it must be {' or '.join(map(repr, CHECKS))}.")
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
    splits = {}
    for split, table in tables.items():
        labels = table["label"].to_numpy()
        # measurements are those that 32 bits hold, as in the data set
        labels = labels.astype(np.int64) if task.classes else labels.astype(np.float32).astype(np.float64)
        splits[split] = Split(table["sequence"].tolist(), labels)
    return splits, task


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
