"""Downstream tasks from files: `train`, `dev` and `test` tables of sequences and labels, checked row by row.

The files are those of the GUE benchmark: CSV with the columns `sequence` and `label`. A wrong row is an error that
names the file, the row and the value; nothing is dropped or repaired in silence. Rows are counted from 1, without the
header.
"""

import gzip
import hashlib
import logging
import zlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset, DatasetDict, Features, List, Value

from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids


logger = logging.getLogger(__name__)

SINGLE_LABEL, MULTI_LABEL, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
SPLITS = ("train", "dev", "test")

_SUFFIXES = (".csv", ".csv.gz", ".parquet")
_COLUMNS = ("sequence", "label")
# one sequence in this many goes to a dev split that is carved out of train
_CARVE = 10
_LABEL_TYPES = {SINGLE_LABEL: Value("int64"), REGRESSION: Value("float32"), MULTI_LABEL: List(Value("float32"))}


class TaskDataError(ValueError):
    """Task files that cannot be used; the message names the file, the row (from 1) and the value."""


@dataclass(frozen=True)
class TaskInfo:
    """What a task's files say about it.

    Attributes:
        name: the name of the directory, or the one given.
        problem_type: as in transformers' configs.
        num_labels: classes, labels a row, or 1 for a regression.
        counts: rows of each split.
        sequence_lengths: shortest, median and longest sequence of all splits, in bases.
    """

    name: str
    problem_type: str
    num_labels: int
    counts: dict[str, int]
    sequence_lengths: tuple[int, int, int]


def load_task_files(
    directory: str | PathLike, problem: str | None = None, name: str | None = None
) -> tuple[DatasetDict, TaskInfo]:
    """Load the splits of a task from `train`, `dev` and `test` files (`.csv`, `.csv.gz` or `.parquet`).

    The columns `sequence` and `label` are read, others ignored. A label is an integer (a class, 0 to n-1), any other
    number (regression), or numbers 0 and 1 joined by semicolons (multi-label: `"0;1;0"`). Without a dev file, a tenth
    of the train sequences becomes dev, chosen by a fixed hash of the sequence; copies of a sequence stay together.

    Args:
        directory: holds the three files.
        problem: one of transformers' problem types; by default it follows from the labels. `"regression"` is needed
            for measurements that happen to be integers.
        name: the task's name, for example `"tf/0"`; by default that of the directory.

    Returns:
        `DatasetDict` of `train`, `dev`, `test`, in memory, with `nucleotide_ids` (`uint8`, one list a row) and
        `labels` (`int64`; `float32` for regression; a list of `float32` for multi-label), and the `TaskInfo`.

    Raises:
        TaskDataError: a file is missing, empty or unreadable; a column is missing; a sequence is empty or not DNA; a
            label is missing, not a number, not of the problem's kind, or outside the classes of train.
    """
    directory = Path(directory)
    if problem not in (None, *_LABEL_TYPES):
        raise ValueError(f"problem is {problem!r}, but it must be one of {', '.join(_LABEL_TYPES)}, or None.")
    paths = {split: _find(directory, split) for split in SPLITS}
    tables = {split: _read_table(path) for split, path in paths.items() if path is not None}
    sequences = {split: _to_ids(table["sequence"], paths[split]) for split, table in tables.items()}
    labels = {split: _parse_labels(table["label"], paths[split]) for split, table in tables.items()}
    problem = problem or _infer_problem(labels)
    num_labels = _check_labels(labels, paths, problem)
    if "dev" not in tables:
        _carve_dev(sequences, labels, paths["train"])
    features = Features({"nucleotide_ids": List(Value("uint8")), "labels": _LABEL_TYPES[problem]})
    dataset = DatasetDict({split: _to_dataset(sequences[split], labels[split], features) for split in SPLITS})
    lengths = [ids.size for split in SPLITS for ids in sequences[split]]
    counts = {split: len(sequences[split]) for split in SPLITS}
    spread = (min(lengths), int(np.median(lengths)), max(lengths))
    return dataset, TaskInfo(name or directory.resolve().name, problem, num_labels, counts, spread)


def _find(directory: Path, split: str) -> Path | None:
    if not directory.is_dir():
        raise TaskDataError(f"There is no task directory {directory}. It should hold train.csv, dev.csv and test.csv.")
    found = [path for suffix in _SUFFIXES if (path := directory / f"{split}{suffix}").is_file()]
    if len(found) > 1:
        raise TaskDataError(f"{directory} has {' and '.join(path.name for path in found)}. Keep one of them.")
    if not found and split != "dev":
        there = ", ".join(sorted(path.name for path in directory.iterdir())) or "nothing"
        raise TaskDataError(
            f"{directory} has no {split} file ({', '.join(split + suffix for suffix in _SUFFIXES)}). It holds: "
            f"{there}."
        )
    return found[0] if found else None


def _read_table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            # everything as text: pandas would turn labels "NA" and sequences "nan" into missing values
            table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise TaskDataError(f"{path} is empty. It should start with the line sequence,label.") from None
    except (
        pd.errors.ParserError,
        UnicodeDecodeError,
        EOFError,
        gzip.BadGzipFile,
        zlib.error,
        pa.ArrowInvalid,
    ) as error:
        raise TaskDataError(f"{path} cannot be read as a table: {error}. Write or download it again.") from error
    missing = [column for column in _COLUMNS if column not in table.columns]
    if missing:
        raise TaskDataError(
            f"{path} has no column {' and no column '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, table.columns))}. Rename the columns to 'sequence' and 'label'."
        )
    if table.empty:
        raise TaskDataError(f"{path} has a header but no rows.")
    return table


def _to_ids(sequences: pd.Series, path: Path) -> list[np.ndarray]:
    """Nucleotide ids of every row, `uint8` arrays of shape `(length,)`."""
    ids = []
    for row, sequence in enumerate(sequences, start=1):
        if not isinstance(sequence, str) or not sequence:
            raise TaskDataError(f"{path}, row {row}: the sequence is empty ({sequence!r}). Remove the row.")
        try:
            ids.append(bases_to_ids(sequence, where=f"{path}, row {row}: the sequence"))
        except ValueError as error:
            raise TaskDataError(str(error)) from None
    return ids


def _parse_labels(labels: pd.Series, path: Path) -> np.ndarray:
    """Labels as `float64`, shape `(rows,)`, or `(rows, labels a row)` for multi-label."""
    rows = [_parse_label(label, path, row) for row, label in enumerate(labels, start=1)]
    width = len(rows[0])
    for row, values in enumerate(rows, start=1):
        if len(values) != width:
            raise TaskDataError(
                f"{path}, row {row}: label {labels.iloc[row - 1]!r} has {len(values)} parts, but row 1 has {width}."
            )
    values = np.array(rows, dtype=np.float64)
    return values[:, 0] if width == 1 else values


def _parse_label(label: object, path: Path, row: int) -> list[float]:
    if isinstance(label, (list, tuple, np.ndarray)):
        parts = list(label)
    else:
        parts = label.split(";") if isinstance(label, str) else [label]
    if label is None or any(isinstance(part, str) and not part.strip() for part in parts):
        raise TaskDataError(f"{path}, row {row}: the label is missing ({label!r}).")
    try:
        values = [float(part) for part in parts]
    except (TypeError, ValueError):
        raise TaskDataError(
            f"{path}, row {row}: label {label!r} is not a number. Number the classes 0, 1, 2, ..."
        ) from None
    if np.isnan(values).any():
        raise TaskDataError(f"{path}, row {row}: the label is missing ({label!r}).")
    if not np.isfinite(values).all() or not values:
        raise TaskDataError(f"{path}, row {row}: label {label!r} is not a finite number.")
    return values


def _infer_problem(labels: dict[str, np.ndarray]) -> str:
    if any(values.ndim == 2 for values in labels.values()):
        return MULTI_LABEL
    return SINGLE_LABEL if all((values == np.rint(values)).all() for values in labels.values()) else REGRESSION


def _check_labels(labels: dict[str, np.ndarray], paths: dict[str, Path], problem: str) -> int:
    """Check that the labels are of the problem's kind; returns `TaskInfo.num_labels`."""
    for split, values in labels.items():
        shape = "several labels a row" if values.ndim == 2 else "one label a row"
        if (values.ndim == 2) != (problem == MULTI_LABEL):
            raise TaskDataError(f"{paths[split]} has {shape}, which does not fit {problem}.")
    if problem == REGRESSION:
        return 1
    if problem == MULTI_LABEL:
        return _check_multi_label(labels, paths)
    return _check_classes(labels, paths)


def _check_multi_label(labels: dict[str, np.ndarray], paths: dict[str, Path]) -> int:
    width = labels["train"].shape[1]
    for split, values in labels.items():
        if values.shape[1] != width:
            raise TaskDataError(
                f"{paths[split]} has {values.shape[1]} labels a row, but {paths['train']} has {width}."
            )
        wrong = np.argwhere((values != 0) & (values != 1))
        if wrong.size:
            row, column = wrong[0]
            raise TaskDataError(
                f"{paths[split]}, row {row + 1}: part {column + 1} of the label is {values[row, column]:g}, but each "
                "part of a multi-label row must be 0 or 1."
            )
    return width


def _check_classes(labels: dict[str, np.ndarray], paths: dict[str, Path]) -> int:
    for split, values in labels.items():
        wrong = np.flatnonzero((values != np.rint(values)) | (values < 0))
        if wrong.size:
            raise TaskDataError(
                f"{paths[split]}, row {wrong[0] + 1}: label {values[wrong[0]]:g} is no class: classes are integers "
                "from 0 up. If the labels are measurements, load the task with problem='regression'."
            )
    classes = np.unique(labels["train"]).astype(np.int64)
    if classes.size < 2:
        raise TaskDataError(f"{paths['train']} has only the label {classes[0]}; a classification needs at least two.")
    gaps = np.flatnonzero(classes != np.arange(classes.size))
    if gaps.size:
        raise TaskDataError(
            f"{paths['train']} has {classes.size} different labels up to {classes[-1]}, but none is {gaps[0]}: labels "
            f"must be 0 to {classes.size - 1} without gaps. Renumber them; if they are measurements, load the task "
            "with problem='regression'."
        )
    for split, values in labels.items():
        wrong = np.flatnonzero(values >= classes.size)
        if wrong.size:
            raise TaskDataError(
                f"{paths[split]}, row {wrong[0] + 1}: label {values[wrong[0]]:g} is outside the range of "
                f"{paths['train']}, which has 0 to {classes.size - 1}."
            )
    return int(classes.size)


def _carve_dev(sequences: dict[str, list], labels: dict[str, np.ndarray], path: Path) -> None:
    """Move a tenth of train to dev, in place; a sequence's side depends on that sequence alone."""
    hashes = np.array(
        [int.from_bytes(hashlib.blake2b(ids.tobytes(), digest_size=8).digest()) for ids in sequences["train"]],
        dtype=np.uint64,
    )
    # the second case: among a handful of rows there may be none below the threshold
    dev = hashes <= max(np.uint64((2**64 - 1) // _CARVE), hashes.min())
    if dev.all():
        raise TaskDataError(f"{path} has too few different sequences to take a dev split from. Add a dev file.")
    rows = sequences["train"]
    sequences["dev"] = [rows[i] for i in np.flatnonzero(dev)]
    sequences["train"] = [rows[i] for i in np.flatnonzero(~dev)]
    labels["dev"], labels["train"] = labels["train"][dev], labels["train"][~dev]
    logger.warning(
        "%s has no dev file: %d of the %d rows of %s, chosen by a hash of the sequence, are the dev split.",
        path.parent, dev.sum(), dev.size, path.name,
    )  # fmt: skip


def _to_dataset(sequences: list[np.ndarray], labels: np.ndarray, features: Features) -> Dataset:
    offsets = np.concatenate([[0], np.cumsum([ids.size for ids in sequences])]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(sequences)))
    values = pa.array(labels.tolist()).cast(features["labels"].pa_type) if labels.ndim == 1 else labels.tolist()
    return Dataset.from_dict({"nucleotide_ids": lists, "labels": values}, features=features)
