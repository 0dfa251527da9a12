"""FASTA files: what is read is what was written, and whatever would change the data in silence is an error."""

import gzip
import struct
import time
import zlib

import numpy as np
import pytest

from vqdna_hf.data import FastaError, GenomeBases, read_fasta
from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids, ids_to_bases


PLAIN = b">chr1 the first\nACGTN\nACGu\n>chr2\nry\n"
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def bgzf_block(data: bytes) -> bytes:
    """One block of a bgzip file, as in section 4.1 of the SAM specification."""
    compressor = zlib.compressobj(wbits=-15)
    body = compressor.compress(data) + compressor.flush()
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(body) + 25)
    return head + body + struct.pack("<II", zlib.crc32(data), len(data))


def write(path, content: bytes):
    path.write_bytes(content)
    return path


def genome_of(lengths: list[int], names: list[str] | None = None) -> GenomeBases:
    lengths = np.array(lengths)
    names = names or [f"contig{i}" for i in range(len(lengths))]
    bases = np.random.default_rng(0).integers(0, 4, lengths.sum()).astype(np.uint8)
    return GenomeBases(bases, names, np.cumsum(lengths) - lengths, lengths)


# `mtime=0`: the content is part of a test's name, which every process of a run must find the same
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.fa", PLAIN),
        ("a.fasta", PLAIN.replace(b"\n", b"\r\n")),
        ("a.fna", PLAIN.rstrip(b"\n")),
        ("a.fa.gz", gzip.compress(PLAIN, mtime=0)),
        ("two_members.fa.gz", gzip.compress(PLAIN[:20], mtime=0) + gzip.compress(PLAIN[20:], mtime=0)),
        ("bgzip.fa.gz", bgzf_block(PLAIN[:20]) + bgzf_block(PLAIN[20:]) + BGZF_END),
    ],
)
def test_every_form_of_a_file_reads_the_same(tmp_path, name, content):
    records = list(read_fasta(write(tmp_path / name, content)))
    assert [(name, ids_to_bases(ids)) for name, ids in records] == [("chr1", "ACGTNACGT"), ("chr2", "NN")]
    assert all(ids.dtype == np.uint8 for _, ids in records)


def test_round_trip_of_random_records(tmp_path):
    rng = np.random.default_rng(1)
    written = [(f"r{i}", "".join(rng.choice(list("ACGTN"), rng.integers(1, 200)))) for i in range(50)]
    path = write(tmp_path / "a.fa", "".join(f">{name} x\n{bases}\n" for name, bases in written).encode())
    assert [(name, ids_to_bases(ids)) for name, ids in read_fasta(path)] == written


COMPRESSED = gzip.compress(
    b">x\n" + np.random.default_rng(0).choice(list(b"ACGT"), 300_000).astype(np.uint8).tobytes(), mtime=0
)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.fa", b"", "is empty"),
        ("a.fa", b"\n\n", "no FASTA record"),
        ("a.fa.gz", gzip.compress(b"", mtime=0), "no FASTA record"),
        ("a.fa", b">x\n>y\nACGT\n", "Record x of .* has no sequence"),
        ("a.fa", b">x\nACGT\n>y\n", "Record y of .* has no sequence"),
        ("a.fa", b">x\nACGT\n> \nACGT\n", "Record 2 of .* no name"),
        ("a.fa.gz", COMPRESSED[: len(COMPRESSED) // 2], "truncated or corrupt gzip"),
        ("a.fa.gz", COMPRESSED[:-4], "truncated or corrupt gzip"),
        ("a.fa.gz", COMPRESSED[:5000] + bytes(5000) + COMPRESSED[10_000:], "truncated or corrupt gzip"),
        ("a.fa.gz", bgzf_block(PLAIN), "truncated bgzip"),
        ("a.fa.gz", PLAIN, "named like a gzip file"),
        ("a.fa", b"ACGT\n", "not a FASTA file .before the first"),
        ("a.fa", b"@read\nACGT\n+\nIIII\n", "not a FASTA file"),
        ("a.fa", b">x\nAC\xff\xfeGT\n", "record x of .* at position 2 .0-based. .REPLACEMENT"),
        ("a.fa", ">x\nACGT\n>é\nACGT\n".encode(), "not a FASTA file .after record x"),
        ("a.fa", b">x\nACGT\n>prot\nACMQ\n", "record prot of .*'Q' at position 3 .0-based.*protein"),
        ("a.fa", b">x\nAC\nG-T\n", "record x of .*'-' at position 3"),
        ("a.fa", b">x\nAC GT\n", "record x of .*white space .* position 2"),
        ("a.fa", b">x a\nACGT\n>x b\nAC\n", "two records named 'x' .record 2"),
    ],
)
def test_every_bad_file_is_refused_and_named(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(FastaError, match=message) as error:
        list(read_fasta(path))
    assert str(path) in str(error.value)


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    with pytest.raises(FastaError, match="no FASTA file .*nowhere.fa"):
        list(read_fasta(tmp_path / "nowhere.fa"))
    with pytest.raises(FastaError, match="is a directory"):
        list(read_fasta(tmp_path))


def test_a_genome_holds_all_contigs_of_all_files(tmp_path):
    first = write(tmp_path / "one.fa", b">a\nACGT\n>b\nTT\n")
    second = write(tmp_path / "two.fna.gz", gzip.compress(b">b\nGGG\n>c\nN\n"))
    genome = GenomeBases.from_fasta([first, second], progress=False)
    assert genome.names == ["a", "one:b", "two:b", "c"]
    assert [ids_to_bases(genome.contig(i)) for i in range(len(genome))] == ["ACGT", "TT", "GGG", "N"]
    assert genome.total_bases == 10 and len(genome) == 4
    assert genome.starts.dtype == genome.lengths.dtype == np.int64
    assert genome.inputs == [{"file": "one.fa", "bases": 6}, {"file": "two.fna.gz", "bases": 4}]
    with pytest.raises(ValueError, match="read-only"):
        genome.contig(0)[0] = 1


def test_contigs_of_equally_named_files_are_told_apart_by_path(tmp_path):
    paths = []
    for folder in "xy":
        (tmp_path / folder).mkdir()
        paths.append(write(tmp_path / folder / "genome.fa", b">a\nACGT\n"))
    assert GenomeBases.from_fasta(paths, progress=False).names == [f"{path}:a" for path in paths]


def test_no_file_and_the_same_file_twice_are_refused(tmp_path):
    path = write(tmp_path / "a.fa", PLAIN)
    with pytest.raises(FastaError, match="No FASTA file was given"):
        GenomeBases.from_fasta([], progress=False)
    with pytest.raises(FastaError, match="given twice"):
        GenomeBases.from_fasta([path, tmp_path / "." / "a.fa"], progress=False)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
@pytest.mark.parametrize(
    "lengths", [[100], [5000, 30], [50, 50], [30, 30, 30], [10] * 200, [1000] + [1] * 300, list(range(1, 60))]
)
def test_a_split_is_a_partition_that_holds_enough_out(lengths, fraction):
    genome = genome_of(lengths)
    train, held_out = genome.split(eval_fraction=fraction)
    covered = np.zeros(genome.bases.size, dtype=int)
    for part in (train, held_out):
        assert part.bases is genome.bases
        for start, length in zip(part.starts, part.lengths):
            covered[start : start + length] += 1
    assert (covered == 1).all()
    assert held_out.total_bases >= 0.99 * fraction * genome.total_bases - 1
    assert held_out.total_bases <= (fraction + 0.2) * genome.total_bases + 1
    assert train.total_bases > 0


def test_a_contig_goes_to_the_same_side_whatever_the_order():
    genome = genome_of([10] * 100)
    backward = genome_of([10] * 100, genome.names[::-1])
    assert set(genome.split()[1].names) == set(backward.split()[1].names)


def test_a_single_contig_loses_its_end_to_the_held_out_piece():
    train, held_out = genome_of([1000], ["chr1"]).split(eval_fraction=0.05)
    assert held_out.names == ["chr1:950-1000"] and held_out.lengths.tolist() == [50]
    assert train.names == ["chr1"] and train.lengths.tolist() == [950]


def test_nothing_is_held_out_with_a_fraction_of_zero():
    train, held_out = genome_of([10, 10]).split(eval_fraction=0)
    assert len(train) == 2 and len(held_out) == 0 and held_out.total_bases == 0


def test_named_contigs_are_held_out():
    train, held_out = genome_of([5, 6, 7], ["chr1", "chr2", "chrX"]).split(["chrX", "chr1"])
    assert train.names == ["chr2"] and held_out.names == ["chr1", "chrX"]


def test_split_errors_say_what_is_there():
    genome = genome_of([5, 6, 7], ["chr1", "a:chr2", "b:chr2"])
    with pytest.raises(ValueError, match="no contig 'chr11' .*Similar: chr1"):
        genome.split(["chr11"])
    with pytest.raises(ValueError, match="no contig 'chr2' .*Similar: a:chr2, b:chr2"):
        genome.split(["chr2"])
    with pytest.raises(ValueError, match="All 3 contigs"):
        genome.split(genome.names)
    with pytest.raises(ValueError, match="eval_fraction is 0.9"):
        genome.split(eval_fraction=0.9)
    with pytest.raises(ValueError, match="too few to hold out"):
        genome_of([1]).split()


def test_many_short_contigs_are_fast():
    genome = genome_of([30] * 300_000)
    begin = time.perf_counter()
    train, held_out = genome.split()
    assert len(train) + len(held_out) == 300_000
    assert time.perf_counter() - begin < 10


def test_a_real_genome_is_complete(data_dir):
    genome = GenomeBases.from_fasta([data_dir / "genomes" / "escherichia_coli_k12.fa.gz"], progress=False)
    assert genome.names == ["NC_000913.3"]
    # the length NCBI gives for NC_000913.3, and the beginning of its leader peptide
    assert genome.total_bases == 4_641_652
    np.testing.assert_array_equal(genome.contig(0)[:10], bases_to_ids("AGCTTTTCAT"))
