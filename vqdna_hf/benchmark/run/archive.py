"""Finished records of a benchmark: JSON files in a folder while it runs, one Parquet file beside its tables then.

A record is a row. Scores and counts have columns of their own, as in `test.mcc`; replicates are lists of numbers;
settings and other nested values are JSON text. `pandas.read_parquet` opens the file, and nothing is lost in it.
"""

import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ...runs.files import as_json, check_fields, read_record, replacing, replacing_directory, write_json


logger = logging.getLogger(__name__)

# fields whose entries are columns of their own
_SPREAD = ("dev", "test", "test_clean", "counts", "whole_counts", "parameters", "flops", "linear_probe")
# of a column that holds JSON text
_JSON = {"format": "json"}


def archive_path(folder: Path) -> Path:
    """The Parquet file of the records that a folder holds as JSON files: `cells.parquet` for `cells/`."""
    return folder.with_name(f"{folder.name}.parquet")


def is_packed(folder: Path) -> bool:
    """Whether the records are in the Parquet file alone."""
    return archive_path(folder).is_file() and not folder.exists()


def find_records(
    folder: Path, names: Iterable[str], kinds: dict[str, type | tuple], name_of: Callable[[dict], str]
) -> dict[str, dict]:
    """The records that are finished, by name: from the folder or, where there is none, from its Parquet file.

    Args:
        names: of the records that are looked for.
        kinds: the fields that are read of a record; see `check_fields`.
        name_of: the name of a record, which is that of its file.

    Raises:
        ValueError: a file is damaged, or lacks a field.
    """
    if is_packed(folder):
        packed = {name_of(record): record for record in read_archive(archive_path(folder), kinds)}
        return {name: packed[name] for name in names if name in packed}
    paths = {name: folder / f"{name}.json" for name in names}
    return {name: read_record(path, kinds) for name, path in paths.items() if path.is_file()}


def pack(folder: Path, records: list[dict]):
    """Write the records of a folder into its Parquet file; nothing where they came from there."""
    if records and folder.is_dir():
        write_archive(archive_path(folder), records)


def unpack(folder: Path, kinds: dict[str, type | tuple], name_of: Callable[[dict], str]):
    """Write a JSON file for each record of a Parquet file that is alone, so that a run resumes from them.

    Raises:
        ValueError: as `read_archive`.
    """
    if not is_packed(folder):
        return
    records = read_archive(archive_path(folder), kinds)
    with replacing_directory(folder) as partial:
        for record in records:
            write_json(partial / f"{name_of(record)}.json", record)
    logger.info("%s: written from %s; to run something again, remove it there.", folder, archive_path(folder).name)


def write_archive(path: Path, records: list[dict]):
    """Write records into a Parquet file; what a record lacks of the others' fields is null."""
    fields, columns = zip(*_columns(records))
    with replacing(path) as partial:
        pq.write_table(pa.table(list(columns), schema=pa.schema(fields)), partial, compression="zstd")


def read_archive(path: Path, kinds: dict[str, type | tuple]) -> list[dict]:
    """The records of a Parquet file, in its order.

    Args:
        kinds: the fields that every record needs; see `check_fields`.

    Raises:
        ValueError: the file is no Parquet file, or a row lacks a field.
    """
    try:
        table = pq.read_table(path)
        coded = {field.name for field in table.schema if (field.metadata or {}).get(b"format") == b"json"}
        records = [_record(row, coded) for row in table.to_pylist()]
    except (pa.ArrowInvalid, OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read as a Parquet file of records: {error}. Copy it again.") from error
    for number, record in enumerate(records):
        check_fields(record, kinds, f"{path}, row {number} (0-based)")
    return records


def _columns(records: list[dict]) -> Iterator[tuple[pa.Field, pa.Array]]:
    for name in dict.fromkeys(name for record in records for name in record):
        values = [record.get(name) for record in records]
        if name in _SPREAD and any(values) and all(isinstance(value, dict | None) for value in values):
            for part in dict.fromkeys(part for value in values for part in value or ()):
                column = pa.array([_entry(value or {}, part) for value in values])
                yield pa.field(f"{name}.{part}", column.type), column
        elif any(_is_nested(value) for value in values):
            texts = [None if value is None else as_json(value, indent=None) for value in values]
            yield pa.field(name, pa.string(), metadata=_JSON), pa.array(texts, pa.string())
        else:
            column = pa.array(values)
            yield pa.field(name, column.type), column


def _entry(value: dict, part: str):
    """What a column holds: nan for the null of a score that is no number, unlike one that is not there."""
    return math.nan if part in value and value[part] is None else value.get(part)


def _is_nested(value) -> bool:
    """Whether a value is more than one text or number, or a list of numbers."""
    if isinstance(value, list):
        return not all(isinstance(one, int | float | None) for one in value)
    return isinstance(value, dict)


def _record(row: dict, coded: set[str]) -> dict:
    """The record of a row, as it was before it became one."""
    record = {}
    for name, value in row.items():
        whole, _, part = name.partition(".")
        if part:
            record.setdefault(whole, None)
            if value is not None:
                value = None if isinstance(value, float) and math.isnan(value) else value
                record[whole] = {**(record[whole] or {}), part: value}
        else:
            record[name] = json.loads(value) if name in coded and value is not None else value
    return record
