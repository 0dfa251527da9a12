"""Finished records as one Parquet file: nothing is lost in it."""

import json

import pandas as pd
import pytest

from vqdna_hf.benchmark.run.archive import read_archive, write_archive
from vqdna_hf.runs.files import as_json


CELL = {
    "format": 1,
    "task": "mouse/0",
    "seed": 1,
    "settings": {"points": [{"epochs": 3.0, "kmers": [4, 5]}], "model": {"name": "hrq", "path": None}},
    "weights": "8af2910146dc222c",
    "points": [{"settings": {}, "dev": {"mcc": None}}],
    "dev": {"mcc": 0.1 + 0.2, "f1": None},
    "test_clean": {"mcc": -1e-17},
    "bootstrap": [0.30859, None, 1 / 3],
    "flops": {"encoder": 97e9, "length": 512},
    "seconds": 76.8,
}
OTHERS = [
    {"dev": {"spearman": None, "pearson": 0.5}, "test_clean": None, "weights": None, "flops": None},
    {"settings": {"model": {"name": "µ, [x] {y}"}}, "points": [], "bootstrap": []},
]


RECORDS = [CELL, *(CELL | other for other in OTHERS)]


@pytest.mark.parametrize("records", [RECORDS, RECORDS[1:2]], ids=["several", "one without sizes"])
def test_a_record_comes_back_to_the_last_digit(tmp_path, records):
    write_archive(tmp_path / "cells.parquet", records)
    assert [as_json(one) for one in read_archive(tmp_path / "cells.parquet", {})] == list(map(as_json, records))


def test_pandas_reads_scores_as_columns(tmp_path):
    write_archive(tmp_path / "cells.parquet", [CELL, CELL | OTHERS[0]])
    frame = pd.read_parquet(tmp_path / "cells.parquet")
    assert frame["dev.mcc"].dtype == float and frame["dev.mcc"][0] == CELL["dev"]["mcc"]
    assert json.loads(frame["settings"][0]) == CELL["settings"]


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "cells.parquet"
    write_archive(path, [CELL, CELL | {"weights": None}])
    with pytest.raises(ValueError, match=r"cells.parquet, row 1 \(0-based\): weights is None, but text is needed"):
        read_archive(path, {"weights": str})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="cells.parquet cannot be read as a Parquet file of records"):
        read_archive(path, {})
