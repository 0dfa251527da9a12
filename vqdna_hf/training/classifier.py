"""Training a sequence classifier (or regressor) of any architecture: the `Trainer`, its arguments, its optimizer."""

import contextlib
import time
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from transformers import PrinterCallback, TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput

from ..arguments.training import FinetuneArguments
from ..data.eval_batches import join_parts, parts_of, take_rows
from ..metrics import make_compute_metrics, metric_names
from ..runs.records import package_versions
from ..runs.resume import reading
from ..tasks import TaskInfo
from ..tasks.catalogue import class_names
from ..tasks.rows import REGRESSION
from .length_groups import LengthGroupedSampler
from .recording import TimedTrainer
from .speed import speed_arguments
from .weight_average import WeightAverage


_LEARNING_RATES = {"lora": 1e-3, "full": 5e-4, "end-to-end": 5e-4}


def learning_rate(arguments: FinetuneArguments) -> float | None:
    """What was asked for, or the mode's default; a linear probe has none."""
    default = _LEARNING_RATES.get(arguments.mode)
    return default if arguments.learning_rate is None else arguments.learning_rate


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


def label_maps(classes: tuple[str, ...], num_labels: int) -> dict:
    """`id2label` and `label2id`, or `num_labels` where the classes have no names, as `from_pretrained` takes them."""
    if not classes:
        return {"num_labels": num_labels}
    return {"id2label": dict(enumerate(classes)), "label2id": {name: number for number, name in enumerate(classes)}}


def task_labels(arguments: FinetuneArguments, info: TaskInfo) -> dict:
    """The label maps of the task that a command names, or that its directory says it holds."""
    if info.problem_type == REGRESSION:
        return label_maps((), info.num_labels)
    return label_maps(class_names(arguments.task or Path(arguments.data).resolve(), info.num_labels), info.num_labels)


def scores_of(metrics: dict, prefix: str, problem_type: str) -> dict[str, float]:
    """The scores among what `Trainer.evaluate` or `predict` gives, without their prefix."""
    return {name: round(float(metrics[prefix + name]), 6) for name in metric_names(problem_type)}


def run_results(arguments: FinetuneArguments, info: TaskInfo, metric: str, dev: dict, test: dict, started: float):
    """What `results.json` holds of any run.

    Args:
        dev, test: scores.
        started: `time.time()` when the run began; earlier by what interrupted parts of it took until their
            last checkpoints.
    """
    return {
        "task": info.name,
        "mode": arguments.mode,
        "seed": arguments.seed,
        "metric": metric,
        "dev": dev,
        "test": test,
        "counts": dict(info.counts),
        "seconds": round(time.time() - started, 1),
        "versions": package_versions(),
        "arguments": {**arguments.settings(), "learning_rate": learning_rate(arguments)},
    }


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
        """As `Trainer.compute_loss`; the loss of a batch with `other_input_ids` is that of the averaged logits."""
        if "other_input_ids" not in inputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        inner = self.accelerator.unwrap_model(model)
        inner = inner.get_base_model() if isinstance(inner, PeftModel) else inner
        mask = inputs["attention_mask"]
        with _one_strand(inner.config):
            logits, other = (
                model(input_ids=inputs[name], attention_mask=mask).logits for name in ("input_ids", "other_input_ids")
            )
        logits = (logits + other) / 2
        loss = inner.loss_function(labels=inputs["labels"], pooled_logits=logits, config=inner.config)
        return (loss, SequenceClassifierOutput(loss, logits)) if return_outputs else loss


@contextlib.contextmanager
def _one_strand(config):
    """Keep a model from asking for bases, of which it would read the other strand: it is given the codes of both."""
    before = config.strand_average
    config.strand_average = False
    try:
        yield
    finally:
        config.strand_average = before


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
    lengths=None,
) -> ClassifierTrainer:
    """A `Trainer` that keeps the epoch which is best on dev.

    Args:
        arguments: optimizer, epochs and batches.
        output: where checkpoints are written.
        metric: the score, among those that `compute_metrics` gives, which dev selects by.
        train, dev, collator, compute_metrics, callbacks: as `Trainer` takes them.
        quiet: whether progress bars and log lines are left out, for a caller that has its own.
        lengths: of the training rows, for batches of like lengths; `train` then has `epoch` (see `EpochCallback`).
    """
    args = _training_arguments(arguments, output, metric, learning_rate(arguments))
    args.disable_tqdm = quiet
    trainer = ClassifierTrainer(
        lengths=lengths,
        ema_decay=arguments.ema_decay,
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
