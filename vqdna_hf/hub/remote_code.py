"""The code a VQDNA repository carries, for `trust_remote_code=True` where the package is not installed."""

import json
from os import PathLike
from pathlib import Path

from ..modeling import configuration_vqdna
from ..modeling.repository_vqdna import AUTO_MAPS, TOKENIZER_AUTO_MAP, custom_pipelines
from ..runs.files import adding_to_directory, read_json


_CONFIG_FILE, _TOKENIZER_FILE, _ADAPTER_FILE = "config.json", "tokenizer_config.json", "adapter_config.json"
# modules that repositories of an earlier layout carry: no present module imports them
EARLIER_MODULES = frozenset(
    f"{name}_vqdna.py"
    for name in (
        *("codebook", "codec_networks", "configuration_conv", "heads", "outputs", "precision", "pretrained"),
        *("tokenizer_inputs", "tokenizer_settings", "vocabulary"),
    )
)


def write_remote_code(directory: str | PathLike) -> list[Path]:
    """Make a saved VQDNA directory loadable without the package, through `trust_remote_code=True`.

    Copies the modules of `vqdna_hf.modeling` into the directory and writes the complete `auto_map` into `config.json`
    and `tokenizer_config.json`, and the pipelines into the former. Every file is written under another name first and
    then renamed, the two maps last, so that no map ever names a module that is not there. Calling it again brings the
    copies up to date, and removes modules that only an earlier layout had (`EARLIER_MODULES`).

    Args:
        directory: holds a model (an encoder with any head, or a codec) and its tokenizer, both saved with
            `save_pretrained`; or an adapter and its tokenizer, which then is all that needs code: the model comes from
            the adapter's base.

    Returns:
        The files written.

    Raises:
        ValueError: the directory holds no VQDNA model, no VQDNA tokenizer, or a model and a tokenizer of two
            vocabularies; names the file.
    """
    directory = Path(directory)
    contents = module_contents()
    fingerprint = None
    if not (directory / _ADAPTER_FILE).is_file():
        config = _read_model(directory)
        fingerprint = config.get("vocabulary_fingerprint")
        contents[_CONFIG_FILE] = with_references(config)
    contents[_TOKENIZER_FILE] = with_references(_read_tokenizer(directory, fingerprint))
    with adding_to_directory(directory, _CONFIG_FILE, _TOKENIZER_FILE) as partial:
        for name, content in contents.items():
            (partial / name).write_bytes(content)
    for name in EARLIER_MODULES:
        (directory / name).unlink(missing_ok=True)
    return [directory / name for name in contents]


def with_references(values: dict) -> bytes:
    """The content of a `config.json` or `tokenizer_config.json` that names the code it is read with."""
    kind = values.get("model_type")
    references = {"auto_map": AUTO_MAPS[kind] if kind in AUTO_MAPS else TOKENIZER_AUTO_MAP}
    if pipelines := custom_pipelines(kind):
        references["custom_pipelines"] = pipelines
    # what an earlier load has left there may name code that is not uploaded
    kept = {name: value for name, value in values.items() if name not in ("auto_map", "custom_pipelines")}
    return (json.dumps(kept | references, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _read_model(directory: Path) -> dict:
    config = _read(directory / _CONFIG_FILE, "model")
    if config.get("model_type") not in list(AUTO_MAPS):
        raise ValueError(
            f"{directory / _CONFIG_FILE} has model_type {config.get('model_type')!r}, which is not one of "
            f"{', '.join(AUTO_MAPS)}: this is not the directory of a VQDNA model."
        )
    return config


def _read_tokenizer(directory: Path, fingerprint: str | None) -> dict:
    tokenizer = _read(directory / _TOKENIZER_FILE, "tokenizer")
    if tokenizer.get("tokenizer_class") != "VQDNATokenizer":
        raise ValueError(
            f"{directory / _TOKENIZER_FILE} has tokenizer_class {tokenizer.get('tokenizer_class')!r}, not "
            "'VQDNATokenizer'. Save the model's VQDNA tokenizer there."
        )
    theirs = tokenizer.get("vocabulary_fingerprint")
    if None not in (theirs, fingerprint) and theirs != fingerprint:
        raise ValueError(
            f"{directory} holds a model of the vocabulary {fingerprint} and a tokenizer of {theirs}. Save the model's "
            "own tokenizer there."
        )
    return tokenizer


def module_contents() -> dict[str, bytes]:
    """The modules of `vqdna_hf.modeling`, wherever it is installed, by the names of their files."""
    folder = Path(configuration_vqdna.__file__).parent
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"}


def _read(path: Path, what: str) -> dict:
    """The JSON object of a file that `save_pretrained` wrote."""
    if not path.is_file():
        raise ValueError(
            f"{path} was not found: {path.parent} is not the directory of a VQDNA model and its tokenizer. Save the "
            f"{what} there with `save_pretrained`."
        )
    return read_json(path, advice=f"Save the {what} again.")
