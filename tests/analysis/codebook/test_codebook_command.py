"""`vqdna codebook`: what it writes, what it refuses, and that the page says what the numbers say."""

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from tiny_exports import make_codec

from vqdna_hf.analysis.codebook.codebook import CodebookArguments, codebook, inspect_codebook
from vqdna_hf.analysis.codebook.rows import load_rows
from vqdna_hf.analysis.codebook.words import at_chance, bases_read, findings, label_verdict, map_caption
from vqdna_hf.cli import main


QUICK = {"logos": 3, "substitutions": 20, "repeats": 2}


def arguments(tokenizer_dir, task_dir, output, **fields) -> CodebookArguments:
    places = {"directory": str(tokenizer_dir), "data": str(task_dir), "output": str(output)}
    return CodebookArguments(**places | QUICK | fields)


@pytest.fixture(scope="module")
def result(tmp_path_factory, tokenizer_dir, task_dir):
    for package in ("matplotlib", "umap", "jinja2"):
        pytest.importorskip(package)
    output = tmp_path_factory.mktemp("result") / "codebook"
    return output, codebook(arguments(tokenizer_dir, task_dir, output))


def test_the_record_holds_every_number_and_no_sequence_or_path(result, task_dir):
    output, report = result
    text = (output / "codebook.json").read_text()
    assert json.loads(text) == json.loads(json.dumps(report))
    assert str(task_dir.parent) not in text
    assert report["arguments"]["repeats"] == 2
    assert "hold_out" not in report["arguments"]  # which is about genomes of lineages
    assert not re.search("[ACGT]{6}", text)
    assert [usage["codes"] for usage in report["usage"]["levels"]] == [8, 16]
    assert report["usage"]["positions"] == 60 * 48 == sum(report["usage"]["levels"][1]["counts"])
    assert len(report["map"]["x"]) == len(report["map"]["labels"]) == 24
    assert report["map"]["level"] == [0] * 8 + [1] * 16
    labels = [label for level in report["relevance"]["levels"] for label in level["labels"]]
    assert labels == report["map"]["labels"]
    used = np.concatenate([level["counts"] for level in report["usage"]["levels"]]) > 0
    assert ((np.array(labels) >= 0) == used).all()


def test_every_figure_is_a_png_and_a_well_formed_svg(result):
    output, report = result
    names = ("usage", "map", "logos_level1", "logos_level2", "words", "base_change", "strand")
    files = {"codebook.json", "index.html", *(f"{name}.{kind}" for name in names for kind in ("png", "svg"))}
    assert {path.name for path in output.iterdir()} == files == set(report["files"])
    for name in names:
        assert (output / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        ElementTree.parse(output / f"{name}.svg")


def test_the_page_needs_nothing_but_itself(result):
    page = (result[0] / "index.html").read_text()
    assert "<script" not in page
    assert not re.search(r"""(src|href|srcset)=["'](?!data:)""", page)
    assert "prefers-color-scheme: dark" in page
    assert page.count("<figure>") == page.count("<figcaption>") == 7
    assert page.count("data:image/png;base64,") == 14
    assert "planted" in page
    assert "{{" not in page


def test_the_page_counts_copies_among_the_rows_it_shows(result, tmp_path, monkeypatch):
    from vqdna_hf.analysis.codebook.page import figures_of, write_page

    monkeypatch.setattr("vqdna_hf.analysis.codebook.page.render", lambda *_: b"")
    report = json.loads(json.dumps(result[1]))
    virus = {"window": 99, "note": "A note.", "hold_out": "lineages", "test_rows_in_train": 777, "missing": ["Zeta"]}
    report["data"] |= {"sarscov2": virus | {"lineages": {}}, "test_rows_in_train": 21}
    write_page(report, tmp_path / "index.html", dict.fromkeys(figures_of(report), b""))
    page = " ".join((tmp_path / "index.html").read_text().split())
    assert "A note. 21 of 30 test rows are copies of a train row. Zeta have one lineage" in page


def test_findings_follow_the_numbers(result):
    report = json.loads(json.dumps(result[1]))
    classifier, halves = report["relevance"]["classifier"], report["relevance"]["halves"]
    classifier["permuted_test"] = [0.1, 0.3]
    classifier["shortcuts"] = {"majority": 0.0, "length": 0.0, "composition": 0.4, "3-mers": 0.35}
    heads = {}
    for score in (0.3, 0.38, 0.5):
        classifier["test"]["mcc"] = score
        heads[score] = findings(report)[0][0]
    assert "at chance" in heads[0.3]
    assert "no more than the shares of A, C, G and T" in heads[0.38]
    assert "does better than every control" in heads[0.5]
    assert not at_chance(report)
    halves["permuted"]["most_stable"] = 0.5
    verdicts = {}
    for kappa, stable in ((0.1, 0.8), (0.4, 0.8), (0.9, 0.8), (0.9, 0.5)):
        halves["measured"] |= {"kappa": kappa, "stable": stable}
        verdicts[kappa, stable] = label_verdict(report)
    assert list(verdicts.values()) == ["noise", "unsure", "reproducible", "noise"]


def test_the_bases_that_a_code_reads_lie_opposite_to_the_codes_that_change():
    assert bases_read({"radius": 2, "by_offset": [1.0, 0.9, 1.0, 0.0, None]}) == (0, 2)
    assert bases_read({"radius": 1, "by_offset": [0.0, 0.05, 0.0]}) is None


@pytest.mark.parametrize(("by_offset", "head"), [([0, 1, 0], "a word of 1 base"), ([1, 1, 0], "a word of 2 bases")])
def test_a_word_has_as_many_bases_as_are_read(result, by_offset, head):
    report = json.loads(json.dumps(result[1]))
    for level in report["base_change"]["levels"]:
        level |= {"radius": 1, "by_offset": by_offset}
    assert findings(report)[3][0].endswith(head)


def test_another_result_is_replaced_on_request_only(result, tokenizer_dir, task_dir, tmp_path):
    output, _ = result
    with pytest.raises(ValueError, match="holds the codebook of 'tokenizer' on 'planted'. Add --overwrite"):
        codebook(arguments(tokenizer_dir, task_dir, output))
    (output / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="also holds notes.txt, which would be lost"):
        codebook(arguments(tokenizer_dir, task_dir, output, overwrite=True))
    (output / "notes.txt").unlink()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "file").write_text("")
    with pytest.raises(ValueError, match="was not written by `vqdna codebook`"):
        codebook(arguments(tokenizer_dir, task_dir, foreign, overwrite=True))


def test_the_seed_decides_every_number(result, codec, task_dir):
    _, report = result
    options = arguments("tokenizer", task_dir, "output")
    again = inspect_codebook(codec, load_rows(str(task_dir)), options)
    for part in ("vocabulary", "data", "usage", "relevance", "map", "logos", "base_change", "strand"):
        assert json.dumps(again[part]) == json.dumps(report[part]), part


def test_overwriting_from_the_command_line_leaves_nothing_behind(
    result, tokenizer_dir, task_dir, tmp_path, capsys, monkeypatch
):
    output = shutil.copytree(result[0], tmp_path / "codebook")
    # another record is enough here
    monkeypatch.setattr("vqdna_hf.analysis.codebook.codebook.inspect_codebook", lambda *_: {"vocabulary": "another"})
    monkeypatch.setattr("vqdna_hf.analysis.codebook.page.figures_of", lambda *_: {})
    monkeypatch.setattr("vqdna_hf.analysis.codebook.page.write_page", lambda _, path, __: path.write_text("page"))
    command = ["codebook", str(tokenizer_dir), "--data", str(task_dir), "--output", str(output)]
    kept = {path: path.read_bytes() for path in output.iterdir()}
    assert main(command) == 2
    assert "Add --overwrite" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in output.iterdir()} == kept
    assert main([*command, "--overwrite"]) == 0
    assert json.loads((output / "codebook.json").read_text())["vocabulary"] == "another"
    assert {path.name for path in output.iterdir()} == {"codebook.json", "index.html"}
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_a_failed_run_writes_nothing(result, tokenizer_dir, task_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("vqdna_hf.analysis.codebook.codebook.inspect_codebook", lambda *_: dict(result[1]))
    monkeypatch.setattr("vqdna_hf.analysis.codebook.drawing.write_figure", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        codebook(arguments(tokenizer_dir, task_dir, tmp_path / "output"))
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named_with_the_extra(tokenizer_dir, task_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'needs jinja2, matplotlib, umap-learn: run `pip install "vqdna-hf\[viz\]"`'):
        codebook(arguments(tokenizer_dir, task_dir, tmp_path / "output"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"logos": 0}, "--logos 0"),
        ({"repeats": 0}, "--repeats 0"),
        ({"hold_out": "rows"}, "--hold-out rows: must be"),
        ({"directory": "absent"}, "absent holds no tokenizer"),
    ],
)
def test_wrong_options_are_refused(tokenizer_dir, task_dir, tmp_path, fields, message):
    pytest.importorskip("umap")
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=message):
        codebook(arguments(tokenizer_dir, task_dir, tmp_path / "output", **fields))
    assert list(tmp_path.iterdir()) == []


class FirstTwo:
    """In place of UMAP: the first two dimensions of the vectors."""

    def __init__(self, **_):
        pass

    def fit_transform(self, vectors):
        return vectors[:, :2]


@pytest.mark.parametrize(
    ("quantizer", "sizes", "marks"),
    [("vq", [12], "a pentagon is a code."), ("rq", [4, 6, 5], "the first level, pale marks of the others.")],
)
def test_every_kind_of_quantizer_can_be_seen(monkeypatch, result, quantizer, sizes, marks, task_dir):
    from vqdna_hf.analysis.codebook.drawing import DARK, render
    from vqdna_hf.analysis.codebook.page import figures_of

    monkeypatch.setattr("umap.UMAP", FirstTwo)
    codec = make_codec(quantizer=quantizer, codebook_sizes=sizes)
    options = arguments("tokenizer", task_dir, "output", repeats=1, logos=1)
    report = inspect_codebook(codec, load_rows(str(task_dir)), options) | {"arguments": options.settings()}
    assert [len(level["labels"]) for level in report["relevance"]["levels"]] == sizes
    # all levels of these kinds quantize the last layer
    assert set(report["vocabulary"]["radius"]) == {report["vocabulary"]["halo"]}
    assert len(findings(report)) == 6
    assert marks in map_caption(report)
    for draw, _ in figures_of(report).values():
        assert render(draw, report, DARK, "svg").startswith(b"<?xml")
