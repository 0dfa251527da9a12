"""Tables behind the scores: intervals, paired differences against a reference, and what selection saw on dev."""

from collections import Counter

from ...cards.scores import metric_words
from .aggregate import Summary, mean_difference
from .layout import NOTHING, Cell, Row, Table, mark_best
from .scores import SEVERAL_METRICS, Scores, kind_of, mode_text, parts, score_cell, seeds_note, short_name


_DIFFERENCES_ACROSS = 4
_INTERVALS = (
    "95 % intervals: bootstrap over test rows, of the mean over seeds. They cover the choice of test rows, not what "
    "other seeds or other training rows would give."
)


def interval_table(scores: Scores) -> Table:
    """Every task, model and mode: seeds, test score, its interval, and the score on clean test rows."""
    rows = []
    for one in scores.by_kind():
        cells = (
            Cell(one.row[0]),
            Cell(mode_text(one.row[1])),
            Cell(one.kind),
            Cell(str(len(one.seeds))),
            score_cell(one.spread(), scores.seeds),
            Cell("[{:.2f}, {:.2f}]".format(*(100 * end for end in one.interval))) if one.interval else Cell(),
            score_cell(one.spread("test_clean"), scores.seeds),
            Cell(str(one.cells[0]["clean_rows"])) if one.spread("test_clean") else Cell(),
        )
        rows.append(Row(cells, f"{one.task}: {metric_words(one.metric)}", one.task))
    columns = ("model", "mode", "kind", "seeds", "test", "95 % interval", "clean test rows", "of them")
    notes = (seeds_note(scores.seeds), _INTERVALS)
    return Table("Test scores with intervals", columns, mark_best(rows, (4, 6)), notes, "lll")


def difference_tables(scores: Scores, reference: str) -> list[Table]:
    """How far every row is above a reference, from paired replicates: one table for each mode of the reference.

    Rows of a mode are compared with the reference in that mode, and controls with each; with a control, all rows are.

    Args:
        reference: a model, or a model and mode as in `"hrq/full"`.

    Raises:
        ValueError: no cell is of this model and mode.
    """
    rows = scores.rows()
    chosen = [row for row in rows if reference in (row[0], "/".join(row))]
    if not chosen:
        there = ", ".join("/".join(row) for row in rows)
        raise ValueError(f"There is no cell of the reference {reference!r}; there are {there}.")
    return [table for row in chosen for table in _difference_tables(scores, row)]


def _difference_tables(scores: Scores, reference: tuple[str, str]) -> list[Table]:
    rows = scores.rows()
    theirs, mode = rows[reference], reference[1]
    compared = {
        row: found
        for row, found in rows.items()
        if row != reference and (mode == "control" or row[1] in (mode, "control"))
    }
    if not compared:
        return []
    name = reference[0] + ("" if mode == "control" else f" ({mode})")
    tables, labels = [], scores.label_columns
    for tasks, averaged, part in parts(list(theirs), _DIFFERENCES_ACROSS):
        columns = (*labels, *map(short_name, tasks), *[f"mean of {len(averaged)}"] * bool(averaged))
        across = [[task] for task in tasks] + [averaged] * bool(averaged)
        body = tuple(
            Row((*scores.label(row), *(_difference_cell(found, theirs, of) for of in across)), kind_of(found))
            for row, found in compared.items()
        )
        several = len({theirs[task].metric for task in averaged}) > 1
        notes = (
            f"Test score of the row minus that of {name}, × 100, with 95 % interval: both on the same resampled test "
            "rows. An asterisk: the interval excludes 0 (each for itself: of twenty such intervals one is expected to "
            "exclude 0 by chance).",
            _INTERVALS,
            *([SEVERAL_METRICS] if several else []),
        )
        tables.append(Table(f"Differences from {name}{part}", columns, body, notes, "l" * len(labels)))
    return tables


def _difference_cell(found: dict[str, Summary], theirs: dict[str, Summary], tasks: list[str]) -> Cell:
    """The mean difference over tasks; over some of them only, with their number."""
    pairs = [(found[task], theirs[task]) for task in tasks if task in found]
    if not pairs:
        return Cell()
    difference = mean_difference(pairs)
    text = f"{100 * difference.mean:+.2f}"
    if difference.low is not None:
        excludes = "*" if difference.low > 0 or difference.high < 0 else ""
        text += f"{excludes} [{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"
    text = text.replace("-", "−") + ("" if len(pairs) == len(tasks) else f" (of {len(pairs)})")
    return Cell(text, 100 * difference.mean)


def selection_table(scores: Scores) -> Table:
    """What selection saw: dev scores, how many points of the grid there were, and which one was taken."""
    rows = []
    for one in scores.by_kind():
        tried = max(len(cell.get("points") or []) for cell in one.cells)
        cells = (
            Cell(one.row[0]),
            Cell(mode_text(one.row[1])),
            Cell(str(len(one.seeds))),
            score_cell(one.spread("dev"), scores.seeds),
            Cell(str(tried or NOTHING)),
            Cell(_chosen_text(one)),
        )
        rows.append(Row(cells, f"{one.task}: {metric_words(one.metric)}"))
    columns = ("model", "mode", "seeds", "dev", "points", "chosen")
    notes = (
        seeds_note(scores.seeds),
        "points: of the grid. chosen: the settings that the grid varies, at the first point with the best dev score; "
        "× 2: taken by two seeds. Nothing was chosen on test rows.",
    )
    return Table("Selection on dev", columns, tuple(rows), notes, "llrrrl")


def _chosen_text(one: Summary) -> str:
    found = Counter(_describe(cell, one.metric) for cell in one.cells)
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{text} × {count}" for text, count in found.items())


def _describe(cell: dict, metric: str) -> str:
    """The settings of the first point of a cell's grid with the best dev score, as far as the grid varies them."""
    points = [point for point in cell.get("points") or [] if (point.get("dev") or {}).get(metric) is not None]
    names = dict.fromkeys(name for point in points for name in point["settings"])
    varied = [name for name in names if len({repr(point["settings"].get(name)) for point in points}) > 1]
    best = max(points, key=lambda point: point["dev"][metric], default=None)
    values = {name: best["settings"].get(name) for name in varied}
    # beside the grid, what a fit chose on dev by itself
    values |= {name: value for name, value in (cell.get("chosen") or {}).items() if name not in names}
    return ", ".join(f"{name} {value}" for name, value in values.items()) or NOTHING
