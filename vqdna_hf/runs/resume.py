"""Unfinished runs: where to resume, the settings they began with, and files that cannot be read or written."""

import contextlib
import logging
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import torch
from safetensors import SafetensorError, safe_open
from transformers.trainer import TRAINER_STATE_NAME

from .files import check_output, read_json, write_json
from .processes import rank_and_world_size, start_processes
from .records import RECORDS, different_settings


logger = logging.getLogger(__name__)

_NUMBERED = re.compile(r"checkpoint-(\d+)")
# what the libraries raise for files that are not what they should be
_UNREADABLE = (pickle.UnpicklingError, SafetensorError, RuntimeError, OSError, EOFError, LookupError)
_UNREADABLE += (ValueError, TypeError, AttributeError)
# how torch words what a full disk does to `torch.save`
_UNWRITTEN = re.compile("PytorchStreamWriter|inline_container|unexpected pos|No space left")
# finished results that have no record of a run
_PRODUCTS = ("tokenizer_config.json", "probe.json")


def find_checkpoint(output: Path, resume: bool, result: str) -> str | None:
    """The checkpoint to resume from: see `last_checkpoint`.

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
    if resume and began and rank_and_world_size()[0] == 0 and any((output / name).is_file() for name in RECORDS):
        remove_checkpoints(output)  # which the run was killed over, after all it had to write was written
    for name in (result, *RECORDS, *(() if began else _PRODUCTS)):
        if (output / name).is_file():
            raise ValueError(f"{output} holds a finished run ({name}). Remove it, or choose another --output.")
    if not resume and (cut_off := [name for name in _PRODUCTS if (output / name).is_file()]):
        raise ValueError(
            f"{output} holds an unfinished run ({cut_off[0]}, and no record yet). Add --resume to resume it, or "
            "choose another --output."
        )
    last = last_checkpoint(output)
    if last is not None and not resume:
        raise ValueError(
            f"{output} holds the unfinished run {last}. Add --resume to resume it, or choose another --output."
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


def check_same_run(output: Path, name: str, settings: dict, resume: bool):
    """Record a run's settings in `output`, or make sure that a resumed run has the ones it began with.

    The number of processes is one of them: with another one, the steps to come would see other windows. So is the
    fingerprint of the vocabulary, where `settings` has it: a path says where a vocabulary is, not which one.

    Raises:
        ValueError: names the settings that differ.
    """
    path, state = output / name, start_processes()
    settings = {**settings, "processes": state.num_processes}
    if resume and path.is_file():
        before = {"processes": state.num_processes, **read_json(path)}
        if changes := different_settings(before, settings):
            raise ValueError(f"Cannot resume the run in {output} with other settings ({changes}).")
    if state.is_main_process:
        write_json(path, settings)


def last_checkpoint(output: Path) -> str | None:
    """The newest whole checkpoint of a run, made ready to resume from; a warning names newer ones that are not whole.

    One that was cut off while it was written or removed, or was damaged since, lacks a file or has a broken one. One
    whose best epoch is gone is of no use either: the result would be that of another epoch.
    """
    numbered = {int(match[1]): path for path in output.glob("*") if (match := _NUMBERED.fullmatch(path.name))}
    faults = []
    for number in sorted(numbered, reverse=True):
        fault = checkpoint_fault(numbered[number])
        if fault is None:
            if faults:
                logger.warning("%s: resuming from %s.", "; ".join(faults), numbered[number])
            _point_to_best(numbered[number])
            return str(numbered[number])
        faults.append(f"{numbered[number]} is not whole ({fault})")
    if faults:
        logger.warning("%s, and there is no other checkpoint: the run starts from scratch.", "; ".join(faults))
    return None


def checkpoint_fault(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint: a file that is missing or broken; None if it is whole."""
    try:
        state = read_json(checkpoint / TRAINER_STATE_NAME)
    except FileNotFoundError:
        return f"{TRAINER_STATE_NAME} is missing"
    except (ValueError, OSError):
        return f"{TRAINER_STATE_NAME} is damaged"
    if state.get("global_step") != int(_NUMBERED.fullmatch(checkpoint.name)[1]):
        return f"{TRAINER_STATE_NAME} is of another step"
    names = {path.name for path in checkpoint.iterdir()}
    # FSDP writes folders with the shards of model and optimizer
    sharded = any(name.startswith("pytorch_model_fsdp") for name in names)
    needed = ["scheduler.pt"] if sharded else ["optimizer.pt", "scheduler.pt"]
    missing = [name for name in needed if name not in names]
    if not any(name.startswith("rng_state") for name in names):
        missing.append("rng_state.pth")
    if missing:
        return f"{missing[0]} is missing"
    fault = None if sharded else _weights_fault(checkpoint)
    for path in sorted(checkpoint.glob("*.pt*")):
        fault = fault or (f"{path.name} is damaged" if _is_broken_archive(path) else None)
    if fault is None and (best := best_checkpoint(checkpoint, state)) not in (None, checkpoint):
        fault = None if best.is_dir() and (sharded or _weights_fault(best) is None) else f"it needs {best}"
    return fault


def best_checkpoint(checkpoint: Path, state: dict) -> Path | None:
    """Where the best epoch so far is, beside a checkpoint, wherever the run was when the state was written."""
    best = state.get("best_model_checkpoint")
    return checkpoint.parent / PureWindowsPath(best).name if isinstance(best, str) else None


def _point_to_best(checkpoint: Path):
    """Let a checkpoint name its best epoch where that is now: a `Trainer` does without one that it does not find."""
    state = read_json(checkpoint / TRAINER_STATE_NAME)
    best = best_checkpoint(checkpoint, state)
    if best is not None and state["best_model_checkpoint"] != str(best):
        write_json(checkpoint / TRAINER_STATE_NAME, {**state, "best_model_checkpoint": str(best)})


def _weights_fault(checkpoint: Path) -> str | None:
    files = sorted(checkpoint.glob("*.safetensors"))
    for path in checkpoint.glob("*.safetensors.index.json"):
        try:
            files += [checkpoint / name for name in set(read_json(path)["weight_map"].values())]
        except (ValueError, KeyError, AttributeError):
            return f"{path.name} is damaged"
    for path in files:
        try:
            with safe_open(path, framework="np"):  # which compares the length of the file with what it should hold
                pass
        except (SafetensorError, OSError):
            return f"{path.name} is {'damaged' if path.is_file() else 'missing'}"
    return None if files else "its weights are missing"


def _is_broken_archive(path: Path) -> bool:
    """Whether a file of `torch.save` is no archive, or a checksum in it does not fit; nothing is unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is not None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError):
        return True


def remove_checkpoints(output: Path):
    """Remove the checkpoints of a run that has finished and saved its result."""
    for checkpoint in output.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


@contextlib.contextmanager
def reading(checkpoint: str | Path) -> Iterator[None]:
    """Say what to do where a file of a checkpoint is not what it should be.

    Raises:
        ValueError: names the checkpoint, what was found and the remedy.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{checkpoint} cannot be resumed from ({reason}): a file in it is damaged, or of another model. Remove "
            "it: --resume then takes an older one, or starts from scratch."
        ) from error


@contextlib.contextmanager
def writing(place: str | Path, remedy: str = "Free some space and resume with --resume.") -> Iterator[None]:
    """Name the place and the remedy where a library cannot write, each of which words it in its own way.

    Raises:
        OSError: names the place, the reason and the remedy.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _UNWRITTEN.search(str(error)):
            raise
        reason = (getattr(error, "strerror", None) or str(error)).strip().splitlines()[0]
        if isinstance(error, RuntimeError):
            reason = f"it was cut off, as by a full disk: {reason}"
        raise OSError(f"{place} cannot be written ({reason}). {remedy}") from error
