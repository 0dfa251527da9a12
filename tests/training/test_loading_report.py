"""What a command says of the weights it loads: nothing of the new head, the names of any other that is missing."""

import logging
import shutil

import pytest
from safetensors.torch import load_file, save_file
from tiny_runs import finetune_arguments

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
