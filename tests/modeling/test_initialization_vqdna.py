"""The spread of new weights, layer by layer: as a model is made, and where a file lacks them."""

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, ModernBertModel

from vqdna_hf import (
    VQDNACodecConfig,
    VQDNACodecModel,
    VQDNAConfig,
    VQDNAForMaskedLM,
    VQDNAForSequenceClassification,
    VQDNAForTokenClassification,
)
from vqdna_hf.baselines import TokenEncoderConfig, TokenEncoderForMaskedLM, character_tokenizer
from vqdna_hf.modeling.configuration_vqdna import ENCODER_PRESETS, encoder_config_from_preset


# enough weights for the spread of each layer to be known to a few per cent, in a model made in milliseconds
SMALL = {"hidden_size": 96, "intermediate_size": 64, "num_attention_heads": 4, "max_position_embeddings": 60}
TRUNCATED = 0.8796  # of its spread has a normal distribution that is cut at two standard deviations, ModernBERT's
SHAPES = [name for name in ENCODER_PRESETS if not name.endswith("-local")]  # another mask, the same layers


def small_encoder(preset: str):
    """An encoder of a preset's kind: its layers and their number, at other widths."""
    config = encoder_config_from_preset(preset)
    layers = min(config.num_hidden_layers, 4)
    values = config.to_dict() | SMALL | {"num_hidden_layers": layers, "layer_types": None}
    return type(config)(**{name: value for name, value in values.items() if value is not None})


def config_of(preset: str) -> VQDNAConfig:
    codec = VQDNACodecConfig.from_preset("tiny", codebook_dim=64, hidden_size=48, codebook_sizes=[64, 64])
    return VQDNAConfig(codec_config=codec, encoder_config=small_encoder(preset), num_labels=32)


def codec_spread(name: str, weight: torch.Tensor) -> float:
    """One unit of variance in, one out, whatever the width."""
    return weight[0].numel() ** -0.5


def meant(name: str, weight: torch.Tensor, config) -> float:
    """The standard deviation that a weight is to start with."""
    part = name.split(".")
    if "codec" in part:
        return 1.0 if part[-1] in ("embedding", "embedding_sum") else codec_spread(name, weight)
    if "projection" in part or "convolution" in part:
        return weight.shape[1] ** -0.5
    if "Wo" in part:  # ModernBERT's, smaller the deeper the encoder
        return config.initializer_range / (2 * config.num_hidden_layers) ** 0.5
    return config.initializer_range


def check_spread(model, encoder_config):
    """Every weight has the spread that is meant, every bias is 0, every norm 1."""
    seen = set()
    for name, values in model.state_dict().items():
        part, values = name.split("."), values.float()
        if values.ndim < 2:
            norm = "norm" in name.lower() and part[-1] == "weight"
            fixed = 1.0 if norm or part[-1] == "cluster_size" else 0.0
            assert part[-1] == "num_updates" or (values == fixed).all(), name
            continue
        if encoder_config.model_type == "bert" and part[-2] == "word_embeddings":
            values = values[1:]  # that of [PAD] is 0
        expected = meant(name, values, encoder_config)
        if "encoder" in part and "codec" not in part and encoder_config.model_type != "bert" and "conv" not in name:
            expected *= TRUNCATED
        tolerance = max(5 / (2 * values.numel()) ** 0.5, 0.015)
        assert float(values.std(correction=0)) == pytest.approx(expected, rel=tolerance), name
        assert float(values.mean()) == pytest.approx(0, abs=5 * expected / values.numel() ** 0.5), name
        seen.add(part[-2])
    return seen


def without_weights(model, directory, keep: str):
    """Save a model, and take out of the file what does not begin with `keep`."""
    model.save_pretrained(directory)
    path = directory / "model.safetensors"
    weights = load_file(path)
    kept = {name: value for name, value in weights.items() if name.startswith(keep)}
    assert kept and len(kept) < len(weights)
    save_file(kept, path, metadata={"format": "pt"})


HEADS = [VQDNAForMaskedLM, VQDNAForSequenceClassification, VQDNAForTokenClassification]


@pytest.mark.parametrize("preset", SHAPES)
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
def test_every_layer_begins_with_the_spread_that_is_meant(preset, head, tmp_path):
    config = config_of(preset)
    model = head(copy.deepcopy(config))
    layers = check_spread(model, config.encoder_config)
    wanted = {"Wqkv", "Wi", "Wo"} if config.encoder_config.model_type != "bert" else {"query", "dense"}
    assert wanted <= layers and ("convolution" in layers) == (preset == "small-conv")
    without_weights(model, tmp_path, keep="vqdna.codec.")
    loaded, report = head.from_pretrained(tmp_path, output_loading_info=True)
    assert len(report["missing_keys"]) > 10
    assert check_spread(loaded, config.encoder_config) == layers
    for (name, old), new in zip(model.codec.state_dict().items(), loaded.codec.state_dict().values(), strict=True):
        assert torch.equal(old, new), name


@pytest.mark.parametrize("preset", ["small", "small-conv"])
def test_what_a_file_holds_is_kept_beside_what_it_lacks(preset, tmp_path):
    """Also the second weight of a layer whose first one is missing."""
    model = VQDNAForSequenceClassification(config_of(preset))
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    missing = [name for name in weights if name.endswith(("Wqkv.weight", "Wi.weight", "convolution.weight"))]
    save_file(
        {name: value for name, value in weights.items() if name not in missing},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    loaded = VQDNAForSequenceClassification.from_pretrained(tmp_path)
    check_spread(loaded, model.config.encoder_config)
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, weights[name]) == (name not in missing), name


@pytest.mark.parametrize("preset", ["small", "small-conv"])
def test_an_encoder_by_itself_and_over_tokens_begins_alike(preset, tmp_path):
    encoder = AutoModel.from_config(small_encoder(preset))
    assert isinstance(encoder, ModernBertModel)
    check_spread(torch.nn.ModuleDict({"encoder": encoder}), encoder.config)
    tokenizer = character_tokenizer()
    config = TokenEncoderConfig.from_preset("tiny", tokenizer, encoder_config=small_encoder(preset))
    model = TokenEncoderForMaskedLM(config)
    check_spread(model, config.encoder_config)
    without_weights(model, tmp_path, keep="head.")
    check_spread(TokenEncoderForMaskedLM.from_pretrained(tmp_path), config.encoder_config)


@pytest.mark.parametrize("kind", ["vq", "hrq"])
def test_the_codec_begins_with_the_spread_that_is_meant(kind, tmp_path):
    sizes = {"vq": [64], "hrq": [64, 64]}[kind]
    config = VQDNACodecConfig.from_preset(
        "tiny", quantizer=kind, codebook_sizes=sizes, codebook_dim=64, hidden_size=48, word_radius=2
    )
    model = VQDNACodecModel(config)
    codec = torch.nn.ModuleDict({"codec": model})
    check_spread(codec, config)
    without_weights(model, tmp_path, keep="decoder.")
    check_spread(torch.nn.ModuleDict({"codec": VQDNACodecModel.from_pretrained(tmp_path)}), config)
