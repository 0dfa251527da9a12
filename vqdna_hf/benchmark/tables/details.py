"""Tables behind the scores: intervals, paired differences against a reference, and what selection saw on dev."""

from collections import Counter

from ...cards.scores import metric_words
from .aggregate import Difference, Summary, mean_difference, paired_difference
from .layout import NOTHING, Cell, Row, Table, mark_best
from .scores import Scores, mode_text, parts, score_cell, seeds_note, short_name


_DIFFERENCES_ACROSS = 4
_INTERVALS = (
    "95 % intervals: bootstrap over test rows, of the mean over seeds. They cover the choice of test rows, not what "
    "other seeds or other training rows would give."
)


def interval_table(scores: Scores) -> Table:
    """Every task, model and mode: seeds, test score, its interval, and the score on clean test rows."""
    rows = []
    for task in scores.tasks:
        for (model, mode), found in scores.of_tasks((task,)).rows().items():
            one = found[task]
            interval = one.interval
            cells = (
                Cell(model),
                Cell(mode_text(mode)),
                Cell(one.kind),
                Cell(str(len(one.seeds))),
                score_cell(one.spread(), scores.seeds),
                Cell(_interval(*interval)) if interval else Cell(),
                score_cell(one.spread("test_clean"), scores.seeds),
                Cell(str(one.cells[0]["clean_rows"])) if one.spread("test_clean") else Cell(),
            )
            rows.append(Row(cells, f"{task}: {metric_words(one.metric)}", task))
    columns = ("model", "mode", "kind", "seeds", "test", "95 % interval", "clean test rows", "of them")
    notes = (seeds_note(scores.seeds), _INTERVALS)
    return Table("Test scores with intervals", columns, mark_best(rows, (4, 6)), notes, "lll" + "r" * 5)


def _interval(low: float, high: float) -> str:
    return f"[{100 * low:.2f}, {100 * high:.2f}]"


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
    modes = scores.shows_modes
    pieces, tables = parts(list(theirs), _DIFFERENCES_ACROSS), []
    for place, tasks in enumerate(pieces):
        last = place == len(pieces) - 1 and len(theirs) > 1
        columns = ["model", *(["mode"] if modes else []), *map(short_name, tasks)]
        columns += [f"mean of {len(theirs)}"] if last else []
        body = []
        for row, found in compared.items():
            label = [Cell(row[0]), *([Cell(mode_text(row[1]))] if modes else [])]
            cells = [_difference_cell(paired_difference(found[t], theirs[t])) if t in found else Cell() for t in tasks]
            cells += [_mean_cell(found, theirs)] if last else []
            body.append(Row((*label, *cells), next(iter(found.values())).kind))
        part = f" ({place + 1} of {len(pieces)})" if len(pieces) > 1 else ""
        several = last and len({one.metric for one in theirs.values()}) > 1
        name = reference[0] + ("" if mode == "control" else f" ({mode})")
        notes = [
            f"Test score of the row minus that of {name}, × 100, with 95 % interval: both on the same resampled test "
            "rows. An asterisk: the interval excludes 0 (each for itself: of twenty such intervals one is expected to "
            "exclude 0 by chance).",
            _INTERVALS,
            *(["The mean is over scores by several metrics."] if several else []),
        ]
        labels = 2 if modes else 1
        align = "l" * labels + "r" * (len(columns) - labels)
        tables.append(Table(f"Differences from {name}{part}", tuple(columns), tuple(body), tuple(notes), align))
    return tables


def _mean_cell(found: dict[str, Summary], theirs: dict[str, Summary]) -> Cell:
    pairs = [(found[task], theirs[task]) for task in theirs if task in found]
    if not pairs:
        return Cell()
    cell = _difference_cell(mean_difference(pairs))
    return cell if len(pairs) == len(theirs) else Cell(f"{cell.text} (of {len(pairs)})", cell.value)


def _difference_cell(difference: Difference) -> Cell:
    text = f"{100 * difference.mean:+.2f}"
    if difference.low is not None:
        excludes = "*" if difference.low > 0 or difference.high < 0 else ""
        text += f"{excludes} [{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"
    return Cell(text.replace("-", "−"), 100 * difference.mean)


def selection_table(scores: Scores) -> Table:
    """What selection saw: dev scores, how many points of the grid there were, and which one was taken."""
    rows = []
    for task in scores.tasks:
        for (model, mode), found in scores.of_tasks((task,)).rows().items():
            one = found[task]
            tried = [len(cell.get("points") or []) for cell in one.cells]
            cells = (
                Cell(model),
                Cell(mode_text(mode)),
                Cell(str(len(one.seeds))),
                score_cell(one.spread("dev"), scores.seeds),
                Cell(str(max(tried)) if max(tried) else NOTHING),
                Cell(_chosen_text(one)),
            )
            rows.append(Row(cells, f"{task}: {metric_words(one.metric)}"))
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
    points = [point for point in cell.get("points") or [] if (point.get("dev") or {}).get(metric) is not None]
    chosen = chosen_point(cell, metric)
    names = dict.fromkeys(name for point in points for name in point["settings"])
    varied = [name for name in names if len({repr(point["settings"].get(name)) for point in points}) > 1]
    values = {name: chosen["settings"].get(name) for name in varied} if chosen else {}
    # beside the grid, what a fit chose on dev by itself
    values |= {name: value for name, value in (cell.get("chosen") or {}).items() if name not in names}
    return ", ".join(f"{name} {value}" for name, value in values.items()) or NOTHING


def chosen_point(cell: dict, metric: str) -> dict | None:
    """The first point of a cell's grid with the best dev score; None if there is no grid."""
    points = [point for point in cell.get("points") or [] if (point.get("dev") or {}).get(metric) is not None]
    return max(points, key=lambda point: point["dev"][metric], default=None)
