"""ONNX export of every kind of model, of an adapter, and 1 Mb of codes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import get_peft_model
from tiny_exports import arguments, make_codec, make_model, saved

from vqdna_hf import (
    VQDNACodecConfig,
    VQDNACodecModel,
    VQDNAForMaskedLM,
    VQDNAForSequenceClassification,
    VQDNAForTokenClassification,
    VQDNAModel,
    VQDNATokenizer,
)
from vqdna_hf.baselines.one_hot import one_hot_codec
from vqdna_hf.data import read_fasta
from vqdna_hf.export import export
from vqdna_hf.export.checks import random_rows
from vqdna_hf.lora import lora_config


for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package, reason=f'ONNX export needs {package}: pip install "vqdna-hf[onnx]"')

# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def adapter_dir(tmp_path_factory) -> Path:
    """What `vqdna finetune --mode lora` writes."""
    base, directory = (tmp_path_factory.mktemp(name) for name in ("base", "adapter"))
    make_model(VQDNAForMaskedLM).save_pretrained(base)
    model = VQDNAForSequenceClassification.from_pretrained(base, num_labels=3, pooling="max")
    adapted = get_peft_model(model, lora_config(model))
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    adapted.save_pretrained(directory)
    adapted.get_base_model().config.save_pretrained(directory)
    VQDNATokenizer(codec=model.codec).save_pretrained(directory)
    ids = torch.from_numpy(random_rows(3, 40, seed=2))
    np.save(directory / "expected.npy", adapted.eval()(nucleotide_ids=ids).logits.detach().numpy())
    return directory


def test_an_adapter_is_merged_into_its_model(adapter_dir, tmp_path):
    _, model = export.load_source(adapter_dir)
    assert type(model) is VQDNAForSequenceClassification and model.config.pooling == "max"
    logits = model(nucleotide_ids=torch.from_numpy(random_rows(3, 40, seed=2))).logits.detach().numpy()
    np.testing.assert_allclose(logits, np.load(adapter_dir / "expected.npy"), atol=1e-4)
    moved = shutil.copytree(adapter_dir, tmp_path / "moved")
    config = json.loads((moved / "adapter_config.json").read_text())
    (moved / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "/gone"}))
    with pytest.raises(ValueError, match="adapter of the model /gone, which cannot be loaded"):
        export.load_source(moved)
    (moved / "adapter_config.json").write_text(json.dumps({**config, "task_type": "CAUSAL_LM"}))
    with pytest.raises(ValueError, match="an adapter for CAUSAL_LM"):
        export.load_source(moved)


MODELS = {
    "base": (VQDNAModel, {"codec": {"quantizer": "rq", "codebook_sizes": [8, 4, 4]}}, {}),
    "tokens": (VQDNAForTokenClassification, {"encoder": "bert", "codec": {"quantizer": "vq"}}, {"opset": 18}),
    "bins": (VQDNAForSequenceClassification, {"pooling": "bins", "pooling_bins": 3}, {"opset": 22}),
    "mean and max": (VQDNAForSequenceClassification, {"pooling": "mean+max"}, {}),
    "end-to-end": (VQDNAForSequenceClassification, {"freeze_codec": False, "strand_average": True}, {}),
    "one-hot": (VQDNAForMaskedLM, {"codec": None}, {"model_input": "input_ids"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_every_kind_of_model(tmp_path, kind):
    model_class, fields, options = MODELS[kind]
    fields = dict(fields)
    if "codec" in fields:
        sizes = fields.pop("codec")
        sizes = sizes and {"codebook_sizes": [16]} | sizes
        fields["codec"] = one_hot_codec() if sizes is None else make_codec(**sizes)
    record = export.export(arguments(saved(tmp_path, make_model(model_class, **fields)), **options))
    check = record["checks"]["model.onnx"]
    assert check["rows"] > 8 and check["largest_value"] > 0.3 and record["opset"] == options.get("opset", 20)


@pytest.mark.slow
def test_an_adapter_is_exported(adapter_dir):
    assert export.export(arguments(adapter_dir))["checks"]["model.onnx"]["rows"] > 8


@pytest.mark.slow
def test_1_mb_of_a_genome(tmp_path, data_dir):
    """Codes of the learned kind of vocabulary differ at near-ties only, if at all."""
    torch.manual_seed(0)
    codec = VQDNACodecModel(VQDNACodecConfig.from_preset("small")).eval()
    fasta = data_dir / "genomes" / "escherichia_coli_k12.fa.gz"
    bases = next(read_fasta(fasta))[1][:8000].astype(np.int64)
    codec.quantizer.kmeans_(codec.latents(torch.from_numpy(bases)[None]), total_size=8000)
    record = export.export(arguments(saved(tmp_path, codec), check_fasta=str(fasta), check_bases=1_000_000))
    codes = record["checks"]["tokenizer.onnx"]
    assert codes["bases"] > 1_000_000 and codes["differing"] == codes["near_ties"] < 1000
