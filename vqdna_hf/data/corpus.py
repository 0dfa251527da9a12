"""The corpus of masked pre-training on disk: windows of bases, optionally with their codes, in Parquet shards.

    corpus/
      corpus.json                        the manifest; "complete": true once every shard is there
      train/shard-00000.parquet          contig, start, end (0-based, half-open), bases, and codes if asked for
      validation/shard-00000.parquet

Bases are canonical: they serve any vocabulary. Codes are a cache for one vocabulary, whose fingerprint the manifest
holds.
"""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.exceptions import DatasetGenerationError

from ..runs.files import check_fields, read_json
from .shards import check_records, complaint, known_record, shard_path


MANIFEST = "corpus.json"
VERSION = 1
SPLITS = ("train", "validation")

_AGAIN = "Run the command that wrote the corpus once more, which makes it again, or copy it again."


class CorpusError(ValueError):
    """A corpus that is missing, unfinished, or not the one asked for; the message says what to do."""


def read_corpus_manifest(path: Path) -> dict:
    """The content of `corpus.json`.

    Raises:
        CorpusError: it cannot be read.
    """
    return read_json(path, CorpusError, "is not a corpus manifest", "Write the corpus again, elsewhere.")


def check_corpus_manifest(path: Path, manifest: dict):
    """Make sure that the manifest of a finished corpus has what is read of it."""
    splits = {"*": {"windows": int, "bases": int, "shards": int}}
    check_fields(manifest, {"window": int, "fingerprint": (str, type(None)), "splits": splits}, path, CorpusError)
    for split in manifest["splits"]:
        if split not in SPLITS:
            raise CorpusError(f"{path}: splits has {split[:100]}. Write the corpus again, elsewhere.")
    counts = {split: counts["shards"] for split, counts in manifest["splits"].items()}
    check_records(manifest, counts, path, CorpusError)


def corpus_shards(directory: Path, manifest: dict, split: str) -> list[tuple[Path, None, dict | None]]:
    """The shards of a split, as `complaint` takes them; how many windows each has is known by its record alone."""
    numbers = range(manifest["splits"][split]["shards"])
    return [(shard_path(directory / split, n), None, known_record(manifest, split, n)) for n in numbers]


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
        manifest = read_corpus_manifest(directory / MANIFEST)
        if manifest.get("version") != VERSION:
            raise CorpusError(
                f"{directory} is a corpus of version {manifest.get('version')}, but {VERSION} is needed."
            )
        if not manifest.get("complete"):
            raise CorpusError(
                f"The corpus in {directory} is unfinished. Run the command that began it once more, with the same "
                "arguments: it keeps the shards that are there and writes the rest."
            )
        check_corpus_manifest(directory / MANIFEST, manifest)
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
        files = [str(path) for path, *_ in corpus_shards(self.directory, self.manifest, name)]
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

    def _check_shards(self, split: str, whole: bool = False) -> None:
        shards = corpus_shards(self.directory, self.manifest, split)
        for path, rows, record in shards:
            if found := complaint(path, rows, record, whole):
                raise CorpusError(f"{path} {found}. {_AGAIN}")
        rows = sum(record["rows"] if record else pq.read_metadata(path).num_rows for path, _, record in shards)
        if rows != self.manifest["splits"][split]["windows"]:
            raise CorpusError(
                f"The split {split} of {self.directory} has {rows} windows, but "
                f"{self.manifest['splits'][split]['windows']} are recorded: a shard is of another corpus. {_AGAIN}"
            )
