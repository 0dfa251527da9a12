"""Values of a benchmark file that no run could use, found while it is read: each with its place in the file."""

import json
import math

from huggingface_hub.errors import StrictDataclassError

from ...arguments.data import BaselineTokenizerArguments
from ...arguments.training import FinetuneArguments, PretrainArguments, TrainTokenizerArguments
from ...baselines.kmer_regression import check_settings
from ...checkpoints.loading import load_tokenizer
from ...data.genome_bases import check_held_out
from ...tasks.rows import SINGLE_LABEL
from ...training.masking import Masking
from ...training.pretrain_tokens import check_options
from ...training.train_tokenizer import codec_config
from ..run.cells import list_cells
from .parsing import check_unique
from .schema import MODES, ModelEntry, Specification, Study, TaskEntry


def check_values(specification: Specification, to_run: bool = True):
    """Check every value of a file against what uses it.

    Args:
        to_run: whether vocabularies that the file names are to be used, and therefore loaded.

    Raises:
        ValueError: names the place and the value.
    """
    for seed in specification.seeds:
        FinetuneArguments.check_options({"seed": seed}, "seeds")
    for model in specification.models:
        _check_model(model, specification, to_run)
    for task in specification.tasks:
        for model in specification.models:
            if model.control == "kmer-regression":
                _check_regression(specification, task, model)
    # names become those of files
    check_unique([cell.name.lower() for cell in list_cells(specification)], "cells (task, model, mode and seed)")
    for study in specification.ablations:
        _check_study(study, specification)


def _check_regression(specification: Specification, task: TaskEntry, model: ModelEntry):
    for mode in specification.modes_of(model):
        for point in specification.points(task, model, mode):
            settings = point.get("kmers", [6]), point.get("strands", "one")
            _as_value(f"{task.name}, {model.name}, {mode}", check_settings, *settings, SINGLE_LABEL)


def _check_model(model: ModelEntry, specification: Specification, to_run: bool):
    where, codec = f"models.{model.name}", None
    if model.vocabulary_path is not None:
        if not to_run:
            return
        codec = _as_value(f"{where}.vocabulary.path", load_tokenizer, model.vocabulary_path).codec.config
    elif isinstance(model.vocabulary, dict):
        codec = _check_vocabulary(model.vocabulary, f"{where}.vocabulary")
    elif model.vocabulary is not None:
        owner = next(one for one in specification.models if one.name == model.vocabulary)
        codec = _check_vocabulary(owner.vocabulary, f"models.{owner.name}.vocabulary")
    if model.tokenizer is not None:
        BaselineTokenizerArguments.check_options(model.tokenizer, f"{where}.tokenizer")
    if model.encoder is None:
        return
    where = f"{where}.encoder"
    untrained = model.encoder.get("max_steps") == 0
    options = {name: value for name, value in model.encoder.items() if not (untrained and name == "max_steps")}
    PretrainArguments.check_options(options, where)
    if untrained:
        return
    arguments = PretrainArguments(corpus="", output="", tokenizer=where, **options)
    if codec is None:
        _as_value(where, check_options, arguments)
        masking = {"masking": "base", "masked_share": arguments.mask_ratio}
    else:
        masking = {"masking": arguments.masking, "masked_share": arguments.mask_ratio}
        masking["span_length"] = arguments.span_length
    _check_masking(masking, codec, specification.window, where)


def _check_vocabulary(options: dict, where: str):
    """The codec's configuration."""
    TrainTokenizerArguments.check_options(options, where)
    arguments = TrainTokenizerArguments(output="", **options)
    _as_value(where, check_held_out, arguments.eval_contigs, arguments.eval_fraction)
    return _as_value(where, codec_config, arguments)


def _check_masking(options: dict, codec, window: int, where: str):
    halo = 0 if codec is None else codec.halo
    span = options.get("span_length")
    masking = _as_value(
        where, Masking, options.get("masking", "base"), options.get("masked_share", 0.25), halo, 1, span
    )
    if window < masking.min_length:
        raise ValueError(
            f"{where}: windows of {window} bases are too short for spans of {masking.span_length}; the file's window "
            f"should be {masking.min_length} or more."
        )


def _check_study(study: Study, specification: Specification):
    where = f"ablations.{study.name}"
    for name, most in (("seeds", len(specification.seeds)), ("neighbour_steps", math.inf)):
        value = getattr(study, name)
        if type(value) is not int or not 1 <= value <= most:
            limit = f"from 1 to {most}, the number of the file's seeds" if name == "seeds" else "from 1 on"
            raise ValueError(f"{where}.{name} is {value!r}, but it must be a whole number {limit}.")
    if study.mode not in (*MODES, "control"):
        raise ValueError(f"{where}: there is no mode {study.mode!r}; choose among {', '.join(MODES)} and control.")
    if not (study.published is None or isinstance(study.published, bool) or study.published in (7, 8, 9)):
        raise ValueError(f"{where}.published is {study.published!r}, but the paper's ablations are tables 7, 8 and 9.")
    for name, varied in study.models.items():
        if not isinstance(varied, dict) or not varied:
            raise ValueError(
                f"{where}.models.{name} is {varied!r}, but it should say what is varied, as in {{mask_ratio: 0.15}}."
            )
    if study.variants and not any(study.variants):
        raise ValueError(f"{where}: no variant varies anything.")
    check_unique([json.dumps(one, sort_keys=True) for one in study.variants], f"{where}.variants")
    for number, variant in enumerate(study.variants, start=1):
        place, merged = f"{where}.variants, number {number}", {**study.vocabulary, **variant}
        masking = {name: merged.pop(name) for name in ("masking", "masked_share", "span_length") if name in merged}
        _check_masking(masking, _check_vocabulary(merged, place), specification.window, place)


def _as_value(where: str, function, *args, **kwargs):
    """Call a check of the package, and say where in the file the value is."""
    try:
        return function(*args, **kwargs)
    except StrictDataclassError as error:
        raise ValueError(f"{where}: {error.__cause__ or error}") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
