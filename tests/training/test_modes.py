"""What runs save may be read by whoever the umask lets read files: weights, adapters and checkpoints, too."""

import errno
import os
import stat
from pathlib import Path

import pytest
from tiny_runs import finetune_arguments
from transformers import Trainer

from vqdna_hf import VQDNAForSequenceClassification
from vqdna_hf.modeling import tokenization_vqdna
from vqdna_hf.modeling.tokenization_vqdna import VQDNATokenizer
from vqdna_hf.training.finetune import finetune


# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def modes(directory: Path) -> dict[str, int]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}


def test_an_adapter_and_its_checkpoints_are_readable(tmp_path, task_dir, model_dir, monkeypatch):
    seen = {}

    def note(self, *args, _save=Trainer._save_checkpoint, **kwargs):
        _save(self, *args, **kwargs)
        seen.update(modes(tmp_path))

    monkeypatch.setattr(Trainer, "_save_checkpoint", note)
    before = os.umask(0o027)
    try:
        finetune(finetune_arguments(task_dir, model_dir, tmp_path / "out", mode="lora"))
    finally:
        os.umask(before)
    found = modes(tmp_path / "out")
    for saved in (found, seen):
        assert "adapter_model.safetensors" in saved
        assert {name: mode for name, mode in saved.items() if mode != 0o640} == {}
    assert "codec.safetensors" in found


def test_models_are_readable(model_dir):
    files = modes(model_dir)
    assert {"model.safetensors", "codec.safetensors"} <= set(files) and len(set(files.values())) == 1


def test_weights_that_may_not_be_read_are_not_called_damaged(model_dir, tokenizer_dir, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(tokenization_vqdna, "load_file", refuse)
        with pytest.raises(ValueError, match="codec.safetensors cannot be read: permission denied"):
            VQDNATokenizer.from_pretrained(tokenizer_dir)
    with monkeypatch.context() as patch:
        patch.setattr("transformers.modeling_utils.safe_open", refuse)
        with pytest.raises(ValueError, match="The weights of .* cannot be read: permission denied"):
            VQDNAForSequenceClassification.from_pretrained(model_dir)
