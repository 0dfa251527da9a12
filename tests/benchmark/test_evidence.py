"""What pages and cards say of the documented benchmarks is what their Parquet files say."""

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vqdna_hf.benchmark.run.ablations import ablation_tables
from vqdna_hf.benchmark.run.archive import archive_path
from vqdna_hf.benchmark.run.cells import find_cells, list_cells
from vqdna_hf.benchmark.spec.specification import read_specification
from vqdna_hf.benchmark.tables.aggregate import Summary, average_ranks, mean_difference, summarize
from vqdna_hf.benchmark.tables.write import benchmark_tables, tables_to_markdown


ROOT = Path(__file__).resolve().parents[2]
DOCS, SOURCES = ROOT / "docs", ROOT / "model_cards" / "sources"
# benchmark file -> where its cells are
PLACES = {
    "evidence": DOCS / "evidence",
    "ablations": DOCS / "evidence" / "ablations",
    "checkpoint": DOCS / "scores" / "fine-tuned",
    "lora": DOCS / "scores" / "lora",
}
# how the page on scores names models and tasks
VOCABULARIES = ("hrq", "3-mer", "one-hot", "bpe-4096", "6-mer")
CONTROLLED = ("vqdna-hrq-small", "cnn", "k-mers")

pytestmark = pytest.mark.skipif(
    not archive_path(PLACES["lora"] / "cells").is_file(), reason="what was measured does not come with the sdist"
)


@pytest.fixture(autouse=True)
def anywhere(monkeypatch):
    monkeypatch.setenv("VQDNA_DATA", "anywhere")


@cache
def read(name: str):
    """A benchmark: its file and its cells."""
    specification = read_specification(ROOT / "benchmarks" / f"{name}.yaml", to_run=False)
    return specification, find_cells(PLACES[name], list_cells(specification))


@cache
def summaries(name: str) -> dict[tuple[str, str], Summary]:
    """What was fine-tuned and the controls, by task, without its folder, and model."""
    found = [one for one in summarize(read(name)[1]) if one.row[1] != "linear"]
    return {(one.task.removeprefix("prom/"), one.row[0]): one for one in found}


def average_rank(name: str) -> dict[str, str]:
    ranks = average_ranks(list(summaries(name).values()))
    return {
        row[0]: "{:.2f} [{:.2f}, {:.2f}]".format(mean, *ranks.intervals[row]) for row, mean in ranks.average.items()
    }


def mean_of(name: str, model: str) -> str:
    """The mean test MCC over tasks, x 100."""
    found = [one for one in summaries(name).values() if one.row[0] == model and one.metric == "mcc"]
    return f"{100 * np.mean([one.spread().mean for one in found]):.1f}"


def percent(summary: Summary) -> str:
    spread = summary.spread()
    return f"{100 * spread.mean:.1f}" + ("" if spread.sd is None else f" ± {100 * spread.sd:.1f}")


def rows(page: Path, heading: str = "") -> dict[str, list[str]]:
    """The rows of the tables below a heading, by their first field, without markup."""
    text = page.read_text(encoding="utf-8")
    section = text[text.index(heading) :].partition("\n## ")[0].replace("**", "")
    lines = (line.strip("| ").split(" |") for line in section.splitlines() if line.startswith("| "))
    return {first: [field.strip() for field in fields] for first, *fields in lines}


@pytest.mark.parametrize("name", PLACES)
def test_tables_are_made_of_the_cells(name):
    specification, cells = read(name)
    tables = benchmark_tables(cells, reference=specification.reference) if cells else []
    tables += ablation_tables(specification, cells, PLACES[name])
    wanted = (PLACES[name] / "tables.md").read_text(encoding="utf-8")
    assert tables_to_markdown(tables, specification.title) == wanted


@pytest.mark.parametrize(
    ("name", "heading", "models"),
    [("checkpoint", "## Fine-tuned, on all rows", CONTROLLED), ("lora", "## Frozen codes", VOCABULARIES)],
)
def test_the_page_on_scores_says_what_was_measured(name, heading, models):
    table, count = rows(DOCS / "scores" / "README.md", heading), len(models)
    for task in dict.fromkeys(task for task, _ in summaries(name)):
        row = next(fields for first, fields in table.items() if first.split(",")[0] == task)
        assert row[:count] == [percent(summaries(name)[task, model]) for model in models], task
    means = next(fields for first, fields in table.items() if first.startswith("mean"))
    assert means[:count] == [mean_of(name, model) for model in models]
    ranks = table.get("average rank, 95 % interval")
    assert ranks is None or ranks == [average_rank(name)[model] for model in models]


def test_the_page_on_evidence_says_what_was_measured():
    table, found, ranks = rows(DOCS / "evidence" / "README.md"), summaries("evidence"), average_rank("evidence")
    tasks = dict.fromkeys(task for task, _ in found)
    names = {"`vq`, 384 codes": "vq", "`rq`, 128 + 256 codes": "rq", "`hrq`, 128 + 256 codes": "hrq"}
    names |= {"one-hot CNN": "cnn", "one-hot CNN, both strands (0.1 M)": "cnn-both-strands"}
    names |= {"4- to 6-mer regression": "k-mers", "3-mers, overlapping": "3-mer", "6-mers, side by side": "6-mer"}
    names |= {"BPE, 4,096 tokens": "bpe-4096", "one-hot": "one-hot"}
    names |= {"`hrq`, encoder not pre-trained (one seed)": "hrq-random"}
    for words, model in names.items():
        above = mean_difference([(found[task, model], found[task, "one-hot"]) for task in tasks])
        shown = f"{100 * above.mean:+.1f} [{100 * above.low:.1f}, {100 * above.high:.1f}]"
        assert table[words] == [ranks[model], "0" if model == "one-hot" else shown], model
    assert len(names) == len(ranks)


@pytest.mark.parametrize(
    ("heading", "name", "models", "tasks"),
    [
        (
            "## Where do such codes help?",
            "encoders",
            ["one-hot", "vq", "one-hot-conv", "vq-conv", "vq-conv-random", "cnn-both-strands"],
            ["prom/prom_core_tata", "mouse/3"],
        ),
        (
            "## Does pre-training pay?",
            "few-labels",
            [("random", "full"), ("pre", "full"), ("random", "lora"), ("pre", "lora")],
            ["prom/prom_core_notata", "mouse/3", "prom/prom_core_tata", "mean"],
        ),
        (
            "## How is it best fine-tuned?",
            "finetuning",
            ["bins", "mean+max", "max", "mean", "other-strands", "end-to-end"],
            ["prom/prom_core_tata", "mouse/3", "tf/3"],
        ),
    ],
)
def test_the_page_on_the_recipe_says_what_was_measured(heading, name, models, tasks):
    cells = pd.read_parquet(archive_path(DOCS / "recipe" / name / "cells"))
    index = "model" if isinstance(models[0], str) else ["model", "mode"]
    dev = 100 * cells.pivot(index=index, columns="task", values="dev.mcc")
    dev["mean"] = dev.mean(axis=1)
    page = (DOCS / "recipe" / "README.md").read_text(encoding="utf-8")
    lines = [line for line in page[page.index(heading) :].split("\n## ")[0].splitlines() if line.startswith("| ")]
    shown = [found for line in lines if (found := re.findall(r"(?<=\| )\d+\.\d", line.replace("**", "")))]
    assert shown == [[f"{dev.loc[model, task]:.1f}" for task in tasks] for model in models]


def test_the_readme_and_the_card_say_what_was_measured():
    ranks = [average_rank("lora")[model].split()[0] for model in VOCABULARIES]
    words = [f"{name} ({rank})" for name, rank in zip(("overlapping\n3-mers", "one-hot", "BPE"), ranks[1:])]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"of five: {ranks[0]}, before {', '.join(words)} and 6-mers ({ranks[4]})" in readme
    means = rows(ROOT / "README.md", "## The checkpoint")
    assert means["mean of nine sets"][:3] == [mean_of("checkpoint", model) for model in CONTROLLED]

    card = json.loads((SOURCES / "vqdna-hrq-small" / "card.json").read_text())["benchmarks"][0]["text"]
    low, high = re.findall(r"[\d.]+", average_rank("lora")["hrq"])[1:]
    assert f"average rank, {ranks[0]} (95 % interval over test rows {low} to {high}), before overlapping" in card
    assert f"3-mers {ranks[1]}, one-hot {ranks[2]}, BPE {ranks[3]} and 6-mers {ranks[4]}, and" in card
    means = [mean_of("lora", model) for model in VOCABULARIES]
    assert f"best mean test MCC ({', '.join(means[:4])} and {means[4]})" in card


def test_the_page_on_three_tasks_says_what_the_card_of_the_run_does():
    table, shown = rows(DOCS / "evidence" / "three-tasks.md"), []
    for task in ("prom-prom_core_tata", "mouse-0", "mouse-3"):
        paths = (SOURCES / "vqdna-hrq-small-trial" / "results").glob(f"results-{task}-full-?.json")
        scores = [100 * json.loads(path.read_text())["test"]["mcc"] for path in paths]
        shown.append(f"{np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f}")
    assert table["VQDNA `hrq`, frozen vocabulary, 0.33 M encoder"] == shown


def test_the_scores_of_the_card_are_those_of_its_cells():
    kept = json.loads((SOURCES / "vqdna-hrq-small" / "benchmarks" / "fine-tuned.json").read_text())
    assert kept["scores"] == [one.to_dict() for one in summarize(read("checkpoint")[1])]
