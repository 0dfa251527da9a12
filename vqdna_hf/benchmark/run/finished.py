"""Whether what was made in an output directory is what the file says: settings, genomes, vocabulary."""

from dataclasses import MISSING, fields
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import AutoTokenizer

from ...arguments.training import PretrainArguments, TrainTokenizerArguments
from ...baselines.write_tokenizer import BaselineTokenizerArguments
from ...checkpoints import resolve_checkpoint
from ...modeling.tokenization_vqdna import VQDNATokenizer
from ...runs.files import check_fields, read_json
from ...runs.records import different_settings
from ..spec.schema import ModelEntry, Specification


# what a step makes is the same whatever these are
_LOOKING = ("save_steps", "logging_steps", "eval_steps", "neighbour_steps", "resume")
# places; what is there is compared by itself
_PLACES = ("output", "fasta", "corpus", "tokenizer", "model")
UNTRAINED = "untrained.json"
_REMEDY = "Remove it and all that was made with it, or choose another output."


def tokenizer_directory(entry: ModelEntry, output: Path) -> Path:
    """Where the vocabulary of a model is, which may be another model's, or one that was there before."""
    if entry.vocabulary_path is not None:
        return Path(resolve_checkpoint(entry.vocabulary_path))
    owner = entry.vocabulary if isinstance(entry.vocabulary, str) else entry.name
    return output / "models" / owner / "tokenizer"


def encoder_directory(entry: ModelEntry, output: Path) -> Path:
    """Where the encoder of a model is."""
    return output / "models" / entry.name / "encoder"


def check_made(specification: Specification, output: Path):
    """Check all that is finished or begun in `output`, before anything is trained.

    Raises:
        ValueError: other settings, genomes or windows than the file says, or an encoder over another vocabulary.
    """
    for entry in specification.models:
        if entry.learns_vocabulary:
            is_finished(tokenizer_directory(entry, output), entry.vocabulary, TrainTokenizerArguments, specification)
        elif entry.tokenizer is not None:
            is_finished(tokenizer_directory(entry, output), entry.tokenizer, BaselineTokenizerArguments, specification)
        if entry.encoder is not None:
            check_encoder(entry, specification, output)


def check_encoder(entry: ModelEntry, specification: Specification, output: Path) -> bool:
    """Whether the encoder of a model is finished, over the vocabulary that the file says.

    Raises:
        ValueError: as for `check_made`.
    """
    directory, vocabulary = encoder_directory(entry, output), tokenizer_directory(entry, output)
    if entry.encoder.get("max_steps") == 0:
        if (directory / "training.json").is_file():
            raise ValueError(f"{directory} is pre-trained, but the file says max_steps: 0. {_REMEDY}")
        finished = _is_there(directory / "config.json")
        if (directory / UNTRAINED).is_file():
            before = read_json(directory / UNTRAINED)
            options = {name: value for name, value in entry.encoder.items() if name in before}
            _check_settings(directory, before, options, PretrainArguments, 1, "made")
    else:
        finished = is_finished(directory, entry.encoder, PretrainArguments, specification)
    # nothing is over a vocabulary that is not finished
    there = entry.vocabulary_path is not None or (vocabulary / "training.json").is_file()
    letters = _letters_of_encoder(directory, finished) if there else None
    if letters is not None and letters != _letters(vocabulary):
        raise ValueError(f"{directory} is over another vocabulary than that in {vocabulary}. {_REMEDY}")
    return finished


def is_finished(directory: Path, options: dict, arguments_class: type, specification: Specification) -> bool:
    """Whether a step is finished; the same answer for every process.

    Args:
        options: what the file says; what it leaves out has the default value of `arguments_class`.

    Raises:
        ValueError: it is finished or begun, with other settings, genomes or windows.
    """
    finished = _is_there(directory / "training.json")
    path = directory / ("training.json" if finished else "run.json")
    if not path.is_file():
        return False
    content = read_json(path)
    if not finished:
        _check_settings(directory, content, options, arguments_class, PartialState().num_processes, "begun")
        return False
    processes = content.get("processes", 1)
    check_fields(content, {"arguments": dict}, path)
    _check_settings(directory, content["arguments"], options, arguments_class, processes, "made")
    check_inputs(directory, content.get("corpus") or content, specification)
    return True


def check_inputs(directory: Path, content: dict, specification: Specification):
    """Make sure that something was made from the file's genomes, in its windows.

    Args:
        content: a record; `inputs` and `window` in it are compared, if they are there.

    Raises:
        ValueError: they are others.
    """
    then = [one["file"] for one in content.get("inputs") or []]
    now = [Path(path).name for path in specification.fasta]
    if then and then != now:
        raise ValueError(
            f"{directory} was made from {', '.join(then)}, but the file's fasta is {', '.join(now) or 'none'}. "
            f"{_REMEDY}"
        )
    window = content.get("window")
    if window is not None and window != specification.window:
        raise ValueError(
            f"{directory} has windows of {window} bases, but the benchmark file says {specification.window}. {_REMEDY}"
        )


def _is_there(path: Path) -> bool:
    # subtle: one process looks for all, or a slow one would find what the first has made in the meantime
    return broadcast_object_list([path.is_file()])[0]


def _check_settings(directory: Path, before: dict, options: dict, arguments_class: type, processes: int, verb: str):
    default = {one.name: one.default for one in fields(arguments_class) if one.default is not MISSING}
    # an option that is newer than the record had no other value then
    now = {name: value for name, value in default.items() if name in before} | options
    if before.get("batch_size") is not None:
        before = before | {"batch_size": before["batch_size"] * processes}
    if changes := different_settings(before, now, sorted(set(now) - {*_LOOKING, *_PLACES})):
        raise ValueError(f"{directory} was {verb} with other settings ({changes}). {_REMEDY}")


def _letters_of_encoder(directory: Path, finished: bool) -> str | None:
    """Those that a finished encoder reads, or one that was begun; None if nothing says so."""
    if finished:
        return _letters(directory)
    path = directory / "run.json"
    return read_json(path).get("fingerprint") if path.is_file() else None


def _letters(directory: Path) -> str:
    """All that decides how a tokenizer reads DNA."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    if isinstance(tokenizer, VQDNATokenizer):
        return tokenizer.vocabulary_fingerprint
    return tokenizer.backend_tokenizer.to_str()
