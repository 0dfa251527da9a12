"""The page: every figure in both themes, its caption, and the tables, in one file without scripts."""

import base64
from functools import partial
from pathlib import Path

from jinja2 import Environment

from ...runs.files import write_file
from . import words
from .drawing import DARK, LIGHT, class_colours, render
from .figures import draw_base_change, draw_logos, draw_map, draw_strand, draw_usage, draw_words


TEMPLATE = Path(__file__).with_name("page.html.j2")


def figures_of(report: dict) -> dict:
    """File name (without its ending) of each figure, with its drawing function and that of its caption."""
    logos = {
        f"logos_level{level + 1}": (partial(draw_logos, level=level), partial(words.logos_caption, level=level))
        for level in range(len(report["usage"]["levels"]))
    }
    return {
        "usage": (draw_usage, words.usage_caption),
        "map": (draw_map, words.map_caption),
        **logos,
        "words": (draw_words, words.words_caption),
        "base_change": (draw_base_change, words.change_caption),
        "strand": (draw_strand, words.strand_caption),
    }


def write_page(report: dict, path: Path, images: dict[str, bytes]):
    """Write `index.html` from the report and the PNG images of its figures for light pages (`write_figure`)."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["score"] = lambda value: "–" if value is None else f"{value:.3f}"
    environment.filters["shortcut"] = words.shortcut_name
    figures = {
        name: {
            "light": _data_uri(images[name]),
            "dark": _data_uri(render(draw, report, DARK, "png")),
            "caption": caption(report),
        }
        for name, (draw, caption) in figures_of(report).items()
    }
    classes = report["data"]["classes"]
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        figures=figures,
        findings=words.findings(report),
        metric=words.metric_name(report),
        at_chance=words.at_chance(report),
        verdict=words.label_verdict(report),
        colours=list(zip(classes, class_colours(len(classes), LIGHT), class_colours(len(classes), DARK))),
    )
    write_file(path, page.encode())


def _data_uri(image: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")
