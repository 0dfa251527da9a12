"""Directories that are written shard by shard: a JSON manifest of what they are to hold, and what is there of it.

The manifest is written first, with the settings of the run and `"complete": false`, and once more when every shard is
there. A run that was stopped finds its settings there, a run with others is told what differs, and processes that
write together see how far the others are.
"""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


# characters of a setting's value in a message
_LONGEST = 200


def read_manifest(path: Path, error: type[ValueError], complaint: str, advice: str) -> dict:
    """The content of a manifest.

    Args:
        path: of the manifest.
        error: what is raised.
        complaint: what to say of a file that is something else, as in "is no manifest".
        advice: what to do then, a sentence.

    Raises:
        error: the file holds no JSON object.
        OSError: it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
        return content
    except ValueError as reason:
        raise error(f"{path} {complaint}: {reason}. {advice}") from reason


def holds_manifest(directory: Path, name: str, error: type[ValueError], advice: str) -> bool:
    """Whether the manifest `name` is in a directory. If not, a run may begin there: it is empty, or not there yet.

    Raises:
        error: there is no manifest but something else, or the directory is a file; `advice` is a sentence.
    """
    if (directory / name).exists():
        return True
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise error(f"{directory} is not empty and holds no {name}. {advice}")
    return False


def different_settings(found: dict, wanted: dict, names: Iterable[str]) -> str:
    """Which settings of a run that was begun are not those of this one, for a message; empty if they are the same.

    Args:
        found: the manifest that is there; what it lacks counts as `None`.
        wanted: the manifest of this run, with all of `names`.
        names: the settings that must be the same.
    """
    # subtle: through JSON, so that tuples compare as the lists they were written as
    wanted = json.loads(json.dumps(wanted))
    return "; ".join(
        f"{name} is {_short(found.get(name))} there, {_short(wanted[name])} here"
        for name in names
        if found.get(name) != wanted[name]
    )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def is_whole(path: Path, rows: int) -> bool:
    """Whether a Parquet file is there and has that many rows."""
    try:
        return pq.read_metadata(path).num_rows == rows
    # a shard whose data never reached the disk before a power failure is written again
    except (FileNotFoundError, pa.ArrowInvalid):
        return False


def wait_until(finished: Callable[[], object]) -> None:
    """Wait for what another process does; a barrier would give up after its timeout, which hours of work exceed.

    Args:
        finished: asked twice a second, until what it returns is true.
    """
    while not finished():
        time.sleep(0.5)
