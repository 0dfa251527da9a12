"""The scores of a benchmark as a figure: a panel for each task, a line for each model, seeds and intervals on it."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...analysis.codebook.drawing import LIGHT, render
from ...runs.files import write_file
from ...tasks.published import published_rows
from .aggregate import KINDS, Summary, summarize


_PUBLISHED = {"VQDNA (HRQ)": "--", "DNABERT-2": ":"}
_COLUMNS = 5
_LINE, _MARGIN = 0.22, 0.75  # inches


def write_score_figure(cells: list[dict], output: Path, published: bool = True) -> list[Path]:
    """Write `scores.svg` and `scores.png` into a directory.

    Args:
        cells: as `write_tables` takes them.
        published: mark the paper's VQDNA (HRQ) and DNABERT-2 where task and metric are the same.

    Returns:
        The files; none where there are no cells.
    """
    if not cells:
        return []
    report = {"summaries": summarize(cells), "published": published}
    paths = []
    for kind in ("svg", "png"):
        path = output / f"scores.{kind}"
        write_file(path, render(draw_scores, report, LIGHT, kind))
        paths.append(path)
    return paths


def draw_scores(report: dict, theme) -> Figure:
    """One panel a task; lines of one order in all of them, kinds together."""
    summaries: list[Summary] = report["summaries"]
    tasks = list(dict.fromkeys(one.task for one in summaries))
    rows = sorted(dict.fromkeys((KINDS.index(one.kind), one.row) for one in summaries), key=lambda pair: pair[0])
    rows = [row for _, row in rows]
    modes = {mode for _, mode in rows} - {"control"}
    found = {(one.task, one.row): one for one in summaries}
    marks = published_rows({one.task: one.metric for one in summaries}) if report["published"] else {}
    columns = min(_COLUMNS, len(tasks))
    lines = -(-len(tasks) // columns)
    figure = Figure(figsize=(1.6 + 2.1 * columns, lines * (_MARGIN + _LINE * len(rows)) + 0.5), layout="constrained")
    panels = np.atleast_1d(figure.subplots(lines, columns, sharey=True, squeeze=False)).ravel()
    for axes, task in zip(panels, tasks):
        for place, row in enumerate(rows):
            if (task, row) in found:
                _draw_line(axes, found[task, row], place, theme)
        metric = next(one.metric for one in summaries if one.task == task)
        axes.set_title(f"{task}, {metric.upper() if metric == 'mcc' else metric}")
        for model, style in _PUBLISHED.items():
            if task in marks.get(model, {}):
                axes.axvline(marks[model][task], color=theme.muted, linestyle=style, linewidth=1)
        axes.set_yticks(range(len(rows)), [name if len(modes) < 2 else f"{name}, {mode}" for name, mode in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
    for axes in panels[len(tasks) :]:
        axes.set_visible(False)
    handles = _legend(summaries, marks, theme)
    title = "score on test × 100"
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, title=title, title_fontsize=9)
    return figure


def _colour(kind: str, theme) -> str:
    return (*theme.levels, theme.muted)[KINDS.index(kind)]


def _draw_line(axes, summary: Summary, place: int, theme):
    colour, spread = _colour(summary.kind, theme), summary.spread()
    if summary.interval is not None:
        axes.plot([100 * end for end in summary.interval], [place] * 2, color=colour, linewidth=1.6, alpha=0.45)
    seeds = [100 * cell["test"][summary.metric] for cell in summary.cells]
    if len(seeds) > 1:
        axes.plot(seeds, [place] * len(seeds), "o", color=colour, markersize=2.6, markerfacecolor="none")
    axes.plot(100 * spread.mean, place, "o", color=colour, markersize=5)


def _legend(summaries: list[Summary], marks: dict, theme) -> list[Line2D]:
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
