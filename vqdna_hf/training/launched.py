"""Commands started in several processes, by `torchrun` or `accelerate launch`."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from accelerate import PartialState


def start_processes() -> PartialState:
    """Let the processes of a launch know of each other.

    The trainers do this when they are made; what comes before them (checks, settings, files) needs it earlier. Called
    again, and in a command that was started alone, it changes nothing.
    """
    # subtle: without `cpu`, processes on a machine without a GPU would not find each other
    return PartialState(cpu=not torch.cuda.is_available())


def process_place() -> tuple[int, int]:
    """The number of this process and how many were launched, `(0, 1)` for one; waits for nobody."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def share_of_process(items: Sequence) -> list:
    """Every n-th of the items, as n processes were launched: each is in the share of exactly one process."""
    rank, processes = process_place()
    return list(items[rank::processes])


def wait_for(path: Path, finished: Callable[[Path], bool], seconds_between: float = 2.0):
    """Wait until another process has finished a file, however long that takes.

    A barrier of `torch.distributed` gives up after its timeout (10 to 30 minutes), which the work of hours exceeds.
    Where the other process fails, its launcher ends this one.
    """
    while not finished(path):
        time.sleep(seconds_between)


def fsdp_asked_for() -> bool:
    """Whether `accelerate launch` was told to shard the models (`--use_fsdp`, or a configuration that says so)."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in ("true", "1", "yes", "y", "on", "t")


def refuse_fsdp(work: str):
    """Stop before a model that cannot be sharded is.

    Args:
        work: what cannot run so; the message begins with it.

    Raises:
        ValueError: FSDP is asked for.
    """
    if fsdp_asked_for():
        raise ValueError(
            f"{work} cannot run under FSDP: every process moves its own whole copy of the codebooks, and the network is "
            "small enough for each. Launch it with `--multi_gpu` in place of `--use_fsdp`."
        )
