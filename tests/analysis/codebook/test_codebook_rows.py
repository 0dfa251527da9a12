"""Rows are drawn by class, and encoded on both strands at the right places."""

import gzip

import numpy as np
import pytest

from vqdna_hf.analysis.codebook.rows import draw_by_class, encode_other_strand, encode_rows, load_rows
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases, reverse_complement


def random_rows(lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 4, length).astype(np.uint8) for length in lengths]


def test_drawing_keeps_the_shares_of_the_classes_and_every_class():
    labels = np.repeat([0, 1, 2], [600, 398, 2])
    kept = draw_by_class(labels, 100, np.random.default_rng(0))
    assert np.bincount(labels[kept]).tolist() == [60, 40, 1]
    assert (np.diff(kept) > 0).all()
    assert draw_by_class(labels, 1000, np.random.default_rng(0)).tolist() == list(range(1000))


def test_codes_are_those_of_each_row_alone(codec):
    rows = random_rows([40, 7, 1, 33])
    rows[0][5] = 4
    encoded = encode_rows(codec, rows, "codes")
    assert encoded.starts.tolist() == [0, 40, 47, 48, 81]
    for row, start, end in zip(rows, encoded.starts, encoded.starts[1:]):
        assert (encoded.bases[start:end] == row).all()
        assert (encoded.codes[start:end] == codec.encode_sequences([row])[0]).all()
    assert np.flatnonzero(~encoded.known).tolist() == [5]
    assert encoded.rows.tolist() == [0] * 40 + [1] * 7 + [2] + [3] * 33


def test_the_other_strand_is_paired_base_by_base(codec):
    rows = random_rows([30, 12], seed=1)
    mirrored = encode_other_strand(codec, rows, "codes")
    for row, part in zip(rows, np.split(mirrored, [30])):
        there = codec.encode_sequences([reverse_complement(row)])[0]
        for position in range(len(row)):
            assert (part[position] == there[len(row) - 1 - position]).all()


def test_a_directory_gives_its_rows_and_what_they_allow(task_dir):
    rows = load_rows(str(task_dir))
    assert (rows.name, rows.metric, rows.classes) == ("planted", "mcc", ("class 0", "class 1", "class 2"))
    assert rows.facts["rows"]["train"] == {"class 0": 20, "class 1": 20, "class 2": 20}
    assert rows.facts["rows_available"] == {"train": 60, "dev": 30, "test": 30}
    assert rows.facts["lengths"] == [48, 48, 48]
    assert rows.facts["best_possible"]["test"]["accuracy"] == 1.0
    fewer = load_rows(str(task_dir), max_rows=30, seed=3)
    assert fewer.facts["rows"]["train"] == {"class 0": 10, "class 1": 10, "class 2": 10}
    everything = {ids_to_bases(row) for row in rows.sequences["train"]}
    assert {ids_to_bases(row) for row in fewer.sequences["train"]} < everything


def test_lineage_genomes_are_a_task(tmp_path):
    rng = np.random.default_rng(0)
    genome = "".join(rng.choice(list("ACGT"), 12_000))
    lineages = ("B.1.1.7", "Q.1", "Q.2", "P.1", "P.1.1", "P.1.2")
    text = "".join(f">{name}\n{genome}\n" for name in lineages)
    (tmp_path / "genomes.fa.gz").write_bytes(gzip.compress(text.encode()))
    rows = load_rows(str(tmp_path / "genomes.fa.gz"))
    assert (rows.metric, rows.classes) == ("f1", ("Alpha", "Gamma"))
    assert {len(row) for part in rows.sequences.values() for row in part} == {999}
    # the genomes are equal, so that no window tells its class
    best = rows.facts["best_possible"]["test"]
    assert best["shared_rows"] == best["rows"]
    assert best["accuracy"] == 0.5


def test_the_seed_decides_which_lineages_are_held_out(tmp_path):
    names = [*(f"Q.{number}" for number in range(20)), "P.1", "P.1.1", "P.1.2"]
    rng = np.random.default_rng(0)
    genomes = {name: "".join(rng.choice(list("ACGT"), 10_000)) for name in names}
    (tmp_path / "genomes.fa").write_text("".join(f">{name}\n{genome}\n" for name, genome in genomes.items()))
    drawn = [load_rows(str(tmp_path / "genomes.fa"), seed=seed).sequences["test"] for seed in (0, 0, 1)]
    first, again, other = ({row.tobytes() for row in rows} for rows in drawn)
    assert first == again != other


def test_copies_of_train_rows_are_counted_among_the_rows_drawn(tmp_path):
    rng = np.random.default_rng(0)
    genome = "".join(rng.choice(list("ACGT"), 12_000))
    names = ("B.1.1.7", "Q.1", "Q.2", "P.1", "P.1.1", "P.1.2")
    (tmp_path / "genomes.fa").write_text("".join(f">{name}\n{genome}\n" for name in names))
    rows = load_rows(str(tmp_path / "genomes.fa"), hold_out="lineages", max_rows=20)
    train = {row.tobytes() for row in rows.sequences["train"]}
    copies = sum(row.tobytes() in train for row in rows.sequences["test"])
    assert 0 < rows.facts["test_rows_in_train"] == copies < len(rows.labels["test"]) == 20
    # the record of the whole data set counts among more rows
    assert rows.facts["sarscov2"]["test_rows_in_train"] == sum(rows.facts["sarscov2"]["rows"]["test"].values()) > 20


def test_what_cannot_be_looked_at_is_refused(tmp_path, task_dir):
    with pytest.raises(ValueError, match="no task 'absent'.*no such directory or FASTA file"):
        load_rows("absent")
    with pytest.raises(ValueError, match="--max-rows 0"):
        load_rows(str(task_dir), max_rows=0)
    with pytest.raises(ValueError, match=r"too few train rows of a class.*class 0 3.*higher --max-rows"):
        load_rows(str(task_dir), max_rows=9)
    unknown = tmp_path / "unknown"
    unknown.mkdir()
    for split in ("train", "dev", "test"):
        (unknown / f"{split}.csv").write_text("sequence,label\n" + "NNN,0\nNNN,1\n" * 4)
    with pytest.raises(ValueError, match="train rows of unknown hold no known base"):
        load_rows(str(unknown))
    (tmp_path / "values").mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / "values" / f"{split}.csv").write_text("sequence,label\nACGT,0.5\nCCGT,1.5\n")
    with pytest.raises(ValueError, match="is a regression, but codes are labelled by class"):
        load_rows(str(tmp_path / "values"))
