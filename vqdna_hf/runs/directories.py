"""The JSON files of a model's directory, checked before the libraries read them, which would end in a traceback."""

import errno
import os
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
