"""Directories to publish, and a Hub to publish them to."""

import shutil
import warnings
from pathlib import Path

import pytest
import torch
from loopback_hub import LoopbackHub
from peft import get_peft_model

from vqdna_hf import VQDNACodecConfig, VQDNAConfig, VQDNAForMaskedLM, VQDNAForSequenceClassification, VQDNATokenizer
from vqdna_hf.lora import lora_config


@pytest.fixture(scope="session")
def directories(tmp_path_factory) -> Path:
    """A `model`, a `newer` one in shards, their `vocabulary`, an `adapter`, and an `other` model and vocabulary; a
    `compiled` model, in shards, and its vocabulary.
    """
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
    save_compiled(root)
    return root


def save_compiled(root: Path):
    """A model over a vocabulary whose codes, functions of five bases, are looked up."""
    sizes = {"stem_kernel_size": 3, "kernel_size": 3, "num_hidden_layers": 1, "quantizer": "rq"}
    config = VQDNACodecConfig.from_preset("tiny", **sizes)
    model = VQDNAForMaskedLM(VQDNAConfig.from_preset("tiny", codec_config=config)).eval()
    model.codec.compile_vocabulary(verify=False)
    for place, saved in (("compiled", model), ("compiled-vocabulary", model.codec)):
        saved.save_pretrained(root / place, max_shard_size="60kB")
        VQDNATokenizer(codec=model.codec).save_pretrained(root / place)


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
