"""`vqdna tokenize --contigs`: from FASTA files to intervals of codes."""

import gzip

import numpy as np
import pytest

from vqdna_hf import VQDNATokenizer
from vqdna_hf.cli import main
from vqdna_hf.data import Corpus, GenomeBases, GenomeCodes


@pytest.fixture(scope="module")
def codes_dir(tmp_path_factory, genome_fasta, tokenizer_dir):
    output = tmp_path_factory.mktemp("codes") / "genome"
    command = ["tokenize", "--contigs", "--fasta", genome_fasta, "--tokenizer", tokenizer_dir, "--output", output]
    assert main([str(word) for word in command]) == 0
    return output


def refused(capsys, *command) -> str:
    capsys.readouterr()
    assert main(["tokenize", *map(str, command)]) == 2
    return capsys.readouterr().err


def test_intervals_are_what_the_tokenizer_gives_for_the_contig(codes_dir, genome_fasta, tokenizer_dir):
    tokenizer = VQDNATokenizer.from_pretrained(tokenizer_dir)
    genome, bases = GenomeCodes.load(codes_dir), GenomeBases.from_fasta(genome_fasta, progress=False)
    genome.check_fingerprint(tokenizer.vocabulary_fingerprint)
    assert genome.contigs == {"c1": 9000, "c2": 7000, "c3": 4000}
    for number, name in enumerate(bases.names):
        ids = tokenizer.encode_nucleotides([bases.contig(number)])[0]
        np.testing.assert_array_equal(genome.ids(name), ids)
        np.testing.assert_array_equal(genome.ids(name, 1234, 2345), ids[1234:2345])


def test_the_same_command_again_is_done_at_once(codes_dir, genome_fasta, tokenizer_dir):
    before = {path.name: path.stat().st_mtime_ns for path in codes_dir.iterdir()}
    command = ["--contigs", "--fasta", genome_fasta, "--output", codes_dir, "--tokenizer"]
    assert main(["tokenize", *map(str, command), str(tokenizer_dir)]) == 0
    assert {path.name: path.stat().st_mtime_ns for path in codes_dir.iterdir()} == before


def test_another_vocabulary_is_refused(codes_dir, genome_fasta, other_tokenizer_dir, capsys):
    command = ["--contigs", "--fasta", genome_fasta, "--output", codes_dir, "--tokenizer", other_tokenizer_dir]
    assert "made differently: fingerprint: " in refused(capsys, *command)


def test_options_that_do_not_go_together_are_refused(tmp_path, genome_fasta, tokenizer_dir, capsys):
    start = ["--fasta", genome_fasta, "--output", tmp_path / "out"]
    start += ["--tokenizer", tokenizer_dir]
    assert "--window is about windows" in refused(capsys, *start, "--contigs", "--window", 100)
    assert "--eval-contigs is about windows" in refused(capsys, *start, "--contigs", "--eval-contigs", "c1")
    assert "--workers 2 needs --codes or --contigs" in refused(capsys, *start, "--workers", 2)
    assert "--workers 0: must be from 1" in refused(capsys, *start, "--codes", "--workers", 0)
    assert not (tmp_path / "out").exists()


def test_a_wrong_letter_is_found_before_any_work(tmp_path, tokenizer_dir, capsys):
    fasta = tmp_path / "a.fa.gz"
    fasta.write_bytes(gzip.compress(b">x\n" + b"ACGT" * 100_000 + b"\n>y\nAC!T\n"))
    command = ["--contigs", "--fasta", fasta, "--output", tmp_path / "out", "--tokenizer", tokenizer_dir]
    assert "record y" in (message := refused(capsys, *command)) and "'!' at position 2" in message
    assert not (tmp_path / "out").exists()


def test_codes_and_corpora_are_not_taken_for_each_other(codes_dir, corpus_dir, genome_fasta, tokenizer_dir, capsys):
    with pytest.raises(ValueError, match="corpus"):
        Corpus.load(codes_dir)
    with pytest.raises(ValueError, match="no genome codes"):
        GenomeCodes.load(corpus_dir)
    command = ["--fasta", genome_fasta, "--tokenizer", tokenizer_dir, "--output"]
    assert "holds no genome.json" in refused(capsys, "--contigs", *command, corpus_dir)
    assert "holds no corpus.json" in refused(capsys, *command, codes_dir)
