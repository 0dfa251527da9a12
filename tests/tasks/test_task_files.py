"""Files of tasks: no field, row or split is lost in silence, and a message gives the form that is read."""

import bz2
import gzip
import logging
import lzma
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Features, LargeList, List, Value

from vqdna_hf import cli
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.tasks import TaskDataError, load_task_files, memory_datasets
from vqdna_hf.tasks.rows import Split
from vqdna_hf.tasks.split_files import find_split, read_table


GOOD = b"sequence,label\nACGT,0\nACGG,1\nAAAA,0\n"


@pytest.fixture
def task(tmp_path):
    """A directory of three good files; give other content to some of them."""

    def write(**files: bytes):
        for name, content in {"train.csv": GOOD, "dev.csv": GOOD, "test.csv": GOOD, **files}.items():
            if content is not None:
                (tmp_path / name).write_bytes(content)
        return tmp_path

    return write


def rows_of(directory, split="train") -> list[tuple[str, float]]:
    part = load_task_files(directory)[0][split]
    return [(ids_to_bases(np.array(ids)), label) for ids, label in zip(part["nucleotide_ids"], part["labels"])]


ROWS = [("ACGT", 0), ("ACGG", 1), ("AAAA", 0)]


# fields


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"sequence,label\nACGT,0,0,1\nAC,1,0,1\n", r'row 1: there are 4 fields.*joined by semicolons: "0;0;1"'),
        (b"sequence,label\nACGT,0\nAC,1,0,1\n", r'row 2: there are 4 fields.*"1;0;1"'),
        (b"sequence,label\nACGT,0,53\nAC,0,54\n", r"row 1: there are 3 fields.*has a point: 0\.53"),
        (b'sequence,label\nACGT,"0,53"\nAC,"0,54"\n', r"row 1: label '0,53' is not a number.*has a point: 0\.53"),
        (b'sequence,label\nACGT,"0,0,1"\n', r'row 1: label \'0,0,1\'.*semicolons: "0;0;1"'),
        (b'sequence,label\nACGT,"[0 1]"\n', r'row 1: label .*semicolons: "0;1"'),
        (b"sequence,label\nACGT,0\nAC\n", "row 2: there are 1 fields, but the header names 2 columns"),
        (b"sequence,label,note\nACGT,0,x\nAC,1\n", "row 2: there are 2 fields, but the header names 3"),
        (b"sequence,label,note\nACGT,0,x\nAC,1,y, z\n", "row 2: there are 4 fields.*in quotes"),
        (b"sequence,label,\nACGT,0,53\nAC,0,54\n", "row 1: there are 3 fields"),
        (b"sequence,label,label\nACGT,0,1\n", "the column 'label' twice.*0;0;1"),
        (b"sequence,sequence,label\nACGT,AC,1\n", "the column 'sequence' twice"),
        (b"sequence,label,label.1\nACGT,0,1\n", "the column 'label.1' beside 'label'"),
        (b"sequence,label_1,label_2\nACGT,0,1\n", "no column 'label'; it has 'sequence', 'label_1'"),
        (b'sequence,label,note\nACGT,0,"x\nAC,1,"\nGG,0,z\n', "row 1: a line break within quotes"),
        (b'sequence,label\n"ACGT,0\nAC,1\n', "cannot be read as a table"),
        (b'sequence,label\nACGT,0\nAC,"1\n', "cannot be read as a table"),
        (b'sequence,label,note\nACGT,0,"a\nAC,1,"b\n', "cannot be read as a table"),
        (b"sequence;label\nACGT;0\nAC;1\n", r"separated by semicolons, but commas.*sep=';'"),
        (b"sequence;label\nACGT;0,5\nAC;1,5\n", "separated by semicolons"),
        (b"sequence\tlabel\nACGT\t0\nAC\t1\n", r"separated by tabs.*sep='\\t'"),
        (b"ACGT,0\nAC,1\n", "no column 'sequence'.*no header: its first line must be sequence,label"),
        (b"\n\n", "is empty"),
        (b"", "is empty"),
    ],
)
def test_no_field_is_dropped(task, content, message):
    with pytest.raises(TaskDataError, match=f"train.csv.*{message}"):
        load_task_files(task(**{"train.csv": content}))


@pytest.mark.parametrize(
    "content",
    [
        b"sequence,label\nACGT,0,\nACGG,1\nAAAA,0,,\n",
        b"sequence,label,\nACGT,0,\nACGG,1,\nAAAA,0\n",
        b'"sequence","label"\n"ACGT","0"\n"ACGG","1"\n"AAAA","0"\n',
        b"label,note,sequence\n0,x,ACGT\n1,,ACGG\n0,,AAAA\n",
        b",sequence,label\n0,ACGT,0\n1,ACGG,1\n2,AAAA,0\n",
        b"sequence,label\n\nACGT,0\n\n\nACGG,1\nAAAA,0\n\n",
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(b"\n", b"\r"),
        GOOD.rstrip(),
        b"\xef\xbb\xbf" + GOOD,
        gzip.compress(GOOD, mtime=0),
        gzip.compress(GOOD[:20], mtime=0) + gzip.compress(GOOD[20:], mtime=0),
        bz2.compress(GOOD),
        lzma.compress(GOOD),
        pa.Codec("zstd").compress(GOOD, asbytes=True),
    ],
)
def test_whatever_says_the_same_reads_the_same(task, content):
    assert rows_of(task(**{"train.csv": content})) == ROWS


def test_rows_far_down_are_looked_at_as_well(task):
    lines = [b"sequence,label", *[b"ACGT,0", b"AC,1"] * 5000, b"ACGT,1,0"]
    with pytest.raises(TaskDataError, match="row 10001: there are 3 fields"):
        load_task_files(task(**{"train.csv": gzip.compress(b"\n".join(lines), 1)}))


def test_a_sequence_longer_than_the_limit_of_the_csv_module_is_read(task):
    long = b"ACGT" * 100_000
    assert len(rows_of(task(**{"test.csv": b"sequence,label\n" + long + b",1\n"}), "test")[0][0]) == 400_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sequence,label\nACGT,0\n".encode("utf-16"), "is UTF-16 text.*Save it as UTF-8"),
        ("sequence,label\nACGT,0\n".encode("utf-16-le"), "is UTF-16 text"),
        ("sequence,label,note\nACGT,0,é\n".encode("latin-1"), "cannot be read as a table.*Save it as UTF-8"),
        (b"PAR1" + bytes(50), "is a Parquet file.*ends in .parquet"),
        (b"PK\x03\x04" + bytes(50), "is a ZIP archive, as workbooks of Excel are.*Save a workbook as CSV"),
    ],
)
def test_what_is_no_csv_is_called_by_its_kind(task, content, message):
    with pytest.raises(TaskDataError, match=f"train.csv.*{message}"):
        load_task_files(task(**{"train.csv": content}))


def test_parquet_files_are_looked_at_in_the_same_way(tmp_path, task):
    directory = task(**{"train.csv": None})
    path = directory / "train.parquet"

    def write(names, *columns):
        pa.parquet.write_table(pa.Table.from_arrays([pa.array(column) for column in columns], names=names), path)

    write(["sequence", "label"], ["ACGT", "AC"], [0, 1])
    assert rows_of(directory) == [("ACGT", 0), ("AC", 1)]
    pd.DataFrame({"label": [0, 1]}, index=pd.Index(["ACGT", "AC"], name="sequence")).to_parquet(path)
    assert rows_of(directory) == [("ACGT", 0), ("AC", 1)]
    write(["sequence", "label", "label"], ["ACGT", "AC"], [0, 1], [1, 1])
    with pytest.raises(TaskDataError, match="the column 'label' twice"):
        load_task_files(directory)
    write(["sequence", "label"], ["ACGT", "AC"], [0, None])
    with pytest.raises(TaskDataError, match="row 2: the label is missing"):
        load_task_files(directory)
    write(["sequence", "label"], [b"ACGT", b"AC"], [0, 1])
    with pytest.raises(TaskDataError, match="row 1: the sequence is"):
        load_task_files(directory)
    path.write_bytes(GOOD)
    with pytest.raises(TaskDataError, match="is no Parquet file.*If it is CSV, rename it"):
        load_task_files(directory)
    path.write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(TaskDataError, match="cannot be read"):
        load_task_files(directory)


# sequences and labels


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        (
            "ACGTAC CGTACG GTACGT",
            r"overlapping 6-mers.*words\[0\] \+ ''.join\(word\[-1\].*repeat each base 6",
        ),
        ("ACG CGT", "row 1: .*overlapping 3-mers"),
        ("ACGTAC GGGTTT AC", "row 1: .*cut into 3 words.*If the words do not overlap, remove the spaces"),
        ("ACGT ", "row 1: .*white space"),
        ("[CLS] ACG CGT", "row 1: .*'\\['"),
    ],
)
def test_sequences_of_words_get_the_remedy_that_helps(task, sequence, message):
    with pytest.raises(TaskDataError, match=message):
        load_task_files(task(**{"train.csv": f"sequence,label\n{sequence},0\n".encode()}))


def test_the_remedy_for_overlapping_words_gives_the_sequence():
    text = "ACGTAC CGTACG GTACGT"
    words = text.split()
    assert words[0] + "".join(word[-1] for word in words[1:]) == "ACGTACGT"


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("1e30", r"row 3: label 1e\+30 is no class"),
        ("1e19", r"row 3: label 1e\+19 is no class"),
        ("0_1", "row 3: label '0_1' is not a number"),
        ("1_0", "row 3: label '1_0' is not a number"),
        ("١", "row 3: label '١' is not a number"),
        ("0x1", "row 3: label '0x1' is not a number"),
        ("-nan", "row 3: the label is missing"),
        ("-Infinity", "row 3: label '-Infinity' is not a finite number"),
    ],
)
def test_a_label_is_what_is_written_or_an_error(task, label, message):
    content = f"sequence,label\nACGT,0\nACGG,1\nAC,{label}\n".encode()
    with pytest.raises(TaskDataError, match=message):
        load_task_files(task(**{"train.csv": content}))


@pytest.mark.parametrize("label", ["1", " 1", "+1", "1.0", "1.", "1e0", "01"])
def test_ways_to_write_one(task, label):
    assert rows_of(task(**{"train.csv": f"sequence,label\nACGT,0\nAC,{label}\n".encode()}))[1] == ("AC", 1)


def test_measurements_are_numbers_in_32_bits(task):
    with pytest.raises(TaskDataError, match=r"train.csv, row 2: label 1e\+39 is beyond what 32 bits hold"):
        load_task_files(task(**{"train.csv": b"sequence,label\nACGT,0.5\nAC,1e39\n"}))


# which file is which split


@pytest.mark.parametrize(
    "name", ["validation.csv", "valid.csv", "val.csv.gz", "eval.csv", "Dev.csv", "VALIDATION.CSV"]
)
def test_a_dev_split_has_several_names(task, caplog, name):
    content = gzip.compress(GOOD) if name.endswith("gz") else GOOD
    with caplog.at_level(logging.WARNING):
        assert rows_of(task(**{"dev.csv": None, name: content}), "dev") == ROWS
    assert not caplog.records


@pytest.mark.parametrize("name", ["validation.csv", "val.csv", "Dev.csv", "eval.csv.gz", "valid.parquet"])
def test_two_dev_files_are_one_too_many(task, name):
    with pytest.raises(TaskDataError, match=f"dev.csv and {name}|{name} and dev.csv"):
        load_task_files(task(**{name: GOOD}))


@pytest.mark.parametrize(
    "name", ["dev.tsv", "val.txt", "dev.csv.xz", "validation-00000-of-00002.parquet", "valid.jsonl", "Eval.xlsx"]
)
def test_a_dev_file_that_is_not_read_is_no_reason_to_carve_one(task, name):
    with pytest.raises(TaskDataError, match=f"{name}, which is not read"):
        load_task_files(task(**{"dev.csv": None, name: GOOD}))


@pytest.mark.parametrize("name", ["eval_results.json", "dev.log", "development.csv.bak", "values.csv", "README.md"])
def test_other_files_are_left_alone(task, name):
    directory = task(**{"dev.csv": None, name: GOOD})
    assert find_split(directory, "dev") is None
    assert load_task_files(directory)[1].counts["dev"] == 1


def test_train_and_test_may_be_in_upper_case(tmp_path):
    for name in ("Train.csv", "DEV.csv", "test.CSV"):
        (tmp_path / name).write_bytes(GOOD)
    assert rows_of(tmp_path, "test") == ROWS


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_what_is_no_file_is_refused_without_waiting(task, tmp_path, capsys):
    directory = task(**{"train.csv": None})
    cases = {
        "is a pipe": lambda path: os.mkfifo(path),
        "is a symbolic link that leads": lambda path: path.symlink_to(path),
        "is a directory": lambda path: path.mkdir(),
        "is a symbolic link to": lambda path: path.symlink_to(path.with_name("gone")),
    }
    for suffix in (".csv", ".parquet"):
        for message, make in cases.items():
            path = directory / f"train{suffix}"
            make(path)
            with pytest.raises(TaskDataError, match=f"train{suffix} {message}"):
                load_task_files(directory)
            path.rmdir() if path.is_dir() else path.unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TaskDataError, match="pipe is a file. Give the directory"):
        load_task_files(tmp_path / "pipe")
    for name in ("pipe", "nowhere"):
        assert cli.main(["audit", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.count("\n") == 2


# memory


def test_lists_count_in_64_bits_where_32_do_not_suffice(task, monkeypatch):
    whole, _ = load_task_files(task())
    assert isinstance(whole["train"].features["nucleotide_ids"], List)
    monkeypatch.setattr(memory_datasets, "_MOST_BASES", 11)
    wide, info = load_task_files(task())
    assert isinstance(wide["dev"].features["nucleotide_ids"], LargeList)
    assert {split: rows.to_dict() for split, rows in wide.items()} == {
        split: rows.to_dict() for split, rows in whole.items()
    }
    for one, other in zip(wide["train"].with_format("numpy"), whole["train"].with_format("numpy")):
        np.testing.assert_array_equal(one["nucleotide_ids"], other["nucleotide_ids"])
    assert info.counts == {"train": 3, "dev": 3, "test": 3}


def test_the_bound_is_that_of_32_bits():
    assert isinstance(memory_datasets.list_feature(2**31 - 1), List) and isinstance(
        memory_datasets.list_feature(2**31), LargeList
    )


@pytest.mark.slow
def test_more_bases_than_32_bits_can_count():
    # one array many times: the column is the only copy
    sequence = np.tile(np.arange(4, dtype=np.uint8), 1 << 25)
    features = Features({"nucleotide_ids": memory_datasets.list_feature(17 * sequence.size), "labels": Value("int64")})
    rows = memory_datasets._ids_dataset(Split([sequence] * 17, np.arange(17.0)), features).with_format("numpy")
    for row in (0, 15, 16):
        assert rows[row]["labels"] == row
        np.testing.assert_array_equal(rows[row]["nucleotide_ids"][-8:], [0, 1, 2, 3] * 2)
    assert len(rows.shuffle(seed=0).select(range(3))[:2]["labels"]) == 2


def test_a_table_has_its_two_columns_only(task):
    assert list(read_table(task() / "train.csv").columns) == ["sequence", "label"]
