"""The corpus on disk: what is stored is the genome, a stopped run continues, and nothing foreign is taken for ours."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vqdna_hf.data import Corpus, CorpusError, GenomeBases, iter_windows, write_corpus
from vqdna_hf.data import corpus_writing as corpus_module


class EchoTokenizer:
    """Codes are the bases times ten; counts the windows it was asked for."""

    def __init__(self, fails_after: int | None = None):
        self.windows, self.fails_after = 0, fails_after

    def encode_nucleotides(self, sequences: list[np.ndarray]) -> list[np.ndarray]:
        self.windows += len(sequences)
        if self.fails_after is not None and self.windows > self.fails_after:
            raise KeyboardInterrupt
        return [ids.astype(np.int64) * 10 for ids in sequences]


def genome_of(lengths: list[int], seed: int = 0) -> GenomeBases:
    lengths = np.array(lengths)
    bases = np.random.default_rng(seed).integers(0, 5, lengths.sum()).astype(np.uint8)
    names = [f"contig{i}" for i in range(len(lengths))]
    inputs = [{"file": "genome.fa", "bases": int(lengths.sum())}]
    return GenomeBases(bases, names, np.cumsum(lengths) - lengths, lengths, inputs)


@pytest.fixture
def genomes() -> tuple[GenomeBases, GenomeBases]:
    return genome_of([500, 333, 90, 7]).split(["contig2"])


def write(genomes, output, **changes):
    arguments = {"window": 50, "min_length": 10, "shard_windows": 6, "progress": False}
    return write_corpus(*genomes, output, **arguments | changes)


def test_the_windows_of_the_genome_come_back(genomes, tmp_path):
    corpus = write(genomes, tmp_path / "corpus", tokenizer=EchoTokenizer(), with_codes=True, fingerprint="abc")
    for split, genome in zip(["train", "validation"], genomes):
        dataset = corpus.split(split).with_format("numpy")
        windows = list(iter_windows(genome, 50, 10))
        assert len(dataset) == len(windows) == corpus.manifest["splits"][split]["windows"]
        for row, (contig, start, end, ids) in zip(dataset, windows):
            assert (row["contig"], row["start"], row["end"]) == (contig, start, end)
            np.testing.assert_array_equal(row["bases"], ids)
            np.testing.assert_array_equal(row["codes"], ids.astype(np.int64) * 10)


def test_the_files_are_plain_parquet(genomes, tmp_path):
    write(genomes, tmp_path / "corpus")
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert names == [
        "corpus/corpus.json",
        "corpus/train/shard-00000.parquet",
        "corpus/train/shard-00001.parquet",
        "corpus/train/shard-00002.parquet",
        "corpus/validation/shard-00000.parquet",
    ]
    schema = pq.read_schema(tmp_path / names[1])
    assert schema.names == ["contig", "start", "end", "bases"]
    assert schema.types == [pa.string(), pa.int64(), pa.int64(), pa.list_(pa.uint8())]


def test_the_manifest_says_what_is_there(genomes, tmp_path):
    write(genomes, tmp_path, fingerprint="abc")
    manifest = json.loads((tmp_path / "corpus.json").read_text())
    assert manifest["complete"] is True and manifest["version"] == 1
    assert manifest["held_out"] == ["contig2"] and manifest["fingerprint"] == "abc"
    assert manifest["inputs"] == [{"file": "genome.fa", "bases": 930}] and manifest["window"] == 50
    # 500 = 10 windows; 333 = 6 windows and 33 bases; 7 bases are too short; 90 = 50 + 40
    assert manifest["splits"]["train"] == {"windows": 17, "bases": 833, "shards": 3}
    assert manifest["splits"]["validation"] == {"windows": 2, "bases": 90, "shards": 1}


def test_a_stopped_run_is_continued(genomes, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_module, "_CHUNK", 2)
    codes = {"with_codes": True, "fingerprint": "abc"}
    write(genomes, tmp_path / "whole", tokenizer=EchoTokenizer(), **codes)
    with pytest.raises(KeyboardInterrupt):
        write(genomes, tmp_path / "resumed", tokenizer=EchoTokenizer(fails_after=8), **codes)
    with pytest.raises(CorpusError, match="unfinished. Run the command that began it once more"):
        Corpus.load(tmp_path / "resumed")
    first = tmp_path / "resumed" / "train" / "shard-00000.parquet"
    kept = first.stat().st_mtime_ns
    tokenizer = EchoTokenizer()
    corpus = write(genomes, tmp_path / "resumed", tokenizer=tokenizer, **codes)
    assert tokenizer.windows == 19 - 6 and first.stat().st_mtime_ns == kept
    assert not list(tmp_path.rglob("*.tmp"))
    for split in corpus.splits:
        whole = Corpus.load(tmp_path / "whole").split(split)
        assert corpus.split(split).to_dict() == whole.to_dict()


def test_processes_of_a_launch_share_the_shards(genomes, tmp_path):
    """Called alike with their places, they write together what one writes alone, each window tokenized once."""
    options = {"with_codes": True, "fingerprint": "f", "shard_windows": 2}
    alone = write(genomes, tmp_path / "alone", tokenizer=EchoTokenizer(), **options)
    tokenizers = [EchoTokenizer() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        runs = [
            pool.submit(
                write, genomes, tmp_path / "shared", tokenizer=tokenizers[rank], rank=rank, world_size=3, **options
            )
            for rank in (2, 1, 0)
        ]
        shared = [run.result(timeout=60) for run in runs]
    assert all(corpus.manifest == alone.manifest for corpus in shared)
    for path in (tmp_path / "alone").rglob("*.parquet"):
        assert path.read_bytes() == (tmp_path / "shared" / path.relative_to(tmp_path / "alone")).read_bytes()
    assert all(tokenizer.windows > 0 for tokenizer in tokenizers)
    assert sum(tokenizer.windows for tokenizer in tokenizers) == sum(
        split["windows"] for split in alone.manifest["splits"].values()
    )


def test_a_finished_corpus_is_left_alone(genomes, tmp_path):
    codes = {"with_codes": True, "fingerprint": "abc"}
    write(genomes, tmp_path, tokenizer=EchoTokenizer(), **codes)
    tokenizer = EchoTokenizer()
    write(genomes, tmp_path, tokenizer=tokenizer, **codes)
    assert tokenizer.windows == 0


def test_a_damaged_manifest_is_named(genomes, tmp_path):
    for content in ("{", "[]"):
        (tmp_path / "corpus.json").write_text(content)
        for use in (lambda: Corpus.load(tmp_path), lambda: write(genomes, tmp_path)):
            with pytest.raises(CorpusError, match="corpus.json is not a corpus manifest"):
                use()


def test_a_damaged_shard_is_written_again(genomes, tmp_path):
    write(genomes, tmp_path)
    manifest = json.loads((tmp_path / "corpus.json").read_text())
    (tmp_path / "corpus.json").write_text(json.dumps(manifest | {"complete": False}))
    (tmp_path / "train" / "shard-00001.parquet").write_bytes(b"")
    assert len(write(genomes, tmp_path).split("train")) == 17


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 60}, "window: 50 then, 60 now"),
        ({"min_length": 11}, "min_length: 10 then, 11 now"),
        ({"shard_windows": 7}, "shard_windows: 6 then, 7 now"),
        ({"fingerprint": "xyz"}, "fingerprint: 'abc' then, 'xyz' now"),
        ({"inputs": [{"file": "b.fa", "bases": 1}]}, "inputs: .*genome.fa.* then, .*b.fa.* now"),
        ({"with_codes": True, "tokenizer": EchoTokenizer()}, "with_codes: False then, True now"),
    ],
)
def test_another_corpus_in_the_directory_is_not_continued(genomes, tmp_path, changes, message):
    write(genomes, tmp_path, fingerprint="abc")
    with pytest.raises(CorpusError, match=message):
        write(genomes, tmp_path, **{"fingerprint": "abc"} | changes)


def test_other_bases_of_the_same_size_are_noticed(genomes, tmp_path):
    write(genomes, tmp_path)
    with pytest.raises(CorpusError, match="checksums: "):
        write(genome_of([500, 333, 90, 7], seed=1).split(["contig2"]), tmp_path)
    with pytest.raises(CorpusError, match="held_out: "):
        write(genome_of([500, 333, 90, 7]).split(["contig1"]), tmp_path)


def test_foreign_files_are_not_overwritten(genomes, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(CorpusError, match="not empty and holds no corpus.json"):
        write(genomes, tmp_path)


def test_arguments_out_of_range_are_refused_before_anything_is_written(genomes, tmp_path):
    output = tmp_path / "corpus"
    with pytest.raises(ValueError, match="Codes need a tokenizer and the fingerprint"):
        write(genomes, output, with_codes=True, tokenizer=EchoTokenizer())
    with pytest.raises(ValueError, match="Codes need a tokenizer"):
        write(genomes, output, with_codes=True, fingerprint="abc")
    with pytest.raises(ValueError, match="shard_windows is 0"):
        write(genomes, output, shard_windows=0)
    with pytest.raises(ValueError, match="min_length <= length"):
        write(genomes, output, window=5)
    with pytest.raises(CorpusError, match="No train contig of genome.fa has a window of 1000"):
        write(genomes, output, window=1000, min_length=1000)
    assert not output.exists()


class SpecialTokens(EchoTokenizer):
    def encode_nucleotides(self, sequences):
        return [np.append(ids, 2) for ids in super().encode_nucleotides(sequences)]


class OneShort(EchoTokenizer):
    def encode_nucleotides(self, sequences):
        return super().encode_nucleotides(sequences)[1:]


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (SpecialTokens(), r"shape \(51,\) for contig0:0-50 .*\(50,\), is needed"),
        (OneShort(), "5 sequences of codes for 6 windows"),
    ],
)
def test_codes_that_do_not_match_the_bases_are_refused(genomes, tmp_path, tokenizer, message):
    with pytest.raises(CorpusError, match=message):
        write(genomes, tmp_path, with_codes=True, tokenizer=tokenizer, fingerprint="abc")


def test_a_corpus_may_have_no_validation_split(genomes, tmp_path):
    corpus = write((genomes[0], None), tmp_path)
    assert corpus.splits == ["train"] and corpus.manifest["held_out"] == []
    with pytest.raises(CorpusError, match="no split 'validation'; it has train"):
        corpus.split("validation")


def test_what_is_no_whole_corpus_is_not_loaded(genomes, tmp_path):
    with pytest.raises(CorpusError, match="no corpus.json"):
        Corpus.load(tmp_path)
    write(genomes, tmp_path)
    (tmp_path / "train" / "shard-00001.parquet").unlink()
    with pytest.raises(CorpusError, match="shard-00001.parquet is not there"):
        Corpus.load(tmp_path)
    (tmp_path / "corpus.json").write_text('{"version": 99}')
    with pytest.raises(CorpusError, match="version 99, but 1 is needed"):
        Corpus.load(tmp_path)
    (tmp_path / "corpus.json").write_text("{")
    with pytest.raises(CorpusError, match="not a corpus manifest"):
        Corpus.load(tmp_path)


def test_a_foreign_vocabulary_is_refused(genomes, tmp_path):
    corpus = write(genomes, tmp_path / "own", fingerprint="abc")
    corpus.check_fingerprint("abc")
    with pytest.raises(CorpusError, match="vocabulary abc, but this vocabulary is xyz"):
        corpus.check_fingerprint("xyz")
    # bases alone, made for no vocabulary, serve any
    write(genomes, tmp_path / "bases").check_fingerprint("xyz")
