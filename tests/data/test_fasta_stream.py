"""The streaming reader: what it gives is what `read_fasta` gives, whatever the file and wherever its blocks end."""

import gzip
import tracemalloc

import numpy as np
import pytest
from test_fasta import BGZF_END, COMPRESSED, PLAIN, bgzf_block, write

from vqdna_hf.data import FastaError, FastaStream, GenomeBases, fasta, read_fasta
from vqdna_hf.data.contig_pieces import measure_contigs, pieces_of, stream_contigs
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.tasks.sarscov2 import read_lineages
from vqdna_hf.tasks.species.genome_files import GenomeFile, first_header, read_contigs
from vqdna_hf.tasks.species.windows import scan_genome


# forms that a reader must not stumble over
ODD = {
    "plain": PLAIN,
    "windows": PLAIN.replace(b"\n", b"\r\n"),
    "old mac": PLAIN.replace(b"\n", b"\r"),
    "no last line end": PLAIN.rstrip(b"\n"),
    "empty lines": PLAIN.replace(b"\n", b"\n\n\r\n"),
    "spaces at the ends of lines": b">a\nACGT \t\n  ACG\n\n >b x \n\tAC  \n  \nGT",
    "comments": b"#>no\n>a # b > c\nAC\n#comment >x\nGT\n #\n>b\nNN\n#",
    "marks in headers": b">>a>b #c\nAC\n>#d\nGT\n",
    "one base a line": b">a\n" + b"A\nc\nG\nt\nN\n" * 5 + b">b\nA\n",
    "separators of other scripts": b">a\x0bb\nAC\x0c\n>b\x1cc\nGT\x1f\n",
    "many short records": b"".join(b">r%d\n%s\n" % (i, b"ACGTN"[i % 5 :]) for i in range(40)),
}
BAD = {
    "protein": b">x\nACGT\n>prot\nACMQ\n",
    "gap": b">x\nAC\nG-T\n",
    "space within a line": b">x\nAC GT\n",
    "tab within a line": b">x\nACGT\nA\t\t C\n",
    "header within a line": b">x\nACG>y\nAC\n",
    "space before a mark": b">x\nACG  #y\nAC\n",
    "no header": b"ACGT\n>x\nAC\n",
    "no sequence": b">x\n>y\nACGT\n",
    "no last sequence": b">x\nACGT\n>y",
    "no name": b">x\nACGT\n> \nACGT\n",
    "same name": b">x a\nACGT\n>x b\nAC\n",
    "fastq": b"@read\nACGT\n+\nIIII\n",
    "header beyond ASCII": ">x\nACGT\n>é\nACGT\n".encode(),
    "empty lines only": b"\n\n",
    "comments only": b"#a\n",
}


def contigs_of(path, block_length: int) -> dict[str, np.ndarray]:
    """All blocks put together; checks on the way that they follow each other and have the length asked for."""
    contigs: dict[str, list[np.ndarray]] = {}
    for name, start, ids in FastaStream(path, block_length):
        blocks = contigs.setdefault(name, [])
        assert name == list(contigs)[-1] and ids.dtype == np.uint8 and 1 <= ids.size <= block_length
        assert start == block_length * len(blocks) == sum(map(len, blocks))
        blocks.append(ids)
    return {name: np.concatenate(blocks) for name, blocks in contigs.items()}


def assert_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]):
    assert list(found) == list(wanted)
    for name, ids in wanted.items():
        np.testing.assert_array_equal(found[name], ids)


def error_of(function, *arguments) -> str:
    with pytest.raises(FastaError) as error:
        function(*arguments)
    return str(error.value)


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7, 1 << 18])
@pytest.mark.parametrize("kind", ODD)
def test_odd_files_read_as_by_the_whole_reader_wherever_chunks_and_blocks_end(
    tmp_path, monkeypatch, kind, chunk_bytes
):
    path = write(tmp_path / "a.fa", ODD[kind])
    wanted = dict(read_fasta(path))
    monkeypatch.setattr(fasta, "_CHUNK_BYTES", chunk_bytes)
    for block_length in range(1, 12):
        assert_same(contigs_of(path, block_length), wanted)


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7, 1 << 18])
@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_in_the_same_words_wherever_chunks_end(tmp_path, monkeypatch, kind, chunk_bytes):
    path = write(tmp_path / "a.fa", BAD[kind])
    wanted = error_of(lambda: list(read_fasta(path)))
    monkeypatch.setattr(fasta, "_CHUNK_BYTES", chunk_bytes)
    # of a wrong first line, what is quoted may be less
    assert error_of(contigs_of, path, 4).split("but got")[0] == wanted.split("but got")[0]


def lengths_of_a_genome(path) -> dict[str, int]:
    genome = GenomeBases.from_fasta([path], progress=False)
    return dict(zip(genome.names, genome.lengths.tolist()))


def lengths_of_a_scan(path) -> dict[str, int]:
    # what holds the bases of another contig is left out
    return {contig.record: contig.length for contig in scan_genome([path])[0]}


READERS = {
    "stream": lambda path: {name: ids.size for name, ids in contigs_of(path, 5).items()},
    "tokenize --contigs": lambda path: measure_contigs([path], progress=False),
    "genome": lengths_of_a_genome,
    "species task": lengths_of_a_scan,
    "file of a source": lambda path: {name: ids.size for name, ids in read_contigs(file_of(path), None)},
}


def file_of(path) -> GenomeFile:
    return GenomeFile(path.name, root=str(path.parent))


@pytest.mark.parametrize("kind", [*ODD, *BAD])
def test_every_reader_takes_the_same_files(tmp_path, kind):
    path = write(tmp_path / "a.fa", (ODD | BAD)[kind])
    if kind in ODD:
        wanted = {name: ids.size for name, ids in read_fasta(path)}
        found = {reader: lengths(path) for reader, lengths in READERS.items()}
        assert set(found.pop("species task").items()) <= set(wanted.items())
        assert all(lengths == wanted for lengths in found.values())
        assert first_header(file_of(path), None).split()[0] == next(iter(wanted))
        assert "no class" in error_of(read_lineages, path)
    else:
        wanted = error_of(lambda: list(read_fasta(path)))
        assert {error_of(lengths, path) for lengths in READERS.values()} == {wanted}
        # letters are looked at in lineages of a class alone
        letters = wanted.startswith(("record x", "record prot"))
        assert error_of(read_lineages, path) == wanted or (letters and "no class" in error_of(read_lineages, path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.fa", b"", "is empty"),
        ("a.fa.gz", gzip.compress(b"", mtime=0), "no FASTA record"),
        ("a.fa.gz", COMPRESSED[: len(COMPRESSED) // 2], "truncated or corrupt gzip"),
        ("a.fa.gz", COMPRESSED[:-4], "truncated or corrupt gzip"),
        ("a.fa.gz", COMPRESSED[:5000] + bytes(5000) + COMPRESSED[10_000:], "truncated or corrupt gzip"),
        ("a.fa.gz", bgzf_block(PLAIN), "truncated bgzip"),
        ("a.fa.gz", PLAIN, "named like a gzip file"),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    assert message in error_of(contigs_of, path, 1000)
    assert message in error_of(lambda: list(read_fasta(path)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.fa.gz", gzip.compress(PLAIN, mtime=0)),
        ("named_plain.fa", gzip.compress(PLAIN, mtime=0)),
        ("two_members.fa.gz", gzip.compress(PLAIN[:20], mtime=0) + gzip.compress(PLAIN[20:], mtime=0)),
        ("bgzip.fa.gz", bgzf_block(PLAIN[:20]) + bgzf_block(PLAIN[20:]) + BGZF_END),
    ],
)
def test_compressed_files_read_the_same(tmp_path, name, content):
    path = write(tmp_path / name, content)
    for block_length in (1, 3, 100):
        assert_same(contigs_of(path, block_length), dict(read_fasta(path)))


def test_missing_files_directories_and_block_lengths_are_refused(tmp_path):
    assert "no FASTA file" in error_of(contigs_of, tmp_path / "nowhere.fa", 5)
    assert "is a directory" in error_of(contigs_of, tmp_path, 5)
    with pytest.raises(ValueError, match="block_length is 0"):
        FastaStream(tmp_path, 0)


@pytest.mark.parametrize("compress", [False, True])
def test_a_line_of_ten_million_bases_is_read_in_little_memory(tmp_path, compress):
    content = (
        b">long description\n" + np.random.default_rng(0).choice(list(b"ACgtN"), 10_000_000).astype("u1").tobytes()
    )
    path = write(tmp_path / "a.fa", gzip.compress(content, 1) if compress else content)
    wanted = dict(read_fasta(path))["long"]
    fractions, end, stream = [], 0, FastaStream(path)
    tracemalloc.start()
    try:
        for name, start, ids in stream:
            assert (name, start) == ("long", end)
            end += ids.size
            np.testing.assert_array_equal(ids, wanted[start:end])
            fractions.append(stream.fraction)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert end == wanted.size and peak < 4_000_000
    assert fractions == sorted(fractions) and fractions[0] < 0.2 and fractions[-1] == stream.fraction == 1
    assert stream.size == path.stat().st_size


def test_a_header_of_a_million_letters_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(fasta, "_CHUNK_BYTES", 1000)
    path = write(tmp_path / "a.fa", b">x " + b"word >#" * 150_000 + b"\nACGT\n")
    assert {name: ids_to_bases(ids) for name, ids in contigs_of(path, 9).items()} == {"x": "ACGT"}


@pytest.mark.parametrize("halo", [0, 1, 4])
def test_pieces_have_the_bases_around_them(tmp_path, halo):
    rng = np.random.default_rng(2)
    wanted = {f"r{length}": rng.integers(0, 5, length).astype(np.uint8) for length in (1, 7, 8, 9, 16, 17, 40)}
    path = tmp_path / "a.fa"
    path.write_text("".join(f">{name}\n{ids_to_bases(ids)}\n" for name, ids in wanted.items()))
    pieces = list(pieces_of(FastaStream(path, 8), halo))
    assert {piece.contig: piece.end for piece in pieces} == {name: ids.size for name, ids in wanted.items()}
    for piece in pieces:
        ids = wanted[piece.contig]
        np.testing.assert_array_equal(piece.ids, ids[max(0, piece.start - halo) : piece.end + halo])
        np.testing.assert_array_equal(piece.block, ids[piece.start : piece.end])


def test_contigs_of_several_files_are_named_as_a_genome_names_them(tmp_path):
    paths = [
        write(tmp_path / "one.fa", b">a\nACGT\n>b\nTT\n"),
        write(tmp_path / "two.fna.gz", gzip.compress(b">b\nGGG\n>c\nN\n")),
    ]
    contigs, genome = measure_contigs(paths, progress=False), GenomeBases.from_fasta(paths, progress=False)
    assert contigs == dict(zip(genome.names, genome.lengths.tolist())) and list(contigs) == genome.names
    blocks = list(stream_contigs(paths, contigs, 10))
    assert [name for name, _, _ in blocks] == genome.names
    np.testing.assert_array_equal(np.concatenate([ids for _, _, ids in blocks]), genome.bases)


def test_names_that_would_be_equal_are_refused(tmp_path):
    paths = [write(tmp_path / "one.fa", b">a\nAC\n>two:a\nGT\n"), write(tmp_path / "two.fa", b">a\nAC\n")]
    assert "called 'two:a'" in error_of(measure_contigs, paths, False)
