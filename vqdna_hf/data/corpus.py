"""The corpus of masked pre-training on disk: windows of bases, optionally with their codes, in Parquet shards.

    corpus/
      corpus.json                        the manifest; "complete": true once every shard is there
      train/shard-00000.parquet          contig, start, end (0-based, half-open), bases, and codes if asked for
      validation/shard-00000.parquet

Bases are canonical: they serve any vocabulary. Codes are a cache for one vocabulary, whose fingerprint the manifest
holds. A shard appears under its name only when it is whole, so a run that was stopped continues where it left off; one
that was lost or damaged since is made again by the same call.
"""

import itertools
import logging
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.exceptions import DatasetGenerationError
from tqdm.auto import tqdm

from ..runs.files import check_fields, replacing, write_json
from ..runs.records import different_settings
from .code_workers import CodeWorkers
from .genome_bases import GenomeBases
from .manifests import holds_manifest, read_manifest, wait_until
from .shards import (
    PARQUET_OPTIONS,
    RECORDS,
    check_records,
    complaint,
    identity_metadata,
    is_whole,
    known_record,
    shard_identity,
    shard_record,
)
from .windows import check_windows, iter_windows


logger = logging.getLogger(__name__)

MANIFEST = "corpus.json"
VERSION = 1
SPLITS = ("train", "validation")

# windows given to the tokenizer at a time: enough to fill its batches, few enough for a lively progress bar
_CHUNK = 512
# lists of a Parquet column have 32-bit offsets
_MAX_SHARD_BASES = 2**31 - 1
_AGAIN = "Run the command that wrote the corpus once more, which makes it again, or copy it again."
# what must be the same for two runs to write the same shards
_SETTINGS = (
    "version", "window", "min_length", "shard_windows", "with_codes", "fingerprint", "inputs", "held_out", "checksums",
)  # fmt: skip


class CorpusError(ValueError):
    """A corpus that is missing, unfinished, or not the one asked for; the message says what to do."""


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
    place: tuple[int, int] = (0, 1),
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
        place: the number of this process, and how many write this corpus together, called alike, each a part of the
            shards; the first of them writes the manifest. All must see the same directory.

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
        "inputs": genome_train.inputs if inputs is None else inputs,
        "held_out": list(genome_eval.names) if genome_eval is not None else [],
        "checksums": {split: _checksum(genome) for split, genome in genomes.items()},
    }
    if place[0]:
        wait_until((output / MANIFEST).exists)
    found = _begin(output, manifest)
    if found.get("complete") or found.get(RECORDS):
        if place[0]:  # what is lost of a corpus that was finished, the first process makes again, alone
            wait_until(lambda: _is_there(output))
        if place[0] or (found.get("complete") and not _wrong_shards(output, found)):
            return Corpus.load(output)
        place = (0, 1)
    total = sum(genome.total_bases for genome in genomes.values())
    with (
        tqdm(
            total=total, desc="Writing corpus", unit="base", unit_scale=True, disable=not progress or place[0]
        ) as bar,
        workers as pool,
    ):
        encode = pool if with_codes else None
        manifest["splits"] = {
            split: _write_split(
                iter_windows(genome, window, min_length), output / split, shard_windows, encode, bar, place, found
            )
            for split, genome in genomes.items()
        }
    if place[0]:
        wait_until(lambda: _read_manifest(output / MANIFEST).get("complete"))
    else:
        manifest[RECORDS] = {
            split: [shard_record(_shard_path(output / split, number)) for number in range(counts["shards"])]
            for split, counts in manifest["splits"].items()
        }
        write_json(output / MANIFEST, manifest | {"complete": True})
    return Corpus.load(output)


def _is_there(output: Path) -> bool:
    """Whether the first process has finished, and nothing is lost of what it wrote."""
    manifest = _read_manifest(output / MANIFEST)
    return bool(manifest.get("complete")) and next(_complaints(output, manifest), None) is None


def _complaints(output: Path, manifest: dict) -> Iterator[str]:
    """What is wrong with the shards of a finished corpus, one after the other."""
    _check_manifest(output / MANIFEST, manifest)
    for split, counts in manifest["splits"].items():
        for number in range(counts["shards"]):
            path = _shard_path(output / split, number)
            if found := complaint(path, None, known_record(manifest, split, number), whole=True):
                yield f"{path} {found}"


def _wrong_shards(output: Path, manifest: dict) -> list[str]:
    """What is wrong with the shards of a finished corpus; then its manifest says that it is unfinished."""
    wrong = list(_complaints(output, manifest))
    if wrong:
        logger.warning("Written again: %s", "; ".join(wrong))
        write_json(output / MANIFEST, manifest | {"complete": False})
    return wrong


def _shard_path(directory: Path, number: int) -> Path:
    return directory / f"shard-{number:05d}.parquet"


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
    path = output / MANIFEST
    if not holds_manifest(output, MANIFEST, CorpusError, "Give the corpus a directory of its own."):
        output.mkdir(parents=True, exist_ok=True)
        manifest = manifest | {RECORDS: {}}
        write_json(path, manifest)
        return manifest
    found = _read_manifest(path)
    if details := different_settings(found, manifest, _SETTINGS):
        raise CorpusError(
            f"{output} holds a corpus made differently: {details}. Use the same settings to resume it, or "
            "another directory."
        )
    return found


def _write_split(
    windows: Iterator[tuple],
    directory: Path,
    shard_windows: int,
    encode: CodeWorkers | None,
    bar: tqdm,
    place: tuple[int, int],
    found: dict,
) -> dict[str, int]:
    """Write the shards that are not there yet; returns the counts of the whole split, once all of them are there."""
    directory.mkdir(exist_ok=True)
    counts, others = {"windows": 0, "bases": 0, "shards": 0}, []
    while shard := list(itertools.islice(windows, shard_windows)):
        number = counts["shards"]
        path, identity = _shard_path(directory, number), shard_identity(found, _SETTINGS, directory.name, number)
        bases = sum(ids.size for *_, ids in shard)
        # what was begun before shards had an identity is known by its rows alone
        known = (identity if RECORDS in found else None, known_record(found, directory.name, number))
        if is_whole(path, len(shard), *known):
            bar.update(bases)
        elif number % place[1] == place[0]:
            _write_shard(shard, path, encode, bar, identity)
        else:
            others.append((path, len(shard), bases))
        counts["windows"] += len(shard)
        counts["bases"] += bases
        counts["shards"] += 1
    for path, rows, bases in others if place[0] == 0 else ():
        wait_until(lambda path=path, rows=rows: is_whole(path, rows))
        bar.update(bases)
    return counts


def _write_shard(shard: list[tuple], path: Path, encode: CodeWorkers | None, bar: tqdm, identity: str) -> None:
    contigs, starts, ends, bases = zip(*shard)
    columns = {
        "contig": pa.array(contigs, pa.string()),
        "start": pa.array(starts, pa.int64()),
        "end": pa.array(ends, pa.int64()),
        "bases": _to_lists(bases),
    }
    if encode is None:
        bar.update(sum(ids.size for ids in bases))
    else:
        codes = []
        chunks = (list(bases[first : first + _CHUNK]) for first in range(0, len(bases), _CHUNK))
        for chunk, encoded in encode.map(encode_windows, chunks):
            codes += _checked(encoded, chunk, shard[len(codes) : len(codes) + len(chunk)])
            bar.update(sum(ids.size for ids in chunk))
        columns["codes"] = _to_lists(codes)
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


def _to_lists(arrays: list[np.ndarray]) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum([array.size for array in arrays])]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(arrays)))


def _read_manifest(path: Path) -> dict:
    return read_manifest(path, CorpusError, "is not a corpus manifest", "Write the corpus again, elsewhere.")


def _check_manifest(path: Path, manifest: dict):
    """Make sure that the manifest of a finished corpus has what is read of it."""
    check_fields(manifest, {"window": int, "fingerprint": (str, type(None)), "splits": dict}, path, CorpusError)
    for split, counts in manifest["splits"].items():
        if split not in SPLITS or not isinstance(counts, dict):
            raise CorpusError(f"{path}: splits has {split}: {str(counts)[:100]}. Write the corpus again, elsewhere.")
        check_fields(counts, {"windows": int, "bases": int, "shards": int}, f"{path}, {split}", CorpusError)
    check_records(
        manifest,
        {split: counts["shards"] for split, counts in manifest["splits"].items()},
        lambda reason: CorpusError(f"{path}: {reason}. Write the corpus again, elsewhere."),
    )


@dataclass(frozen=True)
class Corpus:
    """A finished corpus on disk.

    Attributes:
        directory: where it is.
        manifest: the content of `corpus.json`: `version`, `window`, `min_length`, `with_codes`, `fingerprint` (or
            `None`), `inputs`, `held_out` (contig names), `splits`, with `windows`, `bases` and `shards` of each, and
            `digests`, with a record of each shard (see `vqdna_hf.data.shards`).
    """

    directory: Path
    manifest: dict

    @classmethod
    def load(cls, directory: str | PathLike) -> "Corpus":
        """Open a corpus.

        Raises:
            CorpusError: no corpus there, one of another version, or one that is unfinished or lacks shards.
        """
        directory = Path(directory)
        if not (directory / MANIFEST).is_file():
            raise CorpusError(f"There is no corpus in {directory}: it has no {MANIFEST}. Write one with write_corpus.")
        manifest = _read_manifest(directory / MANIFEST)
        if manifest.get("version") != VERSION:
            raise CorpusError(
                f"{directory} is a corpus of version {manifest.get('version')}, but {VERSION} is needed."
            )
        if not manifest.get("complete"):
            raise CorpusError(
                f"The corpus in {directory} is unfinished. Run the command that began it once more, with the same "
                "arguments: it keeps the shards that are there and writes the rest."
            )
        _check_manifest(directory / MANIFEST, manifest)
        corpus = cls(directory, manifest)
        for split in corpus.splits:
            corpus._check_shards(split)
        return corpus

    def verify(self) -> None:
        """Read every shard as a whole and compare it with what the manifest records of it.

        `load` compares sizes and footers, `split` all of a split. A corpus that was written before there were records
        has only its numbers of windows to compare.

        Raises:
            CorpusError: names the first shard that is not the one that was written.
        """
        for split in self.splits:
            self._check_shards(split, whole=True)

    @property
    def splits(self) -> list[str]:
        """The splits that have windows: `train`, and `validation` if anything was held out."""
        return [split for split in SPLITS if self.manifest["splits"].get(split, {}).get("windows")]

    def split(self, name: str) -> datasets.Dataset:
        """The windows of a split: `contig`, `start`, `end`, `bases` (`uint8`) and, if stored, `codes` (`int64`).

        They are memory-mapped; the Arrow file behind that lies in the Hugging Face cache, not in the corpus.

        Raises:
            CorpusError: no such split, or a shard that is not the one that was written.
        """
        if name not in self.splits:
            raise CorpusError(
                f"The corpus in {self.directory} has no split {name!r}; it has {', '.join(self.splits)}. A validation "
                "split has windows of what `vqdna tokenize` held out (--eval-contigs, --eval-fraction)."
            )
        self._check_shards(name, whole=True)
        files = [str(path) for path in self._shards(name)]
        try:
            return datasets.load_dataset("parquet", data_files={name: files}, split=name)
        except (pa.ArrowException, DatasetGenerationError) as error:
            reason = error.__cause__ or error
            if isinstance(reason, OSError) and reason.errno:  # of the disk with the cache, and not of the corpus
                raise reason from error
            raise CorpusError(f"The split {name} of {self.directory} cannot be read ({reason}). {_AGAIN}") from error

    def check_fingerprint(self, fingerprint: str) -> None:
        """Refuse a vocabulary other than the one this corpus was made for, if it was made for one.

        Raises:
            CorpusError: names both fingerprints.
        """
        own = self.manifest["fingerprint"]
        if own is not None and own != fingerprint:
            raise CorpusError(
                f"The corpus in {self.directory} was made with the vocabulary {own}, but this vocabulary is "
                f"{fingerprint}. Use the tokenizer it was made with, or write a new corpus."
            )

    def _shards(self, split: str) -> list[Path]:
        return [_shard_path(self.directory / split, n) for n in range(self.manifest["splits"][split]["shards"])]

    def _check_shards(self, split: str, whole: bool = False) -> None:
        rows = 0
        for number, path in enumerate(self._shards(split)):
            record = known_record(self.manifest, split, number)
            if not path.is_file():
                raise CorpusError(f"The corpus in {self.directory} lacks {path}. {_AGAIN}")
            if found := complaint(path, None, record, whole):
                raise CorpusError(f"{path} {found}. {_AGAIN}")
            rows += pq.read_metadata(path).num_rows if record is None else record["rows"]
        if rows != self.manifest["splits"][split]["windows"]:
            raise CorpusError(
                f"The split {split} of {self.directory} has {rows} windows, but "
                f"{self.manifest['splits'][split]['windows']} are recorded: a shard is of another corpus. {_AGAIN}"
            )
