"""Tables of a card that come from benchmarks: the model beside controls of the same runs and published figures."""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import EvalResult
from scipy.stats import rankdata

from ..checkpoints.lineage import without_paths
from ..runs.directories import check_inside
from ..runs.files import check_fields, read_json
from ..tasks.published import published_models, published_rows
from .record_shapes import SCORES
from .scores import eval_result, metric_words


# what `card.json` says of a benchmark: the file of its scores, the model in it that the card is of, and what to write
BENCHMARK_NOTES = ("file", "title", "model", "text", "published")


@dataclass(frozen=True)
class CardBenchmark:
    """One benchmark: its scores as `vqdna benchmark` sums them up in `tables.json`, and what the card says of them.

    Attributes:
        title, text: heading and paragraph.
        model: the name, in the benchmark, of what the card is of.
        published: names of the paper's models to set beside.
        scores: one dict per task, model and mode.
    """

    title: str
    text: str
    model: str
    published: tuple[str, ...]
    scores: list[dict]

    @property
    def own(self) -> list[dict]:
        """The scores of the model that the card is of, in the order of the tasks."""
        return [score for score in self.scores if score["model"] == self.model]

    @property
    def header(self) -> tuple[str, ...]:
        """Names of the columns of `rows`."""
        beside = [_title(row) for row in self._others]
        published = [f"{name}, published" for name in self.published]
        return ("task", "this model", "95 % interval", "clean rows", *beside, *published)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """One row per task; then means over the tasks of one metric, and the average rank among what was run."""
        found = {(score["task"], score["model"], score["mode"]): score for score in self.scores}
        published = published_rows({score["task"]: score["metric"] for score in self.own})
        columns = [[found.get((score["task"], *row)) for score in self.own] for row in self._others]
        theirs = [[published.get(name, {}).get(score["task"]) for score in self.own] for name in self.published]
        lines = []
        for number, score in enumerate(self.own):
            interval = score.get("interval")
            lines.append(
                (
                    f"{score['task']} ({metric_words(score['metric'])})",
                    f"**{_spread(score['test'])}**",
                    f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}" if interval else "-",
                    f"{_spread(score['test_clean'])} ({score['clean_rows']:,})" if score["test_clean"] else "-",
                    *(_spread(column[number]["test"]) if column[number] else "-" for column in columns),
                    *("-" if column[number] is None else f"{column[number]:.1f}" for column in theirs),
                )
            )
        values = [[score and 100 * score["test"]["mean"] for score in column] for column in (self.own, *columns)]
        for metric in dict.fromkeys(score["metric"] for score in self.own):
            places = [number for number, score in enumerate(self.own) if score["metric"] == metric]
            if len(places) > 1:
                ours, *rest = (_mean([column[place] for place in places]) for column in (*values, *theirs))
                lines.append((f"mean of {len(places)} ({metric_words(metric)})", f"**{ours}**", "", "", *rest))
        if columns and all(None not in column for column in values):
            ranks = rankdata([[-value for value in column] for column in values], axis=0).mean(axis=1)
            ours, *rest = (f"{rank:.2f}" for rank in ranks)
            lines.append(("average rank", f"**{ours}**", "", "", *rest, *("" for _ in self.published)))
        return lines

    @property
    def _others(self) -> list[tuple[str, str]]:
        """Model and mode of the other columns, as they come."""
        rows = ((score["model"], score["mode"]) for score in self.scores if score["model"] != self.model)
        return list(dict.fromkeys(rows))

    def eval_results(self) -> list[EvalResult]:
        """The model's test scores, for the `model-index`."""
        return [
            eval_result(one["task"], one["mode"], one["metric"], one["test"]["mean"], one["test"]["sd"], one["seeds"])
            for one in self.own
        ]


def read_benchmark(directory: Path, notes: dict) -> CardBenchmark:
    """A benchmark that `card.json` names.

    Args:
        directory: of the card's facts.
        notes: what `card.json` says of it; see `BENCHMARK_NOTES`.

    Raises:
        ValueError: a key is unknown, the file is not there or has no scores of the model, or the paper no such model.
    """
    place = f"{directory / 'card.json'}, benchmarks"
    if wrong := [name for name in notes if name not in BENCHMARK_NOTES]:
        raise ValueError(f"{place}: {', '.join(wrong)}: an entry has {', '.join(BENCHMARK_NOTES)}, the last if any.")
    unknown = [name for name in notes.get("published", ()) if name not in published_models()]
    if unknown:
        raise ValueError(f"{place}: the paper has no {', '.join(unknown)}; it has {', '.join(published_models())}.")
    path = check_inside(directory, notes["file"])
    if not path.is_file():
        raise ValueError(f"{directory / 'card.json'} names the benchmark {path.name}, but there is no file {path}.")
    content = without_paths(read_json(path))
    check_fields(content, SCORES, path)
    scores = content["scores"]
    names = list(dict.fromkeys(score["model"] for score in scores))
    modes = {score["mode"] for score in scores if score["model"] == notes["model"]}
    if len(modes) != 1:
        found = f"in the modes {', '.join(sorted(modes))}" if modes else f"but of {', '.join(names) or 'nothing'}"
        raise ValueError(f"{place}: {notes['file']} should have scores of {notes['model']} in one mode, {found}.")
    published = tuple(notes.get("published", ()))
    return CardBenchmark(notes["title"], notes["text"], notes["model"], published, scores)


def _title(row: tuple[str, str]) -> str:
    model, mode = row
    return model if mode == "control" else f"{model}, {mode}"


def _spread(score: dict) -> str:
    """In percent, as the benchmark's tables."""
    return f"{100 * score['mean']:.1f}" + ("" if score["sd"] is None else f" ± {100 * score['sd']:.1f}")


def _mean(column: list) -> str:
    """Of a column without a gap; what lacks a task has no mean to be compared."""
    return "-" if None in column else f"{sum(column) / len(column):.2f}"
