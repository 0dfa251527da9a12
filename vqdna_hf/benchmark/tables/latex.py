"""Tables in LaTeX, for a document that loads the package booktabs."""

import re

from .layout import BEST, SECOND, Cell, Row, Table


_ESCAPES = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": r"$-$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "–": "--",
}
PREAMBLE = "% needs \\usepackage{booktabs}\n"


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is: reserved letters escaped, white space joined."""
    return "".join(_ESCAPES.get(letter, letter) for letter in " ".join(text.split()))


def table_to_latex(table: Table) -> str:
    """One floating `table`: caption, booktabs rules, the best bold and the second underlined, notes underneath."""
    label = re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-")
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        r"\footnotesize",
        rf"\caption{{{escape_latex(table.title)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{table.align}}}",
        r"\toprule",
        _line(table.columns),
    ]
    for section, rows in table.sections.items():
        lines.append(r"\midrule")
        if section:
            heading = rf"\emph{{{escape_latex(section)}}}"
            lines.append(rf"\multicolumn{{{len(table.columns)}}}{{l}}{{{heading}}} \\")
        lines += map(_row, rows)
    lines += [r"\bottomrule", r"\end{tabular}"]
    notes = (("Bold: best of a column; underlined: second.",) if table.is_marked else ()) + table.notes
    if notes:
        lines += [r"\par\smallskip", r"\begin{minipage}{\linewidth}", r"\scriptsize"]
        lines += [rf"{escape_latex(note)}\par" for note in notes]
        lines.append(r"\end{minipage}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _line(texts: tuple[str, ...]) -> str:
    return " & ".join(escape_latex(text) for text in texts) + r" \\"


def _row(row: Row) -> str:
    # subtle: LaTeX reads a bracket after \\ as its argument, and an empty group before it stops that
    return "{}" + " & ".join(_cell(cell) for cell in row.cells) + r" \\"


def _cell(cell: Cell) -> str:
    text = escape_latex(cell.text)
    return {BEST: rf"\textbf{{{text}}}", SECOND: rf"\underline{{{text}}}"}.get(cell.mark, text)
