"""Tables of ablations in the shape of the paper's Tables 7 to 9, with its figures below."""

from ...tasks.published import SECTION, published_note, published_table
from .layout import NOTHING, Cell, Row, Table, mark_best
from .scores import levels, number, score_cell


_PUBLISHED = {"codebook_sizes": 7, "codebook_dim": 8}


def ablation_table(rows: list[dict], title: str = "Ablation", published: int | bool = True) -> Table:
    """Codecs that differ in what was varied: reconstruction, use of the codes, linear probe, neighbours, time.

    Args:
        rows: one for each codec. Shares and scores are fractions. Keys: `name`, `varied` (option -> value),
            `quantizer`, `reconstruction`, `usage` and `perplexity` (one number a level), `bits_per_base`,
            `linear_probe` ([`Spread`]), `neighbours_accuracy` (one number a level), `neighbours_base_accuracy`,
            `seconds`, `scores` (task -> [`Spread`]); only the first two must be there.
        published: the number of the paper's table to add, or True for the one that varies the same option.
    """
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
    return Table(title, columns, mark_best(body, compared), tuple(notes), "ll")


def _row(row: dict, names: tuple[str, ...], tasks: tuple[str, ...]) -> Row:
    cells = (
        Cell(str(row["name"])),
        Cell(str(row.get("quantizer") or NOTHING)),
        *(Cell(_setting(row["varied"].get(name))) for name in names),
        number(row.get("reconstruction"), factor=100),
        levels(row.get("usage")),
        levels(row.get("perplexity"), factor=1),
        number(row.get("bits_per_base")),
        score_cell(row.get("linear_probe")),
        levels(row.get("neighbours_accuracy")),
        number(row.get("neighbours_base_accuracy"), factor=100),
        *(score_cell((row.get("scores") or {}).get(task)) for task in tasks),
        number(row.get("seconds"), 0),
    )
    return Row(cells, "measured here", "all")


def _published_rows(table_number: int, columns: tuple[str, ...]) -> list[Row]:
    table, rows = published_table(table_number), []
    scores = ("EMP/H3", "virus/covid") if table_number == 9 else ("reconstruction (%)", "linear probe (%)")
    for setting, values in table["rows"].items():
        for model, quantizer, pair in (("VQDNA", "vq", values[:2]), ("VQDNA (HRQ)", "hrq", values[2:])):
            text = f"{setting} in all" if table["varied"] == "codebook_sizes" else setting
            found = {"name": Cell(model), "quantizer": Cell(quantizer), table["varied"]: Cell(text)}
            found |= {name: number(value, 1) for name, value in zip(scores, pair)}
            rows.append(Row(tuple(found.get(column, Cell()) for column in columns), SECTION))
    return rows


def _setting(value) -> str:
    if isinstance(value, (list, tuple)):
        return " + ".join(map(str, value))
    return NOTHING if value is None else str(value)
