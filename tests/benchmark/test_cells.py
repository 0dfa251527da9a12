"""Finished cells on disk: what is no cell is named before it becomes a row of a table."""

import json

import pytest

from vqdna_hf.benchmark.run.cells import read_cell


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
