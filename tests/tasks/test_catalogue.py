"""The catalogue says what the paper's tables say, and a loaded task is what the catalogue says."""

import dataclasses
import gzip
import json
import logging
import re
from collections import Counter
from pathlib import Path

import evaluate
import pandas as pd
import pytest
from datasets import ClassLabel

from vqdna_hf.cli import main
from vqdna_hf.metrics import compute_scores, evaluate_module_path
from vqdna_hf.tasks import TaskDataError, get_task, list_species, list_tasks, load_task
from vqdna_hf.tasks import load as loading
from vqdna_hf.tasks.table import TasksArguments, tasks


ROWS = {
    "train": [("ACGT", 0), ("CCGT", 1), ("ACGTACGT", 0)],
    "dev": [("TTTT", 1), ("acgn", 0)],
    "test": [("GGGG", 0), ("NA", 1)],
}


def write_splits(directory: Path, rows=ROWS) -> Path:
    directory.mkdir(parents=True)
    for split, pairs in rows.items():
        lines = ["sequence,label", *(f"{sequence},{label}" for sequence, label in pairs)]
        (directory / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return directory


@pytest.fixture
def small_task(monkeypatch):
    """Gives the catalogue's entries the counts of `ROWS`."""

    def small(name: str):
        counts = {split: len(rows) for split, rows in ROWS.items()}
        return dataclasses.replace(get_task(name), counts=counts, file_counts=counts)

    monkeypatch.setattr(loading, "get_task", small)


# the catalogue


def test_there_are_the_32_datasets_of_the_paper():
    families = Counter(task.family for task in list_tasks())
    assert families == {
        "EMP": 10, "TFP-H": 5, "TFP-M": 5, "PD": 3, "CPD": 3, "SSP": 1, "CVC": 1, "EEP": 3, "SC": 1,
    }  # fmt: skip
    assert sum(task.hub_repo == "leannmlindsey/GUE" for task in list_tasks()) == 28
    assert [task.name for task in list_tasks("ssp")] == ["splice/reconstructed"]


def test_sums_of_table_a2():
    gue = [task for task in list_tasks() if task.hub_repo]
    assert [sum(task.counts[split] for task in gue) for split in ("train", "dev", "test")] == [741_836, 78_988, 78_988]
    by_source = {task.source: tuple(task.counts.values()) for task in list_tasks()}
    assert by_source["wgEncodeEH001776"] == (27294, 1000, 1000)
    assert by_source["MelMafkDm2p5dStd"] == (1904, 239, 239)
    assert by_source["K562"] == (277_000, 69_262)


def test_names_and_aliases_are_unique_and_found_in_either_case():
    names = [name.lower() for task in list_tasks() for name in (task.name, *task.aliases)]
    assert len(set(names)) == len(names)
    for task in list_tasks():
        for name in (task.name, *task.aliases, task.hub_config or task.name):
            assert get_task(name) is get_task(name.upper()) is task
    aliases = {"emp_H3": "EMP/H3", "human_tf_0": "tf/0", "tf_0": "tf/0", "mouse_0": "mouse/0"}
    aliases |= {"prom_core_all": "prom/prom_core_all", "splice_reconstructed": "splice/reconstructed"}
    aliases |= {"virus_covid": "virus/covid"}
    assert {alias: get_task(alias).name for alias in aliases} == aliases


def test_an_unknown_name_is_answered_with_the_nearest_ones():
    with pytest.raises(ValueError, match="no task 'EMP/H3K4'. Did you mean .*EMP/H3K4me1"):
        get_task("EMP/H3K4")
    with pytest.raises(ValueError, match="vqdna tasks"):
        get_task("zzzzzzzzzzzz")
    with pytest.raises(ValueError, match="no family of tasks 'GUE'; choose one of EMP, "):
        list_tasks("GUE")


def test_metrics_are_those_of_the_evaluate_module():
    for task in list_tasks():
        metric = evaluate.load(evaluate_module_path(), task.name)
        assert list(metric.compute(predictions=[0, 1], references=[0, 1])) == [task.metric], task.name
        assert task.metric in compute_scores([0, 1], [0, 1], problem_type=task.problem_type)


def test_every_entry_is_complete_and_plain():
    for task in list_tasks():
        assert all((task.title, task.source, task.organism, task.licence, task.citation)) and task.length > 0
        assert task.problem_type == ("regression" if task.metric == "spearman" else "single_label_classification")
        assert (len(task.classes) >= 2) == (task.problem_type != "regression")
        assert task.label_order in ("measured", "convention", "not documented", "not applicable")
        assert json.loads(json.dumps(task.to_dict()))["name"] == task.name
        assert hash(task) is not None
    assert get_task("virus/covid").label_order == "not documented" and len(get_task("virus/covid").classes) == 9


def test_the_species_are_those_printed_in_table_a1():
    categories = Counter(one.category for one in list_species())
    assert categories == {"Fungi": 11, "Protozoa": 2, "Mammalian": 7, "Other Vertebrate": 5, "Bacteria": 100}
    assert len({one.name for one in list_species()}) == 125
    assert {one.category_megabases for one in list_species("mammalian")} == {186_931}
    with pytest.raises(ValueError, match="no category of species 'Plants'; choose one of Fungi"):
        list_species("Plants")


# loading


@pytest.mark.parametrize("place", ["tf/0", "GUE/tf/0", "GUE/human_tf_0", "tf_0"])
@pytest.mark.parametrize("name", ["tf/0", "human_tf_0"])
def test_files_of_every_layout_are_found(tmp_path, small_task, place, name):
    write_splits(tmp_path / place)
    dataset = load_task(name, tmp_path)
    assert list(dataset) == ["train", "dev", "test"]
    for split, rows in ROWS.items():
        assert list(zip(dataset[split]["sequence"], dataset[split]["label"])) == rows
        assert dataset[split].features["label"] == ClassLabel(names=["not bound", "bound"])


def test_other_formats_load_alike(tmp_path, small_task):
    directory = write_splits(tmp_path / "tf/0")
    expected = load_task("tf/0", tmp_path)
    pd.DataFrame(ROWS["train"], columns=["sequence", "label"]).to_parquet(directory / "train.parquet")
    (directory / "test.csv.gz").write_bytes(gzip.compress((directory / "test.csv").read_bytes()))
    (directory / "train.csv").unlink()
    (directory / "test.csv").unlink()
    assert {split: rows[:] for split, rows in load_task("tf/0", tmp_path).items()} == {
        split: rows[:] for split, rows in expected.items()
    }


def test_a_repository_loads_as_its_files_do(tmp_path, small_task):
    write_splits(tmp_path / "repository/GUE/human_tf_0")
    config = "configs:\n- config_name: human_tf_0\n  data_files:\n"
    for split, name in [("train", "train"), ("test", "test"), ("validation", "dev")]:
        config += f"  - split: {split}\n    path: GUE/human_tf_0/{name}.csv\n"
    (tmp_path / "repository/README.md").write_text(f"---\n{config}---\n")
    # pandas, and so the Hub's CSV reader, takes "NA" for a missing value
    rows = {split: [("ACGT", label) for _, label in pairs] for split, pairs in ROWS.items()}
    write_splits(tmp_path / "files/tf/0", rows)
    for split in ROWS:
        (tmp_path / f"repository/GUE/human_tf_0/{split}.csv").write_bytes(
            (tmp_path / f"files/tf/0/{split}.csv").read_bytes()
        )
    there = load_task("tf/0", hub_repo=tmp_path / "repository")
    here = load_task("tf/0", tmp_path / "files")
    assert list(there) == list(here) == ["train", "dev", "test"]
    assert {split: there[split][:] for split in there} == {split: here[split][:] for split in here}
    assert there["dev"].features == here["dev"].features


def test_a_regression_has_numbers(tmp_path, small_task):
    rows = {split: [(sequence, 0.25 + label) for sequence, label in pairs] for split, pairs in ROWS.items()}
    write_splits(tmp_path / "eep/k562", rows)
    dataset = load_task("eep/k562", tmp_path)
    assert list(dataset["train"]["label"]) == [0.25, 1.25, 0.25]
    assert dataset["train"].features["label"].dtype == "float32"


def test_other_counts_and_missing_splits_are_an_error_or_a_warning(tmp_path, caplog, small_task):
    directory = write_splits(tmp_path / "tf/0", {**ROWS, "test": [("ACGT", 1)]})
    (directory / "train.csv").unlink()
    with pytest.raises(TaskDataError, match="it has no train split; test has 1 rows instead of 2; test has no row of"):
        load_task("tf/0", tmp_path)
    with caplog.at_level(logging.WARNING):
        assert list(load_task("tf/0", tmp_path, check="warn")) == ["dev", "test"]
    assert "no train split" in caplog.text


def test_the_published_covid_files_pass_though_the_paper_has_other_counts(tmp_path, monkeypatch):
    task = dataclasses.replace(get_task("virus/covid"), counts={"test": 7}, file_counts={"test": 9})
    monkeypatch.setattr(loading, "get_task", lambda name: task)
    write_splits(tmp_path / "virus/covid", {"test": [("ACGT", label) for label in range(9)]})
    assert len(load_task("virus/covid", tmp_path)["test"]) == 9


@pytest.mark.parametrize(
    "row, message",
    [
        (("ACGT", 2), "train of tf/0 in .*, row 4: the label is '2', but it must be one of 0 to 1"),
        (("ACGT", 0.5), "row 4: the label is '0.5'"),
        (("ACGT", ""), "row 4: the label is ''"),
        (("ACXT", 1), "row 4: the sequence has 'X' at position 2"),
        (("", 1), "row 4: the sequence is empty"),
    ],
)
def test_rows_that_are_wrong_are_an_error_even_with_warnings(tmp_path, small_task, row, message):
    write_splits(tmp_path / "tf/0", {**ROWS, "train": [*ROWS["train"], row]})
    with pytest.raises(TaskDataError, match=message):
        load_task("tf/0", tmp_path, check="warn")


def test_data_that_are_nowhere_are_named(tmp_path):
    with pytest.raises(TaskDataError, match="no files of tf/0 in .*tf/0/train.csv"):
        load_task("tf/0", tmp_path)
    with pytest.raises(ValueError, match="eep/h1 is not on the Hub; give its folder as data_dir"):
        load_task("eep/h1")
    with pytest.raises(ValueError, match="check is 'ignore'"):
        load_task("tf/0", tmp_path, check="ignore")


# the command


def test_the_command_prints_the_table(capsys):
    assert main(["tasks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 33 and "4904 / 613 / 613" in next(line for line in lines if "prom_core_tata" in line)
    assert main(["tasks", "--family", "eep", "--json"]) == 0
    assert [task["name"] for task in json.loads(capsys.readouterr().out)] == ["eep/k562", "eep/jurkat", "eep/h1"]
    assert tasks(TasksArguments(family="CVC"))[0]["classes"][0] == "Alpha"
    assert main(["tasks", "--family", "GUE"]) == 2


# real data


def test_real_files_are_what_the_catalogue_says(data_dir):
    names = ["prom_core_tata", "prom_core_notata", "prom_300_tata", "tf/0", "tf/1", "tf/3", "mouse/0", "mouse/3"]
    for name in names:
        task, dataset = get_task(name), load_task(name, data_dir)
        assert {split: len(rows) for split, rows in dataset.items()} == task.counts
        assert {len(sequence) for rows in dataset.values() for sequence in rows["sequence"]} == {task.length}


def test_the_order_of_the_splice_classes_is_read_off_the_site(data_dir):
    rows = load_task("splice/reconstructed", data_dir, check="warn")["test"]
    acceptors, donors = (
        [sequence for sequence, label in zip(rows["sequence"], rows["label"]) if label == wanted]
        for wanted in (rows.features["label"].str2int(name) for name in ("acceptor", "donor"))
    )
    assert sum(sequence[198:200] == "AG" for sequence in acceptors) > 0.95 * len(acceptors)
    assert sum(sequence[200:202] == "GT" for sequence in donors) > 0.95 * len(donors)


@pytest.mark.parametrize(
    ("name", "pattern", "window", "positive"),
    [
        # the initiator: a pyrimidine, then a purine at the start of transcription
        ("prom_core_tata", "[CT][AG]", (32, 34), "promoter"),
        ("prom_core_notata", "[CT][AG]", (32, 34), "promoter"),
        ("prom_300_tata", "[CT][AG]", (248, 250), "promoter"),
        # half of the motif of MAFK, on either strand, near the centre of the peak
        ("mouse/3", "TGCTGA|TCAGCA", (30, 71), "bound"),
    ],
)
def test_the_order_of_the_classes_is_read_off_a_motif(data_dir, name, pattern, window, positive):
    rows = load_task(name, data_dir)["test"]
    assert get_task(name).label_order == "measured"
    label_of_motif, shares = rows.features["label"].str2int(positive), {}
    for label in (0, 1):
        texts = [text[slice(*window)] for text, own in zip(rows["sequence"], rows["label"]) if own == label]
        shares[label] = sum(bool(re.search(pattern, text)) for text in texts) / len(texts)
    assert shares[label_of_motif] > 1.5 * shares[1 - label_of_motif]


def test_strings_count_in_64_bits_where_32_do_not_suffice(tmp_path, small_task, monkeypatch):
    write_splits(tmp_path / "tf/0")
    whole = load_task("tf/0", tmp_path)
    monkeypatch.setattr("vqdna_hf.tasks.memory_datasets._MOST_BASES", 5)
    wide = load_task("tf/0", tmp_path)
    assert (whole["train"].features["sequence"].dtype, wide["train"].features["sequence"].dtype) == (
        "string",
        "large_string",
    )
    assert {split: rows[:] for split, rows in wide.items()} == {split: rows[:] for split, rows in whole.items()}


@pytest.mark.parametrize("name", ["validation.csv", "Dev.csv"])
def test_a_dev_split_has_several_names(tmp_path, small_task, name):
    directory = write_splits(tmp_path / "tf/0")
    (directory / "dev.csv").rename(directory / name)
    assert len(load_task("tf/0", tmp_path)["dev"]) == len(ROWS["dev"])
    (directory / "val.csv").write_text("sequence,label\nACGT,0\n")
    with pytest.raises(TaskDataError, match=f"{name} and val.csv|val.csv and {name}"):
        load_task("tf/0", tmp_path)


def test_fields_of_catalogue_files_are_looked_at_as_well(tmp_path, small_task):
    directory = write_splits(tmp_path / "tf/0")
    (directory / "train.csv").write_text("sequence,label\nACGT,0,1\n")
    with pytest.raises(TaskDataError, match='row 1: there are 3 fields.*"0;1"'):
        load_task("tf/0", tmp_path, check="warn")
