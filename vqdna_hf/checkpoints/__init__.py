"""The checkpoints that come with the package: one directory each, and names that the commands take in their place.

`vqdna-hrq-small` is a tokenizer with a pre-trained encoder, `vqdna-vq-small` a tokenizer alone. So are
`vqdna-hrq-compact` and `vqdna-vq-compact`, whose codes are functions of 9 bases, and are looked up.
"""

from os import PathLike, fspath
from pathlib import Path

from ..runs.directories import check_model_files


DEFAULT_CHECKPOINT = "vqdna-hrq-small"
_FOLDER = Path(__file__).resolve().parent


def list_checkpoints() -> list[str]:
    """The names of the checkpoints that are there."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/tokenizer_config.json"))


def checkpoint(name: str = DEFAULT_CHECKPOINT) -> str:
    """The directory of a checkpoint that comes with the package.

    Example:

    ```python
    >>> import vqdna_hf
    >>> from transformers import AutoModelForMaskedLM, AutoTokenizer

    >>> tokenizer = AutoTokenizer.from_pretrained(vqdna_hf.checkpoint())
    >>> model = AutoModelForMaskedLM.from_pretrained(vqdna_hf.checkpoint("vqdna-hrq-small"))
    ```

    Raises:
        ValueError: there is no checkpoint of that name.
    """
    known = list_checkpoints()
    if name not in known:
        there = f"choose one of {', '.join(known)}" if known else "the package was installed without any"
        raise ValueError(f"No checkpoint {name!r} comes with the package; {there}.")
    return str(_FOLDER / name)


def resolve_checkpoint(place: str | PathLike) -> str:
    """What to load for a value that names a directory, a repository of the Hub, or a checkpoint of the package.

    Args:
        place: what a user gave. A directory comes first, also one that is called as a checkpoint is.

    Returns:
        The checkpoint's directory if the name is that of one, else the value as it is.

    Raises:
        ValueError: the directory's JSON files cannot be read as what they are called; see `check_model_files`.
    """
    place = fspath(place)
    check_model_files(place)
    return checkpoint(place) if place in list_checkpoints() and not Path(place).is_dir() else place


def resolve_with_output(place: str | PathLike, output: str | PathLike | None) -> str:
    """`resolve_checkpoint` for a command that writes beside what it reads, unless it is told where.

    Raises:
        ValueError: a checkpoint of the package is named, and no output.
    """
    directory = resolve_checkpoint(place)
    if directory != fspath(place) and output is None:
        raise ValueError(f"{place} comes with the package, where nothing is written: say where with --output.")
    return directory
