"""Worker processes: what they write is what one process writes, and whatever ends, ends with a word and in order."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.data import GenomeBases, write_corpus, write_genome_codes
from vqdna_hf.data.code_workers import CodeWorkers
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases


ROOT = Path(__file__).resolve().parents[2]


def tiny_tokenizer() -> VQDNATokenizer:
    torch.manual_seed(0)
    return VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")).eval())


def write_fasta(path: Path, lengths: list[int]) -> Path:
    rng = np.random.default_rng(4)
    contigs = (ids_to_bases(rng.integers(0, 5, length).astype(np.uint8)) for length in lengths)
    path.write_text("".join(f">c{number}\n{letters}\n" for number, letters in enumerate(contigs)))
    return path


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def slower_when_first(tokenizer, task: int) -> tuple[int, int, int]:
    time.sleep(0.5 if task == 0 else 0)
    return task, torch.get_num_threads(), os.getpid()


def fail_at_three(tokenizer, task: int) -> int:
    if task == 3:
        raise ValueError("task 3 cannot be done")
    return task


def die_at_three(tokenizer, task: int) -> int:
    if task == 3:
        os._exit(9)
    return task


# one test, because every worker takes seconds to import what it needs
def test_workers_do_what_one_process_does_and_say_when_they_cannot(tmp_path):
    tokenizer = tiny_tokenizer()
    fasta = write_fasta(tmp_path / "a.fa", [500, 77, 1203])
    genome = GenomeBases.from_fasta(fasta, progress=False)

    def write(name: str, workers):
        write_genome_codes([fasta], tmp_path / name / "codes", tokenizer, workers, 100, 4, progress=False)
        splits = genome.split(["c1"])
        settings = {"window": 30, "min_length": 10, "shard_windows": 20, "fingerprint": "abc", "progress": False}
        write_corpus(
            *splits, tmp_path / name / "corpus", tokenizer=tokenizer, with_codes=True, workers=workers, **settings
        )

    write("one", 1)
    with CodeWorkers(tokenizer, 2) as pool:
        write("two", pool)
        assert contents(tmp_path / "one") == contents(tmp_path / "two")

        taken = []
        results = pool.map(slower_when_first, (taken.append(task) or task for task in range(40)))
        assert next(results)[0] == 0 and len(taken) <= 6  # no more than three tasks a worker are on their way
        rows = [result for _, result in results]
        assert [task for task, _, _ in rows] == list(range(1, 40))
        assert {threads for _, threads, _ in rows} == {1} and os.getpid() not in {pid for _, _, pid in rows}

        results = pool.map(fail_at_three, range(10))
        assert [next(results) for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
        with pytest.raises(ValueError, match="task 3 cannot be done"):
            next(results)
        with pytest.raises(ChildProcessError, match="One of the 2 worker processes died .*Run the same again"):
            list(pool.map(die_at_three, range(10)))
    with pytest.raises(ProcessLookupError):
        os.kill(rows[0][2], 0)


class OnGPU:
    device = torch.device("cuda")


def test_workers_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="workers is 0"):
        CodeWorkers(None, 0)
    with pytest.raises(ValueError, match="2 workers .* on cuda"):
        CodeWorkers(OnGPU(), 2)
    with pytest.raises(ValueError, match="another tokenizer"):
        CodeWorkers.of("mine", CodeWorkers("yours", 2))


def test_one_worker_is_this_process():
    with CodeWorkers("the tokenizer") as pool:
        results = list(pool.map(lambda tokenizer, task: (tokenizer, task, os.getpid()), [7]))
    assert results == [(7, ("the tokenizer", 7, os.getpid()))]


def children_of(pid: int) -> list[int]:
    # a process of the system's own library keeps track of shared resources; it ends by itself
    path = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(child) for child in path.read_text().split()] if path.exists() else []
    return [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def wait_for(condition, seconds: float = 120.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the processes of Linux")
@pytest.mark.parametrize("end", ["interrupted", "killed"])
def test_no_worker_outlives_its_command(tmp_path, end):
    tiny_tokenizer().save_pretrained(tmp_path / "tokenizer")
    fasta = write_fasta(tmp_path / "a.fa", [12_000_000])
    command = ["tokenize", "--contigs", "--workers", "2", "--fasta", fasta, "--tokenizer", tmp_path / "tokenizer"]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vqdna_hf.cli", *map(str, command), "--output", str(tmp_path / "out")],
            cwd=ROOT,
            stderr=log,
            start_new_session=True,
        )
    try:
        # workers are at work when the first row groups are on the disk
        wait_for(lambda: [path for path in (tmp_path / "out").glob(".shard*") if path.stat().st_size > 100_000])
        workers = children_of(process.pid)
        assert len(workers) == 2
        if end == "interrupted":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        else:
            process.kill()
        status = process.wait(timeout=60)
        wait_for(lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()], 30)
    finally:
        process.kill()
    message = (tmp_path / "log").read_text()
    assert "Traceback" not in message
    if end == "interrupted":
        assert status == 130 and "the same command resumes from what is saved" in message
        assert not list((tmp_path / "out").glob(".shard*"))
