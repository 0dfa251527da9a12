"""Options of the commands: the fields of their argument classes, with what each may be.

A field's choices are its annotation, a `Literal`; its range stands beside it. Both are checked whenever a value is
assigned: on the command line, in the Python API, by a recipe and from a benchmark file alike, before anything runs.
"""

import math
import os
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, get_args, get_origin


# of whole numbers without an upper bound of their own
LARGEST = 2**31 - 1
# what numpy takes as the seed of a generator
LARGEST_SEED = 2**32 - 1
# bounds of an option that is a seed
SEED = {"at_least": 0, "at_most": LARGEST_SEED}
# type of an option -> what its values are instances of, and how a message calls them
_TYPES = {
    bool: (bool, "true or false"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: ((str, os.PathLike), "text"),
    dict: (dict, "a mapping (name: value)"),
}


@dataclass(frozen=True)
class Range:
    """Where a number must lie. Infinity and NaN lie in no range."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (isinstance(value, Integral) or math.isfinite(value))
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        if self.at_least is not None and self.at_most is not None:
            return f"from {self.at_least:,} to {self.at_most:,}"
        bounds = (("at least", self.at_least), ("more than", self.above), ("at most", self.at_most))
        words = [f"{word} {bound:,}" for word, bound in (*bounds, ("less than", self.below)) if bound is not None]
        return " and ".join(words)


def option(default, text: str, **bounds: float):
    """A command-line option with a help text; a list option may be given several times.

    Args:
        default: its value when it is not given.
        text: its help text.
        bounds: `at_least`, `above`, `at_most` and `below` of [`Range`]; a list's are those of each of its numbers.
    """
    metadata = _metadata(text, bounds)
    if isinstance(default, (list, dict)):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def required(text: str, **bounds: float):
    """An option without a default."""
    return field(metadata=_metadata(text, bounds))


def _metadata(text: str, bounds: dict[str, float]) -> dict[str, Any]:
    return {"help": text, "range": Range(**bounds) if bounds else None}


def option_name(field_name: str) -> str:
    """How a field is typed: `--max-steps` for `max_steps`."""
    return f"--{field_name.replace('_', '-')}"


class ValueType(NamedTuple):
    """What a field's annotation stands for.

    Attributes:
        kind: the type of one value.
        several: whether there may be a list of them.
        optional: whether None is allowed.
        choices: what a value may be; none where every value of the type will do.
    """

    kind: type
    several: bool
    optional: bool
    choices: tuple[str, ...]


def value_type(annotation: Any) -> ValueType:
    """Read a field's annotation: a type or a `Literal`, a list of them, each perhaps with `| None`."""
    optional = type(None) in get_args(annotation)
    if optional and len(get_args(annotation)) == 2:
        [annotation] = [one for one in get_args(annotation) if one is not type(None)]
    several = get_origin(annotation) is list
    if several:
        [annotation] = get_args(annotation)
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    return ValueType(type(choices[0]) if choices else annotation, several, optional, choices)


def check_value(one, value, name: str):
    """Check what is given for a field. Types other than the commands' have no check here.

    Args:
        one (`dataclasses.Field`): the field.
        value: what is given for it.
        name: where, for the message: `--epochs`.

    Raises:
        ValueError: the value is of the wrong type, outside the field's range, or none of its choices.
    """
    expected = value_type(one.type)
    if value is None and expected.optional:
        return
    if expected.several:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{name} {value!r}: must be a list")
        for part in value:
            _check_single(expected, one.metadata.get("range"), part, name)
    else:
        _check_single(expected, one.metadata.get("range"), value, name)


def _check_single(expected: ValueType, limits: Range | None, value, name: str):
    kind, choices = expected.kind, expected.choices
    said = value if isinstance(value, (str, int, float)) else repr(value)
    instances, words = _TYPES.get(kind, (object, ""))
    is_kind = isinstance(value, instances) and not (kind in (int, float) and isinstance(value, bool))
    if choices and not (is_kind and value in choices):
        raise ValueError(f"{name} {said}: must be one of {', '.join(map(str, choices))}")
    if not is_kind:
        raise ValueError(f"{name} {said}: must be {words}")
    if kind is float and not _is_finite(value):
        raise ValueError(f"{name} {said}: must be a finite number")
    if limits is not None and value not in limits:
        raise ValueError(f"{name} {said}: must be {limits}")
    if kind is int and abs(value) > LARGEST and (limits is None or limits.at_most is None):
        raise ValueError(f"{name} {said}: must be at most {LARGEST:,}")


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _plain(value):
    """The value with paths as text, as records of runs hold them."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


class Arguments:
    """Base of the argument classes: what is assigned to a field is checked, at construction and later.

    A path is kept as text.

    Raises:
        ValueError: names the option as it is typed, its value, and what it must be.
    """

    def __setattr__(self, name: str, value):
        one = type(self).__dataclass_fields__.get(name)
        if one is not None:
            check_value(one, value, option_name(name))
        super().__setattr__(name, _plain(value))

    @classmethod
    def check_options(cls, values: dict[str, Any], where: str):
        """Check values that are given for some of the fields elsewhere, such as in a file.

        Args:
            values: name -> value; names of no field are left out.
            where: the place, for the message; empty for the top of a file.

        Raises:
            ValueError: names the place, the field, the value, and what it must be.
        """
        for one in dataclass_fields(cls):
            if one.name in values:
                check_value(one, values[one.name], f"{where}: {one.name}" if where else one.name)
