"""A run that diverges ends with status 2 and leaves no result; weights that are not finite are taken by no command."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_runs import (
    Stopped,
    finetune_arguments,
    pretrain_arguments,
    stop_after,
    tokenize_arguments,
    tokenizer_arguments,
)
from transformers import AutoTokenizer
from transformers.models.bert.modeling_bert import BertConfig, BertModel

import vqdna_hf.cli as cli
from vqdna_hf import VQDNATokenizer
from vqdna_hf.baselines.linear_probe import LinearProbe, fit_linear
from vqdna_hf.export.export import load_source
from vqdna_hf.training.finetune import finetune
from vqdna_hf.training.finite_weights import DivergedError, check_losses, first_not_finite
from vqdna_hf.training.guarded_trainer import GuardedTrainer
from vqdna_hf.training.pretrain import pretrain
from vqdna_hf.training.tokenize import tokenize
from vqdna_hf.training.train_tokenizer import train_tokenizer


# PEFT asks models by the older name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

RATE = 1e30
RESULTS = ("training.json", "results.json", "model.safetensors", "codec.safetensors", "tokenizer_config.json")


def run(name: str, output, request, **changes):
    """Run a stage with a learning rate that no training survives."""
    place = request.getfixturevalue
    changes = {"learning_rate": RATE, **changes}
    if name == "train-tokenizer":
        return train_tokenizer(tokenizer_arguments(place("genome_fasta"), output, **changes))
    if name.startswith("pretrain"):
        tokenizer = place("letters_dir" if name == "pretrain tokens" else "tokenizer_dir")
        return pretrain(pretrain_arguments(place("corpus_dir"), tokenizer, output, neighbour_steps=0, **changes))
    model = place("letters_dir" if name == "finetune tokens" else "model_dir")
    mode = name.split()[1] if name != "finetune tokens" else "full"
    return finetune(finetune_arguments(place("task_dir"), model, output, mode=mode, epochs=2, **changes))


STAGES = ("train-tokenizer", "pretrain", "pretrain tokens", "finetune lora", "finetune full", "finetune end-to-end")


@pytest.mark.parametrize("name", [*STAGES, "finetune tokens"])
def test_a_run_that_diverges_ends_with_an_error_and_leaves_no_result(tmp_path, request, name):
    with pytest.raises(ValueError, match="diverged"):
        run(name, tmp_path, request)
    assert not [file for file in RESULTS if (tmp_path / file).exists()]
    # what a run may resume from is finite
    for path in tmp_path.glob("checkpoint-*/*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(path).values())


@pytest.mark.parametrize("options", [{"logging_steps": 1000, "eval_steps": 1000}, {"save_steps": 1}])
def test_it_is_seen_without_a_log_and_before_a_checkpoint(tmp_path, request, options):
    with pytest.raises(DivergedError, match=r"weights are not finite|loss is"):
        run("pretrain", tmp_path, request, **options)
    assert not (tmp_path / "training.json").exists()


def test_the_message_says_what_to_do(tmp_path, capsys, genome_fasta):
    command = ["train-tokenizer", "--fasta", str(genome_fasta), "--output", str(tmp_path), "--preset", "tiny"]
    command += ["--eval-contigs", "c3", "--max-steps", "3", "--batch-size", "4", "--warmup-steps", "1"]
    command += ["--warmup-length", "32", "--length", "32", "--eval-windows", "4", "--learning-rate", "1e30"]
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert "has diverged" in error and "lower --learning-rate (it was 1e+30)" in error and "Traceback" not in error


# the pieces


def test_which_weights_are_not_finite():
    model = BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8))
    assert first_not_finite(model) is None
    model.register_buffer("mask", torch.full((2, 2), -math.inf))  # as some models keep them
    assert first_not_finite(model) is None
    model.register_buffer("means", torch.tensor([1.0, math.nan]))
    assert first_not_finite(model) == "means"
    model.encoder.layer[0].output.dense.bias.data[3] = math.inf
    assert first_not_finite(model) == "encoder.layer.0.output.dense.bias"
    assert first_not_finite(torch.nn.ParameterList([torch.zeros(0)])) is None
    assert first_not_finite(torch.nn.ReLU()) is None
    large = torch.nn.Linear(4, 4)
    large.weight.data.fill_(3e38)
    assert first_not_finite(large) is None


def test_only_losses_must_be_numbers():
    check_losses({"loss": 1.0, "eval_loss": 2, "accuracy": math.nan, "epoch": 1}, 3, 1e-3)
    for logs in ({"loss": math.nan}, {"eval_loss": math.inf}, {"word_loss": -math.inf}):
        with pytest.raises(DivergedError, match=r"diverged: \w+ is -?(nan|inf) after step 3.*it was 0.001"):
            check_losses(logs, 3, 1e-3)


# nobody takes such weights


def spoil(source, target, name: str, key: str | None = None, value=math.nan):
    """A copy of a directory in which one number of a weight is not finite."""
    for path in source.iterdir():
        if path.is_file():
            target.mkdir(parents=True, exist_ok=True)
            (target / path.name).write_bytes(path.read_bytes())
    tensors = load_file(target / name)
    key = key or next(key for key, tensor in tensors.items() if tensor.is_floating_point())
    tensors[key].view(-1)[0] = value
    save_file(tensors, target / name, metadata={"format": "pt"})
    return target


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_vocabulary_of_such_weights_is_refused(tmp_path, tokenizer_dir, genome_fasta, value):
    spoiled = spoil(tokenizer_dir, tmp_path / "spoiled", "codec.safetensors", value=value)
    for load in (VQDNATokenizer.from_pretrained, AutoTokenizer.from_pretrained):
        with pytest.raises(ValueError, match=r"codec.safetensors holds weights that are not finite \(\S+\).*diverged"):
            load(spoiled)
    with pytest.raises(ValueError, match="not finite"):
        tokenize(tokenize_arguments(genome_fasta, tmp_path / "corpus", tokenizer=str(spoiled), codes=True))
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("mode", ["full", "lora", "end-to-end"])
def test_an_encoder_of_such_weights_is_refused(tmp_path, task_dir, model_dir, mode):
    key = next(
        key for key in load_file(model_dir / "model.safetensors") if ".encoder.layers.0" in key and "codec" not in key
    )
    spoiled = spoil(model_dir, tmp_path / "spoiled", "model.safetensors", key)
    with pytest.raises(ValueError, match=f"spoiled holds weights that are not finite .{key}"):
        finetune(finetune_arguments(task_dir, spoiled, tmp_path / "out", mode=mode))
    with pytest.raises(ValueError, match="spoiled holds weights that are not finite"):
        load_source(spoiled)
    assert not (tmp_path / "out").exists()


def test_pre_training_does_not_go_on_from_such_weights(tmp_path, corpus_dir, tokenizer_dir, model_dir, letters_dir):
    spoiled = spoil(model_dir, tmp_path / "spoiled", "model.safetensors", "head.dense.weight")
    with pytest.raises(ValueError, match="spoiled holds weights that are not finite"):
        pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path / "out", model=str(spoiled)))
    spoiled = spoil(letters_dir, tmp_path / "letters", "model.safetensors")
    with pytest.raises(ValueError, match="letters holds weights that are not finite"):
        pretrain(pretrain_arguments(corpus_dir, letters_dir, tmp_path / "out", model=str(spoiled), neighbour_steps=0))
    assert not (tmp_path / "out").exists()


def test_another_model_of_such_weights_is_refused(tmp_path, task_dir, letters_dir):
    key = next(key for key in load_file(letters_dir / "model.safetensors") if ".layers.0" in key)
    spoiled = spoil(letters_dir, tmp_path / "spoiled", "model.safetensors", key)
    with pytest.raises(ValueError, match="spoiled holds weights that are not finite"):
        finetune(finetune_arguments(task_dir, spoiled, tmp_path / "out", mode="full"))
    assert not (tmp_path / "out").exists()


def test_a_probe_of_such_weights_is_refused(tmp_path, task_dir, model_dir, monkeypatch):
    finetune(finetune_arguments(task_dir, model_dir, tmp_path / "probe", mode="linear"))
    spoiled = spoil(tmp_path / "probe", tmp_path / "spoiled", "probe.safetensors")
    with pytest.raises(ValueError, match="probe.safetensors holds numbers that are not finite"):
        LinearProbe.from_pretrained(spoiled)

    def infinite(*args):
        weight, bias = fit_linear(*args)
        return np.full_like(weight, math.inf), bias

    monkeypatch.setattr("vqdna_hf.baselines.linear_probe.fit_linear", infinite)
    with pytest.raises(ValueError, match="diverged"):
        finetune(finetune_arguments(task_dir, model_dir, tmp_path / "out", mode="linear"))
    assert not (tmp_path / "out" / "probe.json").exists()


@pytest.mark.parametrize("stage", ["pretrain", "finetune full"])
def test_a_checkpoint_that_a_diverged_run_left_is_not_gone_on_from(tmp_path, request, monkeypatch, stage):
    options = {"save_steps": 2} if stage == "pretrain" else {}
    with monkeypatch.context() as patch:
        stop_after(patch, 2 if stage == "pretrain" else 3, GuardedTrainer)
        with pytest.raises(Stopped):
            run(stage, tmp_path, request, learning_rate=1e-3, **options)
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    spoil(checkpoint, checkpoint, "model.safetensors")
    with pytest.raises(ValueError, match=rf"{checkpoint.name} holds weights that are not finite .*diverged"):
        run(stage, tmp_path, request, learning_rate=1e-3, resume=True, **options)
