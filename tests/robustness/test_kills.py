"""Every long command, killed (SIGKILL) at eight moments of its writing and started again: the result is that of a run
that nothing interrupted, and nothing of the interruption stays behind."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from robust_world import BENCHMARK, World, write_benchmark

from vqdna_hf.cli import main


pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked, so that the imports are paid once"),
]

KILLS = 8
# what changes the file system; what compiled libraries write is between two of these
EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree", "shutil.move")
# what differs between two runs that are the same: times, and where they lie
PASSING = ("seconds", "runtime", "per_second")

TRAINING = [
    "--batch-size",
    "4",
    "--warmup-steps",
    "1",
    "--logging-steps",
    "1",
    "--save-steps",
    "2",
    "--eval-steps",
    "3",
]
COMMANDS = {
    "train-tokenizer": [
        *("train-tokenizer", "--fasta", "{genome}", "--preset", "tiny", "--eval-contigs", "c3", "--max-steps", "6"),
        *(*TRAINING, "--warmup-length", "32", "--length", "48", "--eval-windows", "8"),
    ],
    "tokenize": [
        *("tokenize", "--fasta", "{genome}", "--tokenizer", "{tokenizer}", "--codes", "--eval-contigs", "c3"),
        *("--window", "64", "--min-length", "32", "--shard-windows", "40"),
    ],
    "tokenize --contigs": ["tokenize", "--fasta", "{genome}", "--tokenizer", "{tokenizer}", "--contigs"],
    "pretrain": [
        *("pretrain", "--corpus", "{corpus}", "--tokenizer", "{tokenizer}", "--preset", "tiny", "--max-steps", "6"),
        *(*TRAINING, "--eval-windows", "8", "--neighbour-steps", "2"),
    ],
    "finetune": [
        *("finetune", "--data", "{task}", "--model", "{encoder}", "--epochs", "4", "--batch-size", "12"),
        *("--mode", "full", "--cache-dir", "{cache}"),
    ],
    "benchmark": ["benchmark", "{benchmark}"],
}
RESUMES = ("train-tokenizer", "pretrain", "finetune")


def started(command: list[str], output: Path, stop_at: int | None, log: Path) -> tuple[int, int]:
    """Run a command in a process of its own, which is killed at a number of event, or counts them all.

    Returns:
        The exit status (negative: the signal) and the number of events within `output`.
    """
    counter = log.with_suffix(".count")
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr = open(log, "a", buffering=1)
        seen, within = [0], str(output)

        def watch(event: str, values: tuple):
            if event not in EVENTS or not str(values[0]).startswith(within):
                return
            if event == "open" and not (isinstance(values[1], str) and set(values[1]) & set("wax+")):
                return
            seen[0] += 1
            if seen[0] == stop_at:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        status = 3
        try:
            status = main(command)
            counter.write_text(str(seen[0]))
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, int(counter.read_text()) if counter.is_file() else 0


def lasting(value):
    """A record without what passes."""
    if isinstance(value, dict):
        return {key: lasting(part) for key, part in value.items() if not key.endswith(PASSING)}
    return [lasting(part) for part in value] if isinstance(value, list) else value


def result_of(output: Path) -> dict:
    """What a directory holds: the content of every file, records without times."""
    found = {}
    for path in sorted(path for path in output.rglob("*") if path.is_file()):
        name = path.relative_to(output).as_posix()
        if path.suffix == ".json":
            found[name] = json.dumps(lasting(json.loads(path.read_text())), sort_keys=True).replace(str(output), "OUT")
        elif path.suffix in (".safetensors", ".parquet", ".arrow", ".csv", ".txt"):
            found[name] = path.read_bytes()
        else:
            found[name] = None  # cards and tables hold times
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_ends_as_one_that_was_not(world: World, tmp_path, name):
    places = {**world.places, "cache": str(tmp_path / "cache"), "benchmark": ""}
    if name == "benchmark":
        places["benchmark"] = str(write_benchmark(tmp_path / "benchmark.yaml", world, BENCHMARK))
    command = [part.format(**places) for part in COMMANDS[name]]
    output, log = tmp_path / "out", tmp_path / "log"
    status, events = started([*command, "--output", str(output)], output, None, log)
    assert status == 0, log.read_text()[-3000:]
    assert events > KILLS
    expected = result_of(output)
    assert not [file for file in expected if "checkpoint-" in file or file.endswith((".partial", ".old"))]
    # spread over the run, the very last write among them
    for moment in [round(events * (number + 1) / KILLS) for number in range(KILLS)]:
        shutil.rmtree(output)
        log.write_text("")
        killed, _ = started([*command, "--output", str(output)], output, moment, log)
        assert killed == -signal.SIGKILL, f"event {moment} of {events}: {log.read_text()[-3000:]}"
        again = [*command, "--output", str(output), *(["--resume"] if name in RESUMES else [])]
        status, _ = started(again, output, None, log)
        said = log.read_text()[-3000:]
        # killed while it tidied up, when the record was there: the run had finished, which is what it says
        assert status == 0 or (status == 2 and "holds a finished run" in said), f"event {moment} of {events}:\n{said}"
        found = result_of(output)
        assert found.keys() == expected.keys(), f"event {moment} of {events}"
        for file in expected:
            assert found[file] == expected[file], f"{file}, event {moment} of {events}"
