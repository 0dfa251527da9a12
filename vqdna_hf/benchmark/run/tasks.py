"""The rows a benchmark trains on and scores: loaded, checked and cut once, before anything is trained."""

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ...modeling.nucleotides_vqdna import bases_to_ids, ids_to_bases
from ...tasks import get_task, load_task, load_task_files
from ...tasks.audit import clean_test_rows
from ...tasks.catalogue import class_names
from ...tasks.load import MULTI_LABEL, REGRESSION, SPLITS, carve_dev
from ...training.classifier import label_maps
from ..spec.schema import Specification, TaskEntry


# in the settings of cells, so that scores of two dev splits are not put side by side
CARVED = "a tenth of train, by BLAKE2b of its nucleotide ids"


@dataclass(frozen=True)
class Split:
    """Rows of a split.

    Attributes:
        sequences: DNA strings.
        labels (`np.ndarray` of shape `(rows,)`, or `(rows, num_labels)` for several labels a row).
    """

    sequences: list[str]
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> "Split":
        """The rows with these numbers (0-based)."""
        return Split([self.sequences[row] for row in rows], self.labels[rows])


@dataclass(frozen=True)
class TaskData:
    """A task as the benchmark uses it.

    Attributes:
        train, dev, test: the rows, train and dev cut to the numbers that the file allows.
        clean (`np.ndarray` of `bool`, shape `(test rows,)`): test rows that are neither in the whole train or dev
            split nor copies of each other (see `clean_test_rows`); None where labels are several a row.
        whole: rows of each split before they were cut.
        carved: how dev was taken from train, where the catalogue's task has none.
    """

    name: str
    family: str
    metric: str
    problem_type: str
    num_labels: int
    classes: tuple[str, ...]
    train: Split
    dev: Split
    test: Split
    clean: np.ndarray | None
    whole: dict[str, int] = field(hash=False)
    carved: str | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each split as used."""
        return {split: len(getattr(self, split).sequences) for split in SPLITS}

    @property
    def label_names(self) -> dict:
        """`num_labels`, or the two label maps, as `from_pretrained` takes them."""
        return label_maps(self.classes, self.num_labels)


def load_tasks(specification: Specification) -> dict[str, TaskData]:
    """Load every task of a benchmark.

    Raises:
        TaskDataError: files that are missing, wrong, or differ from the catalogue.
    """
    found = {}
    for entry in tqdm(specification.tasks, desc="Loading tasks", disable=None):
        found[entry.name] = _load(entry, specification)
    return found


def _load(entry: TaskEntry, specification: Specification) -> TaskData:
    carved = None
    if entry.data is None:
        task = get_task(entry.name)
        rows = load_task(entry.name, specification.data_dir)
        splits = {name: Split(list(part["sequence"]), np.asarray(part["label"])) for name, part in rows.items()}
        family, metric, problem, classes = task.family, task.metric, task.problem_type, task.classes
        labels = max(len(classes), 1)
        if "dev" not in splits:
            splits |= _carve(entry.name, splits["train"])
            carved = CARVED
    else:
        rows, info = load_task_files(entry.data, name=entry.name)
        splits = {
            name: Split([ids_to_bases(ids) for ids in part["nucleotide_ids"]], np.asarray(part["labels"]))
            for name, part in rows.with_format("numpy").items()
        }
        family, problem, labels = "own", info.problem_type, info.num_labels
        metric = "spearman" if problem == REGRESSION else "mcc"
        classes = class_names(Path(entry.data).resolve(), labels) if problem != REGRESSION else ()
    missing = [name for name in SPLITS if name not in splits]
    if missing:
        raise ValueError(f"{entry.name} has no {' and no '.join(missing)} split, and a benchmark needs all three.")
    clean = None
    if problem != MULTI_LABEL:
        clean = clean_test_rows({n: {"sequence": s.sequences, "label": s.labels} for n, s in splits.items()})
    whole = {name: len(splits[name].sequences) for name in SPLITS}
    cut = {"train": specification.train_rows, "dev": specification.dev_rows}
    for name, limit in cut.items():
        splits[name] = splits[name].take(chosen_rows(entry.name, name, whole[name], limit))
    return TaskData(
        entry.name, family, metric, problem, labels, classes, **splits, clean=clean, whole=whole, carved=carved
    )


def _carve(name: str, train: Split) -> dict[str, Split]:
    """A tenth of train as dev: the rows that fine-tuning on the task's directory takes, too."""
    dev = carve_dev([bases_to_ids(sequence) for sequence in train.sequences], name)
    return {"train": train.take(np.flatnonzero(~dev)), "dev": train.take(np.flatnonzero(dev))}


def chosen_rows(task: str, split: str, rows: int, limit: int | None) -> np.ndarray:
    """Which rows of a split are used: the same for every model and seed, in the order of the file."""
    if limit is None or rows <= limit:
        return np.arange(rows)
    random = np.random.default_rng(zlib.crc32(f"{task} {split}".encode()))
    return np.sort(random.permutation(rows)[:limit])
