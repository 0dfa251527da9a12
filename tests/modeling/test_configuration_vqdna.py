"""Configurations: the paper's numbers, the rules across fields, the receptive field as measured, and JSON."""

import json
from typing import get_args

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, BertConfig, ModernBertConfig

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNAConfig
from vqdna_hf.arguments.training import CodecPreset
from vqdna_hf.modeling.configuration_vqdna import (
    CODEC_PRESETS,
    ENCODER_PRESETS,
    VQDNAConvEncoderConfig,
    encoder_config_from_preset,
)
from vqdna_hf.modeling.repository_vqdna import COMPILED_FORMAT_VERSION, FORMAT_VERSION


def test_paper_defaults():
    """Section 3.3 and Eq. 3: K = 512, D = 384, six blocks, beta = 0.5."""
    config = VQDNACodecConfig()
    assert (config.quantizer, config.codebook_sizes, config.codebook_dim) == ("vq", [512], 384)
    assert (config.hidden_size, config.stem_channels, config.num_hidden_layers) == (384, 256, 6)
    assert (config.stem_kernel_size, config.kernel_size, config.expansion) == (5, 7, 4)
    assert (config.commitment_weight, config.ema_decay, config.mask_ratio) == (0.5, 0.99, 0)
    assert (config.quantized_layers, config.vocab_size) == ([6], 5 + 512)


def test_paper_hrq():
    """Section 3.2 and Eq. 8: 2^n K codes for K = 384 after layers 3 and 6, beta = 0.9."""
    config = VQDNACodecConfig.from_preset("paper-hrq")
    assert config.codebook_sizes == [2 * 384, 4 * 384] and config.quantized_layers == [3, 6]
    assert (config.commitment_weight, config.num_levels, config.vocab_size) == (0.9, 2, 5 + 768 * 1536)


@pytest.mark.parametrize(("quantizer", "beta"), [("vq", 0.5), ("rq", 0.5), ("hrq", 0.9)])
def test_default_beta_is_that_of_the_quantizer(quantizer, beta):
    sizes = [8] if quantizer == "vq" else [8, 8]
    assert VQDNACodecConfig(quantizer=quantizer, codebook_sizes=sizes).commitment_weight == beta
    config = VQDNACodecConfig(quantizer=quantizer, codebook_sizes=sizes, commitment_weight=0.25)
    assert config.commitment_weight == 0.25


def test_presets():
    compact = [f"compact{width}{kind}" for width in ("", "-11") for kind in ("", "-vq", "-rq")]
    assert sorted(CODEC_PRESETS) == sorted([*compact, "paper-hrq", "paper-vq", "small", "tiny"])
    assert sorted(get_args(CodecPreset)) == sorted(CODEC_PRESETS)
    assert VQDNACodecConfig.from_preset("paper-vq").to_dict() == VQDNACodecConfig().to_dict()
    small = VQDNACodecConfig.from_preset("small")
    assert (small.hidden_size, small.codebook_dim, small.vocab_size - 5) == (64, 32, 32_768)
    assert VQDNACodecConfig.from_preset("tiny", mask_ratio=0.25).mask_ratio == 0.25
    for name, kind in (("large", VQDNACodecConfig), ("large", VQDNAConfig)):
        with pytest.raises(ValueError, match="'large'; choose one of .*tiny"):
            kind.from_preset(name)


@pytest.mark.parametrize(("name", "millions"), [("paper-vq", 16), ("paper-hrq", 17)])
def test_paper_sizes(name, millions):
    """Table 2 gives 16M and 17M parameters; code vectors are counted with them."""
    with torch.device("meta"):
        model = VQDNACodecModel(VQDNACodecConfig.from_preset(name))
    count = sum(p.numel() for p in model.parameters())
    count += sum(book.embedding.numel() for book in model.quantizer.codebooks)
    assert count / 1e6 == pytest.approx(millions, abs=2)


def test_levels_are_spread_over_the_layers():
    for levels, layers in ((1, [6]), (2, [3, 6]), (3, [2, 4, 6]), (6, [1, 2, 3, 4, 5, 6])):
        config = VQDNACodecConfig(quantizer="hrq", codebook_sizes=[4] * levels)
        assert config.quantized_layers == layers
    assert VQDNACodecConfig(quantizer="rq", codebook_sizes=[4] * 4).quantized_layers == [6]


RULES = [
    ({"quantizer": "fsq"}, ["fsq", "vq, rq, hrq"]),
    ({"codebook_sizes": [4, 8]}, ["1 codebook", "[4, 8]", "2;"]),
    ({"codebook_sizes": []}, ["[]", "one positive number"]),
    ({"codebook_sizes": [0]}, ["[0]", "one positive number"]),
    ({"quantized_layers": [3]}, ["[3]", "num_hidden_layers=6"]),
    ({"quantized_layers": [3, 6]}, ["[3, 6]", "2 layers", "quantizes 1"]),
    ({"quantizer": "hrq", "codebook_sizes": [4, 8], "quantized_layers": [6]}, ["1 layers", "2 codebooks", "izes 2"]),
    ({"quantizer": "hrq", "codebook_sizes": [4, 8], "quantized_layers": [6, 3]}, ["[6, 3]", "increasing"]),
    ({"quantizer": "hrq", "codebook_sizes": [4, 8], "quantized_layers": [6, 6]}, ["[6, 6]", "increasing"]),
    ({"quantizer": "hrq", "codebook_sizes": [4, 8], "quantized_layers": [0, 6]}, ["[0, 6]", "from 1"]),
    ({"quantizer": "hrq", "codebook_sizes": [4, 8], "num_hidden_layers": 1}, ["increasing"]),
    ({"quantizer": "rq", "codebook_sizes": [2**24] * 3}, [str(2**72), "64 bits"]),
    ({"quantizer": "rq", "codebook_sizes": [8, 2**24 + 1]}, ["codebook_sizes=[8, 16777217]", "at most 16777216"]),
    ({"kernel_size": 6}, ["kernel_size=6", "odd"]),
    ({"stem_kernel_size": 0}, ["stem_kernel_size=0", "odd"]),
    ({"kernel_size": -3}, ["kernel_size=-3", "positive"]),
    ({"hidden_size": 0}, ["hidden_size=0", "at least 1"]),
    ({"codebook_dim": 0}, ["codebook_dim=0", "at least 1"]),
    ({"num_hidden_layers": -1}, ["num_hidden_layers=-1"]),
    ({"ema_decay": 1.0}, ["ema_decay=1.0", "[0, 1)"]),
    ({"mask_ratio": -0.1}, ["mask_ratio=-0.1", "[0, 1)"]),
    ({"restart_threshold": 2}, ["restart_threshold=2", "[0, 1)"]),
    ({"commitment_weight": -1}, ["commitment_weight=-1"]),
]


@pytest.mark.parametrize(("fields", "words"), RULES)
def test_rules_of_the_codec_name_both_numbers(fields, words):
    with pytest.raises(StrictDataclassError) as error:
        VQDNACodecConfig(**fields)
    message = str(error.value) + str(error.value.__cause__)
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize("fields", [{"hidden_size": "wide"}, {"codebook_sizes": 512}, {"layer_norm_eps": None}])
def test_wrong_types_are_refused(fields):
    with pytest.raises((StrictDataclassError, TypeError)):
        VQDNACodecConfig(**fields)


ENCODER_RULES = [
    ({"pooling": "last"}, ["last", "mean, max"]),
    ({"pooling": "bins", "pooling_bins": 0}, ["pooling_bins=0", "at least 1"]),
    ({"classifier_dropout": 1.0}, ["classifier_dropout=1.0", "[0, 1)"]),
    ({"encoder_config": {"model_type": "bert", "vocab_size": 30522}}, ["30522", "5 special", "vocab_size=5"]),
    ({"encoder_config": {"model_type": "bert", "pad_token_id": 7}}, ["pad_token_id=7", "vocab_size=5"]),
]


@pytest.mark.parametrize(("fields", "words"), ENCODER_RULES)
def test_rules_of_the_encoder_name_both_numbers(fields, words):
    with pytest.raises(StrictDataclassError) as error:
        VQDNAConfig(**fields)
    message = str(error.value) + str(error.value.__cause__)
    assert [word for word in words if word not in message] == []


def seen_bases(model: VQDNACodecModel, level: int) -> list[int]:
    """The positions whose base changes the latent at position 60: by gradient, and again by changing each base."""
    ids = torch.randint(4, (1, 121))
    stem, inputs = model.encoder.stem.forward, []

    def watched(one_hot):
        inputs.append(one_hot.requires_grad_())
        return stem(inputs[-1])

    model.encoder.stem.forward = watched
    latents = model.latents(ids)[level]
    latents[0, 60].pow(2).sum().backward()
    by_gradient = inputs[0].grad[0].abs().sum(dim=0).nonzero().squeeze(1).tolist()
    model.encoder.stem.forward = stem
    changed = ids.repeat(121, 1)
    changed[range(121), range(121)] = (changed[range(121), range(121)] + 1) % 4
    with torch.no_grad():
        moved = (model.latents(changed)[level][:, 60] - latents[0, 60]).abs().amax(dim=1) > 1e-12
    assert moved.nonzero().squeeze(1).tolist() == by_gradient
    return by_gradient


def test_receptive_field_of_the_paper_is_41_bases_and_23_at_layer_3():
    # the widths of the layers do not matter, their kernels and number do
    config = VQDNACodecConfig.from_preset("paper-hrq", hidden_size=8, stem_channels=8, codebook_sizes=[4, 4])
    assert (config.receptive_field, config.halo) == (41, 20)
    assert VQDNACodecConfig.from_preset("paper-vq").receptive_field == 41
    model = VQDNACodecModel(config).double()
    assert seen_bases(model, level=1) == list(range(60 - 20, 60 + 21))
    assert seen_bases(model, level=0) == list(range(60 - 11, 60 + 12))


@pytest.mark.parametrize(
    "fields",
    [
        {"num_hidden_layers": 0, "quantizer": "vq", "codebook_sizes": [4]},
        {"stem_kernel_size": 1, "kernel_size": 3},
        {"stem_kernel_size": 9, "kernel_size": 1, "num_hidden_layers": 3},
    ],
)
def test_receptive_field_follows_the_kernels(fields):
    config = VQDNACodecConfig.from_preset("tiny", **fields)
    seen = seen_bases(VQDNACodecModel(config).double(), level=config.num_levels - 1)
    assert seen == list(range(60 - config.halo, 60 + config.halo + 1)) and len(seen) == config.receptive_field


def fields_of(config) -> dict:
    return {**config.to_dict(), "_name_or_path": None}  # where it was read from


CODEC_CONFIGS = [
    {},
    {**CODEC_PRESETS["paper-hrq"], "mask_ratio": 0.25, "ema_decay": 0.95},
    {"quantizer": "rq", "codebook_sizes": (8, 4, 2), "commitment_weight": 1, "restart_threshold": 0},
]


@pytest.mark.parametrize("fields", CODEC_CONFIGS)
def test_codec_config_through_json(fields, tmp_path):
    config = VQDNACodecConfig(**fields)
    config.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["model_type"] == "vqdna_codec"
    for loaded in (VQDNACodecConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert isinstance(loaded, VQDNACodecConfig)
        assert fields_of(loaded) == fields_of(config)
        assert loaded.codebook_sizes == list(fields.get("codebook_sizes", [512]))


@pytest.mark.parametrize("preset", sorted(ENCODER_PRESETS))
def test_encoder_config_through_json(preset, tmp_path):
    codec = VQDNACodecConfig.from_preset("small", mask_ratio=0.1)
    config = VQDNAConfig.from_preset(preset, codec_config=codec, pooling="bins", freeze_codec=False)
    config.save_pretrained(tmp_path)
    for loaded in (VQDNAConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert isinstance(loaded, VQDNAConfig)
        assert fields_of(loaded) == fields_of(config)
        assert isinstance(loaded.codec_config, VQDNACodecConfig) and loaded.codec_config.mask_ratio == 0.1
        kind = {"paper-bert": BertConfig, "small-conv": VQDNAConvEncoderConfig}.get(preset, ModernBertConfig)
        assert type(loaded.encoder_config) is kind and loaded.encoder_config.vocab_size == 5
        assert (loaded.pooling, loaded.freeze_codec) == ("bins", False)


def test_encoder_config_takes_any_stock_encoder():
    encoder = BertConfig(vocab_size=5, hidden_size=24, num_hidden_layers=3, num_attention_heads=2, pad_token_id=0)
    config = VQDNAConfig(codec_config={"model_type": "vqdna_codec", "hidden_size": 12}, encoder_config=encoder)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (24, 3, 2)
    assert config.codec_config.hidden_size == 12 and config.vocab_size == 5 + 512
    again = VQDNAConfig.from_dict(json.loads(config.to_json_string(use_diff=False)))
    read = again.encoder_config.to_dict()
    assert {key: read[key] for key in encoder.to_dict()} == encoder.to_dict()
    assert config.pad_token_id == 0 and config.mask_token_id == 4


def test_encoder_presets_hold_the_special_tokens_only():
    for preset in ENCODER_PRESETS:
        encoder = encoder_config_from_preset(preset)
        assert encoder.vocab_size == 5
        assert (encoder.pad_token_id, encoder.cls_token_id, encoder.sep_token_id) == (0, 2, 3)
    paper = encoder_config_from_preset("paper")
    assert (paper.hidden_size, paper.num_hidden_layers, paper.intermediate_size) == (768, 12, 2048)
    assert encoder_config_from_preset("paper-bert").intermediate_size == 3072


def test_configs_do_not_share_lists():
    first, second = VQDNACodecConfig(), VQDNACodecConfig()
    first.codebook_sizes.append(3)
    assert second.codebook_sizes == [512] and CODEC_PRESETS["paper-hrq"]["codebook_sizes"] == [768, 1536]
    preset = VQDNACodecConfig.from_preset("paper-hrq")
    preset.codebook_sizes.append(3)
    assert VQDNACodecConfig.from_preset("paper-hrq").codebook_sizes == [768, 1536]


@pytest.mark.parametrize("config_class", [VQDNACodecConfig, VQDNAConfig])
def test_a_newer_format_is_refused_with_both_versions(config_class, tmp_path):
    config_class.from_preset("tiny").save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    assert saved["format_version"] == FORMAT_VERSION
    path.write_text(json.dumps(saved | {"format_version": COMPILED_FORMAT_VERSION + 1, "a_field_of_the_future": 1}))
    with pytest.raises(ValueError, match="format_version 3.*up to 2.*pip install"):
        AutoConfig.from_pretrained(tmp_path)


def test_an_unknown_field_of_the_same_format_does_no_harm(tmp_path):
    VQDNAConfig.from_preset("tiny").save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"note": "from somebody's pipeline"}))
    assert AutoConfig.from_pretrained(tmp_path).hidden_size == 32
