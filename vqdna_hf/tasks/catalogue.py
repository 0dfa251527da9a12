"""The 32 datasets of the paper (28 of GUE, three of editing efficiency, species), and the species of its corpus.

The tables are package data: `catalogue.json` (appendix D, Table A2) and `species.tsv` (appendix C, Table A1). Counts
are those that the paper prints.
"""

import csv
import difflib
import json
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from ..arguments.training import REGRESSION, SINGLE_LABEL
from ..runs.files import read_json


# beside a task's files, where the task was made here: its classes and how it was made
TASK_FILE = "task.json"
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Task:
    """One dataset of the paper.

    Attributes:
        name: as the benchmark's directories are called, for example `"tf/0"`.
        aliases: other names that `get_task` takes.
        family: the paper's abbreviation: EMP, TFP-H, TFP-M, PD, CPD, SSP, CVC, EEP, or SC for species classification.
        title: what is predicted.
        source: the row of Table A2.
        organism: whose DNA it is.
        metric: what it is scored by: mcc, f1 (macro), accuracy or spearman.
        problem_type: as in transformers' configs.
        classes: the names of labels 0, 1, ...; none for a regression.
        label_order: how it is known which label is which class. "measured": from the sequences (the dinucleotide at a
            splice site, the initiator of promoters, the motif of a factor). "convention": 1 is the positive class; the
            benchmark does not say so. "not documented": nothing supports the order. "not applicable": a regression.
        length: bases of a sequence; the longest where they differ.
        counts: rows of each split as Table A2 prints them; a split that the paper does not give is missing.
        file_counts: rows of the published files, which differ from the paper's for one task.
        hub_repo, hub_config: where `datasets.load_dataset` finds it; None where it is not on the Hub.
        licence: the terms, as far as they are stated.
        citation: whose data it is.
        note: what else to know.
    """

    name: str
    aliases: tuple[str, ...]
    family: str
    title: str
    source: str
    organism: str
    metric: str
    problem_type: str
    classes: tuple[str, ...]
    label_order: str
    length: int
    counts: dict[str, int] = field(hash=False)
    file_counts: dict[str, int] = field(hash=False)
    hub_repo: str | None
    hub_config: str | None
    licence: str
    citation: str
    note: str

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Species:
    """A species of the paper's multi-species corpus.

    Attributes:
        name: as printed in Table A1.
        category: Fungi, Protozoa, Mammalian, Other Vertebrate or Bacteria.
        category_megabases: millions of bases of the whole category; the paper gives none for a species alone.
    """

    name: str
    category: str
    category_megabases: int


@cache
def _tasks() -> tuple[Task, ...]:
    families = json.loads((_HERE / "catalogue.json").read_text(encoding="utf-8"))
    return tuple(_to_task(family, shared, own) for family, shared in families.items() for own in shared["tasks"])


def _to_task(family: str, shared: dict, own: dict) -> Task:
    values = {"hub_config": None, **{key: value for key, value in shared.items() if key != "tasks"}, **own}
    # "prom/prom_core_all" is "prom_core_all" elsewhere, and "splice/reconstructed" is "splice_reconstructed"
    name = own["name"]
    short = name.split("/")[-1] if name.startswith("prom/") else name.replace("/", "_")
    names = {alias.lower(): alias for alias in (short, values["hub_config"] or short) if alias != name}
    values |= {
        "family": family,
        "aliases": tuple(names.values()),
        "classes": tuple(shared["classes"]),
        "problem_type": SINGLE_LABEL if shared["classes"] else REGRESSION,
        "file_counts": own.get("file_counts", own["counts"]),
    }
    return Task(**values)


def _names() -> dict[str, Task]:
    """Every name of every task, in lower case."""
    return {key.lower(): task for task in _tasks() for key in (task.name, *task.aliases)}


def list_tasks(family: str | None = None) -> tuple[Task, ...]:
    """The catalogue, or one family of it, for example `"EMP"` (upper or lower case).

    Raises:
        ValueError: there is no such family.
    """
    if family is None:
        return _tasks()
    return _of_kind(_tasks(), "family", family, "family of tasks")


def get_task(name: str) -> Task:
    """Look a task up by its name or an alias, in upper or lower case: `"EMP/H3"`, `"emp_h3"`, `"human_tf_0"`.

    Raises:
        ValueError: no task has this name; the message lists the nearest ones.
    """
    names = _names()
    wanted = name.lower().strip("/")
    if wanted in names:
        return names[wanted]
    close = difflib.get_close_matches(wanted, names, n=4, cutoff=0.5)
    near = dict.fromkeys(names[key].name for key in [*(key for key in names if wanted in key), *close])
    hint = f"Did you mean {', '.join(list(near)[:6])}?" if near else "`vqdna tasks` lists them all."
    raise ValueError(f"There is no task {name!r}. {hint}")


def class_names(place: str | Path, num_labels: int) -> tuple[str, ...]:
    """The classes of the task that a directory or a name says it holds, for example `GUE/mouse/3`; none if unknown.

    A `task.json` in the directory, as `vqdna species-task` writes it, goes first. An order of classes that nothing
    supports is not taken.
    """
    own = own_classes(place)
    if len(own) == num_labels:
        return own
    parts = Path(place).parts
    for name in ("/".join(parts[-2:]), parts[-1] if parts else ""):
        task = _names().get(name.lower())
        if task is not None and len(task.classes) == num_labels and task.label_order != "not documented":
            return task.classes
    return ()


def own_classes(directory: str | Path) -> tuple[str, ...]:
    """The classes that a directory's `task.json` names; none without such a file.

    Raises:
        ValueError: a file that is no JSON object, or whose classes are no list of names.
    """
    path = Path(directory) / TASK_FILE
    if not path.is_file():
        return ()
    classes = read_json(path, advice="Write the task again.").get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"{path} should hold an object with 'classes', a list of names. Write the task again.")
    return tuple(classes)


def list_species(category: str | None = None) -> tuple[Species, ...]:
    """The species of Table A1, or those of one category (upper or lower case).

    The caption of the table speaks of 135 species; 125 are printed, and those are what this returns.

    Raises:
        ValueError: there is no such category.
    """
    with (_HERE / "species.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    species = tuple(Species(row["species"], row["category"], int(row["category_megabases"])) for row in rows)
    return species if category is None else _of_kind(species, "category", category, "category of species")


def _of_kind(entries: tuple, field: str, wanted: str, what: str) -> tuple:
    found = tuple(one for one in entries if getattr(one, field).lower() == wanted.lower())
    if not found:
        kinds = ", ".join(dict.fromkeys(getattr(one, field) for one in entries))
        raise ValueError(f"There is no {what} {wanted!r}; choose one of {kinds}.")
    return found
