"""What the record of a run says beside its scores: its settings, versions, what was cut, digests of its weights."""

import hashlib
import json
import logging
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .directories import check_inside
from .files import read_json, write_json


logger = logging.getLogger(__name__)

_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "peft", "tokenizers", "numpy")
SPLIT_WORDS = {"train": "training sequences", "dev": "dev sequences", "test": "test sequences"}
# characters of a setting's value in a message
_LONGEST = 200
_FIELD = "digests"
# what finished runs write last
RECORDS = ("training.json", "results.json")


def different_settings(before: dict, now: dict, names: Iterable[str] | None = None) -> str:
    """Which settings of a run are not those it was begun with, for a message; empty if they are the same.

    Args:
        before: what its record says. A setting that one side lacks had its default there, and compares as `None`.
        now: those of the command that resumes it.
        names: the settings that must be the same; all of both when not given.
    """
    # subtle: through JSON, so that tuples compare as the lists they were written as
    now = json.loads(json.dumps(now))
    names = {**now, **before} if names is None else names
    different = [name for name in names if before.get(name) != now.get(name)]
    return "; ".join(f"{name}: {_shown(before, name)} then, {_shown(now, name)} now" for name in different)


def _shown(settings: dict, name: str) -> str:
    text = repr(settings[name]) if name in settings else "its default"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide a result."""
    versions = {}
    for name in ("vqdna-hf", *_PACKAGES):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "source checkout"
    return versions


@dataclass(frozen=True)
class Cut:
    """How many sequences were cut, and to which length.

    Attributes:
        split: `train`, `dev` or `test`; empty where it is no split of a task.
        sequences, of: sequences that were cut, among how many.
        longest: what is kept of each, from its start, in `unit`: `bases`, or `tokens` with the special ones.
    """

    split: str
    sequences: int
    of: int
    longest: int
    unit: str

    def __str__(self) -> str:
        what = SPLIT_WORDS.get(self.split, "sequences")
        return f"{self.sequences:,} of {self.of:,} {what} cut to {self.longest:,} {self.unit}"


def note_cut(cuts: list[Cut], split: str, lengths: Iterable[int], longest: int | None, unit: str = "bases"):
    """Say how many sequences are longer than what is read of them, and append that to `cuts`, if there are any.

    Args:
        lengths: of the whole sequences, in `unit`.
        longest: what is read; all when None.
    """
    if longest is None:
        return
    lengths = list(lengths)
    cut = Cut(split, sum(length > longest for length in lengths), len(lengths), longest, unit)
    if cut.sequences:
        logger.warning("%s: the model does not see what lies behind.", cut)
        cuts.append(cut)


def cut_records(cuts: list[Cut]) -> dict[str, list[dict]]:
    """What a record says of cuts: `cut`, a list with the fields of each; nothing where nothing was cut."""
    return {"cut": [asdict(cut) for cut in cuts]} if cuts else {}


def read_cuts(record: dict) -> list[Cut]:
    """The cuts that a record holds."""
    return [Cut(**fields) for fields in record.get("cut") or []]


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


def renew_digest(directory: Path, name: str):
    """Let the records in a directory have the digest of a file of weights that was made after the run."""
    for path in (directory / record for record in RECORDS if (directory / record).is_file()):
        record = read_json(path)
        if isinstance(record.get(_FIELD), dict):
            record[_FIELD] |= weight_digests(directory, [name])
            write_json(path, record)


def check_digests(directory: Path, names: list[str] | None = None):
    """Compare a directory's weights with what its run recorded; a record of an earlier version has no digests.

    Args:
        names: files that are going to be published; those in the record when not given.

    Raises:
        ValueError: a file is another one than the run wrote, or is not in the record; names it and what to do.
    """
    records = [directory / name for name in RECORDS if (directory / name).is_file()]
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
    records = [directory / name for name in RECORDS if (directory / name).is_file()]
    if not records:
        raise ValueError(f"{directory} has no record of a run ({' or '.join(RECORDS)}), and needs no digests.")
    for path in records:
        write_json(path, with_digests(read_json(path), directory))
