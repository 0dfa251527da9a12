"""One shard of a genome's codes: pieces of contigs to a Parquet file, a row group at a time."""

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


class Shard(NamedTuple):
    """What a shard is to hold.

    Attributes:
        path: of the file.
        identity: see `shard_identity`.
        sizes: codes of each level.
        groups: the pieces of each row group.
    """

    path: Path
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
    kind = np.min_scalar_type(math.prod(sizes) - 1).type
    levels, products = [], products.astype(kind)
    for size in sizes[:0:-1]:
        above = products // kind(size)
        levels.append(products - above * kind(size))
        products = above
    levels.append(products)
    return [level.astype(np.min_scalar_type(size - 1)) for level, size in zip(levels[::-1], sizes)]


def encode_shard(tokenizer, shard: Shard) -> int:
    """Encode and write a whole shard; returns how many bases it has."""
    encoded = ((pieces, encode_pieces(tokenizer, pieces)) for pieces in shard.groups)
    return sum(write_shard(shard, encoded))


def write_shard(shard: Shard, encoded: Iterable[tuple[list[Piece], list[np.ndarray]]]) -> Iterator[int]:
    """Write a shard: each step writes a row group, and gives how many bases it has.

    Args:
        encoded: the pieces of each row group and the codes of each level.
    """
    fields = [("contig", pa.string()), ("start", pa.int64()), ("end", pa.int64()), ("bases", pa.list_(pa.uint8()))]
    types = [pa.from_numpy_dtype(np.min_scalar_type(size - 1)) for size in shard.sizes]
    fields += [(f"codes_{level + 1}", pa.list_(kind)) for level, kind in enumerate(types)]
    schema = pa.schema(fields, metadata=identity_metadata(shard.identity))
    with replacing(shard.path) as partial, pq.ParquetWriter(partial, schema, **PARQUET_OPTIONS) as writer:
        for pieces, codes in encoded:
            writer.write_table(_table(pieces, codes, schema), row_group_size=len(pieces))
            yield sum(piece.end - piece.start for piece in pieces)


def _table(pieces: list[Piece], codes: list[np.ndarray], schema: pa.Schema) -> pa.Table:
    lengths = [piece.end - piece.start for piece in pieces]
    offsets = pa.array(np.cumsum([0, *lengths]).astype(np.int32))
    columns = [[getattr(piece, name) for piece in pieces] for name in ("contig", "start", "end")]
    columns = [pa.array(values, schema.field(number).type) for number, values in enumerate(columns)]
    lists = [np.concatenate([piece.block for piece in pieces]), *codes]
    return pa.table([*columns, *(pa.ListArray.from_arrays(offsets, pa.array(values)) for values in lists)], schema)
