"""The shape of the package, measured: `make structure` prints it, and a test reads it.

Files are read as text and nothing is imported. Imports within functions count as those at the top of a file do.
"""

import ast
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


ROOT = Path(__file__).resolve().parent.parent
# from the lowest to the highest; what is on a floor imports from its own and from lower ones
FLOORS = (
    ("version", "options", "parsing", "modeling"),
    ("runs", "checkpoints", "arguments", "lora", "data", "metrics"),
    ("tasks", "baselines", "cards"),
    ("training",),
    ("inference", "analysis", "hub", "export"),
    ("benchmark",),
    ("demo", "cli", "pipelines", "uploads", "registration", "vqdna_hf"),
)
LONGEST_FILE, LONGEST_FUNCTION, SHORTEST_BLOCK = 400, 40, 6


@dataclass(frozen=True)
class Source:
    """A Python file.

    Attributes:
        module: its dotted name; files of the top-level `modeling` are `vqdna_hf.modeling`, as they are installed.
        path: relative to the checkout.
    """

    module: str
    path: Path

    @cached_property
    def text(self) -> str:
        return (ROOT / self.path).read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        """The part of the package that the file is in: a folder below `vqdna_hf`, or a file there."""
        return self.module.split(".")[1] if "." in self.module else self.module


def sources() -> dict[str, Source]:
    """The files of the package by module, without the signpost that stands for `modeling` in a checkout."""
    found = {}
    for folder in ("vqdna_hf", "modeling"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            path = path.relative_to(ROOT)
            parts = path.with_suffix("").parts
            parts = parts if folder == "vqdna_hf" else ("vqdna_hf", *parts)
            module = ".".join(parts).removesuffix(".__init__")
            if module != "vqdna_hf.modeling" or folder == "modeling":
                found[module] = Source(module, path)
    return found


def imports_of(source: Source, known: dict[str, Source]) -> set[str]:
    """The modules of the package that a file imports."""
    found = set()
    is_package = source.path.name == "__init__.py"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
        if not isinstance(node, ast.ImportFrom):
            continue
        base = node.module or ""
        if node.level:
            above = source.module.split(".")
            above = above[: len(above) - node.level + is_package]
            base = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            name = f"{base}.{alias.name}"
            found |= {name if name in known else base} & set(known)
    return found - {source.module}


def floor_of(room: str) -> int:
    """The number of a room's floor, from 0.

    Raises:
        StopIteration: the room is on none: say in `FLOORS` where it is.
    """
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups whose members import one another, directly or through others."""
    reached = {}
    for start in arrows:
        seen, todo = set(), list(arrows[start])
        while todo:
            if (one := todo.pop()) not in seen:
                seen.add(one)
                todo += arrows.get(one, ())
        reached[start] = seen
    groups = {tuple(sorted(b for b in reached[a] if a in reached.get(b, ()))) for a in arrows if a in reached[a]}
    return sorted(map(list, groups))


@dataclass(frozen=True)
class Structure:
    """What is measured.

    Attributes:
        lines: of each room, blank ones and comments included.
        long_files, long_functions: `path (lines)`; `modeling/` may have long files.
        module_circles, room_circles: names that import one another.
        upward: `module -> module` where the second is on a higher floor.
        blocks: `path:line ~ path:line (lines)`: lines of code that stand twice.
        docs: files in `docs/`.
    """

    lines: dict[str, int]
    long_files: list[str]
    long_functions: list[str]
    module_circles: list[list[str]]
    room_circles: list[list[str]]
    upward: list[str]
    blocks: list[str]
    docs: int


def measure() -> Structure:
    """Read the checkout."""
    known = sources()
    lines = defaultdict(int)
    for source in known.values():
        lines[source.room] += source.text.count("\n")
    arrows = {module: imports_of(source, known) for module, source in known.items()}
    rooms = defaultdict(set)
    for module, targets in arrows.items():
        rooms[known[module].room] |= {known[target].room for target in targets} - {known[module].room}
    upward = [
        f"{module} -> {target}"
        for module, targets in sorted(arrows.items())
        for target in sorted(targets)
        if floor_of(known[target].room) > floor_of(known[module].room)
    ]
    return Structure(
        lines=dict(sorted(lines.items())),
        long_files=[
            f"{source.path} ({size})"
            for source in known.values()
            if source.room != "modeling" and (size := source.text.count("\n")) > LONGEST_FILE
        ],
        long_functions=[found for source in known.values() for found in _long_functions(source)],
        module_circles=circles(arrows),
        room_circles=circles(rooms),
        upward=upward,
        blocks=_blocks(list(known.values())),
        docs=sum(path.is_file() for path in (ROOT / "docs").rglob("*")),
    )


def _long_functions(source: Source) -> list[str]:
    """Functions with more lines of code than there should be: signature, docstring and comments do not count."""
    found, code = [], {number for number, _ in _code(source.text)}
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[ast.get_docstring(node) is not None :]
            size = len([n for n in range(body[0].lineno, node.end_lineno + 1) if n in code]) if body else 0
            if size > LONGEST_FUNCTION:
                found.append(f"{source.path}:{node.lineno} {node.name} ({size})")
    return found


def _code(text: str) -> list[tuple[int, str]]:
    """Numbers (from 1) and content of the lines that are neither blank nor comments nor lone punctuation."""
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1))
    return [(number, line) for number, line in lines if any(map(str.isalnum, line)) and not line.startswith("#")]


def _blocks(files: list[Source]) -> list[str]:
    """Runs of lines of code, imports and docstrings left out, that stand in two places of the package."""
    code = {source.path: _without_imports(source) for source in files}
    places = defaultdict(list)
    for path, lines in code.items():
        for start in range(len(lines) - SHORTEST_BLOCK + 1):
            places[tuple(line for _, line in lines[start : start + SHORTEST_BLOCK])].append((path, start))
    pairs = {
        (first, second)
        for found in places.values()
        for number, first in enumerate(found)
        for second in found[number + 1 :]
        if first[0] != second[0] or second[1] - first[1] >= SHORTEST_BLOCK
    }
    blocks = []
    for (path, start), (other, place) in sorted(pairs):
        if ((path, start - 1), (other, place - 1)) in pairs:
            continue
        size = SHORTEST_BLOCK
        while ((path, start + size - SHORTEST_BLOCK + 1), (other, place + size - SHORTEST_BLOCK + 1)) in pairs:
            size += 1
        blocks.append(f"{path}:{code[path][start][0]} ~ {other}:{code[other][place][0]} ({size})")
    return blocks


def _without_imports(source: Source) -> list[tuple[int, str]]:
    left_out = set()
    for node in ast.walk(source.tree):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if text or isinstance(node, (ast.Import, ast.ImportFrom)):
            left_out |= set(range(node.lineno, node.end_lineno + 1))
    return [(number, line) for number, line in _code(source.text) if number not in left_out]


def main():
    """Print what `measure` finds."""
    found = measure()
    for room, count in found.lines.items():
        print(f"{count:7,}  {room}")
    inside = sum(count for room, count in found.lines.items() if room != "modeling")
    print(f"{inside:7,}  lines in vqdna_hf/, {found.lines['modeling']:,} in modeling/; {found.docs} files in docs/")
    parts = {
        f"files over {LONGEST_FILE} lines": found.long_files,
        f"functions over {LONGEST_FUNCTION} lines": found.long_functions,
        "circles of modules": [" <-> ".join(one) for one in found.module_circles],
        "circles of rooms": [" <-> ".join(one) for one in found.room_circles],
        "upward imports": found.upward,
        f"blocks of {SHORTEST_BLOCK} or more lines that stand twice": found.blocks,
    }
    for title, entries in parts.items():
        print(f"\n{len(entries)} {title}", *entries, sep="\n  ")


if __name__ == "__main__":
    main()
