"""Helpers of commands that are started in several processes; what needs several is in test_processes.py."""

import time

import numpy as np
import pytest
import torch
from tiny_runs import tokenizer_arguments, write_fasta

from vqdna_hf.cli import main, say_error
from vqdna_hf.runs import processes
from vqdna_hf.training.codec_trainer import VQDNACodecTrainer
from vqdna_hf.training.train_tokenizer import train_tokenizer


def test_a_process_alone_is_the_first_of_one(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert processes.rank_and_world_size() == (0, 1)


def test_an_error_names_the_process_it_happened_in(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "0")
    say_error("wrong")
    assert capsys.readouterr().err == "wrong\n"
    monkeypatch.setenv("RANK", "3")
    started = time.monotonic()
    say_error("wrong", patience=0.05)
    assert capsys.readouterr().err == "wrong (process 3)\n" and time.monotonic() - started >= 0.05


def test_stage_1_refuses_fsdp(monkeypatch, tmp_path, genome_fasta):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match="Learning a vocabulary cannot run under FSDP.*--multi_gpu"):
        train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("radius", [0, 2])
def test_a_step_is_the_same_however_its_unknown_bases_are_spread(monkeypatch, tmp_path, radius):
    """Every base of a step counts once, however many micro-batches or processes compute it; here: micro-batches."""
    rng, logged = np.random.default_rng(1), []
    contigs = [rng.integers(0, 4, 4000).astype(np.uint8) for _ in range(3)]
    for contig in contigs:
        contig[500:2500] = 4  # windows with very different numbers of known bases
    fasta = write_fasta(tmp_path / "gaps.fa", contigs)
    log = VQDNACodecTrainer.log
    monkeypatch.setattr(VQDNACodecTrainer, "log", lambda self, logs, *rest: (logged.append(logs), log(self, logs)))
    common = {"max_steps": 1, "warmup_steps": 0, "learning_rate": 0.0, "kmeans": False, "restart_threshold": 0.0}
    common["word_radius"] = radius
    for name, parts in (("whole", (8, 1)), ("parts", (2, 4))):
        sizes = {"batch_size": parts[0], "gradient_accumulation_steps": parts[1]}
        train_tokenizer(tokenizer_arguments(fasta, tmp_path / name, **common, **sizes))
    whole, parts = (logs for logs in logged if "grad_norm" in logs)
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-4)
    assert ("word_loss" in parts) == (radius > 0)
    assert float(parts["grad_norm"]) == pytest.approx(float(whole["grad_norm"]), rel=1e-4)


def test_a_command_that_went_well_ends_its_connections(monkeypatch, tmp_path):
    """With them, the process may be aborted on its way out, after all its results were written."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        assert main(["one-hot-tokenizer", "--output", str(tmp_path / "alone")]) == 0
        assert torch.distributed.is_initialized()  # not the command's own
        monkeypatch.setenv("RANK", "0")
        assert main(["one-hot-tokenizer", "--output", str(tmp_path / "launched")]) == 0
        assert not torch.distributed.is_initialized()
    finally:
        processes.leave_processes()
    processes.leave_processes()  # once more changes nothing
