"""The codec is in float32 however a model is made, so that saving and loading changes no code."""

import pytest
import torch
from test_modeling_common import largest_difference, ragged_nucleotides, tiny_config
from transformers import AutoModel, AutoModelForMaskedLM

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNAForMaskedLM, VQDNAModel


HALVES = [torch.bfloat16, torch.float16]


def from_config(config, dtype):
    return AutoModel.from_config(config, dtype=dtype)


def from_saved_config(config, dtype, directory):
    config.dtype = dtype
    config.save_pretrained(directory)
    return AutoModel.from_config(type(config).from_pretrained(directory))


def by_default(config, dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return VQDNACodecModel(config) if config.model_type == "vqdna_codec" else VQDNAModel(config)
    finally:
        torch.set_default_dtype(before)


def check(model, directory, dtype):
    """No weight of the codec is rounded, and codes are the same after saving and loading."""
    codec = model if isinstance(model, VQDNACodecModel) else model.codec
    floats = {name: value for name, value in codec.state_dict().items() if value.is_floating_point()}
    assert {value.dtype for value in floats.values()} == {torch.float32} and codec.dtype == torch.float32
    weights = torch.cat([value.flatten() for name, value in floats.items() if "weight" in name or "embedding" in name])
    assert (weights.to(dtype).float() != weights).float().mean() > 0.5  # drawn in float32
    ids = torch.randint(4, (4, 200))
    codes, before = codec.encode(ids), codec.fingerprint()
    model.save_pretrained(directory)
    for options in ({}, {"dtype": "auto"}, {"dtype": dtype}):
        loaded = type(model).from_pretrained(directory, **options)
        again = loaded if loaded.config.model_type == "vqdna_codec" else loaded.codec
        assert torch.equal(again.encode(ids), codes) and again.fingerprint() == before
    assert len(codes.flatten(0, 1).unique(dim=0)) > 20


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("way", [from_config, from_saved_config, by_default])
@pytest.mark.parametrize("kind", ["codec", "model"])
def test_made_in_16_bits(kind, way, dtype, tmp_path):
    torch.manual_seed(0)
    config = VQDNACodecConfig.from_preset("tiny") if kind == "codec" else tiny_config()
    directories = (tmp_path / "config",) if way is from_saved_config else ()
    model = way(config, dtype, *directories)
    if kind == "model":
        assert model.dtype == model.projection.weight.dtype == dtype
    check(model, tmp_path / "model", dtype)


@pytest.mark.parametrize("dtype", HALVES)
@torch.no_grad()
def test_used_under_a_default_of_16_bits(dtype, tmp_path):
    torch.manual_seed(0)
    model, ids = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")).eval(), torch.randint(4, (2, 60))
    expected, latents = model.encode(ids), model.latents(ids)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        assert torch.equal(model.encode(ids), expected)
        assert largest_difference(model.latents(ids), latents) == 0
        model.save_pretrained(tmp_path)
        assert torch.equal(VQDNACodecModel.from_pretrained(tmp_path).encode(ids), expected)
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("dtype", HALVES)
def test_a_head_made_in_16_bits_reads_bases_as_it_reads_ids(dtype):
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(tiny_config(), dtype=dtype).eval()
    assert isinstance(model, VQDNAForMaskedLM) and model.dtype == dtype
    ids = ragged_nucleotides()
    with torch.no_grad():
        by_bases = model(nucleotide_ids=ids).logits
        assert torch.equal(model(input_ids=model.vqdna.encode_nucleotides(ids)).logits, by_bases)
    assert by_bases.dtype == dtype and torch.get_default_dtype() == torch.float32
