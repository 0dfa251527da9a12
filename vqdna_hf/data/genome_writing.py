"""FASTA files to the codes of every base, in constant memory and in several processes.

Files are read twice: once to check them and to measure their contigs, so that hours of work do not end at a wrong
character in the last line, and once piece by piece. Pieces go through the network with the bases around them that
their codes depend on, which gives exactly the codes of the whole contig.

A shard appears under its name only when it is whole, so a run that was stopped resumes where it was; one that was lost
or damaged since is made again by the same call.
"""

import hashlib
import itertools
import logging
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers
from tqdm.auto import tqdm

from ..runs.files import check_fields, replacing, write_json
from ..version import __version__
from .code_workers import CodeWorkers
from .contig_pieces import Piece, measure_contigs, pieces_of, stream_contigs
from .fasta import FastaError, check_fasta_files
from .genome_codes import MANIFEST, SPLIT, VERSION, GenomeCodes, GenomeCodesError, check_manifest, genome_manifest
from .manifests import begun_manifest, wait_until
from .shards import (
    PARQUET_OPTIONS,
    RECORDS,
    identity_metadata,
    is_whole,
    known_record,
    shard_identity,
    shard_path,
    shard_record,
)


logger = logging.getLogger(__name__)

# lists of a row group have 32-bit offsets, and it holds up to two pieces' bases
_MOST_PIECE_BASES = 2**30
# what must be the same for two runs to write the same shards
_SETTINGS = ("version", "fingerprint", "codebook_sizes", "halo", "piece_length", "shard_pieces", "inputs")


def write_genome_codes(
    paths: list[str | PathLike],
    output: str | PathLike,
    tokenizer,
    workers: int | CodeWorkers = 1,
    piece_length: int = 65_536,
    shard_pieces: int = 128,
    progress: bool = True,
    rank: int = 0,
) -> GenomeCodes:
    """Encode every base of FASTA files; called again with the same arguments, finish what was begun.

    Shards of finished codes that are lost or damaged are made again as well.

    Args:
        paths: FASTA files, as `read_fasta` takes them.
        output: the directory to write.
        tokenizer: a `VQDNATokenizer`.
        workers: number of processes that encode; it may differ between the parts of one run. Or open `CodeWorkers`,
            which serve several genomes.
        piece_length: bases of a row, at most; memory grows with it and with `workers`, and with nothing else.
        shard_pieces: row groups of a file, of `piece_length` to twice as many bases each: what an interrupted run
            loses at most.
        rank: the number of this process where several were called alike: the first of them, 0, writes, with its
            workers, and the others wait for it. All must see the same directory.

    Returns:
        The finished codes.

    Raises:
        GenomeCodesError: the directory holds the codes of another run (names what differs) or foreign files.
        FastaError: as `FastaStream`; also no file at all, or one file given twice.
        ValueError: a size or number of workers out of range.
        ChildProcessError: a worker died.
    """
    paths, output = check_fasta_files(paths), Path(output)
    codec = tokenizer.codec
    workers = CodeWorkers.of(tokenizer, workers)
    least = max(1, codec.config.halo)
    if not least <= piece_length <= _MOST_PIECE_BASES or shard_pieces < 1:
        raise ValueError(
            f"piece_length is {piece_length} and shard_pieces {shard_pieces}, but pieces of {least} (the halo of this "
            f"vocabulary) to {_MOST_PIECE_BASES} bases, one or more in a file, are needed."
        )
    manifest = {
        "version": VERSION,
        "complete": False,
        "fingerprint": tokenizer.vocabulary_fingerprint,
        "codebook_sizes": list(codec.config.codebook_sizes),
        "halo": codec.config.halo,
        "piece_length": piece_length,
        "shard_pieces": shard_pieces,
        "inputs": [_describe(path) for path in paths],
        "versions": {"vqdna-hf": __version__, "torch": torch.__version__, "transformers": transformers.__version__},
    }
    if rank:
        wait_until((output / MANIFEST).exists)
    begun = _begun(output, manifest)
    if rank:
        wait_until(lambda: _is_there(output))
        return GenomeCodes.load(output)
    # a run that resumes need not check the files again: their checksums are those of files that were right
    manifest["contigs"] = begun["contigs"] if begun else measure_contigs(paths, progress)
    manifest["shards"] = _plan(manifest["contigs"], piece_length, shard_pieces)
    # what was begun before shards had records is known by its rows alone, and stays so
    manifest |= {RECORDS: {}} if begun is None else {name: begun[name] for name in (RECORDS,) if name in begun}
    whole = _whole_shards(output, manifest)
    if begun and begun.get("complete") and all(whole):
        return GenomeCodes.load(output)
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / MANIFEST, manifest)
    _write_shards(paths, output, manifest, whole, workers, progress)
    manifest[RECORDS] = {SPLIT: [shard_record(shard_path(output, n)) for n in range(len(manifest["shards"]))]}
    write_json(output / MANIFEST, manifest | {"complete": True})
    return GenomeCodes.load(output)


def _is_there(output: Path) -> bool:
    """Whether the first process has finished what it writes, or what was lost of it."""
    if not genome_manifest(output).get("complete"):
        return False
    try:
        GenomeCodes.load(output)
    except GenomeCodesError:
        return False
    return True


def _describe(path: Path) -> dict:
    with open(path, "rb") as file:
        return {
            "file": path.name,
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def _begun(output: Path, manifest: dict) -> dict | None:
    """The manifest of what was begun in a directory, if anything was, with the same settings."""
    advice = "Give the genome's codes a directory of their own."
    found = begun_manifest(
        output / MANIFEST, manifest, _SETTINGS, lambda path: genome_manifest(path.parent), GenomeCodesError,
        "genome codes", advice,
    )  # fmt: skip
    if found is None:
        return None
    if found.get("complete"):
        check_manifest(output / MANIFEST, found)
    check_fields(found, {"contigs": dict}, output / MANIFEST, GenomeCodesError)
    return found


def _spans(contigs: dict[str, int], piece_length: int) -> Iterator[list[tuple[str, int, int]]]:
    """Contig, start and end of the pieces of each task, in order: as many as together have `piece_length` bases."""
    task, bases = [], 0
    for contig, length in contigs.items():
        for start in range(0, length, piece_length):
            end = min(start + piece_length, length)
            task.append((contig, start, end))
            bases += end - start
            if bases >= piece_length:
                yield task
                task, bases = [], 0
    if task:
        yield task


def _plan(contigs: dict[str, int], piece_length: int, shard_pieces: int) -> list[dict[str, int]]:
    """The `rows` and `bases` of each shard."""
    spans, shards = _spans(contigs, piece_length), []
    while tasks := list(itertools.islice(spans, shard_pieces)):
        pieces = [end - start for task in tasks for _, start, end in task]
        shards.append({"rows": len(pieces), "bases": sum(pieces), "row_groups": len(tasks)})
    return shards


def _whole_shards(output: Path, manifest: dict) -> list[bool]:
    """For each shard whether it is there, as it was written."""
    whole = []
    for number, shard in enumerate(manifest["shards"]):
        identity = shard_identity(manifest, _SETTINGS, SPLIT, number) if RECORDS in manifest else None
        record = known_record(manifest, SPLIT, number)
        whole.append(is_whole(shard_path(output, number), shard["rows"], identity, record))
        if record and not whole[-1]:
            logger.warning("%s is lost or damaged: it is written again.", shard_path(output, number))
    return whole


def _write_shards(
    paths: list[Path], output: Path, manifest: dict, whole: list[bool], workers: CodeWorkers, progress: bool
):
    shards = manifest["shards"]
    bar = tqdm(
        desc="Tokenizing",
        unit="base",
        unit_scale=True,
        total=sum(shard["bases"] for shard in shards),
        initial=sum(shard["bases"] for shard, done in zip(shards, whole) if done),
        disable=not progress,
    )
    tasks = _tasks(paths, manifest, whole)
    with bar, workers as pool:
        results = pool.map(encode_pieces, tasks)
        for number, (shard, done) in enumerate(zip(shards, whole)):
            if not done:
                groups = itertools.islice(results, shard["row_groups"])
                identity = shard_identity(manifest, _SETTINGS, SPLIT, number)
                _write_shard(groups, shard_path(output, number), manifest["codebook_sizes"], bar, identity)


def _tasks(paths: list[Path], manifest: dict, whole: list[bool]) -> Iterator[list[Piece]]:
    """The pieces of each row group that is not there yet."""
    contigs, length = manifest["contigs"], manifest["piece_length"]
    pieces = pieces_of(stream_contigs(paths, contigs, length), manifest["halo"])
    for number, spans in enumerate(_spans(contigs, length)):
        task = list(itertools.islice(pieces, len(spans)))
        if [(piece.contig, piece.start, piece.end) for piece in task] != spans:
            raise FastaError(f"{', '.join(map(str, paths))} changed while they were read. Run the same again.")
        if not whole[number // manifest["shard_pieces"]]:
            yield task


def encode_pieces(tokenizer, pieces: list[Piece]) -> list[np.ndarray]:
    """The codes of the blocks of pieces, one after the other: for each level, the smallest integers that hold it."""
    sequences = [piece.ids for piece in pieces]
    encoded = tokenizer.codec.encode_sequences(sequences, tokenizer.batch_bases, tokenizer.chunk_length)
    codes = np.concatenate(
        [codes[piece.left : piece.left + piece.end - piece.start] for piece, codes in zip(pieces, encoded)]
    )
    sizes = tokenizer.codec.config.codebook_sizes
    return [codes[:, level].astype(np.min_scalar_type(size - 1)) for level, size in enumerate(sizes)]


def _write_shard(
    groups: Iterator[tuple[list[Piece], list[np.ndarray]]], path: Path, sizes: list[int], bar: tqdm, identity: str
):
    fields = [("contig", pa.string()), ("start", pa.int64()), ("end", pa.int64()), ("bases", pa.list_(pa.uint8()))]
    types = [pa.from_numpy_dtype(np.min_scalar_type(size - 1)) for size in sizes]
    fields += [(f"codes_{level + 1}", pa.list_(kind)) for level, kind in enumerate(types)]
    schema = pa.schema(fields, metadata=identity_metadata(identity))
    with replacing(path) as partial, pq.ParquetWriter(partial, schema, **PARQUET_OPTIONS) as writer:
        for pieces, codes in groups:
            writer.write_table(_table(pieces, codes, schema), row_group_size=len(pieces))
            bar.update(sum(piece.end - piece.start for piece in pieces))


def _table(pieces: list[Piece], codes: list[np.ndarray], schema: pa.Schema) -> pa.Table:
    lengths = [piece.end - piece.start for piece in pieces]
    offsets = pa.array(np.cumsum([0, *lengths]).astype(np.int32))
    columns = [[getattr(piece, name) for piece in pieces] for name in ("contig", "start", "end")]
    columns = [pa.array(values, schema.field(number).type) for number, values in enumerate(columns)]
    lists = [np.concatenate([piece.block for piece in pieces]), *codes]
    return pa.table([*columns, *(pa.ListArray.from_arrays(offsets, pa.array(values)) for values in lists)], schema)
