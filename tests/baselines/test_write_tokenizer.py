"""The command that writes hand-made vocabularies: from FASTA files, from a corpus, and what it refuses."""

import json

import numpy as np
import pytest
from transformers import AutoTokenizer

from vqdna_hf.baselines import tokenizer_kind
from vqdna_hf.baselines.write_tokenizer import BaselineTokenizerArguments, training_windows, write_baseline_tokenizer
from vqdna_hf.cli import main
from vqdna_hf.data import GenomeBases, write_corpus
from vqdna_hf.demo.simulation import simulate_contig
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    """Contigs c1 and c2 of simulated DNA, and c3 of A alone."""
    rng = np.random.default_rng(3)
    contigs = [ids_to_bases(simulate_contig(rng, length)) for length in (3050, 2000)] + ["A" * 1000]
    path = tmp_path_factory.mktemp("fasta") / "genome.fa"
    path.write_text("".join(f">c{number}\n{letters}\n" for number, letters in enumerate(contigs, start=1)))
    return path


@pytest.fixture(scope="module")
def corpus(fasta, tmp_path_factory):
    train, held_out = GenomeBases.from_fasta([fasta]).split(["c3"])
    directory = tmp_path_factory.mktemp("corpus") / "corpus"
    write_corpus(train, held_out, directory, window=64, min_length=32, progress=False)
    return directory


def arguments(output, **changes) -> BaselineTokenizerArguments:
    return BaselineTokenizerArguments(**{"kind": "bpe", "output": str(output), "vocab_size": 40} | changes)


def test_the_command_writes_a_tokenizer_and_its_record(tmp_path, fasta):
    words = ["baseline-tokenizer", "--kind", "kmer", "--k", "3", "--no-overlapping", "--output", str(tmp_path / "k")]
    assert main(words) == 0
    assert tokenizer_kind(AutoTokenizer.from_pretrained(tmp_path / "k")) == {"kind": "kmer", "k": 3, "stride": 3}
    words = ["baseline-tokenizer", "--kind", "bpe", "--fasta", str(fasta), "--vocab-size", "30", "--length", "100"]
    assert main([*words, "--eval-contigs", "c3", "--output", str(tmp_path / "b")]) == 0
    assert len(AutoTokenizer.from_pretrained(tmp_path / "b")) == 30
    record = json.loads((tmp_path / "b" / "training.json").read_text())
    assert record["tokenizer"] == {"kind": "bpe", "k": None, "stride": None, "vocab_size": 30}
    assert record["arguments"]["eval_contigs"] == ["c3"] and record["inputs"][0]["bases"] == 6050
    assert main([*words, "--output", str(tmp_path / "b")]) == 2  # a finished run stays


def test_all_windows_are_read_where_they_fit(tmp_path, fasta):
    windows, _ = training_windows(arguments(tmp_path, fasta=[str(fasta)], length=500, eval_contigs=["c3"]))
    windows = list(windows)
    # what is held out is all A
    assert sorted(map(len, windows)) == [50] + [500] * 10 and all(len(set(window)) > 1 for window in windows)


def test_more_bases_than_asked_for_are_drawn_from(tmp_path, fasta):
    changes = {"fasta": [str(fasta)], "length": 100, "max_bases": 1250, "eval_contigs": ["c3"]}
    first, second = ([*training_windows(arguments(tmp_path, **changes))[0]] for _ in range(2))
    other = [*training_windows(arguments(tmp_path, **changes, seed=1))[0]]
    assert first == second != other and [*map(len, first)] == [100] * 12


def test_a_corpus_is_read_in_random_order_up_to_the_limit(tmp_path, corpus):
    windows = [*training_windows(arguments(tmp_path, corpus=str(corpus), max_bases=1250))[0]]
    assert sum(map(len, windows)) == 1250 and len(set(windows)) == len(windows)
    others = [*training_windows(arguments(tmp_path, corpus=str(corpus), max_bases=1250, seed=1))[0]]
    assert windows != others
    everything = [*training_windows(arguments(tmp_path, corpus=str(corpus)))[0]]
    assert sum(map(len, everything)) == 3050 + 2000 - 2000 % 64 * (2000 % 64 < 32) - 3050 % 64 * (3050 % 64 < 32)
    tokenizers = [
        write_baseline_tokenizer(arguments(tmp_path / name, corpus=str(corpus), max_bases=2000)) for name in "ab"
    ]
    assert tokenizers[0].backend_tokenizer.to_str() == tokenizers[1].backend_tokenizer.to_str()


def test_options_that_do_not_fit_are_refused(tmp_path, fasta, corpus):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "tokenizer_config.json").write_text("{}")
    for output, changes, message in [
        ("out", {}, "and none was given"),
        ("out", {"fasta": [str(fasta)], "corpus": str(corpus)}, "--fasta and --corpus was given"),
        ("out", {"kind": "kmer", "fasta": [str(fasta)]}, "--kind kmer takes none"),
        ("out", {"kind": "words"}, "--kind words: must be one of character, kmer, bpe"),
        ("out", {"fasta": [str(fasta)], "length": 200, "max_bases": 100}, "--length 200 and --max-bases 100"),
        ("taken", {"kind": "character"}, "holds a finished run"),
    ]:
        with pytest.raises(ValueError, match=message):
            write_baseline_tokenizer(arguments(tmp_path / output, **changes))
    assert not (tmp_path / "out").exists()
