"""What of a directory belongs in a repository, and the copy of it that is going to be uploaded."""

import logging
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import yaml
from huggingface_hub import metadata_load, try_to_load_from_cache
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError, safe_open

from ..cards.card import is_nobodys_words, write_model_card
from ..checkpoints.lineage import without_paths
from ..modeling.compiled_vqdna import TABLE_FILE
from ..modeling.tokenization_vqdna import VOCAB_FILES_NAMES
from ..runs.directories import check_inside, plain_name, read_directory
from ..runs.files import read_json, read_record, write_json
from ..runs.records import check_digests
from .remote_code import write_remote_code


logger = logging.getLogger(__name__)

_ADAPTER, _ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_TOKENIZER = ["tokenizer_config.json", "codec.safetensors", "codec_config.json"]
_IF_ANY = ["special_tokens_map.json", "results.json", "LICENSE"]
_ONNX = ["onnx/export.json", "onnx/tokenizer.onnx", "onnx/model.onnx"]
_KINDS = {"vqdna": "model", "vqdna_codec": "vocabulary"}
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
# what a card is made from, but no part of a repository
_FOR_THE_CARD = ["training.json", "trainer_state.json", "card.json", "results/results*.json"]


def directory_kind(directory: Path) -> str:
    """`"model"`, `"vocabulary"` or `"adapter"`.

    Raises:
        ValueError: it is none of them, or incomplete, or a file is damaged; names the file.
    """
    if not directory.is_dir():
        raise ValueError(f"{directory} is not a directory. Give the one that `vqdna pretrain` or `finetune` wrote.")
    held = read_directory(directory)
    if held.kind == "adapter":
        if _model_weights(directory):
            raise ValueError(
                f"{directory} holds a model ({_WEIGHTS}) and an adapter ({_ADAPTER}), of which a repository can hold "
                "one. Copy the files of one of them to a directory of their own."
            )
        return "adapter"
    if held.kind == "probe":
        raise ValueError(f"{directory} holds a linear probe, which no Auto class can load. It is not published.")
    if "config.json" not in held.names:
        raise ValueError(
            f"{directory} holds neither config.json nor {_ADAPTER}: it is not the directory of a finished model, "
            "vocabulary or adapter."
        )
    if held.model_type not in list(_KINDS):  # a list, as the file may hold anything
        raise ValueError(
            f"{directory / 'config.json'} has model_type {held.model_type!r}, but only VQDNA models and vocabularies "
            f"can be published: {', '.join(_KINDS)}."
        )
    return _KINDS[held.model_type]


def files_to_publish(directory: Path, kind: str) -> list[str]:
    """The names of the files that make up a repository of this kind; each is there and whole.

    Raises:
        ValueError: names the file that is missing or damaged.
    """
    if kind == "adapter":
        names = [_ADAPTER, _ADAPTER_WEIGHTS]
        names += _TOKENIZER if (directory / _TOKENIZER[0]).is_file() else []
    else:
        names = ["config.json", *(_model_weights(directory) or [_WEIGHTS]), *_TOKENIZER]
    if any(_is_compiled(directory, name) for name in names):
        names.append(TABLE_FILE)
    for name in names:
        _check_file(check_inside(directory, name))
    names += [name for name in (*_IF_ANY, *_ONNX) if check_inside(directory, name).is_file()]
    if _TOKENIZER[0] in names:
        _check_tokenizer(directory / _TOKENIZER[0])
    if _ONNX[0] in names:
        _check_export(directory, directory / TABLE_FILE if TABLE_FILE in names else None)
    check_digests(directory, names)
    return names


def _is_compiled(directory: Path, name: str) -> bool:
    """Whether a file is the configuration of a codec, alone or within a model's, whose codes stand in a table."""
    if name not in ("config.json", "codec_config.json") or not (directory / name).is_file():
        return False
    fields = read_json(check_inside(directory, name))
    codec = fields.get("codec_config")
    return bool((codec if isinstance(codec, dict) else fields).get("compiled"))


def _model_weights(directory: Path) -> list[str]:
    """The files `from_pretrained` would read: one, or an index and its shards."""
    if (directory / _WEIGHTS).is_file():
        return [_WEIGHTS]
    if not (directory / _INDEX).is_file():
        return []
    shards = read_json(check_inside(directory, _INDEX)).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ValueError(
            f"{directory / _INDEX}: weight_map is {shards!r}, but takes the file of every tensor. Save the "
            "model again."
        )
    return [_INDEX, *sorted({plain_name(name, f"{directory / _INDEX}, weight_map") for name in shards.values()})]


def _check_tokenizer(path: Path):
    """A tokenizer's configuration never says where its network is; `from_pretrained` would believe it."""
    for field in VOCAB_FILES_NAMES:
        if field in (values := read_json(path)):
            raise ValueError(
                f"{path}: {field} is {values[field]!r}, but a tokenizer is read from the files beside it. Remove the "
                "field, or save the tokenizer again."
            )


def _check_export(directory: Path, table: Path | None):
    """Whether the ONNX files beside a model are of its vocabulary, and of its table of codes if it is compiled; saving
    it again does not renew them.
    """
    record = read_record(directory / _ONNX[0], {"metadata": dict})["metadata"]
    theirs = record.get("vocabulary_fingerprint")
    tokenizer = directory / _TOKENIZER[0]
    ours = read_json(tokenizer).get("vocabulary_fingerprint") if tokenizer.is_file() else theirs
    if theirs != ours:
        raise ValueError(
            f"{directory / 'onnx'} was exported with the vocabulary {theirs}, but the directory's is {ours}: run "
            f"`vqdna export {directory}` again, or remove it."
        )
    ours = None
    if table is not None:
        with safe_open(table, framework="np") as file:
            ours = (file.metadata() or {}).get("digest")
    if record.get("table_digest") != ours:
        raise ValueError(
            f"{directory / 'onnx'} was exported with the table {record.get('table_digest')}, but the directory's is "
            f"{ours}: the vocabulary was compiled since then. Run `vqdna export {directory}` again, or remove it."
        )


def _check_file(path: Path):
    if not path.is_file():
        pickles = [other.name for other in sorted(path.parent.iterdir()) if other.suffix in PICKLES]
        remedy = "Save it with `save_pretrained`."
        if pickles and path.suffix == ".safetensors":
            remedy = f"{pickles[0]} is a pickle, which is not published: save the model again, as safetensors."
        raise ValueError(f"{path} was not found. {remedy}")
    if path.suffix != ".safetensors":
        return
    try:
        with safe_open(path, framework="np"):
            pass
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}): the file is truncated or damaged. Copy or save it again."
        ) from error


def stage(
    directory: Path,
    staging: Path,
    kind: str,
    repo_id: str,
    base_model: str | None = None,
    names: list[str] | None = None,
) -> list[str]:
    """Copy what belongs in a repository, and add the code, the licence and the card.

    Args:
        directory: is not changed.
        staging: a new directory.
        repo_id: what the card calls it.
        base_model: for an adapter, the repository of its base.
        names: what `files_to_publish` gave, which reads all weights, if it was asked already.

    Returns:
        The names of the files of `directory` that were left out.

    Raises:
        ValueError: see `files_to_publish` and `write_remote_code`; or the card's metadata cannot be read.
    """
    names = files_to_publish(directory, kind) if names is None else names
    staging.mkdir(parents=True)
    for name in names:
        (staging / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(directory / name, staging / name)
    if (staging / "results.json").is_file():
        write_json(staging / "results.json", without_paths(read_json(staging / "results.json")), ensure_ascii=False)
    if kind == "adapter":
        settings = read_json(staging / _ADAPTER)
        write_json(staging / _ADAPTER, settings | {"base_model_name_or_path": base_model}, ensure_ascii=False)
    if (staging / _TOKENIZER[0]).is_file():  # an adapter alone holds nothing that needs code
        write_remote_code(staging)
    if not (staging / "LICENSE").is_file():
        (staging / "LICENSE").write_text(license_text(), encoding="utf-8")
    _write_card(directory, staging, repo_id)
    made = {path.name for path in staging.iterdir()} | {pattern.split("/")[0] for pattern in _FOR_THE_CARD}
    return sorted(path.name for path in directory.iterdir() if path.name not in made)


def _write_card(directory: Path, staging: Path, repo_id: str):
    """Keep the card somebody wrote; render the others, which may be older than the code or name this directory."""
    card = check_inside(directory, "README.md")
    if card.is_file() and _is_written(card):
        shutil.copyfile(card, staging / card.name)
        return
    for pattern in (*_TOKENIZER, "config.json", "probe.json", *_FOR_THE_CARD):
        for source in directory.glob(pattern):
            check_inside(directory, str(source.relative_to(directory)))
    # as they are going to be: with the names of the code, and without paths
    records = {path.name: read_json(path) for path in staging.glob("*.json")}
    write_model_card(directory, repo_id=repo_id, records=records, output=staging / card.name)


def _is_written(path: Path) -> bool:
    """Whether somebody wrote or edited it."""
    text = path.read_text(encoding="utf-8")
    if is_nobodys_words(text):
        return False
    try:
        metadata = metadata_load(path)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(
            f"The metadata at the top of {path} cannot be read ({error}). Correct or remove it."
        ) from error
    if metadata is None:
        logger.warning(
            "%s has no metadata (a block between two lines of ---), without which the Hub cannot file the model. "
            "`vqdna card` writes a card with it.",
            path,
        )
    return True


def base_of(directory: Path, wanted: str | None) -> tuple[str, str]:
    """What an adapter's base is called for others, and where it is here: a directory, or the same name.

    Args:
        wanted: what the user calls it.

    Raises:
        ValueError: others could not find it under that name.
    """
    recorded = read_json(directory / _ADAPTER).get("base_model_name_or_path")
    name = wanted if _is_repo_id(wanted) else findable_base(wanted or recorded, remedy="--base-model OWNER/NAME")
    for place in (recorded, name):
        if place and Path(place).is_dir():
            return name, str(Path(place).resolve())
    return name, name


def findable_base(name: str | None, remedy: str) -> str:
    """The name of an adapter's base model, if anyone can find it on the Hub.

    Args:
        remedy: how to name another one.

    Raises:
        ValueError: it is a directory, or no name of a repository.
    """
    if not _is_repo_id(name) or Path(name).is_dir():
        raise ValueError(
            f"The adapter names {name!r} as its base model, which only this machine could find. Publish the base "
            f"model, then name its repository: {remedy}."
        )
    return name


def _is_repo_id(name) -> bool:
    """Whether it is `owner/name`."""
    try:
        validate_repo_id(name)
    except ValueError:
        return False
    return isinstance(name, str) and name.count("/") == 1


def stage_base(base: str, staging: Path) -> str:
    """An adapter's base as anyone would find it: with code. Links the weights of a directory.

    Raises:
        ValueError: it is neither a directory nor a repository in the cache; or see `files_to_publish`.
    """
    if not Path(base).is_dir():
        if not isinstance(try_to_load_from_cache(base, "config.json"), str):
            raise ValueError(
                f"The adapter's base model {base} is neither a directory here nor in the cache of the Hub, so that "
                f"the adapter cannot be tried on it. Download it first: hf download {base}"
            )
        return base  # a repository has its own code
    staging.mkdir(parents=True)
    for name in files_to_publish(Path(base), "model"):
        source, target = Path(base).absolute() / name, staging / name
        target.parent.mkdir(exist_ok=True)
        try:
            target.symlink_to(source)
        except OSError:  # Windows lets few users make links
            shutil.copyfile(source, target)
    write_remote_code(staging)
    return str(staging)


def license_text() -> str:
    """The licence of the code: an install keeps it with its metadata, a checkout in its root."""
    try:
        found = distribution("vqdna-hf").read_text("licenses/LICENSE")
    except PackageNotFoundError:
        found = None
    return found or (Path(__file__).resolve().parents[2] / "LICENSE").read_text(encoding="utf-8")
