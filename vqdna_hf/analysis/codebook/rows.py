"""The rows that a codebook is looked at with: read, drawn by class, and encoded."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ...arguments.training import SINGLE_LABEL
from ...data import FastaError
from ...modeling.modeling_vqdna_codec import VQDNACodecModel
from ...modeling.nucleotides_vqdna import UNKNOWN_ID, bases_to_ids, reverse_complement
from ...tasks.catalogue import Task
from ...tasks.load import LoadedTask, find_task, read_task
from ...tasks.sarscov2 import best_possible_scores, read_sarscov2
from ...tasks.split_files import SPLITS, TaskDataError


logger = logging.getLogger(__name__)

# rows of a class that are left after train is halved must still be several
_FEWEST = 4
_ROWS = 64  # encoded at a time, between two steps of the progress bar


@dataclass
class TaskRows:
    """A classification, as far as it is looked at.

    Attributes:
        name: the task's, or that of its file or directory.
        metric: what its classifier is chosen and scored by.
        classes: names of labels 0, 1, ...
        sequences: nucleotide ids of each split's rows, `uint8`, each of shape `(length,)`.
        labels: `int64` of each split, shape `(rows,)`.
        facts: what the report says of the data.
    """

    name: str
    metric: str
    classes: tuple[str, ...]
    sequences: dict[str, list[np.ndarray]]
    labels: dict[str, np.ndarray]
    facts: dict


@dataclass
class Encoded:
    """The codes of many sequences, one after the other.

    Attributes:
        bases: nucleotide ids, `uint8`, shape `(positions,)`.
        codes: `int64`, shape `(positions, levels)`.
        starts: where each row starts, and the end: `int64`, shape `(rows + 1,)`.
    """

    bases: np.ndarray
    codes: np.ndarray
    starts: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Positions whose base is known; the code of any other is never used."""
        return self.bases < UNKNOWN_ID

    @property
    def rows(self) -> np.ndarray:
        """The row of each position."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def load_rows(
    data: str, data_dir: str | None = None, hold_out: str = "positions", max_rows: int = 2000, seed: int = 0
) -> TaskRows:
    """Read a classification and draw rows of each split.

    Args:
        data: a task of the catalogue, a directory of train, dev and test files, or a FASTA file of SARS-CoV-2
            consensus genomes named by Pango lineage (see `load_sarscov2`).
        data_dir: a folder in GUE's layout; the Hub when not given.
        hold_out: what keeps the splits of lineage genomes apart, "positions" or "lineages".
        max_rows: most rows of a split; each class keeps its share of them.
        seed: of the rows drawn, and of the lineages held out.

    Raises:
        ValueError: the data are no classification, lack a split, or have fewer than four train rows of a class, or no
            known base in train; or as `read_task` and `load_sarscov2`.
    """
    if max_rows < 1:
        raise ValueError(f"--max-rows {max_rows} must be at least 1.")
    task, facts = _read(data, data_dir, hold_out, seed)
    name, classes = task.name, task.classes
    if missing := task.missing():
        raise TaskDataError(f"{name} has no {' and no '.join(missing)} split; train, dev and test are needed.")
    rng = np.random.default_rng(seed)
    drawn = {split: part.take(draw_by_class(part.labels, max_rows, rng)) for split, part in task.splits.items()}
    sequences = {split: list(map(bases_to_ids, drawn[split].sequences)) for split in SPLITS}
    labels = {split: drawn[split].labels for split in SPLITS}
    counts = {split: np.bincount(labels[split], minlength=len(classes)) for split in SPLITS}
    few = [f"{name} {count}" for name, count in zip(classes, counts["train"]) if count < _FEWEST]
    if few:
        raise TaskDataError(
            f"{name} has too few train rows of a class, of those drawn ({', '.join(few)}): {_FEWEST} are needed, to "
            "tell labels from noise. Give more data, or a higher --max-rows."
        )
    if not any((row < UNKNOWN_ID).any() for row in sequences["train"]):
        raise TaskDataError(f"The train rows of {name} hold no known base (A, C, G or T), and so no code.")
    lengths = [len(row) for split in SPLITS for row in sequences[split]]
    known = {row.tobytes() for row in sequences["train"]}
    facts |= {
        "rows": {split: dict(zip(classes, counts[split].tolist())) for split in SPLITS},
        "rows_available": {split: task.counts[split] for split in SPLITS},
        "lengths": [min(lengths), int(np.median(lengths)), max(lengths)],
        "test_rows_in_train": sum(row.tobytes() in known for row in sequences["test"]),
        "best_possible": {
            split: best_possible_scores([row.tobytes() for row in sequences[split]], labels[split]) for split in SPLITS
        },
    }
    return TaskRows(name, task.metric, classes, sequences, labels, facts)


def _read(data: str, data_dir: str | None, hold_out: str, seed: int) -> tuple[LoadedTask, dict]:
    """The task, with names of its classes, and facts."""
    if Path(data).is_file():
        task, report = read_sarscov2(data, hold_out=hold_out, seed=seed)
        return task, {"sarscov2": report}
    try:
        found = find_task(data, data_dir)
    except ValueError as error:
        raise FastaError(f"{error} There is no such directory or FASTA file either.") from None
    if isinstance(found, Task):
        _check_problem(found.name, found.problem_type)
    task = read_task(found, data_dir, check="warn")
    _check_problem(data, task.problem_type)
    # an order of classes that nothing supports gives no names
    unnamed = not task.classes or (isinstance(found, Task) and found.label_order == "not documented")
    numbered = tuple(f"class {label}" for label in range(task.num_labels))
    return replace(task, classes=numbered) if unnamed else task, {}


def _check_problem(name: str, problem_type: str):
    if problem_type != SINGLE_LABEL:
        raise TaskDataError(
            f"{name} is a {problem_type.replace('_', ' ')}, but codes are labelled by class: give a classification "
            "with one label a row."
        )


def draw_by_class(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers, increasing: all, or about `count` of them with the shares of the classes kept, one row at least."""
    if len(labels) <= count:
        return np.arange(len(labels))
    kept = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        kept.append(rng.permutation(rows)[: max(1, round(count * len(rows) / len(labels)))])
    return np.sort(np.concatenate(kept))


def encode_rows(codec: VQDNACodecModel, sequences: list[np.ndarray], text: str) -> Encoded:
    """The codes of sequences, with a progress bar called `text`."""
    codes, lengths = [], [len(row) for row in sequences]
    with tqdm(total=sum(lengths), desc=text, unit="base", unit_scale=True) as bar:
        for first in range(0, len(sequences), _ROWS):
            part = sequences[first : first + _ROWS]
            codes += codec.encode_sequences(part)
            bar.update(sum(map(len, part)))
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Encoded(np.concatenate(sequences), np.concatenate(codes), starts)


def encode_other_strand(codec: VQDNACodecModel, sequences: list[np.ndarray], text: str) -> np.ndarray:
    """The codes of the reverse complements, each at the position it mirrors: shape `(positions, levels)`.

    Entry `i` of a row is the code that base `i` has when the row is read on the other strand.
    """
    other = encode_rows(codec, [reverse_complement(row) for row in sequences], text)
    places = other.starts[:-1] + other.starts[1:] - 1
    return other.codes[places[other.rows] - np.arange(len(other.bases))]
