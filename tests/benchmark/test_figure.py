import pytest


pytest.importorskip("matplotlib")

from vqdna_hf.analysis.codebook.drawing import LIGHT
from vqdna_hf.benchmark.tables.aggregate import summarize
from vqdna_hf.benchmark.tables.figure import draw_scores, write_score_figure
from vqdna_hf.benchmark.tables.scores import Scores


def cell(task, model, kind, seed, score, mode="full"):
    return {
        **{"format": 1, "task": task, "family": "own", "metric": "mcc", "model": model, "mode": mode, "seed": seed},
        **{"kind": kind, "dev": {"mcc": score}, "test": {"mcc": score}, "test_clean": None, "clean_rows": None},
        "bootstrap": [score - 0.1, score, score + 0.1],
    }


CELLS = [
    *(cell("mouse/0", "ours", "learned vocabulary", seed, 0.5 + seed / 100) for seed in (1, 2)),
    cell("mouse/0", "regression", "control", 1, 0.4, mode="control"),
    cell("planted", "ours", "learned vocabulary", 1, 0.9),
]


def test_every_task_is_a_panel_with_a_line_for_every_model():
    figure = draw_scores(Scores(summarize(CELLS)), LIGHT)

    first, second = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["mouse/0, MCC", "planted, MCC"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["ours", "regression"]
    drawn = [(list(map(float, line.get_xdata())), list(map(float, line.get_ydata()))) for line in first.lines]
    assert any(len(x) == 2 and x == [pytest.approx(51), pytest.approx(52)] and y == [0, 0] for x, y in drawn)
    assert any(x == [pytest.approx(51.5)] and y == [0] for x, y in drawn)
    assert any(x == [pytest.approx(58.34)] * 2 for x, _ in drawn)  # VQDNA (HRQ) on mouse/0, as published
    assert not any(x[:1] == [pytest.approx(58.34)] for x in [list(line.get_xdata()) for line in second.lines])


def test_the_same_cells_give_the_same_files(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    first, second = write_score_figure(CELLS, tmp_path / "a"), write_score_figure(CELLS, tmp_path / "b")
    assert [path.name for path in first] == ["scores.svg", "scores.png"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert write_score_figure([], tmp_path) == []
