"""Codes of genomes on disk: they are those of whole contigs, any interval comes back, and a stopped run continues."""

import copy
import gzip
import json
import os
import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.data import FastaError, GenomeBases, GenomeCodes, GenomeCodesError, genome_writing, write_genome_codes
from vqdna_hf.data.genome_shards import _levels
from vqdna_hf.data.shards import shard_path
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.modeling.quantization_vqdna import level_codes


# around a piece of 40 bases, and around the halo of 8
LENGTHS = {"a": 1, "b": 39, "c": 40, "d": 41, "e": 200, "f": 7, "g": 8, "h": 333, "i": 48, "j": 3}


class Interrupting(VQDNATokenizer):
    """Is interrupted after some calls."""

    calls = 0

    def interrupt_after(self, calls: int) -> "Interrupting":
        original = self.codec.encode_sequences

        def encode(*arguments, **options):
            if self.calls == calls:
                raise KeyboardInterrupt
            self.calls += 1
            return original(*arguments, **options)

        self.codec.encode_sequences = encode
        return self


def codec_of(**changes) -> VQDNACodecModel:
    torch.manual_seed(0)
    return VQDNACodecModel(VQDNACodecConfig.from_preset("tiny", **changes)).eval()


@pytest.fixture(scope="module")
def tokenizer() -> VQDNATokenizer:
    return VQDNATokenizer(codec=codec_of())


@pytest.fixture
def fasta(tmp_path):
    """Two files, the second compressed; a tenth of the bases are unknown."""
    rng = np.random.default_rng(3)
    parts = []
    for name, length in LENGTHS.items():
        letters = ids_to_bases(rng.choice(5, length, p=[0.225, 0.225, 0.225, 0.225, 0.1]))
        lines = [letters[start : start + 30] for start in range(0, length, 30)]
        parts.append("\n".join([f">{name} contig", *lines, ""]))
    (tmp_path / "one.fa").write_text("".join(parts[:6]))
    (tmp_path / "two.fa.gz").write_bytes(gzip.compress("".join(parts[6:]).encode()))
    return [tmp_path / "one.fa", tmp_path / "two.fa.gz"]


def write(fasta, output, tokenizer, **changes) -> GenomeCodes:
    arguments = {"piece_length": 40, "shard_pieces": 4, "progress": False}
    return write_genome_codes(fasta, output, tokenizer, **arguments | changes)


def contents(directory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("quantizer", ["vq", "rq", "hrq"])
def test_codes_are_those_of_whole_contigs(fasta, tmp_path, quantizer):
    sizes = [300] if quantizer == "vq" else [8, 300]
    tokenizer = VQDNATokenizer(codec=codec_of(quantizer=quantizer, codebook_sizes=sizes, quantized_layers=None))
    bases = GenomeBases.from_fasta(fasta, progress=False)
    genome = write(fasta, tmp_path / "out", tokenizer)
    assert genome.contigs == LENGTHS and genome.total_bases == sum(LENGTHS.values())
    wholes = [bases.contig(number) for number in range(len(bases))]
    for name, whole, codes, ids in zip(
        bases.names, wholes, tokenizer.codec.encode_sequences(wholes), tokenizer.encode_nucleotides(wholes)
    ):
        np.testing.assert_array_equal(genome.bases(name), whole)
        np.testing.assert_array_equal(genome.codes(name), codes)
        np.testing.assert_array_equal(genome.ids(name), ids)
        assert genome.codes(name).dtype == genome.ids(name).dtype == np.int64
    assert pq.read_schema(tmp_path / "out" / "shard-00000.parquet").types[3:] == [pa.binary()] * (1 + len(sizes))
    types = genome.to_dataset().features
    assert [types[f"codes_{level + 1}"].feature.dtype for level in range(len(sizes))] == [
        "uint8" if size <= 256 else "uint16" for size in sizes
    ]


def test_every_piece_length_gives_the_same_codes(fasta, tmp_path, tokenizer):
    wanted = write(fasta, tmp_path / "large", tokenizer, piece_length=65_536)
    for piece_length in (8, 9, 100):
        genome = write(fasta, tmp_path / str(piece_length), tokenizer, piece_length=piece_length)
        for name in LENGTHS:
            np.testing.assert_array_equal(genome.ids(name), wanted.ids(name))


def test_any_interval_comes_back(fasta, tmp_path, tokenizer):
    genome = write(fasta, tmp_path / "out", tokenizer)
    for name, length in {"a": 1, "d": 41, "h": 333}.items():
        codes, ids, bases = genome.codes(name), genome.ids(name), genome.bases(name)
        edges = sorted({edge for edge in (0, 1, 39, 40, 41, 79, 80, 200, length - 1, length) if edge <= length})
        for start in edges:
            for end in (edge for edge in edges if edge >= start):
                np.testing.assert_array_equal(genome.codes(name, start, end), codes[start:end])
                np.testing.assert_array_equal(genome.ids(name, start, end), ids[start:end])
                np.testing.assert_array_equal(genome.bases(name, start, end), bases[start:end])
    assert genome.codes("h", 7, 7).shape == (0, 2) and genome.ids("h", 333).shape == (0,)
    np.testing.assert_array_equal(genome.ids("h", np.int64(300)), genome.ids("h")[300:])


def test_wrong_contigs_and_intervals_are_refused(fasta, tmp_path, tokenizer):
    (tmp_path / "one.fa").write_text(">chr1\nACGT\n>chr2\nACGT\n>scaffold\nAC\n")
    genome = write(fasta[:1], tmp_path / "out", tokenizer)
    with pytest.raises(GenomeCodesError, match="no contig 'chr3' among the 3 .* Similar: chr[12], chr[12]"):
        genome.codes("chr3", 0, 2)
    for start, end in ((0, 5), (-1, 3), (3, 2), (5, None)):
        with pytest.raises(GenomeCodesError, match=rf"interval {start}-\d .* not within chr1, which has 4 bases"):
            genome.ids("chr1", start, end)
    with pytest.raises(TypeError):
        genome.ids("chr1", 0.5, 2)


def test_a_name_of_several_files_is_told_apart(tmp_path, tokenizer):
    paths = [tmp_path / "one.fa", tmp_path / "two.fa"]
    for path, letters in zip(paths, ("ACGTACGT", "TTTT")):
        path.write_text(f">chr1\n{letters}\n")
    genome = write(paths, tmp_path / "out", tokenizer)
    assert genome.contigs == {"one:chr1": 8, "two:chr1": 4}
    assert ids_to_bases(genome.bases("two:chr1")) == "TTTT"
    with pytest.raises(GenomeCodesError, match="Similar: one:chr1, two:chr1"):
        genome.ids("chr1")


def test_the_manifest_says_what_is_there(fasta, tmp_path, tokenizer):
    genome = write(fasta, tmp_path / "out", tokenizer)
    manifest = json.loads((tmp_path / "out" / "genome.json").read_text())
    assert manifest == genome.manifest and manifest["complete"] is True
    assert manifest["fingerprint"] == genome.fingerprint == tokenizer.vocabulary_fingerprint
    assert manifest["halo"] == tokenizer.codec.config.halo == 8 and manifest["piece_length"] == 40
    assert [entry["file"] for entry in manifest["inputs"]] == ["one.fa", "two.fa.gz"]
    assert [entry["bytes"] for entry in manifest["inputs"]] == [path.stat().st_size for path in fasta]
    assert all(re.fullmatch("[0-9a-f]{64}", entry["sha256"]) for entry in manifest["inputs"])
    assert {"vqdna-hf", "torch"} <= set(manifest["versions"])
    for number, shard in enumerate(manifest["shards"]):
        metadata = pq.read_metadata(tmp_path / "out" / f"shard-{number:05d}.parquet")
        assert (metadata.num_rows, metadata.num_row_groups) == (shard["rows"], shard["row_groups"])
    assert sum(shard["bases"] for shard in manifest["shards"]) == sum(LENGTHS.values())
    genome.check_fingerprint(tokenizer.vocabulary_fingerprint)
    with pytest.raises(GenomeCodesError, match=f"{genome.fingerprint}, but this vocabulary is foreign"):
        genome.check_fingerprint("foreign")


def test_the_dataset_has_every_piece(fasta, tmp_path, tokenizer):
    genome = write(fasta, tmp_path / "out", tokenizer)
    dataset = genome.to_dataset().with_format("numpy")
    assert dataset.column_names == ["contig", "start", "end", "bases", "codes_1", "codes_2"]
    assert sum(row["end"] - row["start"] for row in dataset) == genome.total_bases
    for row in dataset:
        codes = genome.codes(row["contig"], row["start"], row["end"])
        np.testing.assert_array_equal(np.stack([row["codes_1"], row["codes_2"]], axis=-1), codes)
        np.testing.assert_array_equal(row["bases"], genome.bases(row["contig"], row["start"], row["end"]))


def test_codes_begun_in_version_1_are_finished_in_it(fasta, tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(genome_writing, "VERSION", 1)
    with pytest.raises(KeyboardInterrupt):
        write(fasta, tmp_path / "out", Interrupting(codec=codec_of()).interrupt_after(5))
    monkeypatch.undo()
    old, new = write(fasta, tmp_path / "out", tokenizer), write(fasta, tmp_path / "new", tokenizer)
    assert (old.manifest["version"], new.manifest["version"]) == (1, 2)
    types = [pq.read_schema(path).types[3] for path in sorted((tmp_path / "out").glob("*.parquet"))]
    assert all(pa.types.is_list(kind) for kind in types)
    for name, length in LENGTHS.items():
        np.testing.assert_array_equal(old.codes(name), new.codes(name))
        np.testing.assert_array_equal(old.ids(name, length // 3), new.ids(name, length // 3))
    assert old.to_dataset().with_format("numpy")[3]["codes_2"].tolist() == new.to_dataset()[3]["codes_2"]


def test_many_small_contigs_share_row_groups_and_few_files_stay_open(tmp_path, tokenizer, monkeypatch):
    letters = "ACGTN" * 6
    lengths = np.random.default_rng(5).integers(1, 30, 200)
    path = tmp_path / "small.fa"
    path.write_text("".join(f">s{number}\n{letters[:length]}\n" for number, length in enumerate(lengths)))
    genome = write([path], tmp_path / "out", tokenizer)
    assert sum(shard["row_groups"] for shard in genome.manifest["shards"]) < lengths.sum() / 40 + 1
    monkeypatch.setattr("vqdna_hf.data.genome_codes._MAX_OPEN", 2)
    order = np.random.default_rng(6).permutation(list(genome.contigs))
    for name in order:
        assert ids_to_bases(genome.bases(name)) == letters[: genome.contigs[name]]
    assert len(genome._open) <= 2 < len(genome.manifest["shards"])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(genome)).ids(order[0]), genome.ids(order[0]))


def test_a_stopped_run_is_continued(fasta, tmp_path, tokenizer, monkeypatch):
    write(fasta, tmp_path / "whole", tokenizer)
    interrupted = Interrupting(codec=codec_of()).interrupt_after(6)
    with pytest.raises(KeyboardInterrupt):
        write(fasta, tmp_path / "resumed", interrupted)
    assert sorted(contents(tmp_path / "resumed")) == ["genome.json", "shard-00000.parquet"]
    with pytest.raises(GenomeCodesError, match="unfinished. Run the command that began them once more"):
        GenomeCodes.load(tmp_path / "resumed")
    kept = (tmp_path / "resumed" / "shard-00000.parquet").stat().st_mtime_ns
    again = Interrupting(codec=codec_of()).interrupt_after(-1)
    genome = write(fasta, tmp_path / "resumed", again)
    groups = sum(shard["row_groups"] for shard in genome.manifest["shards"])
    assert again.calls == groups - 4
    assert (tmp_path / "resumed" / "shard-00000.parquet").stat().st_mtime_ns == kept
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")
    # a finished one is left alone, and touching a file is no change
    os.utime(fasta[0])
    last = Interrupting(codec=codec_of()).interrupt_after(0)
    assert write(fasta, tmp_path / "resumed", last).contigs == LENGTHS


def test_processes_of_a_launch_wait_for_the_first(fasta, tmp_path, tokenizer):
    idle = Interrupting(codec=codec_of()).interrupt_after(0)
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(write, fasta, tmp_path / "out", idle, rank=1)
        first = pool.submit(write, fasta, tmp_path / "out", tokenizer, rank=0).result(timeout=60)
        assert waiting.result(timeout=60).manifest == first.manifest
    # and none of them takes what an earlier run left for what it waits for
    for complete in ("true", "false"):
        path = tmp_path / "out" / "genome.json"
        path.write_text(path.read_text().replace('"complete": true', f'"complete": {complete}'))
        with pytest.raises(GenomeCodesError, match="made differently: piece_length: 40 then, 41 now"):
            write(fasta, tmp_path / "out", tokenizer, piece_length=41, rank=1)


@pytest.fixture(scope="module")
def compiled() -> VQDNATokenizer:
    """A vocabulary whose codes are looked up."""
    narrow = {"stem_kernel_size": 3, "kernel_size": 3, "num_hidden_layers": 1, "quantizer": "rq"}
    codec = codec_of(**narrow)
    codec.compile_vocabulary(verify=False)
    return VQDNATokenizer(codec=codec)


def test_looked_up_codes_are_those_of_whole_contigs(fasta, tmp_path, compiled):
    genome, bases = write(fasta, tmp_path / "out", compiled), GenomeBases.from_fasta(fasta, progress=False)
    for number, name in enumerate(bases.names):
        assert np.array_equal(genome.bases(name), bases.contig(number))
        assert np.array_equal(genome.codes(name), compiled.codec.encode_sequences([bases.contig(number)])[0])


@pytest.mark.parametrize("which", ["tokenizer", "compiled"])
def test_several_machines_write_what_one_does(fasta, tmp_path, which, request):
    tokenizer = request.getfixturevalue(which)
    write(fasta, tmp_path / "one", tokenizer)
    with ThreadPoolExecutor() as pool:
        ranks = [
            pool.submit(write, fasta, tmp_path / "out", pickle.loads(pickle.dumps(tokenizer)), rank=rank, world_size=2)
            for rank in (2, 1, 0)  # the last waits, as a process does that was launched beside one of the others
        ]
        assert len({tuple(rank.result(timeout=60).contigs) for rank in ranks}) == 1
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


def test_a_machine_s_share_is_resumed_by_any_number(fasta, tmp_path, tokenizer):
    write(fasta, tmp_path / "one", tokenizer)
    with pytest.raises(KeyboardInterrupt):
        write(fasta, tmp_path / "out", Interrupting(codec=codec_of()).interrupt_after(1), world_size=3)
    write(fasta, tmp_path / "out", tokenizer)
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


def test_what_was_finished_by_several_is_repaired_by_the_first(fasta, tmp_path, tokenizer, monkeypatch):
    """Others may write other bytes, of another version of the library, for which the first would wait forever."""
    write(fasta, tmp_path / "out", tokenizer)
    lost = shard_path(tmp_path / "out", 1)
    lost.unlink()

    def never(finished):
        raise AssertionError("waits for another process")

    monkeypatch.setattr(genome_writing, "wait_until", never)
    write(fasta, tmp_path / "out", tokenizer, rank=0, world_size=2)
    assert lost.is_file()


def test_codes_of_the_network_and_of_its_table_are_not_mixed(fasta, tmp_path, compiled):
    network = copy.deepcopy(compiled)
    network.codec.table = None
    write(fasta, tmp_path / "out", network)
    shard_path(tmp_path / "out", 1).unlink()
    with pytest.raises(GenomeCodesError, match="table: its default then"):
        write(fasta, tmp_path / "out", compiled)
    write(fasta, tmp_path / "table", compiled)
    with pytest.raises(GenomeCodesError, match="table: .* its default now"):
        write(fasta, tmp_path / "table", network)


@pytest.mark.parametrize("sizes", [[1, 256], [256], [2, 128, 256]])
def test_levels_of_any_size_come_apart(sizes):
    products = np.arange(np.prod(sizes))
    expected = level_codes(products, sizes)
    for number, level in enumerate(_levels(products, sizes)):
        assert (level == expected[:, number]).all()


@pytest.mark.slow
def test_workers_write_whole_shards_of_looked_up_codes(fasta, tmp_path, compiled):
    write(fasta, tmp_path / "one", compiled)
    write(fasta, tmp_path / "out", compiled, workers=2)
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


def test_a_damaged_shard_in_the_middle_is_written_again(fasta, tmp_path, tokenizer):
    write(fasta, tmp_path / "whole", tokenizer)
    write(fasta, tmp_path / "out", tokenizer)
    manifest = tmp_path / "out" / "genome.json"
    manifest.write_text(manifest.read_text().replace('"complete": true', '"complete": false'))
    (tmp_path / "out" / "shard-00001.parquet").write_bytes(b"")
    write(fasta, tmp_path / "out", tokenizer)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_other_arguments_and_changed_files_are_refused_with_what_differs(fasta, tmp_path, tokenizer):
    write(fasta, tmp_path / "out", tokenizer)
    before = contents(tmp_path / "out")
    with pytest.raises(GenomeCodesError, match="made differently: piece_length: 40 then, 41 now"):
        write(fasta, tmp_path / "out", tokenizer, piece_length=41)
    with pytest.raises(GenomeCodesError, match="inputs: .*one.fa.* then"):
        write(fasta[:1], tmp_path / "out", tokenizer)
    with pytest.raises(GenomeCodesError, match="fingerprint: .* then, .* now; codebook_sizes"):
        write(fasta, tmp_path / "out", VQDNATokenizer(codec=codec_of(codebook_sizes=[4, 4])))
    text = fasta[0].read_text()
    fasta[0].write_text(text[:-2] + ("A" if text[-2] != "A" else "C") + "\n")
    with pytest.raises(GenomeCodesError, match="inputs: .*sha256"):
        write(fasta, tmp_path / "out", tokenizer)
    assert contents(tmp_path / "out") == before


def test_a_file_that_changes_while_it_is_read_is_refused(fasta, tmp_path, tokenizer, monkeypatch):
    measured = genome_writing.measure_contigs(fasta, progress=False)
    monkeypatch.setattr(genome_writing, "measure_contigs", lambda *_: measured | {"h": 334})
    with pytest.raises(FastaError, match="changed while they were read"):
        write(fasta, tmp_path / "out", tokenizer)


def test_what_cannot_be_used_leaves_nothing_behind(fasta, tmp_path, tokenizer):
    output = tmp_path / "out"
    cases = [
        ([], {}, "No FASTA file"),
        ([fasta[0], fasta[0]], {}, "given twice"),
        (fasta, {"workers": 0}, "workers is 0"),
    ]
    cases += [(fasta, {"piece_length": 7}, "piece_length is 7"), (fasta, {"shard_pieces": 0}, "shard_pieces 0")]
    cases += [([tmp_path / "nowhere.fa"], {}, "no FASTA file")]
    for paths, changes, message in cases:
        with pytest.raises(ValueError, match=message):
            write(paths, output, tokenizer, **changes)
    with open(fasta[0], "a") as file:
        file.write("ACG!\n")
    with pytest.raises(FastaError, match="'!' at position 10"):
        write(fasta, output, tokenizer)
    assert not output.exists()
    output.mkdir()
    (output / "mine.txt").write_text("mine")
    with pytest.raises(GenomeCodesError, match="not empty and holds no genome.json"):
        write(fasta[1:], output, tokenizer)
    with pytest.raises(GenomeCodesError, match="holds no genome codes"):
        GenomeCodes.load(output)


def test_incomplete_copies_are_refused(fasta, tmp_path, tokenizer):
    write(fasta, tmp_path / "out", tokenizer)
    (tmp_path / "out" / "shard-00001.parquet").unlink()
    with pytest.raises(GenomeCodesError, match="shard-00001.parquet is not there"):
        GenomeCodes.load(tmp_path / "out")
    manifest = tmp_path / "out" / "genome.json"
    manifest.write_text(manifest.read_text().replace('"version": 2', '"version": 99'))
    with pytest.raises(GenomeCodesError, match="version 99, but 1 or 2 is needed"):
        GenomeCodes.load(tmp_path / "out")
    for content in ("{", "[]"):
        manifest.write_text(content)
        with pytest.raises(GenomeCodesError, match="is no manifest"):
            GenomeCodes.load(tmp_path / "out")


def test_a_damaged_copy_is_named(fasta, tmp_path, tokenizer):
    genome = write(fasta, tmp_path / "out", tokenizer)
    (tmp_path / "out" / "shard-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(GenomeCodesError, match="shard-00000.parquet has 4 bytes, but"):
        genome.codes("a")


@pytest.mark.parametrize("length", [0, 7, 2**28 + 1])
def test_pieces_fit_into_lists_with_32_bit_offsets(fasta, tmp_path, tokenizer, length):
    with pytest.raises(ValueError, match=f"piece_length is {length} .*pieces of 8 .* to 268435456 bases"):
        write(fasta, tmp_path / "out", tokenizer, piece_length=length)
