"""What lies in a directory: which files, whether they are what they are called, and whether they lie in it."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from .files import check_fields, read_json


_NONE = type(None)
_TEXT, _LIST, _OBJECT = (str, _NONE), (list, _NONE), (dict, _NONE)
# file -> the fields that are read of it, where they are there, and what they hold
FILES = {
    "config.json": {
        "model_type": _TEXT,
        "architectures": _LIST,
        "auto_map": _OBJECT,
        "id2label": _OBJECT,
        "label2id": _OBJECT,
        "codec_config": _OBJECT,
        "vocabulary_fingerprint": _TEXT,
    },
    "codec_config.json": {"model_type": _TEXT},
    "tokenizer_config.json": {"tokenizer_class": _TEXT, "auto_map": _OBJECT, "vocabulary_fingerprint": _TEXT},
    "tokenizer.json": {"model": dict},
    "special_tokens_map.json": {},
    "adapter_config.json": {"peft_type": str, "base_model_name_or_path": _TEXT, "auto_mapping": _OBJECT},
    "model.safetensors.index.json": {"weight_map": dict},
    "generation_config.json": {},
    "probe.json": {},
    "training.json": {"fingerprint": _TEXT, "corpus": _OBJECT, "vocabulary": _OBJECT},
}


# `model_type` in a `config.json` of ours: the classes, which have it too, import torch
_MODEL, _VOCABULARY = "vqdna", "vqdna_codec"


@dataclass(frozen=True)
class Holding:
    """What a directory holds, as its JSON files say.

    Attributes:
        names: which of `FILES` are there.
        config: `config.json`; empty where there is none.
    """

    names: frozenset[str]
    config: dict

    @property
    def model_type(self) -> str | None:
        """That of `config.json`."""
        return self.config.get("model_type")

    @property
    def is_foreign(self) -> bool:
        """Whether there is a model of another kind than VQDNA's."""
        return self.model_type not in (None, _MODEL, _VOCABULARY)

    @property
    def kind(self) -> str | None:
        """`adapter`, `probe`, `model` (an encoder with any head), `vocabulary`, or `None`."""
        if "adapter_config.json" in self.names:
            return "adapter"
        if "probe.json" in self.names:
            return "probe"
        if self.model_type == _MODEL:
            return "model"
        alone = self.model_type is None and "codec_config.json" in self.names
        return "vocabulary" if alone or self.model_type == _VOCABULARY else None


def read_directory(directory: str | os.PathLike) -> Holding:
    """What a directory holds; nothing where there is none.

    Raises:
        ValueError: see `read_json`.
    """
    place = Path(directory)
    names = frozenset(name for name in FILES if (place / name).is_file())
    return Holding(names, read_json(place / "config.json") if "config.json" in names else {})


def check_model_files(directory: str | os.PathLike):
    """Make sure that the JSON files in a directory, if it is one, are JSON objects with fields of the right kind.

    Raises:
        ValueError: names the file and what is wrong with it, or says that the path leads through links in a circle.
    """
    try:
        os.stat(directory)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{directory} leads through symbolic links that lead back to themselves.") from error
        return  # a name on the Hub, or a path that whoever reads there says is missing
    for name, kinds in FILES.items():
        path = Path(directory) / name
        if path.is_file():
            check_fields(read_json(path), kinds, path, needed=False)


def check_foreign_files(directory: Path, own: set[str]):
    """Make sure that a directory that is about to be replaced holds nothing but what a command wrote there.

    Raises:
        ValueError: names the files that would be lost.
    """
    foreign = sorted({path.name for path in directory.iterdir()} - own)
    if foreign:
        raise ValueError(
            f"{directory} also holds {', '.join(foreign)}, which would be lost. Move what you want to keep."
        )


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
