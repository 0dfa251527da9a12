"""The files of a task: which of a directory is which split, and their columns, read without losing a field.

A table is CSV, which may be compressed, or Parquet. Rows are counted from 1, without the header.
"""

import csv
import io
import re
from os import PathLike
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..data.input_files import DamagedFileError, InputFile, check_file


SPLITS = ("train", "dev", "test")
COLUMNS = ("sequence", "label")

# what others call a split; one of the names may occur
_NAMES = {"train": ("train",), "dev": ("dev", "validation", "valid", "val", "eval"), "test": ("test",)}
_SUFFIXES = (".csv", ".csv.gz", ".parquet")
# a table that is not read, or one of several parts: no reason to read on as if the split were missing
_ALIKE = re.compile(
    r"(-\d+-of-\d+)?\.(csv|tsv|txt|tab|json|jsonl|parquet|arrow|xlsx?|fa|fasta)(\.(gz|bz2|xz|zst|zip))?"
)
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
# the number after a name that a table has twice, as pandas writes it, or of one of several labels
_NUMBERED_LABEL = re.compile(r"labels?[ ._-]?\d+", re.IGNORECASE)


class TaskDataError(ValueError):
    """Task files that cannot be used; the message names the file, the row (from 1) and the value."""


def find_split(directory: Path, split: str) -> Path | None:
    """The file of a split in a directory, in upper or lower case, or None; a dev split may be called `validation`.

    Raises:
        TaskDataError: several files for one split, or only one that looks like it and is not read.
    """
    if not directory.is_dir():
        return None
    names: dict[str, list[Path]] = {}
    for path in sorted(directory.iterdir()):
        names.setdefault(path.name.lower(), []).append(path)
    known = [name + suffix for name in _NAMES[split] for suffix in _SUFFIXES]
    found = [path for name in known for path in names.get(name, [])]
    if len(found) > 1:
        raise TaskDataError(
            f"{directory} has {' and '.join(path.name for path in found)}, each for the {split} split. Keep one of "
            "them."
        )
    if found:
        return found[0]
    alike = [
        path
        for lower, paths in names.items()
        for path in paths
        if any(lower.startswith(name) and _ALIKE.fullmatch(lower[len(name) :]) for name in _NAMES[split])
    ]
    if alike:
        raise TaskDataError(
            f"{directory} has {alike[0].name}, which is not read: the {split} split must be one file, "
            f"{', '.join(split + suffix for suffix in _SUFFIXES)}. Write it as such, or move it away."
        )
    return None


def find_splits(directory: str | PathLike) -> dict[str, Path | None]:
    """The file of each split; None for dev where there is no such file.

    Raises:
        TaskDataError: no such directory; no file for train or test; or as `find_split`.
    """
    directory = Path(directory)
    if not directory.is_dir():
        if directory.exists():
            raise TaskDataError(f"{directory} is a file. Give the directory that holds train.csv, dev.csv, test.csv.")
        raise TaskDataError(f"There is no task directory {directory}. It should hold train.csv, dev.csv and test.csv.")
    found = {split: find_split(directory, split) for split in SPLITS}
    for split in ("train", "test"):
        if found[split] is None:
            there = ", ".join(sorted(path.name for path in directory.iterdir())) or "nothing"
            raise TaskDataError(
                f"{directory} has no {split} file ({', '.join(split + suffix for suffix in _SUFFIXES)}). It holds: "
                f"{there}."
            )
    return found


def read_table(path: Path) -> pd.DataFrame:
    """The columns `sequence` and `label` of a file: text from CSV, whatever there is from Parquet.

    Raises:
        TaskDataError: a file that cannot be read; a column that is missing or there twice; a row with other fields
            than the header says; no rows.
    """
    parquet = path.suffix.lower() == ".parquet"
    try:
        table = _read_parquet(path) if parquet else _read_csv(path)
    except (DamagedFileError, UnicodeDecodeError, csv.Error, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        remedy = "Save it as UTF-8." if isinstance(error, UnicodeDecodeError) else "Write or download it again."
        raise TaskDataError(f"{path} cannot be read as a table: {error}. {remedy}") from error
    if table.empty:
        raise TaskDataError(f"{path} has a header but no rows.")
    return table


def check_columns(columns: list[str], where: str):
    """Make sure that a table has each column that is needed once, and no numbered labels beside them.

    Raises:
        TaskDataError: names the columns that there are.
    """
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise TaskDataError(
            f"{where} has no column {' and no column '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, columns))}. {_advice(columns)}"
        )
    twice = [column for column in COLUMNS if columns.count(column) > 1]
    numbered = [column for column in columns if _NUMBERED_LABEL.fullmatch(column)]
    if twice or numbered:
        name = f"the column {twice[0]!r} twice" if twice else f"the column {numbered[0]!r} beside 'label'"
        raise TaskDataError(
            f"{where} has {name}, and one column is read. Several labels of a row are one field, joined by semicolons "
            'as in "0;0;1"; remove or rename what is no label.'
        )


def _advice(columns: list[str]) -> str:
    text = ",".join(columns)
    for separator, name in _SEPARATORS.items():
        if set(COLUMNS) <= {part.strip() for part in text.split(separator)}:
            return (
                f"Its columns are separated by {name}, but commas are needed: `pandas.read_csv(PATH, "
                f"sep={separator!r}, dtype=str).to_csv(PATH, index=False)` writes them so."
            )
    if len(columns) > 1 and re.fullmatch("[ACGTUNacgtun]+", columns[0]):
        return "It seems to have no header: its first line must be sequence,label."
    return "Rename the columns to 'sequence' and 'label'."


def _read_parquet(path: Path) -> pd.DataFrame:
    check_file(path, "Parquet file", TaskDataError)
    try:
        with open(path, "rb") as file:
            head = file.read(8)
            if head[:4] != b"PAR1":
                raise TaskDataError(
                    f"{path} cannot be read as a table: it is no Parquet file, as it begins with {head!r}. If it is "
                    "CSV, rename it."
                )
            table = pq.ParquetFile(file)
            check_columns(table.schema_arrow.names, str(path))
            # without what pandas kept of its index, which may be one of the columns
            return table.read(columns=list(COLUMNS)).to_pandas(ignore_metadata=True)
    except OSError as error:
        raise TaskDataError(f"{path} cannot be read: {error}. Write or download it again.") from error


def _read_csv(path: Path) -> pd.DataFrame:
    # subtle: the limit of the csv module is that of the process, and its default is shorter than long sequences
    limit = csv.field_size_limit(2**31 - 1)
    try:
        with InputFile(path, "CSV file", TaskDataError) as content:
            rows = csv.reader(io.TextIOWrapper(content, encoding="utf-8", newline=""), strict=True)
            columns = next((row for row in rows if row), None)
            if columns is None:
                raise TaskDataError(f"{path} is empty. It should start with the line sequence,label.")
            while columns and not columns[-1].strip():
                columns.pop()
            check_columns(columns, str(path))
            places = [columns.index(column) for column in COLUMNS]
            filled = (fields for fields in rows if fields and (len(fields) > 1 or fields[0].strip()))
            found = [
                _pick(fields, columns, places, f"{path}, row {row}") for row, fields in enumerate(filled, start=1)
            ]
    finally:
        csv.field_size_limit(limit)
    return pd.DataFrame(found, columns=list(COLUMNS), dtype=object)


def _pick(fields: list[str], columns: list[str], places: list[int], where: str) -> list[str]:
    """Sequence and label of a row, after a look at all of its fields."""
    if len(fields) < len(columns):
        raise TaskDataError(
            f"{where}: there are {len(fields)} fields, but the header names {len(columns)} columns "
            f"({', '.join(columns)}). Add the missing ones, empty if need be."
        )
    if any(fields[len(columns) :]):
        raise TaskDataError(f"{where}: {_too_many(fields, columns)}")
    if any("\n" in field or "\r" in field for field in fields):
        raise TaskDataError(f"{where}: a line break within quotes. Close the quote, or remove the line break.")
    return [fields[place] for place in places]


def _too_many(fields: list[str], columns: list[str]) -> str:
    surplus = fields[columns.index("label") :] if columns[-1] == "label" else []
    text = (
        f"there are {len(fields)} fields, but the header names {len(columns)} columns ({', '.join(columns)}): the "
        f"rest ({', '.join(fields[len(columns) :])[:60]}) would be lost. "
    )
    if len(surplus) > 1 and all(len(field) < 20 for field in surplus):
        text += f'Several labels of a row are one field, joined by semicolons: "{";".join(surplus)}".'
        text += f" A decimal number has a point: {'.'.join(surplus)}." if len(surplus) == 2 else ""
        return text
    return text + "Put a field that holds commas in quotes."
