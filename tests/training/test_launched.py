"""Helpers of commands that are started in several processes; what needs several is in test_processes.py."""

import time

import pytest
from tiny_runs import tokenizer_arguments

from vqdna_hf.training import launched
from vqdna_hf.training.train_tokenizer import train_tokenizer


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_every_item_is_the_share_of_one_process(monkeypatch, processes):
    items, shares = list(range(13)), []
    for rank in range(processes):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        shares.append(launched.share_of_process(items))
    assert sorted(sum(shares, [])) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_alone_has_everything(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert launched.process_place() == (0, 1) and launched.share_of_process("abc") == ["a", "b", "c"]


def test_waiting_ends_when_the_file_is_finished(tmp_path):
    asked = []

    def finished(path):
        asked.append(path)
        return len(asked) == 3

    launched.wait_for(tmp_path / "x", finished, seconds_between=0.001)
    assert asked == [tmp_path / "x"] * 3


def test_an_error_names_the_process_it_happened_in(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "0")
    launched.say_error("wrong")
    assert capsys.readouterr().err == "wrong\n"
    monkeypatch.setenv("RANK", "3")
    started = time.monotonic()
    launched.say_error("wrong", patience=0.05)
    assert capsys.readouterr().err == "wrong (process 3)\n" and time.monotonic() - started >= 0.05


def test_stage_1_refuses_fsdp(monkeypatch, tmp_path, genome_fasta):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match="Learning a vocabulary cannot run under FSDP.*--multi_gpu"):
        train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
