"""Cards from facts that are written down here: seeds, what is refused, and that the cards of the project are fresh."""

import json
import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, ModelCardData

from vqdna_hf import checkpoint
from vqdna_hf.cards.card import render_model_card, write_model_card
from vqdna_hf.cards.render import copy_facts, render_cards, stale_cards
from vqdna_hf.cards.render import main as render_main
from vqdna_hf.cards.scores import join_results
from vqdna_hf.checkpoints.lineage import encoder_record, vocabulary_record, without_paths
from vqdna_hf.cli import main


ROOT = Path(__file__).resolve().parents[2]
CARDS = ROOT / "model_cards"


def result(seed: int = 1, mcc: float = 0.5, **changes) -> dict:
    scores = {"dev": {"mcc": mcc + 0.1, "accuracy": 0.9}, "test": {"mcc": mcc, "accuracy": 0.75}}
    values = {"task": "mouse/3", "mode": "full", "seed": seed, "metric": "mcc", "fingerprint": "f" * 32, **scores}
    return values | {"arguments": {"seed": seed, "epochs": 3.0, "data": f"/home/{seed}/mouse/3"}} | changes


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


# scores


def test_seeds_become_a_mean_and_a_standard_deviation(encoder, tmp_path):
    files = [write(tmp_path / f"seed{seed}.json", result(seed, mcc)) for seed, mcc in ((1, 0.5), (2, 0.6), (3, 0.7))]
    card = render_model_card(encoder, [str(path) for path in files])
    (mcc, accuracy) = ModelCard(str(card)).data.eval_results
    assert (mcc.metric_type, mcc.metric_value) == ("matthews_correlation", 0.6)
    assert mcc.metric_args == {"mode": "full", "seeds": [1, 2, 3], "standard_deviation": 0.1}
    assert (accuracy.metric_type, accuracy.metric_value) == ("accuracy", 0.75)
    assert (mcc.dataset_type, mcc.dataset_name, mcc.dataset_config) == ("gue", "GUE mouse/3", "mouse/3")
    assert "| GUE mouse/3 | encoder and head | MCC | 0.700 ± 0.100 | 0.600 ± 0.100 | 3 |" in card.text
    assert "**Selection was on dev**" in card.text


def test_tasks_and_modes_have_rows_of_their_own():
    rows = join_results([result(), result(mode="linear"), result(task="mine"), result()])
    assert [(row.task, row.mode, row.seeds) for row in rows] == [
        ("mine", "full", [1]),
        ("mouse/3", "full", [1]),
        ("mouse/3", "linear", [1]),
    ]


@pytest.mark.parametrize(
    "second, message",
    [
        (result(2, arguments={"epochs": 6.0}), "epochs: 3.0 and 6.0"),
        (result(2, metric="accuracy"), "metric: 'mcc' and 'accuracy'"),
        (result(1, 0.6), "seed 1 and different scores"),
    ],
)
def test_results_that_do_not_belong_together_are_refused(second, message):
    with pytest.raises(ValueError, match=message):
        join_results([result(), second])


@pytest.mark.parametrize(
    "content, message",
    [
        (result(fingerprint="a" * 32), "of the vocabulary a{32}, but .* has f{32}"),
        (result(mode="end-to-end", encoder={"fingerprint": "a" * 32}), "of the vocabulary a{32}"),
        ({"task": "mouse/3"}, "has no mode, seed, metric, dev, test"),
        ([], "holds no JSON object: it is a list"),
    ],
)
def test_results_of_another_vocabulary_are_refused(encoder, tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        render_model_card(encoder, [str(write(tmp_path / "results.json", content))])


def test_an_end_to_end_result_belongs_to_the_encoder_it_began_with(encoder, tmp_path):
    content = result(mode="end-to-end", fingerprint="a" * 32, encoder={"fingerprint": "f" * 32})
    card = render_model_card(encoder, [str(write(tmp_path / "other" / "results.json", content).parent)])
    assert "vocabulary's network | MCC" in card.text


# directories


@pytest.mark.parametrize("content", [{}, {"model_type": "bert"}])
def test_a_directory_without_a_vqdna_model_is_refused(tmp_path, capsys, content):
    write(tmp_path / "config.json", content)
    assert main(["card", str(tmp_path)]) == 2
    assert "holds nothing that a card can be written for" in capsys.readouterr().err
    assert main(["card", str(tmp_path / "missing")]) == 2
    assert not (tmp_path / "README.md").exists()


def test_what_the_author_adds(encoder):
    notes = {"published": False, "made_with": "make it", "training_data": "Yeast.", "datasets": ["someone/yeast"]}
    write(encoder / "card.json", notes | {"limitations": ["It is slow."]})
    card = render_model_card(encoder)
    assert "**The weights are not published.** This card documents a run that `make it` makes" in card.text
    assert "## About the data\n\nYeast." in card.text and "\n* It is slow.\n" in card.text
    assert ModelCard(str(card)).data.datasets == ["someone/yeast"]
    write(encoder / "card.json", {"made_with": "make it", "compute": "An hour of one core."})
    text = render_model_card(encoder).text
    assert "Made with `make it`." in text and "not published" not in text
    assert "## Compute\n\nAn hour of one core." in text
    write(encoder / "card.json", {"licence": "mine"})
    with pytest.raises(ValueError, match="has licence, but a card knows only repo_id"):
        render_model_card(encoder)


def test_paths_become_base_names_and_task_names_stay():
    given = {"task": "mouse/3", "data": "GUE/mouse/3/", "fasta": ["/a/b.fa", "c.fa"], "at": "C:\\me\\x", "to": "~/y"}
    assert without_paths({"in": given}) == {
        "in": {"task": "mouse/3", "data": "3", "fasta": ["b.fa", "c.fa"], "at": "x", "to": "y"}
    }


def test_records_of_another_vocabulary_are_no_lineage(tmp_path):
    write(
        tmp_path / "training.json", {"fingerprint": "a", "corpus": {}, "vocabulary": {"fingerprint": "a", "eval": 1}}
    )
    assert encoder_record(tmp_path, "b") is None and vocabulary_record(tmp_path, "b") is None
    assert encoder_record(tmp_path, "a")["corpus"] == {} and vocabulary_record(tmp_path, "a")["eval"] == 1
    write(tmp_path / "training.json", {"fingerprint": "a"})
    assert vocabulary_record(tmp_path, "a") == {"fingerprint": "a"} and encoder_record(tmp_path, "a") is None
    assert vocabulary_record(tmp_path / "missing", "a") is None


def test_the_citation_is_the_paper_s(encoder):
    text, citation = render_model_card(encoder).text, (ROOT / "CITATION.cff").read_text()
    title = re.search(r'type: conference-paper\n +title: "(.+)"', citation)[1]
    assert title in text.replace("{VQDNA}", "VQDNA")
    authors = re.findall(r"given-names: (.+), family-names: (\w+)}", citation)
    assert len(authors) == 8
    assert " and ".join(f"{last}, {first}" for first, last in authors) in re.sub(r"\s+", " ", text)
    assert "2405.10812" in text and "year      = {2024}" in text


# the cards of the project


def test_the_cards_of_the_project_are_fresh():
    assert stale_cards(CARDS) == [], "run `make cards`"


def test_the_facts_of_the_project_s_cards_are_small_and_hold_no_path():
    for path in (CARDS / "sources").rglob("*"):
        if path.is_file():
            content = json.loads(path.read_text())  # and nothing but JSON
            assert without_paths(content) == content, path
            assert path.stat().st_size < 50_000, path


def test_the_figures_of_the_project_s_cards_are_there():
    shown = {
        CARDS / place for card in CARDS.glob("*.md") for place in re.findall(r"!\[.*?\]\((.*?)\)", card.read_text())
    }
    assert shown == set(CARDS.glob("figures/*/*"))


def test_a_card_that_was_edited_or_has_no_facts_is_stale(tmp_path, encoder, capsys):
    folder = tmp_path / "cards"
    copy_facts(encoder, [write(tmp_path / "r.json", result())], folder / "sources" / "one")
    shutil.copytree(folder / "sources" / "one", folder / "sources" / "two")
    assert stale_cards(folder) == ["one", "two"]
    assert [path.name for path in render_cards(folder)] == ["one.md", "two.md"] and stale_cards(folder) == []
    (folder / "one.md").write_text((folder / "one.md").read_text().replace("0.500", "0.900"))
    (folder / "three.md").write_text("# Three\n")
    assert render_main([str(folder), "--check"]) == 1
    assert stale_cards(folder) == ["one", "three"] and "one.md is stale" in capsys.readouterr().err
    source = folder / "sources" / "two" / "results" / "results-mouse-3-full-1.json"
    assert json.loads(source.read_text())["arguments"]["data"] == "3"
    write(source, result(mcc=0.25))
    assert "two" in stale_cards(folder)


def test_facts_are_added_by_a_command(tmp_path, encoder, capsys):
    folder = tmp_path / "cards"
    write(folder / "sources" / "mine" / "card.json", {"published": False})
    write(folder / "sources" / "mine" / "probe.json", {"left": "over"})
    command = [str(folder), "--add", "mine", str(encoder), "--results", str(write(tmp_path / "r.json", result()))]
    assert render_main(command) == 0 and capsys.readouterr().out.strip() == str(folder / "mine.md")
    assert "not published" in (folder / "mine.md").read_text() and "GUE mouse/3" in (folder / "mine.md").read_text()
    assert not (folder / "sources" / "mine" / "probe.json").exists()
    with pytest.raises(ValueError, match="no facts"):
        copy_facts(tmp_path, [], folder / "sources" / "other")


def test_what_a_checkpoint_of_the_package_holds_is_not_copied(tmp_path, encoder):
    source = tmp_path / "cards" / "sources" / "vqdna-vq-small"
    write(source / "card.json", {"published": False})
    command = [str(tmp_path / "cards"), "--add", source.name]
    assert render_main([*command, checkpoint(source.name)]) == 0
    assert [path.name for path in source.iterdir()] == ["card.json"]
    assert "b17a1a24ba9ffbbfec247e2ff95cfd97" in (tmp_path / "cards" / "vqdna-vq-small.md").read_text()
    assert render_main([*command, str(encoder)]) == 0  # other facts are
    assert {"card.json", "config.json"} == {path.name for path in source.iterdir()}


def test_a_rendered_card_is_replaced(encoder):
    first = write_model_card(encoder).read_text()
    write(encoder / "card.json", {"limitations": ["It is slow."]})
    assert write_model_card(encoder).read_text() != first
    (encoder / "README.md").write_text(str(ModelCard.from_template(ModelCardData())))  # as peft's
    assert "It is slow." in write_model_card(encoder).read_text()
