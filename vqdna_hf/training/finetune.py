"""Stage 3: adapt a model to a task, select on dev, score test once."""

import logging
import time
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import set_seed

from ..arguments.training import FinetuneArguments
from ..baselines.linear_probe import LinearProbe
from ..cards.callback import ModelCardCallback
from ..cards.card import write_card_of_run
from ..checkpoints import resolve_checkpoint
from ..checkpoints.lineage import encoder_record, vocabulary_record
from ..checkpoints.loading import check_model_directory, is_vocabulary, load_tokenizer, remade
from ..metrics import make_compute_metrics
from ..modeling.modeling_vqdna import VQDNAForSequenceClassification
from ..modeling.tokenization_vqdna import VQDNATokenizer
from ..runs.files import save_pretrained, write_json
from ..runs.records import Cut, cut_records, note_cut, with_digests
from ..runs.resume import check_same_run, find_checkpoint, remove_checkpoints, writing
from ..tasks import TaskInfo, load_task_files
from .classifier import choose_metric, classifier_trainer, run_results, scores_of, task_labels
from .code_cache import both_strands
from .encoded_sequences import EncodedCollator, EncodedSequences
from .finetune_tokens import add_adapters, finetune_tokens, is_other_model, quiet_loading
from .finite_weights import check_finite
from .length_groups import by_length, is_worth_grouping
from .positions import check_positions
from .recipes import FINE_TUNING, apply_recipe
from .speed import set_attention
from .task_data import EpochCallback, TaskCollator, TaskSequences, sequence_lengths
from .weight_average import check_average


logger = logging.getLogger(__name__)


def finetune(arguments: FinetuneArguments) -> dict:
    """Adapt a pre-trained model to the task in a directory; see `finetune_tokens` for models that are not VQDNA's.

    What `full` and `end-to-end` write loads with `AutoModelForSequenceClassification.from_pretrained(output)`, what
    `linear` writes with `LinearProbe.from_pretrained(output)`. `lora` writes an adapter, which remembers its head and
    finds the model it was trained on:

        model = AutoPeftModelForSequenceClassification.from_pretrained(output)

    While the vocabulary is frozen (`lora`, `full`), the codes of a data set are computed once and kept for later runs:
    see `code_cache`. Scores are the same without.

    Returns:
        The content of `results.json`: scores in [-1, 1] on dev (by which the epoch was chosen) and, once, on test.

    Raises:
        ValueError: wrong task files (`TaskDataError`), an unknown mode or metric, a tokenizer of another vocabulary in
            the model directory, or an unfinished run in the output directory.
    """
    check_average(arguments.ema_decay)
    apply_recipe(arguments, FINE_TUNING)
    if is_other_model(arguments.model):
        return finetune_tokens(arguments)
    started, output = time.time(), Path(arguments.output)
    splits, info = load_task_files(arguments.data, problem=arguments.problem, name=arguments.task)
    metric = choose_metric(arguments, info)
    checkpoint = find_checkpoint(output, arguments.resume, "results.json")
    no_encoder = arguments.mode == "linear" and is_vocabulary(arguments.model)
    if not no_encoder:
        check_model_directory(arguments.model)
    tokenizer = load_tokenizer(arguments.model)
    set_seed(arguments.seed)
    cuts: list[Cut] = []
    lengths = {name: sequence_lengths(part) for name, part in splits.items()}
    note_cut(cuts, "train", lengths["train"], arguments.max_length)
    if not no_encoder:
        model = build_model(arguments, info, tokenizer)
        if arguments.mode != "linear":
            read = {**lengths, "train": [min(length, arguments.max_length or length) for length in lengths["train"]]}
            check_positions(model, {name: max(values) for name, values in read.items()})
        set_attention(model, arguments.attn_implementation)
    settings = {**arguments.settings(), "fingerprint": tokenizer.vocabulary_fingerprint}
    check_same_run(output, "run.json", settings, arguments.resume)
    if arguments.mode == "linear":
        dev, test, probe = _linear(arguments, tokenizer.codec, splits, info, metric)
    else:
        dev, test, before = _train(arguments, model, tokenizer, splits, info, metric, output, checkpoint)
        started -= before
    records = {"encoder": encoder_record(arguments.model, tokenizer.vocabulary_fingerprint)}
    if no_encoder:
        records = {"vocabulary": vocabulary_record(arguments.model, tokenizer.vocabulary_fingerprint)}
    if arguments.mode == "end-to-end":
        tokenizer = remade(tokenizer, codec=model.codec)
    if arguments.strand_average:
        # the model reads both strands itself, for which it needs bases rather than codes
        tokenizer = remade(tokenizer, return_nucleotide_ids=True)
    results = run_results(arguments, info, metric, dev, test, started)
    results |= cut_records(cuts)
    results |= {"fingerprint": tokenizer.vocabulary_fingerprint}
    results |= {name: record for name, record in records.items() if record}
    if not PartialState().is_main_process:
        return results
    with writing(output):
        save_pretrained(tokenizer, output)
        if arguments.mode == "linear":
            probe.save_pretrained(output)
        results |= with_digests(results, output)
        write_card_of_run(output, {"results.json": results})
        write_json(output / "results.json", results)
    remove_checkpoints(output)
    logger.info(
        "%s, %s: %s %.4f on dev, %.4f on test. The model and results.json are in %s",
        *(info.name, arguments.mode, metric, dev[metric], test[metric], output),
    )
    return results


def build_model(
    arguments: FinetuneArguments, info: TaskInfo, tokenizer: VQDNATokenizer
) -> VQDNAForSequenceClassification:
    """The pre-trained model with a new head, and the parts frozen that the mode does not train."""
    with quiet_loading():
        loaded, report = VQDNAForSequenceClassification.from_pretrained(
            # an adapter records this path, and should find its model from any working directory
            str(Path(resolve_checkpoint(arguments.model)).resolve()),
            **task_labels(arguments, info),
            problem_type=info.problem_type,
            pooling=arguments.pooling,
            pooling_bins=arguments.pooling_bins,
            classifier_dropout=arguments.dropout,
            strand_average=arguments.strand_average,
            freeze_codec=arguments.mode != "end-to-end",
            output_loading_info=True,
            dtype=torch.float32,  # a step of an optimizer is lost in a weight of 16 bits
        )
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("classifier."))
    if missing:
        logger.warning("%s has no weights for %s: they begin at random.", arguments.model, ", ".join(missing))
    loaded.config.validate()  # transformers sets these fields behind the configuration's own checks
    loaded.check_tokenizer(tokenizer)
    check_finite(loaded, arguments.model)
    return loaded


def _train(arguments, model, tokenizer, splits, info, metric, output: Path, checkpoint) -> tuple[dict, dict, float]:
    """Scores on dev and test, and the seconds that interrupted parts of the run took."""
    if arguments.mode == "lora":
        model = add_adapters(model, arguments)
    sets, collator, lengths = task_sets(arguments, tokenizer, splits)
    trainer = classifier_trainer(
        arguments,
        model,
        output,
        metric,
        train=sets["train"],
        dev=sets["dev"],
        collator=collator,
        compute_metrics=make_compute_metrics(info.problem_type),
        callbacks=[EpochCallback(sets["train"]), ModelCardCallback(at_end=False)],
        lengths=lengths,
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    dev = scores_of(trainer.evaluate(), "eval_", info.problem_type)
    test = trainer.predict(sets["test"], metric_key_prefix="test").metrics
    test = scores_of(test, "test_", info.problem_type)
    if trainer.is_world_process_zero():
        with writing(output):
            save_pretrained(model, output)
    return dev, test, trainer.seconds_before


def task_sets(arguments: FinetuneArguments, tokenizer: VQDNATokenizer, splits) -> tuple[dict, object, list | None]:
    """What a run trains on, chooses by and is scored on: codes, or bases where the vocabulary trains along.

    Training sequences are cut to `max_length` bases, if that is given; dev and test are read at full length, on both
    strands if they are averaged, and the longest first where lengths differ.

    Args:
        splits: of `load_task_files`.

    Returns:
        The data sets of the splits, the collator of their items, and the lengths of the training rows in bases if
        batches are to be made by length, else None.
    """
    seed = arguments.seed if arguments.rc_augment else None
    parts = {name: TaskSequences(split) for name, split in splits.items()}
    parts["train"] = TaskSequences(splits["train"], arguments.max_length, seed)
    lengths = {name: [len(ids) for ids in part.sequences] for name, part in parts.items()}
    grouped = {
        name: arguments.group_by_length and is_worth_grouping(values, arguments.batch_size)
        for name, values in lengths.items()
    }
    for name in ("dev", "test"):
        if grouped[name]:
            parts[name] = parts[name].take(by_length(lengths[name]))
    train_lengths = lengths["train"] if grouped["train"] else None
    if arguments.mode == "end-to-end" or not arguments.cache_codes:
        return parts, TaskCollator(), train_lengths
    tokenizer.to(PartialState().device if torch.cuda.is_available() else "cpu")
    sets = {}
    for name, part in parts.items():
        other = arguments.rc_augment if name == "train" else arguments.strand_average
        codes = both_strands(tokenizer, part.sequences, other, arguments.cache_dir)
        sets[name] = EncodedSequences(codes[0], part.labels, codes[1], part.seed)
    tokenizer.to("cpu")
    return sets, EncodedCollator(tokenizer.pad_token_id), train_lengths


def _linear(arguments, codec, splits, info, metric) -> tuple[dict, dict, LinearProbe]:
    """The paper's linear probe: logistic (or ridge) regression on pooled frozen code vectors, chosen on dev.

    Returns:
        Scores on dev and test, and the probe.
    """
    train = splits["train"].with_format("numpy")
    train = {
        "nucleotide_ids": [ids[: arguments.max_length] for ids in train["nucleotide_ids"]],
        "labels": train["labels"],
    }
    probe = LinearProbe.fit(
        codec,
        train,
        splits["dev"],
        info,
        metric,
        pooling=arguments.pooling,
        pooling_bins=arguments.pooling_bins,
        strand_average=arguments.strand_average,
    )
    return probe.score(splits["dev"]), probe.score(splits["test"]), probe
