"""FASTA files to nucleotide ids: one record at a time, or as a stream of blocks.

There is one reader, `fasta_letters`, a thin check over `dnaio`: what a parser lets pass in silence (an empty file, a
record without bases, two records of one name, a compressed file cut short) is an error here, because it would silently
change the training data.

All coordinates are 0-based and half-open.
"""

import io
import itertools
import os
import string
from collections import Counter
from collections.abc import Iterator
from io import BufferedIOBase
from operator import itemgetter
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import dnaio
import numpy as np

from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids

from .input_files import DamagedFileError, InputFile, check_file


# of a file that are parsed at a time
_CHUNK_BYTES = 1 << 16
# what a line begins with that is a header, a comment or not at its first letter yet
_NO_BASES = b">#" + string.whitespace.encode() + b"\x1c\x1d\x1e\x1f"


class FastaError(ValueError):
    """A FASTA file that cannot be read; the message names the file, the record and, where it has one, the position."""


class _Record(NamedTuple):
    """What dnaio makes of a record; its own class takes ASCII alone, and does not say where other letters are."""

    name: str
    sequence: str
    qualities: None


def open_fasta(path: str | PathLike) -> InputFile:
    """A FASTA file as `InputFile`, whose errors are `FastaError`."""
    return InputFile(path, "FASTA file", FastaError)


def check_fasta_files(paths: list[str | PathLike] | str | PathLike) -> list[Path]:
    """The paths of FASTA files, none given twice.

    Raises:
        FastaError: no path; one that is no regular file with content; one file given twice.
    """
    paths = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    if not paths:
        raise FastaError("No FASTA file was given; at least one is needed.")
    paths = [check_file(path, "FASTA file", FastaError) for path in paths]
    twice = [path for path, count in Counter(map(os.path.realpath, paths)).items() if count > 1]
    if twice:
        raise FastaError(f"{twice[0]} was given twice. Name every FASTA file once.")
    return paths


def fasta_letters(content: BufferedIOBase, source: object) -> Iterator[tuple[str, str]]:
    """Read an open FASTA file in parts of its records, in order and in little memory, whatever the length of a line.

    Args:
        source: what messages call the file.

    Yields:
        The record's name (first word of its header) and the next of its letters, as they stand there.

    Raises:
        FastaError: as `read_fasta`, but for letters that are no nucleotides.
    """
    last, name, letters, seen = None, None, 0, set()
    try:
        for chunk in _chunks(content):
            if name is not None and (bases := chunk.replace(b"\n", b"")).isalnum():
                letters += len(bases)
                yield name, bases.decode("ascii")
                continue
            # the record in which the chunk before ended gets its header once more
            begun = b"" if name is None else f">{name}\n".encode()
            records = dnaio.FastaReader(io.BytesIO(begun + _readable(chunk)), sequence_class=_Record)
            for number, record in enumerate(records):
                if number or not begun:
                    _check_sequence(name, letters, source)
                    last, name, letters = name, _name(record.name, name, seen, source), 0
                letters += len(record.sequence)
                if record.sequence:
                    yield name, record.sequence
    except dnaio.FileFormatError as error:
        raise FastaError(f"{source} is not a FASTA file ({_after(name)}): {error}") from error
    except DamagedFileError as error:
        raise damaged(source, last, error) from error
    if name is None:
        raise FastaError(f"{source} holds no FASTA record: a record is a '>' line followed by bases.")
    _check_sequence(name, letters, source)


def _chunks(content: BufferedIOBase) -> Iterator[bytearray]:
    """A file in parts that end where a line does or, in a long line of bases, between two letters."""
    rest = bytearray()
    while chunk := content.read(_CHUNK_BYTES):
        # a \r\n becomes the end of a line and an empty line, which is passed over
        rest += chunk.replace(b"\r", b"\n")
        cut = rest.rfind(b"\n", len(rest) - len(chunk)) + 1
        # subtle: what begins a chunk would be read as a line's beginning, where white space and marks mean something
        if not cut and rest[:1] not in _NO_BASES and rest[-2:].isalnum():
            cut = len(rest) - 1
        if cut:
            yield rest[:cut]
            del rest[:cut]
    if rest:
        yield rest


def _readable(chunk: bytearray) -> bytes:
    """A chunk as UTF-8, with a mark for what is none: only headers and bases need be ASCII, and comments not.

    Lines of bases become one line a record: dnaio joins them as well, at a fraction of the speed.
    """
    chunk = bytes(chunk) if chunk.isascii() else chunk.decode("utf-8", errors="replace").encode("utf-8")
    records = chunk.split(b"\n>")
    for number, record in enumerate(records):
        first, end, lines = record.partition(b"\n")
        letters = lines.replace(b"\n", b"")
        # dnaio gets other lines as they are, such as comments, and those before a file's first record, which it counts
        if letters.isalnum() and (number or first.isalnum()):
            records[number] = first + end + letters
    return b"\n>".join(records)


def _name(header: str, before: str | None, seen: set[str], source: object) -> str:
    """The name of a record, which is added to those seen."""
    if not header.isascii():
        raise FastaError(
            f"{source} is not a FASTA file ({_after(before)}): the header of record {len(seen) + 1} is not ASCII. Use "
            "ASCII letters in names and descriptions."
        )
    words = header.split(maxsplit=1)
    if not words:
        raise FastaError(f"Record {len(seen) + 1} of {source} has no name after '>'. Give every record a name.")
    if words[0] in seen:
        raise FastaError(
            f"{source} has two records named {words[0]!r} (record {len(seen) + 1} is the second). Rename one."
        )
    seen.add(words[0])
    return words[0]


def _check_sequence(name: str | None, letters: int, source: object):
    if name is not None and not letters:
        raise FastaError(f"Record {name} of {source} has no sequence. Remove its header or add its bases.")


def damaged(source: object, last: str | None, error: DamagedFileError) -> FastaError:
    """The error of a file that cannot be decompressed behind its record `last`."""
    return FastaError(f"{source} is {error} ({_after(last)}): {error.reason}. Copy or download it again.")


def _after(name: str | None) -> str:
    return "before the first complete record" if name is None else f"after record {name}"


def fasta_records(content: BufferedIOBase, source: object) -> Iterator[tuple[str, str]]:
    """Name and all letters of each record; see `fasta_letters`."""
    for name, parts in itertools.groupby(fasta_letters(content, source), itemgetter(0)):
        yield name, "".join(letters for _, letters in parts)


def _fasta_ids(content: BufferedIOBase, source: object) -> Iterator[tuple[str, np.ndarray]]:
    """As `fasta_letters`, in nucleotide ids."""
    for name, parts in itertools.groupby(fasta_letters(content, source), itemgetter(0)):
        position = 0
        for _, letters in parts:
            try:
                yield name, bases_to_ids(letters, where=f"record {name} of {source}", offset=position)
            except ValueError as error:
                raise FastaError(str(error)) from None
            position += len(letters)


def parse_fasta(content: BufferedIOBase, source: object) -> Iterator[tuple[str, np.ndarray]]:
    """As `read_fasta`, from an open file.

    Args:
        source: what messages call the file.
    """
    for name, parts in itertools.groupby(_fasta_ids(content, source), itemgetter(0)):
        yield name, np.concatenate([ids for _, ids in parts])


def read_fasta(path: str | PathLike) -> Iterator[tuple[str, np.ndarray]]:
    """Read a FASTA file, plain or compressed by gzip, bgzip, bzip2, xz or zstd, with any line ends.

    Args:
        path: a regular file; its first bytes decide how it is compressed.

    Yields:
        The contig's name (first word of its header) and its nucleotide ids 0-4, `uint8` of shape `(length,)`.

    Raises:
        FastaError: no such file, or a pipe; an empty, truncated or corrupt file; not FASTA; a record without a name or
            without bases; two records of one name; a character that is no nucleotide (names its 0-based position).
    """
    with open_fasta(path) as content:
        yield from parse_fasta(content, path)


class FastaStream:
    """Iterates over the blocks of a FASTA file, plain or compressed: `(contig, start, ids)`.

    A contig of 100 Mb takes no more memory than one of 1 Mb. `contig` is the first word of the header, `ids` are
    nucleotide ids 0-4, read-only `uint8` of shape `(block_length,)`, or shorter at the end of a contig. Every contig
    gives at least one block, and its blocks follow each other without gaps.

    Args:
        path: what `read_fasta` takes.
        block_length: bases of a block.

    Raises:
        FastaError: while it is read, where `read_fasta` raises it. Blocks before that place have been given by then.
    """

    def __init__(self, path: str | PathLike, block_length: int = 65_536):
        if block_length < 1:
            raise ValueError(f"block_length is {block_length}, but at least 1 base is needed.")
        self.path, self.block_length = Path(path), block_length
        self._input = open_fasta(self.path)

    @property
    def size(self) -> int:
        """Bytes of the file, as it lies on the disk; 0 before it is opened."""
        return self._input.size

    @property
    def consumed(self) -> int:
        """Bytes of the file, as it lies on the disk, that have been read so far."""
        return self._input.consumed

    @property
    def fraction(self) -> float:
        """The part of the file that has been read so far, 0 to 1."""
        return self.consumed / self.size if self.size else 0.0

    def __iter__(self) -> Iterator[tuple[str, int, np.ndarray]]:
        self._input = open_fasta(self.path)
        with self._input as content:
            for contig, parts in itertools.groupby(_fasta_ids(content, self.path), itemgetter(0)):
                start, waiting = 0, bytearray()
                for _, ids in parts:
                    waiting += ids.data
                    first = 0
                    while len(waiting) - first >= self.block_length:
                        yield contig, start, _block(waiting[first : first + self.block_length])
                        first += self.block_length
                        start += self.block_length
                    del waiting[:first]
                if waiting:
                    yield contig, start, _block(waiting)


def _block(ids: bytearray) -> np.ndarray:
    return np.frombuffer(bytes(ids), dtype=np.uint8)
