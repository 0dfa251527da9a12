"""What is finished is never overwritten, and nothing that is not ours is removed."""

import json

import pytest
import torch
from tiny_runs import finetune_arguments, tokenizer_arguments, write_checkpoint

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.arguments.analysis import DemoArguments
from vqdna_hf.baselines.one_hot import OneHotTokenizerArguments, write_one_hot_tokenizer
from vqdna_hf.demo.demo import demo
from vqdna_hf.runs.resume import check_same_run, find_checkpoint
from vqdna_hf.tasks import load_task_files
from vqdna_hf.training.finetune import finetune
from vqdna_hf.training.task_rows import EpochCallback, TaskRows
from vqdna_hf.training.train_tokenizer import train_tokenizer


def test_the_demo_touches_nothing_that_no_demo_wrote(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.fa").write_text(">a\nACGT\n")
    with pytest.raises(ValueError, match="no demo wrote"):
        demo(DemoArguments(output=str(tmp_path)))
    assert (tmp_path / "data" / "mine.fa").is_file()


def test_a_model_is_not_fine_tuned_into_its_own_place(task_dir, model_dir):
    before = (model_dir / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match="finished run"):
        finetune(finetune_arguments(task_dir, model_dir, model_dir))
    assert (model_dir / "model.safetensors").read_bytes() == before


def test_the_one_hot_control_overwrites_no_tokenizer(tokenizer_dir):
    with pytest.raises(ValueError, match="finished run"):
        write_one_hot_tokenizer(OneHotTokenizerArguments(output=str(tokenizer_dir)))


def test_a_tokenizer_directory_is_no_encoder(tmp_path, task_dir, tokenizer_dir):
    with pytest.raises(ValueError, match="holds a vocabulary, but a pre-trained encoder is needed"):
        finetune(finetune_arguments(task_dir, tokenizer_dir, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_cut_off_checkpoint_is_passed_over(tmp_path):
    for number in (2, 10, 12):
        write_checkpoint(tmp_path, number)
    (tmp_path / "checkpoint-12" / "trainer_state.json").unlink()
    assert find_checkpoint(tmp_path, True, "training.json") == str(tmp_path / "checkpoint-10")


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({"processes": 2}, {}, r"\(processes: 2 then, 1 now\)"),
        ({"seed": 1}, {"seed": 2}, r"\(seed: 1 then, 2 now\)"),
        # options that are recorded where they have another value than their default
        ({"group_by_length": False}, {}, r"\(group_by_length: False then, its default now\)"),
        ({}, {"attn_implementation": "eager"}, r"\(attn_implementation: its default then, 'eager' now\)"),
    ],
)
def test_a_run_is_not_resumed_in_another_way(tmp_path, before, now, message):
    (tmp_path / "run.json").write_text(json.dumps({"seed": 1, **before}))
    with pytest.raises(ValueError, match=message):
        check_same_run(tmp_path, "run.json", {"seed": 1, **now}, resume=True)
    assert json.loads((tmp_path / "run.json").read_text()) == {"seed": 1, **before}
    check_same_run(tmp_path, "run.json", {"seed": 1, **before, "processes": 1}, resume=False)


def test_a_run_as_short_as_its_warm_up_finishes(tmp_path, genome_fasta):
    summary = train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path, max_steps=2, warmup_steps=2))
    assert (tmp_path / "training.json").is_file() and summary["fingerprint"]


def test_hidden_bases_are_scored_on_held_out_windows(tmp_path, genome_fasta):
    train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path, mask_ratio=0.25))
    scores = json.loads((tmp_path / "training.json").read_text())["eval"]
    assert 0 <= scores["denoising_hidden_accuracy"] <= 1 and "hidden_accuracy" not in scores


def test_a_tokenizer_is_saved_under_the_fingerprint_its_codec_has(tmp_path):
    codec = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")).train()
    tokenizer = VQDNATokenizer(codec=codec)
    assert codec.training  # a training loop that saves in between must go on
    with torch.no_grad():
        codec.encoder.stem.weight.add_(0.1)
    tokenizer.save_pretrained(tmp_path)
    assert VQDNATokenizer.from_pretrained(tmp_path).vocabulary_fingerprint == codec.fingerprint()


def test_strands_change_with_the_epoch(task_dir):
    data = TaskRows.of_bases(*load_task_files(task_dir)[0]["train"][:].values(), seed=1)
    first = [data[row]["nucleotide_ids"].tolist() for row in range(len(data))]
    state = type("State", (), {"epoch": 1.0})()
    EpochCallback(data).on_epoch_begin(None, state, None)
    assert data.epoch == 1
    assert [data[row]["nucleotide_ids"].tolist() for row in range(len(data))] != first
