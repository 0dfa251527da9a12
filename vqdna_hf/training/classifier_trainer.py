"""Training a sequence classifier (or regressor) of any architecture: the `Trainer`, its arguments, its optimizer."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PrinterCallback, TrainingArguments
from transformers.loss.loss_utils import ForSequenceClassificationLoss
from transformers.modeling_outputs import SequenceClassifierOutput

from ..arguments.training import FinetuneArguments
from ..data.eval_batches import join_parts, parts_of, take_rows
from ..metrics import make_compute_metrics, metric_names
from ..runs.resume import reading
from .length_groups import LengthGroupedSampler
from .recording import TimedTrainer
from .speed import speed_arguments
from .task_inputs import TaskInputs
from .task_rows import EpochCallback
from .weight_average import WeightAverage


_LEARNING_RATES = {"lora": 1e-3, "full": 5e-4, "end-to-end": 5e-4}


def learning_rate(arguments: FinetuneArguments) -> float | None:
    """What was asked for, or the mode's default; a linear probe has none."""
    default = _LEARNING_RATES.get(arguments.mode)
    return default if arguments.learning_rate is None else arguments.learning_rate


def scores_of(metrics: dict, prefix: str, problem_type: str) -> dict[str, float]:
    """The scores among what `Trainer.evaluate` or `predict` gives, without their prefix."""
    return {name: round(float(metrics[prefix + name]), 6) for name in metric_names(problem_type)}


class ClassifierTrainer(TimedTrainer):
    """A `Trainer` with batches of like lengths on request, which averages the strands of a batch that holds both.

    Args:
        lengths: of the training rows; batches are random without them.
        ema_decay: of a moving average of the weights, which evaluations and model files then have in place of the
            weights; none if 0.
        kwargs: what `Trainer` takes.
    """

    def __init__(self, lengths=None, ema_decay: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.lengths = lengths
        self.weight_average = None
        if ema_decay:
            self.weight_average = WeightAverage(self.model, ema_decay)
            self.add_callback(self.weight_average)

    @contextlib.contextmanager
    def _averaged(self):
        with self.weight_average.applied() if self.weight_average else contextlib.nullcontext():
            yield

    def evaluate(self, *args, **kwargs):
        """As `Trainer.evaluate`, of the averaged weights where there are such."""
        with self._averaged():
            return super().evaluate(*args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict=None):
        with self._averaged():
            super()._save(output_dir, state_dict)
        if self.weight_average and self.args.should_save:
            self.weight_average.save_trained(output_dir or self.args.output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None):
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self.weight_average:
            with reading(resume_from_checkpoint):
                self.weight_average.load(resume_from_checkpoint)

    def _get_train_sampler(self, train_dataset=None):
        if self.lengths is None:
            return super()._get_train_sampler(train_dataset)
        rows = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroupedSampler(self.train_dataset, self.lengths, rows, self.args.seed)

    def prediction_step(self, model, inputs, prediction_loss_only: bool, ignore_keys: list[str] | None = None):
        """As `Trainer.prediction_step`, called for each of `parts_of` a batch; of the outputs, logits are kept."""
        parts = parts_of(inputs["attention_mask"].sum(dim=-1).tolist())
        if self.is_fsdp_enabled:  # whose processes gather every layer together, as often as each other
            parts = [np.arange(len(inputs["attention_mask"]))]
        found = []
        for rows in parts:
            part = take_rows(inputs, rows)
            loss, logits, labels = super().prediction_step(model, part, prediction_loss_only, ignore_keys)
            found.append((loss, logits[0] if isinstance(logits, tuple) else logits, labels))
        return join_parts(parts, found)

    def compute_loss(self, model, inputs, return_outputs: bool = False, num_items_in_batch=None):
        """As `Trainer.compute_loss`; the loss of a batch with both strands is that of their averaged logits."""
        other = {name.removeprefix("other_"): inputs[name] for name in inputs if name.startswith("other_")}
        if not other:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        config = self.accelerator.unwrap_model(model).config
        with _one_strand(config):
            outputs = [model(**strand) for strand in ({name: inputs[name] for name in other}, other)]
        logits = sum(one["logits"] if isinstance(one, dict) else one[0] for one in outputs) / 2
        loss = ForSequenceClassificationLoss(inputs["labels"], logits, config)
        return (loss, SequenceClassifierOutput(loss, logits)) if return_outputs else loss


@contextlib.contextmanager
def _one_strand(config):
    """Keep a VQDNA model from reading the other strand itself: it is given both."""
    before = getattr(config, "strand_average", None)
    if before is not None:
        config.strand_average = False
    try:
        yield
    finally:
        if before is not None:
            config.strand_average = before


@dataclass(frozen=True)
class Adapted:
    """What training and scoring a classifier gives.

    Attributes:
        dev, test: scores in [-1, 1]; the epoch was chosen by those on dev.
        logits (`np.ndarray` of shape `(test rows, num_labels)`): in the order of the task's rows.
        epoch: the best on dev, from 1 on.
        seconds_before: what interrupted parts of the run took.
    """

    dev: dict[str, float]
    test: dict[str, float]
    logits: np.ndarray
    epoch: float
    seconds_before: float


def adapt_classifier(
    arguments: FinetuneArguments,
    model,
    inputs: TaskInputs,
    problem_type: str,
    metric: str,
    output: Path,
    checkpoint: str | None,
    *,
    callbacks=(),
    quiet: bool = False,
) -> Adapted:
    """Train a model, keep the epoch that is best on dev, and score dev and test; the model is that of the best epoch.

    Args:
        arguments: optimizer, epochs and batches.
        metric: the score that dev selects by.
        output: where checkpoints are written.
        checkpoint: the one to resume from.
        callbacks: of the trainer, besides those that it needs.
        quiet: whether progress bars and log lines are left out, for a caller that has its own.
    """
    args = _training_arguments(arguments, output, metric, learning_rate(arguments))
    args.disable_tqdm = quiet
    trainer = ClassifierTrainer(
        lengths=inputs.lengths,
        ema_decay=arguments.ema_decay,
        model=model,
        args=args,
        train_dataset=inputs.rows["train"],
        eval_dataset=inputs.rows["dev"],
        data_collator=inputs.collator,
        compute_metrics=make_compute_metrics(problem_type),
        optimizers=(_optimizer(model, learning_rate(arguments), arguments), None),
        callbacks=[EpochCallback(inputs.rows["train"]), *callbacks],
    )
    if quiet:
        trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=checkpoint)
    dev = scores_of(trainer.evaluate(), "eval_", problem_type)
    found = trainer.predict(inputs.rows["test"], metric_key_prefix="test")
    logits = found.predictions[0] if isinstance(found.predictions, (tuple, list)) else found.predictions
    return Adapted(
        dev,
        scores_of(found.metrics, "test_", problem_type),
        np.asarray(logits)[inputs.test_places],
        _best_epoch(trainer, metric),
        trainer.seconds_before,
    )


def _best_epoch(trainer: ClassifierTrainer, metric: str) -> float:
    evaluations = [one for one in trainer.state.log_history if f"eval_{metric}" in one]
    return max(evaluations, key=lambda one: one[f"eval_{metric}"])["epoch"]


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
        **speed_arguments(arguments),
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
