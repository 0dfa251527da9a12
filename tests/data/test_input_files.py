"""Every reader of FASTA gives one answer: what is compressed is read, and what is damaged or no file is named so."""

import bz2
import gzip
import io
import lzma
import os
import socket

import numpy as np
import pyarrow as pa
import pytest
from test_fasta import BGZF_END, PLAIN, bgzf_block

from vqdna_hf import cli
from vqdna_hf.data import FastaError, FastaStream, GenomeBases, read_fasta
from vqdna_hf.data.genome_writing import write_genome_codes
from vqdna_hf.data.input_files import DamagedFileError, InputFile, check_file
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.tasks.sarscov2 import read_lineages
from vqdna_hf.tasks.species.draw import find_genomes
from vqdna_hf.tasks.species.genome_files import GenomeFile, first_header, read_contigs


def zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


def packed_gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


PACKERS = {"gzip": packed_gzip, "bzip2": bz2.compress, "xz": lzma.compress, "Zstandard": zstd}
RANDOM = b">x\n" + np.random.default_rng(0).choice(list(b"ACGT"), 300_000).astype(np.uint8).tobytes() + b"\n"


def whole(path) -> dict[str, str]:
    return {name: ids_to_bases(ids) for name, ids in read_fasta(path)}


def streamed(path) -> dict[str, str]:
    found = {}
    for name, _, ids in FastaStream(path, 1000):
        found[name] = found.get(name, "") + ids_to_bases(ids)
    return found


def of_a_folder(path) -> dict[str, str]:
    file = GenomeFile(path.name, root=str(path.parent))
    return {name: ids_to_bases(ids) for name, ids in read_contigs(file, None)}


def one_array(path) -> dict[str, str]:
    genome = GenomeBases.from_fasta([path], progress=False)
    return {name: ids_to_bases(genome.contig(number)) for number, name in enumerate(genome.names)}


READERS = (whole, streamed, of_a_folder, one_array)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("name", ["a.fa", "a.fna.gz", "a.zst"])
def test_the_first_bytes_decide_and_not_the_name(tmp_path, reader, kind, name):
    path, pack = tmp_path / name, PACKERS[kind]
    path.write_bytes(pack(PLAIN[:20]) + pack(PLAIN[20:]))
    assert reader(path) == {"chr1": "ACGTNACGT", "chr2": "NN"}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("damage", ["cut in half", "cut at its end", "zeros in the middle"])
def test_damage_is_called_by_the_real_compression(tmp_path, reader, kind, damage):
    content = PACKERS[kind](RANDOM)
    middle = len(content) // 2
    content = {
        "cut in half": content[:middle],
        "cut at its end": content[:-3],
        "zeros in the middle": content[:middle] + bytes(500) + content[middle + 500 :],
    }[damage]
    path = tmp_path / "a.fa.gz"
    path.write_bytes(content)
    with pytest.raises(FastaError, match=f"truncated or corrupt {kind} file.*again") as error:
        reader(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.fa", b"", "is empty .0 bytes"),
        ("a.fa.zst", PLAIN, "named like a Zstandard file but is none"),
        ("a.fa.XZ", PLAIN, "named like a xz file but is none"),
        ("a.fa.gz", bgzf_block(PLAIN), "truncated bgzip"),
        ("a.fa.gz", b"\x1f\x8b", "truncated or corrupt gzip"),
        ("a.fa", b"PK\x03\x04" + bytes(30), "is a ZIP archive.*Unpack"),
        ("a.fa.Z", b"\x1f\x9d" + bytes(30), "compressed by `compress`"),
        ("a.fa", b"\x04\x22\x4d\x18" + bytes(30), "LZ4"),
        ("a.fa", b"PAR1" + bytes(30), "is a Parquet file"),
        ("a.2bit", b"\x43\x27\x41\x1a" + bytes(30), "2bit.*twoBitToFa"),
        ("a.fa", PLAIN.decode().encode("utf-16"), "UTF-16.*Save it as UTF-8"),
        ("a.fa", PLAIN.decode().encode("utf-16-le"), "UTF-16"),
        ("a.fa", PLAIN.decode().encode("utf-16-be"), "UTF-16|not a FASTA"),
    ],
)
def test_what_is_no_fasta_file_is_called_by_its_kind(tmp_path, reader, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FastaError, match=message):
        reader(tmp_path / name)


@pytest.mark.parametrize("reader", READERS)
def test_a_byte_order_mark_is_passed_over(tmp_path, reader):
    for name, content in (("a.fa", b"\xef\xbb\xbf" + PLAIN), ("b.fa", packed_gzip(b"\xef\xbb\xbf" + PLAIN))):
        (tmp_path / name).write_bytes(content)
        assert reader(tmp_path / name) == {"chr1": "ACGTNACGT", "chr2": "NN"}


@pytest.fixture
def no_files(tmp_path) -> dict[str, tuple[object, str]]:
    """Paths that hold no file, and what an error says of each."""
    os.mkfifo(tmp_path / "pipe.fa")
    (tmp_path / "circle.fa").symlink_to(tmp_path / "circle.fa")
    (tmp_path / "astray.fa").symlink_to(tmp_path / "gone.fa")
    (tmp_path / "folder.fa").mkdir()
    # a socket's path may have some 100 characters
    place = os.path.relpath(tmp_path / "socket.fa")
    with socket.socket(socket.AF_UNIX) as open_socket:
        open_socket.bind(place if len(place) < 100 else "/".join((os.path.dirname(place), "s")))
    return {
        tmp_path / "pipe.fa": "is a pipe, .*Write it to a file first",
        tmp_path / "circle.fa": "symbolic link that leads back to itself",
        tmp_path / "astray.fa": "symbolic link to .*gone.fa, which is not there",
        tmp_path / "folder.fa": "is a directory",
        tmp_path / "socket.fa": "is a socket",
        tmp_path / "nowhere.fa": "There is no FASTA file",
        tmp_path / "folder.fa" / "x" / "y": "There is no FASTA file",
        "/dev/null": "is a device",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_whatever_is_no_file_is_refused_without_waiting(no_files, tmp_path):
    others = (read_lineages, lambda path: find_genomes({"a": path, "b": path}))
    codes = (lambda path: write_genome_codes([path], tmp_path / "out", None),)
    for path, message in no_files.items():
        for reader in (whole, streamed, one_array, *others, *codes):
            if reader is others[1] and "folder" in str(path):
                continue  # a folder of FASTA files is what it takes
            with pytest.raises(FastaError, match=message):
                reader(path)
    assert not (tmp_path / "out").exists()


def test_a_pipe_of_the_shell_is_refused_and_a_redirected_file_is_read(tmp_path, capsys):
    read, write = os.pipe()
    os.write(write, PLAIN)
    with pytest.raises(FastaError, match="is a pipe, which can be read only once"):
        list(read_fasta(f"/dev/fd/{read}"))
    assert cli.main(["tokenize", "--fasta", f"/dev/fd/{read}", "--output", str(tmp_path / "corpus")]) == 2
    assert "is a pipe" in capsys.readouterr().err and not (tmp_path / "corpus").exists()
    assert os.read(read, 100) == PLAIN, "nothing was taken from the pipe"
    os.close(read)
    os.close(write)


def test_what_the_system_does_not_open_is_said_in_its_words(tmp_path, monkeypatch):
    path = tmp_path / "a.fa"
    path.write_bytes(PLAIN)

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("vqdna_hf.data.input_files.os.open", refuse)
    for reader in READERS:
        with pytest.raises(FastaError, match="a.fa cannot be read: permission denied"):
            reader(path)


def test_other_errors_of_the_system_are_not_taken_for_damage(tmp_path):
    class Broken(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, target):
            raise OSError(5, "Input/output error")

    from vqdna_hf.data.input_files import Content

    with pytest.raises(OSError, match="Input/output error") as error:
        Content(io.BufferedReader(Broken()))
    assert not isinstance(error.value, DamagedFileError)


def test_a_file_is_closed_whatever_happens(tmp_path):
    path = tmp_path / "a.fa"
    path.write_bytes(PLAIN)
    for content in (PLAIN, packed_gzip(RANDOM)[:-4], zstd(PLAIN), b"PK\x03\x04" + bytes(20)):
        path.write_bytes(content)
        opened = InputFile(path, "FASTA file")
        try:
            with opened as stream:
                stream.read()
        except ValueError:
            pass
        assert opened._file.closed and opened.consumed == opened.size == len(content)


def test_a_check_names_what_is_needed(tmp_path):
    with pytest.raises(ValueError, match="There is no list of genomes .*nowhere"):
        check_file(tmp_path / "nowhere", "list of genomes")


def test_headers_of_damaged_files_are_empty(tmp_path):
    for name, content in (("a.fa.gz", PLAIN), ("b.fa", packed_gzip(RANDOM)[:5]), ("c.fa", zstd(RANDOM)[:20])):
        (tmp_path / name).write_bytes(content)
        assert first_header(GenomeFile(name, root=str(tmp_path)), None) == ""
    (tmp_path / "d.fa").write_bytes(bgzf_block(PLAIN) + BGZF_END)
    assert first_header(GenomeFile("d.fa", root=str(tmp_path)), None) == "chr1 the first"


def test_one_file_by_two_names_is_refused(tmp_path):
    (tmp_path / "a.fa").write_bytes(PLAIN)
    (tmp_path / "b.fa").symlink_to(tmp_path / "a.fa")
    with pytest.raises(FastaError, match="given twice"):
        GenomeBases.from_fasta([tmp_path / "a.fa", tmp_path / "b.fa"])


@pytest.mark.parametrize(
    "command",
    [["card", "PATH"], ["audit", "PATH"], ["benchmark", "PATH", "--output", "PATH"], ["demo", "--data", "PATH"]],
    ids=lambda command: command[0],
)
def test_links_that_lead_in_a_circle_are_one_line_in_every_command(tmp_path, capsys, command):
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    command = [str(circle) if word == "PATH" else word for word in command]
    assert cli.main(command) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"vqdna {command[0]}: ") and "circle" in error
