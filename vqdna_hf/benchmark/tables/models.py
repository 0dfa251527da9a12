"""Tables of models: tokenization efficiency (the paper's Table 1), and rank, size and compute (its Table 2)."""

from decimal import Decimal

from ...cards.scores import metric_words
from ...tasks.published import SECTION, published_note, published_table
from .aggregate import Ranks, Summary, average_ranks
from .layout import NOTHING, Cell, Row, Table, mark_best
from .scores import Scores, levels, number, score_cell, seeds_note


_FINE_TUNING = ("full", "lora", "end-to-end")


def efficiency_table(scores: Scores) -> Table | None:
    """What each tokenizer uses of its vocabulary, and what its codes give a linear probe and a fine-tuned model.

    The task is that of the covid variants if they were run, as in the paper, or else the first with a linear probe, or
    else the first.

    Returns:
        None if no cell of the task says what its tokenizer is.
    """
    printed, probed = published_table(1), [one.task for one in scores.summaries if one.row[1] == "linear"]
    task = printed["task"] if printed["task"] in scores.tasks else (probed + scores.tasks)[0]
    chosen = scores.of_tasks([task])
    modes = {one.row[1] for one in chosen.summaries}
    tuned = next((mode for mode in _FINE_TUNING if mode in modes), None)
    models: dict[str, dict[str, Summary]] = {}
    for (model, mode), found in chosen.rows().items():
        if found[task].cells[0].get("tokenizer"):
            models.setdefault(model, {})[mode] = found[task]
    if not models:
        return None
    rows = [_efficiency_row(model, found, tuned, scores.seeds) for model, found in models.items()]
    metric = chosen.summaries[0].metric
    notes = [
        seeds_note(scores.seeds),
        "vocabulary: codes of each level, or ids; usage: the share of them that occurs.",
    ]
    notes += [f"fine-tuning: {tuned}; of a control, its only score."] if tuned else []
    if task == printed["task"] and metric == printed["metric"]:
        for model, (tokenizer, usage, linear, tuning) in printed["rows"].items():
            cells = (Cell(model), Cell(tokenizer), Cell(), Cell(str(usage)), Cell(), number(linear), number(tuning))
            rows.append(Row(cells, SECTION))
        notes += [published_note(), *printed["notes"]]
    columns = ("model", "tokenizer", "vocabulary", "usage (%)", "tokens per base", "linear probe", "fine-tuning")
    title = f"Tokenization efficiency on {task}: {metric_words(metric)}"
    return Table(title, columns, mark_best(rows, (5, 6)), tuple(notes), "ll")


def _efficiency_row(model: str, found: dict[str, Summary], tuned: str | None, seeds: int) -> Row:
    one = next(iter(found.values()))
    probe, fine = found.get("linear"), found.get(tuned) or found.get("control")
    cells = (
        Cell(model),
        *_tokenizer_cells(one),
        levels(_numbers(one, "tokenizer", "usage")),
        number(next(iter(_numbers(one, "tokenizer", "tokens_per_base")), None), 3),
        score_cell(probe and probe.spread(), seeds),
        score_cell(fine and fine.spread(), seeds),
    )
    return Row(cells, one.kind, "all")


def rank_tables(scores: Scores) -> list[Table]:
    """Average rank, parameters, FLOPs and pre-training bases: one table for each mode, with the controls in each.

    The published rows are in the first.
    """
    there = {one.row[1] for one in scores.summaries}
    tables = []
    for mode in [mode for mode in (*_FINE_TUNING, "linear") if mode in there] or ["control"]:
        summaries = [one for one in scores.summaries if one.row[1] in (mode, "control")]
        tables.append(_rank_table(Scores(summaries), mode, published=not tables))
    return tables


def _rank_table(scores: Scores, mode: str, published: bool) -> Table:
    ranks = average_ranks(scores.summaries)
    lengths = sorted({length for one in scores.summaries for length in _numbers(one, "flops", "length")})
    rows = []
    for row, found in scores.rows().items():
        one, interval = next(iter(found.values())), ranks.intervals.get(row)
        every = [cell for summary in found.values() for cell in summary.cells]
        cells = (
            Cell(row[0]),
            _tokenizer_cells(one)[0],
            Cell(_sum(every, "parameters", 1e6)),
            Cell(_range(every, "parameters", "trained", 1e6)),
            Cell(_sum(every, "flops", 1e9)),
            Cell(_bases(every)),
            number(ranks.average.get(row)),
            Cell(f"[{interval[0]:.2f}, {interval[1]:.2f}]") if interval else Cell(),
        )
        rows.append(Row(cells, one.kind, "all"))
    notes = _rank_notes(ranks, lengths)
    if published:
        table = published_table(2)
        for model, (tokenizer, parameters, flops, billions, rank) in table["rows"].items():
            texts = (model, tokenizer, parameters, NOTHING, f"{flops} (relative)", f"{billions} B tokens")
            rows.append(Row((*map(Cell, texts), Cell(f"{rank} (printed)"), Cell()), SECTION))
        notes += [published_note(), *table["notes"]]
    columns = ("model", "tokenizer", "parameters (M)", "trained (M)", "FLOPs (G)", "pre-training bases")
    columns += (f"average rank of {len(ranks.tasks)} tasks", "95 % interval")
    title = "Average rank, parameters and compute" + ("" if mode == "control" else f" ({mode})")
    return Table(title, columns, mark_best(rows, (6,), better=min), tuple(notes), "ll")


def _rank_notes(ranks: Ranks, lengths: list) -> list[str]:
    notes = [f"Rank by mean test score, 1 is best, averaged over {', '.join(ranks.tasks) or 'no task'}."]
    if ranks.left_out:
        lacking = [f"{task} ({', '.join(row[0] for row in rows)})" for task, rows in ranks.left_out.items()]
        notes.append(f"Left out of the rank, because some rows lack them: {'; '.join(lacking)}.")
    if any(ranks.intervals.values()):
        notes.append("95 % interval of the average rank: bootstrap over test rows, the same for all rows.")
    measured = f" at {' or '.join(f'{length:g}' for length in lengths)} bases" if lengths else ""
    notes.append(f"Parameters and FLOPs: encoder + tokenizer; FLOPs are measured, of a forward pass{measured}.")
    return notes


# facts of cells


def _numbers(one: Summary, part: str, name: str) -> list[float]:
    """A fact of the first cell that has it: one number, or one for each level."""
    for cell in one.cells:
        value = (cell.get(part) or {}).get(name)
        if value is not None:
            values = value if isinstance(value, (list, tuple)) else [value]
            return [one for one in values if one is not None]
    return []


def _tokenizer_cells(one: Summary) -> tuple[Cell, Cell]:
    tokenizer = one.cells[0].get("tokenizer") or {}
    sizes = " × ".join(f"{size:,}" for size in _numbers(one, "tokenizer", "vocab_size"))
    return Cell(tokenizer.get("kind") or NOTHING), Cell(sizes or NOTHING)


def _sum(cells: list[dict], part: str, unit: float) -> str:
    """`85.0 + 14.4`: encoder and tokenizer; a tokenizer without any is not mentioned."""
    encoder, tokenizer = (_range(cells, part, name, unit) for name in ("encoder", "tokenizer"))
    return encoder if tokenizer == NOTHING else f"{encoder} + {tokenizer}"


def _range(cells: list[dict], part: str, name: str, unit: float) -> str:
    """A number that is not 0, or the least and the greatest where they print differently."""
    known = [value / unit for cell in cells if (value := (cell.get(part) or {}).get(name))]
    if not known:
        return NOTHING
    low, high = significant(min(known)), significant(max(known))
    return low if low == high else f"{low}–{high}"


def significant(value: float) -> str:
    """Three digits, or all digits before the point: 0.0903, 14.4, 2537."""
    if abs(value) >= 100 or not value:
        return f"{value:.0f}"
    return f"{Decimal(f'{value:.2e}'):f}"


def _bases(cells: list[dict]) -> str:
    known = sorted({cell["pretraining_bases"] for cell in cells if cell.get("pretraining_bases")})
    return " or ".join(map(_bases_text, known)) or NOTHING


def _bases_text(value: float) -> str:
    if value < 1e6:
        return f"{value:,.0f}"
    return f"{significant(value / 1e9)} B" if value >= 1e9 else f"{significant(value / 1e6)} M"
