"""Stage 3: adapt a model to a task, select on dev, score test once."""

import logging
import time
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from datasets import DatasetDict
from peft import PeftModel
from transformers import AutoTokenizer, PreTrainedTokenizerBase, set_seed

from ..arguments.training import REGRESSION, FinetuneArguments
from ..baselines.linear_probe import LinearProbe
from ..cards.callback import ModelCardCallback
from ..cards.card import write_card_of_run
from ..checkpoints import resolve_checkpoint
from ..checkpoints.lineage import encoder_record, vocabulary_record
from ..checkpoints.loading import check_model_directory, is_other_model, is_vocabulary, load_tokenizer, remade
from ..data.strands import other_strand
from ..metrics import metric_names
from ..modeling.nucleotides_vqdna import ids_to_bases, reverse_complement
from ..modeling.tokenization_vqdna import VQDNATokenizer
from ..runs.files import save_pretrained, write_json
from ..runs.records import Cut, cut_records, note_cut, package_versions, with_digests
from ..runs.resume import check_same_run, find_checkpoint, remove_checkpoints, writing
from ..tasks import TaskInfo, load_task_files
from .classifier import add_adapters, head_dropout, load_classifier, task_labels
from .classifier_trainer import adapt_classifier, learning_rate
from .code_cache import cached_codes
from .encoding import encode_sequences
from .positions import check_positions, limit_tokenizer
from .recipes import FINE_TUNING, apply_recipe
from .speed import set_attention
from .task_inputs import TaskInputs, task_inputs
from .weight_average import check_average


logger = logging.getLogger(__name__)

# of models that are not VQDNA's
_TOKEN_MODES = ("lora", "full")


def finetune(arguments: FinetuneArguments) -> dict:
    """Adapt a pre-trained model to the task in a directory: a VQDNA model, or any other with a tokenizer of its own.

    What `full` and `end-to-end` write loads with `AutoModelForSequenceClassification.from_pretrained(output)`, what
    `linear` writes with `LinearProbe.from_pretrained(output)`. `lora` writes an adapter, which remembers its head and
    finds the model it was trained on:

        model = AutoPeftModelForSequenceClassification.from_pretrained(output)

    Of a model that is not VQDNA's, `lora` writes the model with its adapters merged, because an adapter of another
    architecture does not remember labels and pooling. The averages of both strands, if asked for, are in its scores;
    the model itself reads one strand. What is longer than its tokenizer allows (`model_max_length`), or than it has
    learned positions for, is cut there, in every split; a warning says how many sequences are, and `results.json`
    too, as `cut`.

    While the vocabulary is frozen (`lora`, `full`), the codes of a data set are computed once and kept for later runs:
    see `code_cache`. Scores are the same without.

    Returns:
        The content of `results.json`: scores in [-1, 1] on dev (by which the epoch was chosen) and, once, on test.

    Raises:
        ValueError: wrong task files (`TaskDataError`), an unknown mode or metric, a mode that needs a learned
            vocabulary, a tokenizer of another vocabulary in the model directory, one that gives no tokens, or an
            unfinished run in the output directory.
        OSError: there is no such model.
    """
    check_average(arguments.ema_decay)
    apply_recipe(arguments, FINE_TUNING)
    learned = not is_other_model(arguments.model)
    if not learned and arguments.mode not in _TOKEN_MODES:
        raise ValueError(f"The mode {arguments.mode!r} needs a VQDNA model; {arguments.model} trains as lora or full.")
    started, output = time.time(), Path(arguments.output)
    splits, info = load_task_files(arguments.data, problem=arguments.problem, name=arguments.task)
    metric = choose_metric(arguments, info)
    checkpoint = find_checkpoint(output, arguments.resume, "results.json")
    tokenizer = _load_tokenizer(arguments, learned)
    learned = isinstance(tokenizer, VQDNATokenizer)  # which a repository of the Hub may hold, too
    cuts: list[Cut] = []
    sequences, labels = cut_splits(arguments, splits, cuts)
    model = _load_model(arguments, info, tokenizer, sequences)
    settings = arguments.settings() | ({"fingerprint": tokenizer.vocabulary_fingerprint} if learned else {})
    check_same_run(output, "run.json", settings, arguments.resume)
    if arguments.mode == "linear":
        model = _fit_probe(arguments, tokenizer, sequences, labels, info, metric)
        dev, test = (model.score({"nucleotide_ids": sequences[s], "labels": labels[s]}) for s in ("dev", "test"))
    else:
        dropout = head_dropout(model)
        model = add_adapters(model, arguments) if arguments.mode == "lora" else model
        inputs = inputs_of(arguments, tokenizer, sequences, labels, cuts)
        callbacks = [ModelCardCallback(at_end=False)] if learned else []
        adapted = adapt_classifier(
            arguments, model, inputs, info.problem_type, metric, output, checkpoint, callbacks=callbacks
        )
        dev, test = adapted.dev, adapted.test
        started -= adapted.seconds_before
    results = run_results(info, arguments.mode, arguments.seed, metric, dev, test, started)
    results["arguments"] = {**arguments.settings(), "learning_rate": learning_rate(arguments)}
    if arguments.mode != "linear":
        results["arguments"]["dropout"] = dropout
    results |= cut_records(cuts)
    return _finish(arguments, model, tokenizer, results, output)


def choose_metric(arguments: FinetuneArguments, info: TaskInfo) -> str:
    """The score that dev selects by: what was asked for, or the problem type's.

    Raises:
        ValueError: the problem type has no such score.
    """
    metric = arguments.metric or ("spearman" if info.problem_type == REGRESSION else "mcc")
    possible = metric_names(info.problem_type)
    if metric not in possible:
        raise ValueError(
            f"{info.name} is a {info.problem_type} task, scored by {', '.join(possible)}, not {metric!r}."
        )
    return metric


def _load_tokenizer(arguments: FinetuneArguments, learned: bool) -> PreTrainedTokenizerBase:
    if not learned:
        return AutoTokenizer.from_pretrained(arguments.model, trust_remote_code=arguments.trust_remote_code)
    if not _is_vocabulary_alone(arguments):
        check_model_directory(arguments.model)
    return load_tokenizer(arguments.model)


def _is_vocabulary_alone(arguments: FinetuneArguments) -> bool:
    """Whether a linear probe is asked for of a vocabulary without an encoder."""
    return arguments.mode == "linear" and is_vocabulary(arguments.model)


def cut_splits(arguments: FinetuneArguments, splits: DatasetDict, cuts: list[Cut]) -> tuple[dict, dict]:
    """Nucleotide ids and labels of each split; training sequences are cut to `max_length` bases, if that is given."""
    # subtle: `[:]` reads a column as a whole; row by row it takes fifty times as long
    columns = {name: rows[:] for name, rows in splits.with_format("numpy").items()}
    sequences = {name: list(part["nucleotide_ids"]) for name, part in columns.items()}
    labels = {name: part["labels"] for name, part in columns.items()}
    note_cut(cuts, "train", map(len, sequences["train"]), arguments.max_length)
    sequences["train"] = [ids[: arguments.max_length] for ids in sequences["train"]]
    return sequences, labels


def _load_model(arguments: FinetuneArguments, info: TaskInfo, tokenizer, sequences: dict):
    """The model with a new head, ready to read the sequences; None for a probe of a vocabulary without an encoder."""
    set_seed(arguments.seed)
    if _is_vocabulary_alone(arguments):
        return None
    options = {"problem_type": info.problem_type, **task_labels(arguments, info)}
    learned = isinstance(tokenizer, VQDNATokenizer)
    source = resolve_checkpoint(arguments.model) if learned else arguments.model
    options |= {} if learned else {"trust_remote_code": arguments.trust_remote_code}
    model = load_classifier(source, tokenizer, arguments, **options)
    if not learned:
        limit_tokenizer(tokenizer, model)
    elif arguments.mode != "linear":
        check_positions(model, {name: max(map(len, part)) for name, part in sequences.items()})
    set_attention(model, arguments.attn_implementation)
    return model


def inputs_of(arguments: FinetuneArguments, tokenizer, sequences: dict, labels: dict, cuts: list[Cut]) -> TaskInputs:
    """What the model is given: codes, which are kept for later runs; tokens; or bases."""

    def codes(split: str, other: bool) -> list[np.ndarray]:
        rows = [reverse_complement(ids) for ids in sequences[split]] if other else sequences[split]
        return cached_codes(tokenizer, rows, arguments.cache_dir)

    def tokens(split: str, other: bool) -> list[np.ndarray]:
        bases = [ids_to_bases(ids) for ids in sequences[split]]
        if other:
            return encode_sequences(tokenizer, [other_strand(one) for one in bases])
        return encode_sequences(tokenizer, bases, split=split, cuts=cuts)

    if not isinstance(tokenizer, VQDNATokenizer):
        return task_inputs(arguments, sequences, labels, tokens, tokenizer.pad_token_id)
    if arguments.mode == "end-to-end" or not arguments.cache_codes:
        return task_inputs(arguments, sequences, labels, None)
    tokenizer.to(PartialState().device if torch.cuda.is_available() else "cpu")
    inputs = task_inputs(arguments, sequences, labels, codes, tokenizer.pad_token_id)
    tokenizer.to("cpu")
    return inputs


def _fit_probe(arguments: FinetuneArguments, tokenizer, sequences: dict, labels: dict, info: TaskInfo, metric: str):
    """The paper's linear probe: logistic (or ridge) regression on pooled frozen code vectors, chosen on dev."""
    train, dev = ({"nucleotide_ids": sequences[name], "labels": labels[name]} for name in ("train", "dev"))
    names = ("pooling", "pooling_bins", "strand_average")
    pooling = {name: getattr(arguments, name) for name in names}
    return LinearProbe.fit(tokenizer.codec, train, dev, info, metric, **pooling)


def run_results(info: TaskInfo, mode: str, seed: int, metric: str, dev: dict, test: dict, started: float) -> dict:
    """What `results.json`, or a cell of a benchmark, holds of any run on a task.

    Args:
        metric: the score that dev selects by.
        dev, test: scores.
        started: `time.time()` when the run began; earlier by what interrupted parts of it took until their
            last checkpoints.
    """
    return {
        "task": info.name,
        "mode": mode,
        "seed": seed,
        "metric": metric,
        "dev": dev,
        "test": test,
        "counts": dict(info.counts),
        "seconds": round(time.time() - started, 1),
        "versions": package_versions(),
    }


def _finish(arguments: FinetuneArguments, model, tokenizer, results: dict, output: Path) -> dict:
    """Save model, tokenizer and card, and last of all the record, which is returned."""
    learned = isinstance(tokenizer, VQDNATokenizer)
    if learned:
        tokenizer, lineage = _saved_tokenizer(arguments, model, tokenizer), _lineage(arguments, tokenizer)
        results |= {"fingerprint": tokenizer.vocabulary_fingerprint, **lineage}
    if not PartialState().is_main_process:
        return results
    if isinstance(model, PeftModel) and not learned:
        model = model.merge_and_unload()
    with writing(output):
        if isinstance(model, LinearProbe):
            save_pretrained(tokenizer, output)
            model.save_pretrained(output)
        else:
            save_pretrained(model, output)
            save_pretrained(tokenizer, output)
        results |= with_digests(results, output)
        if learned:
            write_card_of_run(output, {"results.json": results})
        write_json(output / "results.json", results)
    remove_checkpoints(output)
    metric = results["metric"]
    logger.info(
        "%s, %s: %s %.4f on dev, %.4f on test. The model and results.json are in %s",
        *(results["task"], arguments.mode, metric, results["dev"][metric], results["test"][metric], output),
    )
    return results


def _lineage(arguments: FinetuneArguments, tokenizer: VQDNATokenizer) -> dict[str, dict]:
    """The record of the encoder, or of the vocabulary where there is no encoder, as far as there is one."""
    if _is_vocabulary_alone(arguments):
        record = {"vocabulary": vocabulary_record(arguments.model, tokenizer.vocabulary_fingerprint)}
    else:
        record = {"encoder": encoder_record(arguments.model, tokenizer.vocabulary_fingerprint)}
    return {name: one for name, one in record.items() if one}


def _saved_tokenizer(arguments: FinetuneArguments, model, tokenizer: VQDNATokenizer) -> VQDNATokenizer:
    if arguments.mode == "end-to-end":
        tokenizer = remade(tokenizer, codec=model.codec)
    if arguments.strand_average:
        # the model reads both strands itself, for which it needs bases rather than codes
        tokenizer = remade(tokenizer, return_nucleotide_ids=True)
    return tokenizer
