"""Tokenizing in several processes of one machine: results in order, a bounded number of tasks in flight.

Each worker is a fresh ("spawned") process with one thread and its own copy of the tokenizer. Workers end with the
process that began them, however that ends.
"""

import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.connection import Connection

import torch


# tasks on their way per worker: one being worked on, one waiting, one whose result waits to be written
_IN_FLIGHT = 3

# of a worker process: the pickled tokenizer, and the tokenizer once it is needed
_state: dict = {}


class CodeWorkers:
    """Runs `function(tokenizer, task)` for many tasks, in worker processes or, with one worker, in this process.

    Use it as a context manager; entered once more within itself, it stays open. A script that uses more than one
    worker keeps its own work behind `if __name__ == "__main__":`, as always with spawned processes.

    Args:
        tokenizer: anything that can be pickled, on the CPU where there are several workers.
        workers: number of processes; 1 is this process, with as many threads as torch has here.

    Raises:
        ValueError: no worker, or several for a tokenizer that is not on the CPU.
    """

    def __init__(self, tokenizer, workers: int = 1):
        check_workers(workers)
        device = getattr(tokenizer, "device", None)
        if workers > 1 and device is not None and device.type != "cpu":
            raise ValueError(
                f"{workers} workers are asked for, but the tokenizer is on {device}. Use one worker there, or move it "
                'with tokenizer.to("cpu").'
            )
        self.tokenizer, self.workers = tokenizer, workers
        self._pool: ProcessPoolExecutor | None = None
        self._alive: Connection | None = None
        self._depth = 0

    @classmethod
    def of(cls, tokenizer, workers: "int | CodeWorkers") -> "CodeWorkers":
        """Workers for a tokenizer: new ones, or those given.

        Raises:
            ValueError: no worker, or workers of another tokenizer.
        """
        if not isinstance(workers, cls):
            return cls(tokenizer, workers)
        if workers.tokenizer is not tokenizer:
            raise ValueError(
                "These workers were begun with another tokenizer. Give them the one they were begun with."
            )
        return workers

    def __enter__(self) -> "CodeWorkers":
        self._depth += 1
        if self.workers > 1 and self._pool is None:
            context = get_context("spawn")
            watched, self._alive = context.Pipe(duplex=False)
            # subtle: pickled once and here, so that what cannot be pickled is an error of this process
            arguments = (pickle.dumps(self.tokenizer), watched)
            self._pool = ProcessPoolExecutor(self.workers, context, initializer=_begin, initargs=arguments)
        return self

    def __exit__(self, *_):
        self._depth -= 1
        if self._pool is not None and not self._depth:
            self._alive.close()  # workers end at once, be it in the middle of a task
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def map(self, function: Callable, tasks: Iterable) -> Iterator[tuple]:
        """Yield `(task, function(tokenizer, task))` in the order of the tasks, which are taken as they are needed.

        Args:
            function: of a module, so that workers can import it.

        Raises:
            ChildProcessError: a worker died. What `function` or the tasks raise is raised here.
        """
        if self._pool is None:
            for task in tasks:
                yield task, function(self.tokenizer, task)
            return
        pending = deque()
        try:
            for task in tasks:
                pending.append((task, self._pool.submit(_run, function, task)))
                if len(pending) >= self.workers * _IN_FLIGHT:
                    first, future = pending.popleft()
                    yield first, future.result()
            while pending:
                first, future = pending.popleft()
                yield first, future.result()
        except BrokenProcessPool as error:
            raise ChildProcessError(
                f"One of the {self.workers} worker processes died (was it killed, for example for lack of memory?). "
                "Run the same again, with fewer workers if memory is short: it resumes from what is saved."
            ) from error


def check_workers(workers: int):
    """Make sure that a number of worker processes is one."""
    if workers < 1:
        raise ValueError(f"workers is {workers}, but at least 1 process is needed.")


def _begin(tokenizer: bytes, watched: Connection):
    """Set up a worker process."""
    # an interrupt reaches all processes of a terminal; the first process decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
    torch.set_num_threads(1)
    _state["pickled"] = tokenizer


def _end_with(watched: Connection):
    """End this process when the other end of the pipe is closed, by intention or because its process is gone."""
    try:
        watched.recv()
    except EOFError:
        os._exit(1)


def _run(function: Callable, task):
    # subtle: loaded with the first task, whose error then says why it could not be loaded
    if "tokenizer" not in _state:
        _state["tokenizer"] = pickle.loads(_state["pickled"])
        del _state["pickled"]
    return function(_state["tokenizer"], task)
