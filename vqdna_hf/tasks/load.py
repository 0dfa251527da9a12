"""Downstream tasks from files: `train`, `dev` and `test` tables of sequences and labels, checked row by row.

The files are those of the GUE benchmark: CSV with the columns `sequence` and `label`. A wrong row is an error that
names the file, the row and the value; nothing is dropped or repaired in silence. Rows are counted from 1, without the
header.
"""

import hashlib
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset, DatasetDict, DatasetInfo, Features, LargeList, List, Value

from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids

from .files import SPLITS, TaskDataError, find_splits, read_table


logger = logging.getLogger(__name__)

SINGLE_LABEL, MULTI_LABEL, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
# one sequence in this many goes to a dev split that is carved out of train
_CARVE = 10
# rows of a carved dev split below which it is said that it decides little
_FEW = 20
# classes are exact in 64-bit floating point up to here
_MOST_CLASSES = 2**53
_MOST_BASES = 2**31 - 1
# what `float` takes and nobody means, as 0_1 and digits of other scripts, is no number here
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
_NO_NUMBER = re.compile(r"\s*[+-]?(nan|inf|infinity)\s*", re.IGNORECASE)
_LABEL_TYPES = {SINGLE_LABEL: Value("int64"), REGRESSION: Value("float32"), MULTI_LABEL: List(Value("float32"))}


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
    directory = Path(directory)
    if problem not in (None, *_LABEL_TYPES):
        raise ValueError(f"problem is {problem!r}, but it must be one of {', '.join(_LABEL_TYPES)}, or None.")
    paths = find_splits(directory)
    tables = {split: read_table(path) for split, path in paths.items() if path is not None}
    sequences = {split: sequence_ids(table["sequence"], str(paths[split])) for split, table in tables.items()}
    labels = {split: _parse_labels(table["label"], paths[split]) for split, table in tables.items()}
    problem = problem or _infer_problem(labels)
    num_labels = _check_labels(labels, paths, problem)
    if "dev" not in tables:
        _move_dev(sequences, labels, paths["train"])
    kind = list_feature(max(sum(ids.size for ids in rows) for rows in sequences.values()))
    features = Features({"nucleotide_ids": kind, "labels": _LABEL_TYPES[problem]})
    dataset = DatasetDict({split: _to_dataset(sequences[split], labels[split], features) for split in SPLITS})
    lengths = [ids.size for split in SPLITS for ids in sequences[split]]
    counts = {split: len(sequences[split]) for split in SPLITS}
    spread = (min(lengths), int(np.median(lengths)), max(lengths))
    return dataset, TaskInfo(name or directory.resolve().name, problem, num_labels, counts, spread)


def sequence_ids(sequences: Iterable[object], where: str) -> list[np.ndarray]:
    """Nucleotide ids of every row, `uint8` arrays of shape `(length,)`.

    Args:
        where: what holds the rows, for messages.

    Raises:
        TaskDataError: a row without a sequence, or with one that is not DNA.
    """
    ids = []
    for row, sequence in enumerate(sequences, start=1):
        if not isinstance(sequence, str) or not sequence:
            raise TaskDataError(f"{where}, row {row}: the sequence is empty ({sequence!r}). Remove the row.")
        try:
            ids.append(bases_to_ids(sequence, where=f"{where}, row {row}: the sequence"))
        except ValueError as error:
            raise TaskDataError(_words_advice(sequence, f"{where}, row {row}") or str(error)) from None
    return ids


def _words_advice(sequence: str, where: str) -> str | None:
    """What to do with a sequence that was cut into words; None for any other."""
    words = sequence.split()
    if len(words) < 2 or not "".join(words).isalnum():
        return None
    k, shown = len(words[0]), " ".join(words[:3])[:60]
    if k > 1 and all(len(b) == k and a[1:] == b[:-1] for a, b in zip(words, words[1:])):
        return (
            f"{where}: the sequence has white space: it is cut into overlapping {k}-mers ({shown}), and only the "
            "sequence itself is taken, which is the first of them and the last letter of each that follows. In "
            "Python: `words = text.split(); sequence = words[0] + ''.join(word[-1] for word in words[1:])`. Removing "
            f"the spaces alone would repeat each base {k} times."
        )
    return (
        f"{where}: the sequence has white space: it is cut into {len(words)} words ({shown}), and only the sequence "
        "itself is taken. If the words do not overlap, remove the spaces: `sequence = text.replace(' ', '')`."
    )


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
        values = [_to_number(part) for part in parts]
    except (TypeError, ValueError):
        raise TaskDataError(f"{path}, row {row}: label {label!r} is not a number. {_number_advice(label)}") from None
    if np.isnan(values).any():
        raise TaskDataError(f"{path}, row {row}: the label is missing ({label!r}).")
    if not np.isfinite(values).all() or not values:
        raise TaskDataError(f"{path}, row {row}: label {label!r} is not a finite number.")
    return values


def _to_number(part: object) -> float:
    if isinstance(part, str) and not (_NUMBER.fullmatch(part) or _NO_NUMBER.fullmatch(part)):
        raise ValueError(part)
    return float(part)


def _number_advice(label: object) -> str:
    text = str(label)
    if re.fullmatch(r"\s*[+-]?\d+,\d+\s*", text):
        return f"A decimal number has a point: {text.strip().replace(',', '.')}; several labels a row, semicolons."
    parts = re.split(r"[\s,|/]+", text.strip(" []()"))
    if len(parts) > 1 and all(map(_NUMBER.fullmatch, parts)):
        return f'Several labels a row are joined by semicolons: "{";".join(parts)}".'
    return "Number the classes 0, 1, 2, ..."


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
        check_float32(labels, paths)
        return 1
    if problem == MULTI_LABEL:
        return _check_multi_label(labels, paths)
    return _check_classes(labels, paths)


def check_float32(labels: dict[str, np.ndarray], places: dict[str, object]):
    """Make sure that measurements are numbers in 32 bits, too, which is how they are kept.

    Raises:
        TaskDataError: names the first that is not.
    """
    for split, values in labels.items():
        wrong = np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)
        if wrong.size:
            raise TaskDataError(
                f"{places[split]}, row {wrong[0] + 1}: label {values[wrong[0]]:g} is beyond what 32 bits hold "
                "(3.4e38). Scale the measurements."
            )


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
        wrong = np.flatnonzero((values != np.rint(values)) | (values < 0) | (values > _MOST_CLASSES))
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


def _move_dev(sequences: dict[str, list], labels: dict[str, np.ndarray], path: Path) -> None:
    """Move rows of train to dev, in place."""
    dev, rows = carve_dev(sequences["train"], str(path)), sequences["train"]
    sequences["dev"] = [rows[i] for i in np.flatnonzero(dev)]
    sequences["train"] = [rows[i] for i in np.flatnonzero(~dev)]
    labels["dev"], labels["train"] = labels["train"][dev], labels["train"][~dev]


def _to_dataset(sequences: list[np.ndarray], labels: np.ndarray, features: Features) -> Dataset:
    kind = features.arrow_schema.field("nucleotide_ids").type
    table = pa.table({"nucleotide_ids": to_lists(sequences, kind), "labels": pa.array(labels.tolist())})
    return named_dataset(table, features, (*sequences, np.array([ids.size for ids in sequences]), labels))


def named_dataset(table: pa.Table, features: Features, content: Iterable[np.ndarray | bytes]) -> Dataset:
    """A table in memory as a `Dataset`, whose fingerprint follows from `content`."""
    # subtle: without a name of its own, the table would be copied, several times over, to make one
    name = hashlib.blake2b(digest_size=8)
    for part in content:
        name.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return Dataset(table.cast(features.arrow_schema), DatasetInfo(features=features), fingerprint=name.hexdigest())


def list_feature(bases: int) -> List | LargeList:
    """The type of a column of nucleotide ids: lists count in 32 bits as long as that does for all rows together."""
    return (List if bases <= _MOST_BASES else LargeList)(Value("uint8"))


def string_feature(bases: int) -> Value:
    """The same for a column of strings."""
    return Value("string" if bases <= _MOST_BASES else "large_string")


def to_lists(sequences: list[np.ndarray], kind: pa.DataType) -> pa.Array:
    """Arrays of `uint8` as a column of lists, or of large lists, which count in 64 bits."""
    wide = pa.types.is_large_list(kind)
    offsets = np.cumsum([0, *(ids.size for ids in sequences)], dtype=np.int64)
    array = pa.LargeListArray if wide else pa.ListArray
    return array.from_arrays(
        pa.array(offsets, pa.int64() if wide else pa.int32()), pa.array(np.concatenate(sequences))
    )
