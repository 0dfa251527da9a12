"""Masked pre-training over an ordinary vocabulary (k-mers, BPE, single bases): the control to `pretrain`.

The windows, their order and strands, the encoder and the optimizer are those of a run with a learned vocabulary.
"""

import logging
import time
from pathlib import Path

import numpy as np
from accelerate import PartialState
from transformers import AutoTokenizer, PreTrainedTokenizerFast, set_seed

from ..arguments.training import PretrainArguments
from ..baselines import TokenEncoderConfig, TokenEncoderForMaskedLM, token_usage, tokenizer_kind
from ..checkpoints.lineage import without_paths
from ..data import Corpus
from ..modeling.nucleotides_vqdna import ids_to_bases
from ..runs.directories import check_model_files, read_directory
from ..runs.files import read_json, save_pretrained, write_json
from ..runs.records import package_versions
from ..runs.resume import check_same_run, find_checkpoint, remove_checkpoints, writing
from .finite_weights import check_finite
from .masking import MaskedWindows
from .recipes import PRETRAINING, apply_recipe, training_arguments
from .recording import RecordingTrainer, eval_scores, windows_per_step
from .speed import set_attention, speed_arguments
from .token_masking import TokenCollator, TokenMasking, WindowEncoder


logger = logging.getLogger(__name__)

# what has no meaning without a codec
_OF_CODES = ("masking", "span_length", "lora", "base_loss_weight", "neighbour_steps")
# windows that say how the vocabulary covers the corpus
_USAGE_WINDOWS = 2048


class TokenPretrainTrainer(RecordingTrainer):
    """Logs how many of the hidden tokens are predicted right."""

    def compute_loss(self, model, inputs, return_outputs: bool = False, num_items_in_batch=None):
        outputs = model(**inputs, masked_positions_only=True)
        labels = inputs["labels"][inputs["labels"] >= 0]
        right = (outputs.logits.argmax(-1) == labels).double()
        self.record("masked_token_accuracy", right.mean(), right.numel())
        return (outputs.loss, outputs) if return_outputs else outputs.loss


def is_token_directory(directory: str) -> bool:
    """Whether a directory holds an ordinary fast tokenizer, and not a learned vocabulary.

    Raises:
        ValueError: see `check_model_files`.
    """
    check_model_files(directory)
    return (Path(directory) / "tokenizer.json").is_file()


def pretrain_tokens(arguments: PretrainArguments) -> dict:
    """Pre-train an encoder to predict hidden tokens of any fast tokenizer.

    A quarter of the tokens (`mask_ratio`) is hidden as BERT does; of overlapping k-mers, every token that touches one
    of a quarter of the bases.

    Returns:
        The summary that is also written to `training.json`.

    Raises:
        ValueError: a tokenizer that cannot read the corpus or lacks special tokens, a model of another vocabulary, an
            unfinished run in the output directory, or options that need a learned vocabulary.
    """
    check_options(arguments)
    apply_recipe(arguments, {name: value for name, value in PRETRAINING.items() if name != "masking"})
    started, output = time.time(), Path(arguments.output)
    tokenizer, corpus = _load_tokenizer(arguments.tokenizer), Corpus.load(arguments.corpus)
    held_out = corpus.split("validation")
    usage = _check_usage(tokenizer, held_out, arguments.tokenizer)
    checkpoint = find_checkpoint(output, arguments.resume, "training.json")
    set_seed(arguments.seed)
    model = build_model(arguments, tokenizer)
    set_attention(model, arguments.attn_implementation)
    training = training_arguments(
        arguments, output, **speed_arguments(arguments), include_num_input_tokens_seen="non_padding"
    )
    masking = TokenMasking(WindowEncoder(tokenizer), arguments.mask_ratio)
    num_windows = arguments.max_steps * windows_per_step(training)
    train = MaskedWindows(corpus.split("train"), num_windows, masking, arguments.seed, arguments.random_strand)
    trainer = TokenPretrainTrainer(
        model=model,
        args=training,
        train_dataset=train,
        eval_dataset=MaskedWindows(held_out, min(arguments.eval_windows, len(held_out)), masking, 0, False),
        data_collator=TokenCollator(masking),
    )
    check_same_run(output, "run.json", arguments.settings(), arguments.resume)
    trainer.train(resume_from_checkpoint=checkpoint)
    table = model.get_input_embeddings().weight.numel()
    summary = {
        "tokenizer": tokenizer_kind(tokenizer) | {"vocab_size": len(tokenizer)} | usage,
        "eval": eval_scores(trainer.evaluate()),
        "corpus": {"inputs": corpus.manifest.get("inputs"), "window": corpus.manifest.get("window")},
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "embedding_parameters": table,
        "tokens_seen": int(trainer.state.num_input_tokens_seen),
        "bases_seen": bases_seen(train),
        **_lineage(arguments),
        "arguments": arguments.settings(),
        "processes": PartialState().num_processes,
        "seconds": round(trainer.seconds_before + time.time() - started, 1),
        "versions": package_versions(),
    }
    if trainer.is_world_process_zero():
        with writing(output):
            save_pretrained(model, output)
            save_pretrained(tokenizer, output)
            write_json(output / "training.json", summary)
        remove_checkpoints(output)
        logger.info("The result is in %s, its record in %s", output, output / "training.json")
    return summary


def build_model(arguments: PretrainArguments, tokenizer: PreTrainedTokenizerFast) -> TokenEncoderForMaskedLM:
    """A new encoder over the tokenizer's vocabulary, or the model to go on from.

    Raises:
        ValueError: the model to go on from is none of this kind, or has another vocabulary.
    """
    if arguments.model is None:
        return TokenEncoderForMaskedLM(TokenEncoderConfig.from_preset(arguments.preset, tokenizer=tokenizer))
    kind = read_directory(arguments.model).model_type
    if kind != TokenEncoderConfig.model_type or not is_token_directory(arguments.model):
        raise ValueError(
            f"{arguments.model} holds no encoder over an ordinary vocabulary (its model_type is {kind!r}): give the "
            "directory that `vqdna pretrain` wrote with such a tokenizer."
        )
    if AutoTokenizer.from_pretrained(arguments.model).get_vocab() != tokenizer.get_vocab():
        raise ValueError(
            f"{arguments.model} has another vocabulary than {arguments.tokenizer}: give it as --tokenizer, too."
        )
    model = TokenEncoderForMaskedLM.from_pretrained(arguments.model)
    check_finite(model, arguments.model)
    return model


def bases_seen(windows: MaskedWindows) -> int:
    """Bases in all items of a data set: whole passes over the corpus, and a part of one more."""
    rows = windows.corpus.data.column("bases")
    lengths = np.concatenate([chunk.value_lengths().to_numpy() for chunk in rows.chunks])
    passes, rest = divmod(len(windows), len(lengths))
    first = passes * len(lengths)
    return int(passes * lengths.sum() + sum(lengths[windows._row(first + place)] for place in range(rest)))


def _load_tokenizer(directory: str) -> PreTrainedTokenizerFast:
    try:
        return AutoTokenizer.from_pretrained(directory)
    except Exception as error:  # a file that is none raises whatever it stumbles over
        raise ValueError(
            f"The tokenizer in {directory} cannot be loaded ({type(error).__name__}: {error}). Make one with `vqdna "
            "baseline-tokenizer`, or copy its files again."
        ) from error


def check_options(arguments: PretrainArguments):
    """Raise `ValueError` for an option that has no meaning without a learned vocabulary."""
    defaults = type(arguments).__dataclass_fields__
    for name in _OF_CODES:
        value, allowed = getattr(arguments, name), {defaults[name].default}
        if value not in allowed | ({0} if name == "neighbour_steps" else set()):
            raise ValueError(
                f"--{name.replace('_', '-')} {value} is about the codes of a learned vocabulary, and the tokenizer in "
                f"{arguments.tokenizer} has none. Leave the option out."
            )


def _check_usage(tokenizer: PreTrainedTokenizerFast, held_out, directory: str) -> dict[str, float]:
    """How the tokenizer covers the first held-out windows; refuses one that does not know most of what it reads."""
    rows = held_out.select_columns(["bases"]).with_format("numpy")[: min(_USAGE_WINDOWS, len(held_out))]["bases"]
    known = [ids[ids < 4] for ids in rows]
    usage = token_usage(tokenizer, [ids_to_bases(ids) for ids in known if len(ids)])
    if usage["unknown"] > 0.5:
        raise ValueError(
            f"The tokenizer in {directory} reads {usage['unknown']:.0%} of known DNA as {tokenizer.unk_token}: it is "
            "no tokenizer of plain DNA letters. Make one with `vqdna baseline-tokenizer`."
        )
    return usage


def _lineage(arguments: PretrainArguments) -> dict[str, dict]:
    """The records of the tokenizer and of the encoder gone on from, as far as there are any."""
    sources = {"vocabulary": arguments.tokenizer, "encoder": arguments.model}
    paths = {name: Path(directory) / "training.json" for name, directory in sources.items() if directory}
    records = {name: without_paths(read_json(path)) for name, path in paths.items() if path.is_file()}
    if "corpus" in records.get("vocabulary", {}):  # the tokenizer of a pre-trained model
        records["vocabulary"] = records["vocabulary"].get("vocabulary")
    return {name: record for name, record in records.items() if record}
