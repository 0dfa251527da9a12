"""Cells of sequences longer than 512 bases: trained on whole sequences, and not taken for those that were cut."""

import json
from dataclasses import replace

import pytest
from tiny_benchmark import write_benchmark, write_task

from vqdna_hf.benchmark.benchmark import BenchmarkArguments, benchmark
from vqdna_hf.benchmark.run.cells import cell_settings, list_cells
from vqdna_hf.benchmark.run.tasks import load_tasks
from vqdna_hf.benchmark.spec.specification import read_specification
from vqdna_hf.runs.records import Cut, read_cuts


def run(path, output):
    return benchmark(BenchmarkArguments(file=str(path), output=str(output)))


def write_long_benchmark(home, length: int, **options):
    """A small network on a task whose sequences are repeated until they have `length` bases or more."""
    task = home / "long"
    if not task.exists():
        write_task(task, rows=(12, 8, 8))
        for path in task.glob("*.csv"):
            header, *rows = path.read_text().splitlines()
            rows = [row.split(",") for row in rows]
            rows = [f"{sequence * (length // len(sequence) + 1)},{label}" for sequence, label in rows]
            path.write_text("\n".join([header, *rows]) + "\n")
    network = {"control": "cnn", "options": {"epochs": 1, "batch_size": 8, **options}}
    tasks = [{"name": "long", "data": str(task)}]
    return write_benchmark(home, tasks=tasks, models={"cnn": network}, modes={"full": {}}, seeds=[1])


def test_a_cell_is_trained_on_whole_sequences(tmp_path, caplog):
    path = write_long_benchmark(tmp_path, 540)
    (cell,) = run(path, tmp_path / "output")
    assert cell["settings"]["training_sequences"] == "whole"
    assert "cut" not in cell and "cut to" not in caplog.text

    # cells of older versions say nothing: they were cut at 512 bases
    (file,) = (tmp_path / "output" / "cells").glob("*.json")
    del cell["settings"]["training_sequences"]
    file.write_text(json.dumps(cell))
    with pytest.raises(ValueError, match="training_sequences: its default then, 'whole' now"):
        run(path, tmp_path / "output")


def test_what_a_file_cuts_is_said_and_recorded(tmp_path, caplog):
    (cell,) = run(write_long_benchmark(tmp_path, 540, max_length=512), tmp_path / "output")
    assert read_cuts(cell) == [Cut("train", 12, 12, 512, "bases")]
    assert "12 of 12 training sequences cut to 512 bases" in caplog.text
    assert "training_sequences" not in cell["settings"]


def test_cells_of_short_sequences_are_as_they_always_were(tmp_path):
    (cell,) = run(write_long_benchmark(tmp_path, 100), tmp_path / "output")
    assert "training_sequences" not in cell["settings"]


@pytest.mark.parametrize(("end", "read"), [(None, None), (512, "cut"), (5000, None)])
def test_a_linear_probe_that_reads_less_than_it_once_did_says_so(tmp_path, end, read):
    options = {} if end is None else {"max_length": end}
    path = write_long_benchmark(tmp_path, 540, **options)
    specification = read_specification(path)
    (cell,), (task,) = list_cells(specification), load_tasks(specification).values()
    probe = replace(cell, mode="linear", model=replace(cell.model, control=None, options=options))
    assert cell_settings(specification, probe, task).get("training_sequences") == read
