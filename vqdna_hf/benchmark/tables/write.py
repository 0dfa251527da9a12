"""The tables of a benchmark: from its cells to Markdown, LaTeX and JSON."""

import os
from pathlib import Path

from ...runs.files import as_json, write_file
from .aggregate import summarize
from .details import difference_tables, interval_table, selection_table
from .latex import PREAMBLE, table_to_latex
from .layout import Table
from .models import efficiency_table, rank_tables
from .scores import Scores, score_tables, species_tables


FORMAT = 1


def benchmark_tables(cells: list[dict], reference: str | None = None) -> list[Table]:
    """The tables of a benchmark, complete or not: what was not run is a dash, and seeds that lack are counted.

    The paper's figures are in a section of their own, where task and metric are the same; they are not compared with
    the cells.

    Args:
        cells: one dict for each task, model, mode and seed, as the benchmark writes them.
        reference: a model, or a model and mode as in `"hrq/full"`, to take paired differences from.

    Raises:
        ValueError: no cells, cells that do not go together, or an unknown reference.
    """
    scores = Scores(summarize(cells))
    efficiency = efficiency_table(scores)
    tables = [*score_tables(scores), *species_tables(scores), *rank_tables(scores)]
    tables += [efficiency] if efficiency else []
    tables += difference_tables(scores, reference) if reference else []
    return [*tables, interval_table(scores), selection_table(scores)]


def tables_to_markdown(tables: list[Table], title: str = "Benchmark") -> str:
    """All tables under one heading."""
    return "\n".join([f"## {title}\n", *(table.to_markdown() for table in tables)])


def write_tables(
    cells: list[dict],
    output: str | os.PathLike,
    reference: str | None = None,
    ablations: list[Table] | None = None,
    title: str = "Benchmark",
) -> str:
    """Write `tables.md`, `tables.json` and `tables.tex`, which a document with booktabs reads, into a directory.

    Args:
        cells, reference: as for `benchmark_tables`; there may be no cells where there are ablations.
        ablations: tables to add, from `ablation_table`.
        title: heading of the Markdown.

    Returns:
        The Markdown.

    Raises:
        ValueError: as `benchmark_tables`.
    """
    tables = benchmark_tables(cells, reference) if cells or not ablations else []
    tables += ablations or []
    markdown = tables_to_markdown(tables, title)
    summaries = [one.to_dict() for one in summarize(cells)] if cells else []
    content = {"format": FORMAT, "scores": summaries, "tables": [table.to_dict() for table in tables]}
    texts = {
        "tables.md": markdown,
        "tables.tex": "\n".join([PREAMBLE, *map(table_to_latex, tables)]),
        "tables.json": as_json(content, indent=1, ensure_ascii=False) + "\n",
    }
    directory = Path(output)
    for name, text in texts.items():
        write_file(directory / name, text.encode())
    return markdown
