"""Stage 1 as a function: FASTA files in, a tokenizer directory out."""

import time
from pathlib import Path

from accelerate import PartialState
from transformers import set_seed

from ..arguments.training import TokenizeArguments, TrainTokenizerArguments
from ..cards.callback import ModelCardCallback
from ..data import GenomeBases, WindowDataset
from ..data.genome_bases import check_held_out
from ..data.windows import check_windows
from ..modeling.compiled_vqdna import is_narrow
from ..modeling.configuration_vqdna import VQDNACodecConfig
from ..modeling.modeling_vqdna_codec import VQDNACodecModel
from ..modeling.tokenization_vqdna import VQDNATokenizer
from ..runs.processes import refuse_fsdp
from ..runs.resume import check_same_run, find_checkpoint
from .codec_trainer import VQDNACodecTrainer
from .recipes import COMPACT, DEFAULT_MASK_RATIO, VOCABULARY, apply_recipe, training_arguments
from .recording import eval_scores, finish_run, windows_per_step


def codec_config(arguments: TrainTokenizerArguments) -> VQDNACodecConfig:
    """The architecture a command asks for: a preset, and what overrides it."""
    names = ("quantizer", "codebook_sizes", "codebook_dim", "quantized_layers")
    names += ("mask_ratio", "word_radius", "restart_threshold")
    overrides = {name: getattr(arguments, name) for name in names if getattr(arguments, name) not in (None, [])}
    paper = arguments.recipe == "paper" or arguments.preset.startswith("paper")
    if arguments.preset.startswith("compact") and not paper:
        overrides = COMPACT | overrides
    overrides.setdefault("mask_ratio", VOCABULARY["mask_ratio"] if paper else DEFAULT_MASK_RATIO)
    return VQDNACodecConfig.from_preset(arguments.preset, **overrides)


def _check_clean_steps(arguments: TrainTokenizerArguments, config: VQDNACodecConfig):
    steps, most = arguments.clean_steps, arguments.max_steps - arguments.warmup_steps
    if steps and not (config.mask_ratio > 0 and 0 < steps < most):
        raise ValueError(
            f"--clean-steps {steps} are the last steps of a run that masks bases before (--mask-ratio "
            f"{config.mask_ratio}): more than 0, and fewer than the {most} between warm-up and end."
        )


def _check_bases(train: GenomeBases, held_out: GenomeBases, arguments: TrainTokenizerArguments):
    least = min(TokenizeArguments.min_length, arguments.length, arguments.warmup_length)
    check_windows(train, arguments.length, least, "train", "Give FASTA files with longer known sequences.")
    remedy = "Name other --eval-contigs, or raise --eval-fraction."
    check_windows(held_out, arguments.length, 1, "held-out", remedy)


def train_tokenizer(arguments: TrainTokenizerArguments) -> dict:
    """Learn a vocabulary.

    Args:
        arguments: see [`TrainTokenizerArguments`].

    Returns:
        The summary that is also written to `training.json`: evaluation, fingerprint, counts, versions.

    Raises:
        ValueError: no FASTA file, an unknown preset or recipe, clean steps where nothing is masked, an unfinished run
            in the output directory, a wrong FASTA file (`FastaError`), no window of known bases to learn from or to
            evaluate on, or FSDP is asked for.
    """
    refuse_fsdp("Learning a vocabulary")
    if not arguments.fasta:
        raise ValueError("Give at least one FASTA file with --fasta.")
    check_held_out(arguments.eval_contigs, arguments.eval_fraction)
    apply_recipe(arguments, VOCABULARY)
    started, output = time.time(), Path(arguments.output)
    config = codec_config(arguments)
    _check_clean_steps(arguments, config)
    checkpoint = find_checkpoint(output, arguments.resume, "training.json")
    genome = GenomeBases.from_fasta(arguments.fasta)
    train, held_out = genome.split(arguments.eval_contigs or None, arguments.eval_fraction)
    _check_bases(train, held_out, arguments)
    set_seed(arguments.seed)
    model = VQDNACodecModel(config)
    trainer = _trainer(arguments, model, train, held_out)
    check_same_run(output, "run.json", arguments.settings(), arguments.resume)
    trainer.train(resume_from_checkpoint=checkpoint)
    metrics = trainer.evaluate()
    if config.mask_ratio > 0:
        masked = _held_out_windows(arguments, held_out, config.mask_ratio)
        metrics |= trainer.evaluate(masked, metric_key_prefix="eval_denoising")
    if arguments.table and is_narrow(config) and PartialState().is_main_process:
        model.compile_vocabulary(progress=True)
    tokenizer = VQDNATokenizer(codec=model)
    summary = {
        "fingerprint": tokenizer.vocabulary_fingerprint,
        "eval": eval_scores(metrics),
        "bases": {"train": int(train.total_bases), "held_out": int(held_out.total_bases)},
        "held_out_contigs": [str(name) for name in held_out.names[:20]],
        "inputs": train.inputs,
    }
    finish_run(arguments, model, tokenizer, summary, started - trainer.seconds_before)
    return summary


def _trainer(
    arguments: TrainTokenizerArguments, model: VQDNACodecModel, train: GenomeBases, held_out: GenomeBases
) -> VQDNACodecTrainer:
    """Short windows until the warm-up ends, and nothing masked in the last `clean_steps`; k-means begins each part."""
    training = training_arguments(arguments)
    per_step, first_clean = windows_per_step(training), arguments.max_steps - arguments.clean_steps
    schedule, kmeans_steps = [(0, arguments.warmup_length)], [0]
    if 0 < arguments.warmup_steps < arguments.max_steps:
        kmeans_steps.append(arguments.warmup_steps)
        schedule.append((arguments.warmup_steps * per_step, arguments.length))
    if arguments.clean_steps:
        kmeans_steps.append(first_clean)
    return VQDNACodecTrainer(
        model=model,
        args=training,
        train_dataset=WindowDataset(
            train,
            arguments.max_steps * per_step,
            schedule,
            arguments.seed,
            mask_ratio=model.config.mask_ratio,
            clean_from=first_clean * per_step,
        ),
        eval_dataset=_held_out_windows(arguments, held_out),
        kmeans_steps=tuple(kmeans_steps) if arguments.kmeans else (),
        callbacks=[ModelCardCallback(at_end=False)],
    )


def _held_out_windows(
    arguments: TrainTokenizerArguments, held_out: GenomeBases, mask_ratio: float = 0.0
) -> WindowDataset:
    return WindowDataset(held_out, arguments.eval_windows, [(0, arguments.length)], seed=0, mask_ratio=mask_ratio)
