"""One shard of a genome's codes: pieces of contigs to a Parquet file, a row group at a time, and back.

Bases and codes of a piece are the bytes of its `uint8` or little-endian integers, in a `binary` column: three times as
fast to write as lists of integers, each of which Parquet makes one of 32 bits first. Version 1 has such lists.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..runs.files import replacing
from .contig_pieces import Piece
from .shards import PARQUET_OPTIONS, identity_metadata


# row groups that are looked up together: each look-up makes sure first that no weight has moved
_GROUPS = 8


class Shard(NamedTuple):
    """What a shard is to hold.

    Attributes:
        path: of the file.
        version: of the genome's codes; 1 has lists.
        identity: see `shard_identity`.
        sizes: codes of each level.
        groups: the pieces of each row group.
    """

    path: Path
    version: int
    identity: str
    sizes: list[int]
    groups: Iterable[list[Piece]]


def encode_pieces(tokenizer, pieces: list[Piece]) -> list[np.ndarray]:
    """The codes of the blocks of pieces, one after the other: for each level, the smallest integers that hold it."""
    lengths = np.array([piece.ids.size for piece in pieces])
    options = {"batch_bases": tokenizer.batch_bases, "chunk_length": tokenizer.chunk_length}
    products = tokenizer.codec.encode_joined(np.concatenate([piece.ids for piece in pieces]), lengths, **options)
    firsts = np.cumsum(lengths) - lengths + [piece.left for piece in pieces]
    blocks = [products[first : first + piece.end - piece.start] for first, piece in zip(firsts.tolist(), pieces)]
    return _levels(np.concatenate(blocks), tokenizer.codec.config.codebook_sizes)


def _levels(products: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """As `level_codes`, one array a level, in the smallest integers that hold it."""
    # narrow integers are divided many at a time, and a remainder takes longer than what gives it here
    kind = np.min_scalar_type(math.prod(sizes)).type
    levels, products = [], products.astype(kind)
    for size in sizes[:0:-1]:
        above = products // kind(size)
        levels.append(products - above * kind(size))
        products = above
    levels.append(products)
    return [level.astype(np.min_scalar_type(size - 1)) for level, size in zip(levels[::-1], sizes)]


def encode_shard(tokenizer, shard: Shard) -> int:
    """Encode and write a whole shard; returns how many bases it has."""
    return sum(write_shard(shard, _encoded(tokenizer, shard.groups)))


def _encoded(tokenizer, groups: Iterable[list[Piece]]) -> Iterator[tuple[list[Piece], tuple[np.ndarray, ...]]]:
    groups = iter(groups)
    while some := list(itertools.islice(groups, _GROUPS)):
        codes = encode_pieces(tokenizer, list(itertools.chain.from_iterable(some)))
        stops = np.cumsum([sum(piece.end - piece.start for piece in pieces) for pieces in some])
        yield from zip(some, zip(*(np.split(level, stops[:-1]) for level in codes)))


def write_shard(shard: Shard, encoded: Iterable[tuple[list[Piece], list[np.ndarray]]]) -> Iterator[int]:
    """Write a shard: each step writes a row group, and gives how many bases it has.

    Args:
        encoded: the pieces of each row group and the codes of each level.
    """
    fields = [("contig", pa.string()), ("start", pa.int64()), ("end", pa.int64())]
    for name, kind in stored_types(shard.sizes).items():
        fields.append((name, pa.list_(pa.from_numpy_dtype(kind)) if shard.version == 1 else pa.binary()))
    schema = pa.schema(fields, metadata=identity_metadata(shard.identity))
    options = PARQUET_OPTIONS if shard.version == 1 else PARQUET_OPTIONS | {"use_dictionary": ["contig"]}
    with replacing(shard.path) as partial, pq.ParquetWriter(partial, schema, **options) as writer:
        for pieces, codes in encoded:
            writer.write_table(_table(pieces, codes, schema), row_group_size=len(pieces))
            yield sum(piece.end - piece.start for piece in pieces)


def _table(pieces: list[Piece], codes: list[np.ndarray], schema: pa.Schema) -> pa.Table:
    lengths = [piece.end - piece.start for piece in pieces]
    offsets = pa.array(np.cumsum([0, *lengths]).astype(np.int32))
    columns = [[getattr(piece, name) for piece in pieces] for name in ("contig", "start", "end")]
    columns = [pa.array(values, schema.field(number).type) for number, values in enumerate(columns)]
    for values in (np.concatenate([piece.block for piece in pieces]), *codes):
        if pa.types.is_list(schema.field(len(columns)).type):
            columns.append(pa.ListArray.from_arrays(offsets, pa.array(values)))
        else:
            values = values.astype(values.dtype.newbyteorder("<"), copy=False)
            stops = pa.array(np.cumsum([0, *lengths], dtype=np.int32) * values.itemsize, pa.int32())
            buffers = [None, stops.buffers()[1], pa.py_buffer(values)]
            columns.append(pa.Array.from_buffers(pa.binary(), len(pieces), buffers))
    return pa.table(columns, schema)


def stored_types(sizes: list[int]) -> dict[str, np.dtype]:
    """Column -> the integers in it: the smallest that hold a level."""
    kinds = {f"codes_{level + 1}": np.min_scalar_type(size - 1) for level, size in enumerate(sizes)}
    return {"bases": np.dtype(np.uint8), **kinds}


def read_column(column: pa.ChunkedArray, kind: np.dtype) -> np.ndarray:
    """The integers of a column's rows, one after the other."""
    if pa.types.is_binary(column.type):
        return np.frombuffer(b"".join(column.to_pylist()), dtype=kind.newbyteorder("<"))
    return column.combine_chunks().flatten().to_numpy()


def piece_rows(paths: tuple[str, ...], sizes: tuple[int, ...], digests: tuple[str, ...]) -> Iterator[dict]:
    """The rows of shards, with arrays for bases and codes.

    Args:
        digests: of the shards: what is cached under these arguments is of these very files.
    """
    kinds = stored_types(sizes)
    for path in paths:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group, use_threads=False).to_pylist():
                    yield row | {name: _integers(row[name], kind) for name, kind in kinds.items()}


def _integers(values: bytes | list[int], kind: np.dtype) -> np.ndarray:
    return np.frombuffer(values, kind.newbyteorder("<")) if isinstance(values, bytes) else np.array(values, kind)
