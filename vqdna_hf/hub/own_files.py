"""Files of a directory that is going to be published: they lie in it, whatever a name in a file or a link says."""

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
    path = directory / name
    try:
        real, root = path.resolve(), directory.resolve()
    except (OSError, RuntimeError):  # the latter until Python 3.12
        raise ValueError(f"{path} is a symbolic link that leads back to itself. Put the file itself there.") from None
    if not real.is_relative_to(root):
        raise ValueError(
            f"{path} leads to {real}, outside of {root}, and files from elsewhere are not published. Put a copy of "
            "the file there if it belongs to the model (`cp -rL` copies a directory without its links)."
        )
    return path
