"""The codes of whole genomes on disk, read back by contig and interval.

    genome/
      genome.json                 the manifest; "complete": true once every shard is there
      shard-00000.parquet         contig, start, end (0-based, half-open), bases, codes_1, codes_2, ...

A row is a piece of a contig: `piece_length` bases, or fewer at its end. Bases are stored beside the codes, because
codes do not tell which bases were unknown, and because they serve any vocabulary. Codes are those of the whole contig,
whatever the pieces; each level is a column of the smallest unsigned integers that hold it, as bytes (see
`genome_shards`; codes of version 1 have lists).

All coordinates are 0-based and half-open.
"""

from collections.abc import Iterator
from operator import index
from os import PathLike
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vqdna_hf.modeling.configuration_vqdna import SPECIAL_TOKENS
from vqdna_hf.modeling.nucleotides_vqdna import UNKNOWN_ID
from vqdna_hf.modeling.tokenization_vqdna import CodeVocabulary

from ..runs.files import check_fields, read_json
from .genome_bases import similar_contigs
from .genome_shards import piece_rows, read_column, stored_types
from .shards import RECORDS, check_records, complaint, known_record, open_shard, shard_path


MANIFEST = "genome.json"
# what is written, and what is read
VERSION, VERSIONS = 2, (1, 2)
# the name of all shards in the manifest's records
SPLIT = "genome"

_AGAIN = "Run the command that wrote the codes once more, which makes it again, or copy it again."
_UNK = SPECIAL_TOKENS.index("[UNK]")
# shards whose footers are kept in memory
_MAX_OPEN = 16


class GenomeCodesError(ValueError):
    """Genome codes that are missing, unfinished or not the ones asked for, or an interval that is not among them."""


def genome_manifest(directory: Path) -> dict:
    """The content of `genome.json`.

    Raises:
        GenomeCodesError: there is none, or it cannot be read.
    """
    path = directory / MANIFEST
    if not path.is_file():
        raise GenomeCodesError(
            f"{directory} holds no genome codes (no {MANIFEST}). Write them with `vqdna tokenize --contigs`."
        )
    return read_json(path, GenomeCodesError, "is no manifest", "Write the codes again, elsewhere.")


def check_manifest(path: Path, manifest: dict):
    """Make sure that the manifest of finished codes has what is read of it.

    Raises:
        GenomeCodesError: names what it lacks.
    """
    shape = {"fingerprint": str, "codebook_sizes": [int], "piece_length": int, "contigs": {"*": int}}
    shape["shards"] = [{"rows": int, "bases": int, "row_groups": int}]
    check_fields(manifest, shape, path, GenomeCodesError)
    counts = {"contigs": manifest["contigs"].values(), "piece_length": [manifest["piece_length"]]}
    for name, values in (counts | {"codebook_sizes": manifest["codebook_sizes"]}).items():
        if min(values, default=0) < 1:
            raise GenomeCodesError(f"{path}: {name} holds something other than positive whole numbers. {_AGAIN}")
    check_records(manifest, {SPLIT: len(manifest["shards"])}, path, GenomeCodesError)


class GenomeCodes:
    """The codes of every base of one or several FASTA files, on disk.

    Attributes:
        directory: where they are.
        manifest: the content of `genome.json`: `version`, `fingerprint`, `codebook_sizes`, `halo`, `piece_length`,
            `shard_pieces`, `inputs` (`file`, `bytes` and `sha256` of each), `contigs`, `shards`, `versions`, and
            `digests`, with a record of each shard (see `vqdna_hf.data.shards`).

    Example:

    ```python
    genome = GenomeCodes.load("hg38-codes")
    genome.codes("chr21", 5_010_000, 5_010_512)  # (512, levels)
    ```
    """

    def __init__(self, directory: Path, manifest: dict):
        self.directory, self.manifest = Path(directory), manifest
        self._vocabulary, self._types = CodeVocabulary(self.codebook_sizes), stored_types(self.codebook_sizes)
        lengths = np.array(list(self.contigs.values()), dtype=np.int64)
        pieces = -(-lengths // manifest["piece_length"])
        self._first_rows = dict(zip(self.contigs, (np.cumsum(pieces) - pieces).tolist()))
        # shard n holds the rows from _shard_rows[n] to _shard_rows[n + 1]
        self._shard_rows = np.cumsum([0, *(shard["rows"] for shard in manifest["shards"])])
        self._open: dict[int, tuple[pq.ParquetFile, np.ndarray]] = {}

    @classmethod
    def load(cls, directory: str | PathLike) -> "GenomeCodes":
        """Open the codes of a genome.

        Raises:
            GenomeCodesError: there are none, or not all of them.
        """
        directory = Path(directory)
        manifest = genome_manifest(directory)
        if manifest.get("version") not in VERSIONS:
            raise GenomeCodesError(
                f"{directory} holds genome codes of version {manifest.get('version')}, but "
                f"{' or '.join(map(str, VERSIONS))} is needed. Upgrade with `pip install -U vqdna-hf`."
            )
        if not manifest.get("complete"):
            raise GenomeCodesError(
                f"The genome codes in {directory} are unfinished. Run the command that began them once more, with the "
                "same arguments: it keeps the shards that are there and writes the rest."
            )
        check_manifest(directory / MANIFEST, manifest)
        genome = cls(directory, manifest)
        genome._check_shards(whole=False)
        return genome

    def verify(self) -> None:
        """Read every shard as a whole and compare it with what the manifest records of it.

        `load` compares sizes and footers; a page that is read has its checksum compared.
        Codes that were written before there were records and checksums have only their rows to compare.

        Raises:
            GenomeCodesError: names the first shard that is not the one that was written.
        """
        self._check_shards(whole=True)

    def _check_shards(self, whole: bool):
        for number in range(len(self.manifest["shards"])):
            self._check_shard(number, whole)

    def _check_shard(self, number: int, whole: bool = False) -> Path:
        path, rows = shard_path(self.directory, number), self.manifest["shards"][number]["rows"]
        if found := complaint(path, rows, known_record(self.manifest, SPLIT, number), whole):
            raise GenomeCodesError(f"{path} {found}. {_AGAIN}")
        return path

    def __reduce__(self):
        # open files stay behind, so that workers of a data loader open their own
        return type(self), (self.directory, self.manifest)

    def __repr__(self) -> str:
        return f"GenomeCodes({len(self.contigs):,} contigs, {self.total_bases:,} bases, in {str(self.directory)!r})"

    @property
    def contigs(self) -> dict[str, int]:
        """The length of each contig in bases, by name, in the order of the files."""
        return self.manifest["contigs"]

    @property
    def total_bases(self) -> int:
        """Bases of all contigs, unknown ones included."""
        return sum(self.contigs.values())

    @property
    def codebook_sizes(self) -> list[int]:
        """The number of codes of each level."""
        return list(self.manifest["codebook_sizes"])

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the vocabulary that the codes are of."""
        return self.manifest["fingerprint"]

    def check_fingerprint(self, fingerprint: str) -> None:
        """Refuse a vocabulary other than the one that the codes are of.

        Raises:
            GenomeCodesError: names both fingerprints.
        """
        if fingerprint != self.fingerprint:
            raise GenomeCodesError(
                f"The codes in {self.directory} are of the vocabulary {self.fingerprint}, but this vocabulary is "
                f"{fingerprint}. Use the tokenizer they were made with, or tokenize the genome again."
            )

    def codes(self, contig: str, start: int = 0, end: int | None = None) -> np.ndarray:
        """The codes of an interval, as the network gives them for the whole contig; unknown bases have some too.

        Args:
            contig: its name.
            start, end: the interval, 0-based and half-open; to the end of the contig where `end` is `None`.

        Returns:
            `np.ndarray` of `int64` and shape `(end - start, levels)`.

        Raises:
            GenomeCodesError: no such contig (names similar ones), or an interval that is not within it.
        """
        levels = [f"codes_{level + 1}" for level in range(len(self.codebook_sizes))]
        return np.stack(self._read(levels, contig, start, end), axis=-1).astype(np.int64)

    def ids(self, contig: str, start: int = 0, end: int | None = None) -> np.ndarray:
        """The tokenizer's ids of an interval, `int64` of shape `(end - start,)`; [UNK] where a base is unknown.

        Args and errors: as for `codes`.
        """
        ids = self._vocabulary.ids(self.codes(contig, start, end))
        ids[self.bases(contig, start, end) == UNKNOWN_ID] = _UNK
        return ids

    def bases(self, contig: str, start: int = 0, end: int | None = None) -> np.ndarray:
        """The nucleotide ids 0-4 of an interval, `uint8` of shape `(end - start,)`.

        Args and errors: as for `codes`.
        """
        return self._read(["bases"], contig, start, end)[0]

    def to_dataset(self) -> datasets.Dataset:
        """All pieces as rows: `contig`, `start`, `end`, `bases`, `codes_1`, `codes_2` and so on, in the files' order.

        They are memory-mapped; the uncompressed Arrow file behind that lies in the Hugging Face cache.

        Raises:
            GenomeCodesError: a shard is not the one that was written.
        """
        self.verify()
        files = [str(shard_path(self.directory, number)) for number in range(len(self.manifest["shards"]))]
        if self.manifest["version"] == 1:
            return datasets.load_dataset("parquet", data_files={"genome": files}, split="genome")
        whole = {"contig": datasets.Value("string"), "start": datasets.Value("int64"), "end": datasets.Value("int64")}
        lists = {name: datasets.List(datasets.Value(str(kind))) for name, kind in self._types.items()}
        digests = [record["sha256"] for record in self.manifest[RECORDS][SPLIT]]
        return datasets.Dataset.from_generator(
            piece_rows,
            features=datasets.Features(whole | lists),
            gen_kwargs={"paths": tuple(files), "sizes": tuple(self.codebook_sizes), "digests": tuple(digests)},
            writer_batch_size=16,  # pieces are long
        )

    def _interval(self, contig: str, start: int, end: int | None) -> tuple[int, int]:
        if contig not in self.contigs:
            raise GenomeCodesError(
                f"There is no contig {contig!r} among the {len(self.contigs)} of {self.directory}. Similar: "
                f"{similar_contigs(contig, self.contigs)}."
            )
        length = self.contigs[contig]
        start, end = index(start), length if end is None else index(end)
        if not 0 <= start <= end <= length:
            raise GenomeCodesError(
                f"The interval {start}-{end} (0-based, half-open) is not within {contig}, which has {length} bases: "
                f"0 <= start <= end <= {length} is needed."
            )
        return start, end

    def _read(self, columns: list[str], contig: str, start: int, end: int | None) -> list[np.ndarray]:
        """The values of some columns in an interval, each of shape `(end - start,)`."""
        start, end = self._interval(contig, start, end)
        length = self.manifest["piece_length"]
        # an empty interval reads a piece all the same, for the types of its columns
        first = min(start, self.contigs[contig] - 1) // length
        last = max(first, (end - 1) // length)
        parts: list[list[np.ndarray]] = [[] for _ in columns]
        row = self._first_rows[contig]
        for table in self._tables(columns, row + first, row + last + 1):
            for values, column in zip(parts, columns):
                values.append(read_column(table[column], self._types[column]))
        return [np.concatenate(values)[start - first * length : end - first * length] for values in parts]

    def _tables(self, columns: list[str], first: int, end: int) -> Iterator:
        """Rows `first` to `end` of the whole genome, a row group at a time."""
        while first < end:
            number = int(np.searchsorted(self._shard_rows, first, side="right")) - 1
            file, groups = self._shard(number)
            before = int(self._shard_rows[number])
            group = int(np.searchsorted(groups, first - before, side="right")) - 1
            begin, stop = (before + int(groups[group + n]) for n in (0, 1))
            try:
                table = file.read_row_group(group, columns=columns, use_threads=False)
            except (OSError, pa.ArrowException) as error:
                raise GenomeCodesError(
                    f"{shard_path(self.directory, number)} is damaged ({error}). {_AGAIN}"
                ) from error
            yield table.slice(first - begin, min(end, stop) - first)
            first = stop

    def _shard(self, number: int) -> tuple[pq.ParquetFile, np.ndarray]:
        """A shard and the rows at which its row groups begin, and end."""
        if number not in self._open:
            path = self._check_shard(number)
            try:
                file = open_shard(path)
                self._check_place(number, file)
            except (OSError, pa.ArrowException) as error:
                raise GenomeCodesError(f"{path} is damaged ({error}). {_AGAIN}") from error
            rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            if len(self._open) >= _MAX_OPEN:
                oldest, _ = self._open.pop(next(iter(self._open)))
                oldest.close()
            self._open[number] = file, np.cumsum([0, *rows])
        return self._open[number]

    def _check_place(self, number: int, file: pq.ParquetFile):
        """Make sure that a shard begins where its number says, which is all that tells one without a record."""
        row = int(self._shard_rows[number])
        contig = next(name for name, first in reversed(self._first_rows.items()) if first <= row)
        place = contig, (row - self._first_rows[contig]) * self.manifest["piece_length"]
        begin = file.read_row_group(0, columns=["contig", "start"], use_threads=False)
        found = begin["contig"][0].as_py(), begin["start"][0].as_py()
        if found != place:
            raise GenomeCodesError(
                f"{shard_path(self.directory, number)} begins at {found[0]}:{found[1]}, where {place[0]}:{place[1]} "
                f"(0-based) should be: it is another shard. {_AGAIN}"
            )
