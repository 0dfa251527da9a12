"""The documentation names tests, files and commands that exist."""

import ast
import re
from pathlib import Path

import pytest

from vqdna_hf.cli import COMMANDS


ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md", "model_cards/README.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def functions(path: Path) -> set[str]:
    """The test functions of a file, those of classes included."""
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


@each_page
def test_named_tests_exist(page):
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)", page.read_text()):
        assert name in functions(ROOT / path), f"{path}::{name}"


@each_page
def test_named_files_exist(page):
    named = re.findall(r"`((?:benchmarks|docs|examples|modeling|tests|vqdna_hf)/[\w./-]+)[`:]", page.read_text())
    named += re.findall(r"python ((?:benchmarks|examples)/[\w/]+\.py)", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@each_page
def test_links_within_the_repository_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    # what was measured does not come with the sdist
    assert [link for link in missing if (ROOT / ".git").exists() or not link.endswith(".parquet")] == []


@each_page
def test_named_commands_exist(page):
    named = re.findall(r"^vqdna ([a-z-]+)", page.read_text(), re.MULTILINE)
    named += re.findall(r"`vqdna ([a-z-]+)[ `]", page.read_text())
    assert [name for name in named if name not in COMMANDS] == []


@each_page
def test_named_make_targets_exist(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [name for name in re.findall(r"`make ([a-z-]+)`", page.read_text()) if name not in targets] == []


def test_every_problem_has_an_answer():
    rows = [row for row in (ROOT / "docs" / "what_users_report.md").read_text().splitlines() if row.startswith("| ")]
    numbers = [row.split("|")[1].strip() for row in rows[1:]]
    assert numbers == [str(number) for number in range(1, 21)]
    assert all("`tests/" in row.split("|")[5] for row in rows[1:])
