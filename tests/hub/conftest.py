"""Directories to publish, and a Hub to publish them to."""

import shutil
import warnings
from pathlib import Path

import pytest
import torch
from loopback_hub import LoopbackHub
from peft import get_peft_model

from vqdna_hf import VQDNAConfig, VQDNAForMaskedLM, VQDNAForSequenceClassification, VQDNATokenizer
from vqdna_hf.lora import lora_config


@pytest.fixture(scope="session")
def directories(tmp_path_factory) -> Path:
    """A `model`, a `newer` one in shards, their `vocabulary`, an `adapter`, and an `other` model and vocabulary."""
    root = tmp_path_factory.mktemp("directories")
    for seed, name in enumerate(("model", "other")):
        torch.manual_seed(seed)
        model = VQDNAForMaskedLM(VQDNAConfig.from_preset("tiny"))
        tokenizer = VQDNATokenizer(codec=model.codec)
        for place, saved in ((name, model), (f"{name}-vocabulary", model.codec)):
            saved.save_pretrained(root / place)
            tokenizer.save_pretrained(root / place)
    (root / "model-vocabulary").rename(root / "vocabulary")
    newer = VQDNAForMaskedLM.from_pretrained(root / "model")
    with torch.no_grad():
        newer.base_decoder.bias += 1
    newer.save_pretrained(root / "newer", max_shard_size="60kB")
    VQDNATokenizer.from_pretrained(root / "model").save_pretrained(root / "newer")
    base = VQDNAForSequenceClassification.from_pretrained(root / "model", num_labels=3, pooling="mean")
    base.name_or_path = str(root / "model")
    with warnings.catch_warnings():  # peft 0.21 reads an attribute that transformers has renamed
        warnings.simplefilter("ignore", FutureWarning)
        adapted = get_peft_model(base, lora_config(base))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)  # zeros, as they begin, would show nothing
    adapted.save_pretrained(root / "adapter")
    (root / "adapter" / "README.md").unlink()
    VQDNATokenizer.from_pretrained(root / "model").save_pretrained(root / "adapter")
    return root


@pytest.fixture
def copy(directories, tmp_path):
    """Copies of the shared directories, to be damaged."""
    return lambda name: Path(shutil.copytree(directories / name, tmp_path / "here" / name))


@pytest.fixture(scope="session")
def hub():
    with LoopbackHub() as hub:
        yield hub


@pytest.fixture
def encoder(tmp_path) -> Path:
    """The facts of an encoder, without weights."""
    directory = tmp_path / "encoder"
    config = VQDNAConfig.from_preset("tiny", vocabulary_fingerprint="f" * 32)
    config.architectures = ["VQDNAForMaskedLM"]
    config.save_pretrained(directory)
    return directory
