"""Stage 1: what it writes and logs, and that stopping, accumulating and autocast leave the vocabulary what it is."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import Stopped, stop_after, tokenizer_arguments
from transformers import AutoModel, AutoTokenizer

from vqdna_hf.modeling.quantization_vqdna import Quantizer
from vqdna_hf.training.codec_trainer import VQDNACodecTrainer
from vqdna_hf.training.train_tokenizer import codec_config, train_tokenizer


class Logs:
    """Everything the codec trainer logs, by step."""

    def __init__(self, monkeypatch):
        self.train, self.eval = {}, {}
        log = VQDNACodecTrainer.log

        def keep(trainer, logs, *args):
            log(trainer, logs, *args)
            kind = self.train if "loss" in logs else self.eval
            kind[trainer.state.global_step] = dict(logs)

        monkeypatch.setattr(VQDNACodecTrainer, "log", keep)


def run_in_two_parts(monkeypatch, arguments, step: int) -> dict:
    """Stop a run at `step`, then resume it."""
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, step, VQDNACodecTrainer)
        train_tokenizer(arguments)
    arguments.resume = True
    return train_tokenizer(arguments)


def weights(directory) -> dict[str, torch.Tensor]:
    return load_file(Path(directory) / "model.safetensors")


# what is written


def test_the_directory_loads_as_tokenizer_and_as_model(tokenizer_dir):
    tokenizer, model = AutoTokenizer.from_pretrained(tokenizer_dir), AutoModel.from_pretrained(tokenizer_dir)
    assert type(tokenizer).__name__ == "VQDNATokenizer" and type(model).__name__ == "VQDNACodecModel"
    assert tokenizer.vocabulary_fingerprint == model.fingerprint()
    assert len(tokenizer("ACGTACGT")["input_ids"]) == 10
    assert not list(tokenizer_dir.glob("checkpoint-*")) and not list(tokenizer_dir.glob("*.partial"))


def test_the_record_says_what_was_done(tokenizer_dir):
    record = json.loads((tokenizer_dir / "training.json").read_text())
    assert record["fingerprint"] == AutoTokenizer.from_pretrained(tokenizer_dir).vocabulary_fingerprint
    assert record["bases"] == {"train": 16_000, "held_out": 4000}
    assert record["held_out_contigs"] == ["c3"]
    assert record["inputs"] == [{"file": "genome.fa", "bases": 20_000}]
    assert record["arguments"]["preset"] == "tiny" and record["arguments"]["max_steps"] == 6
    assert {"torch", "transformers", "vqdna-hf"} <= set(record["versions"])
    assert 0 <= record["eval"]["accuracy"] <= 1 and record["seconds"] >= 0
    assert record["eval"]["reconstruction_loss"] > 0


# what is logged


def test_logs_hold_every_part_of_the_loss(monkeypatch, tmp_path, genome_fasta):
    logs = Logs(monkeypatch)
    train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path / "out"))
    assert sorted(logs.train) == [1, 2, 3, 4, 5, 6]
    names = {"reconstruction_loss", "commitment_loss", "accuracy", "hidden_accuracy"}
    names |= {f"{kind}_{level}" for kind in ("usage", "perplexity") for level in (1, 2)}
    for step, values in logs.train.items():
        assert names <= set(values), step
        whole = values["reconstruction_loss"] + 0.9 * values["commitment_loss"]
        assert values["loss"] == pytest.approx(whole, abs=1e-3)
        assert 0 < values["usage_1"] <= 1 and 1 <= values["perplexity_1"] <= 8
        assert 0 < values["usage_2"] <= 1 and 1 <= values["perplexity_2"] <= 16
    # nothing is masked in an evaluation
    assert {f"eval_{name}" for name in names - {"hidden_accuracy"}} <= set(logs.eval[3])
    assert "eval_hidden_accuracy" not in logs.eval[3]


def test_averages_weigh_micro_batches_by_their_bases(monkeypatch, genome_fasta, tmp_path):
    """One log line over many micro-batches equals the average over all of their positions."""
    logs = Logs(monkeypatch)
    changes = {"mask_ratio": 0.0, "learning_rate": 0.0, "kmeans": False, "restart_threshold": 0.0, "max_steps": 1}
    whole = tokenizer_arguments(genome_fasta, tmp_path / "whole", batch_size=32, warmup_steps=0, **changes)
    train_tokenizer(whole)
    once = logs.train.pop(1)
    parts = {"batch_size": 8, "gradient_accumulation_steps": 4, "warmup_steps": 0}
    train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path / "parts", **parts, **changes))
    for name in ("reconstruction_loss", "commitment_loss", "accuracy", "perplexity_1", "usage_2"):
        assert logs.train[1][name] == pytest.approx(once[name], abs=2e-5), name
    assert "hidden_accuracy" not in once


def test_window_lengths_follow_the_warm_up(monkeypatch, tmp_path, genome_fasta):
    shapes, original = [], VQDNACodecTrainer.training_step

    def step(trainer, model, inputs, *rest):
        shapes.append(tuple(inputs["nucleotide_ids"].shape))
        return original(trainer, model, inputs, *rest)

    monkeypatch.setattr(VQDNACodecTrainer, "training_step", step)
    train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path / "out"))
    assert shapes == [(8, 32)] * 3 + [(8, 48)] * 3


@pytest.mark.parametrize("kmeans, expected", [(True, [8 * 32.0, 8 * 48.0]), (False, [])])
def test_codebooks_are_seeded_before_and_after_the_warm_up(monkeypatch, tmp_path, genome_fasta, kmeans, expected):
    sizes, original = [], Quantizer.kmeans_

    def count(quantizer, latents, total_size, **kwargs):
        sizes.append(total_size)
        return original(quantizer, latents, total_size=total_size, **kwargs)

    monkeypatch.setattr(Quantizer, "kmeans_", count)
    train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path / "out", kmeans=kmeans))
    assert sizes == expected


def test_the_last_steps_hide_nothing(monkeypatch, tmp_path, genome_fasta):
    masked, seeded, original, kmeans = [], [], VQDNACodecTrainer.training_step, Quantizer.kmeans_

    def step(trainer, model, inputs, *rest):
        masked.append(int((inputs["nucleotide_ids"] == 5).sum()))
        return original(trainer, model, inputs, *rest)

    def count(quantizer, *args, **kwargs):
        seeded.append(len(masked))
        return kmeans(quantizer, *args, **kwargs)

    monkeypatch.setattr(VQDNACodecTrainer, "training_step", step)
    monkeypatch.setattr(Quantizer, "kmeans_", count)
    arguments = tokenizer_arguments(genome_fasta, tmp_path / "out", mask_ratio=0.25, clean_steps=2)
    train_tokenizer(arguments)
    assert len(masked) == 6 and min(masked[:4]) > 0 and max(masked[4:]) == 0
    assert seeded == [0, 3, 4]  # before the first step, after the warm-up, and before the first clean step


def test_codebooks_move_once_per_optimizer_step(tmp_path, genome_fasta):
    output = tmp_path / "out"
    train_tokenizer(tokenizer_arguments(genome_fasta, output, gradient_accumulation_steps=3, max_steps=2))
    assert {int(value) for name, value in weights(output).items() if name.endswith("num_updates")} == {2}


# stopping and resuming


def test_a_resumed_run_gives_the_same_bits(monkeypatch, tmp_path, genome_fasta):
    whole = tokenizer_arguments(genome_fasta, tmp_path / "whole", save_steps=2)
    parts = tokenizer_arguments(genome_fasta, tmp_path / "parts", save_steps=2)
    expected, resumed = train_tokenizer(whole), run_in_two_parts(monkeypatch, parts, step=4)
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert any(name.endswith("embedding_sum") for name in first)
    assert list(first) == list(second)
    for name, values in first.items():
        assert torch.equal(values, second[name]), name
    assert resumed["fingerprint"] == expected["fingerprint"] and resumed["eval"].keys() == expected["eval"].keys()
    assert not list((tmp_path / "parts").glob("checkpoint-*"))


def test_an_unfinished_run_is_not_overwritten(monkeypatch, tmp_path, genome_fasta):
    arguments = tokenizer_arguments(genome_fasta, tmp_path / "out", save_steps=2)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, 2, VQDNACodecTrainer)
        train_tokenizer(arguments)
    with pytest.raises(ValueError, match=r"unfinished run .*checkpoint-2.* --resume"):
        train_tokenizer(arguments)
    assert (tmp_path / "out" / "checkpoint-2").is_dir() and not (tmp_path / "out" / "training.json").exists()
    other = tokenizer_arguments(genome_fasta, tmp_path / "out", save_steps=2, resume=True, learning_rate=5e-4, seed=43)
    with pytest.raises(ValueError, match=r"learning_rate: 0.002 then, 0.0005 now; seed: 42 then, 43 now"):
        train_tokenizer(other)
    # the refusal must not have become the run's settings
    assert train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path / "out", save_steps=3, resume=True))


def test_resuming_where_nothing_was_saved_starts_at_the_beginning(tmp_path, genome_fasta, tokenizer_dir):
    train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path / "out", resume=True))
    for name, values in weights(tokenizer_dir).items():
        assert torch.equal(values, weights(tmp_path / "out")[name]), name


# batches and precision


def test_accumulated_batches_give_the_codebook_of_the_whole(tmp_path, genome_fasta):
    # at a rate that leaves the encoder in place: sums of another order differ in the last digit, and a few steps of
    # fast training make of that another code for a base
    options = {"learning_rate": 1e-6}
    once = tokenizer_arguments(genome_fasta, tmp_path / "once", batch_size=32, **options)
    parts = tokenizer_arguments(
        genome_fasta, tmp_path / "parts", batch_size=8, gradient_accumulation_steps=4, **options
    )
    train_tokenizer(once), train_tokenizer(parts)
    first, second = weights(tmp_path / "once"), weights(tmp_path / "parts")
    for name, values in first.items():
        if name.endswith("num_updates"):
            assert torch.equal(values, second[name]), name
        elif name.endswith((".cluster_size", ".embedding")):
            # a base on the border of two codes may change sides: one of the 200 that a code has
            torch.testing.assert_close(values, second[name], rtol=0.02, atol=0.02, msg=name)


def test_bf16_leaves_codebooks_in_float32(tmp_path, genome_fasta):
    summary = train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path / "out", bf16=True))
    books = {name: values for name, values in weights(tmp_path / "out").items() if "codebooks" in name}
    assert books and all(
        values.dtype == (torch.long if name.endswith("num_updates") else torch.float32)
        for name, values in books.items()
    )
    assert all(torch.isfinite(values).all() for values in books.values())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.vocabulary_fingerprint == summary["fingerprint"]


@pytest.mark.parametrize("ratio", [0.0, 0.25])
def test_hidden_bases_are_scored_apart(monkeypatch, tmp_path, genome_fasta, ratio):
    logs = Logs(monkeypatch)
    train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path / "out", mask_ratio=ratio, max_steps=1))
    assert ("hidden_accuracy" in logs.train[1]) == (ratio > 0)


# what is refused, and what options mean


def test_the_paper_recipe_hides_nothing(genome_fasta, tmp_path):
    assert codec_config(tokenizer_arguments(genome_fasta, tmp_path)).mask_ratio == 0.25
    assert codec_config(tokenizer_arguments(genome_fasta, tmp_path, recipe="paper")).mask_ratio == 0.0
    assert codec_config(tokenizer_arguments(genome_fasta, tmp_path, preset="paper-hrq")).mask_ratio == 0.0
    sizes = codec_config(tokenizer_arguments(genome_fasta, tmp_path, quantizer="vq", codebook_sizes=[32]))
    assert (sizes.quantizer, sizes.codebook_sizes) == ("vq", [32])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"fasta": []}, "--fasta"),
        ({"preset": "huge"}, "--preset huge: must be one of"),
        ({"recipe": "mine"}, "--recipe mine: must be one of default, paper"),
        ({"eval_contigs": ["c9"]}, "no contig 'c9'"),
        ({"clean_steps": 2, "mask_ratio": 0.0}, "--clean-steps 2 are the last steps of a run that masks bases"),
        ({"clean_steps": 3}, "fewer than the 3 between warm-up and end"),
        ({"clean_steps": -1}, "--clean-steps -1"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(tmp_path, genome_fasta, changes, message):
    with pytest.raises(ValueError, match=message):
        train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()
