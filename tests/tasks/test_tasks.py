"""Task files: what is loaded is what is written, and every wrong row is an error that names file, row and value."""

import gzip
import logging

import numpy as np
import pandas as pd
import pytest

from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.tasks import TaskDataError, load_task_files


GOOD = [("ACGT", 0), ("acgn", 1), ("GGGGGG", 2), ("TT", 1)]


def write_task(directory, train=GOOD, dev=GOOD[:2], test=GOOD[2:]):
    for split, rows in [("train", train), ("dev", dev), ("test", test)]:
        if rows is not None:
            lines = ["sequence,label", *(f"{sequence},{label}" for sequence, label in rows)]
            (directory / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return directory


def test_rows_come_back_as_they_are(tmp_path):
    dataset, info = load_task_files(write_task(tmp_path))
    assert list(dataset) == ["train", "dev", "test"]
    assert [ids_to_bases(ids) for ids in dataset["train"]["nucleotide_ids"]] == ["ACGT", "ACGN", "GGGGGG", "TT"]
    assert list(dataset["train"]["labels"]) == [0, 1, 2, 1]
    assert dataset["train"].features["nucleotide_ids"].feature.dtype == "uint8"
    assert dataset["train"].features["labels"].dtype == "int64"
    assert info.name == tmp_path.name and info.problem_type == "single_label_classification"
    assert info.num_labels == 3
    assert info.counts == {"train": 4, "dev": 2, "test": 2}
    assert info.sequence_lengths == (2, 4, 6)


def test_all_file_formats_load_alike(tmp_path):
    expected, _ = load_task_files(write_task(tmp_path))
    (tmp_path / "other").mkdir()
    frame = pd.read_csv(tmp_path / "train.csv").assign(extra="ignored")
    frame.to_parquet(tmp_path / "other" / "train.parquet")
    (tmp_path / "other" / "dev.csv.gz").write_bytes(gzip.compress((tmp_path / "dev.csv").read_bytes()))
    windows = b"\xef\xbb\xbf" + (tmp_path / "test.csv").read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "other" / "test.csv").write_bytes(windows)
    dataset, info = load_task_files(tmp_path / "other", name="tf/0")
    assert info.name == "tf/0"
    assert {split: rows.to_dict() for split, rows in dataset.items()} == {
        split: rows.to_dict() for split, rows in expected.items()
    }


def test_numbers_make_a_regression(tmp_path):
    dataset, info = load_task_files(write_task(tmp_path, train=[("ACGT", 0.5), ("AC", -1)]))
    assert (info.problem_type, info.num_labels) == ("regression", 1)
    assert list(dataset["train"]["labels"]) == [0.5, -1.0]
    assert dataset["test"].features["labels"].dtype == "float32"


def test_integers_are_a_regression_when_asked(tmp_path):
    _, info = load_task_files(write_task(tmp_path, train=[("ACGT", 7), ("AC", 900)]), problem="regression")
    assert (info.problem_type, info.num_labels) == ("regression", 1)


def test_semicolons_make_a_multi_label_task(tmp_path):
    rows = [("ACGT", "0;1;0"), ("AC", "1;1;0")]
    dataset, info = load_task_files(write_task(tmp_path, rows, rows, rows))
    assert (info.problem_type, info.num_labels) == ("multi_label_classification", 3)
    assert list(dataset["train"]["labels"]) == [[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]


def test_multi_label_lists_of_parquet_are_read(tmp_path):
    frame = pd.DataFrame({"sequence": ["ACGT", "AC"], "label": [[0, 1], [1, 1]]})
    for split in ("train", "dev", "test"):
        frame.to_parquet(tmp_path / f"{split}.parquet")
    dataset, info = load_task_files(tmp_path)
    assert info.num_labels == 2 and list(dataset["dev"]["labels"]) == [[0.0, 1.0], [1.0, 1.0]]


def random_rows(count: int) -> list[tuple[str, int]]:
    rng = np.random.default_rng(0)
    return [("".join(rng.choice(list("ACGT"), 30)), i % 2) for i in range(count)]


def test_a_missing_dev_split_is_carved_out_of_train(tmp_path, caplog):
    rows = random_rows(1000)
    with caplog.at_level(logging.WARNING):
        dataset, info = load_task_files(write_task(tmp_path, train=rows + rows[:300], dev=None, test=rows[:2]))
    assert "no dev split" in caplog.text and str(info.counts["dev"]) in caplog.text
    train, dev = ({tuple(ids) for ids in dataset[split]["nucleotide_ids"]} for split in ("train", "dev"))
    assert not train & dev and len(train | dev) == 1000
    assert 70 < len(dev) < 130
    assert info.counts["train"] + info.counts["dev"] == 1300
    # a sequence stays on its side whatever the others are
    smaller, _ = load_task_files(write_task(tmp_path, train=rows[:500][::-1], dev=None, test=rows[:2]))
    assert {tuple(ids) for ids in smaller["dev"]["nucleotide_ids"]} <= dev


def test_a_handful_of_rows_still_gives_a_dev_split(tmp_path):
    _, info = load_task_files(write_task(tmp_path, train=random_rows(4), dev=None, test=random_rows(2)))
    assert info.counts["dev"] >= 1 and info.counts["train"] >= 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("ACGT", 0), ("", 1)], "train.csv, row 2: the sequence is empty"),
        ([("ACGT", 0), ("ACQT", 1)], "train.csv, row 2: the sequence has 'Q' at position 2"),
        ([("ACGT", 0), ("AC T", 1)], "row 2: .*white space"),
        ([("ACGT", 0), ("AC", "")], "train.csv, row 2: the label is missing"),
        ([("ACGT", 0), ("AC", "nan")], "row 2: the label is missing"),
        ([("ACGT", 0), ("AC", "yes")], "row 2: label 'yes' is not a number"),
        ([("ACGT", 0), ("AC", "inf")], "row 2: label 'inf' is not a finite number"),
        ([("ACGT", 0), ("AC", -1)], "row 2: label -1 is no class"),
        ([("ACGT", 0), ("AC", 2)], "different labels up to 2, but none is 1"),
        ([("ACGT", 1), ("AC", 2)], "none is 0"),
        ([("ACGT", 0), ("AC", 0)], "only the label 0"),
        ([("ACGT", "0;1"), ("AC", "1")], "row 2: label '1' has 1 parts, but row 1 has 2"),
        ([("ACGT", "0;1"), ("AC", "1;")], "row 2: the label is missing"),
        ([], "has a header but no rows"),
    ],
)
def test_every_wrong_row_is_named(tmp_path, rows, message):
    with pytest.raises(TaskDataError, match=message):
        load_task_files(write_task(tmp_path, train=rows))


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_label_that_train_lacks_is_outside_the_range(tmp_path, split):
    with pytest.raises(TaskDataError, match=rf"{split}.csv, row 2: label 3 is outside the range .* 0 to 2"):
        load_task_files(write_task(tmp_path, **{split: [("ACGT", 0), ("AC", 3)]}))


def test_multi_label_rows_must_agree(tmp_path):
    rows = [("ACGT", "0;1"), ("AC", "1;1")]
    with pytest.raises(TaskDataError, match="row 2: part 1 of the label is 2"):
        load_task_files(write_task(tmp_path, [("ACGT", "0;1"), ("AC", "2;1")], rows, rows))
    with pytest.raises(TaskDataError, match="test.csv has 3 labels a row, but .* has 2"):
        load_task_files(write_task(tmp_path, rows, rows, [("AC", "1;1;0")]))
    with pytest.raises(TaskDataError, match="dev.csv has one label a row, which does not fit multi_label"):
        load_task_files(write_task(tmp_path, rows, [("AC", 1)], rows))


def test_a_problem_that_does_not_fit_is_refused(tmp_path):
    write_task(tmp_path, train=[("ACGT", 0.5), ("AC", 1)])
    with pytest.raises(TaskDataError, match="row 1: label 0.5 is no class.*problem='regression'"):
        load_task_files(tmp_path, problem="single_label_classification")
    with pytest.raises(ValueError, match="problem is 'ranking'"):
        load_task_files(tmp_path, problem="ranking")


def test_missing_and_doubled_files_are_refused(tmp_path):
    with pytest.raises(TaskDataError, match="no task directory"):
        load_task_files(tmp_path / "nowhere")
    with pytest.raises(TaskDataError, match="no test file.*It holds: dev.csv, train.csv"):
        load_task_files(write_task(tmp_path, test=None))
    write_task(tmp_path)
    (tmp_path / "dev.parquet").write_bytes(b"")
    with pytest.raises(TaskDataError, match="dev.csv and dev.parquet"):
        load_task_files(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.csv", b"", "is empty"),
        ("train.csv", b"seq,label\nACGT,0\n", "no column 'sequence'; it has 'seq', 'label'"),
        ("train.csv", b"sequence,label\nACGT,0\nAC,1,2,3\n", "row 2: there are 4 fields"),
        ("train.csv", b"sequence,label\n\xff\xfe,0\n", "cannot be read as a table"),
        ("train.csv.gz", gzip.compress(b"sequence,label\nACGT,0\n" * 100, mtime=0)[:-10], "truncated or corrupt gzip"),
        ("train.csv.gz", b"sequence,label\nACGT,0\n", "named like a gzip file"),
        ("train.parquet", b"sequence,label\nACGT,0\n", "cannot be read as a table"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path, name, content, message):
    write_task(tmp_path, train=None)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskDataError, match=message):
        load_task_files(tmp_path)


def test_one_sequence_cannot_give_two_splits(tmp_path):
    with pytest.raises(TaskDataError, match="too few different sequences"):
        load_task_files(write_task(tmp_path, train=[("ACGT", 0), ("ACGT", 1)], dev=None, test=[("AC", 0)]))


# rows as in Table A2 of the paper for the GUE sets
@pytest.mark.parametrize(
    ("task", "problem", "num_labels", "counts", "lengths"),
    [
        ("GUE/prom/prom_core_tata", "single_label_classification", 2, [4904, 613, 613], (70, 70, 70)),
        ("GUE/mouse/0", "single_label_classification", 2, [6478, 810, 810], (101, 101, 101)),
        ("GUE/mouse/3", "single_label_classification", 2, [1904, 239, 239], (101, 101, 101)),
        ("eep/spcas9", "regression", 1, [8000, 1000, 1000], (63, 63, 63)),
    ],
)
def test_real_tasks(data_dir, task, problem, num_labels, counts, lengths):
    dataset, info = load_task_files(data_dir / task)
    assert (info.problem_type, info.num_labels) == (problem, num_labels)
    assert list(info.counts.values()) == counts == [len(dataset[split]) for split in ("train", "dev", "test")]
    assert info.sequence_lengths == lengths
