"""Single values of a benchmark file: their keys, types and variables. Every error names the place in the file."""

import difflib
import os
import re

from ...options import value_type


# options whose values may be lists of values to try
GRID = ("learning_rate", "dropout", "epochs", "weight_decay", "batch_size", "ema_decay", "pooling", "pooling_bins")


def expand_variables(value):
    """Put environment variables in place of `${NAME}`, everywhere."""
    if isinstance(value, dict):
        return {key: expand_variables(part) for key, part in value.items()}
    if isinstance(value, list):
        return [expand_variables(part) for part in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match) -> str:
        if not os.environ.get(match[1]):
            raise ValueError(f"{value!r} needs the environment variable {match[1]}, which is not set.")
        return os.environ[match[1]]

    return re.sub(r"\$\{(\w+)\}", variable, value)


def check_keys(entry: dict, known, where: str):
    """Raise `ValueError`, naming the nearest known keys, unless every key is known."""
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(str(key), [str(name) for name in known], n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}?" if near else f"Known are {', '.join(sorted(map(str, known)))}."
            raise ValueError(f"{where + ': ' if where else ''}unknown key {key!r}. {hint}")


def check_unique(values, where: str):
    """Raise `ValueError` if a value is there twice."""
    for value in values:
        if list(values).count(value) > 1:
            raise ValueError(f"{where}: {value!r} is there twice.")


def as_mapping(value, where: str) -> dict:
    """The value, if it is a mapping; a `ValueError` otherwise."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} should be a mapping (name: value), not {value!r}.")
    return value


def as_list(value, where: str) -> list:
    """The value, if it is a list (none: an empty one); a `ValueError` otherwise."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{where} should be a list, not {value!r}.")
    return value


def as_text(value, where: str) -> str | None:
    """The value, if it is text or nothing; a `ValueError` otherwise."""
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{where} should be text, not {value!r}.")
    return value


def read_options(given, known: dict[str, type], where: str) -> dict:
    """Options of a command, each of its type; a list is a grid where the option itself is none."""
    given = {} if given is None else as_mapping(given, where)
    check_keys(given, known, where)
    values = {}
    for name, value in given.items():
        grid = isinstance(value, list) and name in GRID
        if grid and not value:
            raise ValueError(f"{where}.{name} is an empty list.")
        kind = known[name]
        values[name] = (
            [_typed(one, kind, f"{where}.{name}") for one in value] if grid else _typed(value, kind, f"{where}.{name}")
        )
    return values


def _typed(value, kind, where: str):
    """The value as the option's type: whole numbers do for fractions, and `5e-4`, which YAML reads as text, too."""
    expected = value_type(kind)
    if value is None and expected.optional:
        return None
    if expected.several or expected.kind is list:
        if isinstance(value, list):
            return list(value)
    elif expected.kind is bool and isinstance(value, bool):
        return value
    elif expected.kind is float and not isinstance(value, bool) and isinstance(value, (int, float, str)):
        try:
            return float(value)
        except ValueError:
            pass
    elif expected.kind is int and type(value) is int:
        return value
    elif expected.kind is str and isinstance(value, str):
        return value
    raise ValueError(f"{where} is {value!r}, but it must be of the type {expected.kind.__name__}.")


def read_plain_options(given, known: dict[str, type], where: str) -> dict:
    """Options without a grid."""
    values = read_options(given, known, where)
    for name, value in values.items():
        if isinstance(value, list) and list not in (getattr(known[name], "__origin__", known[name]),):
            raise ValueError(
                f"{where}.{name} is a list, {value}: only fine-tuning has a grid. Write one entry for each value."
            )
    return values
