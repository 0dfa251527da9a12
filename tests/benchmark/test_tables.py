"""Summaries against numpy, ranks and differences by their properties, and tables as Markdown, LaTeX and JSON."""

import json
import re

import numpy as np
import pytest

from vqdna_hf.benchmark.tables.ablations import ablation_table
from vqdna_hf.benchmark.tables.aggregate import Spread, average_ranks, mean_difference, summarize
from vqdna_hf.benchmark.tables.details import difference_tables
from vqdna_hf.benchmark.tables.latex import escape_latex, table_to_latex
from vqdna_hf.benchmark.tables.layout import Cell, Row, Table, mark_best
from vqdna_hf.benchmark.tables.models import significant
from vqdna_hf.benchmark.tables.scores import Scores, parts
from vqdna_hf.benchmark.tables.write import benchmark_tables, write_tables
from vqdna_hf.tasks.catalogue import get_task, list_tasks


KINDS = {"hrq": "learned vocabulary", "bpe": "hand-made vocabulary", "cnn": "control"}
CORE = tuple(task.name for task in list_tasks("CPD"))
TASKS = ("mouse/0", "virus/covid", *CORE)


def make_cell(model="hrq", task="mouse/0", mode=None, seed=1, score=0.5, noise=0.0, **changes) -> dict:
    """A cell whose replicates are its score plus what the resampled rows of the task do to every model."""
    catalogue = None if task.startswith(("own", "species")) else get_task(task)
    metric = catalogue.metric if catalogue else "mcc"
    common = np.random.default_rng(len(task)).normal(0, 0.02, 200)
    own = np.random.default_rng([seed, *model.encode()]).normal(0, noise, 200) if noise else 0.0
    scores = {"mcc": score, "f1": score, "accuracy": score}
    cell = {
        "format": 1,
        "task": task,
        "family": catalogue.family if catalogue else "own",
        "metric": metric,
        "problem_type": "single_label_classification",
        "model": model,
        "mode": mode or ("control" if model == "cnn" else "full"),
        "seed": seed,
        "kind": KINDS.get(model, "other"),
        "settings": {},
        "points": [
            {"settings": {"learning_rate": rate, "epochs": 3}, "dev": {metric: dev}}
            for rate, dev in ((0.001, 0.4), (0.0003, 0.6), (0.0001, 0.6))
        ],
        "dev": dict(scores),
        "test": dict(scores),
        "test_clean": {name: value - 0.01 for name, value in scores.items()},
        "clean_rows": 805,
        "counts": {"train": 1000, "dev": 200, "test": 810},
        "bootstrap": list(score + common + own),
        "tokenizer": {"kind": model, "vocab_size": [768, 1536], "usage": [0.5, 0.25], "tokens_per_base": 1.0},
        "parameters": {"encoder": 85_000_000, "trained": 85_000_000, "tokenizer": 14_400_000},
        "flops": {"encoder": 97e9, "tokenizer": 7.3e9, "length": 512},
        "pretraining_bases": 6_144_000,
    }
    return cell | changes


def make_cells(models=("hrq", "bpe", "cnn"), tasks=TASKS, seeds=(1, 2, 3)) -> list[dict]:
    random = np.random.default_rng(0)
    return [
        make_cell(model, task, seed=seed, score=float(random.uniform(0.4, 0.9)), noise=0.01)
        for model in models
        for task in tasks
        for seed in seeds
    ]


def rows_of(table: Table, *start: str) -> list[list[str]]:
    """The rows of a table whose first cells are these."""
    texts = [[cell.text for cell in row.cells] for row in table.rows]
    return [row for row in texts if row[: len(start)] == list(start)]


def find(tables: list[Table], title: str) -> Table:
    return next(table for table in tables if table.title.startswith(title))


# summaries


def test_summaries_are_numpys():
    random = np.random.default_rng(1)
    scores, replicates = random.random(5), random.random((5, 200))
    cells = [
        make_cell(seed=seed, score=float(score), bootstrap=list(map(float, own)))
        for seed, score, own in zip(range(5), scores, replicates)
    ]
    (one,) = summarize(reversed(cells))
    spread = one.spread()
    assert one.seeds == list(range(5))
    assert (spread.mean, spread.sd, spread.seeds) == pytest.approx((np.mean(scores), np.std(scores, ddof=1), 5))
    assert one.interval == pytest.approx(np.quantile(replicates.mean(axis=0), [0.025, 0.975]))
    assert one.spread("test_clean").mean == pytest.approx(np.mean(scores) - 0.01)


def test_one_seed_has_no_deviation_and_no_replicates_no_interval():
    (one,) = summarize([make_cell(bootstrap=[], test_clean=None)])
    assert one.spread().sd is None
    assert one.interval is None
    assert one.spread("test_clean") is None
    json.dumps(one.to_dict())


def test_tasks_come_in_the_order_of_the_catalogue_and_own_tasks_last():
    cells = [make_cell(task=task) for task in ("own/b", "virus/covid", "own/a", "mouse/0")]
    assert [one.task for one in summarize(cells)] == ["mouse/0", "virus/covid", "own/b", "own/a"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], "no cells"),
        ([{"task": "mouse/0"}], "Cell 0 .* has no family and no metric"),
        ([make_cell(format=2)], "mouse/0, hrq .full. has the format 2"),
        ([make_cell(kind="best")], "the kind 'best'"),
        ([make_cell(), make_cell()], "twice with seed 1"),
        ([make_cell(), make_cell(seed=2, bootstrap=[0.1])], "1 replicates with seed 2 and 200 with seed 1"),
        ([make_cell(), make_cell("bpe", metric="f1")], "scored by 'f1'.*'mcc'"),
        ([make_cell(), make_cell(seed=2, kind="other")], "two kinds"),
        ([make_cell(test={"f1": 0.5})], "no 'mcc' of test"),
        ([make_cell(score=float("nan"))], "not a finite number"),
    ],
)
def test_cells_that_do_not_go_together_are_errors(cells, message):
    with pytest.raises(ValueError, match=message):
        summarize(cells)


# differences


def test_the_difference_from_itself_is_zero():
    (one,) = summarize([make_cell(seed=seed, score=seed / 10, noise=0.05) for seed in (1, 2)])
    difference = mean_difference([(one, one)])
    assert (difference.mean, difference.low, difference.high) == (0, 0, 0)


def test_differences_are_antisymmetric_and_shed_what_models_share():
    first, second = summarize([make_cell("hrq", score=0.7), make_cell("bpe", score=0.6)])
    there, back = mean_difference([(first, second)]), mean_difference([(second, first)])
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))
    # the replicates differ by the score alone, whatever the rows do to both
    assert (there.low, there.high) == pytest.approx((0.1, 0.1))
    low, high = first.interval
    assert high - low > 0.05


def test_the_mean_difference_is_that_of_the_means():
    summaries = summarize(make_cells(("hrq", "bpe")))
    by_model = {name: [one for one in summaries if one.row[0] == name] for name in ("hrq", "bpe")}
    pairs = list(zip(by_model["hrq"], by_model["bpe"]))
    difference = mean_difference(pairs)
    assert difference.mean == pytest.approx(np.mean([mean_difference([pair]).mean for pair in pairs]))
    assert difference.low < difference.mean < difference.high


def test_only_scores_of_one_task_and_as_many_replicates_are_paired():
    cells = [make_cell(), make_cell(task="virus/covid"), make_cell("bpe", bootstrap=[0.1] * 100)]
    by_name = {(one.task, one.row[0]): one for one in summarize(cells)}
    ours = by_name["mouse/0", "hrq"]
    with pytest.raises(ValueError, match="two tasks"):
        mean_difference([(ours, by_name["virus/covid", "hrq"])])
    with pytest.raises(ValueError, match="200 replicates and bpe 100"):
        mean_difference([(ours, by_name["mouse/0", "bpe"])])


# ranks


def test_ties_share_the_mean_rank():
    cells = [make_cell(model, score=score) for model, score in (("a", 0.9), ("b", 0.7), ("c", 0.7), ("d", 0.1))]
    ranks = average_ranks(summarize(cells))
    assert {row[0]: rank for row, rank in ranks.average.items()} == {"a": 1, "b": 2.5, "c": 2.5, "d": 4}
    assert ranks.intervals["b", "full"] == (2.5, 2.5)


def test_a_mean_over_seeds_in_another_order_is_still_a_tie():
    values = [0.1, 0.2, 0.3]
    cells = [make_cell("a", seed=i, score=v) for i, v in enumerate(values)]
    cells += [make_cell("b", seed=i, score=v) for i, v in enumerate(reversed(values))]
    assert set(average_ranks(summarize(cells)).average.values()) == {1.5}


def test_ranks_of_a_task_add_up_whatever_the_scores():
    ranks = average_ranks(summarize(make_cells(("a", "b", "c", "d", "e"))))
    assert sum(ranks.average.values()) == pytest.approx(15)
    assert all(1 <= low <= high <= 5 for low, high in ranks.intervals.values())


def test_only_tasks_that_every_row_has_are_ranked():
    cells = [make_cell(model, task) for model in ("hrq", "bpe") for task in TASKS]
    cells = [cell for cell in cells if (cell["model"], cell["task"]) != ("bpe", "virus/covid")]
    ranks = average_ranks(summarize(cells))
    assert "virus/covid" not in ranks.tasks
    assert ranks.left_out == {"virus/covid": (("bpe", "full"),)}
    table = find(benchmark_tables(cells), "Average rank")
    assert any("virus/covid (bpe)" in note for note in table.notes)
    assert f"average rank of {len(TASKS) - 1} tasks" in table.columns


def test_no_task_in_common_is_no_rank():
    cells = [make_cell("hrq", "mouse/0"), make_cell("bpe", "virus/covid")]
    table = find(benchmark_tables(cells), "Average rank")
    assert rows_of(table, "hrq")[0][-2:] == ["–", "–"]


# tables


def test_scores_are_percent_with_their_spread_and_clean_rows_below():
    cells = [make_cell(seed=seed, score=score) for seed, score in ((1, 0.50), (2, 0.52), (3, 0.54))]
    table = find(benchmark_tables(cells), "Scores of all tasks")
    assert rows_of(table, "hrq", "all") == [["hrq", "all", "52.00 ± 2.00"]]
    assert rows_of(table, "hrq", "clean") == [["hrq", "clean", "51.00 ± 2.00"]]
    assert table.title == "Scores of all tasks: MCC"
    assert any("mouse/0 805 of 810" in note for note in table.notes)
    assert any(
        "mouse/0 1,000 / 200 / 810 train / dev / test rows of 6,478 / 810 / 810" in note for note in table.notes
    )


def test_an_incomplete_grid_is_shown_with_the_seeds_there_are():
    cells = [cell for cell in make_cells() if (cell["model"], cell["task"]) != ("bpe", "mouse/0")]
    cells = [cell for cell in cells if (cell["model"], cell["task"], cell["seed"]) != ("hrq", "mouse/0", 2)]
    tables = benchmark_tables(cells, reference="hrq")
    table = find(tables, "Scores of all other tasks")
    place = table.columns.index("mouse/0 (MCC)")
    assert rows_of(table, "bpe", "all")[0][place] == "–"
    assert rows_of(table, "hrq", "all")[0][place].endswith("(2)")
    assert not rows_of(table, "cnn", "all")[0][place].endswith(")")
    assert rows_of(table, "bpe", "all")[0][-1] == "–"  # no mean of other tasks than the others' mean
    assert rows_of(find(tables, "Differences"), "bpe")[0][1] == "–"


def test_a_whole_family_has_a_table_of_its_own_and_the_rest_shares_one():
    tables = benchmark_tables(make_cells())
    core, rest = find(tables, "Core promoter detection"), find(tables, "Scores of all other tasks")
    assert core.columns[2:] == ("prom_core_all", "prom_core_notata", "prom_core_tata", "mean of 3")
    several = "The mean is over scores by several metrics."
    assert (several in core.notes, several in rest.notes) == (False, True)
    assert rest.columns[2:] == ("mouse/0 (MCC)", "virus/covid (macro-F1)", "mean of 2")


def test_a_table_averages_what_it_shows():
    cells = make_cells()
    table = find(benchmark_tables(cells), "Core promoter detection")
    wanted = np.mean([c["test"]["mcc"] for c in cells if c["model"] == "cnn" and c["task"] in CORE])
    assert rows_of(table, "cnn", "all")[0][-1] == f"{100 * wanted:.2f}"


def test_wide_tables_come_in_parts_of_about_equal_size():
    cells = [make_cell(task=task.name) for task in list_tasks("EMP")]
    tables = [table for table in benchmark_tables(cells) if "(EMP)" in table.title]
    assert [table.title.split(" (EMP) ")[1] for table in tables] == ["(1 of 2): MCC", "(2 of 2): MCC"]
    assert [sum(name.startswith("EMP/") for name in table.columns) for table in tables] == [5, 5]
    assert "mean of 10" not in tables[0].columns
    assert "mean of 10" in tables[1].columns
    for length in range(1, 30):
        pieces, averaged, _ = zip(*parts(list(range(length)), 6))
        assert sum(pieces, []) == list(range(length))
        assert max(map(len, pieces)) <= 6
        assert sum(averaged, []) == (list(range(length)) if length > 1 else [])


def test_published_rows_stand_apart_and_are_neither_marked_nor_ranked():
    cells = make_cells(("hrq", "bpe", "cnn"))
    for table in benchmark_tables(cells):
        published = [row for row in table.rows if row.section == "published"]
        assert not any(cell.mark for row in published for cell in row.cells)
    core = find(benchmark_tables(cells), "Core promoter detection")
    assert rows_of(core, "VQDNA (HRQ)", "all")[0][2:] == ["71.02", "70.58", "78.50", "73.37"]
    assert tuple(core.sections) == ("learned vocabulary", "hand-made vocabulary", "control", "published")
    assert any("other budgets" in note for note in core.notes)


def test_published_scores_by_another_metric_are_not_shown():
    cells = [make_cell(metric="accuracy")]
    cells[0]["points"] = []
    assert "published" not in find(benchmark_tables(cells), "Scores of all tasks").sections


def test_seeds_of_several_settings_are_pointed_out_but_not_what_the_grid_varies():
    same = [make_cell(seed=seed, settings={"seed": seed, "learning_rate": seed, "epochs": 3}) for seed in (1, 2)]
    other = [make_cell(seed=seed, settings={"pooling": seed}) for seed in (1, 2)]
    assert not any("differ" in note for note in find(benchmark_tables(same), "Scores").notes)
    assert any("seeds differ in pooling" in note for note in find(benchmark_tables(other), "Scores").notes)


def test_what_prints_equal_is_marked_equal():
    rows = [Row((Cell(name), Cell(str(value), value)), rank="all") for name, value in zip("abcd", (2, 3.001, 3, 1))]
    assert [row.cells[1].mark for row in mark_best(rows, [1])] == ["second", "best", "best", ""]
    assert [row.cells[1].mark for row in mark_best(rows, [1], better=min)] == ["second", "", "", "best"]
    assert not any(row.cells[1].mark for row in mark_best(rows[1:3], [1]))


def test_species_are_in_the_order_of_length_and_by_accuracy():
    tasks = ("species/20k", "species/1k", "species/500")
    table = find(benchmark_tables([make_cell(task=task, score=0.5) for task in tasks]), "Species")
    assert table.columns == ("model", "500", "1k", "20k")
    assert rows_of(table, "VQDNA (HRQ)") == [["VQDNA (HRQ)", "–", "61.57", "88.05"]]
    assert rows_of(table, "hrq") == [["hrq", "50.00", "50.00", "50.00"]]


def test_efficiency_puts_the_probe_beside_fine_tuning():
    cells = [make_cell(task="virus/covid", score=0.6), make_cell(task="virus/covid", mode="linear", score=0.4)]
    cells += [make_cell("cnn", "virus/covid", score=0.5, tokenizer={"kind": "one-hot", "usage": [None]})]
    table = find(benchmark_tables(cells), "Tokenization efficiency on virus/covid: macro-F1")
    assert rows_of(table, "hrq") == [["hrq", "hrq", "768 × 1,536", "50.0 / 25.0", "1.000", "40.00", "60.00"]]
    assert rows_of(table, "cnn") == [["cnn", "one-hot", "–", "–", "–", "–", "50.00"]]
    assert rows_of(table, "HyenaDNA") == [["HyenaDNA", "one-hot", "–", "100", "–", "5.47", "54.10"]]


def test_ranks_stand_beside_size_and_compute_for_each_mode():
    cells = [make_cell(mode=mode) for mode in ("full", "lora")]
    cells.append(make_cell("cnn", score=0.8, parameters={"trained": 90_300}, flops=None, pretraining_bases=None))
    tables = [table for table in benchmark_tables(cells) if table.title.startswith("Average rank")]
    assert [table.title[-6:] for table in tables] == ["(full)", "(lora)"]
    for table in tables:
        facts = ["hrq", "hrq", "85.0 + 14.4", "85.0", "97.0 + 7.30", "6.14 M", "2.00", "[2.00, 2.00]"]
        assert rows_of(table, "hrq") == [facts]
        assert rows_of(table, "cnn") == [["cnn", "cnn", "–", "0.0903", "–", "–", "1.00", "[1.00, 1.00]"]]
    assert rows_of(tables[0], "VQDNA (HRQ)")[0][4] == "1.1 + 0.6 (relative)"
    assert "published" not in tables[1].sections


def test_numbers_have_three_digits_and_no_exponent():
    values = (0.000065, 0.0903, 7.3, 14.4, 99.96, 2537, 0)
    assert [significant(value) for value in values] == ["0.0000650", "0.0903", "7.30", "14.4", "100", "2537", "0"]


def test_differences_are_within_a_mode_and_of_controls_in_each():
    cells = [make_cell(mode=mode, score=0.5) for mode in ("full", "lora")]
    cells += [make_cell("bpe", mode="full", score=0.6), make_cell("cnn", score=0.3)]
    scores = Scores(summarize(cells))
    full, lora = difference_tables(scores, "hrq")
    assert [row.cells[0].text for row in full.rows] == ["bpe", "cnn"]
    assert [row.cells[0].text for row in lora.rows] == ["cnn"]
    assert rows_of(full, "bpe")[0][2] == "+10.00* [+10.00, +10.00]"
    assert rows_of(full, "cnn")[0][2] == "−20.00* [−20.00, −20.00]"
    assert [table.title for table in difference_tables(scores, "hrq/lora")] == [lora.title]
    (control,) = difference_tables(scores, "cnn")
    assert len(control.rows) == 3
    with pytest.raises(ValueError, match="reference 'vq'; there are hrq/full, hrq/lora"):
        difference_tables(scores, "vq")


def test_selection_shows_dev_and_the_first_best_point():
    cells = [make_cell(seed=1), make_cell(seed=2, chosen={"learning_rate": 0.0003, "epochs": 3, "strength": 10})]
    cells.append(make_cell("bpe", points=[]))
    table = find(benchmark_tables(cells), "Selection")
    chosen = "learning_rate 0.0003 × 1; learning_rate 0.0003, strength 10 × 1"
    assert rows_of(table, "hrq") == [["hrq", "full", "2", "50.00 ± 0.00", "3", chosen]]
    assert rows_of(table, "bpe")[0][-2:] == ["–", "–"]


# renderings


def assert_latex_is_well_formed(text: str):
    bare = re.sub(r"\\[{}&%$#_\\]", "", text)
    depth = 0
    for letter in bare:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    opened = re.findall(r"\\begin\{(\w+)\}", text)
    assert sorted(opened) == sorted(re.findall(r"\\end\{(\w+)\}", text))
    assert text.isascii()
    for body, align in [
        (m[2], m[1]) for m in re.finditer(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end", text, re.DOTALL)
    ]:
        lines = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(lines) > 1
        for line in lines:
            span = re.match(r"\\multicolumn\{(\d+)\}", line)
            assert int(span[1]) == len(align) if span else len(re.findall(r"(?<!\\)&", line)) == len(align) - 1


def test_files_are_written_and_say_the_same(tmp_path):
    cells = make_cells()
    markdown = write_tables(cells, tmp_path / "out", reference="hrq")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["tables.json", "tables.md", "tables.tex"]
    assert (tmp_path / "out" / "tables.md").read_text(encoding="utf-8") == markdown
    assert_latex_is_well_formed((tmp_path / "out" / "tables.tex").read_text(encoding="utf-8"))
    content = json.loads((tmp_path / "out" / "tables.json").read_text(encoding="utf-8"))
    tables = benchmark_tables(cells, reference="hrq")
    assert [table["title"] for table in content["tables"]] == [table.title for table in tables]
    assert len(content["scores"]) == 3 * len(TASKS)
    first = content["scores"][0]
    wanted = [c["test"][c["metric"]] for c in cells if (c["task"], c["model"]) == (first["task"], first["model"])]
    assert (first["test"]["mean"], first["test"]["sd"]) == pytest.approx((np.mean(wanted), np.std(wanted, ddof=1)))


def test_writing_again_replaces_the_files(tmp_path):
    write_tables(make_cells(), tmp_path)
    markdown = write_tables([make_cell()], tmp_path)
    assert (tmp_path / "tables.md").read_text(encoding="utf-8") == markdown
    assert len(list(tmp_path.iterdir())) == 3


def test_markdown_columns_are_aligned():
    for table in benchmark_tables(make_cells(), reference="cnn"):
        lines = [line for line in table.to_markdown().splitlines() if line.startswith("|")]
        assert len({len(line) for line in lines}) == 1, table.title
        assert {line.count(" | ") for line in lines} == {len(table.columns) - 1}


def test_the_best_is_bold_and_the_second_underlined_in_latex():
    rows = [Row((Cell(name), Cell(f"{value}", value)), rank="all") for name, value in zip("abc", (1, 3, 2))]
    table = Table("T", ("model", "score"), mark_best(rows, [1]))
    latex, markdown = table_to_latex(table), table.to_markdown()
    assert r"{}b & \textbf{3} \\" in latex
    assert r"{}c & \underline{2} \\" in latex
    assert r"{}a & 1 \\" in latex
    assert "**3**" in markdown and "*2*" in markdown


def test_reserved_letters_are_escaped():
    assert escape_latex("50 % of a_b & {c} ± 1\n\\x") == r"50 \% of a\_b \& \{c\} $\pm$ 1 \textbackslash{}x"
    name = "a_b|c & 100%~{x}^$#\\"
    latex = table_to_latex(Table(name, ("m_1", "95 %"), (Row((Cell(name), Cell("[1]"))),), (name,)))
    assert_latex_is_well_formed(latex)
    markdown = Table("T", ("a|b", "c"), (Row((Cell("x|y\nz"), Cell())),)).to_markdown()
    assert r"a\|b" in markdown and r"x\|y z" in markdown


def test_a_row_of_another_length_is_an_error():
    with pytest.raises(ValueError, match="a row has 1 entries for 2 columns"):
        Table("T", ("a", "b"), (Row((Cell("x"),)),))


# ablations


def make_ablation(sizes, **changes) -> dict:
    row = {
        "name": f"hrq-{sum(sizes)}",
        "varied": {"codebook_sizes": sizes},
        "quantizer": "hrq",
        "reconstruction": 0.995,
        "usage": [0.5, 0.25],
        "perplexity": [60.0, 80.5],
        "bits_per_base": 1.9,
        "linear_probe": Spread(0.5, 0.01, 3),
        "neighbours_accuracy": [0.4, 0.3],
        "neighbours_base_accuracy": 0.9,
        "seconds": 12.3,
    }
    return row | changes


def test_ablations_have_the_published_figures_below():
    rows = [make_ablation([43, 85]), make_ablation([171, 341], linear_probe=Spread(0.6, None, 1))]
    table = ablation_table(rows)
    ours = rows_of(table, "hrq-128", "hrq", "43 + 85")[0]
    assert ours[3:] == [
        "99.50",
        "50.0 / 25.0",
        "60.0 / 80.5",
        "1.90",
        "50.00 ± 1.00 (3)",
        "40.0 / 30.0",
        "90.00",
        "12",
    ]
    assert rows_of(table, "VQDNA (HRQ)", "hrq", "512 in all")[0][3:8] == ["99.6", "–", "–", "–", "48.9"]
    assert len([row for row in table.rows if row.section == "published"]) == 8
    assert [row.cells[7].mark for row in table.rows][:3] == ["second", "best", ""]
    assert_latex_is_well_formed(table_to_latex(table))


def test_ablations_of_what_the_paper_did_not_vary_stand_alone():
    row = {"name": "mask 0.25", "varied": {"mask_ratio": 0.25}, "scores": {"EMP/H3": Spread(0.7, 0.1, 3)}}
    assert list(ablation_table([row]).sections) == [""]
    table = ablation_table([row], published=9)
    assert table.columns[-4:] == ("base (%)", "EMP/H3", "virus/covid", "time (s)")
    assert rows_of(table, "mask 0.25")[0][-3:] == ["70.00 ± 10.00 (3)", "–", "–"]
    assert rows_of(table, "VQDNA (HRQ)", "hrq", "0.25")[0][-3:-1] == ["79.2", "74.3"]


def test_ablations_alone_can_be_written(tmp_path):
    markdown = write_tables([], tmp_path, ablations=[ablation_table([make_ablation([43, 85])], "Codebook sizes")])
    assert "### Codebook sizes" in markdown
