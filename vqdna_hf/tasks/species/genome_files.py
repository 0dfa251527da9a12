"""Files of genomes: what a directory or a dataset repository of the Hub has, and the contigs of one file.

A file is a `GenomeFile`; files of the Hub are read while they arrive and not kept, save Parquet files, whose columns
lie in them from end to end.
"""

import io
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from huggingface_hub import HfApi, constants, hf_hub_download, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from ...data.fasta import FastaError, damaged, open_fasta, parse_fasta
from ...data.input_files import Content, DamagedFileError
from ...modeling.nucleotides_vqdna import bases_to_ids
from .draw import FASTA_NAMES, FASTA_SUFFIXES, find_fasta
from .names import own_name, species_of_header


# lists of the genomes of a source, in the order that decides their splits
LISTS = ("genomes.txt", "urls.txt", "urls.csv")
_PARQUET_REVISION = "refs/convert/parquet"
# seconds before a file of the Hub is asked for again; the client's own retries come on top
_WAITS = (0.5, 1.0, 2.0)
# answers that another request would not change
_FINAL = (401, 403, 404, 410)


class GenomeSourceError(ValueError):
    """A source of genomes that has not what is asked for; the message says what it has and what to do."""


@dataclass(frozen=True)
class GenomeFile:
    """A file of a source.

    Attributes:
        path: in the source, with `/` between its parts.
        root: the directory that is the source, or None.
        repository, revision: the dataset repository that is the source, and its commit, or None.
        size: bytes; of files of the Hub only.
    """

    path: str
    root: str | None = None
    repository: str | None = None
    revision: str | None = None
    size: int | None = None

    def __str__(self) -> str:
        return str(Path(self.root) / self.path) if self.root else f"{self.path} of {self.repository}"

    @property
    def is_parquet(self) -> bool:
        return self.path.endswith(".parquet")


def list_genomes(source: str | PathLike, revision: str | None, token) -> tuple[list[GenomeFile], list[str]]:
    """The FASTA files of a directory or a dataset repository (or the latter's Parquet files), and its lists as text.

    Raises:
        GenomeSourceError: no such source, or nothing in it to read.
        ConnectionError: the Hub does not answer.
    """
    if Path(source).is_dir():
        return _list_directory(Path(source))
    return _list_repository(str(source), revision, token)


def _list_directory(directory: Path) -> tuple[list[GenomeFile], list[str]]:
    paths = [path.relative_to(directory).as_posix() for path in find_fasta(directory)]
    if not paths:
        there = ", ".join(sorted(path.name for path in directory.iterdir())[:10]) or "nothing"
        raise GenomeSourceError(
            f"{directory} has no FASTA files ({FASTA_NAMES}), in folders neither. It holds: {there}."
        )
    lists = [(directory / name).read_text(encoding="utf-8") for name in LISTS if (directory / name).is_file()]
    return [GenomeFile(path, root=str(directory)) for path in paths], lists


def _list_repository(repository: str, revision: str | None, token) -> tuple[list[GenomeFile], list[str]]:
    if repository.count("/") != 1 or repository.startswith((".", "/", "~")):
        raise GenomeSourceError(f"There is no directory {repository}, and it is no name of a repository (OWNER/NAME).")
    api = HfApi(token=token)
    try:
        sha = api.dataset_info(repository, revision=revision).sha
        sizes = _sizes(api, repository, sha)
        others = sorted(sizes)
        found = {name: size for name, size in sizes.items() if name.lower().endswith(FASTA_SUFFIXES)}
        lists = [
            Path(hf_hub_download(repository, name, repo_type="dataset", revision=sha, token=token)).read_text("utf-8")
            for name in LISTS
            if found and name in sizes
        ]
        found = found or {name: size for name, size in sizes.items() if name.endswith(".parquet")}
        if not found:
            sha, sizes = _converted(api, repository)
            found = {name: size for name, size in sizes.items() if name.endswith(".parquet")}
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = f" at {revision}" if revision else ""
        raise GenomeSourceError(
            f"There is no directory {repository}, and no dataset repository{at} of that name that you may read. Check "
            "the name, or log in with `hf auth login`."
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise ConnectionError(
            f"The files of {repository} could not be listed: {error}. Try again, or give a directory of FASTA files."
        ) from error
    if not found:
        raise GenomeSourceError(
            f"{repository} holds no FASTA files ({FASTA_NAMES}) and no Parquet files, and the Hub has "
            f"not converted it ({_PARQUET_REVISION}). It holds: {', '.join(others[:10]) or 'nothing'}. Loading "
            "scripts are not run: download the genomes that its lists name, and give their directory."
        )
    return [GenomeFile(name, repository=repository, revision=sha, size=found[name]) for name in sorted(found)], lists


def _sizes(api: HfApi, repository: str, revision: str) -> dict[str, int]:
    tree = api.list_repo_tree(repository, repo_type="dataset", revision=revision, recursive=True)
    return {entry.path: entry.size for entry in tree if isinstance(entry, RepoFile)}


def _converted(api: HfApi, repository: str) -> tuple[str | None, dict[str, int]]:
    """The commit and the files of what the Hub has made of a dataset, if it has."""
    try:
        sha = api.dataset_info(repository, revision=_PARQUET_REVISION).sha
        return sha, _sizes(api, repository, sha)
    except (RevisionNotFoundError, EntryNotFoundError):
        return None, {}


class _HubFile(io.RawIOBase):
    """A file of the Hub from its start to its end; reading resumes where a connection broke."""

    def __init__(self, file: GenomeFile, token):
        self.name, self._size, self._position = str(file), file.size, 0
        self._url = hf_hub_url(file.repository, file.path, repo_type="dataset", revision=file.revision)
        self._headers = build_hf_headers(token=token)
        self._connection, self._chunks, self._chunk = ExitStack(), None, b""

    def readable(self) -> bool:
        return True

    def close(self):
        self._disconnect()
        super().close()

    def readinto(self, target) -> int:
        for wait in (*_WAITS, None):
            try:
                data = self._read(len(target))
                break
            # clients of different versions raise different errors, and all of them mean that there are no bytes
            except Exception as error:
                self._disconnect()
                status = getattr(getattr(error, "response", None), "status_code", None)
                if wait is None or status in _FINAL:
                    raise ConnectionError(
                        f"{self.name} could not be read beyond byte {self._position} of {self._size} "
                        f"({str(error) or type(error).__name__}). Try again, or download it and give its directory."
                    ) from error
                time.sleep(wait)
        target[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _read(self, count: int) -> bytes:
        """The next bytes, at most `count`; none at the end."""
        if self._position >= self._size:
            return b""
        if self._chunks is None:
            # without compression on the way, for which ranges would mean other bytes
            headers = self._headers | {"Range": f"bytes={self._position}-", "Accept-Encoding": "identity"}
            timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
            stream = get_session().stream("GET", self._url, headers=headers, timeout=timeout)
            response = self._connection.enter_context(stream)
            hf_raise_for_status(response)
            if self._position and response.status_code != 206:
                raise OSError(f"the server does not resume from byte {self._position}")
            self._chunks = response.iter_bytes()
        if not self._chunk:
            self._chunk = next(self._chunks, b"")
            if not self._chunk:
                raise EOFError("the server sent no more")
        data, self._chunk = self._chunk[:count], self._chunk[count:]
        return data

    def _disconnect(self):
        self._connection.close()
        self._chunks, self._chunk = None, b""


@contextmanager
def _open(file: GenomeFile, token) -> Iterator[Content]:
    """The bytes of a FASTA file behind its compression."""
    if file.repository is None:
        with open_fasta(str(file)) as content:
            yield content
        return
    with _HubFile(file, token) as raw:
        try:
            content = Content(io.BufferedReader(raw, 2**20))
        except DamagedFileError as error:
            raise damaged(file, None, error) from error
        yield content


def first_header(file: GenomeFile, token) -> str:
    """The first header of a FASTA file without its `>`; empty where there is none."""
    try:
        with _open(file, token) as content:
            while line := content.readline(10_000):
                text = line.decode("utf-8", errors="replace").strip()
                if text and not text.startswith("#"):
                    return text.removeprefix(">").strip()
    # reading the file says what is wrong with it
    except (FastaError, DamagedFileError):
        pass
    return ""


def read_contigs(file: GenomeFile, token) -> Iterator[tuple[str, np.ndarray]]:
    """Names and nucleotide ids of a FASTA file's contigs, as `read_fasta` gives them.

    Raises:
        FastaError: as `read_fasta`.
        ConnectionError: the Hub does not deliver the file; names it and the byte.
    """
    with _open(file, token) as content:
        yield from parse_fasta(content, file)


def read_parquet(file: GenomeFile, wanted: Iterable[str] | None, token) -> Iterator[tuple[str, str, int, np.ndarray]]:
    """Species, contig, start and ids of every row whose header names a wanted species.

    The columns are those of the repository's loading script: `sequence`, `description` and `start_pos`.

    Raises:
        GenomeSourceError: other columns.
        ConnectionError: the Hub does not deliver the file.
    """
    try:
        path = hf_hub_download(file.repository, file.path, repo_type="dataset", revision=file.revision, token=token)
    except (HfHubHTTPError, OSError) as error:
        raise ConnectionError(f"{file} could not be downloaded: {error}. Try again later.") from error
    table = pq.ParquetFile(path)
    missing = {"sequence", "description", "start_pos"} - set(table.schema_arrow.names)
    if missing:
        raise GenomeSourceError(
            f"{file} has no column {' and none '.join(sorted(missing))}, only {', '.join(table.schema_arrow.names)}."
        )
    for batch in table.iter_batches(batch_size=100, columns=["sequence", "description", "start_pos"]):
        for row in batch.to_pylist():
            header = row["description"]
            contig = header.partition(" ")[0]
            species = species_of_header(header) or own_name("", header) or contig
            if wanted is None or species in wanted:
                ids = bases_to_ids(row["sequence"], where=f"{contig} at {row['start_pos']} in {file}")
                yield species, contig, row["start_pos"], ids
