"""What the figures share: themes for light and dark pages, colours of classes, letters of a logo, files."""

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

from matplotlib import colormaps, rc_context
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D, Bbox

from ...runs.files import write_file


_RESOLUTION = 180


@dataclass(frozen=True)
class Theme:
    """Colours of a figure on a light or a dark page."""

    name: str
    background: str
    text: str
    muted: str
    grid: str
    levels: tuple[str, str, str]
    bases: tuple[str, str, str, str]

    def settings(self) -> dict:
        """matplotlib's settings; the same figure gives the same bytes."""
        return {
            "axes.axisbelow": True,
            "axes.edgecolor": self.muted,
            "axes.facecolor": self.background,
            "axes.grid": True,
            "axes.labelcolor": self.text,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 10,
            "figure.facecolor": self.background,
            "font.size": 9,
            "grid.color": self.grid,
            "grid.linewidth": 0.6,
            "legend.frameon": False,
            "savefig.facecolor": self.background,
            "svg.hashsalt": "vqdna",
            "text.color": self.text,
            "xtick.color": self.muted,
            "xtick.labelcolor": self.text,
            "ytick.color": self.muted,
            "ytick.labelcolor": self.text,
        }


LIGHT = Theme(
    "light",
    background="#ffffff",
    text="#1c2128",
    muted="#8b939e",
    grid="#e6e9ed",
    levels=("#1f5fa8", "#c2571a", "#2f7d4f"),
    bases=("#2f8f4e", "#2b63b8", "#d98a00", "#c8372d"),
)
DARK = Theme(
    "dark",
    background="#181c22",
    text="#e4e8ed",
    muted="#7d8794",
    grid="#2b323b",
    levels=("#6fa8e8", "#f09a5e", "#77c795"),
    bases=("#5ec27f", "#71a4f2", "#f2b544", "#f0746a"),
)

_CLASSES = {
    "light": ("#1f77b4", "#e8710a", "#2a9d48", "#c9302c", "#8659b5", "#7a5230", "#d957a8", "#a3a300", "#12a5b8"),
    "dark": ("#5aa9e6", "#ff9d47", "#5fd07f", "#ff6b66", "#b48ee8", "#c29468", "#f590cf", "#d6d64a", "#4fd6e6"),
}


def class_colours(count: int, theme: Theme) -> list[str]:
    """One colour per class; further ones from a colour map where the nine do not suffice."""
    known = _CLASSES[theme.name]
    if count <= len(known):
        return list(known[:count])
    return [to_hex(colormaps["turbo"](i / (count - 1))) for i in range(count)]


def level_colour(level: int, theme: Theme) -> str:
    return theme.levels[level % len(theme.levels)]


def draw_letters(axes, heights, offsets, theme: Theme, least: float = 0.004):
    """A sequence logo: at each offset the letters A, C, G, T stacked, the tallest on top.

    Args:
        heights: bits, shape `(offsets, 4)`.
        least: letters below this height, in bits, are left out.
    """
    letters: list[list[Outline]] = [[], [], [], []]
    for offset, column in zip(offsets, heights):
        floor = 0.0
        for base in column.argsort():
            height = float(column[base])
            if height >= least:
                letters[base].append(_letter(base, offset, floor, height))
                floor += height
    # one patch a base: hundreds of them are slow to draw and large as SVG
    for paths, colour in zip(letters, theme.bases):
        if paths:
            axes.add_patch(PathPatch(Outline.make_compound_path(*paths), facecolor=colour, linewidth=0))


def _letter(base: int, offset: float, floor: float, height: float) -> Outline:
    path, box = _outline("ACGT"[base])
    place = (
        Affine2D()
        .translate(-box.x0 - box.width / 2, -box.y0)
        .scale(0.92 / box.width, height / box.height)
        .translate(offset, floor)
    )
    return place.transform_path(path)


@cache
def _outline(letter: str) -> tuple[Outline, Bbox]:
    path = TextPath((0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    return path, path.get_extents()


def render(draw, report: object, theme: Theme, kind: str) -> bytes:
    """The bytes of a figure, `draw(report, theme)`, as "png" or "svg"."""
    with rc_context(theme.settings()):
        figure: Figure = draw(report, theme)
        buffer = BytesIO()
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=_RESOLUTION, bbox_inches="tight", pad_inches=0.12, metadata=metadata)
    return buffer.getvalue()


def write_figure(draw, report: dict, stem: Path) -> bytes:
    """Write `stem.png` and `stem.svg`, for light pages, and return the bytes of the first."""
    images = {kind: render(draw, report, LIGHT, kind) for kind in ("png", "svg")}
    for kind, image in images.items():
        write_file(stem.with_suffix(f".{kind}"), image)
    return images["png"]
