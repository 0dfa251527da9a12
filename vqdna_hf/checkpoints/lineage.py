"""What a run was built on: the records of the vocabulary and of the encoder it started from, without machine paths."""

from pathlib import Path, PurePosixPath, PureWindowsPath

from ..runs.files import read_json
from . import resolve_checkpoint


# keys whose values are places on the machine, relative ones included
_PLACES = frozenset({"_name_or_path", "base_model_name_or_path", "corpus", "data", "fasta", "model", "output"})
_PLACES |= {"tokenizer"}


def without_paths(value, key: str | None = None):
    """A copy of a JSON value in which every path is its last part; task names (`mouse/3`) stay.

    Args:
        value: what `json.loads` gives.
        key: the name it is stored under, which tells a relative path from a name.

    Example: `{"data": "/home/me/GUE/mouse/3", "task": "mouse/3"}` -> `{"data": "3", "task": "mouse/3"}`
    """
    if isinstance(value, dict):
        return {name: without_paths(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_paths(inner, key) for inner in value]
    if isinstance(value, str) and (key in _PLACES or _is_place(value)):
        return PureWindowsPath(value).name  # splits at both kinds of slash
    return value


def vocabulary_record(directory: str | Path, fingerprint: str | None) -> dict | None:
    """What the `training.json` of a tokenizer directory says: data, arguments, evaluation, versions.

    Args:
        directory: holds a tokenizer, or an encoder that carries its vocabulary's record along; or a checkpoint.
        fingerprint: the vocabulary the record must be of; None for an ordinary one, whose records have none.

    Returns:
        The record, or None where there is none, as for a control that nothing was learned for.
    """
    record = _record(directory, fingerprint)
    return record.get("vocabulary") if record and "corpus" in record else record


def encoder_record(directory: str | Path, fingerprint: str | None) -> dict | None:
    """What the `training.json` of a model directory says, with its vocabulary's record; None where there is none."""
    record = _record(directory, fingerprint)
    return record if record and "corpus" in record else None


def _record(directory: str | Path, fingerprint: str | None) -> dict | None:
    path = Path(resolve_checkpoint(directory)) / "training.json"
    if not path.is_file():
        return None
    record = read_json(path)
    # a record that was copied along from elsewhere tells nothing about this vocabulary
    return without_paths(record) if record.get("fingerprint") == fingerprint else None


def _is_place(text: str) -> bool:
    absolute = PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()
    return absolute or text.startswith(("~", "./", "../", ".\\", "..\\"))
