"""A task without a dev split has one, the same for fine-tuning and for benchmarks, and old cells are not mixed in."""

import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from tiny_benchmark import MODELS, write_benchmark

import vqdna_hf.benchmark.benchmark as command
import vqdna_hf.benchmark.run.tasks as benchmark_tasks
from vqdna_hf.benchmark.benchmark import BenchmarkArguments, benchmark
from vqdna_hf.benchmark.run.tasks import CARVED, load_tasks
from vqdna_hf.benchmark.spec.specification import read_specification
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.tasks import load_task_files
from vqdna_hf.tasks.catalogue import get_task
from vqdna_hf.tasks.load import carve_dev


CHANGES = {"seeds": [1], "models": {"regression": MODELS["regression"]}}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A benchmark of a task of the catalogue that has no dev split, and of its directory."""
    write_benchmark(tmp_path)
    directory = tmp_path / "data" / "eep" / "k562"
    directory.mkdir(parents=True)
    lines = (tmp_path / "levels" / "train.csv").read_text().splitlines()
    more = [f"{line.split(',')[0][::-1]},0.{number}" for number, line in enumerate(lines[1:])]
    (directory / "train.csv").write_text("\n".join([lines[0], *map(str.lower, lines[1:]), *more]) + "\n")
    (directory / "test.csv").write_text((tmp_path / "levels" / "test.csv").read_text())
    task = dataclasses.replace(get_task("eep/k562"), counts={"train": 80, "test": 20}, file_counts={})
    monkeypatch.setattr(benchmark_tasks, "get_task", lambda name: task)
    tasks = ["eep/k562", {"name": "own", "data": str(directory)}]
    return directory, write_benchmark(
        tmp_path, tasks=tasks, data_dir=str(tmp_path / "data"), modes={"full": {"epochs": 1}}, **CHANGES
    )


def test_one_dev_split_for_all_who_read_a_task(files, caplog):
    directory, path = files
    with caplog.at_level(logging.WARNING):
        tasks = load_tasks(read_specification(path))
    splits, _ = load_task_files(directory)
    for split in ("train", "dev", "test"):
        wanted = [ids_to_bases(ids) for ids in splits.with_format("numpy")[split]["nucleotide_ids"]]
        for name in ("eep/k562", "own"):
            assert [sequence.upper() for sequence in getattr(tasks[name], split).sequences] == wanted
    assert 0 < len(splits["dev"]) < 20
    assert (tasks["eep/k562"].dev_split, tasks["own"].dev_split) == (CARVED, None)
    assert "eep/k562: there is no dev split" in caplog.text
    assert caplog.text.count("add a dev file") == caplog.text.count("there is no dev split")


def test_only_a_small_dev_split_is_called_one(caplog):
    rows = [np.full(40, number, dtype=np.uint16) for number in range(1000)]
    assert 70 < carve_dev(rows, "train.csv").sum() < 130
    assert "there is no dev split" in caplog.text and "add a dev file" not in caplog.text


def test_cells_of_another_dev_split_are_refused(files, tmp_path, monkeypatch):
    _, path = files
    output = tmp_path / "output"

    def run():
        return benchmark(BenchmarkArguments(file=str(path), output=str(output)))

    cells = {cell["task"]: cell for cell in run()}
    assert cells["eep/k562"]["settings"]["dev_split"] == CARVED and "dev_split" not in cells["own"]["settings"]
    monkeypatch.setattr(command, "_run_cell", None)
    assert len(run()) == 2
    # as an earlier version wrote it
    file = next(Path(output / "cells").glob("eep-k562*"))
    old = json.loads(file.read_text())
    del old["settings"]["dev_split"]
    file.write_text(json.dumps(old))
    with pytest.raises(ValueError, match=f"eep-k562.*dev_split: its default then, '{CARVED}' now.*Remove it"):
        run()
