"""FASTA files as a stream of blocks: a contig of 100 Mb takes no more memory than one of 1 Mb.

`FastaStream` reads what `read_fasta` reads and refuses what it refuses, but holds a block and a chunk of the file, and
never a contig.

All coordinates are 0-based and half-open.
"""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np

from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids

from .fasta import FastaError, _after, damaged, open_fasta
from .input_files import DamagedFileError


_CHUNK_BYTES = 1 << 18
# what `str.strip` removes, within ASCII
_SPACE = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"
_INVALID = 255


def _translation() -> bytes:
    """The id of every byte, as `bytes.translate` wants it; `_INVALID` for what is no nucleotide."""
    table = bytearray([_INVALID]) * 256
    for letter in b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv":
        table[letter] = int(bases_to_ids(bytes([letter]))[0])
    return bytes(table)


_TABLE = _translation()


class FastaStream:
    """Iterates over the blocks of a FASTA file, plain or compressed: `(contig, start, ids)`.

    `contig` is the first word of the header, `ids` are nucleotide ids 0-4, read-only `uint8` of shape
    `(block_length,)`, or shorter at the end of a contig. Every contig gives at least one block, and its blocks follow
    each other without gaps.

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
        parser = _Parser(self.path)
        contig, start, waiting = None, 0, bytearray()
        for name, ids in self._records(parser):
            if name != contig:
                if waiting:
                    yield contig, start, _block(waiting)
                contig, start, waiting = name, 0, bytearray()
            waiting += ids
            first = 0
            while len(waiting) - first >= self.block_length:
                yield contig, start, _block(waiting[first : first + self.block_length])
                first += self.block_length
                start += self.block_length
            del waiting[:first]
        if waiting:
            yield contig, start, _block(waiting)

    def _records(self, parser: "_Parser") -> Iterator[tuple[str, bytes]]:
        """The name of a record and the ids of some of its bases, in order."""
        self._input = open_fasta(self.path)
        with self._input as content:
            try:
                while chunk := content.read(_CHUNK_BYTES):
                    yield from parser.feed(chunk)
            except DamagedFileError as error:
                raise damaged(self.path, parser.last, error) from error
        parser.finish()


def _block(ids: bytearray) -> np.ndarray:
    return np.frombuffer(bytes(ids), dtype=np.uint8)


class _Parser:
    """Chunks of a file, cut anywhere, to ids. It knows where in a line and in a record the last chunk ended.

    Lines are stripped of white space; empty lines and lines that begin with `#` are passed over.
    """

    _START, _BASES, _HEADER, _COMMENT = range(4)

    def __init__(self, path: Path):
        self.path = path
        self.name: str | None = None  # of the record being read
        self.last: str | None = None  # of the last whole record
        self.seen: set[str] = set()
        self.position = 0  # of the next base in its record
        self.state = self._START
        self.header = ""  # what is known of its first word
        # white space at the end of what is known of a line: (position, byte); an error if the line goes on
        self.gap: tuple[int, bytes] | None = None

    def feed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the ids of the bases in the next chunk of the file."""
        # a \r\n becomes the end of a line and an empty line, which is passed over
        chunk, at = chunk.replace(b"\r", b"\n"), 0
        marks = sorted(_find_all(chunk, b">") + _find_all(chunk, b"#"))
        marks.append(len(chunk))
        for mark in marks:
            if mark < at:  # within a header or a comment
                continue
            while at < mark and self.state in (self._HEADER, self._COMMENT):
                at = self._skip_line(chunk, at)
            if at > mark:
                continue
            if at < mark and (ids := self._bases(chunk[at:mark])):
                yield self.name, ids
            at = mark
            if mark < len(chunk) and self.state in (self._START, self._BASES):
                self._begin_line(chunk[mark : mark + 1])
                at = mark + 1

    def finish(self):
        """Check what the end of the file ends."""
        if self.state == self._HEADER:
            self._end_header()
        if self.name is None:
            raise FastaError(f"{self.path} holds no FASTA record: a record is a '>' line followed by bases.")
        self._end_record()

    def _begin_line(self, mark: bytes):
        """Read `>` or `#`, which have a meaning at the beginning of a line only."""
        if self.state == self._BASES:
            self._refuse(mark)
        self.state = self._HEADER if mark == b">" else self._COMMENT

    def _skip_line(self, chunk: bytes, at: int) -> int:
        """Read to the end of a header or comment, or of the chunk; returns where that is."""
        end = chunk.find(b"\n", at)
        stop = len(chunk) if end < 0 else end
        if self.state == self._HEADER:
            self._read_header(chunk[at:stop])
        if end < 0:
            return stop
        if self.state == self._HEADER:
            self._end_header()
        self.state = self._START
        return stop + 1

    def _read_header(self, part: bytes):
        if not part.isascii():
            raise FastaError(
                f"{self.path} is not a FASTA file ({_after(self.name)}): the header of record {len(self.seen) + 1} "
                "is not ASCII. Use ASCII letters in names and descriptions."
            )
        text = self.header + part.decode("ascii")
        words = text.split(maxsplit=1)
        if words and (len(words) == 2 or text[-1].isspace()):
            text = f"{words[0]} "  # the description behind the name may be of any length, and is not kept
        self.header = text if words else ""

    def _end_header(self):
        words = self.header.split()
        if self.name is not None:
            self._end_record()
        if not words:
            raise FastaError(
                f"Record {len(self.seen) + 1} of {self.path} has no name after '>'. Give every record a name."
            )
        if words[0] in self.seen:
            raise FastaError(
                f"{self.path} has two records named {words[0]!r} (record {len(self.seen) + 1} is the second). Rename "
                "one."
            )
        self.name, self.header, self.position = words[0], "", 0
        self.seen.add(self.name)

    def _end_record(self):
        if not self.position:
            raise FastaError(f"Record {self.name} of {self.path} has no sequence. Remove its header or add its bases.")
        self.last = self.name

    def _bases(self, region: bytes) -> bytes:
        """The ids of a stretch of a file between two of `>` and `#`: of a part of a line, or of many lines."""
        if self.name is not None and self.gap is None:
            ids = region.translate(_TABLE, b"\n")
            if _INVALID not in ids:
                self.position += len(ids)
                self.state = self._START if region.endswith(b"\n") else self._BASES
                return ids
        return b"".join(self._lines(region))

    def _lines(self, region: bytes) -> Iterator[bytes]:
        """As `_bases`, line by line: for white space, and to say where a wrong character is."""
        for number, line in enumerate(region.split(b"\n")):
            if number:
                self.state, self.gap = self._START, None
            if self.state == self._START:
                line = line.lstrip(_SPACE)
            if not line:
                continue
            if self.name is None:
                raise FastaError(
                    f"{self.path} is not a FASTA file ({_after(self.last)}): Expected '>' at beginning of record, but "
                    f"got {line[:100].decode('utf-8', errors='replace')!r}."
                )
            self.state = self._BASES
            core = line.rstrip(_SPACE)
            if core and self.gap is not None:
                self._refuse(core[:1])
            yield self._ids(core)
            if len(core) < len(line) and self.gap is None:
                self.gap = self.position, line[len(core) : len(core) + 1]

    def _ids(self, letters: bytes) -> bytes:
        text = letters.decode("utf-8", errors="replace")
        try:
            ids = bases_to_ids(text, where=f"record {self.name} of {self.path}", offset=self.position)
        except ValueError as error:
            raise FastaError(str(error)) from None
        self.position += ids.size
        return ids.tobytes()

    def _refuse(self, letter: bytes):
        """Raise for a letter in the middle of a line, or for the white space before it."""
        if self.gap is not None:
            self.position, letter = self.gap
        self._ids(letter)


def _find_all(chunk: bytes, letter: bytes) -> list[int]:
    places, at = [], chunk.find(letter)
    while at >= 0:
        places.append(at)
        at = chunk.find(letter, at + 1)
    return places
