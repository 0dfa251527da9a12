"""Tables of ablations in the shape of the paper's Tables 7 to 9, with its figures below."""

from ...tasks.published import SECTION, published_note, published_table
from .layout import NOTHING, Cell, Row, Table, mark_best
from .scores import number


_PUBLISHED = {"codebook_sizes": 7, "codebook_dim": 8}
_REQUIRED = ("name", "varied")


def ablation_table(rows: list[dict], title: str = "Ablation", published: int | bool = True) -> Table:
    """Codecs that differ in what was varied: reconstruction, use of the codes, linear probe, neighbours, time.

    Args:
        rows: one for each codec. Shares and scores are fractions. Keys: `name`, `varied` (option -> value),
            `quantizer`, `reconstruction`, `usage` and `perplexity` (one number a level), `bits_per_base`,
            `linear_probe` (`mean`, `sd`, `seeds`), `neighbours_accuracy` (one number a level),
            `neighbours_base_accuracy`, `seconds`, `scores` (task -> `mean`, `sd`, `seeds`); only the first two must
            be there.
        published: the number of the paper's table to add, or True for the one that varies the same option.

    Raises:
        ValueError: no rows, a row without a name or without what was varied, or no such published table.
    """
    if not rows:
        raise ValueError(f"{title}: there are no rows to make a table of.")
    for place, row in enumerate(rows):
        missing = [key for key in _REQUIRED if not row.get(key)]
        if missing:
            raise ValueError(f"{title}: row {place} (0-based) has no {' and no '.join(missing)}.")
    names = tuple(dict.fromkeys(name for row in rows for name in row["varied"]))
    wanted = next((_PUBLISHED[name] for name in names if name in _PUBLISHED), None) if published is True else published
    tasks = [task for row in rows for task in row.get("scores") or {}] + (["EMP/H3", "virus/covid"] * (wanted == 9))
    tasks = tuple(dict.fromkeys(tasks))
    columns = ("name", "quantizer", *names, "reconstruction (%)", "usage (%)", "perplexity", "bits per base")
    columns += ("linear probe (%)", "from neighbours: codes (%)", "base (%)", *tasks, "time (s)")
    body = [_row(row, names, tasks) for row in rows]
    compared = [columns.index(name) for name in ("linear probe (%)", *tasks)]
    notes = ["Usage, perplexity and codes from neighbours: a figure for each level. Scores: mean ± sd (seeds)."]
    if wanted:
        body += _published_rows(wanted, columns)
        table = published_table(wanted)
        notes += [published_note(), f"Table {wanted} of the paper: {table['title']}.", *table["notes"]]
    align = "ll" + "r" * (len(columns) - 2)
    return Table(title, columns, mark_best(body, compared), tuple(notes), align)


def _row(row: dict, names: tuple[str, ...], tasks: tuple[str, ...]) -> Row:
    cells = (
        Cell(str(row["name"])),
        Cell(str(row.get("quantizer") or NOTHING)),
        *(Cell(_setting(row["varied"].get(name))) for name in names),
        number(_percent(row.get("reconstruction"))),
        Cell(_levels(row.get("usage"), 100)),
        Cell(_levels(row.get("perplexity"), 1)),
        number(row.get("bits_per_base")),
        _score(row.get("linear_probe")),
        Cell(_levels(row.get("neighbours_accuracy"), 100)),
        number(_percent(row.get("neighbours_base_accuracy"))),
        *(_score((row.get("scores") or {}).get(task)) for task in tasks),
        number(row.get("seconds"), 0),
    )
    return Row(cells, "measured here", "all")


def _published_rows(table_number: int, columns: tuple[str, ...]) -> list[Row]:
    table, rows = published_table(table_number), []
    if "varied" not in table:
        raise ValueError(f"Table {table_number} of the paper is no ablation; Tables 7, 8 and 9 are.")
    scores = ("EMP/H3", "virus/covid") if table_number == 9 else ("reconstruction (%)", "linear probe (%)")
    for setting, values in table["rows"].items():
        for model, quantizer, pair in (("VQDNA", "vq", values[:2]), ("VQDNA (HRQ)", "hrq", values[2:])):
            text = f"{setting} in all" if table["varied"] == "codebook_sizes" else setting
            found = {"name": Cell(model), "quantizer": Cell(quantizer), table["varied"]: Cell(text)}
            found |= {name: number(value, 1) for name, value in zip(scores, pair)}
            rows.append(Row(tuple(found.get(column, Cell()) for column in columns), SECTION))
    return rows


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _levels(values: list[float] | float | None, factor: float) -> str:
    if values is None:
        return NOTHING
    values = values if isinstance(values, (list, tuple)) else [values]
    return " / ".join(f"{factor * value:.1f}" for value in values) or NOTHING


def _setting(value) -> str:
    if isinstance(value, (list, tuple)):
        return " + ".join(map(str, value))
    return NOTHING if value is None else str(value)


def _score(score: dict | None) -> Cell:
    """Mean ± sd and the number of seeds."""
    if not score:
        return Cell()
    seeds = score.get("seeds")
    count = len(seeds) if isinstance(seeds, (list, tuple)) else seeds
    spread = f" ± {100 * score['sd']:.2f}" if score.get("sd") is not None and count != 1 else ""
    return Cell(f"{100 * score['mean']:.2f}{spread}" + (f" ({count})" if count else ""), 100 * score["mean"])
