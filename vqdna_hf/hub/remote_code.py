"""The code a VQDNA repository carries, for `trust_remote_code=True` where the package is not installed."""

import json
import os
from os import PathLike
from pathlib import Path

from ..modeling import configuration_vqdna


_CONFIG_FILE, _TOKENIZER_FILE = "config.json", "tokenizer_config.json"

# complete whatever class was saved: transformers itself would write the entry of that class only, and the directory
# of a masked language model could not be opened for classification
_AUTO_MAPS = {
    "vqdna": {
        "AutoConfig": "configuration_vqdna.VQDNAConfig",
        "AutoModel": "modeling_vqdna.VQDNAModel",
        "AutoModelForMaskedLM": "modeling_vqdna.VQDNAForMaskedLM",
        "AutoModelForSequenceClassification": "modeling_vqdna.VQDNAForSequenceClassification",
        "AutoModelForTokenClassification": "modeling_vqdna.VQDNAForTokenClassification",
    },
    "vqdna_codec": {
        "AutoConfig": "configuration_vqdna.VQDNACodecConfig",
        "AutoModel": "modeling_vqdna_codec.VQDNACodecModel",
    },
}
# the second entry is the fast (Rust) tokenizer, which there is not
_TOKENIZER_AUTO_MAP = {"AutoTokenizer": ["tokenization_vqdna.VQDNATokenizer", None]}


def write_remote_code(directory: str | PathLike) -> list[Path]:
    """Make a saved VQDNA directory loadable without the package, through `trust_remote_code=True`.

    Copies the modules of `vqdna_hf.modeling` into the directory and writes the complete `auto_map` into `config.json`
    and `tokenizer_config.json`. Every file is written under another name first and then renamed, the two maps last, so
    that no map ever names a module that is not there. Calling it again brings the copies up to date.

    Args:
        directory: holds a model (an encoder with any head, or a codec) and its tokenizer, both saved with
            `save_pretrained`.

    Returns:
        The files written.

    Raises:
        ValueError: the directory holds no VQDNA model, no VQDNA tokenizer, or a model and a tokenizer of two
            vocabularies; names the file.
    """
    directory = Path(directory)
    config = _read(directory / _CONFIG_FILE, "model")
    kind = config.get("model_type")
    if kind not in _AUTO_MAPS:
        raise ValueError(
            f"{directory / _CONFIG_FILE} has model_type {kind!r}, which is not one of {', '.join(_AUTO_MAPS)}: this "
            "is not the directory of a VQDNA model."
        )
    tokenizer = _read(directory / _TOKENIZER_FILE, "tokenizer")
    if tokenizer.get("tokenizer_class") != "VQDNATokenizer":
        raise ValueError(
            f"{directory / _TOKENIZER_FILE} has tokenizer_class {tokenizer.get('tokenizer_class')!r}, not "
            "'VQDNATokenizer'. Save the model's VQDNA tokenizer there."
        )
    theirs, ours = tokenizer.get("vocabulary_fingerprint"), config.get("vocabulary_fingerprint")
    if None not in (theirs, ours) and theirs != ours:
        raise ValueError(
            f"{directory} holds a model of the vocabulary {ours} and a tokenizer of {theirs}. Save the model's own "
            "tokenizer there."
        )
    contents = {path.name: path.read_bytes() for path in _modules()}
    contents[_CONFIG_FILE] = _as_json(config | {"auto_map": _AUTO_MAPS[kind]})
    contents[_TOKENIZER_FILE] = _as_json(tokenizer | {"auto_map": _TOKENIZER_AUTO_MAP})
    return _write(directory, contents)


def _modules() -> list[Path]:
    """The modules of `vqdna_hf.modeling`, wherever it is installed."""
    folder = Path(configuration_vqdna.__file__).parent
    return sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")


def _read(path: Path, what: str) -> dict:
    """The JSON object of a file that `save_pretrained` wrote."""
    if not path.is_file():
        raise ValueError(
            f"{path} was not found: {path.parent} is not the directory of a VQDNA model and its tokenizer. Save the "
            f"{what} there with `save_pretrained`."
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); save the {what} again.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds {type(values).__name__} and not a JSON object; save the {what} again.")
    return values


def _as_json(values: dict) -> bytes:
    return (json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")


def _write(directory: Path, contents: dict[str, bytes]) -> list[Path]:
    """Write every file under another name, then rename them in the order given."""
    partial = {directory / name: directory / f"{name}.partial" for name in contents}
    try:
        for temporary, content in zip(partial.values(), contents.values()):
            temporary.write_bytes(content)
        for path, temporary in partial.items():
            os.replace(temporary, path)
    finally:
        for temporary in partial.values():
            temporary.unlink(missing_ok=True)
    return list(partial)
