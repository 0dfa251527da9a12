"""Some hundred command lines that cannot work: each is answered with one line that names what is wrong, an exit status
of 2, no traceback, and nothing half-written."""

import hashlib
import shlex
from pathlib import Path

import pytest
from answers import check_nothing_written, refusal
from bad_options import LINES, OPTIONS, WORKING
from robust_world import BENCHMARK, World, write_benchmark, write_genome

from vqdna_hf.cli import main


pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

CASES = [
    (command, option, value) for command in OPTIONS for option, values in OPTIONS[command].items() for value in values
]


def contents(root: Path) -> dict[str, str]:
    """A digest of every file, to see that nothing was touched."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path): hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() for path in files}


@pytest.fixture(scope="module")
def places(world: World, tmp_path_factory) -> dict[str, str]:
    """The world's, and what the commands of this file need besides."""
    more = tmp_path_factory.mktemp("more")
    second = write_genome(more / "genome2.fa")
    benchmark = write_benchmark(more / "benchmark.yaml", world, BENCHMARK)
    return {**world.places, "genome2": str(second), "benchmark": str(benchmark), "missing": str(more / "missing")}


def without(option: str, line: str) -> str:
    """A command line without an option and its value."""
    parts = line.split(f" {option} ") if not line.startswith(option) else ["", line.removeprefix(option).lstrip()]
    return " ".join([parts[0], *(part.partition(" ")[2] for part in parts[1:])])


@pytest.mark.parametrize(("command", "option", "value"), CASES, ids=[" ".join(case) for case in CASES])
def test_no_option_takes_such_a_value(world, places, capsys, tmp_path, command, option, value):
    values = {**places, "out": str(tmp_path / "out"), "cache": str(tmp_path / "cache")}
    said = refusal(capsys, f"{command} {without(option, WORKING[command])} {option} {shlex.quote(value)}", values)
    name = option.removeprefix("--")
    last = said.strip().splitlines()[-1] if "usage:" in said else said
    assert name in last or name.replace("-", "_") in last or value.format(**values) in last, said
    check_nothing_written(tmp_path / "out")


@pytest.mark.parametrize(("line", "word"), LINES, ids=[line or "nothing" for line, _ in LINES])
def test_no_such_line_is_run(world, places, capsys, tmp_path, line, word):
    values = {**places, "out": str(tmp_path / "out")}
    before = contents(world.root)
    said = refusal(capsys, line, values)
    assert word.format(**values) in said
    check_nothing_written(tmp_path / "out")
    assert contents(world.root) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [name for name in WORKING if name not in ("demo", "benchmark", "publish", "export")]
)
def test_the_lines_that_are_made_wrong_work(world, places, capsys, tmp_path, command):
    values = {**places, "out": str(tmp_path / "out"), "cache": str(tmp_path / "cache")}
    assert main([word.format(**values) for word in shlex.split(f"{command} {WORKING[command]}")]) == 0, (
        capsys.readouterr().err
    )
