"""Parquet shards of a corpus or of a genome: which one each is, whether it is whole, and its checksums.

Every page has a checksum, every shard says in its metadata which shard of which run it is, and the manifest of a
finished run has a record of each: `rows`, `bytes`, `sha256` of the file and `footer_sha256` of its footer. What was
written before there were any has only its rows to be told by.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..runs.files import check_fields


# how shards are written
PARQUET_OPTIONS = {"compression": "zstd", "write_page_checksum": True}
RECORDS = "digests"

_IDENTITY = b"vqdna_shard"
# at a Parquet file's end stand the footer's length, in 4 bytes, and 4 letters
_TAIL = 8


def shard_identity(manifest: dict, settings: Iterable[str], split: str, number: int) -> str:
    """What a shard's metadata call it: 32 hexadecimal digits of the run's settings, the split and the number."""
    values = [*(manifest.get(name) for name in settings), split, number]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]


def identity_metadata(identity: str) -> dict[bytes, bytes]:
    """The metadata of a shard's schema, which say which shard it is."""
    return {_IDENTITY: identity.encode()}


def shard_record(path: Path) -> dict:
    """What a manifest records of a shard: `rows`, `bytes`, `sha256`, `footer_sha256`."""
    return {
        "rows": pq.read_metadata(path).num_rows,
        "bytes": path.stat().st_size,
        "sha256": _digest(path),
        "footer_sha256": _footer_digest(path),
    }


def shard_path(directory: Path, number: int) -> Path:
    """Where shard `number` is, in the directory of its genome or of its split."""
    return directory / f"shard-{number:05d}.parquet"


def known_record(manifest: dict, split: str, number: int) -> dict | None:
    """What a manifest records of a shard, if it has records."""
    records = manifest.get(RECORDS, {}).get(split, [])
    return records[number] if number < len(records) else None


def is_whole(path: Path, rows: int, identity: str | None = None, record: dict | None = None) -> bool:
    """Whether a shard is there as it was written.

    Args:
        rows: how many it should have.
        identity: see `shard_identity`; then every page is read too. `None` for what was begun before there were any.
        record: see `shard_record`; where there is one, it alone decides.

    Raises:
        PermissionError: it may not be read.
    """
    try:
        if record is not None:
            return path.stat().st_size == record["bytes"] and _digest(path) == record["sha256"]
        metadata = pq.read_metadata(path)
        if metadata.num_rows != rows:
            return False
        return identity is None or (_identity(metadata) == identity and _pages_are_whole(path))
    except PermissionError:
        raise
    # a shard whose data never reached the disk before a power failure is written again
    except (OSError, pa.ArrowException, UnicodeDecodeError):
        return False


def complaint(path: Path, rows: int | None, record: dict | None, whole: bool = False) -> str | None:
    """What is wrong with a shard, for a message; `None` if nothing is.

    Args:
        rows: how many it should have, where there is no record; `None` where nobody knows.
        record: see `shard_record`.
        whole: read all of it, and not only its size and its footer.
    """
    try:
        if record is None:
            found = pq.read_metadata(path).num_rows
            return None if rows in (None, found) else f"has {found} rows, but {rows} are recorded"
        if path.stat().st_size != record["bytes"]:
            return f"has {path.stat().st_size} bytes, but {record['bytes']} are recorded"
        same = _digest(path) == record["sha256"] if whole else _footer_digest(path) == record["footer_sha256"]
        return None if same else "is not the file that was written: its checksum is another"
    except FileNotFoundError:
        return "is not there"
    except PermissionError:
        return "cannot be read: permission denied"
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        return f"is damaged ({error})"


def open_shard(path: Path) -> pq.ParquetFile:
    """A shard, memory-mapped; the checksum of every page that is read is checked.

    Raises:
        OSError, pa.ArrowException: it cannot be read.
    """
    return pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)


def check_records(manifest: dict, counts: dict[str, int], path: Path, error: type[ValueError]):
    """Make sure that the records of a manifest, if it has any, are one for each shard and have what is read of them.

    Args:
        counts: split -> shards.
        path: of the manifest.
        error: what is raised.
    """
    record = {"rows": int, "bytes": int, "sha256": str, "footer_sha256": str}
    check_fields(manifest, {f"{RECORDS}?": {split: [record] for split in counts}}, path, error)
    for split, count in counts.items() if RECORDS in manifest else ():
        if len(manifest[RECORDS][split]) != count:
            raise error(f"{path}: {RECORDS} has no {count} records of {split}. Write it again, or copy it again.")


def _identity(metadata: pq.FileMetaData) -> str:
    return (metadata.metadata or {}).get(_IDENTITY, b"").decode()


def _pages_are_whole(path: Path) -> bool:
    with open_shard(path) as file:
        for group in range(file.num_row_groups):
            file.read_row_group(group, use_threads=False)
    return True


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _footer_digest(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        length = int.from_bytes(file.read(4), "little")
        file.seek(max(0, size - _TAIL - length))
        return hashlib.sha256(file.read()).hexdigest()
