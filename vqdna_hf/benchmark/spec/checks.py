"""What no run could use, though each value is of its kind: names of nothing, settings that do not go together."""

import contextlib
import json

from huggingface_hub.errors import StrictDataclassError

from ...arguments.training import SINGLE_LABEL, FinetuneArguments, PretrainArguments, TrainTokenizerArguments
from ...baselines.kmer_regression import check_settings
from ...checkpoints.loading import load_tokenizer
from ...data.genome_bases import check_held_out
from ...training.masking import Masking
from ...training.objectives import check_token_options
from ...training.train_tokenizer import codec_config
from ..run.cells import list_cells
from .command_options import StudyArguments, check_keys, check_unique
from .schema import ModelEntry, Specification, Study


def check_specification(specification: Specification, to_run: bool = True):
    """Check the values of a file against each other and against what uses them.

    Args:
        to_run: whether vocabularies that the file names are to be used, and therefore loaded.

    Raises:
        ValueError: names the place and the value.
    """
    for mode in specification.modes:
        FinetuneArguments.check_options({"mode": mode}, "modes")
    # some file systems do not tell case apart
    check_unique([model.name.lower() for model in specification.models], "models")
    check_unique([task.name for task in specification.tasks], "tasks")
    check_unique(specification.seeds, "seeds")
    check_unique([study.name for study in specification.ablations], "ablations")
    if specification.reference not in (None, *(model.name for model in specification.models)):
        raise ValueError(f"reference: there is no model {specification.reference!r} in the file.")
    for model in specification.models:
        _check_modes(model, specification)
        _check_model(model, specification, to_run)
    # names become those of files
    check_unique([cell.name.lower() for cell in list_cells(specification)], "cells (task, model, mode and seed)")
    for study in specification.ablations:
        _check_study(study, specification)


def _check_modes(model: ModelEntry, specification: Specification):
    where, modes = f"models.{model.name}", model.modes or list(specification.modes)
    check_unique(modes, f"{where}.modes")
    unknown = [mode for mode in modes if mode not in specification.modes]
    if unknown:
        raise ValueError(f"{where}: the mode {unknown[0]!r} is not among the file's modes.")
    if model.tokenizer is not None and "end-to-end" in modes:
        raise ValueError(
            f"{where}: the mode end-to-end trains a learned vocabulary along, and there is none. Name its other modes "
            "(`modes: [full]`)."
        )
    if model.control == "kmer-regression":
        with _at(f"{where}.options"):
            check_settings(model.options.get("kmers", [6]), model.options.get("strands", "one"), SINGLE_LABEL)


def _check_model(model: ModelEntry, specification: Specification, to_run: bool):
    where, owner = f"models.{model.name}", specification.owner_of(model)
    if isinstance(model.vocabulary, str) and not (owner and owner.learns_vocabulary):
        raise ValueError(
            f"{where}: vocabulary names {model.vocabulary!r}, which is no model of the file that learns one. For one "
            "that is there already, say where: `vocabulary: {path: DIRECTORY}`."
        )
    untrained = model.encoder is None or model.encoder.get("max_steps") == 0
    makes_bpe = (model.tokenizer or {}).get("kind") == "bpe"
    if not specification.fasta and (not untrained or model.learns_vocabulary or makes_bpe):
        raise ValueError(f"{where} is pre-trained, but the file names no fasta.")
    codec = None
    if owner.learns_vocabulary:
        vocabulary = TrainTokenizerArguments(output="", **owner.vocabulary)
        codec = _codec(vocabulary, f"models.{owner.name}.vocabulary")
    elif owner.vocabulary_path is not None and to_run:
        with _at(f"{where}.vocabulary.path"):
            codec = load_tokenizer(owner.vocabulary_path).codec.config
    if untrained or (owner.vocabulary_path is not None and not to_run):
        return
    where = f"{where}.encoder"
    arguments = PretrainArguments(corpus="", output="", tokenizer=where, **model.encoder)
    if codec is None:
        with _at(where):
            check_token_options(arguments)
    _check_masking(arguments.masking, arguments.mask_ratio, arguments.span_length, codec, specification.window, where)


def _codec(arguments: TrainTokenizerArguments, where: str):
    """The codec's configuration."""
    with _at(where):
        check_held_out(arguments.eval_contigs, arguments.eval_fraction)
        return codec_config(arguments)


def _check_masking(kind: str, ratio: float, span_length: int | None, codec, window: int, where: str):
    with _at(where):
        masking = Masking(kind, ratio, 0 if codec is None else codec.halo, 1, span_length)
    if window < masking.min_length:
        raise ValueError(
            f"{where}: windows of {window} bases are too short for spans of {masking.span_length}; the file's window "
            f"should be {masking.min_length} or more."
        )


def _check_study(study: Study, specification: Specification):
    where, seeds = f"ablations.{study.name}", len(specification.seeds)
    if study.seeds > seeds:
        raise ValueError(f"{where}: seeds {study.seeds}: must be at most {seeds}, the number of the file's seeds")
    if not (study.published in (None, 7, 8, 9) or isinstance(study.published, bool)):
        raise ValueError(f"{where}: published {study.published}: must be 7, 8 or 9, the paper's tables of ablations")
    check_keys(study.models, [model.name for model in specification.models], f"{where}.models")
    for name, varied in study.models.items():
        if not isinstance(varied, dict) or not varied:
            raise ValueError(f"{where}.models.{name} {varied!r}: must say what is varied, as in {{mask_ratio: 0.15}}")
    if not study.variants:
        return
    tasks = [task.name for task in specification.tasks]
    if study.task not in tasks:
        raise ValueError(f"{where}: the task {study.task!r} is none of the file's: {', '.join(tasks)}.")
    if not specification.fasta:
        raise ValueError(f"{where} learns vocabularies, but the file names no fasta.")
    if not any(study.variants):
        raise ValueError(f"{where}: no variant varies anything.")
    check_unique([json.dumps(one, sort_keys=True) for one in study.variants], f"{where}.variants")
    for number, variant in enumerate(study.variants, start=1):
        place = f"{where}.variants, number {number}"
        options = StudyArguments(output="", **{**study.vocabulary, **variant})
        ratio, codec = options.masked_share, _codec(options, place)
        _check_masking(options.masking, ratio, options.span_length, codec, specification.window, place)


@contextlib.contextmanager
def _at(where: str):
    """Name the place in the file in the error of a check of the package."""
    try:
        yield
    except StrictDataclassError as error:
        raise ValueError(f"{where}: {error.__cause__ or error}") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
