"""Files of a directory that is going to be published: they lie in it, whatever a name in a file or a link says."""

import os
from pathlib import Path


def plain_name(name, named_in: str) -> str:
    """The name of a file, if it is one and no path.

    Args:
        name: what a file of the directory says.
        named_in: where it says so.

    Raises:
        ValueError: it is a path, or no text.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or set(name) & set("/\\:\0"):
        raise ValueError(
            f"{named_in} names the file {name!r}, but only files beside it, without any path, are read and published. "
            "Save the model again with `save_pretrained`."
        )
    return name


def check_inside(directory: Path, name: str) -> Path:
    """A file of a directory, by its name relative to it.

    Links within the directory are followed; the directory itself may be a link.

    Raises:
        ValueError: a link, or `..` in the name, leads out of the directory or nowhere.
    """
    path, root = directory / name, Path(os.path.realpath(directory))
    # subtle: a path with `..` is looked at as it is written, and not through the link before the dots
    for place in (path, *path.parents[: len(Path(name).parts) - 1]):
        if place.is_symlink() and not os.path.exists(place):
            raise ValueError(f"{place} is a symbolic link that leads nowhere. Put the file itself there.")
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(root):
        raise ValueError(
            f"{path} leads to {real}, outside of {root}, and files from elsewhere are not published. Put a copy of "
            "the file there if it belongs to the model (`cp -rL` copies a directory without its links)."
        )
    return path
