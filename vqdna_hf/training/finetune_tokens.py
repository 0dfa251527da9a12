"""Stage 3 for any other model of transformers: token ids of its own tokenizer, the same training, the same files."""

import contextlib
import json
import logging
import time
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from peft import LoraConfig, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

from ..baselines import modeling_tokens  # noqa: F401, which registers the encoders of hand-made vocabularies
from ..data import load_task_files
from ..files import write_json
from ..modeling.configuration_vqdna import VQDNACodecConfig, VQDNAConfig
from ..modeling.modeling_vqdna import VQDNAForSequenceClassification
from ..modeling.nucleotides_vqdna import ids_to_bases
from .arguments import FinetuneArguments
from .classifier import (
    average_strands_metrics,
    choose_metric,
    classifier_trainer,
    run_results,
    scores_of,
    task_labels,
)
from .cuts import Cut, cut_records, note_cut
from .encoded_sequences import EncodedCollator, EncodedSequences, encode_sequences, other_strand
from .length_groups import is_worth_grouping
from .lora import lora_config
from .positions import limit_tokenizer
from .recording import check_same_run, find_checkpoint, remove_checkpoints
from .speed import set_attention
from .task_data import EpochCallback


logger = logging.getLogger(__name__)

MODES = ("lora", "full")
# heads of other architectures call their dropout by one of these names
_DROPOUTS = ("classifier_dropout", "cls_dropout", "classifier_dropout_prob")


def is_other_model(source: str) -> bool:
    """Whether a directory, or else a repository of the Hub, holds a model that is none of ours."""
    path = Path(source) / "config.json"
    if not Path(source).is_dir():
        return "/" in source and not source.startswith(("/", "."))
    if not path.is_file():
        return False
    kind = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    return kind not in (None, VQDNAConfig.model_type, VQDNACodecConfig.model_type)


def load_classifier(source: str, tokenizer, arguments: FinetuneArguments, **options):
    """A pre-trained model with a new head for sequences.

    Args:
        source: directory or repository of the Hub.
        arguments: `pooling`, `pooling_bins` and `dropout` of the head, as far as the architecture has them.
        options: what else `from_pretrained` takes.
    """
    options = {"dtype": torch.float32, **options}  # a step of an optimizer is lost in a weight of 16 bits
    with _quiet_loading():
        try:
            model = AutoModelForSequenceClassification.from_pretrained(
                source,
                pooling=arguments.pooling,
                pooling_bins=arguments.pooling_bins,
                classifier_dropout=arguments.dropout,
                ignore_mismatched_sizes=True,
                **options,
            )
        except TypeError:  # a class of the Hub that takes no field it does not have
            model = AutoModelForSequenceClassification.from_pretrained(source, ignore_mismatched_sizes=True, **options)
    for name in _DROPOUTS:
        if hasattr(model.config, name):
            setattr(model.config, name, arguments.dropout)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model


@contextlib.contextmanager
def _quiet_loading():
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
    results |= cut_records(cuts)
    if PartialState().is_main_process:
        if arguments.mode == "lora":
            model = model.merge_and_unload()
        model.save_pretrained(output)
        tokenizer.save_pretrained(output)
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
