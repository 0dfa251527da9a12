"""What a benchmark runs, as one YAML file says it: read and checked as a whole before anything starts."""

import difflib
import itertools
import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from ..data import get_task
from ..training.arguments import FinetuneArguments, PretrainArguments, TrainTokenizerArguments
from .kinds import CONTROLS, TOKENIZERS


FORMAT = 1
MODES = ("full", "lora", "end-to-end", "linear")
# options of the commands that a benchmark file sets; what is left out here the benchmark decides itself
_OWNED = {
    *("output", "resume", "save_steps", "eval_steps", "logging_steps", "fasta", "corpus", "tokenizer", "model"),
    *("data", "task", "problem", "metric", "mode", "seed", "recipe"),
}
_GRID = ("learning_rate", "dropout", "epochs", "weight_decay", "batch_size", "pooling", "pooling_bins")


def options_of(arguments_class: type) -> dict[str, type]:
    """The options of a command that a benchmark file may set, and their types."""
    return {one.name: one.type for one in fields(arguments_class) if one.name not in _OWNED}


_FINETUNE = options_of(FinetuneArguments)


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
        vocabulary: options of `vqdna train-tokenizer`, or the name of another model whose vocabulary is taken.
        tokenizer: a hand-made tokenizer: `kind` and its options.
        encoder: options of `vqdna pretrain`; `max_steps: 0` leaves the encoder as it was initialized.
        path: a directory, or a repository of the Hub, with a model and its tokenizer; `revision` and
            `trust_remote_code` go with it.
        control: `cnn` or `kmer-regression`.
        modes: the modes that this model runs; all of the file when not given.
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
    options: dict = field(default_factory=dict)

    @property
    def is_control(self) -> bool:
        """Whether the model is trained from nothing on each task."""
        return self.control is not None


@dataclass(frozen=True)
class Specification:
    """A benchmark file. See `examples/benchmark.yaml` and docs/benchmark.md for the format."""

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
    ablations: tuple[dict, ...] = ()

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
        names = [name for name, value in merged.items() if isinstance(value, list) and name in _GRID]
        fixed = {name: value for name, value in merged.items() if name not in names}
        return [{**fixed, **dict(zip(names, values))} for values in itertools.product(*(merged[n] for n in names))]


def read_specification(path: str | os.PathLike) -> Specification:
    """Read and check a benchmark file. `${NAME}` in it stands for an environment variable.

    Raises:
        SpecificationError: the file is no YAML mapping; an unknown key (the message names the nearest); a value of the
            wrong type; an unknown task, mode, model or control; a variable that is not set.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecificationError(f"There is no benchmark file {path}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecificationError(f"{path} is not YAML: {error}") from None
    try:
        return _specification(_expand(content))
    except ValueError as error:
        raise SpecificationError(f"{path}: {error}") from None


def _expand(value):
    """Put environment variables in place of `${NAME}`, everywhere."""
    if isinstance(value, dict):
        return {key: _expand(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_expand(part) for part in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match) -> str:
        if match[1] not in os.environ:
            raise ValueError(f"{value!r} needs the environment variable {match[1]}, which is not set.")
        return os.environ[match[1]]

    return re.sub(r"\$\{(\w+)\}", variable, value)


def _specification(content) -> Specification:
    if not isinstance(content, dict):
        raise ValueError("the file should hold a mapping with tasks, models, modes and seeds.")
    _check_keys(content, {one.name for one in fields(Specification)} | {"format"}, "")
    for name in ("tasks", "models", "seeds"):
        if not content.get(name) and not content.get("ablations"):
            raise ValueError(f"{name} is missing or empty.")
    if content.get("format", FORMAT) != FORMAT:
        raise ValueError(f"format {content['format']!r} is not the format of this version, {FORMAT}.")
    modes = {}
    for name, options in _mapping(content.get("modes") or {"full": None}, "modes").items():
        if name not in MODES:
            raise ValueError(f"modes: there is no mode {name!r}; choose among {', '.join(MODES)}.")
        modes[name] = _options(options, _FINETUNE, f"modes.{name}")
    models = tuple(_model(name, entry) for name, entry in _mapping(content.get("models") or {}, "models").items())
    tasks = tuple(_task(entry, [model.name for model in models]) for entry in _list(content.get("tasks"), "tasks"))
    _check_models(models, content)
    _check_unique([task.name for task in tasks], "tasks")
    seeds = tuple(_list(content.get("seeds"), "seeds"))
    for seed in seeds:
        if type(seed) is not int or seed < 0:
            raise ValueError(f"seeds: {seed!r} is not a whole number from 0 on.")
    _check_unique(seeds, "seeds")
    rows = {}
    for name in ("train_rows", "dev_rows", "window"):
        value = content.get(name)
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"{name} is {value!r}, but it must be a whole number from 1 on.")
        if value is not None:
            rows[name] = value
    reference = content.get("reference")
    if reference is not None and reference not in {model.name for model in models}:
        raise ValueError(f"reference: there is no model {reference!r} in the file.")
    return Specification(
        title=str(content.get("title", "Benchmark")),
        tasks=tasks,
        models=models,
        modes=modes,
        seeds=seeds,
        data_dir=_text(content.get("data_dir"), "data_dir"),
        fasta=tuple(_list(content.get("fasta"), "fasta")),
        reference=reference,
        ablations=tuple(_list(content.get("ablations"), "ablations")),
        **rows,
    )


def _task(entry, models: list[str]) -> TaskEntry:
    entry = {"name": entry} if isinstance(entry, str) else _mapping(entry, "tasks")
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"tasks: {entry!r} has no name.")
    where = f"tasks.{name}"
    _check_keys(entry, {"name", "data", *_FINETUNE, *models}, where)
    data = _text(entry.get("data"), f"{where}.data")
    options = {"all": _options({key: entry[key] for key in entry if key in _FINETUNE}, _FINETUNE, where)}
    options |= {key: _options(entry[key], _FINETUNE, f"{where}.{key}") for key in entry if key in models}
    return TaskEntry(name if data else get_task(name).name, data, options)


def _model(name: str, entry) -> ModelEntry:
    where, entry = f"models.{name}", _mapping(entry, f"models.{name}")
    # names become those of directories and files
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", str(name)):
        raise ValueError(f"models: {name!r} is no name: letters, digits and . _ + - only, a letter or digit first.")
    _check_keys(entry, {one.name for one in fields(ModelEntry)} - {"name"}, where)
    origins = [key for key in ("vocabulary", "tokenizer", "path", "control") if entry.get(key) is not None]
    if len(origins) != 1:
        raise ValueError(
            f"{where} should say exactly one of vocabulary, tokenizer, path and control, not "
            f"{' and '.join(origins) or 'none'}."
        )
    values = dict(entry)
    if isinstance(values.get("tokenizer"), str):
        values["tokenizer"] = {"kind": values["tokenizer"]}
    if "tokenizer" in origins:
        kind = _mapping(values["tokenizer"], f"{where}.tokenizer").get("kind")
        if kind not in TOKENIZERS:
            raise ValueError(f"{where}.tokenizer: there is no kind {kind!r}; choose one of {', '.join(TOKENIZERS)}.")
        values["tokenizer"] = _options(values["tokenizer"], {"kind": str, **TOKENIZERS[kind]}, f"{where}.tokenizer")
    if "control" in origins and values["control"] not in CONTROLS:
        raise ValueError(f"{where}: there is no control {values['control']!r}; choose one of {', '.join(CONTROLS)}.")
    if isinstance(values.get("vocabulary"), dict):
        allowed = options_of(TrainTokenizerArguments)
        values["vocabulary"] = _options(values["vocabulary"], allowed, f"{where}.vocabulary")
    if origins[0] in ("vocabulary", "tokenizer"):
        encoder = options_of(PretrainArguments)
        values["encoder"] = _options(entry.get("encoder"), encoder, f"{where}.encoder")
    elif entry.get("encoder") is not None:
        raise ValueError(f"{where}: encoder goes with vocabulary or tokenizer, not with {origins[0]}.")
    if entry.get("modes") is not None:
        values["modes"] = tuple(_list(entry["modes"], f"{where}.modes"))
        unknown = [mode for mode in values["modes"] if mode not in MODES]
        if unknown:
            raise ValueError(f"{where}: there is no mode {unknown[0]!r}; choose among {', '.join(MODES)}.")
    options = {**_FINETUNE, **CONTROLS.get(entry.get("control"), {})}
    values["options"] = _options(entry.get("options"), options, f"{where}.options")
    return ModelEntry(name=str(name), **values)


def _check_models(models: tuple[ModelEntry, ...], content: dict):
    names = {model.name: model for model in models}
    for model in models:
        if isinstance(model.vocabulary, str):
            other = names.get(model.vocabulary)
            if other is None or not isinstance(other.vocabulary, dict):
                raise ValueError(
                    f"models.{model.name}: vocabulary names {model.vocabulary!r}, which is no model of the file that "
                    "learns one."
                )
        if model.encoder is not None and not content.get("fasta"):
            needs = isinstance(model.vocabulary, dict) or model.encoder.get("max_steps") != 0
            if needs or (model.tokenizer or {}).get("kind") == "bpe":
                raise ValueError(f"models.{model.name} is pre-trained, but the file names no fasta.")
        modes = set(model.modes or ()) - set(content.get("modes") or {"full": None})
        if modes:
            raise ValueError(f"models.{model.name}: the mode {sorted(modes)[0]!r} is not among the file's modes.")
    folded = [model.name.lower() for model in models]  # some file systems do not tell case apart
    _check_unique(folded, "models")


# checks of single values


def _check_keys(entry: dict, known, where: str):
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(str(key), [str(name) for name in known], n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}?" if near else f"Known are {', '.join(sorted(map(str, known)))}."
            raise ValueError(f"{where + ': ' if where else ''}unknown key {key!r}. {hint}")


def _check_unique(values, where: str):
    for value in values:
        if list(values).count(value) > 1:
            raise ValueError(f"{where}: {value!r} is there twice.")


def _mapping(value, where: str) -> dict:
    if not isinstance(value, dict):
        raise ValueError(f"{where} should be a mapping (name: value), not {value!r}.")
    return value


def _list(value, where: str) -> list:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{where} should be a list, not {value!r}.")
    return value


def _text(value, where: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{where} should be text, not {value!r}.")
    return value


def _options(given, known: dict[str, type], where: str) -> dict:
    """Options of a command, each of its type; a list is a grid where the option itself is none."""
    given = {} if given is None else _mapping(given, where)
    _check_keys(given, known, where)
    values = {}
    for name, value in given.items():
        grid = isinstance(value, list) and name in _GRID
        if grid and not value:
            raise ValueError(f"{where}.{name} is an empty list.")
        kind = known[name]
        values[name] = (
            [_typed(one, kind, f"{where}.{name}") for one in value] if grid else _typed(value, kind, f"{where}.{name}")
        )
    return values


def _typed(value, kind, where: str):
    """The value as the option's type: whole numbers do for fractions, and `5e-4`, which YAML reads as text, too."""
    allowed = getattr(kind, "__args__", (kind,))
    if value is None and type(None) in allowed:
        return None
    if list in (getattr(kind, "__origin__", kind),):
        if isinstance(value, list):
            return list(value)
    elif bool in allowed and isinstance(value, bool):
        return value
    elif float in allowed and not isinstance(value, bool) and isinstance(value, (int, float, str)):
        try:
            return float(value)
        except ValueError:
            pass
    elif int in allowed and type(value) is int:
        return value
    elif str in allowed and isinstance(value, str):
        return value
    names = " or ".join(getattr(one, "__name__", str(one)) for one in allowed if one is not type(None))
    raise ValueError(f"{where} is {value!r}, but it must be of the type {names}.")
