"""The rows of a task: what is a sequence, what is a label, and what kind of problem the labels are of."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..arguments.training import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from ..modeling.nucleotides_vqdna import bases_to_ids
from .split_files import TaskDataError


PROBLEM_TYPES = (SINGLE_LABEL, REGRESSION, MULTI_LABEL)
# classes are exact in 64-bit floating point up to here
_MOST_CLASSES = 2**53
# what `float` takes and nobody means, as 0_1 and digits of other scripts, is no number here
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
_NO_NUMBER = re.compile(r"\s*[+-]?(nan|inf|infinity)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Split:
    """Rows of a split.

    Attributes:
        sequences: DNA strings, or nucleotide ids, `uint8` arrays of shape `(length,)`.
        labels (`np.ndarray` of shape `(rows,)`, or `(rows, num_labels)` for several labels a row).
    """

    sequences: list[str] | list[np.ndarray]
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> "Split":
        """The rows with these numbers (0-based)."""
        return Split([self.sequences[row] for row in rows], self.labels[rows])


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


def parse_labels(labels: pd.Series, path: Path) -> np.ndarray:
    """Labels as `float64`, shape `(rows,)`, or `(rows, labels a row)` for multi-label.

    Raises:
        TaskDataError: one is missing or no number, or rows have different numbers of them.
    """
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


def infer_problem(labels: dict[str, np.ndarray]) -> str:
    """The problem type that the labels of all splits look like."""
    if any(values.ndim == 2 for values in labels.values()):
        return MULTI_LABEL
    return SINGLE_LABEL if all((values == np.rint(values)).all() for values in labels.values()) else REGRESSION


def check_labels(labels: dict[str, np.ndarray], paths: dict[str, Path], problem: str) -> int:
    """Check that the labels of each split are of the problem's kind.

    Returns:
        Classes, labels a row, or 1 for a regression.

    Raises:
        TaskDataError: names the file, the row and the value.
    """
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
