"""A command's words, read into its argument class. Wrong words are one line and the exit status 2."""

import difflib
import sys
from argparse import ArgumentParser, ArgumentTypeError, HelpFormatter
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import partial
from typing import Any, NoReturn

from .options import Arguments, option_name, value_type


class OneLineParser(ArgumentParser):
    """Says what is wrong with the words in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and where there is help, and leave with the status 2."""
        print(f"{self.prog}: {message} (`{self.prog} --help` says more)", file=sys.stderr, flush=True)
        raise SystemExit(2)


class OptionParser(OneLineParser):
    """Reads the options of one command.

    Args:
        arguments_class: its argument class. The fields that its `POSITIONAL` names may be given without their names.
        command: the command's name.
        text: what it does, for the help.
    """

    def __init__(self, arguments_class: type[Arguments], command: str, text: str):
        places = _places(arguments_class)
        super().__init__(
            prog=f"vqdna {command}",
            usage=f"vqdna {command} {places} [options]" if places else f"vqdna {command} [options]",
            description=text,
            formatter_class=partial(HelpFormatter, max_help_position=32),  # room for most names of options
            allow_abbrev=False,
        )
        self.arguments_class = arguments_class
        for one in fields(arguments_class):
            self._add_field(one)

    def _add_field(self, one: Field):
        kind, several, _, _ = value_type(one.type)
        name, default = option_name(one.name), _default(one)
        settings: dict[str, Any] = {"dest": one.name, "help": _help(one, default), "default": default}
        if kind is bool:
            self.add_argument(name, nargs="?", const=True, type=_boolean, metavar="true|false", **settings)
            if default:
                settings["help"] = f"the opposite of {name}"
                self.add_argument(option_name(f"no_{one.name}"), action="store_false", **settings)
            return
        if several:
            settings |= {"nargs": "+", "action": "extend"}
        if default is MISSING:
            settings |= {"default": None, "required": True}
        metavar = one.name.upper()
        self.add_argument(name, type=_TYPES.get(kind, _text), metavar=metavar, **settings)

    def read(self, words: list[str]) -> Arguments:
        """The arguments that a command's words say.

        Raises:
            SystemExit: an unknown or repeated option, a value that is missing or of the wrong type, of which one line
                says more; or the help was asked for.
            ValueError: a value outside its range.
        """
        words = [_as_typed(word) for word in words]
        words = _joined(named_words(self.arguments_class, words))
        self._check_names(words)
        values, left = self.parse_known_args(words)
        if left:
            places = _places(self.arguments_class)
            hint = f"; {places} come first, before the options" if places else "; its options have names"
            self.error(f"unrecognized arguments: {' '.join(left)}{hint}")
        return self.arguments_class(**vars(values))

    def _check_names(self, words: list[str]):
        """Refuse unknown options with the nearest known ones, and options that are given twice."""
        seen = set()
        lists = {option_name(one.name) for one in fields(self.arguments_class) if value_type(one.type).several}
        for word in words:
            name, equals, value = word.partition("=")
            if not name.startswith("--"):
                continue
            if name not in self._option_string_actions:
                near = difflib.get_close_matches(name, list(self._option_string_actions), n=3)
                begun = [known for known in self._option_string_actions if name != "--" and known.startswith(name)]
                hint = f"; did you mean {' or '.join(begun or near)}?" if begun or near else ""
                self.error(f"there is no option {name}{hint}")
            if equals and not value:
                self.error(f"{name}= has no value")
            field = self._option_string_actions[name].dest
            if field in seen and name not in lists:
                self.error(f"{option_name(field)} is given twice")
            seen.add(field)


def _places(arguments_class: type) -> str:
    """The values that stand alone, for the usage line; in brackets those that have a default."""
    optional = {one.name for one in fields(arguments_class) if _default(one) is not MISSING}
    names = getattr(arguments_class, "POSITIONAL", ())
    return " ".join(f"[{name.upper()}]" if name in optional else name.upper() for name in names)


def named_words(arguments_class: type, words: list[str]) -> list[str]:
    """Name the values that stand alone, as the class's POSITIONAL says: `DIR` -> `--directory DIR`."""
    names, named, words = list(getattr(arguments_class, "POSITIONAL", ())), [], list(words)
    flags = {option_name(one.name) for one in fields(arguments_class) if one.type is bool}
    flags |= {option_name(f"no_{one.name}") for one in fields(arguments_class) if one.type is bool}
    while names and words:
        word = words.pop(0)
        if not word.startswith("-"):
            named += [option_name(names.pop(0)), word]
        elif word in flags or "=" in word:
            named.append(word)
        else:  # an option with values of its own: which of what follows stands alone cannot be told
            return [*named, word, *words]
    return named + words


def _as_typed(word: str) -> str:
    """An option's name with dashes: `--max_steps` does for `--max-steps`."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else word


def _joined(words: list[str]) -> list[str]:
    """Join a negative number to its option, for argparse would take `-1e-3` and `-inf` for options."""
    joined: list[str] = []
    for word in words:
        after_option = joined and joined[-1].startswith("--") and "=" not in joined[-1]
        if after_option and word.startswith("-") and _is_number(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _default(one: Field):
    return one.default if one.default_factory is MISSING else one.default_factory()


def _help(one: Field, default) -> str:
    """The help text with the choices or the range, and the default."""
    choices, limits = value_type(one.type).choices, one.metadata.get("range")
    notes = [f"one of {', '.join(choices)}"] if choices else [str(limits)] if limits else []
    if default is MISSING:
        notes.append("required")
    elif default not in (None, []) and default is not False:
        notes.append(f"default: {default}")
    text = one.metadata.get("help", "") + (f" ({'; '.join(notes)})" if notes else "")
    return text.replace("%", "%%")


def _boolean(text: str) -> bool:
    yes, no = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
    if text.lower() not in yes + no:
        raise ArgumentTypeError(f"{text!r} must be true or false")
    return text.lower() in yes


def _number(kind: type, name: str) -> Callable[[str], Any]:
    def read(text: str):
        try:
            if "_" in text:  # Python reads 1_0 as 10
                raise ValueError
            return kind(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} must be {name}") from None

    return read


def _text(text: str) -> str:
    if not text:
        raise ArgumentTypeError("it has no value")
    return text


_TYPES = {int: _number(int, "a whole number"), float: _number(float, "a number")}
