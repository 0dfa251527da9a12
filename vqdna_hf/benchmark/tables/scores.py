"""Tables of scores, in the shape of the paper's Tables 3 to 6: tasks across, rows down, controls among them."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ...cards.scores import metric_words
from ...tasks.catalogue import list_tasks
from ...tasks.published import SECTION, published_note, published_rows, published_table, task_of
from .aggregate import KINDS, Spread, Summary
from .layout import NOTHING, Cell, Row, Table, mark_best


_TASKS_ACROSS = 6  # more columns than this do not fit a terminal or a page
_FAMILY = 3  # families of fewer tasks share a table
_SPECIES = re.compile(r"species/(\d+)(k?)", re.IGNORECASE)
SEVERAL_METRICS = "The mean is over scores by several metrics."


@dataclass(frozen=True, eq=False)
class Scores:
    """What the tables are made of.

    Attributes:
        summaries: of every task, model and mode.
    """

    summaries: list[Summary]

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(one.task for one in self.summaries))

    @property
    def seeds(self) -> int:
        """Seeds of a complete cell."""
        return max(len(one.seeds) for one in self.summaries)

    @property
    def shows_modes(self) -> bool:
        return len({one.row[1] for one in self.summaries} - {"control"}) > 1

    @property
    def label_columns(self) -> list[str]:
        """The first columns of a table: the mode is left out where there is one only."""
        return ["model", "mode"] if self.shows_modes else ["model"]

    def label(self, row: tuple[str, str]) -> list[Cell]:
        """The cells of a row in `label_columns`."""
        return [Cell(row[0]), Cell(mode_text(row[1]))][: len(self.label_columns)]

    def of_tasks(self, tasks: list[str]) -> "Scores":
        """The summaries of some tasks."""
        return Scores([one for one in self.summaries if one.task in tasks])

    def by_kind(self) -> list[Summary]:
        """The summaries, sorted by task, then by kind and, within one, as they came."""
        tasks = self.tasks
        return sorted(self.summaries, key=lambda one: (tasks.index(one.task), KINDS.index(one.kind)))

    def rows(self) -> dict[tuple[str, str], dict[str, Summary]]:
        """Row -> task -> summary, sorted by kind and, within one, as they came."""
        found: dict[tuple[str, str], dict[str, Summary]] = {}
        for one in sorted(self.summaries, key=lambda one: KINDS.index(one.kind)):
            found.setdefault(one.row, {})[one.task] = one
        return found


def kind_of(found: dict[str, Summary]) -> str:
    """The kind of a row's model."""
    return next(iter(found.values())).kind


def short_name(task: str) -> str:
    """A task's name as the head of a column: `prom/prom_core_all` -> `prom_core_all`."""
    return task.removeprefix("prom/")


def mode_text(mode: str) -> str:
    """A control has no mode."""
    return NOTHING if mode == "control" else mode


def number(value: float | None, digits: int = 2, factor: float = 1) -> Cell:
    """A number, times a factor, that can be best of its column."""
    return Cell() if value is None else Cell(f"{factor * value:.{digits}f}", factor * value)


def levels(values: list[float] | None, factor: float = 100) -> Cell:
    """A number for each level of a vocabulary; shares in percent."""
    return Cell(" / ".join(f"{factor * value:.1f}" for value in values or ()) or NOTHING)


def score_cell(spread: Spread | None, seeds: float = math.inf) -> Cell:
    """Mean ± sd in percent; of fewer than `seeds` seeds, with their number."""
    if spread is None:
        return Cell()
    text = f"{100 * spread.mean:.2f}" + (f" ± {100 * spread.sd:.2f}" if spread.sd is not None else "")
    return Cell(text + (f" ({spread.seeds})" if spread.seeds < seeds else ""), 100 * spread.mean)


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
    members = [task.name for task in list_tasks() if task.family == family]
    return members if len(members) >= _FAMILY and set(members) <= set(tasks) else []


def parts(tasks: list[str], most: int) -> Iterator[tuple[list[str], list[str], str]]:
    """Consecutive parts of about equal size, none longer than `most`.

    Yields:
        The tasks of a part; all of them with the last part, which has their mean, if there are several; and which part
        of how many it is, to be added to a title.
    """
    count = -(-len(tasks) // most)
    size = -(-len(tasks) // count)
    for place, start in enumerate(range(0, len(tasks), size)):
        last = start + size >= len(tasks)
        averaged = tasks if last and len(tasks) > 1 else []
        yield tasks[start : start + size], averaged, f" ({place + 1} of {count})" if count > 1 else ""


def _in_parts(scores: Scores, tasks: list[str], title: str) -> list[Table]:
    pieces = parts(tasks, _TASKS_ACROSS)
    return [_score_table(scores, piece, averaged, title + part) for piece, averaged, part in pieces]


def species_tables(scores: Scores) -> list[Table]:
    """Species classification by length (Table 6): accuracy on `species/1k`, `species/20k`, ...; none without them."""
    found = [match for task in scores.tasks if (match := _SPECIES.fullmatch(task))]
    found.sort(key=lambda match: int(match[1]) * (1000 if match[2] else 1))
    title, tasks = "Species classification by length", [match[0] for match in found]
    return [_score_table(scores, tasks, [], title, by_length=True)] if tasks else []


def _score_table(scores: Scores, tasks: list[str], averaged: list[str], title: str, by_length: bool = False) -> Table:
    """A table of some tasks.

    Args:
        averaged: the tasks that a last column averages, if any.
        by_length: whether the tasks are one at several lengths, scored by accuracy, without clean rows.
    """
    shown = scores.of_tasks(tasks)
    metrics = {one.task: "accuracy" if by_length else one.metric for one in scores.summaries}
    names = {task: metric_words(metrics[task]) for task in tasks}
    same = len(set(names.values())) == 1
    has_clean = not by_length and any(one.spread("test_clean") for one in shown.summaries)
    columns = scores.label_columns + ["test rows"] * has_clean
    labels, rows = len(columns), []
    heads = {task: task.split("/")[1] if by_length else short_name(task) for task in tasks}
    columns += [head + ("" if same else f" ({names[task]})") for task, head in heads.items()]
    columns += [f"mean of {len(averaged)}"] if averaged else []
    for row, section, which, rank, values in _lines(scores, metrics, has_clean):
        if any(task in values for task in tasks):
            cells = [*scores.label(row), *[Cell(which)] * has_clean, *(values.get(task, Cell()) for task in tasks)]
            known = [values[task].value for task in averaged if task in values]
            mean = sum(known) / len(known) if known and len(known) == len(averaged) else None
            rows.append(Row((*cells, *[number(mean)] * bool(averaged)), section, rank))
    notes = [seeds_note(scores.seeds), *_notes(shown, has_clean)]
    notes += [SEVERAL_METRICS] if len({metrics[task] for task in averaged}) > 1 else []
    notes += [published_note(), *_table_notes(tasks)] if any(row.section == SECTION for row in rows) else []
    unit = f": {names[tasks[0]]}" if same else ""
    marked = mark_best(rows, range(labels, len(columns)))
    return Table(title + unit, tuple(columns), marked, tuple(notes), "l" * labels)


def _lines(scores: Scores, metrics: dict[str, str], has_clean: bool) -> Iterator[tuple]:
    """Model and mode, section, which test rows, rank and, by task, the scores: of all rows, the paper's behind."""
    for row, found in scores.rows().items():
        for split, which in (("test", "all"), ("test_clean", "clean"))[: 1 + has_clean]:
            spreads = ((task, one.spread(split, metrics[task])) for task, one in found.items())
            values = {task: score_cell(spread, scores.seeds) for task, spread in spreads if spread}
            yield row, kind_of(found), which, which, values
    # the names of lengths may be in upper case; all others are the catalogue's
    names = {task: task.lower() if _SPECIES.fullmatch(task) else task for task in scores.tasks}
    for model, printed in published_rows({name: metrics[task] for task, name in names.items()}).items():
        values = {task: number(printed[name]) for task, name in names.items() if name in printed}
        yield (model, "control"), SECTION, "all", "", values


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
        first, *others = (_fixed_settings(cell) for cell in one.cells)
        changed = {key for other in others for key in first | other if first.get(key) != other.get(key)}
        if changed:
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
