"""Renders the cards in `model_cards/` from the facts beside them: `python -m vqdna_hf.cards.render model_cards`.

`--add NAME DIR` copies the facts of a run's directory first: the small JSON files, without machine paths; never
weights or data. `card.json` there, by hand, names the benchmarks and figures that are to be shown.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ..checkpoints import checkpoint, list_checkpoints
from ..checkpoints.lineage import without_paths
from ..runs.files import read_json, write_file, write_json
from .card import render_model_card, save_card, sealed
from .facts import FACTS


# what is not copied is the author's, or of a run that is not finished
_COPIED = tuple(name for name in FACTS if name not in ("card.json", "trainer_state.json"))


def render_card(source: Path) -> str:
    """The text of the card of one folder of facts; without facts of a run, of those of the checkpoint of its name."""
    records = {} if _read_facts(source) else _of_checkpoint(source.name)
    return sealed(str(render_model_card(source, records=records)))


def _of_checkpoint(name: str) -> dict[str, dict]:
    """The facts of a checkpoint of the package, by file; none where there is none of the name."""
    return _read_facts(Path(checkpoint(name))) if name in list_checkpoints() else {}


def _read_facts(directory: Path) -> dict[str, dict]:
    paths = [directory / name for name in _COPIED]
    return {path.name: without_paths(read_json(path)) for path in paths if path.is_file()}


def stale_cards(folder: Path) -> list[str]:
    """The names of the cards that are not what their facts say, or have none."""
    sources = {source.name for source in (folder / "sources").iterdir() if source.is_dir()}
    cards = {path.stem for path in folder.glob("*.md")} - {"README"}
    same = {
        name
        for name in cards & sources
        if (folder / f"{name}.md").read_text(encoding="utf-8") == render_card(folder / "sources" / name)
    }
    return sorted((cards | sources) - same)


def render_cards(folder: Path) -> list[Path]:
    """Render every card of a folder.

    Returns:
        The files written.
    """
    paths = []
    for source in sorted(path for path in (folder / "sources").iterdir() if path.is_dir()):
        paths.append(folder / f"{source.name}.md")
        save_card(paths[-1], render_card(source))
    return paths


def copy_facts(directory: Path, results: list[Path], target: Path, benchmarks: Sequence[Path] = ()):
    """Copy what a card is made of out of a run's directory, without machine paths.

    The facts of a checkpoint of the package are not copied into a folder of its name: the card is made of them there.

    Args:
        results: further result files, which get names by their task, mode and seed.
        target: the folder of facts; what it held before goes, except the author's own `card.json`.
        benchmarks: directories that `vqdna benchmark` wrote; the scores of `DIR` become `benchmarks/DIR.json`.

    Raises:
        ValueError: the directory holds none of the files, a benchmark has no tables, a result file is none, or two of
            them have one name. Nothing is changed then.
    """
    found = _read_facts(directory)
    if not found:
        raise ValueError(f"{directory} holds no facts for a card: none of {', '.join(_COPIED)}.")
    _check_names([place.resolve().name for place in benchmarks], "benchmarks")
    scores = {place.resolve().name: _scores(place) for place in benchmarks}
    named = [_result(path) for path in results]
    _check_names([name for name, _ in named], "results")
    # all is read before anything is removed: what is copied may be the folder of facts itself
    kept = {} if found == _of_checkpoint(target.name) else found
    facts = {target / name: content for name, content in kept.items()}
    facts |= {target / "results" / name: without_paths(content) for name, content in named}
    facts |= {target / "benchmarks" / f"{name}.json": content for name, content in scores.items()}
    for old in target.glob("*.json"):
        if old.name != "card.json":
            old.unlink()
    for folder in ("results", "benchmarks"):
        shutil.rmtree(target / folder, ignore_errors=True)
    for path, content in facts.items():
        write_json(path, content)


def _check_names(names: list[str], what: str):
    """Files of one name would replace each other."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Two {what} are called {', '.join(twice)}, the name they would be kept by: rename one.")


def _scores(benchmark: Path) -> dict:
    """What a benchmark's `tables.json` sums up, without the tables."""
    path = benchmark / "tables.json"
    if not path.is_file():
        raise ValueError(f"{benchmark} holds no tables.json: give a directory that `vqdna benchmark` has finished.")
    return {name: value for name, value in read_json(path).items() if name in ("format", "scores")}


def _result(path: Path) -> tuple[str, dict]:
    """The name that a result file is kept by, and its content."""
    try:
        result = read_json(path)
        return f"results-{result['task'].replace('/', '-')}-{result['mode']}-{result['seed']}.json", result
    except FileNotFoundError:
        raise ValueError(f"There is no result file {path}.") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(f"{path} is no results.json: it has no task, mode and seed.") from None


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: with `--check`, 1 if a card is stale."""
    parser = argparse.ArgumentParser(prog="python -m vqdna_hf.cards.render", description=__doc__)
    parser.add_argument("folder", type=Path, help="holds the cards, and sources/ with their facts")
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if a card is stale")
    parser.add_argument("--add", nargs=2, metavar=("NAME", "DIR"), help="copy the facts of a run's directory first")
    parser.add_argument("--results", type=Path, nargs="*", default=[], help="with --add: further results.json files")
    parser.add_argument(
        "--benchmarks", type=Path, nargs="*", default=[], help="with --add: outputs of vqdna benchmark"
    )
    parser.add_argument("--figures", type=Path, nargs="*", default=[], help="with --add: images, to figures/NAME")
    arguments = parser.parse_args(argv)
    if not arguments.add and (arguments.results or arguments.benchmarks or arguments.figures):
        parser.error("--results, --benchmarks and --figures go with --add NAME DIR")
    if arguments.add:
        _check_names([path.name for path in arguments.figures], "figures")
        figures = {path.name: path.read_bytes() for path in arguments.figures}
        name, directory = arguments.add
        target = arguments.folder / "sources" / name
        copy_facts(Path(directory), arguments.results, target, arguments.benchmarks)
        for file, content in figures.items():
            write_file(arguments.folder / "figures" / name / file, content)
    if arguments.check:
        for name in (stale := stale_cards(arguments.folder)):
            print(f"{arguments.folder / name}.md is stale or was edited: `make cards` renders it", file=sys.stderr)
        return 1 if stale else 0
    for path in render_cards(arguments.folder):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
