"""Stage 3 for any other model of transformers: token ids of its own tokenizer, the same training, the same files."""

import contextlib
import logging
import time
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from peft import LoraConfig, TaskType, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, set_seed

from ..arguments.training import FinetuneArguments
from ..baselines import modeling_tokens  # noqa: F401, which registers the encoders of hand-made vocabularies
from ..data.strands import other_strand
from ..lora import lora_config
from ..modeling.modeling_vqdna import VQDNAForSequenceClassification
from ..modeling.nucleotides_vqdna import ids_to_bases
from ..runs.directories import check_model_files, read_directory
from ..runs.files import save_pretrained, write_json
from ..runs.records import Cut, cut_records, note_cut
from ..runs.resume import check_same_run, find_checkpoint, remove_checkpoints, writing
from ..tasks import load_task_files
from .classifier import average_strands_metrics, choose_metric, classifier_trainer, run_results, scores_of, task_labels
from .encoded_sequences import EncodedCollator, EncodedSequences, encode_sequences
from .finite_weights import check_finite
from .length_groups import is_worth_grouping
from .positions import limit_tokenizer
from .speed import set_attention
from .task_data import EpochCallback


logger = logging.getLogger(__name__)

MODES = ("lora", "full")
# heads of other architectures call their dropout by one of these names
_DROPOUTS = ("classifier_dropout", "cls_dropout", "classifier_dropout_prob", "seq_classif_dropout")
_DROPOUTS += ("summary_last_dropout", "classifier_dropout_rate")
# a field that a model reads and its configuration does not declare
_UNDECLARED = {"deberta": "cls_dropout", "deberta-v2": "cls_dropout"}


def is_other_model(source: str) -> bool:
    """Whether a directory, or else a repository of the Hub, holds a model that is none of ours."""
    check_model_files(source)
    if not Path(source).is_dir():
        return "/" in source and not source.startswith(("/", "."))
    return read_directory(source).is_foreign


def load_classifier(source: str, tokenizer, arguments: FinetuneArguments, **options):
    """A pre-trained model with a new head for sequences.

    Args:
        source: directory or repository of the Hub.
        arguments: `pooling` and `pooling_bins` of the head, as far as the architecture has them, and its `dropout`.
        options: fields of the configuration; `dtype`, `revision` and `trust_remote_code`.

    Raises:
        ValueError: a dropout is asked for that the head cannot have; weights that are not finite.
    """
    code = {name: options.pop(name) for name in ("revision", "trust_remote_code") if name in options}
    weights = {"dtype": options.pop("dtype", torch.float32)}  # a step of an optimizer is lost in a weight of 16 bits
    config = AutoConfig.from_pretrained(source, **code, **options)
    head = {"pooling": arguments.pooling, "pooling_bins": arguments.pooling_bins}
    head |= dict.fromkeys(dropout_fields(config), arguments.dropout)
    for name, value in head.items():
        if hasattr(config, name) or name in _UNDECLARED.values():
            setattr(config, name, value)
    with quiet_loading():
        model = AutoModelForSequenceClassification.from_pretrained(
            source, config=config, ignore_mismatched_sizes=True, **weights, **code
        )
    _check_dropout(model, arguments)
    check_finite(model, source)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model


def dropout_fields(config) -> list[str]:
    """The fields by which an architecture knows the dropout of its head for sequences; none for some."""
    declared = [name for name in _DROPOUTS if hasattr(config, name)]
    return declared or [name for kind, name in _UNDECLARED.items() if kind == config.model_type]


def head_dropout(model) -> float | None:
    """The dropout that a model's head was built with; None where it has none."""
    inside = {id(module) for module in model.base_model.modules()}
    rates = [module.p for module in model.modules() if isinstance(module, nn.Dropout) and id(module) not in inside]
    return max(rates, default=None)


def _check_dropout(model, arguments: FinetuneArguments):
    """Refuse a dropout that was asked for, and that the head of an architecture cannot have."""
    used, default = head_dropout(model), type(arguments).__dataclass_fields__["dropout"].default
    if arguments.dropout in (used, default):  # an option that still has its default value counts as not given
        return
    there = "no dropout of its own" if used is None else f"a dropout of {used} that is the whole network's"
    raise ValueError(
        f"--dropout {arguments.dropout} cannot be set: the head of {type(model).__name__} has {there}. Leave the "
        "option out."
    )


@contextlib.contextmanager
def quiet_loading():
    """No report of the new head's weights, which are missing from every pre-trained model."""
    library = logging.getLogger("transformers")
    level = library.level
    library.setLevel(logging.ERROR)
    try:
        yield
    finally:
        library.setLevel(level)


def add_adapters(model, arguments: FinetuneArguments):
    """LoRA on every linear layer but the head, which trains as a whole."""
    values = {"r": arguments.lora_r, "lora_alpha": arguments.lora_alpha, "lora_dropout": arguments.lora_dropout}
    if isinstance(model, VQDNAForSequenceClassification):
        return get_peft_model(model, lora_config(model, **values))
    return get_peft_model(model, LoraConfig(task_type=TaskType.SEQ_CLS, target_modules="all-linear", **values))


def finetune_tokens(arguments: FinetuneArguments) -> dict:
    """Adapt a model with a tokenizer of its own to the task in a directory.

    What is written loads with `AutoModelForSequenceClassification`; `lora` writes the model with its adapters merged,
    because an adapter of an architecture that is not ours does not remember labels and pooling. The averages of both
    strands, if asked for, are in the scores; the model itself reads one strand.

    What is longer than the tokenizer allows (`model_max_length`), or than the model has learned positions for, is cut
    there, in every split; a warning says how many sequences are, and `results.json` too, as `cut`.

    Returns:
        The content of `results.json`.

    Raises:
        ValueError: a mode that needs a learned vocabulary, wrong task files, or a tokenizer that gives no tokens.
        OSError: there is no such model.
    """
    if arguments.mode not in MODES:
        raise ValueError(f"The mode {arguments.mode!r} needs a VQDNA model; {arguments.model} trains as lora or full.")
    started, output = time.time(), Path(arguments.output)
    splits, info = load_task_files(arguments.data, problem=arguments.problem, name=arguments.task)
    metric = choose_metric(arguments, info)
    checkpoint = find_checkpoint(output, arguments.resume, "results.json")
    trust = {"trust_remote_code": arguments.trust_remote_code}
    tokenizer = AutoTokenizer.from_pretrained(arguments.model, **trust)
    strands = 2 if arguments.strand_average else 1
    set_seed(arguments.seed)
    labels = task_labels(arguments, info)
    model = load_classifier(arguments.model, tokenizer, arguments, problem_type=info.problem_type, **labels, **trust)
    set_attention(model, arguments.attn_implementation)
    limit_tokenizer(tokenizer, model)
    dropout = head_dropout(model)
    cuts: list[Cut] = []
    sets = {
        name: _sequences(tokenizer, part.with_format("numpy"), name, arguments, strands, cuts)
        for name, part in splits.items()
    }
    if arguments.mode == "lora":
        model = add_adapters(model, arguments)
    check_same_run(output, "run.json", arguments.settings(), arguments.resume)
    trainer = classifier_trainer(
        arguments,
        model,
        output,
        metric,
        train=sets["train"],
        dev=sets["dev"],
        collator=EncodedCollator(tokenizer.pad_token_id),
        compute_metrics=average_strands_metrics(info.problem_type, strands),
        callbacks=[EpochCallback(sets["train"])],
        lengths=_lengths(sets["train"], splits["train"], arguments),
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    dev, test = trainer.evaluate(), trainer.predict(sets["test"], metric_key_prefix="test").metrics
    dev, test = scores_of(dev, "eval_", info.problem_type), scores_of(test, "test_", info.problem_type)
    results = run_results(arguments, info, metric, dev, test, started - trainer.seconds_before)
    results["arguments"]["dropout"] = dropout
    results |= cut_records(cuts)
    if PartialState().is_main_process:
        if arguments.mode == "lora":
            model = model.merge_and_unload()
        with writing(output):
            save_pretrained(model, output)
            save_pretrained(tokenizer, output)
            write_json(output / "results.json", results)
        remove_checkpoints(output)
        logger.info(
            "%s, %s: %s %.4f on dev, %.4f on test. The model and results.json are in %s",
            *(info.name, arguments.mode, metric, dev[metric], test[metric], output),
        )
    return results


def _lengths(train: EncodedSequences, split, arguments: FinetuneArguments) -> list[int] | None:
    """The tokens of each training row, where the sequences differ in length, so that batches are made by length."""
    bases = [len(ids[: arguments.max_length]) for ids in split["nucleotide_ids"]]
    if not (arguments.group_by_length and is_worth_grouping(bases, arguments.batch_size)):
        return None
    return [len(ids) for ids in train.ids]


def _sequences(
    tokenizer, split, name: str, arguments: FinetuneArguments, strands: int, cuts: list[Cut]
) -> EncodedSequences:
    train = name == "train"
    bases = [ids_to_bases(np.asarray(ids)) for ids in split["nucleotide_ids"]]
    if train:
        note_cut(cuts, name, map(len, bases), arguments.max_length)
        bases = [sequence[: arguments.max_length] for sequence in bases]
    ids, labels = encode_sequences(tokenizer, bases, split=name, cuts=cuts), np.asarray(split["labels"])
    if train and arguments.rc_augment:
        other = encode_sequences(tokenizer, [other_strand(sequence) for sequence in bases])
        return EncodedSequences(ids, labels, other, arguments.seed)
    if not train and strands == 2:
        ids += encode_sequences(tokenizer, [other_strand(sequence) for sequence in bases])
        labels = np.concatenate([labels, labels])
    return EncodedSequences(ids, labels)
