"""Windows of lineage genomes: the names of classes, what the splits share, and the bound that equal rows set."""

import gzip
import itertools

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import f1_score

from vqdna_hf.data import FastaError
from vqdna_hf.tasks.sarscov2 import best_possible_scores, class_of, load_sarscov2, read_lineages


LINEAGES = (
    "B.1.1.7",
    "Q.1",
    "Q.2",
    "Q.3",
    "AY.4",
    "AY.4.2",
    "AY.100",
    "B.1.617.2",
    "P.2",
    "C.37",
    "C.37.1",
    "B.1",
    "P.10",
)


def genomes(columns: int = 620, mutations: int = 12, gaps: bool = True) -> dict[str, str]:
    """Copies of one genome, each with mutations of its own; those of Delta lack five bases."""
    rng = np.random.default_rng(3)
    reference = rng.choice(list("ACGT"), columns)
    found = {}
    for lineage in LINEAGES:
        copy = reference.copy()
        copy[rng.choice(columns, mutations, replace=False)] = rng.choice(list("ACGT"), mutations)
        found[lineage] = copy
    if gaps:
        for lineage in ("AY.4", "AY.4.2", "AY.100", "B.1.617.2"):
            found[lineage][20:25] = "-"
    return {lineage: "".join(copy) for lineage, copy in found.items()}


def write(path, records: dict[str, str]):
    text = "".join(f">{name} some words\n{letters}\n" for name, letters in records.items()).encode()
    if path.suffix == ".zst":
        text = pa.Codec("zstd").compress(text, asbytes=True)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.fixture
def fasta(tmp_path):
    return write(tmp_path / "lineages.fa", genomes())


@pytest.mark.parametrize(
    ("lineage", "name"),
    [
        ("B.1.1.7", "Alpha"),
        ("B.1.1.70", None),
        ("Q.4", "Alpha"),
        ("B.1.351.2", "Beta"),
        ("AY.4.2.1", "Delta"),
        ("B.1.617.1", "Kappa"),
        ("B.1.617.3", None),
        ("P.1.17.1", "Gamma"),
        ("P.10", None),
        ("C.37.1", "Lambda"),
    ],
)
def test_lineages_belong_to_the_class_above_them(lineage, name):
    assert class_of(lineage) == name


@pytest.mark.parametrize("suffix", [".fa", ".fa.gz", ".fa.zst"])
def test_every_kind_of_file_gives_the_same_genomes(tmp_path, suffix):
    records = genomes()
    found = read_lineages(write(tmp_path / f"lineages{suffix}", records))
    assert list(found) == ["Alpha", "Delta", "Lambda", "Zeta"]
    assert found["Delta"] == {name: records[name] for name in ("AY.4", "AY.4.2", "AY.100", "B.1.617.2")}
    assert found["Zeta"] == {"P.2": records["P.2"]}


def test_no_position_is_in_two_splits_and_no_lineage_where_there_are_three(fasta):
    splits, report = load_sarscov2(fasta, window=40)
    columns = {
        split: set(itertools.chain.from_iterable(range(start, start + 40) for start in part["start"]))
        for split, part in splits.items()
    }
    lineages = {split: set(zip(part["label"], part["lineage"])) for split, part in splits.items()}
    for one, other in itertools.combinations(splits, 2):
        assert not columns[one] & columns[other]
        # Alpha and Delta have four lineages; Lambda's two are train's, and dev's and test's
        assert not {pair for pair in lineages[one] & lineages[other] if pair[0] in (0, 1)}
    assert not lineages["train"] & {pair for pair in lineages["test"] if pair[0] == 2}
    assert lineages["train"] & lineages["test"] == {(3, "P.2")}
    assert report["missing"] == []
    assert report["test_rows_in_train"] == 0


def test_rows_are_the_windows_of_their_genomes_without_gaps(fasta):
    records = genomes()
    splits, report = load_sarscov2(fasta, window=40)
    deleted = 0
    for part in splits.values():
        for row in part:
            window = records[row["lineage"]][row["start"] : row["start"] + 40]
            assert row["sequence"] == window.replace("-", "")
            assert part.features["label"].int2str(row["label"]) == class_of(row["lineage"])
            deleted += window.count("-")
    assert report["deleted"] == deleted > 0


def test_classes_are_balanced_and_the_seed_decides(fasta):
    splits, report = load_sarscov2(fasta, window=40, seed=1)
    for split, part in splits.items():
        counts = np.bincount(part["label"]).tolist()
        assert counts == list(report["rows"][split].values())
        assert len(set(counts)) == 1
    assert load_sarscov2(fasta, window=40, seed=1)[0]["train"].to_dict() == splits["train"].to_dict()
    assert load_sarscov2(fasta, window=40, seed=2)[0]["train"].to_dict() != splits["train"].to_dict()
    few, _ = load_sarscov2(fasta, window=40, per_class=5)
    assert np.bincount(few["train"]["label"]).tolist() == [5, 5, 5, 5]


def test_positions_may_be_shared_on_request(fasta):
    splits, report = load_sarscov2(fasta, window=40, hold_out="lineages")
    assert report["missing"] == ["Zeta"]
    assert report["rows"]["test"]["Zeta"] == 0 < report["rows"]["train"]["Zeta"]
    assert not set(splits["train"]["lineage"]) & set(splits["test"]["lineage"])
    assert set(splits["train"]["start"]) & set(splits["test"]["start"])
    train = set(splits["train"]["sequence"])
    assert report["test_rows_in_train"] == sum(sequence in train for sequence in splits["test"]["sequence"]) > 0


def test_wrong_files_are_refused_with_their_reason(tmp_path):
    records = genomes()
    cases = {
        "AY.4 has 619 columns": records | {"AY.4": records["AY.4"][:-1]},
        "'E' at column 2": records | {"P.2": "ACE" + records["P.2"][3:]},
        "lineages of Zeta, but two classes": {"P.2": records["P.2"]},
        "lineages of no class": {"B.1": records["B.1"]},
    }
    for message, content in cases.items():
        with pytest.raises(FastaError, match=message):
            read_lineages(write(tmp_path / "wrong.fa", content))
    with pytest.raises(FastaError, match="Record P.2 of .*wrong.fa has no base, only gaps"):
        read_lineages(write(tmp_path / "wrong.fa", records | {"P.2": "-" * len(records["P.2"])}))
    path = write(tmp_path / "twice.fa", records)
    path.write_text(path.read_text() + f">P.2\n{records['P.2']}\n")
    with pytest.raises(FastaError, match="two records named 'P.2'"):
        read_lineages(path)
    whole = write(tmp_path / "cut.fa.zst", records)
    whole.write_bytes(whole.read_bytes()[:200])
    with pytest.raises(FastaError, match="cut.fa.zst is a truncated or corrupt Zstandard file"):
        read_lineages(whole)
    with pytest.raises(FastaError, match="no FASTA file"):
        read_lineages(tmp_path / "absent.fa")


def test_wrong_settings_are_refused(fasta):
    with pytest.raises(FastaError, match="no window of 63. Give whole genomes, or windows of 62"):
        load_sarscov2(fasta, window=63)
    with pytest.raises(ValueError, match="hold_out is 'rows'"):
        load_sarscov2(fasta, hold_out="rows")
    with pytest.raises(ValueError, match="per_class is 0"):
        load_sarscov2(fasta, window=40, per_class=0)


@pytest.mark.parametrize("lineages", [("P.2", "B.1.525"), ("B.1.1.7", "Q.1", "P.2")])
def test_lineages_cannot_be_held_out_where_there_are_too_few(tmp_path, lineages):
    path = write(tmp_path / "few.fa", {lineage: "ACGT" * 155 for lineage in lineages})
    with pytest.raises(FastaError, match="few.fa has no class of three lineages.*nothing would be left for dev"):
        load_sarscov2(path, window=40, hold_out="lineages")
    assert len(load_sarscov2(path, window=40)[0]["dev"])


def test_best_scores_of_rows_without_equal_ones_are_perfect():
    scores = best_possible_scores(["A", "C", "C", "G"], [0, 1, 1, 0])
    assert scores["accuracy"] == scores["macro_f1_at_most"] == scores["macro_f1_reached"] == 1.0
    assert (scores["shared_rows"], scores["copies"]) == (0, 1)


@pytest.mark.parametrize("seed", range(6))
def test_best_scores_bracket_what_trying_all_answers_finds(seed):
    rng = np.random.default_rng(seed)
    sequences, labels = rng.integers(0, 5, 14), np.append(rng.integers(0, 3, 11), [0, 1, 2])
    found = best_possible_scores(sequences.tolist(), labels)
    accuracy = macro_f1 = 0.0
    for answers in itertools.product(range(3), repeat=5):
        predicted = np.array(answers)[sequences]
        accuracy = max(accuracy, float(np.mean(predicted == labels)))
        score = f1_score(labels, predicted, labels=[0, 1, 2], average="macro", zero_division=0)
        macro_f1 = max(macro_f1, float(score))
    assert found["accuracy"] == pytest.approx(accuracy)
    assert found["macro_f1_reached"] <= macro_f1 + 1e-12
    assert found["macro_f1_at_most"] >= macro_f1 - 1e-12
    # a single answer was changed at a time, which leaves little
    assert found["macro_f1_reached"] >= 0.9 * macro_f1


def test_real_genomes_have_the_known_numbers_of_lineages(data_dir):
    path = data_dir / "sarscov2" / "pango_lineage_consensus.fa.zst"
    counts = {name: len(lineages) for name, lineages in read_lineages(path).items()}
    assert counts == {
        **{"Alpha": 7, "Beta": 4, "Delta": 196, "Eta": 1, "Gamma": 19},
        **{"Iota": 1, "Kappa": 1, "Lambda": 2, "Zeta": 1},
    }
    splits, report = load_sarscov2(path)
    assert report["test_rows_in_train"] == 0
    # most windows carry no mutation that tells their class
    assert best_possible_scores(splits["test"]["sequence"], splits["test"]["label"])["accuracy"] < 0.7
