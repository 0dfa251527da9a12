"""What a command says of the weights it loads: nothing of the new head, the names of others that are missing."""

import json
import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_runs import finetune_arguments
from transformers import AutoTokenizer

from vqdna_hf.checkpoints.loading import load_tokenizer
from vqdna_hf.training.classifier import load_classifier


@pytest.fixture
def said(monkeypatch, caplog) -> pytest.LogCaptureFixture:
    """All that is logged, by transformers too."""
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    caplog.set_level(logging.WARNING)
    return caplog


def test_a_new_head_is_expected(said, task_dir, model_dir, tmp_path):
    load_classifier(str(model_dir), load_tokenizer(str(model_dir)), finetune_arguments(task_dir, model_dir, tmp_path))
    assert not said.records


def test_weights_that_are_missing_are_named(said, task_dir, model_dir, tmp_path):
    directory = shutil.copytree(model_dir, tmp_path / "model")
    weights = load_file(directory / "model.safetensors")
    gone = next(name for name in weights if "encoder.layers.0" in name)
    weights = {name: value for name, value in weights.items() if name != gone}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    load_classifier(str(directory), load_tokenizer(str(directory)), finetune_arguments(task_dir, directory, tmp_path))
    [record] = said.records
    assert str(directory) in record.getMessage() and gone.split("encoder.", 1)[1] in record.getMessage()


@pytest.mark.parametrize("kind", ["model", "letters"])
def test_a_network_of_another_shape_is_refused(said, task_dir, kind, tmp_path, request):
    directory = shutil.copytree(request.getfixturevalue(f"{kind}_dir"), tmp_path / kind)
    config = json.loads((directory / "config.json").read_text())
    config["encoder_config"]["intermediate_size"] += 8
    (directory / "config.json").write_text(json.dumps(config))
    arguments = finetune_arguments(task_dir, directory, tmp_path)
    with pytest.raises(ValueError, match=f"{kind} holds weights of other shapes.*encoder.layers"):
        load_classifier(str(directory), AutoTokenizer.from_pretrained(directory), arguments)


def test_a_head_of_another_task_is_replaced(task_dir, model_dir, tmp_path):
    tokenizer, arguments = load_tokenizer(str(model_dir)), finetune_arguments(task_dir, model_dir, tmp_path)
    load_classifier(str(model_dir), tokenizer, arguments, num_labels=3).save_pretrained(tmp_path / "before")
    model = load_classifier(str(tmp_path / "before"), tokenizer, arguments, num_labels=2)
    assert model.num_labels == 2 and model(torch.tensor([[1, 5, 2]])).logits.shape == (1, 2)
