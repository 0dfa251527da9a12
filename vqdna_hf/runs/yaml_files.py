"""YAML as the package reads it: what would grow or nest without end is refused before anything is made of it."""

import os
from pathlib import Path

import yaml


# no file of settings comes near any of these
_LARGEST = 1 << 20
_DEEPEST = 50
_MOST_VALUES = 100_000


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value!r} is there twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | os.PathLike):
    """What a YAML file says.

    Raises:
        ValueError: it is no YAML, has a key twice in one mapping, or is too large, too deep or, with its aliases
            written out, too long; one line that names the file and, where there is one, the line.
        OSError: it cannot be read.
    """
    size = os.stat(path).st_size
    if size > _LARGEST:
        raise ValueError(f"{path} has {size:,} bytes, but a YAML file of {_LARGEST:,} at most is read.")
    try:
        text = Path(path).read_text(encoding="utf-8")
        check_yaml(text)
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {_one_line(error)}") from error
    # what the constructors of dates, numbers and truth values raise for values that a tag does not fit
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} has a value that cannot be read: {_one_line(error)}") from error


def check_yaml(text: str):
    """Make sure that a YAML text stays small when its aliases are written out.

    Raises:
        ValueError: nested too deeply, too many values, or an alias within what it stands for; names the line.
        yaml.YAMLError: it is no YAML.
    """
    # of each anchor: how many values it stands for; `None` while they are still being counted
    sizes: dict[str, int | None] = {}
    opened: list[tuple[str | None, int]] = []
    count = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        where = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            size = sizes.get(event.anchor, 1)  # an unknown one is refused by the composer, in its own words
            if size is None:
                raise ValueError(f"{where}: the alias *{event.anchor} stands within what it stands for.")
            count += size
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            sizes[event.anchor] = 1
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            opened.append((event.anchor, count))
            count += 1
            sizes[event.anchor] = None if event.anchor else 1
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            anchor, before = opened.pop()
            sizes[anchor] = count - before
        if len(opened) > _DEEPEST:
            raise ValueError(f"{where}: nested more than {_DEEPEST} deep.")
        if count > _MOST_VALUES:
            raise ValueError(f"{where}: more than {_MOST_VALUES:,} values, with all aliases written out.")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).replace('in "<unicode string>", ', "").split())
