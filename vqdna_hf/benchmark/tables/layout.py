"""A table as data: columns, rows and notes, with the best of each column marked; and its Markdown."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace


NOTHING = "–"
BEST, SECOND = "best", "second"


@dataclass(frozen=True)
class Cell:
    """What one place of a table shows.

    Attributes:
        text: as printed, without any markup.
        value: the number that ranks it within its column.
        mark: "best", "second" or none.
    """

    text: str = NOTHING
    value: float | None = None
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        section: rows of one section stand together under its name.
        rank: rows with the same name here are compared with each other; rows without are never marked.
    """

    cells: tuple[Cell, ...]
    section: str = ""
    rank: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        align: "l" or "r" for each column; those behind, and all but the first when not given, are numbers ("r").

    Raises:
        ValueError: a row is not as long as `columns`.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    align: str = "l"

    def __post_init__(self):
        object.__setattr__(self, "align", self.align.ljust(len(self.columns), "r"))
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(f"{self.title}: a row has {len(row.cells)} entries for {len(self.columns)} columns.")

    @property
    def sections(self) -> dict[str, list[Row]]:
        """The rows by the names of their sections, in order; under an empty one where all are of one section."""
        names = dict.fromkeys(row.section for row in self.rows)
        if len(names) < 2:
            return {"": list(self.rows)}
        return {name: [row for row in self.rows if row.section == name] for name in names}

    @property
    def is_marked(self) -> bool:
        return any(cell.mark for row in self.rows for cell in row.cells)

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        rows = [{"section": row.section, "cells": [asdict(cell) for cell in row.cells]} for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows, "notes": list(self.notes)}

    def to_markdown(self) -> str:
        """A heading, the table with its columns aligned, and the notes as a list."""
        lines = [[_markdown(column) for column in self.columns]]
        for section, rows in self.sections.items():
            lines += [[f"*{_markdown(section)}*"] + [""] * (len(self.columns) - 1)] if section else []
            lines += [[_marked(cell) for cell in row.cells] for row in rows]
        widths = [max(3, *(len(line[place]) for line in lines)) for place in range(len(self.columns))]
        rule = ["-" * (width - 1) + (":" if side == "r" else "-") for width, side in zip(widths, self.align)]
        text = [_line(line, widths, self.align) for line in (lines[0], rule, *lines[1:])]
        notes = (("Bold: best of a column; italics: second.",) if self.is_marked else ()) + self.notes
        parts = [f"### {_markdown(self.title)}", "\n".join(text)]
        return "\n\n".join(parts + (["\n".join(f"- {_markdown(note)}" for note in notes)] if notes else [])) + "\n"


def mark_best(rows: Iterable[Row], columns: Iterable[int], better: Callable = max) -> tuple[Row, ...]:
    """Mark the best and the second value of columns, among rows of the same `rank`. What prints equal is equal."""
    rows = list(rows)
    for column in columns:
        for group in dict.fromkeys(row.rank for row in rows if row.rank):
            members = [i for i, row in enumerate(rows) if row.rank == group and row.cells[column].value is not None]
            values = [round(rows[i].cells[column].value, 2) for i in members]
            steps = sorted(set(values), reverse=better is max)
            marks = dict(zip(steps, (BEST, SECOND))) if len(steps) > 1 else {}
            for i, value in zip(members, values):
                cells = list(rows[i].cells)
                cells[column] = replace(cells[column], mark=marks.get(value, ""))
                rows[i] = replace(rows[i], cells=tuple(cells))
    return tuple(rows)


def _line(cells: list[str], widths: list[int], align: str) -> str:
    places = zip(cells, widths, align)
    padded = [cell.rjust(width) if side == "r" else cell.ljust(width) for cell, width, side in places]
    return f"| {' | '.join(padded)} |"


def _marked(cell: Cell) -> str:
    text = _markdown(cell.text)
    return {BEST: f"**{text}**", SECOND: f"*{text}*"}.get(cell.mark, text)


def _markdown(text: str) -> str:
    """Text in which nothing ends a cell or a line."""
    return " ".join(text.split()).replace("|", "\\|")
