"""Stage 2, second part: masked pre-training over the frozen vocabulary."""

import logging
import time
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model
from transformers import set_seed

from ..arguments.training import PretrainArguments
from ..cards.callback import ModelCardCallback
from ..checkpoints import resolve_checkpoint
from ..checkpoints.lineage import encoder_record, vocabulary_record
from ..checkpoints.loading import check_model_directory, load_tokenizer
from ..data import Corpus
from ..lora import lora_config
from ..modeling.configuration_vqdna import NUM_SPECIAL_TOKENS, VQDNAConfig
from ..modeling.modeling_vqdna import VQDNAForMaskedLM, labelled_positions, unpack_codes
from ..modeling.tokenization_vqdna import VQDNATokenizer
from ..runs.files import save_pretrained
from ..runs.resume import check_same_run, find_checkpoint, writing
from .finite_weights import check_finite
from .masking import MaskedWindows, Masking, MaskingCollator, mask_batch
from .neighbours import neighbours_accuracy
from .recipes import PRETRAINING, apply_recipe, training_arguments
from .recording import RecordingTrainer, eval_scores, finish_run, windows_per_step
from .speed import set_attention, speed_arguments


logger = logging.getLogger(__name__)


def plain_model(model) -> VQDNAForMaskedLM:
    """The VQDNA model inside PEFT's wrapper, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


class VQDNAPretrainTrainer(RecordingTrainer):
    """Masks each batch on the model's device, and logs loss and accuracy of every level and of the base head.

    The heads run on the labelled positions alone. Windows of a corpus are as long as one another but for the last of
    each contig: of windows of 512 bases in batches of 64, padding is 0.004 % (human), 0.03 % (yeast) and 0.6 % (1331
    windows of short virus genomes) of the positions, so that nothing would be gained by packing them.
    """

    def _prepare_inputs(self, inputs):
        return mask_batch(plain_model(self.model).base_model, super()._prepare_inputs(inputs))

    def compute_loss(self, model, inputs, return_outputs: bool = False, num_items_in_batch=None):
        outputs = model(**inputs, masked_positions_only=True)
        chosen = labelled_positions(inputs["labels"], inputs["base_targets"])
        # masked windows have a code and a base to predict at the same positions
        labels, base_targets = (inputs[name].flatten()[chosen] for name in ("labels", "base_targets"))
        weight = chosen.numel()
        sizes = list(self.model.config.codec_config.codebook_sizes)
        codes = unpack_codes(labels, sizes)
        for level, logits in enumerate(outputs.logits.split(sizes, dim=-1)):
            self.record(f"accuracy_{level + 1}", (logits.argmax(-1) == codes[:, level]).double().mean(), weight)
            self.record(f"loss_{level + 1}", outputs.level_losses[level], weight)
        right = outputs.base_logits.argmax(-1) == base_targets
        self.record("base_accuracy", right.double().mean(), weight)
        self.record("base_loss", outputs.base_loss, weight)
        return (outputs.loss, outputs) if return_outputs else outputs.loss


def build_model(arguments: PretrainArguments, tokenizer: VQDNATokenizer) -> VQDNAForMaskedLM:
    """A new encoder over the tokenizer's codec, or the model to go on from.

    Raises:
        ValueError: the model to go on from has another vocabulary, or `--lora` without one.
    """
    if arguments.model is not None:
        check_model_directory(arguments.model)
        model = VQDNAForMaskedLM.from_pretrained(resolve_checkpoint(arguments.model))
        model.check_tokenizer(tokenizer)
        check_finite(model, arguments.model)
        return model
    if arguments.lora:
        raise ValueError("--lora adapts a pre-trained model: name it with --model.")
    config = VQDNAConfig.from_preset(
        arguments.preset, codec_config=tokenizer.codec.config, base_loss_weight=arguments.base_loss_weight
    )
    model = VQDNAForMaskedLM(config)
    model.codec.load_state_dict(tokenizer.codec.state_dict())
    return model


def pretrain(arguments: PretrainArguments) -> dict:
    """Pre-train an encoder to predict hidden codes and bases; hidden tokens, where the tokenizer is an ordinary one.

    Returns:
        The summary that is also written to `training.json`.

    Raises:
        ValueError: a corpus or model of another vocabulary, an unfinished run in the output directory, or options that
            do not fit together.
    """
    from .pretrain_tokens import is_token_directory, pretrain_tokens  # which build on this module

    if is_token_directory(arguments.tokenizer):
        return pretrain_tokens(arguments)
    apply_recipe(arguments, PRETRAINING)
    started, output = time.time(), Path(arguments.output)
    tokenizer, corpus = load_tokenizer(arguments.tokenizer), Corpus.load(arguments.corpus)
    corpus.check_fingerprint(tokenizer.vocabulary_fingerprint)
    masking = _masking(arguments, tokenizer, corpus.manifest["window"])
    checkpoint = find_checkpoint(output, arguments.resume, "training.json")
    set_seed(arguments.seed)
    model = build_model(arguments, tokenizer)
    set_attention(model, arguments.attn_implementation)
    if arguments.lora:
        model = get_peft_model(model, lora_config(model))
    training = training_arguments(arguments, output, **speed_arguments(arguments), label_names=["labelled"])
    num_windows = arguments.max_steps * windows_per_step(training)
    train = MaskedWindows(corpus.split("train"), num_windows, masking, arguments.seed, arguments.random_strand)
    held_out = corpus.split("validation")
    evaluation = MaskedWindows(held_out, min(arguments.eval_windows, len(held_out)), masking, 0, False)
    trainer = VQDNAPretrainTrainer(
        model=model,
        args=training,
        train_dataset=train,
        eval_dataset=evaluation,
        data_collator=MaskingCollator(),
        callbacks=[ModelCardCallback(at_end=False)],
    )
    settings = {**arguments.settings(), "fingerprint": tokenizer.vocabulary_fingerprint}
    check_same_run(output, "run.json", settings, arguments.resume)
    trainer.train(resume_from_checkpoint=checkpoint)
    metrics = eval_scores(trainer.evaluate())
    if arguments.neighbour_steps:
        metrics |= _leakage(trainer, model, arguments)
        logger.info(
            "Held-out accuracy of the base head: %.3f; of a predictor that only looks at the codes around: %.3f",
            *(metrics["base_accuracy"], metrics["neighbours_base_accuracy"]),
        )
    summary = {
        "fingerprint": tokenizer.vocabulary_fingerprint,
        "eval": metrics,
        "corpus": {"inputs": corpus.manifest.get("inputs"), "window": corpus.manifest.get("window")},
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        **_lineage(arguments, tokenizer.vocabulary_fingerprint),
    }
    parts = (output / "adapter",) if arguments.lora else ()
    if trainer.is_world_process_zero():
        with writing(output):
            if arguments.lora:
                save_pretrained(model, output / "adapter")
                save_pretrained(tokenizer, output / "adapter")
                model = model.merge_and_unload()  # the next stage takes a model, not an adapter
            save_pretrained(model, output)
            save_pretrained(tokenizer, output)
    finish_run(output, summary, started - trainer.seconds_before, arguments, parts)
    return summary


def _lineage(arguments: PretrainArguments, fingerprint: str) -> dict[str, dict]:
    """The records of the vocabulary and of the encoder gone on from, as far as there are any."""
    records = {"vocabulary": vocabulary_record(arguments.tokenizer, fingerprint)}
    if arguments.model is not None:
        records["encoder"] = encoder_record(arguments.model, fingerprint)
    return {name: record for name, record in records.items() if record}


def _masking(arguments: PretrainArguments, tokenizer: VQDNATokenizer, window: int) -> Masking:
    """The masking a command asks for; refuses windows in which it would hide nothing."""
    num_codes = tokenizer.vocab_size - NUM_SPECIAL_TOKENS
    halo = tokenizer.codec.config.halo
    masking = Masking(arguments.masking, arguments.mask_ratio, halo, num_codes, arguments.span_length)
    if window < masking.min_length:
        raise ValueError(
            f"The corpus has windows of {window} bases, too short for spans of {masking.span_length}: tokenize it "
            f"with --window {masking.min_length} or more."
        )
    return masking


def _leakage(trainer: VQDNAPretrainTrainer, model, arguments: PretrainArguments) -> dict[str, float]:
    """Accuracy of the neighbours-only predictor on the inputs this run trained with."""

    def batches(dataset, count: int):
        for start in range(0, min(len(dataset), count * 16), 16):
            yield MaskingCollator()(dataset.__getitems__(list(range(start, min(start + 16, len(dataset))))))

    with torch.random.fork_rng():
        return neighbours_accuracy(
            plain_model(model),
            batches(trainer.train_dataset, arguments.neighbour_steps),
            batches(trainer.eval_dataset, len(trainer.eval_dataset)),
        )
