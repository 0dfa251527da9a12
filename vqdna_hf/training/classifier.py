"""Training a sequence classifier (or regressor) of any architecture: the `Trainer`, its arguments, its optimizer."""

from pathlib import Path

import numpy as np
import torch
from transformers import PrinterCallback, Trainer, TrainingArguments

from ..metrics import make_compute_metrics
from .arguments import FinetuneArguments


_LEARNING_RATES = {"lora": 1e-3, "full": 5e-4, "end-to-end": 5e-4}


def learning_rate(arguments: FinetuneArguments) -> float | None:
    """What was asked for, or the mode's default; a linear probe has none."""
    default = _LEARNING_RATES.get(arguments.mode)
    return default if arguments.learning_rate is None else arguments.learning_rate


def classifier_trainer(
    arguments: FinetuneArguments,
    model,
    output: Path,
    metric: str,
    *,
    train,
    dev,
    collator,
    compute_metrics,
    callbacks=(),
    quiet: bool = False,
) -> Trainer:
    """A `Trainer` that keeps the epoch which is best on dev.

    Args:
        arguments: optimizer, epochs and batches.
        output: where checkpoints are written.
        metric: the score, among those that `compute_metrics` gives, which dev selects by.
        train, dev, collator, compute_metrics, callbacks: as `Trainer` takes them.
        quiet: whether progress bars and log lines are left out, for a caller that has its own.
    """
    args = _training_arguments(arguments, output, metric, learning_rate(arguments))
    args.disable_tqdm = quiet
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=train,
        eval_dataset=dev,
        data_collator=collator,
        compute_metrics=compute_metrics,
        optimizers=(_optimizer(model, learning_rate(arguments), arguments), None),
        callbacks=list(callbacks),
    )
    if quiet:
        trainer.remove_callback(PrinterCallback)
    return trainer


def average_strands(predictions, strands: int) -> np.ndarray:
    """Mean over the strands of logits whose rows are those of one strand and then those of the other.

    Args:
        predictions: logits as `Trainer.predict` gives them, alone or the first of a tuple.
        strands: 1 or 2.
    """
    logits = np.asarray(predictions[0] if isinstance(predictions, (tuple, list)) else predictions)
    return logits.reshape(strands, -1, *logits.shape[1:]).mean(axis=0)


def average_strands_metrics(problem_type: str, strands: int):
    """The `compute_metrics` function for an evaluation set that holds one strand of every row, and then the other."""
    compute = make_compute_metrics(problem_type)

    def metrics(evaluation) -> dict[str, float]:
        labels = evaluation.label_ids
        evaluation.predictions = average_strands(evaluation.predictions, strands)
        evaluation.label_ids = labels[: len(labels) // strands]
        return compute(evaluation)

    return metrics


def _training_arguments(arguments: FinetuneArguments, output: Path, metric: str, rate: float) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(output),
        num_train_epochs=arguments.epochs,
        per_device_train_batch_size=arguments.batch_size,
        per_device_eval_batch_size=64,
        gradient_accumulation_steps=arguments.gradient_accumulation_steps,
        learning_rate=rate,
        warmup_steps=arguments.warmup_ratio,
        weight_decay=arguments.weight_decay,
        seed=arguments.seed,
        bf16=arguments.bf16,
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=metric,
        greater_is_better=True,
        logging_strategy="epoch",
        remove_unused_columns=False,
        label_names=["labels"],
        report_to="none",
        ddp_find_unused_parameters=False,
    )


def _optimizer(model, rate: float, arguments: FinetuneArguments) -> torch.optim.Optimizer:
    """AdamW without weight decay on biases and norms, and with a smaller step for a codec that trains along."""
    groups: dict[tuple[bool, bool], list] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = ("codec." in name, parameter.ndim >= 2)
            groups.setdefault(key, []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": rate * (arguments.codec_learning_rate_factor if in_codec else 1.0),
                "weight_decay": arguments.weight_decay if decays else 0.0,
            }
            for (in_codec, decays), parameters in groups.items()
        ]
    )
