"""Files that users give: what a path is before it is opened, and the bytes behind a compression.

Every reader of this package opens its input here, once. The first bytes decide how a file is compressed, and not its
name. Only regular files are taken: most commands read their input several times, in one process or in many, and each
reading of a pipe would find what the others have left.
"""

import bz2
import errno
import io
import lzma
import os
import stat
from os import PathLike
from pathlib import Path

import pyarrow as pa


try:  # dnaio brings it along where there is one for the processor: three times as fast
    from isal.igzip import IGzipFile as GzipFile
    from isal.isal_zlib import error as GzipError
except ImportError:
    from gzip import GzipFile
    from zlib import error as GzipError

# the block that ends every bgzip file (SAM specification, section 4.1.2)
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_MAGIC = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\x00", "Zstandard": b"\x28\xb5\x2f\xfd"}
_SUFFIXES = {".gz": "gzip", ".bgz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "Zstandard"}
PACKED_SUFFIXES = tuple(_SUFFIXES)
_UNPACK = "Unpack it, or pack its content with gzip, bzip2, xz or zstd."
# what is known by its first bytes and not read, and what to do with it
_OTHERS = {
    b"PK\x03\x04": ("a ZIP archive, as workbooks of Excel are, too", f"{_UNPACK} Save a workbook as CSV (UTF-8)."),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACK),
    b"\x1f\x9d": ("compressed by `compress` (.Z)", _UNPACK),
    b"\x04\x22\x4d\x18": ("compressed by LZ4", _UNPACK),
    b"\x43\x27\x41\x1a": ("a 2bit file", "Write it as FASTA with `twoBitToFa`."),
    b"\x1a\x41\x27\x43": ("a 2bit file", "Write it as FASTA with `twoBitToFa`."),
    b"PAR1": ("a Parquet file", "Give its table as a file whose name ends in .parquet, or its sequences as FASTA."),
    b"\xff\xfe": ("UTF-16 text", "Save it as UTF-8."),
    b"\xfe\xff": ("UTF-16 text", "Save it as UTF-8."),
}
_UTF8_MARK = b"\xef\xbb\xbf"
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe, which can be read only once"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class DamagedFileError(ValueError):
    """Compressed bytes that end too early, or are not what their beginning says; readers add the file's name.

    Attributes:
        compression: gzip, bzip2, xz or Zstandard.
    """

    def __init__(self, compression: str, reason: str):
        super().__init__(f"truncated or corrupt {compression} file", reason)
        self.compression, self.reason = compression, reason

    def __str__(self) -> str:
        return f"a {self.args[0]}"


def check_file(path: str | PathLike, what: str, error: type[ValueError] = ValueError) -> Path:
    """Make sure that a path is a regular file with content, without opening it.

    Args:
        what: how the message names what is needed, for example `"FASTA file"`.
        error: raised for anything else.

    Returns:
        The path.
    """
    path = Path(path)
    try:
        status = os.stat(path)
    except OSError as cause:
        raise error(_why_not(path, what, cause)) from None
    kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), None)
    if kind is not None:
        remedy = "Name the files in it." if "directory" in kind else "Write it to a file first, and give that."
        raise error(f"{path} is {kind}, but a {what} is needed. {remedy}")
    if not status.st_size:
        raise error(f"{path} is empty (0 bytes). Was the download interrupted?")
    return path


def _why_not(path: Path, what: str, cause: OSError) -> str:
    if cause.errno == errno.ELOOP:
        return f"{path} is a symbolic link that leads back to itself. Give the {what} itself."
    if isinstance(cause, PermissionError):
        return f"{path} cannot be read: permission denied. Ask its owner for the right to read it."
    if isinstance(cause, (FileNotFoundError, NotADirectoryError)):
        if path.is_symlink():
            return f"{path} is a symbolic link to {os.readlink(path)}, which is not there. Check the path."
        return f"There is no {what} {path}. Check the path."
    return f"{path} cannot be read: {cause.strerror or cause}."


class Content(io.BufferedReader):
    """A stream of the bytes behind a file's compression, without the mark (BOM) that some editors put before UTF-8.

    Attributes:
        compression: gzip, bzip2, xz or Zstandard, or None.
        head: the first bytes, up to 8.

    Reading raises `DamagedFileError`. The file below stays open: whoever opened it closes it.
    """

    def __init__(self, file: io.BufferedIOBase):
        head = file.peek(18)[:18]
        self.compression = next((name for name, magic in _MAGIC.items() if head.startswith(magic)), None)
        super().__init__(_Unpacked(file, self.compression), buffer_size=1 << 18)
        self.head = self.peek(8)[:8]
        if self.head.startswith(_UTF8_MARK):
            self.read(len(_UTF8_MARK))


class _Unpacked(io.RawIOBase):
    def __init__(self, file: io.BufferedIOBase, compression: str | None):
        self._compression = compression or "none"
        match compression:
            case None:
                self._stream = file
            case "gzip":
                self._stream = GzipFile(fileobj=file)
            case "bzip2":
                self._stream = bz2.BZ2File(file)
            case "xz":
                self._stream = lzma.LZMAFile(file)
            case _:
                self._stream = pa.CompressedInputStream(file, "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, target) -> int:
        try:
            return self._stream.readinto(target)
        except (EOFError, OSError, GzipError, lzma.LZMAError) as error:
            # subtle: decompressors raise a bare OSError, the system one with a number, a connection its own class
            if isinstance(error, ConnectionError) or getattr(error, "errno", None) is not None:
                raise
            raise DamagedFileError(self._compression, str(error)) from error


class InputFile:
    """An input file, opened once: `with InputFile(path, "FASTA file", FastaError) as content: content.read()`.

    Attributes:
        size: bytes on the disk.

    Raises:
        ValueError: (or `error`) on entering: see `check_file`; a file that the system does not open; one of a kind
            that is known and not read, as a ZIP archive; a name that promises a compression which the content does not
            have; a bgzip file without its end.
    """

    def __init__(self, path: str | PathLike, what: str, error: type[ValueError] = ValueError):
        self.path, self.size = Path(path), 0
        self._what, self._error, self._file = what, error, None

    @property
    def consumed(self) -> int:
        """Bytes of the file, as it lies on the disk, that have been read so far."""
        if self._file is None:
            return 0
        return self.size if self._file.closed else self._file.tell()

    def __enter__(self) -> Content:
        check_file(self.path, self._what, self._error)
        try:
            # subtle: a pipe that takes the file's place now is no reason to wait for its other end
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except OSError as cause:
            raise self._error(_why_not(self.path, self._what, cause)) from None
        self._file = os.fdopen(descriptor, "rb")
        try:
            self.size = os.fstat(descriptor).st_size
            self._check_end()
            content = Content(self._file)
            self._check_kind(content)
        except DamagedFileError as error:
            self._file.close()
            raise self._error(f"{self.path} is {error}: {error.reason}. Copy or download it again.") from error
        except BaseException:
            self._file.close()
            raise
        return content

    def __exit__(self, *_):
        self._file.close()

    def _check_kind(self, content: Content):
        found = next((of for magic, of in _OTHERS.items() if content.head.startswith(magic)), None)
        if found is None and len(content.head) > 3 and 0 in content.head and not any(content.head[1:8:2]):
            found = _OTHERS[b"\xff\xfe"]  # of letters that need one byte of two, without a mark before them
        if found is not None:
            raise self._error(f"{self.path} is {found[0]}, but a {self._what} is needed. {found[1]}")
        named = _SUFFIXES.get(self.path.suffix.lower())
        if named and content.compression is None:
            raise self._error(
                f"{self.path} is named like a {named} file but is none. Rename it without {self.path.suffix}, or "
                "download it again if it should be one."
            )

    def _check_end(self):
        """Refuse a bgzip file that was cut between two blocks: it decompresses without complaint."""
        head = self._file.peek(14)
        if head[:4] == _BGZF_END[:4] and head[12:14] == b"BC":
            self._file.seek(-min(len(_BGZF_END), self.size), os.SEEK_END)
            end = self._file.read()
            self._file.seek(0)
            if end != _BGZF_END:
                raise self._error(
                    f"{self.path} is a truncated bgzip file: its end-of-file block is missing. Copy or download it "
                    "again."
                )
