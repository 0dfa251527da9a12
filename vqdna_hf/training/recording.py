"""What the trainers share: named parts of the loss in the logs, and the runs' files."""

import logging
import time
from pathlib import Path

import torch
from accelerate import PartialState
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, TrainingArguments

from ..arguments.training import RunArguments
from ..cards.card import write_card_of_run
from ..runs.files import save_pretrained, write_json
from ..runs.records import package_versions, with_digests
from ..runs.resume import remove_checkpoints, writing
from .guarded_trainer import GuardedTrainer


logger = logging.getLogger(__name__)


class TimedTrainer(GuardedTrainer):
    """A `Trainer` whose log says how long the run has taken so far, with all the parts of an interrupted one."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._started, self._before = time.time(), None

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add `elapsed_seconds`."""
        super().log(
            logs | {"elapsed_seconds": round(self.seconds_before + time.time() - self._started, 1)}, start_time
        )

    @property
    def seconds_before(self) -> float:
        """What interrupted parts of the run took, up to the last log before the checkpoint it resumes from."""
        if self._before is None:
            self._before = max((one.get("elapsed_seconds", 0.0) for one in self.state.log_history), default=0.0)
        return self._before


class RecordingTrainer(TimedTrainer):
    """A `Trainer` that logs averages of named values, weighted by how many positions each stands for.

    A subclass calls `record` inside `compute_loss`. The averages since the last log join the training log, those of an
    evaluation join its metrics, summed over all processes.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._sums: dict[str, dict[str, torch.Tensor]] = {"train": {}, "eval": {}}

    def record(self, name: str, value: torch.Tensor, weight: torch.Tensor | float = 1.0):
        """Add `value`, which holds for `weight` positions, to the average called `name`; nan counts for nothing."""
        phase = self._sums["train" if self.model.training else "eval"]
        value, weight = value.detach().double(), torch.as_tensor(weight, dtype=torch.double, device=value.device)
        known = ~torch.isnan(value)
        pair = torch.stack([torch.where(known, value * weight, 0.0), weight * known])
        phase[name] = phase[name] + pair if name in phase else pair

    def record_counts(self, name: str, counts: torch.Tensor):
        """Add code counts, of shape `(codes,)`, whose usage and perplexity are to be logged."""
        phase = self._sums["train" if self.model.training else "eval"]
        phase[name] = phase[name] + counts.detach() if name in phase else counts.detach()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the recorded averages to a training or evaluation log."""
        if "loss" in logs:
            logs.update(self._collect("train", ""))
        else:
            prefix = next((key.removesuffix("loss") for key in logs if key.endswith("_loss")), None)
            if prefix is not None and prefix.startswith("eval_"):
                logs.update(self._collect("eval", prefix))
        super().log(logs, start_time)

    def _collect(self, phase: str, prefix: str) -> dict[str, float]:
        values = {}
        for name, sums in sorted(self._sums[phase].items()):
            sums = self.accelerator.reduce(sums, "sum")
            values.update({prefix + key: round(value, 6) for key, value in self.summarize(name, sums).items()})
        self._sums[phase] = {}
        return values

    def summarize(self, name: str, sums: torch.Tensor) -> dict[str, float]:
        """Turn the summed records of one name into the values to log."""
        total, weight = sums.tolist()
        return {name: total / weight} if weight else {}


def windows_per_step(args: TrainingArguments) -> int:
    """Windows of one optimizer step: of all micro-batches and processes together."""
    return args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size


def eval_scores(metrics: dict) -> dict[str, float]:
    """What `Trainer.evaluate` returned, without its prefix and without what is no evaluation."""
    return {key.removeprefix("eval_"): value for key, value in metrics.items() if key.startswith("eval_")}


def finish_run(arguments: RunArguments, model, tokenizer: PreTrainedTokenizerBase, summary: dict, started: float):
    """Save what a run has made, complete its summary, and write it last of all; remove the checkpoints.

    Adapters are saved in `adapter`, with a record and a card of their own, and merged: the next stage takes a model.

    Args:
        summary: of the run; what is the same for every run is added.
        started: `time.time()` when the run began; earlier by what interrupted parts of it took until their
            last checkpoints.
    """
    output = Path(arguments.output)
    summary |= {
        "arguments": arguments.settings(),
        "processes": PartialState().num_processes,
        "seconds": round(time.time() - started, 1),
        "versions": package_versions(),
    }
    if PartialState().is_main_process:
        with writing(output):
            if isinstance(model, PeftModel):
                _save(output / "adapter", model, tokenizer, dict(summary))
                model = model.merge_and_unload()
            _save(output, model, tokenizer, summary)
        remove_checkpoints(output)
        logger.info("The result is in %s, its record in %s", output, output / "training.json")


def _save(directory: Path, model, tokenizer: PreTrainedTokenizerBase, summary: dict):
    """Save model and tokenizer, then the card, and the summary, which gets the digests of the weights, last."""
    save_pretrained(model, directory)
    save_pretrained(tokenizer, directory)
    summary |= with_digests(summary, directory)
    if "fingerprint" in summary:  # a card describes a learned vocabulary and what was trained over it
        write_card_of_run(directory, {"training.json": summary})
    write_json(directory / "training.json", summary)
