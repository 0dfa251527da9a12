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

import torch
import transformers
from tqdm.auto import tqdm

from ..runs.files import check_fields, write_json
from ..version import __version__
from .code_workers import CodeWorkers
from .contig_pieces import Piece, measure_contigs, pieces_of, stream_contigs
from .fasta import FastaError, check_fasta_files
from .genome_codes import (
    MANIFEST,
    SPLIT,
    VERSION,
    VERSIONS,
    GenomeCodes,
    GenomeCodesError,
    check_manifest,
    genome_manifest,
)
from .genome_shards import Shard, encode_pieces, encode_shard, write_shard
from .manifests import begun_manifest, table_settings, wait_until
from .shards import RECORDS, is_whole, known_record, shard_identity, shard_path, shard_record


logger = logging.getLogger(__name__)

# columns of a row group have 32-bit offsets, and it holds up to two pieces' bases, in up to 32 bits a code
_MOST_PIECE_BASES = 2**28
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
    world_size: int = 1,
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
        rank, world_size: the number of this process, and how many write these codes together, called alike, each a
            part of the shards with its workers; the first of them writes the manifest. One of a higher number writes
            nothing, and waits. All must see the same directory.

    Returns:
        The finished codes.

    Raises:
        GenomeCodesError: the directory holds the codes of another run (names what differs) or foreign files.
        FastaError: as `FastaStream`; also no file at all, or one file given twice.
        ValueError: a size or number of workers out of range.
        ChildProcessError: a worker died.
    """
    paths, output = check_fasta_files(paths), Path(output)
    workers = CodeWorkers.of(tokenizer, workers)
    manifest = _new_manifest(paths, output, tokenizer, piece_length, shard_pieces)
    if rank:
        wait_until((output / MANIFEST).exists)
    begun = _begun(output, manifest)
    # what was finished is repaired by one: its records are those of whoever wrote it, byte for byte
    if begun and begun.get(RECORDS):
        world_size = 1
    if rank >= world_size:
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
    if not rank:
        output.mkdir(parents=True, exist_ok=True)
        write_json(output / MANIFEST, manifest)
    own = [number % world_size == rank for number in range(len(whole))]
    bases = [shard["bases"] * mine for shard, mine in zip(manifest["shards"], own)]
    bar = tqdm(
        desc="Tokenizing",
        unit="base",
        unit_scale=True,
        total=sum(bases),
        initial=sum(count for count, done in zip(bases, whole) if done),
        disable=not progress or rank > 0,
    )
    shares = [mine and not done for mine, done in zip(own, whole)]
    _write_shards(paths, output, manifest, shares, workers, bar)
    if rank:
        wait_until(lambda: _is_there(output))
        return GenomeCodes.load(output)
    for number, mine in enumerate(own):
        if not mine and not whole[number]:
            wait_until(lambda number=number: _is_whole(output, manifest, number))
    manifest[RECORDS] = {SPLIT: [shard_record(shard_path(output, n)) for n in range(len(manifest["shards"]))]}
    write_json(output / MANIFEST, manifest | {"complete": True})
    return GenomeCodes.load(output)


def _new_manifest(paths: list[Path], output: Path, tokenizer, piece_length: int, shard_pieces: int) -> dict:
    """What the manifest says before anything is written.

    Raises:
        ValueError: a size out of range.
    """
    config = tokenizer.codec.config
    least = max(1, config.halo)
    if not least <= piece_length <= _MOST_PIECE_BASES or shard_pieces < 1:
        raise ValueError(
            f"piece_length is {piece_length} and shard_pieces {shard_pieces}, but pieces of {least} (the halo of this "
            f"vocabulary) to {_MOST_PIECE_BASES} bases, one or more in a file, are needed."
        )
    return {
        "version": _begun_version(output),
        "complete": False,
        "fingerprint": tokenizer.vocabulary_fingerprint,
        **table_settings(tokenizer),
        "codebook_sizes": list(config.codebook_sizes),
        "halo": config.halo,
        "piece_length": piece_length,
        "shard_pieces": shard_pieces,
        "inputs": [_describe(path) for path in paths],
        "versions": {"vqdna-hf": __version__, "torch": torch.__version__, "transformers": transformers.__version__},
    }


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


def _begun_version(output: Path) -> int:
    """The version in which codes are written: that in which they were begun, so that all shards are alike."""
    found = genome_manifest(output).get("version") if (output / MANIFEST).is_file() else VERSION
    return found if found in VERSIONS else VERSION


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
    whole = [_is_whole(output, manifest, number) for number in range(len(manifest["shards"]))]
    for number, is_there in enumerate(whole):
        if known_record(manifest, SPLIT, number) and not is_there:
            logger.warning("%s is lost or damaged: it is written again.", shard_path(output, number))
    return whole


def _is_whole(output: Path, manifest: dict, number: int) -> bool:
    identity = shard_identity(manifest, _SETTINGS, SPLIT, number) if RECORDS in manifest else None
    rows, record = manifest["shards"][number]["rows"], known_record(manifest, SPLIT, number)
    return is_whole(shard_path(output, number), rows, identity, record)


def _write_shards(
    paths: list[Path], output: Path, manifest: dict, shares: list[bool], workers: CodeWorkers, bar: tqdm
):
    """Write the shards that `shares` says."""
    groups = _tasks(paths, manifest, shares)
    with bar, workers as pool:
        if pool.tokenizer.codec.table is None:
            # the network is what takes time, and a shard of it is long: its row groups go to the workers
            for shard in _shards(output, manifest, shares, pool.map(encode_pieces, groups)):
                for bases in write_shard(shard, shard.groups):
                    bar.update(bases)
            return
        shards = _shards(output, manifest, shares, groups)
        if pool.workers > 1:  # what goes to another process is read before
            shards = (shard._replace(groups=list(shard.groups)) for shard in shards)
        for _, bases in pool.map(encode_shard, shards):
            bar.update(bases)


def _shards(output: Path, manifest: dict, shares: list[bool], groups: Iterator) -> Iterator[Shard]:
    """The shards to write; each takes its row groups from `groups`, which hold those of no other."""
    for number in (number for number, wanted in enumerate(shares) if wanted):
        own = itertools.islice(groups, manifest["shards"][number]["row_groups"])
        identity = shard_identity(manifest, _SETTINGS, SPLIT, number)
        yield Shard(shard_path(output, number), manifest["version"], identity, manifest["codebook_sizes"], own)


def _tasks(paths: list[Path], manifest: dict, shares: list[bool]) -> Iterator[list[Piece]]:
    """The pieces of each row group of the shards that `shares` says."""
    contigs, length = manifest["contigs"], manifest["piece_length"]
    pieces = pieces_of(stream_contigs(paths, contigs, length), manifest["halo"])
    for number, spans in enumerate(_spans(contigs, length)):
        task = list(itertools.islice(pieces, len(spans)))
        if [(piece.contig, piece.start, piece.end) for piece in task] != spans:
            raise FastaError(f"{', '.join(map(str, paths))} changed while they were read. Run the same again.")
        if shares[number // manifest["shard_pieces"]]:
            yield task
