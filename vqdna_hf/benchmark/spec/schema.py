"""What a benchmark file holds, once it is read: tasks, models, studies. docs/benchmark.md describes the format."""

import itertools
from dataclasses import dataclass
from typing import Literal

from ...arguments.training import Mode
from ...options import SEED, Arguments, option, required
from .command_options import GRID


class SpecificationError(ValueError):
    """A benchmark file that cannot be run; the message names the file, the place in it and the value."""


@dataclass(frozen=True)
class TaskEntry(Arguments):
    """A task: one of the catalogue, or a directory of one's own."""

    name: str = required("of the catalogue, or chosen")
    data: str | None = option(None, "directory of train, dev and test files; the catalogue's task when not given")
    options: dict = option({}, "of fine-tuning on this task: of every model (`all`), and of single models by name")


@dataclass(frozen=True)
class ModelEntry(Arguments):
    """A model: made here (`vocabulary` or `tokenizer`, and `encoder`), named (`path`), or a control."""

    name: str = required("of its cells and directories")
    vocabulary: dict | str | None = option(
        None,
        "options of `vqdna train-tokenizer`; or the name of another model that learns one; or `path` alone: a "
        "directory, or a checkpoint of the package, with a learned tokenizer",
    )
    tokenizer: dict | str | None = option(None, "a hand-made tokenizer: its kind, or `kind` and its options")
    encoder: dict | None = option(None, "options of `vqdna pretrain`; `max_steps: 0` leaves it as it was initialized")
    path: str | None = option(
        None, "a directory, a checkpoint of the package, or a repository of the Hub, with a model and its tokenizer"
    )
    revision: str | None = option(None, "of the repository")
    trust_remote_code: bool = option(False, "run the code that the repository brings")
    control: Literal["cnn", "kmer-regression"] | None = option(None, "trained from scratch on each task")
    modes: list[Mode] | None = option(None, "that this model runs; all of the file when not given")
    seeds: int | None = option(None, "how many of the file's this model runs; all when not given", at_least=1)
    options: dict = option({}, "of fine-tuning for this model alone, on every task")

    @property
    def vocabulary_path(self) -> str | None:
        """Where the vocabulary is, if it was there before."""
        return self.vocabulary.get("path") if isinstance(self.vocabulary, dict) else None

    @property
    def learns_vocabulary(self) -> bool:
        """Whether stage 1 is run for the model."""
        return isinstance(self.vocabulary, dict) and self.vocabulary_path is None


@dataclass(frozen=True)
class Study(Arguments):
    """An ablation: vocabularies that differ (`variants`), or models of the file (`models`)."""

    name: str = required("heading of its table")
    task: str | None = option(None, "of the linear probe")
    vocabulary: dict = option({}, "options of stage 1 that all variants share")
    variants: list[dict] = option([], "the options in which each differs")
    seeds: int = option(1, "how many of the file's seeds stage 1 is repeated with", at_least=1)
    neighbour_steps: int = option(
        200, "training steps of the predictor that sees only the codes around a masked position", at_least=1
    )
    models: dict = option({}, "name of a model -> what is varied in it, to tabulate its scores")
    mode: Literal[Mode, "control"] = option("full", "of the models' cells")
    published: int | bool | None = option(
        None, "the number of the paper's table to add; by what is varied when not given"
    )


@dataclass(frozen=True)
class Specification(Arguments):
    """A benchmark file."""

    tasks: list[TaskEntry] = required("what the models are scored on")
    models: tuple[ModelEntry, ...] = required("what is compared")
    modes: dict = required("mode -> options of fine-tuning")
    seeds: list[int] = required("of fine-tuning", **SEED)
    title: str = option("Benchmark", "heading of the tables")
    format: Literal[1] = option(1, "version of the file's format")
    data_dir: str | None = option(None, "folder of the catalogue's tasks in GUE's layout; the Hub when not given")
    train_rows: int | None = option(None, "most rows of train", at_least=1)
    dev_rows: int | None = option(None, "most rows of dev", at_least=1)
    fasta: list[str] = option([], "what vocabularies and encoders are trained on")
    window: int = option(512, "of pre-training, in bases", at_least=1)
    reference: str | None = option(None, "the model from which paired differences are taken")
    ablations: list[Study] = option([], "studies of vocabularies")

    def owner_of(self, model: ModelEntry) -> ModelEntry | None:
        """The model that a vocabulary is made for: itself, or the one it names; None if the file has no such."""
        name = model.vocabulary if isinstance(model.vocabulary, str) else model.name
        return next((one for one in self.models if one.name == name), None)

    def modes_of(self, model: ModelEntry) -> tuple[str, ...]:
        """The modes that a model runs; a control has one of its own."""
        return ("control",) if model.control else tuple(model.modes or self.modes)

    def points(self, task: TaskEntry, model: ModelEntry, mode: str) -> list[dict]:
        """The grid of a cell: one dict of fine-tuning options for each point.

        Options of the mode give way to those of the task, these to the model's, and these to the task's for the model.
        """
        merged = {**self.modes.get(mode, {}), **task.options.get("all", {}), **model.options}
        merged |= task.options.get(model.name, {})
        names = [name for name, value in merged.items() if isinstance(value, list) and name in GRID]
        fixed = {name: value for name, value in merged.items() if name not in names}
        if mode == "linear":  # which reads none of them: a grid would be the same probe again and again
            return [fixed]
        return [{**fixed, **dict(zip(names, values))} for values in itertools.product(*(merged[n] for n in names))]
