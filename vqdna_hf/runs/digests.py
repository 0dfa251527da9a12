"""Digests of weights in the record of the run that made them, by which damaged or exchanged files are known."""

import hashlib
import logging
from collections.abc import Collection
from pathlib import Path

from .files import read_json, write_json
from .own_files import check_inside


logger = logging.getLogger(__name__)

_FIELD = "digests"
_RECORDS = ("results.json", "training.json")


def weight_digests(directory: Path, names: Collection[str] | None = None) -> dict[str, str]:
    """SHA-256 of the files of weights in a directory, all or those named, in hexadecimal, by the file's name."""
    digests = {}
    for path in sorted(directory.glob("*.safetensors")):
        if names is not None and path.name not in names:
            continue
        with check_inside(directory, path.name).open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def with_digests(record: dict, directory: Path) -> dict:
    """A run's record with the digests of the weights that the run has saved."""
    return {**record, _FIELD: weight_digests(directory)}


def check_digests(directory: Path, names: list[str] | None = None):
    """Compare a directory's weights with what its run recorded; a record of an earlier version has no digests.

    Args:
        names: files that are going to be published; those in the record when not given.

    Raises:
        ValueError: a file is another one than the run wrote, or is not in the record; names it and what to do.
    """
    records = [directory / name for name in _RECORDS if (directory / name).is_file()]
    recorded = next((path for path in records if _FIELD in read_json(path)), None)
    if recorded is None:
        if records:
            logger.info("%s has no digests of the weights, so that they are not compared with them.", records[0])
        return
    expected = read_json(recorded)[_FIELD]
    if not isinstance(expected, dict):
        raise ValueError(f"{recorded}: {_FIELD} is {expected!r}, but takes a digest for every file of weights.")
    for name, digest in weight_digests(directory, expected if names is None else names).items():
        if expected.get(name) != digest:
            how = f"has the digest {digest[:12]}…" if name in expected else "is not in the record"
            wanted = f", not {str(expected[name])[:12]}…" if name in expected else ""
            raise ValueError(
                f"{directory / name} {how}{wanted}: it is not the file that the run of {recorded.name} wrote. Copy it "
                "again if it is damaged or mixed up. If you changed the weights on purpose (merged, trained further), "
                f"renew the record: vqdna card {directory} --renew-digests"
            )


def renew_digests(directory: Path):
    """Record the weights that are there now, because they were changed on purpose.

    Raises:
        ValueError: there is no record.
    """
    records = [directory / name for name in _RECORDS if (directory / name).is_file()]
    if not records:
        raise ValueError(f"{directory} has no record of a run ({' or '.join(_RECORDS)}), and needs no digests.")
    for path in records:
        write_json(path, with_digests(read_json(path), directory))
