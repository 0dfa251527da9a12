"""What a benchmark runs, as one YAML file says it: read and checked as a whole before anything starts."""

import os
import re
from pathlib import Path

from ...arguments.data import BaselineTokenizerArguments
from ...runs.yaml_files import read_yaml
from ...tasks import get_task
from .checks import check_specification
from .command_options import OPTIONS, check_keys, check_mapping, read_fields, read_options
from .schema import ModelEntry, Specification, SpecificationError, Study, TaskEntry


_TUNING = OPTIONS["fine-tuning"][1]


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
        specification = _specification(_expand_variables(content))
        check_specification(specification, to_run)
    except ValueError as error:
        raise SpecificationError(f"{path}: {error}") from None
    return specification


def _expand_variables(value):
    """Put environment variables in place of `${NAME}`, everywhere."""
    if isinstance(value, dict):
        return {key: _expand_variables(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_expand_variables(part) for part in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match) -> str:
        if not os.environ.get(match[1]):
            raise ValueError(f"{value!r} needs the environment variable {match[1]}, which is not set.")
        return os.environ[match[1]]

    return re.sub(r"\$\{(\w+)\}", variable, value)


def _specification(content) -> Specification:
    values = read_fields(content, Specification, "")
    for name in ("tasks", "models", "seeds"):
        # a study of vocabularies needs no models
        if not values.get(name) and not (name == "models" and values.get("ablations")):
            raise ValueError(f"{name} is missing or empty.")
    modes = (values.get("modes") or {"full": None}).items()
    models = check_mapping(values.get("models") or {}, "models").items()
    values["models"] = tuple(_model(str(name), entry) for name, entry in models)
    values["modes"] = {name: read_options(options, "fine-tuning", f"modes.{name}") for name, options in modes}
    names = [model.name for model in values["models"]]
    values["tasks"] = [_task(entry, names) for entry in values["tasks"]]
    values["ablations"] = [_study(entry) for entry in values.get("ablations", [])]
    return Specification(**values)


def _task(entry, models: list[str]) -> TaskEntry:
    entry = {"name": entry} if isinstance(entry, str) else check_mapping(entry, "tasks")
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"tasks: {entry!r} has no name.")
    where = f"tasks.{name}"
    check_keys(entry, ["name", "data", *_TUNING, *models], where)
    TaskEntry.check_options(entry, where)
    shared = {key: entry[key] for key in entry if key in _TUNING}
    options = {"all": read_options(shared, "fine-tuning", where)}
    options |= {key: read_options(entry[key], "fine-tuning", f"{where}.{key}") for key in entry if key in models}
    data = entry.get("data")
    return TaskEntry(name if data else get_task(name).name, data, options)


def _model(name: str, entry) -> ModelEntry:
    where = f"models.{name}"
    # names become those of directories and files
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name):
        raise ValueError(f"models: {name!r} is no name: letters, digits and . _ + - only, a letter or digit first.")
    if name in ("name", "data", "all", *_TUNING):
        raise ValueError(f"models: {name!r} cannot be the name of a model: it has another meaning at a task.")
    values = read_fields(entry, ModelEntry, where, but=("name",))
    origins = [key for key in ("vocabulary", "tokenizer", "path", "control") if key in values]
    if len(origins) != 1:
        raise ValueError(
            f"{where} should say exactly one of vocabulary, tokenizer, path and control, not "
            f"{' and '.join(origins) or 'none'}."
        )
    [origin] = origins
    if origin == "tokenizer":
        values["tokenizer"] = _tokenizer(values["tokenizer"], f"{where}.tokenizer")
    if origin == "vocabulary" and not isinstance(values["vocabulary"], str):
        given = check_mapping(values["vocabulary"], f"{where}.vocabulary")
        about = "vocabulary path" if "path" in given else "vocabulary"
        values["vocabulary"] = read_options(given, about, f"{where}.vocabulary")
    if origin in ("vocabulary", "tokenizer"):
        values["encoder"] = read_options(values.get("encoder"), "encoder", f"{where}.encoder")
    elif "encoder" in values:
        raise ValueError(f"{where}: encoder goes with vocabulary or tokenizer, not with {origin}.")
    values["options"] = read_options(values.get("options"), values.get("control", "fine-tuning"), f"{where}.options")
    return ModelEntry(name, **values)


def _tokenizer(given, where: str) -> dict:
    given = {"kind": given} if isinstance(given, str) else check_mapping(given, where)
    BaselineTokenizerArguments.check_options({"kind": given.get("kind")}, where)
    return read_options(given, given["kind"], where)


def _study(entry) -> Study:
    where = f"ablations.{check_mapping(entry, 'ablations').get('name')}"
    values = read_fields(entry, Study, where)
    if "name" not in values or bool(values.get("variants")) == bool(values.get("models")):
        raise ValueError(f"{where} should have a name and either variants or models.")
    values["vocabulary"] = read_options(values.get("vocabulary"), "study", f"{where}.vocabulary")
    values["variants"] = [
        read_options(one, "study", f"{where}.variants, number {number}")
        for number, one in enumerate(values.get("variants", []), start=1)
    ]
    return Study(**values)
