"""Damaged checkpoints are passed over for whole ones; what cannot be written or read ends with one clear error."""

import errno
import json
import os
import pickle
import shutil

import pytest
import torch
import transformers
from safetensors import SafetensorError
from tiny_runs import (
    Stopped,
    finetune_arguments,
    pretrain_arguments,
    stop_after,
    tokenizer_arguments,
    write_checkpoint,
)

import vqdna_hf.cli as cli
from vqdna_hf.runs.resume import checkpoint_fault, find_checkpoint, last_checkpoint, reading, writing
from vqdna_hf.training.finetune import finetune
from vqdna_hf.training.guarded_trainer import GuardedTrainer
from vqdna_hf.training.pretrain import pretrain
from vqdna_hf.training.train_tokenizer import train_tokenizer


FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path):
    path.write_bytes(bytes(range(256)) * 4)


def flip(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"step")] ^= 0xFF  # between the files of an archive nothing is checked, nor read
    path.write_bytes(content)


DAMAGES = [(name, damage) for name in FILES for damage in (cut, garble, os.unlink)]
DAMAGES += [(name, flip) for name in FILES if name.endswith("state.pth")]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_checkpoint_with_a_damaged_file_is_passed_over(tmp_path, caplog, name, damage):
    write_checkpoint(tmp_path, 2)
    newest = write_checkpoint(tmp_path, 4)
    assert last_checkpoint(tmp_path) == str(newest) and not caplog.records
    damage(newest / name)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")
    (record,) = caplog.records
    assert f"checkpoint-4 is not whole ({name} is" in record.getMessage() or "weights are missing" in caplog.text
    assert f"resuming from {tmp_path / 'checkpoint-2'}" in record.getMessage()


def test_without_a_whole_checkpoint_the_run_begins_again_and_says_so(tmp_path, caplog):
    cut(write_checkpoint(tmp_path, 2) / "optimizer.pt")
    assert last_checkpoint(tmp_path) is None
    assert "optimizer.pt is damaged), and there is no other checkpoint: the run starts from scratch" in caplog.text


def test_a_state_that_is_none_or_of_another_step(tmp_path):
    for text in ("[]", "{}", '{"global_step": "2"}', '{"global_step": 3}', "nan"):
        shutil.rmtree(tmp_path / "checkpoint-2", ignore_errors=True)
        (write_checkpoint(tmp_path, 2) / "trainer_state.json").write_text(text)
        assert "trainer_state.json is" in checkpoint_fault(tmp_path / "checkpoint-2"), text


def test_the_best_epoch_has_to_be_there(tmp_path):
    """A `Trainer` forgets one that is gone, and would give the last epoch as the result."""
    best = write_checkpoint(tmp_path, 2)
    newest = write_checkpoint(tmp_path, 4, best="/elsewhere/run/checkpoint-2")
    assert last_checkpoint(tmp_path) == str(newest)
    assert json.loads((newest / "trainer_state.json").read_text())["best_model_checkpoint"] == str(best)
    cut(best / "model.safetensors")
    assert last_checkpoint(tmp_path) is None


def test_checkpoints_of_shards_are_whole_without_a_model_file(tmp_path):
    place = write_checkpoint(tmp_path, 2)
    (place / "model.safetensors").unlink()
    (place / "optimizer.pt").unlink()
    for name in ("pytorch_model_fsdp_0", "optimizer_0"):
        (place / name).mkdir()
    assert checkpoint_fault(place) is None


def test_other_folders_are_no_checkpoints(tmp_path):
    for name in ("checkpoint-best", "checkpoint-2-copy", "checkpoint"):
        (tmp_path / name).mkdir()
    assert last_checkpoint(tmp_path) is None


# whole runs


@pytest.mark.parametrize("name", ["optimizer.pt", "model.safetensors", "trainer_state.json"])
def test_a_run_goes_on_from_the_older_checkpoint_and_ends_the_same(
    tmp_path, monkeypatch, corpus_dir, tokenizer_dir, caplog, name
):
    def arguments(output, **changes):
        return pretrain_arguments(corpus_dir, tokenizer_dir, output, save_steps=1, neighbour_steps=0, **changes)

    pretrain(arguments(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        stop_after(patch, 3, GuardedTrainer)
        with pytest.raises(Stopped):
            pretrain(arguments(tmp_path / "run"))
    cut(tmp_path / "run" / "checkpoint-3" / name)
    pretrain(arguments(tmp_path / "run", resume=True))
    assert f"checkpoint-3 is not whole ({name} is damaged)" in caplog.text
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("whole", "run")]
    assert weights[0] == weights[1]


class Marker:
    """Shows whether a pickle was executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_no_pickle_is_executed_and_the_error_names_the_checkpoint(
    tmp_path, monkeypatch, capsys, genome_fasta, tokenizer_dir
):
    arguments = tokenizer_arguments(genome_fasta, tmp_path / "run", save_steps=2)
    with monkeypatch.context() as patch:
        stop_after(patch, 2, GuardedTrainer)
        with pytest.raises(Stopped):
            train_tokenizer(arguments)
    place = tmp_path / "run" / "checkpoint-2"
    torch.save({"state": Marker(tmp_path / "executed")}, place / "optimizer.pt")  # a whole archive
    arguments.resume = True
    with pytest.raises(ValueError, match=r"checkpoint-2 cannot be resumed from .*Remove it: --resume then takes"):
        train_tokenizer(arguments)
    assert not (tmp_path / "executed").exists()


def test_a_full_disk_under_a_checkpoint_leaves_the_older_ones(tmp_path, monkeypatch, corpus_dir, tokenizer_dir):
    def arguments(**changes):
        return pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path, save_steps=1, neighbour_steps=0, **changes)

    plain = transformers.Trainer._save_optimizer_and_scheduler

    def full(trainer, directory):
        if trainer.state.global_step == 3:
            raise RuntimeError("[enforce fail at inline_container.cc:659] . unexpected pos 64 vs 0")
        plain(trainer, directory)

    with monkeypatch.context() as patch:
        patch.setattr(transformers.Trainer, "_save_optimizer_and_scheduler", full)
        with pytest.raises(
            OSError, match=r"checkpoint-3 cannot be written \(it was cut off.*enforce fail.*resume with --resume"
        ):
            pretrain(arguments())
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    pretrain(arguments(resume=True))
    assert (tmp_path / "training.json").is_file() and not list(tmp_path.glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("what", "error"),
    [
        (
            "VQDNAForSequenceClassification",
            SafetensorError("Error while serializing: No space left (os error 28)"),
        ),
        ("VQDNATokenizer", OSError(errno.ENOSPC, "No space left on device")),
    ],
)
def test_a_full_disk_under_a_result_says_where_and_what_to_do(
    tmp_path, monkeypatch, capsys, task_dir, model_dir, what, error
):
    import vqdna_hf

    def full(*args, **kwargs):
        raise error

    command = ["finetune", "--data", str(task_dir), "--model", str(model_dir), "--output", str(tmp_path / "out")]
    command += ["--mode", "full", "--epochs", "1"]
    plain = getattr(vqdna_hf, what).save_pretrained

    def save_pretrained(self, directory, *args, **kwargs):
        return (full if "checkpoint-" not in str(directory) else plain)(self, directory, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(getattr(vqdna_hf, what), "save_pretrained", save_pretrained)
        assert cli.main(command) == 2
    found = capsys.readouterr().err
    assert f"{tmp_path / 'out'} cannot be written" in found and "resume with --resume" in found
    assert "Traceback" not in found and not (tmp_path / "out" / "results.json").exists()
    assert cli.main([*command, "--resume"]) == 0
    assert (tmp_path / "out" / "results.json").is_file()


def test_a_directory_that_cannot_be_written_to_is_refused_before_anything_runs(
    tmp_path, monkeypatch, task_dir, model_dir
):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere but on a read-only disk
    with pytest.raises(ValueError, match=f"{tmp_path} cannot be written to"):
        finetune(finetune_arguments(task_dir, model_dir, tmp_path / "new" / "out"))
    assert not (tmp_path / "new").exists()


# the words


@pytest.mark.parametrize(
    "error",
    [pickle.UnpicklingError("bad"), RuntimeError("x\ny"), EOFError(), KeyError("a"), OSError(5, "io"), TypeError()],
)
def test_reading_names_the_checkpoint(error):
    found = pytest.raises(ValueError, match=r"run/checkpoint-3 cannot be resumed from \([^\n]+\)")
    with found, reading("run/checkpoint-3"):
        raise error


def test_a_lack_of_memory_is_no_damage():
    for error in (torch.OutOfMemoryError("CUDA out of memory"),):
        with pytest.raises(torch.OutOfMemoryError), reading("checkpoint-3"):
            raise error
        with pytest.raises(torch.OutOfMemoryError), writing("checkpoint-3"):
            raise error


def test_only_what_a_disk_does_is_called_so():
    with pytest.raises(RuntimeError, match="shapes"), writing("model"):
        raise RuntimeError("shapes cannot be multiplied")
    with pytest.raises(OSError, match=r"model cannot be written \(No space left on device\)"), writing("model"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_find_checkpoint_passes_over_damage(tmp_path):
    write_checkpoint(tmp_path, 2)
    cut(write_checkpoint(tmp_path, 4) / "scheduler.pt")
    assert find_checkpoint(tmp_path, True, "training.json") == str(tmp_path / "checkpoint-2")
    with pytest.raises(ValueError, match="unfinished run .*checkpoint-2"):
        find_checkpoint(tmp_path, False, "training.json")
