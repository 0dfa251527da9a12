"""Finished cells on disk: what is no cell is named before it becomes a row of a table; the models that are run."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from vqdna_hf.arguments.training import FinetuneArguments
from vqdna_hf.benchmark.run import classifiers
from vqdna_hf.benchmark.run.cells import read_cell
from vqdna_hf.benchmark.run.classifiers import build_classifier, count_flops
from vqdna_hf.benchmark.run.prepare import find_model
from vqdna_hf.benchmark.spec.schema import ModelEntry


CELL = {"task": "a", "family": "own", "metric": "mcc", "problem_type": "single_label_classification", "model": "m"}
CELL |= {"mode": "full", "kind": "learned vocabulary", "seed": 1, "settings": {}, "weights": None}
CELL |= {"dev": {"mcc": 0.5}, "test": {"mcc": 0.5}}


def test_a_cell_comes_back(tmp_path):
    (tmp_path / "cell.json").write_text(json.dumps(CELL | {"more": 1}))
    assert read_cell(tmp_path / "cell.json") == CELL | {"more": 1}


@pytest.mark.parametrize("name", CELL)
def test_what_lacks_a_field_is_no_cell(tmp_path, name):
    path = tmp_path / "cell.json"
    path.write_text(json.dumps({key: value for key, value in CELL.items() if key != name}))
    with pytest.raises(ValueError, match=f"cell.json has no {name}"):
        read_cell(path)
    path.write_text(json.dumps(CELL | {name: [1]}))
    with pytest.raises(ValueError, match=rf"cell.json: {name} is \[1\], but .* is needed"):
        read_cell(path)


@pytest.fixture
def small():
    return find_model(ModelEntry("small", path="vqdna-hrq-small"))


def build(prepared):
    task = SimpleNamespace(label_names={"num_labels": 2}, problem_type="single_label_classification")
    arguments = FinetuneArguments(data="", model="", output="", mode="full", strand_average=True)
    return build_classifier(prepared, task, arguments)


def test_the_flops_of_a_cell_are_of_one_strand(small, caplog):
    model = build(small)
    assert count_flops(model, small)["encoder"] > 0
    assert "strand_average needs" not in caplog.text and not model.config.strand_average


def test_all_cells_are_of_one_commit_of_a_repository(small, monkeypatch):
    monkeypatch.setattr(classifiers, "load_classifier", lambda *args, **options: options)
    entry = replace(small.entry, revision="8af29101")
    assert build(replace(small, entry=entry))["revision"] == "8af29101"
