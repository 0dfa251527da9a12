"""Genomes to a corpus: windows of bases, optionally with their codes, shard by shard.

A shard appears under its name only when it is whole, so a run that was stopped resumes where it was; one that was lost
or damaged since is made again by the same call.
"""

import itertools
import logging
import zlib
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from ..runs.files import replacing, write_json
from .code_workers import CodeWorkers
from .corpus import MANIFEST, VERSION, Corpus, CorpusError, check_corpus_manifest, corpus_shards, read_corpus_manifest
from .genome_bases import GenomeBases
from .manifests import begun_manifest, table_settings, wait_until
from .shards import (
    PARQUET_OPTIONS,
    RECORDS,
    complaint,
    identity_metadata,
    is_whole,
    known_record,
    shard_identity,
    shard_path,
    shard_record,
)
from .windows import check_windows, iter_windows


logger = logging.getLogger(__name__)

# windows given to the tokenizer at a time: enough to fill its batches, few enough for a lively progress bar
_CHUNK = 512
# lists of a Parquet column have 32-bit offsets
_MAX_SHARD_BASES = 2**31 - 1
# what must be the same for two runs to write the same shards
_SETTINGS = (
    "version", "window", "min_length", "shard_windows", "with_codes", "fingerprint", "inputs", "held_out", "checksums",
)  # fmt: skip


def write_corpus(
    genome_train: GenomeBases,
    genome_eval: GenomeBases | None,
    output: str | PathLike,
    window: int,
    min_length: int,
    tokenizer=None,
    with_codes: bool = False,
    shard_windows: int = 50_000,
    fingerprint: str | None = None,
    inputs: list[dict] | None = None,
    progress: bool = True,
    workers: int | CodeWorkers = 1,
    rank: int = 0,
    world_size: int = 1,
) -> "Corpus":
    """Cut genomes into windows and write them to disk; called again with the same arguments, finish what was begun.

    Shards of a finished corpus that are lost or damaged are made again as well.

    Args:
        genome_train, genome_eval: see `GenomeBases.split`; they become the splits `train` and `validation`.
        output: the directory of the corpus.
        window, min_length: see `iter_windows` (bases).
        tokenizer: for codes; its `encode_nucleotides` takes a list of `uint8` arrays and gives as many arrays of
            codes, each as long as its bases.
        with_codes: store the tokenizer's ids, without special tokens, beside the bases.
        shard_windows: windows a file.
        fingerprint: of the vocabulary; required with codes, which are worthless to any other vocabulary.
        inputs: `[{"file": name, "bases": count}, ...]`; by default what `genome_train` was read from.
        workers: number of processes that tokenize, or open `CodeWorkers`; the corpus is the same for any number.
        rank, world_size: the number of this process, and how many write this corpus together, called alike, each a
            part of the shards; the first of them writes the manifest. All must see the same directory.

    Returns:
        The finished corpus.

    Raises:
        CorpusError: the directory holds another corpus (names what differs) or foreign files, no window is long
            enough, or the tokenizer's codes do not match the bases.
        ValueError: arguments that contradict each other.
        ChildProcessError: a worker died.
    """
    workers = CodeWorkers.of(tokenizer, workers)
    if with_codes and (tokenizer is None or fingerprint is None):
        raise ValueError(
            "Codes need a tokenizer and the fingerprint of its vocabulary; pass both, or with_codes=False."
        )
    # subtle: all checks come before anything is on disk, where wrong settings would be in the way of right ones
    _check_sizes(genome_train, window, min_length, shard_windows)
    output = Path(output)
    genomes = {"train": genome_train, "validation": genome_eval}
    genomes = {split: genome for split, genome in genomes.items() if genome is not None and len(genome)}
    manifest = {
        "version": VERSION,
        "complete": False,
        "window": window,
        "min_length": min_length,
        "shard_windows": shard_windows,
        "with_codes": with_codes,
        "fingerprint": fingerprint,
        **(table_settings(tokenizer) if with_codes else {}),
        "inputs": genome_train.inputs if inputs is None else inputs,
        "held_out": list(genome_eval.names) if genome_eval is not None else [],
        "checksums": {split: _checksum(genome) for split, genome in genomes.items()},
    }
    if rank:
        wait_until((output / MANIFEST).exists)
    found = _begin(output, manifest)
    if found.get("complete") or found.get(RECORDS):
        if rank:  # what is lost of a corpus that was finished, the first process makes again, alone
            wait_until(lambda: _is_there(output))
        if rank or (found.get("complete") and not _wrong_shards(output, found)):
            return Corpus.load(output)
        world_size = 1
    _write_splits(genomes, output, manifest, found, workers, rank, world_size, progress and not rank)
    if rank:
        wait_until(lambda: read_corpus_manifest(output / MANIFEST).get("complete"))
    else:
        manifest[RECORDS] = {
            split: [shard_record(path) for path, *_ in corpus_shards(output, manifest, split)]
            for split in manifest["splits"]
        }
        write_json(output / MANIFEST, manifest | {"complete": True})
    return Corpus.load(output)


def _write_splits(
    genomes: dict[str, GenomeBases],
    output: Path,
    manifest: dict,
    found: dict,
    workers: CodeWorkers,
    rank: int,
    world_size: int,
    progress: bool,
):
    """Write the shards of this process, and set `splits` of the manifest."""
    total = sum(genome.total_bases for genome in genomes.values())
    bar = tqdm(total=total, desc="Writing corpus", unit="base", unit_scale=True, disable=not progress)
    with bar, workers as pool:
        encode = pool if manifest["with_codes"] else None
        manifest["splits"] = {}
        for split, genome in genomes.items():
            windows = iter_windows(genome, manifest["window"], manifest["min_length"])
            shards = iter(lambda: list(itertools.islice(windows, manifest["shard_windows"])), [])
            manifest["splits"][split] = _write_split(shards, output / split, encode, bar, rank, world_size, found)


def _is_there(output: Path) -> bool:
    """Whether the first process has finished, and nothing is lost of what it wrote."""
    manifest = read_corpus_manifest(output / MANIFEST)
    return bool(manifest.get("complete")) and next(_complaints(output, manifest), None) is None


def _complaints(output: Path, manifest: dict) -> Iterator[str]:
    """What is wrong with the shards of a finished corpus, one after the other."""
    check_corpus_manifest(output / MANIFEST, manifest)
    for split in manifest["splits"]:
        for path, rows, record in corpus_shards(output, manifest, split):
            if found := complaint(path, rows, record, whole=True):
                yield f"{path} {found}"


def _wrong_shards(output: Path, manifest: dict) -> list[str]:
    """What is wrong with the shards of a finished corpus; then its manifest says that it is unfinished."""
    wrong = list(_complaints(output, manifest))
    if wrong:
        logger.warning("Written again: %s", "; ".join(wrong))
        write_json(output / MANIFEST, manifest | {"complete": False})
    return wrong


def _check_sizes(genome: GenomeBases, window: int, min_length: int, shard_windows: int) -> None:
    check_windows(genome, window, min_length, "train", "Lower min_length.", CorpusError)
    most = _MAX_SHARD_BASES // window
    if not 1 <= shard_windows <= most:
        raise ValueError(
            f"shard_windows is {shard_windows}, but with windows of {window} bases it must be between 1 and {most}."
        )


def _checksum(genome: GenomeBases) -> int:
    """CRC-32 of every contig's name and bases: notices an input that was replaced by another of the same size."""
    value = 0
    for index, name in enumerate(genome.names):
        value = zlib.crc32(genome.contig(index), zlib.crc32(f"{name}\n".encode(), value))
    return value


def _begin(output: Path, manifest: dict) -> dict:
    """Make the directory, or check that it holds a run with the same settings; returns the manifest that is there."""
    path, advice = output / MANIFEST, "Give the corpus a directory of its own."
    found = begun_manifest(path, manifest, _SETTINGS, read_corpus_manifest, CorpusError, "a corpus", advice)
    if found is None:
        output.mkdir(parents=True, exist_ok=True)
        found = manifest | {RECORDS: {}}
        write_json(path, found)
    return found


def _write_split(
    shards: Iterator[list[tuple]],
    directory: Path,
    encode: CodeWorkers | None,
    bar: tqdm,
    rank: int,
    world_size: int,
    found: dict,
) -> dict[str, int]:
    """Write the shards that are not there yet; returns the counts of the whole split, once all of them are there."""
    directory.mkdir(exist_ok=True)
    counts, others = {"windows": 0, "bases": 0, "shards": 0}, []
    for number, shard in enumerate(shards):
        path, identity = shard_path(directory, number), shard_identity(found, _SETTINGS, directory.name, number)
        bases = sum(ids.size for *_, ids in shard)
        # what was begun before shards had an identity is known by its rows alone
        known = (identity if RECORDS in found else None, known_record(found, directory.name, number))
        if is_whole(path, len(shard), *known):
            bar.update(bases)
        elif number % world_size == rank:
            _write_shard(shard, path, encode, bar, identity)
        else:
            others.append((path, len(shard), bases))
        counts["windows"] += len(shard)
        counts["bases"] += bases
        counts["shards"] += 1
    for path, rows, bases in others if rank == 0 else ():
        wait_until(lambda path=path, rows=rows: is_whole(path, rows))
        bar.update(bases)
    return counts


def _write_shard(shard: list[tuple], path: Path, encode: CodeWorkers | None, bar: tqdm, identity: str) -> None:
    contigs, starts, ends, bases = zip(*shard)
    columns = {
        "contig": pa.array(contigs, pa.string()),
        "start": pa.array(starts, pa.int64()),
        "end": pa.array(ends, pa.int64()),
        "bases": pa.array(bases, pa.list_(pa.uint8())),
    }
    if encode is None:
        bar.update(sum(ids.size for ids in bases))
    else:
        codes = []
        chunks = (list(bases[first : first + _CHUNK]) for first in range(0, len(bases), _CHUNK))
        for chunk, encoded in encode.map(encode_windows, chunks):
            codes += _checked(encoded, chunk, shard[len(codes) : len(codes) + len(chunk)])
            bar.update(sum(ids.size for ids in chunk))
        columns["codes"] = pa.array(codes, pa.list_(pa.int64()))
    table = pa.table(columns, metadata=identity_metadata(identity))
    with replacing(path) as partial:
        pq.write_table(table, partial, **PARQUET_OPTIONS)


def encode_windows(tokenizer, windows: list[np.ndarray]) -> list[np.ndarray]:
    """The ids of windows, for `CodeWorkers.map`."""
    return tokenizer.encode_nucleotides(windows)


def _checked(encoded: list, chunk: list[np.ndarray], windows: list[tuple]) -> list[np.ndarray]:
    codes = [np.asarray(ids, dtype=np.int64) for ids in encoded]
    if len(codes) != len(chunk):
        raise CorpusError(f"The tokenizer gave {len(codes)} sequences of codes for {len(chunk)} windows.")
    for ids, (contig, start, end, _) in zip(codes, windows):
        if ids.shape != (end - start,):
            raise CorpusError(
                f"The tokenizer gave codes of shape {ids.shape} for {contig}:{start}-{end} (0-based, half-open), but "
                f"one per base, ({end - start},), is needed. Are special tokens among them?"
            )
    return codes
