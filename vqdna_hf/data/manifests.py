"""Directories that are written shard by shard: a JSON manifest of what they are to hold, and what is there of it.

The manifest is written first, with the settings of the run and `"complete": false`, and once more when every shard is
there. A run that was stopped finds its settings there, a run with others is told what differs, and processes that
write together see how far the others are.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ..runs.files import check_output, holds_files
from ..runs.records import different_settings


# the setting that says by which table codes were made; there is none of codes that a network in float32 made
_TABLE = "table"


def table_settings(tokenizer) -> dict[str, str]:
    """What a run that stores codes has to remember of how they are made, beside the vocabulary's fingerprint.

    Codes of a table and of the network before it was compiled may differ at near-ties: a run must not hold both.
    """
    table = getattr(getattr(tokenizer, "codec", None), "table", None)
    return {} if table is None else {_TABLE: table.digest}


def holds_manifest(directory: Path, name: str, error: type[ValueError], advice: str) -> bool:
    """Whether the manifest `name` is in a directory. If not, a run may begin there: it is not there yet, or empty.

    What a run leaves that is killed before its manifest is there does not count.

    Raises:
        error: there is no manifest but something else, or the directory is a file; `advice` is a sentence.
        ValueError: see `check_output`.
    """
    check_output(directory)
    if (directory / name).exists():
        return True
    if directory.exists() and (not directory.is_dir() or holds_files(directory, (name,))):
        raise error(f"{directory} is not empty and holds no {name}. {advice}")
    return False


def begun_manifest(
    path: Path,
    wanted: dict,
    names: Iterable[str],
    read: Callable[[Path], dict],
    error: type[ValueError],
    what: str,
    advice: str,
) -> dict | None:
    """The manifest of a run that was begun with the same settings; `None` if a run may begin there.

    Args:
        path: of the manifest.
        wanted, names: see `different_settings`; that of `table_settings` is always one of them.
        read: gives the manifest that is there.
        what: what the directory holds, for messages.
        advice: a sentence for a directory that holds something else.

    Raises:
        error: as `holds_manifest`, or the run had other settings.
    """
    if not holds_manifest(path.parent, path.name, error, advice):
        return None
    found = read(path)
    if details := different_settings(found, wanted, (*names, _TABLE)):
        raise error(
            f"{path.parent} holds {what} made differently: {details}. Use the same arguments and files to resume, or "
            "another directory."
        )
    return found


def wait_until(finished: Callable[[], object]) -> None:
    """Wait for what another process does; a barrier would give up after its timeout, which hours of work exceed.

    Args:
        finished: asked twice a second, until what it returns is true.
    """
    while not finished():
        time.sleep(0.5)
