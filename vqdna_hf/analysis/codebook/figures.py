"""The figures, each drawn from the report alone (`codebook.json`), so that they can be drawn again from it."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .drawing import Theme, class_colours, draw_letters, level_colour
from .labels import STABLE
from .logos import letter_heights


_WIDTH = 9.2
_MARKERS = ("p", "o", "s")  # the paper's Figure 5: pentagons for the first level, circles for the second
_COLUMNS = 2


def level_name(report: dict, level: int) -> str:
    """How a level is called: by its number and, where it quantizes a layer of its own, by that layer."""
    layer = report["vocabulary"]["layers"][level]
    return f"level {level + 1} (layer {layer})"


def draw_usage(report: dict, theme: Theme) -> Figure:
    """Share of the positions that have each code, codes in the order of their use."""
    levels = report["usage"]["levels"]
    figure = Figure(figsize=(_WIDTH, 3.1), layout="constrained")
    for level, (axes, usage) in enumerate(zip(figure.subplots(1, len(levels), squeeze=False, sharey=True)[0], levels)):
        shares = np.sort(np.asarray(usage["counts"], dtype=float))[::-1] / max(1, sum(usage["counts"]))
        used = shares[shares > 0]
        axes.bar(np.arange(1, len(used) + 1), used, width=1.0, color=level_colour(level, theme), linewidth=0)
        axes.axhline(1 / usage["codes"], color=theme.text, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.text(
            usage["codes"], 1.12 / usage["codes"], "all codes equally often", ha="right", va="bottom", fontsize=8
        )
        if len(used) < usage["codes"]:
            axes.axvspan(len(used) + 0.5, usage["codes"] + 0.5, color=theme.grid, linewidth=0, zorder=0)
            axes.text(
                (len(used) + usage["codes"]) / 2, 0.03, f"{usage['codes'] - len(used)} never used", ha="center",
                fontsize=8, color=theme.text, transform=axes.get_xaxis_transform(),
            )  # fmt: skip
        axes.set_yscale("log")
        axes.set_xlim(0.5, usage["codes"] + 0.5)
        axes.set_xlabel("codes, the most used first")
        axes.set_title(f"{level_name(report, level)}: {usage['used']} of {usage['codes']} codes, "
                       f"perplexity {usage['perplexity']:.0f}")  # fmt: skip
        axes.grid(axis="x", visible=False)
        if not level:
            axes.set_ylabel("share of the positions")
    return figure


def draw_map(report: dict, theme: Theme) -> Figure:
    """The code vectors in two dimensions, coloured by class; beside it the same from permuted classes."""
    places, classes = report["map"], report["data"]["classes"]
    colours = class_colours(len(classes), theme)
    figure = Figure(figsize=(_WIDTH, 5.3), layout="constrained")
    titles = ("Labels from the classes", "Control: labels from permuted classes")
    for axes, title, prefix in zip(figure.subplots(1, 2), titles, ("", "permuted_")):
        for level in range(len(report["usage"]["levels"]))[::-1]:
            _scatter(axes, places, prefix, level, colours, theme)
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color(theme.grid)
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.05)
    style = {"fontsize": 8.5, "handletextpad": 0.2, "columnspacing": 1.4}
    dots = [_dot(name, "o", color=colour) for name, colour in zip(classes, colours)]
    figure.legend(handles=dots, loc="outside upper center", ncols=min(9, len(dots)), **style)
    marks = _marks(report, theme)
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), **style)
    return figure


def _scatter(axes, places: dict, prefix: str, level: int, colours: list[str], theme: Theme):
    mine = np.asarray(places["level"]) == level
    x, y, labels, support = (
        np.asarray(places[key])[mine] for key in ("x", "y", f"{prefix}labels", f"{prefix}support")
    )
    marker, size = _MARKERS[level % len(_MARKERS)], 38 if level == 0 else 26
    never, stable = labels < 0, support >= STABLE
    axes.scatter(x[never], y[never], s=7, marker=marker, facecolors="none", edgecolors=theme.muted, lw=0.5)
    for label, colour in enumerate(colours):
        sure, unsure = (labels == label) & stable, (labels == label) & ~stable
        axes.scatter(x[sure], y[sure], s=size, marker=marker, color=colour, alpha=_alpha(level), lw=0)
        ring = {"facecolors": "none", "edgecolors": colour, "alpha": min(1, 1.6 * _alpha(level))}
        axes.scatter(x[unsure], y[unsure], s=size * 0.8, marker=marker, lw=0.9, **ring)


def _alpha(level: int) -> float:
    return 0.95 if level == 0 else 0.45


def _dot(text: str, marker: str, **style) -> Line2D:
    return Line2D([], [], linestyle="", label=text, **{"marker": marker, "markersize": 6.5, "mew": 0, **style})


def _marks(report: dict, theme: Theme) -> list[Line2D]:
    levels = range(len(report["usage"]["levels"]))
    ring = {"markerfacecolor": "none", "markeredgecolor": theme.text, "mew": 0.9}
    return [
        *(_dot(level_name(report, n), _MARKERS[n % len(_MARKERS)], color=theme.text, alpha=_alpha(n)) for n in levels),
        _dot("filled: stable label", "o", color=theme.text),
        _dot("ring: unstable label", "o", **ring),
        _dot("never used", "o", **{**ring, "markersize": 3, "markeredgecolor": theme.muted}),
    ]


def draw_logos(report: dict, theme: Theme, level: int) -> Figure:
    """The logos of the most used codes of a level."""
    logos, halo = report["logos"]["levels"][level], report["vocabulary"]["halo"]
    radius, classes = report["vocabulary"]["radius"][level], report["data"]["classes"]
    background = np.asarray(report["data"]["base_frequencies"])
    offsets = np.arange(-halo, halo + 1)
    rows = -(-len(logos) // _COLUMNS)
    figure = Figure(figsize=(_WIDTH, 0.35 + 1.25 * rows), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True, sharey=True).flatten()
    labels = report["relevance"]["levels"][level]["labels"]
    colours = class_colours(len(classes), theme)
    positions = report["usage"]["positions"]
    highest = max(letter_heights(logo["counts"], background).sum(axis=1).max() for logo in logos)
    for number, (axes, logo) in enumerate(zip(panels, logos)):
        for side in ((-halo - 0.5, -radius - 0.5), (radius + 0.5, halo + 0.5)):
            axes.axvspan(*side, color=theme.grid, linewidth=0, zorder=0)
        draw_letters(axes, letter_heights(logo["counts"], background), offsets, theme)
        axes.set_ylim(0, max(0.1, 1.05 * highest))
        axes.set_xlim(-halo - 0.5, halo + 0.5)
        axes.set_xticks([-halo, -halo // 2, 0, halo // 2, halo])
        axes.grid(visible=False)
        axes.set_title(f"code {logo['code']} · {logo['uses'] / positions:.1%}", fontsize=8.5, pad=3)
        label = labels[logo["code"]]
        if label >= 0:
            axes.set_title(classes[label], fontsize=8.5, pad=3, loc="right", color=colours[label])
        if number % _COLUMNS == 0:
            axes.set_ylabel("bits")
    for axes in panels[len(logos) :]:
        axes.set_visible(False)
    figure.supxlabel("bases from the code's position", fontsize=9)
    return figure


def draw_words(report: dict, theme: Theme) -> Figure:
    """Bits that a code tells about each base around it: of each level, and of all together."""
    found = report["words"]
    figure = Figure(figsize=(_WIDTH, 3.3), layout="constrained")
    axes = figure.subplots()
    for level, one in enumerate(found["levels"]):
        style = {"color": level_colour(level, theme), "marker": _MARKERS[level % len(_MARKERS)], "ms": 4, "lw": 1.3}
        text = f"{level_name(report, level)}: {one['entropy']:.1f} bits a code"
        axes.plot(found["offsets"], one["bits"], label=text, **style)
    if len(found["levels"]) > 1:
        text = f"together: {found['together']['entropy']:.1f} bits"
        axes.plot(found["offsets"], found["together"]["bits"], color=theme.text, lw=1.3, ls="--", label=text)
    axes.set_ylim(-0.05, 2.1)
    axes.set_ylabel("bits about the base")
    axes.set_xlabel("base's position, in bases from the code's")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8.5)
    return figure


def draw_base_change(report: dict, theme: Theme) -> Figure:
    """Share of the codes that change, by their offset from the changed base; the same on a logarithmic scale."""
    change, halo = report["base_change"], report["vocabulary"]["halo"]
    figure = Figure(figsize=(_WIDTH, 3.3), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True)
    for level, found in enumerate(change["levels"]):
        radius, marker = found["radius"], _MARKERS[level % len(_MARKERS)]
        shares = np.array([np.nan if share is None else share for share in found["by_offset"]])
        text = f"{level_name(report, level)}: {found['codes_changed']:.1f} codes a change, sees {radius} bases a side"
        style = {"color": level_colour(level, theme), "marker": marker, "ms": 3.5, "lw": 1.3, "label": text}
        offsets = np.arange(-radius, radius + 1)
        panels[0].plot(offsets, shares, **style)
        panels[1].plot(offsets, np.where(shares > 0, shares, np.nan), **style)
    panels[1].set_yscale("log")
    panels[0].set_ylim(-0.02, 1.04)
    panels[0].set_xlim(-halo - 1, halo + 1)
    for axes, title in zip(panels, ("share of the codes that change", "the same, logarithmic (0 left out)")):
        axes.set_title(title)
        axes.set_xlabel("code's position, in bases from the changed base")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(change["levels"]), fontsize=8.5)
    return figure


def draw_strand(report: dict, theme: Theme) -> Figure:
    """How well a code tells the other strand's: at the same base, shifted, and beside two controls."""
    levels = report["strand"]["levels"]
    shifts = ", ".join(f"{shift:+d}" if shift else "0" for shift in (found["shifted"]["shift"] for found in levels))
    rows = {
        "measured": "same base",
        "shuffled_within_base": "control: shuffled\namong equal bases",
        "shuffled": "control: shuffled",
        "shifted": f"best shift\n({shifts} bases)",
    }
    figure = Figure(figsize=(_WIDTH, 3.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    height = 0.8 / len(levels)
    for axes, (key, title) in zip(panels, (("partner", "share foretold"), ("nmi", "normalised mutual information"))):
        for level, found in enumerate(levels):
            values = [found[name][key] for name in rows]
            at = np.arange(len(rows)) + (level - (len(levels) - 1) / 2) * height
            colour = level_colour(level, theme)
            axes.barh(at, values, height=height * 0.9, color=colour, label=level_name(report, level))
            for y, value in zip(at, values):
                axes.text(value + 0.012, y, f"{value:.3f}", va="center", fontsize=8)
        axes.set_xlim(0, 1.12)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.set_title(title)
        axes.grid(axis="y", visible=False)
    panels[0].set_yticks(range(len(rows)), rows.values())
    panels[0].invert_yaxis()
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(levels), fontsize=8.5)
    return figure
