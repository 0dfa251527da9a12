"""The rows a benchmark trains on and scores: loaded, checked and cut once, before anything is trained."""

import zlib
from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import tqdm

from ...arguments.training import MULTI_LABEL
from ...tasks.audit import clean_test_rows
from ...tasks.catalogue import get_task
from ...tasks.load import LoadedTask, read_task
from ...tasks.rows import Split
from ...training.classifier import label_maps
from ..spec.schema import Specification, TaskEntry


# in the settings of cells, so that scores of two dev splits are not put side by side
CARVED = "a tenth of train, by BLAKE2b of its nucleotide ids"


@dataclass(frozen=True, kw_only=True)
class TaskData(LoadedTask):
    """A task as the benchmark uses it: `splits` cut to the numbers of rows that the file allows.

    Attributes:
        clean (`np.ndarray` of `bool`, shape `(test rows,)`): test rows that are neither in the whole train or dev
            split nor copies of each other (see `clean_test_rows`); None where labels are several a row.
        whole: rows of each split before they were cut.
    """

    clean: np.ndarray | None = field(hash=False)
    whole: dict[str, int] = field(hash=False)

    @property
    def train(self) -> Split:
        return self.splits["train"]

    @property
    def dev(self) -> Split:
        return self.splits["dev"]

    @property
    def test(self) -> Split:
        return self.splits["test"]

    @property
    def dev_split(self) -> str | None:
        """How dev was taken from train, where the catalogue's task has none."""
        return CARVED if self.carved and self.family != "own" else None

    @property
    def label_names(self) -> dict:
        """`num_labels`, or the two label maps, as `from_pretrained` takes them."""
        return label_maps(self.classes, self.num_labels)


def load_tasks(specification: Specification) -> dict[str, TaskData]:
    """Load every task of a benchmark.

    Raises:
        TaskDataError: files that are missing, wrong, or differ from the catalogue.
    """
    entries = tqdm(specification.tasks, desc="Loading tasks", disable=None)
    return {entry.name: _load(entry, specification) for entry in entries}


def _load(entry: TaskEntry, specification: Specification) -> TaskData:
    of = get_task(entry.name) if entry.data is None else entry.data
    task = read_task(of, specification.data_dir, carve=True, name=entry.name)
    splits, missing = dict(task.splits), task.missing()
    if missing:
        raise ValueError(f"{entry.name} has no {' and no '.join(missing)} split, and a benchmark needs all three.")
    clean = None
    if task.problem_type != MULTI_LABEL:
        clean = clean_test_rows({n: {"sequence": s.sequences, "label": s.labels} for n, s in splits.items()})
    for name, limit in {"train": specification.train_rows, "dev": specification.dev_rows}.items():
        splits[name] = splits[name].take(chosen_rows(entry.name, name, task.counts[name], limit))
    counts = {name: len(part.sequences) for name, part in splits.items()}
    return TaskData(**vars(task) | {"splits": splits, "counts": counts}, clean=clean, whole=task.counts)


def chosen_rows(task: str, split: str, rows: int, limit: int | None) -> np.ndarray:
    """Which rows of a split are used: the same for every model and seed, in the order of the file."""
    if limit is None or rows <= limit:
        return np.arange(rows)
    random = np.random.default_rng(zlib.crc32(f"{task} {split}".encode()))
    return np.sort(random.permutation(rows)[:limit])
