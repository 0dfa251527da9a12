"""What a benchmark runs, as one YAML file says it: read and checked as a whole before anything starts."""

import os
import re
from dataclasses import fields
from pathlib import Path

from ...arguments.training import FinetuneArguments, PretrainArguments, TrainTokenizerArguments
from ...runs.yaml_files import read_yaml
from ...tasks import get_task
from .checks import check_values
from .controls import CONTROLS, TOKENIZERS
from .parsing import (
    GRID,
    as_list,
    as_mapping,
    as_text,
    check_keys,
    check_unique,
    expand_variables,
    read_options,
    read_plain_options,
)
from .schema import MODES, ModelEntry, Specification, SpecificationError, Study, TaskEntry


FORMAT = 1
# options of the commands that a benchmark file sets; what is left out here the benchmark decides itself
_OWNED = {
    *("output", "resume", "save_steps", "eval_steps", "logging_steps", "fasta", "corpus", "tokenizer", "model"),
    *("data", "task", "problem", "metric", "mode", "seed", "recipe", "trust_remote_code", "lora"),
    # a cell's codes are held in memory, and how fast it trains is no part of a comparison
    *("cache_codes", "cache_dir", "group_by_length", "attn_implementation", "compile", "gradient_checkpointing"),
}


def options_of(arguments_class: type) -> dict[str, type]:
    """The options of a command that a benchmark file may set, and their types."""
    return {one.name: one.type for one in fields(arguments_class) if one.name not in _OWNED}


_FINETUNE = options_of(FinetuneArguments)
_RESERVED = {"name", "data", "all", *_FINETUNE}
# of stage 2; its mask_ratio has another name here, because stage 1 has one too
MASKING_OPTIONS = {"masking": str, "masked_share": float, "span_length": int | None}
MASKING = tuple(MASKING_OPTIONS)


def read_specification(path: str | os.PathLike, to_run: bool = True) -> Specification:
    """Read and check a benchmark file. `${NAME}` in it stands for an environment variable.

    Args:
        to_run: false where nothing will be trained: vocabularies that the file names need not be there then.

    Raises:
        SpecificationError: the file is no YAML mapping; an unknown key (the message names the nearest); a value of the
            wrong type; an unknown task, mode, model or control; a variable that is not set.
    """
    path = Path(path)
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise SpecificationError(f"There is no benchmark file {path}.") from None
    except ValueError as error:
        raise SpecificationError(str(error)) from None
    try:
        return _specification(expand_variables(content), to_run)
    except ValueError as error:
        raise SpecificationError(f"{path}: {error}") from None


def _specification(content, to_run: bool) -> Specification:
    if not isinstance(content, dict):
        raise ValueError("the file should hold a mapping with tasks, models, modes and seeds.")
    check_keys(content, {one.name for one in fields(Specification)} | {"format"}, "")
    for name in ("tasks", "models", "seeds"):
        # a study of vocabularies needs no models
        if not content.get(name) and not (name == "models" and content.get("ablations")):
            raise ValueError(f"{name} is missing or empty.")
    if content.get("format", FORMAT) != FORMAT:
        raise ValueError(f"format {content['format']!r} is not the format of this version, {FORMAT}.")
    modes = {}
    for name, options in as_mapping(content.get("modes") or {"full": None}, "modes").items():
        if name not in MODES:
            raise ValueError(f"modes: there is no mode {name!r}; choose among {', '.join(MODES)}.")
        modes[name] = _tuning_options(options, f"modes.{name}")
    models = tuple(_model(name, entry) for name, entry in as_mapping(content.get("models") or {}, "models").items())
    tasks = tuple(_task(entry, [model.name for model in models]) for entry in as_list(content.get("tasks"), "tasks"))
    _check_models(models, content)
    check_unique([task.name for task in tasks], "tasks")
    seeds = tuple(as_list(content.get("seeds"), "seeds"))
    for seed in seeds:
        if type(seed) is not int or seed < 0:
            raise ValueError(f"seeds: {seed!r} is not a whole number from 0 on.")
    check_unique(seeds, "seeds")
    rows = {}
    for name in ("train_rows", "dev_rows", "window"):
        value = content.get(name)
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"{name} is {value!r}, but it must be a whole number from 1 on.")
        if value is not None:
            rows[name] = value
    reference = as_text(content.get("reference"), "reference")
    if reference is not None and reference not in {model.name for model in models}:
        raise ValueError(f"reference: there is no model {reference!r} in the file.")
    specification = Specification(
        title=str(content.get("title", "Benchmark")),
        tasks=tasks,
        models=models,
        modes=modes,
        seeds=seeds,
        data_dir=as_text(content.get("data_dir"), "data_dir"),
        fasta=tuple(as_text(path, "fasta") for path in as_list(content.get("fasta"), "fasta")),
        reference=reference,
        ablations=_studies(content, tasks, models),
        **rows,
    )
    check_values(specification, to_run)
    return specification


def _tuning_options(given, where: str, further: dict[str, type] | None = None) -> dict:
    """Options of fine-tuning, and `further` ones of a control, each within its range: every value of a grid."""
    values = read_options(given, {**_FINETUNE, **(further or {})}, where)
    for name, value in values.items():
        for one in value if name in GRID and isinstance(value, list) else [value]:
            FinetuneArguments.check_options({name: one}, where)
    return values


def _task(entry, models: list[str]) -> TaskEntry:
    entry = {"name": entry} if isinstance(entry, str) else as_mapping(entry, "tasks")
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"tasks: {entry!r} has no name.")
    where = f"tasks.{name}"
    check_keys(entry, {"name", "data", *_FINETUNE, *models}, where)
    data = as_text(entry.get("data"), f"{where}.data")
    options = {"all": _tuning_options({key: entry[key] for key in entry if key in _FINETUNE}, where)}
    options |= {key: _tuning_options(entry[key], f"{where}.{key}") for key in entry if key in models}
    return TaskEntry(name if data else get_task(name).name, data, options)


def _model(name: str, entry) -> ModelEntry:
    where, entry = f"models.{name}", as_mapping(entry, f"models.{name}")
    # names become those of directories and files
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", str(name)):
        raise ValueError(f"models: {name!r} is no name: letters, digits and . _ + - only, a letter or digit first.")
    if name in _RESERVED:
        raise ValueError(f"models: {name!r} cannot be the name of a model: it has another meaning at a task.")
    check_keys(entry, {one.name for one in fields(ModelEntry)} - {"name"}, where)
    for key in ("path", "revision", "control"):
        as_text(entry.get(key), f"{where}.{key}")
    if not isinstance(entry.get("trust_remote_code", False), bool):
        raise ValueError(f"{where}.trust_remote_code is {entry['trust_remote_code']!r}, but it must be true or false.")
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
        kind = as_mapping(values["tokenizer"], f"{where}.tokenizer").get("kind")
        if kind not in TOKENIZERS:
            raise ValueError(f"{where}.tokenizer: there is no kind {kind!r}; choose one of {', '.join(TOKENIZERS)}.")
        values["tokenizer"] = read_options(
            values["tokenizer"], {"kind": str, **TOKENIZERS[kind]}, f"{where}.tokenizer"
        )
    if "control" in origins and values["control"] not in CONTROLS:
        raise ValueError(f"{where}: there is no control {values['control']!r}; choose one of {', '.join(CONTROLS)}.")
    if isinstance(values.get("vocabulary"), dict):
        named = "path" in values["vocabulary"]
        allowed = {"path": str} if named else options_of(TrainTokenizerArguments)
        values["vocabulary"] = read_plain_options(values["vocabulary"], allowed, f"{where}.vocabulary")
    if origins[0] in ("vocabulary", "tokenizer"):
        encoder = options_of(PretrainArguments)
        values["encoder"] = read_plain_options(entry.get("encoder"), encoder, f"{where}.encoder")
    elif entry.get("encoder") is not None:
        raise ValueError(f"{where}: encoder goes with vocabulary or tokenizer, not with {origins[0]}.")
    if entry.get("modes") is not None:
        values["modes"] = tuple(as_list(entry["modes"], f"{where}.modes"))
        unknown = [mode for mode in values["modes"] if mode not in MODES]
        if unknown:
            raise ValueError(f"{where}: there is no mode {unknown[0]!r}; choose among {', '.join(MODES)}.")
        check_unique(values["modes"], f"{where}.modes")
    seeds = entry.get("seeds")
    if seeds is not None and (type(seeds) is not int or seeds < 1):
        raise ValueError(f"{where}.seeds is {seeds!r}, but it must be how many of the file's seeds run, from 1 on.")
    further = CONTROLS.get(entry.get("control"), {})
    values["options"] = _tuning_options(entry.get("options"), f"{where}.options", further)
    return ModelEntry(name=str(name), **values)


def _studies(content: dict, tasks: tuple[TaskEntry, ...], models: tuple[ModelEntry, ...]) -> tuple[Study, ...]:
    stage_1 = {**options_of(TrainTokenizerArguments), **MASKING_OPTIONS}
    studies = []
    for entry in as_list(content.get("ablations"), "ablations"):
        name = as_mapping(entry, "ablations").get("name")
        where = f"ablations.{name}"
        check_keys(entry, {one.name for one in fields(Study)}, where)
        if not isinstance(name, str) or bool(entry.get("variants")) == bool(entry.get("models")):
            raise ValueError(f"{where} should have a name and either variants or models.")
        values = dict(entry)
        if entry.get("variants"):
            if as_text(entry.get("task"), f"{where}.task") not in {task.name for task in tasks}:
                known = ", ".join(task.name for task in tasks)
                raise ValueError(f"{where}: the task {entry.get('task')!r} is none of the file's: {known}.")
            if not content.get("fasta"):
                raise ValueError(f"{where} learns vocabularies, but the file names no fasta.")
            values["vocabulary"] = read_plain_options(entry.get("vocabulary"), stage_1, f"{where}.vocabulary")
            values["variants"] = tuple(
                read_plain_options(one, stage_1, f"{where}.variants")
                for one in as_list(entry["variants"], f"{where}.variants")
            )
        else:
            known = {model.name for model in models}
            check_keys(as_mapping(entry["models"], f"{where}.models"), known, f"{where}.models")
        studies.append(Study(**values))
    check_unique([study.name for study in studies], "ablations")
    return tuple(studies)


def _check_models(models: tuple[ModelEntry, ...], content: dict):
    names = {model.name: model for model in models}
    for model in models:
        modes = model.modes or tuple(content.get("modes") or {"full": None})
        if model.tokenizer is not None and "end-to-end" in modes:
            raise ValueError(
                f"models.{model.name}: the mode end-to-end trains a learned vocabulary along, and there is none. Name "
                "its other modes (`modes: [full]`)."
            )
        if isinstance(model.vocabulary, str):
            other = names.get(model.vocabulary)
            if other is None or not other.learns_vocabulary:
                raise ValueError(
                    f"models.{model.name}: vocabulary names {model.vocabulary!r}, which is no model of the file that "
                    "learns one. For one that is there already, say where: `vocabulary: {path: DIRECTORY}`."
                )
        if model.encoder is not None and not content.get("fasta"):
            needs = model.learns_vocabulary or model.encoder.get("max_steps") != 0
            if needs or (model.tokenizer or {}).get("kind") == "bpe":
                raise ValueError(f"models.{model.name} is pre-trained, but the file names no fasta.")
        modes = set(model.modes or ()) - set(content.get("modes") or {"full": None})
        if modes:
            raise ValueError(f"models.{model.name}: the mode {sorted(modes)[0]!r} is not among the file's modes.")
    folded = [model.name.lower() for model in models]  # some file systems do not tell case apart
    check_unique(folded, "models")
