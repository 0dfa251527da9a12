"""What the stages take from the paper, and the `TrainingArguments` of the first two."""

from pathlib import Path

import torch
from transformers import TrainingArguments

from ..arguments.training import RunArguments


# Appendix A. Steps, lengths and batches of the first two stages are options, because they scale with the corpus; of
# the third stage's grid this is the middle, and the grid itself is for a benchmark.
VOCABULARY = {"learning_rate": 1e-4, "weight_decay": 0.01, "mask_ratio": 0.0}
PRETRAINING = {"learning_rate": 5e-4, "weight_decay": 0.01, "mask_ratio": 0.25, "masking": "token"}
FINE_TUNING = {"learning_rate": 3e-5, "weight_decay": 0.01, "batch_size": 32, "max_length": 512}
# what a short run of the default recipe masks; compared in docs/evidence/three-tasks.md
DEFAULT_MASK_RATIO = 0.25
# of the narrow presets: what makes their codes words; compared in docs/recipe
COMPACT = {"mask_ratio": 0.0, "word_radius": 3}


def training_arguments(arguments: RunArguments, **overrides) -> TrainingArguments:
    """The `TrainingArguments` of both pre-training stages (AdamW and cosine decay as in Appendix A)."""
    values = {
        "output_dir": str(Path(arguments.output)),
        "max_steps": arguments.max_steps,
        "per_device_train_batch_size": arguments.batch_size,
        "per_device_eval_batch_size": arguments.batch_size,
        "gradient_accumulation_steps": arguments.gradient_accumulation_steps,
        "learning_rate": arguments.learning_rate,
        "warmup_steps": arguments.warmup_steps,
        "weight_decay": arguments.weight_decay,
        "adam_beta1": 0.9,
        "adam_beta2": 0.98,
        "lr_scheduler_type": "cosine",
        "seed": arguments.seed,
        "bf16": arguments.bf16,
        "use_cpu": not torch.cuda.is_available(),
        "logging_steps": arguments.logging_steps,
        "eval_strategy": "steps",
        "eval_steps": arguments.eval_steps,
        "save_steps": arguments.save_steps,
        "save_total_limit": 2,
        # the windows are random already, and their order is a schedule of lengths
        "train_sampling_strategy": "sequential",
        "prediction_loss_only": True,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "report_to": "none",
        # every process moves its own (equal) codebooks; copying rank 0's before each forward would be wasted work
        "ddp_broadcast_buffers": False,
        "ddp_find_unused_parameters": False,
        **overrides,
    }
    training = TrainingArguments(**values)
    if training.n_gpu > 1:
        raise ValueError(
            f"This process sees {training.n_gpu} GPUs, and one process cannot keep codebooks and data in order on "
            "several: start one process per GPU with `torchrun --nproc-per-node`, or set CUDA_VISIBLE_DEVICES."
        )
    return training


def apply_recipe(arguments, recipe: dict):
    """Put a named recipe's values in place of the defaults."""
    if arguments.recipe == "paper":
        # an option that still has its default value counts as not given
        for name, value in recipe.items():
            if getattr(arguments, name) in (None, type(arguments).__dataclass_fields__[name].default):
                setattr(arguments, name, value)
