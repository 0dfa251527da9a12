"""Tables of scores, in the shape of the paper's Tables 3 to 6: tasks across, rows down, controls among them."""

import re
from dataclasses import dataclass

from ...cards.scores import metric_words
from ...tasks.catalogue import list_tasks
from ...tasks.published import SECTION, published_note, published_rows, published_table, task_of
from .aggregate import KINDS, Spread, Summary
from .layout import NOTHING, Cell, Row, Table, mark_best


_TASKS_ACROSS = 6  # more columns than this do not fit a terminal or a page
_FAMILY = 3  # families of fewer tasks share a table
_SPECIES = re.compile(r"species/(\d+)(k?)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Scores:
    """What the tables are made of.

    Attributes:
        summaries: of every task, model and mode.
        published: whether the paper's rows are added.
        rank_published: whether these are compared with one's own.
    """

    summaries: list[Summary]
    published: bool = True
    rank_published: bool = False

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.task for one in self.summaries))

    @property
    def seeds(self) -> int:
        """Seeds of a complete cell."""
        return max(len(one.seeds) for one in self.summaries)

    @property
    def shows_modes(self) -> bool:
        return len({one.row[1] for one in self.summaries} - {"control"}) > 1

    def of_tasks(self, tasks: tuple[str, ...]) -> "Scores":
        """The summaries of some tasks."""
        chosen = [one for one in self.summaries if one.task in tasks]
        return Scores(chosen, self.published, self.rank_published)

    def rows(self) -> dict[tuple[str, str], dict[str, Summary]]:
        """Row -> task -> summary, sorted by kind and, within one, as they came."""
        found: dict[tuple[str, str], dict[str, Summary]] = {}
        for one in sorted(self.summaries, key=lambda one: KINDS.index(one.kind)):
            found.setdefault(one.row, {})[one.task] = one
        return found


def short_name(task: str) -> str:
    """A task's name as the head of a column: `prom/prom_core_all` -> `prom_core_all`."""
    return task.removeprefix("prom/")


def mode_text(mode: str) -> str:
    """A control has no mode."""
    return NOTHING if mode == "control" else mode


def number(value: float | None, digits: int = 2) -> Cell:
    """A number that can be best of its column."""
    return Cell() if value is None else Cell(f"{value:.{digits}f}", value)


def score_cell(spread: Spread | None, seeds: int) -> Cell:
    """Mean ± sd in percent; of fewer than `seeds` seeds, with their number."""
    if spread is None:
        return Cell()
    text = f"{100 * spread.mean:.2f}" + (f" ± {100 * spread.sd:.2f}" if spread.sd is not None else "")
    return Cell(text + (f" ({spread.count})" if spread.count < seeds else ""), 100 * spread.mean)


def seeds_note(seeds: int) -> str:
    """How the scores of `score_cell` are to be read."""
    if seeds == 1:
        return "Scores × 100, of one seed each: they may be off by several points."
    return f"Scores × 100: mean ± standard deviation of {seeds} seeds; a number in brackets: of so many seeds."


def score_tables(scores: Scores) -> list[Table]:
    """One table for each family that was run completely, and one for all other tasks; wide ones in parts."""
    tasks = [task for task in scores.tasks if not _SPECIES.fullmatch(task)]
    tables, rest = [], tasks
    for family in dict.fromkeys(one.family for one in scores.summaries):
        members = _complete_family(family, tasks)
        if members:
            rest = [task for task in rest if task not in members]
            title = f"{list_tasks(family)[0].title}, {list_tasks(family)[0].organism} ({family})"
            tables += _in_parts(scores, members, title[0].upper() + title[1:])
    if rest:
        tables += _in_parts(scores, rest, "Scores of all other tasks" if tables else "Scores of all tasks")
    return tables


def _complete_family(family: str, tasks: list[str]) -> list[str]:
    known = {task.family for task in list_tasks()}
    members = [task.name for task in list_tasks(family)] if family in known else []
    return members if len(members) >= _FAMILY and set(members) <= set(tasks) else []


def parts(items: list, most: int) -> list[list]:
    """Consecutive parts of about equal size, none longer than `most`."""
    count = -(-len(items) // most)
    size = -(-len(items) // count)
    return [items[start : start + size] for start in range(0, len(items), size)]


def _in_parts(scores: Scores, tasks: list[str], title: str) -> list[Table]:
    pieces = parts(tasks, _TASKS_ACROSS)
    tables = []
    for place, piece in enumerate(pieces):
        part = f" ({place + 1} of {len(pieces)})" if len(pieces) > 1 else ""
        averaged = tasks if place == len(pieces) - 1 and len(tasks) > 1 else []
        tables.append(_score_table(scores, piece, averaged, title + part))
    return tables


def _score_table(scores: Scores, tasks: list[str], averaged: list[str], title: str) -> Table:
    """`averaged`: the tasks that a last column averages, if any."""
    metrics = {one.task: one.metric for one in scores.summaries}
    names = {task: metric_words(metrics[task]) for task in tasks}
    same = len(set(names.values())) == 1
    has_clean = any(one.spread("test_clean") for one in scores.of_tasks(tuple(tasks)).summaries)
    columns = ["model", *(["mode"] if scores.shows_modes else []), *(["test rows"] if has_clean else [])]
    labels = len(columns)
    columns += [short_name(task) + ("" if same else f" ({names[task]})") for task in tasks]
    columns += [f"mean of {len(averaged)}"] if averaged else []
    rows = []
    for (model, mode), found in scores.rows().items():
        label = [Cell(model), *([Cell(mode_text(mode))] if scores.shows_modes else [])]
        for split, which in (("test", "all"), ("test_clean", "clean")):
            spreads = {task: one.spread(split) for task, one in found.items()}
            if not any(spreads.get(task) for task in tasks):
                continue
            values = [score_cell(spreads.get(task), scores.seeds) for task in tasks]
            means = [100 * spreads[task].mean for task in averaged if spreads.get(task)]
            values += [number(sum(means) / len(means) if len(means) == len(averaged) else None)] if averaged else []
            start = [*label, Cell(which)] if has_clean else label
            rows.append(Row((*start, *values), next(iter(found.values())).kind, which))
    others = published_rows({task: metrics[task] for task in {*tasks, *averaged}}) if scores.published else {}
    for model, values in others.items():
        if any(task in values for task in tasks):
            label = [Cell(model)] + [Cell()] * (labels - 1 - has_clean) + [Cell("all")] * has_clean
            printed = [number(values.get(task)) for task in tasks]
            means = [values[task] for task in averaged if task in values]
            printed += [number(sum(means) / len(means) if len(means) == len(averaged) else None)] if averaged else []
            rows.append(Row((*label, *printed), SECTION, "all" if scores.rank_published else ""))
    shown = scores.of_tasks(tuple(tasks))
    notes = [seeds_note(scores.seeds), *_notes(shown, has_clean)]
    averages_several = len({metrics[task] for task in averaged}) > 1
    notes += ["The mean is over scores by several metrics."] if averages_several else []
    notes += [published_note(), *_table_notes(tasks)] if any(row.section == SECTION for row in rows) else []
    unit = f": {names[tasks[0]]}" if same else ""
    marked = mark_best(rows, range(labels, len(columns)))
    return Table(title + unit, tuple(columns), marked, tuple(notes), "l" * labels + "r" * (len(columns) - labels))


def _table_notes(tasks: list[str]) -> list[str]:
    """What the transcription says of the published tables that the tasks are in."""
    tables = [published_table(number) for number in (3, 4, 5)]
    return [note for table in tables if set(table["tasks"]) & set(tasks) for note in table["notes"]]


def _notes(scores: Scores, has_clean: bool) -> list[str]:
    """What the rows of these tasks were, as far as it differs from the datasets or between the seeds."""
    notes, clean, fewer = [], {}, {}
    for one in scores.summaries:
        cell = one.cells[0]
        counts = cell.get("counts") or {}
        if cell.get("test_clean"):
            clean[one.task] = f"{one.task} {cell.get('clean_rows')} of {counts.get('test', '?')}"
        whole = cell.get("whole_counts") or _published_counts(one.task)
        splits = [split for split in ("train", "dev", "test") if split in counts and split in whole]
        if any(counts[split] < whole[split] for split in splits):
            used, there = (" / ".join(f"{rows[split]:,}" for split in splits) for rows in (counts, whole))
            fewer[one.task] = f"{one.task} {used} {' / '.join(splits)} rows of {there}"
        settings = [_fixed_settings(cell) for cell in one.cells]
        if any(other != settings[0] for other in settings):
            keys = {key for other in settings for key in other}
            changed = [key for key in keys if any(other.get(key) != settings[0].get(key) for other in settings)]
            notes.append(f"{one.row[0]} on {one.task}: seeds differ in {', '.join(sorted(changed))}.")
    if has_clean:
        listed = "; ".join(clean.values())
        notes.append(f"clean: only test rows that are neither in train or dev nor copies of each other: {listed}.")
    if fewer:
        notes.append(f"Run on a part of the rows: {'; '.join(fewer.values())}.")
    return notes


def _published_counts(task: str) -> dict[str, int]:
    try:
        return task_of(task).file_counts
    except ValueError:  # a task of one's own
        return {}


def _fixed_settings(cell: dict) -> dict:
    """The settings that all seeds of a row should share: not the seed, nor what the grid chose."""
    chosen = {key for point in cell.get("points") or [] for key in point.get("settings") or {}}
    return {key: value for key, value in (cell.get("settings") or {}).items() if key not in chosen | {"seed"}}


def species_tables(scores: Scores) -> list[Table]:
    """Species classification by length (Table 6): accuracy on `species/1k`, `species/20k`, ...; none without them."""
    lengths = {}
    for task in scores.tasks:
        match = _SPECIES.fullmatch(task)
        if match:
            lengths[task] = int(match[1]) * (1000 if match[2] else 1)
    tasks = sorted(lengths, key=lengths.get)
    if not tasks:
        return []
    columns = ["model", *(["mode"] if scores.shows_modes else []), *(task.split("/")[1] for task in tasks)]
    labels = len(columns) - len(tasks)
    rows = []
    for (model, mode), found in scores.of_tasks(tuple(tasks)).rows().items():
        label = [Cell(model), *([Cell(mode_text(mode))] if scores.shows_modes else [])]
        spreads = [found[task].spread("test", "accuracy") if task in found else None for task in tasks]
        cells = (*label, *(score_cell(spread, scores.seeds) for spread in spreads))
        rows.append(Row(cells, next(iter(found.values())).kind, "all"))
    notes = [seeds_note(scores.seeds), *_notes(scores.of_tasks(tuple(tasks)), False)]
    if scores.published:
        printed = published_rows({task.lower(): "accuracy" for task in tasks})
        for model, values in printed.items():
            label = [Cell(model)] + [Cell()] * (labels - 1)
            cells = (*label, *(number(values.get(task.lower())) for task in tasks))
            rows.append(Row(cells, SECTION, "all" if scores.rank_published else ""))
        notes += [published_note()] if printed else []
    marked = mark_best(rows, range(labels, len(columns)))
    align = "l" * labels + "r" * len(tasks)
    return [Table("Species classification by length: accuracy", tuple(columns), marked, tuple(notes), align)]
