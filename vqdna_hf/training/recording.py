"""What the trainers share: named parts of the loss in the logs, and the runs' files."""

import json
import logging
import os
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import TrainingArguments

from ..files import check_output, read_json, write_json
from ..hub.digests import with_digests
from ..hub.model_card import write_card_of_run
from .guarded_trainer import GuardedTrainer
from .launched import process_place, start_processes
from .resuming import last_checkpoint, remove_checkpoints, writing


logger = logging.getLogger(__name__)

# what finished runs write last, and what is known by its own files
_RECORDS = ("training.json", "results.json")
_PRODUCTS = ("tokenizer_config.json", "probe.json")
_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "peft", "tokenizers", "numpy")


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
        """What the interrupted runs took that this one goes on from, up to the last log before its checkpoint."""
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

    def _save(self, output_dir: str | None = None, state_dict=None):
        """Save as the base class does, but leave the tokenizer for the finished directory."""
        processing_class, self.processing_class = self.processing_class, None
        try:
            super()._save(output_dir, state_dict)
        finally:
            self.processing_class = processing_class


def find_checkpoint(output: Path, resume: bool, result: str) -> str | None:
    """The checkpoint to go on from: see `last_checkpoint`.

    Args:
        result: the file that a finished run writes last.

    Raises:
        ValueError: the directory holds a finished run, or an unfinished one and `resume` is false; or it cannot be
            written to.
    """
    check_output(output)
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file, but a directory is written there. Choose another --output.")
    _check_writable(output)
    # a run that was killed while it wrote its result has settings and no record: the result is written again
    began = (output / "run.json").is_file()
    if resume and began and process_place()[0] == 0 and any((output / name).is_file() for name in _RECORDS):
        remove_checkpoints(output)  # which the run was killed over, after all it had to write was written
    for name in (result, *_RECORDS, *(() if began else _PRODUCTS)):
        if (output / name).is_file():
            raise ValueError(f"{output} holds a finished run ({name}). Remove it, or choose another --output.")
    if not resume and (cut_off := [name for name in _PRODUCTS if (output / name).is_file()]):
        raise ValueError(
            f"{output} holds an unfinished run ({cut_off[0]}, and no record yet). Add --resume to go on with it, or "
            "choose another --output."
        )
    last = last_checkpoint(output)
    if last is not None and not resume:
        raise ValueError(
            f"{output} holds the unfinished run {last}. Add --resume to go on with it, or choose another --output."
        )
    return last


def _check_writable(output: Path):
    """Make sure that a directory can be made or written to, as far as asking tells.

    Raises:
        ValueError: names the directory that cannot be written to.
    """
    place = next(path for path in (output, *output.absolute().parents) if path.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(f"{place} cannot be written to: it is read-only for you. Choose another --output.")


def windows_per_step(args: TrainingArguments) -> int:
    """Windows of one optimizer step: of all micro-batches and processes together."""
    return args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size


def eval_scores(metrics: dict) -> dict[str, float]:
    """What `Trainer.evaluate` returned, without its prefix and without what is no evaluation."""
    return {key.removeprefix("eval_"): value for key, value in metrics.items() if key.startswith("eval_")}


def finish_run(output: Path, summary: dict, started: float, arguments, parts: tuple[Path, ...] = ()):
    """Complete a run's summary, write the model card and then, last of all, the summary; remove the checkpoints.

    Args:
        started: `time.time()` when the run began; earlier by what interrupted parts of it took until their
            last checkpoints.
        parts: directories within `output` that get the summary and a card of their own.
    """
    summary |= {
        "arguments": arguments.settings(),
        "processes": PartialState().num_processes,
        "seconds": round(time.time() - started, 1),
        "versions": package_versions(),
    }
    if PartialState().is_main_process:
        with writing(output):
            for part in parts:
                write_json(part / "training.json", with_digests(summary, part))
                write_card_of_run(part, {})
            summary |= with_digests(summary, output)
            write_card_of_run(output, {"training.json": summary})
            write_json(output / "training.json", summary)
        remove_checkpoints(output)
        logger.info("The result is in %s, its record in %s", output, output / "training.json")


def check_foreign_files(directory: Path, own: set[str]):
    """Make sure that a directory that is about to be replaced holds nothing but what a command wrote there.

    Raises:
        ValueError: names the files that would be lost.
    """
    foreign = sorted({path.name for path in directory.iterdir()} - own)
    if foreign:
        raise ValueError(
            f"{directory} also holds {', '.join(foreign)}, which would be lost. Move what you want to keep."
        )


def check_same_run(output: Path, name: str, settings: dict, resume: bool):
    """Record a run's settings in `output`, or make sure that a resumed run has the ones it began with.

    The number of processes is one of them: with another one, the steps to come would see other windows. So is the
    fingerprint of the vocabulary, where `settings` has it: a path says where a vocabulary is, not which one.

    Raises:
        ValueError: names the settings that differ.
    """
    path, state = output / name, start_processes()
    settings = {**json.loads(json.dumps(settings)), "processes": state.num_processes}
    if resume and path.is_file():
        before = {"processes": state.num_processes, **read_json(path)}
        # an option that a record lacks had its default, and may have another value in the other record
        different = [key for key in {**settings, **before} if before.get(key) != settings.get(key)]
        if different:
            then, now = (
                [repr(one[key]) if key in one else "its default" for key in different] for one in (before, settings)
            )
            changes = "; ".join(f"{key}: {old} then, {new} now" for key, old, new in zip(different, then, now))
            raise ValueError(f"Cannot resume the run in {output} with other settings ({changes}).")
    if state.is_main_process:
        write_json(path, settings)


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide a result."""
    versions = {}
    for name in ("vqdna-hf", *_PACKAGES):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "source checkout"
    return versions
