"""What a benchmark file holds, once it is read: tasks, models, studies."""

import itertools
from dataclasses import dataclass, field

from .parsing import GRID


MODES = ("full", "lora", "end-to-end", "linear")


class SpecificationError(ValueError):
    """A benchmark file that cannot be run; the message names the file, the place in it and the value."""


@dataclass(frozen=True)
class TaskEntry:
    """A task: one of the catalogue, or a directory of one's own.

    Attributes:
        name: of the catalogue, or chosen.
        data: directory of train, dev and test files; the catalogue's task when not given.
        options: options of fine-tuning on this task: of every model (`all`), and of single models by name.
    """

    name: str
    data: str | None = None
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class ModelEntry:
    """A model: made here (`vocabulary` or `tokenizer`, and `encoder`), named (`path`), or a control.

    Attributes:
        vocabulary: options of `vqdna train-tokenizer`; or the name of another model that learns one; or `path` alone:
            a directory, or a checkpoint of the package, with a learned tokenizer.
        tokenizer: a hand-made tokenizer: `kind` and its options.
        encoder: options of `vqdna pretrain`; `max_steps: 0` leaves the encoder as it was initialized.
        path: a directory, a checkpoint of the package, or a repository of the Hub, with a model and its tokenizer;
            `revision` and `trust_remote_code` go with it.
        control: `cnn` or `kmer-regression`.
        modes: the modes that this model runs; all of the file when not given.
        seeds: how many of the file's seeds this model runs; all when not given.
        options: options of fine-tuning for this model alone, on every task.
    """

    name: str
    vocabulary: dict | str | None = None
    tokenizer: dict | None = None
    encoder: dict | None = None
    path: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    control: str | None = None
    modes: tuple[str, ...] | None = None
    seeds: int | None = None
    options: dict = field(default_factory=dict)

    @property
    def vocabulary_path(self) -> str | None:
        """Where the vocabulary is, if it was there before."""
        return self.vocabulary.get("path") if isinstance(self.vocabulary, dict) else None

    @property
    def learns_vocabulary(self) -> bool:
        """Whether stage 1 is run for the model."""
        return isinstance(self.vocabulary, dict) and self.vocabulary_path is None

    @property
    def is_control(self) -> bool:
        """Whether the model is trained from nothing on each task."""
        return self.control is not None


@dataclass(frozen=True)
class Study:
    """An ablation: vocabularies that differ (`variants`), or models of the file (`models`).

    Attributes:
        task: the task of the linear probe.
        vocabulary: options of stage 1 that all variants share.
        variants: the options in which each differs.
        seeds: how many of the file's seeds stage 1 is repeated with.
        neighbour_steps: training steps of the predictor that sees only the codes around a hidden position.
        models: name of a model -> what is varied in it, to tabulate its scores.
        mode: of the models' cells.
        published: the number of the paper's table to add; by what is varied when not given.
    """

    name: str
    task: str | None = None
    vocabulary: dict = field(default_factory=dict)
    variants: tuple[dict, ...] = ()
    seeds: int = 1
    neighbour_steps: int = 200
    models: dict = field(default_factory=dict)
    mode: str = "full"
    published: int | None = None

    def title(self) -> str:
        """The heading of its table."""
        return f"Ablation: {self.name}" + (f" (linear probe on {self.task})" if self.task else "")


@dataclass(frozen=True)
class Specification:
    """A benchmark file. docs/benchmark.md describes the format."""

    title: str
    tasks: tuple[TaskEntry, ...]
    models: tuple[ModelEntry, ...]
    modes: dict[str, dict]
    seeds: tuple[int, ...]
    data_dir: str | None = None
    train_rows: int | None = None
    dev_rows: int | None = None
    fasta: tuple[str, ...] = ()
    window: int = 512
    reference: str | None = None
    ablations: tuple[Study, ...] = ()

    def modes_of(self, model: ModelEntry) -> tuple[str, ...]:
        """The modes that a model runs; a control has one of its own."""
        if model.is_control:
            return ("control",)
        return model.modes or tuple(self.modes)

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
