"""The moving average of the weights: what it is, when the model has it, and that a run can be resumed."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import Stopped, finetune_arguments, stop_after
from torch import nn
from transformers import Trainer, TrainerState

from vqdna_hf.training.finetune import finetune
from vqdna_hf.training.weight_average import TRAINED_WEIGHTS, WeightAverage


class Toy(nn.Module):
    """Weights that train, weights of a codec, frozen weights and a buffer."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(3, 2)
        self.codec = nn.Linear(3, 2)
        self.frozen = nn.Linear(3, 2).requires_grad_(False)
        self.register_buffer("seen", torch.zeros(2))


def walk(model: nn.Module, average: WeightAverage, steps: int) -> list[np.ndarray]:
    """Random weights for every step; those of `dense`."""
    average.on_train_begin(None, TrainerState(), None)
    history = [model.dense.weight.detach().numpy().copy()]
    for step in range(1, steps + 1):
        with torch.no_grad():
            for values in model.state_dict().values():
                values.copy_(torch.randn_like(values))
        average.on_step_end(None, TrainerState(global_step=step), None)
        history.append(model.dense.weight.detach().numpy().copy())
    return history


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_average_is_that_of_the_formula(decay):
    model = Toy()
    average = WeightAverage(model, decay)
    history = walk(model, average, 30)
    expected = history[0]
    for step, weights in enumerate(history[1:], start=1):
        part = min(decay, (1 + step) / (10 + step))
        expected = part * expected + (1 - part) * weights
    with average.applied():
        np.testing.assert_allclose(model.dense.weight.detach().numpy(), expected, atol=1e-6)


def test_the_model_has_the_average_only_inside():
    model = Toy()
    average = WeightAverage(model, 0.9)
    walk(model, average, 5)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    with pytest.raises(KeyError), average.applied():
        inside = {name: not torch.equal(values, before[name]) for name, values in model.state_dict().items()}
        raise KeyError
    assert {name for name, changed in inside.items() if changed} == {"dense.weight", "dense.bias"}
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    average.on_train_end(None, TrainerState(), None)
    with average.applied():
        assert torch.equal(model.dense.weight, before["dense.weight"])


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=f"ema_decay={decay}"):
        WeightAverage(Toy(), decay)


def test_a_decay_out_of_range_is_refused_before_anything_is_read(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="--ema-decay 1.5: must be at least 0 and less than 1"):
        finetune(finetune_arguments(tmp_path / "no data", "no model", tmp_path / "out", ema_decay=1.5))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match="cannot run under FSDP"):
        finetune(finetune_arguments(tmp_path / "no data", "no model", tmp_path / "out", ema_decay=0.9))


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("mode", ["lora", "full", "end-to-end"])
def test_a_run_keeps_the_average_and_can_be_gone_on_with(monkeypatch, tmp_path, task_dir, model_dir, mode):
    def arguments(name, **changes):
        changes |= {"mode": mode, "epochs": 2, "rc_augment": mode != "lora"}
        return finetune_arguments(task_dir, model_dir, tmp_path / name, **changes)

    file = "adapter_model.safetensors" if mode == "lora" else "model.safetensors"
    plain, whole = finetune(arguments("plain")), finetune(arguments("whole", ema_decay=0.9))
    assert whole["arguments"]["ema_decay"] == 0.9 and "ema_decay" not in plain["arguments"]
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, 3, Trainer)
        finetune(arguments("parts", ema_decay=0.9))
    checkpoint = next((tmp_path / "parts").glob("checkpoint-*"))
    trained, kept = load_file(checkpoint / TRAINED_WEIGHTS), load_file(checkpoint / file)
    assert trained and not any("codec." in name for name in trained)
    if mode != "lora":  # an adapter's file has other names
        assert not all(torch.equal(values, kept[name]) for name, values in trained.items())
    with pytest.raises(ValueError, match="ema_decay"):
        finetune(arguments("parts", resume=True))
    resumed = finetune(arguments("parts", resume=True, ema_decay=0.9))
    assert resumed["dev"] == whole["dev"] and resumed["test"] == whole["test"]
    weights = {name: load_file(tmp_path / name / file) for name in ("plain", "whole", "parts")}
    assert all(torch.equal(values, weights["parts"][name]) for name, values in weights["whole"].items())
    assert not all(torch.equal(values, weights["plain"][name]) for name, values in weights["whole"].items())


def test_dev_is_scored_with_the_average(monkeypatch, tmp_path, task_dir, model_dir):
    seen = []
    evaluate = Trainer.evaluate

    def spy(trainer, *args, **kwargs):
        seen.append(trainer.model.classifier.dense.weight.detach().clone())
        return evaluate(trainer, *args, **kwargs)

    monkeypatch.setattr(Trainer, "evaluate", spy)
    finetune(finetune_arguments(task_dir, model_dir, tmp_path, mode="full", epochs=2, ema_decay=0.9))
    saved = load_file(tmp_path / "model.safetensors")["classifier.dense.weight"]
    assert torch.equal(seen[-1], saved)  # the last evaluation is of the model that is kept
    assert any(torch.equal(one, saved) for one in seen[:-1])  # which was chosen among those that dev has seen
