"""How the package writes and reads files: whole or not at all, valid JSON only, and one clear line where it cannot."""

import contextlib
import errno
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..modeling.files_vqdna import (
    leftover_of,
    leftovers,
    partial_path,
    remove,
    remove_leftovers,
    replacing,
    share_weights,
)


# a JSON file of more bytes is none that the package wrote
_LARGEST_JSON = 1 << 28
# nesting that no file of ours has; far below what the interpreter can follow
_DEEPEST_JSON = 100
# a string is read on to its end, or to the file's: to try again at each quote in it would take a time of their square
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_REMEDY = "Write it again, or copy it from where it is whole."
_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a whole number"}
_KINDS |= {float: "a number", type(None): "null"}


def write_file(path: Path, content: bytes):
    """Write a file under another name first, then rename it; see `replacing`."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, content: dict | list, indent: int = 2, ensure_ascii: bool = True):
    """Write a JSON file under another name first, then rename it; see `as_json`."""
    write_file(path, (as_json(content, indent, ensure_ascii) + "\n").encode())


def put_directory(partial: Path, output: Path):
    """Rename a finished directory to its final name, where nothing or an empty directory stands."""
    if output.is_dir():
        output.rmdir()  # Windows puts no directory in the place of another
    os.replace(partial, output)


def as_json(content, indent: int | None = 2, ensure_ascii: bool = True) -> str:
    """JSON that every reader accepts: nan and infinite numbers, which JSON lacks, are written as `null`.

    Who reads a number of a record therefore takes `None` for one that is not known (`np.asarray(..., dtype=float)`
    makes nan of it).
    """
    try:
        return json.dumps(content, indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(content), indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)


def _finite(value):
    if isinstance(value, dict):
        return {_finite_key(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _finite_key(key):
    return str(key) if isinstance(key, float) else key


def read_json(
    path: str | os.PathLike,
    error: type[ValueError] = ValueError,
    complaint: str | None = None,
    advice: str = _REMEDY,
) -> dict:
    """The JSON object in a file. NaN, which earlier versions wrote, is read as the number it stands for.

    Args:
        error: what is raised.
        complaint: what to say of a file that is something else, as in "is no manifest".
        advice: what to do then, a sentence.

    Raises:
        error: the file holds no JSON object, is nested too deeply or too large, or may not be read; names it.
        OSError: it is not there, or cannot be read for another reason.
    """
    try:
        size = os.stat(path).st_size
        if size > _LARGEST_JSON:
            raise ValueError(f"it has {size:,} bytes, and {_LARGEST_JSON:,} at most are read")
        text = Path(path).read_text(encoding="utf-8")
        if _depth(text) > _DEEPEST_JSON:
            raise ValueError(f"it is nested more than {_DEEPEST_JSON} deep")
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError(f"it is {_KINDS[type(content)]}")
        return content
    except PermissionError as reason:
        raise error(f"{path} cannot be read: permission denied. Ask its owner to let you read it.") from reason
    except ValueError as reason:
        syntax = isinstance(reason, (json.JSONDecodeError, UnicodeDecodeError))
        complaint = complaint or ("is not valid JSON" if syntax else "holds no JSON object")
        raise error(f"{path} {complaint}: {reason}. {advice}") from reason


def _depth(text: str) -> int:
    """How deep the brackets outside of strings are nested."""
    if text.count("[") + text.count("{") <= _DEEPEST_JSON:
        return 0
    deepest = depth = 0
    for token in _TOKEN.findall(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
        deepest = max(deepest, depth)
    return deepest


def check_fields(
    content: dict, shape: dict, place: str | os.PathLike, error=ValueError, needed: bool = True, within: str = ""
):
    """Make sure that fields of a JSON object are of the kind that is read there; others are not looked at.

    Args:
        shape: field -> what its value has to be: a type (`bool` is no `int` here, and `int` does for `float`), a list
            of one shape, a dict as this one, or a tuple of those that will do. A field whose name ends with `?` may be
            missing; `*` stands for every field.
        place: the file, for the message.
        error: what is raised.
        needed: whether every other field must be there.
        within: the field that holds the object, with a dot behind it.

    Raises:
        error: names the file, the field, its value and what is needed.
    """
    missing = [within + name for name in shape if needed and name[-1] not in "?*" and name not in content]
    if missing:
        raise error(f"{place} has no {', '.join(missing)}. {_REMEDY}")
    for name, part in shape.items():
        for key in content if name == "*" else {name.removesuffix("?")} & content.keys():
            _check_value(content[key], part, place, error, within + key)


def _check_value(value, shape, place: str | os.PathLike, error: type[ValueError], field: str):
    parts = shape if isinstance(shape, tuple) else (shape,)
    choices = {part if isinstance(part, type) else type(part): part for part in parts}
    kind = float if type(value) is int and int not in choices else type(value)
    if kind not in choices:
        shown = repr(value) if len(repr(value)) <= 100 else repr(value)[:100] + "..."
        wanted = " or ".join(_KINDS[one] for one in choices)
        raise error(f"{place}: {field} is {shown}, but {wanted} is needed. {_REMEDY}")
    if isinstance(choices[kind], dict):
        check_fields(value, choices[kind], place, error, within=f"{field}.")
    elif isinstance(choices[kind], list):
        for number, part in enumerate(value):
            _check_value(part, choices[kind][0], place, error, f"{field}[{number}]")


def read_record(path: str | os.PathLike, kinds: dict[str, type | tuple]) -> dict:
    """The JSON object in a file, with the fields that are read of it; see `read_json` and `check_fields`."""
    content = read_json(path)
    check_fields(content, kinds, path)
    return content


def check_output(output: str | os.PathLike):
    """Make sure that a path to write to can be followed: no loop of symbolic links, no link to nowhere, no file on it.

    Raises:
        ValueError: names the path and what is in the way.
    """
    try:
        os.stat(output)
    except FileNotFoundError:
        if os.path.islink(output):
            raise ValueError(
                f"{output} is a symbolic link to {os.readlink(output)}, which is not there. Remove the link, or "
                "choose another --output."
            ) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            reason = "it leads through symbolic links that lead back to themselves"
        else:
            reason = error.strerror or str(error)
        raise ValueError(f"{output} cannot be written to: {reason}. Choose another --output.") from error


def holds_files(directory: Path, leftovers_of: tuple[str, ...] = ()) -> bool:
    """Whether a directory has anything in it but what killed runs left of the files named."""
    return any(leftover_of(path.name) not in leftovers_of for path in directory.iterdir())


def restore_directory(output: Path):
    """Remove what killed runs left beside a directory, once the older one is back if it was taken away for a new one.

    Raises:
        ValueError: see `check_output`.
    """
    check_output(output)
    old = [path for path in leftovers(output) if path.suffix == ".old"]
    if old and not output.exists():
        os.replace(max(old, key=lambda path: path.lstat().st_mtime), output)
    remove_leftovers(output)


@contextlib.contextmanager
def replacing_directory(output: Path) -> Iterator[Path]:
    """Write a directory: the block fills another one, which takes the place of the older one when the block ends well.

    Until then the older one stays, and when the block fails, what it wrote is removed.

    Raises:
        ValueError: see `check_output`.
        OSError: the directory cannot be written.
    """
    output = Path(os.path.abspath(output))  # `.` has no name to write another beside
    restore_directory(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial, old = partial_path(output), partial_path(output, "old")
    for path in (partial, old):
        remove(path)
    try:
        partial.mkdir()
        yield partial
        _settle(partial)
        if output.exists():
            os.replace(output, old)
        try:
            put_directory(partial, output)
        except OSError:
            if old.exists():
                os.replace(old, output)
            raise
        remove(old)
    finally:
        remove(partial)


@contextlib.contextmanager
def adding_to_directory(output: Path, *last: str) -> Iterator[Path]:
    """Write files into a directory that may hold others: they appear there once all of them are whole.

    Args:
        output: the directory; the block is given another one to fill, flat.
        last: the files that say that the others are there.

    Raises:
        ValueError: see `check_output`.
        OSError: the files cannot be written.
    """
    if not output.exists():
        with replacing_directory(output) as partial:
            yield partial
        return
    restore_directory(output)
    # within it, as it may be a file system of its own
    partial = partial_path(output / last[-1])
    remove_leftovers(output / last[-1])
    remove(partial)
    try:
        partial.mkdir()
        yield partial
        _settle(partial)
        for path in sorted(partial.iterdir(), key=lambda path: path.name in last):
            os.replace(path, output / path.name)
    finally:
        remove(partial)


def _settle(directory: Path):
    """Give the files of a directory the umask's mode, and have them on the disk."""
    for folder in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
        share_weights(folder)
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())


def save_pretrained(what, directory: str | os.PathLike):
    """Save a model, an adapter or a tokenizer, readable by whoever the umask lets read files.

    The files of a tokenizer appear once all of them are whole, `tokenizer_config.json` last: it is what tells other
    commands that there is one.

    Args:
        what: has a `save_pretrained`.
    """
    if hasattr(what, "save_vocabulary"):
        with adding_to_directory(Path(directory), "tokenizer_config.json") as partial:
            what.save_pretrained(partial)
        return
    what.save_pretrained(directory)
    share_weights(directory)
