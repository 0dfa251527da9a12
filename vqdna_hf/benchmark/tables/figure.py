"""The scores of a benchmark as a figure: a panel for each task, a line for each model, seeds and intervals on it."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...analysis.codebook.drawing import LIGHT, Theme, render
from ...runs.files import write_file
from ...tasks.published import published_rows
from .aggregate import KINDS, Summary, summarize
from .scores import Scores


_PUBLISHED = {"VQDNA (HRQ)": "--", "DNABERT-2": ":"}
_COLUMNS = 5
_LINE, _MARGIN = 0.22, 0.75  # inches


def write_score_figure(cells: list[dict], output: Path) -> list[Path]:
    """Write `scores.svg` and `scores.png` into a directory.

    The paper's VQDNA (HRQ) and DNABERT-2 are marked where task and metric are the same.

    Args:
        cells: as `write_tables` takes them.

    Returns:
        The files; none where there are no cells.
    """
    if not cells:
        return []
    scores = Scores(summarize(cells))
    paths = [output / f"scores.{kind}" for kind in ("svg", "png")]
    for path in paths:
        write_file(path, render(draw_scores, scores, LIGHT, path.suffix[1:]))
    return paths


def draw_scores(scores: Scores, theme: Theme) -> Figure:
    """One panel a task; lines of one order in all of them, kinds together."""
    tasks, rows = scores.tasks, scores.rows()
    metrics = {one.task: one.metric for one in scores.summaries}
    marks = published_rows(metrics)
    columns = min(_COLUMNS, len(tasks))
    lines = -(-len(tasks) // columns)
    figure = Figure(figsize=(1.6 + 2.1 * columns, lines * (_MARGIN + _LINE * len(rows)) + 0.5), layout="constrained")
    panels = np.atleast_1d(figure.subplots(lines, columns, sharey=True, squeeze=False)).ravel()
    for axes, task in zip(panels, tasks):
        for place, found in enumerate(rows.values()):
            if task in found:
                _draw_line(axes, found[task], place, theme)
        axes.set_title(f"{task}, {'MCC' if metrics[task] == 'mcc' else metrics[task]}")
        for model, style in _PUBLISHED.items():
            if task in marks.get(model, {}):
                axes.axvline(marks[model][task], color=theme.muted, linestyle=style, linewidth=1)
        axes.set_yticks(range(len(rows)), [", ".join(row) if scores.shows_modes else row[0] for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
    for axes in panels[len(tasks) :]:
        axes.set_visible(False)
    handles = _legend(scores.summaries, marks, theme)
    title = "score on test × 100"
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, title=title, title_fontsize=9)
    return figure


def _colour(kind: str, theme: Theme) -> str:
    return (*theme.levels, theme.muted)[KINDS.index(kind)]


def _draw_line(axes, summary: Summary, place: int, theme: Theme):
    colour, spread = _colour(summary.kind, theme), summary.spread()
    if summary.interval is not None:
        axes.plot([100 * end for end in summary.interval], [place] * 2, color=colour, linewidth=1.6, alpha=0.45)
    seeds = [100 * cell["test"][summary.metric] for cell in summary.cells]
    if len(seeds) > 1:
        axes.plot(seeds, [place] * len(seeds), "o", color=colour, markersize=2.6, markerfacecolor="none")
    axes.plot(100 * spread.mean, place, "o", color=colour, markersize=5)


def _legend(summaries: list[Summary], marks: dict, theme: Theme) -> list[Line2D]:
    kinds = [kind for kind in KINDS if any(one.kind == kind for one in summaries)]
    handles = [Line2D([], [], marker="o", linestyle="", color=_colour(kind, theme), label=kind) for kind in kinds]
    muted = {"color": theme.muted, "linestyle": ""}
    handles.append(Line2D([], [], marker="o", markersize=2.6, markerfacecolor="none", label="one seed", **muted))
    handles.append(Line2D([], [], color=theme.muted, linewidth=1.6, alpha=0.5, label="95 % interval over test rows"))
    for model, style in _PUBLISHED.items():
        if model in marks:
            label = f"{model}, published, other budget"
            handles.append(Line2D([], [], color=theme.muted, linestyle=style, linewidth=1, label=label))
    return handles
