"""Shards on disk: a changed byte, another shard in a shard's place and a cut one are noticed, and made again alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from test_corpus import EchoTokenizer, genome_of, write

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.data import (
    Corpus,
    CorpusError,
    GenomeBases,
    GenomeCodes,
    GenomeCodesError,
    write_corpus,
    write_genome_codes,
)
from vqdna_hf.data import corpus_writing as corpus_module
from vqdna_hf.data.shards import PARQUET_OPTIONS, identity_metadata, is_whole, shard_record


OLD = Path(__file__).parent / "before_digests"
CODES = {"with_codes": True, "fingerprint": "abc"}


@pytest.fixture
def genomes() -> tuple[GenomeBases, GenomeBases]:
    return genome_of([500, 333, 90, 7]).split(["contig2"])


@pytest.fixture(scope="module")
def tokenizer() -> VQDNATokenizer:
    torch.manual_seed(0)
    return VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")).eval())


@pytest.fixture
def fasta(tmp_path) -> Path:
    letters = np.array([*"ACGTN"])[np.random.default_rng(1).integers(0, 5, 500)]
    (tmp_path / "genome.fa").write_text(f">one\n{''.join(letters[:300])}\n>two\n{''.join(letters[300:])}\n")
    return tmp_path / "genome.fa"


def write_genome(fasta, output, tokenizer, **changes) -> GenomeCodes:
    return write_genome_codes(
        [fasta], output, tokenizer, **{"piece_length": 40, "shard_pieces": 3, "progress": False} | changes
    )


def flip(path: Path, place: int, count: int = 4):
    """Change some bytes of a file; its size stays."""
    content = bytearray(path.read_bytes())
    for number in range(place, place + count):
        content[number] ^= 0xFF
    path.write_bytes(content)


def set_complete(path: Path, complete: bool):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"complete": complete}))


def read_all(genome: GenomeCodes) -> dict[str, list]:
    return {contig: genome.codes(contig).tolist() for contig in genome.contigs}


# one shard


def test_a_shard_is_whole_with_all_its_rows(tmp_path):
    path = tmp_path / "shard.parquet"
    assert not is_whole(path, 3)
    pq.write_table(pa.table({"start": np.arange(3)}), path)
    assert is_whole(path, 3) and not is_whole(path, 4)
    whole = path.read_bytes()
    for broken in (b"", whole[:-1], whole[: len(whole) // 2]):
        path.write_bytes(broken)
        assert not is_whole(path, 3)


def test_a_shard_is_whole_where_it_belongs_alone(tmp_path):
    path = tmp_path / "shard.parquet"
    table = pa.table({"start": np.random.default_rng(0).integers(0, 255, 1000)}, metadata=identity_metadata("mine"))
    pq.write_table(table, path, **PARQUET_OPTIONS)
    assert is_whole(path, 1000, "mine") and not is_whole(path, 1000, "other") and not is_whole(path, 999, "mine")
    record = shard_record(path)
    assert record["rows"] == 1000 and record["bytes"] == path.stat().st_size
    # a record alone decides, as for a shard that was written before there were identities
    assert is_whole(path, 1000, "other", record)
    flip(path, 500)
    assert is_whole(path, 1000) and not is_whole(path, 1000, "mine") and not is_whole(path, 1000, "mine", record)


def test_what_may_not_be_read_is_not_written_again(tmp_path, monkeypatch):
    pq.write_table(pa.table({"start": np.arange(3)}), tmp_path / "shard.parquet")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pq, "read_metadata", refuse)
    with pytest.raises(PermissionError):
        is_whole(tmp_path / "shard.parquet", 3)


# corpora


def test_changed_bytes_of_a_corpus_are_noticed_and_made_again_alone(genomes, tmp_path):
    corpus = write(genomes, tmp_path, tokenizer=EchoTokenizer(), **CODES)
    expected, manifest = corpus.split("train").to_dict(), corpus.manifest
    path = tmp_path / "train" / "shard-00001.parquet"
    whole = path.read_bytes()
    for place in (50, len(whole) // 2, len(whole) - 200):
        flip(path, place)
        with pytest.raises(CorpusError, match="shard-00001.parquet .*checksum is another.*once more, which makes it"):
            Corpus.load(tmp_path).split("train")
        with pytest.raises(CorpusError, match="shard-00001.parquet"):
            Corpus.load(tmp_path).verify()
        tokenizer = EchoTokenizer()
        again = write(genomes, tmp_path, tokenizer=tokenizer, **CODES)
        assert tokenizer.windows == 6 and path.read_bytes() == whole
        assert again.manifest == manifest and again.split("train").to_dict() == expected


@pytest.mark.parametrize("content", [None, b"", b"PAR1"])
def test_lost_and_cut_shards_of_a_finished_corpus_are_made_again(genomes, tmp_path, content):
    write(genomes, tmp_path, tokenizer=EchoTokenizer(), **CODES)
    path = tmp_path / "validation" / "shard-00000.parquet"
    whole = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(CorpusError, match="shard-00000.parquet.*Run the command that wrote the corpus once more"):
        Corpus.load(tmp_path)
    tokenizer = EchoTokenizer()
    write(genomes, tmp_path, tokenizer=tokenizer, **CODES).verify()
    assert tokenizer.windows == 2 and path.read_bytes() == whole


def test_a_slow_process_of_a_launch_leaves_the_repair_to_the_first(genomes, tmp_path, monkeypatch):
    """It looks at the shards before the first process has made them again, and resumes when that has finished."""
    expected = write(genomes, tmp_path, tokenizer=EchoTokenizer(), **CODES).manifest
    (tmp_path / "train" / "shard-00001.parquet").write_bytes(b"PAR1")
    look, mended = corpus_module.complaint, []

    def look_slowly(*args, **kwargs):
        found = look(*args, **kwargs)
        if found and not mended:
            mended.append(found)
            write(genomes, tmp_path, tokenizer=EchoTokenizer(), rank=0, world_size=2, **CODES)
        return found

    def wait_a_little(finished):
        assert any(finished() for _ in range(5)), "waits for ever"

    monkeypatch.setattr(corpus_module, "complaint", look_slowly)
    monkeypatch.setattr(corpus_module, "wait_until", wait_a_little)
    slow = EchoTokenizer()
    assert write(genomes, tmp_path, tokenizer=slow, rank=1, world_size=2, **CODES).manifest == expected
    assert mended and slow.windows == 0


def test_another_shard_in_a_shards_place_is_refused(genomes, tmp_path):
    write(genomes, tmp_path / "own")
    write(genome_of([500, 333, 90, 7], seed=5).split(["contig2"]), tmp_path / "foreign")
    shard = tmp_path / "own" / "train" / "shard-00001.parquet"
    whole = shard.read_bytes()
    for other in ("own/validation/shard-00000", "own/train/shard-00000", "foreign/train/shard-00001"):
        shutil.copy(tmp_path / f"{other}.parquet", shard)
        with pytest.raises(CorpusError, match="shard-00001.parquet"):
            Corpus.load(tmp_path / "own")
        # in a resumed run, too, where there are no records yet
        manifest = json.loads((tmp_path / "own" / "corpus.json").read_text())
        (tmp_path / "own" / "corpus.json").write_text(json.dumps(manifest | {"complete": False, "digests": {}}))
        write(genomes, tmp_path / "own")
        assert shard.read_bytes() == whole


def test_a_killed_repair_goes_on(genomes, tmp_path):
    write(genomes, tmp_path, tokenizer=EchoTokenizer(), **CODES)
    for number in (0, 1):
        (tmp_path / "train" / f"shard-0000{number}.parquet").unlink()
    with pytest.raises(KeyboardInterrupt):
        write(genomes, tmp_path, tokenizer=EchoTokenizer(fails_after=8), **CODES)
    with pytest.raises(CorpusError, match="unfinished"):
        Corpus.load(tmp_path)
    tokenizer = EchoTokenizer()
    write(genomes, tmp_path, tokenizer=tokenizer, **CODES).verify()
    assert tokenizer.windows == 6


def test_a_run_killed_before_its_manifest_leaves_nothing_foreign(genomes, tmp_path):
    (tmp_path / "corpus.json.4194305.partial").write_text('{"version"')
    write(genomes, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.json", "train", "validation"]


@pytest.mark.parametrize(
    "changes",
    [
        {"splits": []},
        {"splits": {"train": []}},
        {"splits": {"train": {"windows": "17", "bases": 1, "shards": 3}}},
        {"splits": {"../train": {"windows": 17, "bases": 1, "shards": 3}}},
        {"fingerprint": 3},
        {"window": None},
        {"digests": []},
        {"digests": {"train": [], "validation": []}},
        {"digests": {"train": [1, 2, 3], "validation": [{}]}},
    ],
    ids=str,
)
def test_wrong_fields_of_a_corpus_are_named(genomes, tmp_path, changes):
    write(genomes, tmp_path)
    path = tmp_path / "corpus.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CorpusError, match=f"corpus.json.*{next(iter(changes))}|corpus.json, train: windows is '17'"):
        Corpus.load(tmp_path)


# genomes


def test_changed_bytes_of_a_genome_are_noticed_and_made_again_alone(fasta, tmp_path, tokenizer):
    output = tmp_path / "codes"
    expected = read_all(write_genome(fasta, output, tokenizer))
    contents = {path.name: path.read_bytes() for path in output.iterdir()}
    path = output / "shard-00001.parquet"
    for place in range(4, path.stat().st_size - 4, 97):
        flip(path, place)
        with pytest.raises(GenomeCodesError, match="shard-00001.parquet .*Run the command that wrote the codes once"):
            GenomeCodes.load(output).verify()
        try:  # what an interval touches is checked with it, so that it is right or refused
            assert read_all(GenomeCodes.load(output)) == expected
        except GenomeCodesError as error:
            assert "shard-00001.parquet" in str(error)
        before = (output / "shard-00000.parquet").stat().st_mtime_ns
        write_genome(fasta, output, tokenizer)
        assert {path.name: path.read_bytes() for path in output.iterdir()} == contents
        assert (output / "shard-00000.parquet").stat().st_mtime_ns == before


def test_changed_codes_are_never_read(fasta, tmp_path, tokenizer):
    """The size and the footer stay what they were, and the checksum of the page does not."""
    output = tmp_path / "codes"
    write_genome(fasta, output, tokenizer)
    path = output / "shard-00000.parquet"
    metadata = pq.read_metadata(path)
    names = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    column = metadata.row_group(0).column(names.index("codes_1"))
    start = min(column.data_page_offset, column.dictionary_page_offset or column.data_page_offset)
    flip(path, start + column.total_compressed_size - 4)
    with pytest.raises(GenomeCodesError, match="shard-00000.parquet is damaged .*CRC"):
        GenomeCodes.load(output).codes("one", 0, 10)


def test_lost_cut_and_foreign_shards_of_a_genome_are_made_again(fasta, tmp_path, tokenizer):
    output = tmp_path / "codes"
    expected = read_all(write_genome(fasta, output, tokenizer))
    shard, other = output / "shard-00001.parquet", output / "shard-00002.parquet"
    for content in (None, b"", shard.read_bytes()[:-1], other.read_bytes()):
        shard.unlink() if content is None else shard.write_bytes(content)
        with pytest.raises(GenomeCodesError, match="shard-00001.parquet"):
            read_all(GenomeCodes.load(output))
        assert read_all(write_genome(fasta, output, tokenizer)) == expected
    shutil.copy(other, shard)
    manifest = json.loads((output / "genome.json").read_text()) | {"complete": False, "digests": {}}
    (output / "genome.json").write_text(json.dumps(manifest))
    assert read_all(write_genome(fasta, output, tokenizer)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"contigs": []},
        {"contigs": {"one": "300"}},
        {"contigs": {}},
        {"codebook_sizes": 3},
        {"codebook_sizes": [0, -1]},
        {"piece_length": 0},
        {"shards": {}},
        {"shards": [3]},
        {"shards": [{"rows": 1}]},
        {"digests": {"genome": [{"rows": 1}]}},
    ],
    ids=str,
)
def test_wrong_fields_of_a_genome_are_named(fasta, tmp_path, tokenizer, changes):
    output = tmp_path / "codes"
    write_genome(fasta, output, tokenizer)
    path = output / "genome.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(GenomeCodesError, match=f"genome.json.*{next(iter(changes))}|genome.json has no bases"):
        GenomeCodes.load(output)


# what earlier versions wrote


def test_a_corpus_of_before_there_were_records_is_read_and_mended(tmp_path):
    shutil.copytree(OLD / "corpus", tmp_path / "corpus")
    corpus = Corpus.load(tmp_path / "corpus")
    corpus.verify()
    rows = corpus.split("train").to_dict()
    assert rows["start"] == [0, 20, 40, 0, 20] and rows["codes"][0] == [10 * base for base in rows["bases"][0]]
    assert rows["bases"][0] == [number * 7 % 5 for number in range(20)]
    kept = (tmp_path / "corpus" / "train" / "shard-00000.parquet").stat().st_mtime_ns
    (tmp_path / "corpus" / "train" / "shard-00001.parquet").write_bytes(b"cut")
    with pytest.raises(CorpusError, match="shard-00001.parquet is damaged"):
        Corpus.load(tmp_path / "corpus")
    lengths = np.array([60, 45, 30])
    bases, inputs = (np.arange(135) * 7 % 5).astype(np.uint8), [{"file": "invented.fa", "bases": 135}]
    genome = GenomeBases(bases, ["one", "two", "three"], np.cumsum(lengths) - lengths, lengths, inputs)
    tokenizer = EchoTokenizer()
    options = {"window": 20, "min_length": 10, "shard_windows": 3, "progress": False}
    mended = write_corpus(*genome.split(["three"]), tmp_path / "corpus", tokenizer=tokenizer, **options, **CODES)
    mended.verify()
    assert tokenizer.windows == 2 and mended.split("train").to_dict() == rows and "digests" in mended.manifest
    assert (tmp_path / "corpus" / "train" / "shard-00000.parquet").stat().st_mtime_ns == kept
    shutil.copy(OLD / "corpus" / "validation" / "shard-00000.parquet", tmp_path / "corpus" / "train")
    with pytest.raises(CorpusError, match="shard-00000.parquet has .* bytes"):
        Corpus.load(tmp_path / "corpus")


def test_a_foreign_shard_in_an_old_corpus_is_noticed_by_its_rows(tmp_path):
    shutil.copytree(OLD / "corpus", tmp_path / "corpus")
    shutil.copy(OLD / "corpus" / "validation" / "shard-00000.parquet", tmp_path / "corpus" / "train")
    with pytest.raises(CorpusError, match="has 4 windows, but 5 are recorded: a shard is of another corpus"):
        Corpus.load(tmp_path / "corpus")


def test_codes_of_before_there_were_records_are_read(tmp_path):
    genome = GenomeCodes.load(OLD / "genome")
    genome.verify()
    assert genome.codes("one", 38, 42).tolist() == [[7, 5], [1, 5], [6, 5], [0, 10]]
    assert genome.codes("two", 0, 4).tolist() == [[3, 5], [0, 1], [1, 14], [1, 7]]
    assert genome.bases("two", 0, 7).tolist() == [2, 0, 3, 3, 0, 1, 0]
    shutil.copytree(OLD / "genome", tmp_path / "genome")
    shutil.copy(OLD / "genome" / "shard-00000.parquet", tmp_path / "genome" / "shard-00001.parquet")
    with pytest.raises(GenomeCodesError, match="shard-00001.parquet has 1 rows, but 2 are recorded"):
        GenomeCodes.load(tmp_path / "genome").codes("two")
    shutil.copytree(OLD / "genome", tmp_path / "genome", dirs_exist_ok=True)
    shutil.copy(OLD / "genome" / "shard-00000.parquet", tmp_path / "genome" / "shard-00002.parquet")
    with pytest.raises(GenomeCodesError, match="shard-00002.parquet begins at one:0, where two:40"):
        GenomeCodes.load(tmp_path / "genome").codes("two", 40, 42)
