"""Tables of a card that come from benchmarks."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from vqdna_hf.cards.card import render_model_card
from vqdna_hf.cards.render import main as render_main
from vqdna_hf.cards.render import render_card
from vqdna_hf.tasks.published import published_scores


def score(
    model: str, task: str, mean: float, mode: str = "full", metric: str = "mcc", sd: float | None = 0.01
) -> dict:
    spread = {"mean": mean, "sd": sd, "seeds": 1 if sd is None else 3}
    seeds = [1] if sd is None else [1, 2, 3]
    values = {"task": task, "model": model, "mode": mode, "kind": "other", "metric": metric, "seeds": seeds}
    return values | {"dev": spread, "test": spread, "test_clean": spread, "clean_rows": 1200, "interval": [0.4, 0.6]}


SCORES = [
    score("ours", "mouse/3", 0.8),
    score("ours", "tf/0", 0.6),
    score("ours", "eep/spcas9", 0.9, metric="spearman"),
    score("cnn", "mouse/3", 0.7, "control"),
    score("cnn", "tf/0", 0.65, "control"),
    score("cnn", "eep/spcas9", 0.7, "control", "spearman", sd=None),
    score("slow", "mouse/3", 0.5, "lora"),
]
NOTE = {
    "file": "benchmarks/gue.json",
    "title": "On GUE",
    "model": "ours",
    "text": "All rows.",
    "published": ["VQDNA (HRQ)"],
}


@pytest.fixture
def facts(encoder) -> Path:
    """The facts of an encoder, with a benchmark."""
    (encoder / "benchmarks").mkdir()
    (encoder / "benchmarks" / "gue.json").write_text(json.dumps({"format": 1, "scores": SCORES}))
    (encoder / "card.json").write_text(json.dumps({"benchmarks": [NOTE]}))
    return encoder


def table_of(card) -> list[list[str]]:
    lines = card.text.split("### On GUE")[1].split("\n## ")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def test_scores_stand_beside_controls_and_published_figures(facts):
    card = render_model_card(facts)
    header, line, *rows = table_of(card)
    assert header[:4] == ["task", "this model", "95 % interval", "clean rows"]
    assert header[4:] == ["cnn", "slow, lora", "VQDNA (HRQ), published"] and len(line) == len(header)
    (published,) = (one.value for one in published_scores("VQDNA (HRQ)", "mouse/3"))
    theirs = f"{published:.1f}"
    assert rows[0] == [
        *("mouse/3 (MCC)", "**80.0 ± 1.0**", "40.0 to 60.0", "80.0 ± 1.0 (1,200)"),
        *("70.0 ± 1.0", "50.0 ± 1.0", theirs),
    ]
    assert rows[2][:1] == ["eep/spcas9 (Spearman correlation)"] and rows[2][4] == "70.0"  # of one seed
    assert "All rows." in card.text and "**Selection was on dev**" in card.text


def test_means_are_over_tasks_of_one_metric_and_ranks_over_all(facts):
    rows = {row[0]: row for row in table_of(render_model_card(facts))}
    mean = rows["mean of 2 (MCC)"]
    assert mean[1] == "**70.00**" and mean[4] == "67.50" and mean[5] == "-"  # what lacks a task has no mean
    ours = [one.value for task in ("mouse/3", "tf/0") for one in published_scores("VQDNA (HRQ)", task)]
    assert mean[6] == f"{sum(ours) / 2:.2f}"
    assert "average rank" not in rows  # one model lacks a task
    whole = [one for one in SCORES if one["model"] != "slow"]
    (facts / "benchmarks" / "gue.json").write_text(json.dumps({"scores": whole}))
    rank = {row[0]: row for row in table_of(render_model_card(facts))}["average rank"]
    assert (rank[1], rank[4]) == ("**1.33**", "1.67")


def test_benchmark_scores_are_in_the_metadata(facts):
    entries = ModelCard(str(render_model_card(facts))).data.eval_results
    assert [(one.dataset_config, one.metric_type, one.metric_value) for one in entries] == [
        ("mouse/3", "matthews_correlation", 0.8),
        ("tf/0", "matthews_correlation", 0.6),
        ("eep/spcas9", "spearmanr", 0.9),
    ]
    assert entries[0].metric_args == {"mode": "full", "seeds": [1, 2, 3], "standard_deviation": 0.01}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "benchmarks/other.json"}, "no file .*other.json"),
        ({"model": "theirs"}, "scores of theirs in one mode, but of ours, cnn, slow"),
        ({"published": ["VQDNA (XRQ)"]}, r"no VQDNA \(XRQ\); it has .*VQDNA \(HRQ\)"),
        ({"note": "all"}, "benchmarks: note: an entry has file, title, model, text, published"),
    ],
)
def test_notes_that_fit_no_benchmark_are_refused(facts, change, message):
    (facts / "card.json").write_text(json.dumps({"benchmarks": [NOTE | change]}))
    with pytest.raises(ValueError, match=message):
        render_model_card(facts)


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ([{name: value for name, value in NOTE.items() if name != "file"}], r"has no benchmarks\[0\].file"),
        (NOTE, "benchmarks is .* but a list is needed"),
        ([NOTE | {"file": 5}], r"benchmarks\[0\].file is 5, but text is needed"),
    ],
)
def test_notes_of_another_form_are_refused(facts, notes, message):
    (facts / "card.json").write_text(json.dumps({"benchmarks": notes}))
    with pytest.raises(ValueError, match=message):
        render_model_card(facts)


def test_a_model_in_two_modes_is_refused(facts):
    (facts / "benchmarks" / "gue.json").write_text(
        json.dumps({"scores": [*SCORES, score("ours", "tf/0", 0.1, "lora")]})
    )
    with pytest.raises(ValueError, match="in one mode, in the modes full, lora"):
        render_model_card(facts)


def test_what_the_codes_are_is_shown_with_figures(facts):
    codebook = {"text": "Words of five bases.", "figures": [{"file": "figures/one/words.png", "caption": "bits"}]}
    (facts / "card.json").write_text(json.dumps({"codebook": codebook}))
    text = render_model_card(facts).text
    assert "### What the codes are\n\nWords of five bases.\n\n![bits](figures/one/words.png)" in text
    for wrong in (None, {"text": "Words."}, {"text": "Words.", "figures": None}, {"text": "Words.", "figures": [1]}):
        (facts / "card.json").write_text(json.dumps({"codebook": wrong}))
        with pytest.raises(ValueError, match="card.json.*codebook.*needed|has no codebook.figures"):
            render_model_card(facts)


def test_benchmarks_and_figures_are_added_by_the_command(facts, tmp_path, capsys):
    folder, run = tmp_path / "cards", tmp_path / "gue"
    for path, content in (
        (run / "tables.json", {"format": 1, "scores": SCORES, "tables": [{"long": "table"}]}),
        (folder / "sources" / "one" / "card.json", {"benchmarks": [NOTE]}),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    (tmp_path / "words.png").write_bytes(b"png")
    command = [
        str(folder),
        "--add",
        "one",
        str(facts),
        "--benchmarks",
        str(run),
        "--figures",
        str(tmp_path / "words.png"),
    ]
    assert render_main(command) == 0
    assert (folder / "one.md").read_text() == render_card(folder / "sources" / "one")
    kept = json.loads((folder / "sources" / "one" / "benchmarks" / "gue.json").read_text())
    assert kept == {"format": 1, "scores": SCORES}
    assert (folder / "figures" / "one" / "words.png").read_bytes() == b"png"
    with pytest.raises(ValueError, match="holds no tables.json"):
        render_main([str(folder), "--add", "one", str(facts), "--benchmarks", str(tmp_path)])
    (tmp_path / "again" / "gue").mkdir(parents=True)
    (tmp_path / "again" / "gue" / "tables.json").write_text((run / "tables.json").read_text())
    (tmp_path / "again" / "words.png").write_bytes(b"other")
    for option, *paths in (
        ("benchmarks", run, tmp_path / "again" / "gue"),
        ("figures", tmp_path / "words.png", tmp_path / "again" / "words.png"),
    ):
        with pytest.raises(ValueError, match=f"Two {option} are called"):
            render_main([str(folder), "--add", "one", str(facts), f"--{option}", *map(str, paths)])
        with pytest.raises(SystemExit):  # nothing would be copied
            render_main([str(folder), f"--{option}", *map(str, paths)])
        assert "go with --add" in capsys.readouterr().err
    assert json.loads((folder / "sources" / "one" / "benchmarks" / "gue.json").read_text()) == kept


def test_wrong_results_are_found_before_anything_is_removed(facts, tmp_path):
    folder, result = tmp_path / "cards", {"task": "tf/0", "mode": "full", "seed": 1}
    (folder / "sources").mkdir(parents=True)
    shutil.copytree(facts, folder / "sources" / "one")
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    for name, content in (("a.json", result), ("b.json", result), ("c.json", {"task": "tf/0"}), ("d.json", [])):
        (tmp_path / name).write_text(json.dumps(content))
    for names, message in (
        (["a.json", "b.json"], "Two results are called results-tf-0-full-1.json"),
        (["c.json"], "has no task, mode and seed"),
        (["d.json"], "has no task, mode and seed"),
        (["absent.json"], "There is no result file .*absent.json"),
    ):
        with pytest.raises(ValueError, match=message):
            render_main(
                [str(folder), "--add", "one", str(facts), "--results", *(str(tmp_path / one) for one in names)]
            )
        assert {path: path.read_bytes() for path in folder.rglob("*.json")} == before


def test_facts_are_added_to_from_where_they_are(facts, tmp_path):
    folder, run = tmp_path / "cards", tmp_path / "gue"
    (folder / "sources").mkdir(parents=True)
    shutil.copytree(facts, folder / "sources" / "one")
    run.mkdir()
    (run / "tables.json").write_text(json.dumps({"format": 1, "scores": SCORES}))
    assert render_main([str(folder), "--add", "one", str(folder / "sources" / "one"), "--benchmarks", str(run)]) == 0
    for path in facts.glob("*.json"):
        assert json.loads((folder / "sources" / "one" / path.name).read_text()) == json.loads(path.read_text())
