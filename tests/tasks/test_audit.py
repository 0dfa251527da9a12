"""The audit on constructed data where every count is known, and the known faults of real data."""

import json

import numpy as np
import pytest

from vqdna_hf.cli import main
from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids, ids_to_bases, reverse_complement
from vqdna_hf.tasks import load_task
from vqdna_hf.tasks.audit import audit_task, clean_test_rows, format_report, read_splits, shortcut_scores
from vqdna_hf.tasks.kmers import canonical_kmers, share_kmers


CLASSIFICATION, REGRESSION = "single_label_classification", "regression"


def random_bases(count: int, length: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), length)) for _ in range(count)]


def other_strand(sequence: str) -> str:
    return ids_to_bases(reverse_complement(bases_to_ids(sequence)))


def task(**rows) -> dict:
    """Splits from lists of (sequence, label)."""
    return {
        split: {"sequence": [s for s, _ in pairs], "label": [y for _, y in pairs]} for split, pairs in rows.items()
    }


@pytest.fixture
def faulty() -> dict:
    """One fault of every kind; 60 different sequences of 80 bases, of which no two share a 31-mer by chance."""
    a = random_bases(60, 80)
    train = [(s, i % 2) for i, s in enumerate(a[:40])]
    # two copies, one of them with the other label; one reverse complement with the same, one with the other label
    train += [(a[0], 0), (a[1], 0), (other_strand(a[2]), 0), (other_strand(a[3]), 0)]
    dev = [(s, i % 2) for i, s in enumerate(a[40:48])] + [(a[5].lower(), 1)]
    test = [(s, i % 2) for i, s in enumerate(a[48:])]  # rows 0-11
    test += [(a[7], 1), (other_strand(a[8]), 0), (a[41], 1)]  # 12: in train, 13: reversed in train, 14: in dev
    test += [(a[48], 0), (other_strand(a[49]), 1), (a[50], 1)]  # 15, 16: copies of rows 0, 1; 17: contradicts row 2
    test += [(a[9][20:55] + "N" * 45, 1), (other_strand(a[10])[:30] + "N" * 50, 0)]  # 18: a 35-mer, 19: a 30-mer
    return task(train=train, dev=dev, test=test)


def test_every_planted_fault_is_counted_once(faulty):
    report = audit_task(faulty, "mcc", CLASSIFICATION, kmer=31)
    assert report["rows"] == {"train": 44, "dev": 9, "test": 20}
    assert report["lengths"]["train"] == [80, 80]
    assert report["classes"]["dev"] == {"0": 4, "1": 5}
    assert report["copies"] == {
        "within": {
            "train": {"exact": 2, "reverse_complement": 2},
            "dev": {"exact": 0, "reverse_complement": 0},
            "test": {"exact": 2, "reverse_complement": 1},
        },
        "across": {
            "test in train": {"exact": 1, "reverse_complement": 1},
            "dev in train": {"exact": 1, "reverse_complement": 0},
            "test in dev": {"exact": 1, "reverse_complement": 0},
        },
    }
    assert report["contradictions"] == {
        "within": {"train": 1, "dev": 0, "test": 1},
        "sequences": 2,
        "rows": 4,
        "reverse_complement": 1,
    }
    # two copies and the 35-mer
    assert report["overlap"]["test"] == {"rows": 3, "share": 3 / 20, "shorter_than_k": 0}
    assert report["overlap"]["dev"]["rows"] == 1
    clean = report["clean_test_rows"]
    assert clean["deduplicated"] == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 18, 19]
    assert clean["without_shared_kmers"] == [row for row in clean["deduplicated"] if row != 18]
    assert json.loads(json.dumps(report)) == report


def test_clean_test_rows_are_those_of_the_report(faulty):
    report = audit_task(faulty, "mcc", CLASSIFICATION, kmer=30)["clean_test_rows"]
    assert np.flatnonzero(clean_test_rows(faulty)).tolist() == report["deduplicated"]
    assert np.flatnonzero(clean_test_rows(faulty, kmer=30)).tolist() == report["without_shared_kmers"]
    assert not clean_test_rows(faulty, kmer=30)[[18, 19]].any() and clean_test_rows(faulty, kmer=36)[[18, 19]].all()


def test_clean_splits_have_nothing_to_report():
    a = random_bases(30, 50)
    splits = task(train=[(s, i % 2) for i, s in enumerate(a[:20])], test=[(s, i % 2) for i, s in enumerate(a[20:])])
    report = audit_task(splits, "mcc", CLASSIFICATION)
    assert clean_test_rows(splits).all() and clean_test_rows(splits, kmer=31).all()
    assert report["contradictions"] == {
        "within": {"train": 0, "test": 0},
        "sequences": 0,
        "rows": 0,
        "reverse_complement": 0,
    }
    assert report["overlap"]["test"]["rows"] == 0 and "dev" not in report["overlap"]
    assert not any(count for part in report["copies"].values() for pair in part.values() for count in pair.values())


def test_a_palindrome_is_an_exact_copy_and_no_reverse_complement():
    splits = task(train=[("ACGT", 0), ("ACGT", 0), ("AACC", 1)], test=[("ACGT", 0), ("CCTT", 1)])
    report = audit_task(splits, "mcc", CLASSIFICATION)
    assert report["copies"]["within"]["train"] == {"exact": 1, "reverse_complement": 0}
    assert report["copies"]["across"]["test in train"] == {"exact": 1, "reverse_complement": 0}
    assert report["overlap"]["test"] == {"rows": 0, "share": 0.0, "shorter_than_k": 2}


def test_missing_splits_leave_out_what_needs_them():
    a = random_bases(6, 50)
    report = audit_task(task(dev=[(a[0], 0), (a[1], 1)], test=[(a[0], 0), (a[2], 1)]), "mcc", CLASSIFICATION, name="x")
    assert list(report["copies"]["across"]) == ["test in dev"]
    assert report["overlap"] == report["shortcuts"] == {}
    assert report["clean_test_rows"] == {"deduplicated": [1]}
    assert format_report(report).startswith("x: 2 dev, 2 test (no train)")
    assert audit_task(task(train=[(a[0], 0)]), "mcc", CLASSIFICATION)["clean_test_rows"] == {}
    with pytest.raises(ValueError, match="There is no test split, only train"):
        clean_test_rows(task(train=[(a[0], 0)]))
    with pytest.raises(ValueError, match="splits are training, but they must be among train, dev, test"):
        read_splits(task(training=[(a[0], 0)]))
    with pytest.raises(ValueError, match=r"labels of shape \(1, 2\), but one label a row"):
        read_splits(task(train=[(a[0], [0, 1])]))


# k-mers


@pytest.mark.parametrize("k", [1, 2, 3, 31, 32, 33, 40, 64, 65, 100])
def test_shared_kmers_are_those_of_a_search(k):
    references = random_bases(5, 120, seed=1)
    queries = random_bases(5, 120, seed=2) + ["ACGT", "A" * 119 + "N", "N" * 120]
    queries += ["G" * 10 + references[0][5 : 5 + k] + "G" * 10, "T" + other_strand(references[1][:k]) + "T"]
    queries += [references[2][: k - 1], references[3][: k // 2] + "N" + references[3][k // 2 + 1 : k]]
    known = {s[i : i + k] for r in references for s in (r, other_strand(r)) for i in range(120 - k + 1)}
    expected = [any(query[i : i + k] in known for i in range(len(query) - k + 1)) for query in queries]
    assert share_kmers(queries, references, k).tolist() == expected
    assert expected[8] and expected[9]


def test_pieces_of_the_work_make_no_difference(monkeypatch):
    references, queries = random_bases(30, 40, seed=1), random_bases(30, 40, seed=2)
    queries[3], queries[20] = references[29], other_strand(references[4])
    expected = share_kmers(queries, references, 31)
    assert np.flatnonzero(expected).tolist() == [3, 20]
    monkeypatch.setattr("vqdna_hf.tasks.kmers._CHUNK", 64)
    assert (share_kmers(queries, references, 31) == expected).all()


@pytest.mark.parametrize("k", [5, 32, 40])
def test_a_kmer_and_its_reverse_complement_have_one_number(k):
    ids = bases_to_ids(random_bases(1, 200)[0])
    forward, complete = canonical_kmers(ids, k)
    backward, _ = canonical_kmers(reverse_complement(ids), k)
    assert (forward == backward[::-1]).all() and complete.all() and forward.size == 200 - k + 1
    assert np.unique(forward).size == forward.size or k == 5


def test_nothing_is_shared_with_or_by_nothing():
    assert share_kmers([], ["ACGT"], 2).shape == (0,)
    assert share_kmers(["ACGT"], [], 2).tolist() == [False]
    with pytest.raises(ValueError, match="k is 0"):
        share_kmers(["ACGT"], ["ACGT"], 0)


# shortcuts


def scores_of(pairs: list, metric: str = "mcc", problem: str = CLASSIFICATION) -> dict[str, float]:
    half = len(pairs) // 2
    return shortcut_scores(read_splits(task(train=pairs[:half], test=pairs[half:])), metric, problem)


def test_length_gives_labels_away_or_not():
    rng = np.random.default_rng(0)
    pairs = [(random_bases(1, 30 + 10 * (i % 2), seed=i)[0], i % 2) for i in range(200)]
    assert scores_of(pairs)["length"] == 1.0 and scores_of(pairs)["majority"] == 0.0
    shuffled = list(zip([s for s, _ in pairs], rng.integers(0, 2, 200).tolist()))
    assert abs(scores_of(shuffled)["length"]) < 0.3 and abs(scores_of(shuffled)["composition"]) < 0.3


def test_composition_gives_labels_away():
    rng = np.random.default_rng(0)
    rich, poor = [0.1, 0.4, 0.4, 0.1], [0.3, 0.2, 0.2, 0.3]
    pairs = [("".join(rng.choice(list("ACGT"), 80, p=rich if i % 2 else poor)), i % 2) for i in range(200)]
    scores = scores_of(pairs)
    assert scores["composition"] > 0.9 and scores["length"] == 0.0


def test_shortcuts_of_a_regression_and_of_a_single_class():
    pairs = [("A" * 40 + "C" * (i % 20 + 1), float(i % 20)) for i in range(200)]
    scores = scores_of(pairs, "spearman", REGRESSION)
    assert scores["majority"] == 0.0 and scores["length"] > 0.99 and scores["composition"] > 0.99
    assert scores_of([("ACGT", 0), ("AACC", 0), ("ACGT", 0), ("AACC", 1)])["length"] == 0.0


# the command


def write_files(directory, splits: dict):
    directory.mkdir(parents=True)
    for split, part in splits.items():
        lines = [f"{sequence},{label}" for sequence, label in zip(part["sequence"], part["label"])]
        (directory / f"{split}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")


def test_the_command_audits_tasks_and_directories(tmp_path, capsys, faulty):
    for place in ("tf/0", "mine"):
        write_files(tmp_path / place, faulty)
    expected = {name: audit_task(faulty, "mcc", CLASSIFICATION, 35, name) for name in ("tf/0", "mine")}
    command = ["audit", "tf/0", "mine", "--data-dir", str(tmp_path), "--kmer", "35"]
    assert main([*command, "--output", str(tmp_path / "out/audit.json")]) == 0
    assert json.loads((tmp_path / "out/audit.json").read_text()) == list(expected.values())
    assert format_report(expected["mine"]) in capsys.readouterr().out
    assert main(["audit", "--data-dir", str(tmp_path)]) == 0
    assert "tf/0: 44 train, 9 dev, 20 test" in capsys.readouterr().out
    for wrong, message in [
        (["tf/9"], "Did you mean tf/"),
        ([], "nothing to audit"),
        (["mouse/0"], "no files of mouse/0"),
    ]:
        assert main(["audit", *wrong, "--data-dir", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
    assert main(["audit"]) == 2 and "Name a dataset" in capsys.readouterr().err


# real data: known faults of GUE's files, counted before by other means


@pytest.mark.parametrize(
    ("name", "copies", "in_train", "contradictory"),
    [("prom_core_tata", 57, 16, 15), ("prom_300_tata", 56, 6, 15), ("prom_core_notata", 114, 30, 49)],
)
def test_known_faults_of_real_tasks(data_dir, name, copies, in_train, contradictory):
    report = audit_task(load_task(name, data_dir), "mcc", CLASSIFICATION, kmer=40)
    assert report["copies"]["within"]["train"] == {"exact": copies, "reverse_complement": 0}
    assert report["copies"]["across"]["test in train"]["exact"] == in_train
    # sequences of all splits together: in train alone there are fewer
    assert report["contradictions"]["sequences"] == contradictory
    assert 0.04 < report["overlap"]["test"]["share"] < 0.11
    assert report["shortcuts"]["majority"] == report["shortcuts"]["length"] == 0.0
