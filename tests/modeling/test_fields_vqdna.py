"""Every field of every configuration: refused by name in a constructor, from a file and by assignment."""

import json
import math

import pytest
from huggingface_hub.errors import StrictDataclassError
from test_modeling_common import TINY_BERT, tiny_config, tiny_model
from transformers import AutoConfig

from vqdna_hf import (
    VQDNACodecConfig,
    VQDNACodecModel,
    VQDNAConfig,
    VQDNAForSequenceClassification,
    VQDNAForTokenClassification,
)
from vqdna_hf.baselines import TokenEncoderConfig, character_tokenizer
from vqdna_hf.baselines.cnn import OneHotCNNConfig
from vqdna_hf.modeling.configuration_vqdna import VQDNAConvEncoderConfig, encoder_config_from_preset


HUGE = 10**9
WIDTHS, FRACTIONS, POSITIVE, NOT_NEGATIVE = (
    (0, -1, HUGE),
    (-0.1, 1.0, 1.5, math.nan),
    (0.0, -1e-5, math.inf, math.nan),
    (
        -1.0,
        math.inf,
        math.nan,
    ),
)
HEAD = {
    "pooling": ("Mean", "", "sum"),
    "pooling_bins": (0, -1, HUGE),
    "classifier_dropout": FRACTIONS,
    "num_labels": (0, -1, HUGE, 1.5, None, "2"),
    "problem_type": ("Regression", "multi"),
    "id2label": ({}, {1: "a", 2: "b"}, {0: "a", 2: "b"}),
    "initializer_range": POSITIVE,
    "pad_token_id": (-1, 7, HUGE),
}
SPECIAL = {name: (7, -1, None) for name in ("unk_token_id", "cls_token_id", "sep_token_id", "mask_token_id")}
CODEC = {
    "quantizer": ("VQ", "fsq"),
    "codebook_sizes": ([], [0], [-4], [4294967296], [1.5]),
    "codebook_dim": WIDTHS,
    "hidden_size": WIDTHS,
    "stem_channels": WIDTHS,
    "stem_kernel_size": (0, 4, -3, HUGE + 1),
    "kernel_size": (0, 4, -3, HUGE + 1),
    "num_hidden_layers": (-1, HUGE),
    "expansion": WIDTHS,
    "quantized_layers": ([1], [0], [3]),
    "layer_norm_eps": POSITIVE,
    "commitment_weight": NOT_NEGATIVE,
    "ema_decay": FRACTIONS,
    "ema_epsilon": POSITIVE,
    "restart_threshold": FRACTIONS,
    "mask_ratio": FRACTIONS,
    "word_radius": (-1, HUGE),
    "word_weight": NOT_NEGATIVE,
    "initializer_range": POSITIVE,
    "format_version": (0, -1, HUGE),
}
ENCODER = {
    "num_hidden_layers": (-1, HUGE),
    "num_attention_heads": (0, -1, 3, HUGE),
    "hidden_size": WIDTHS,
    "intermediate_size": WIDTHS,
    "norm_eps": POSITIVE,
    "attention_dropout": FRACTIONS,
    "mlp_dropout": FRACTIONS,
    "embedding_dropout": FRACTIONS,
    "local_attention": (0, -1),
    "global_attn_every_n_layers": (0, -1),
    "initializer_range": POSITIVE,
    "hidden_activation": ("gelu2000",),
    "conv_kernel_size": (0, 4, -1, HUGE + 1),
    "conv_dilations": ([0], [-1], [1] * 2000, [HUGE]),
}
OURS = {"base_loss_weight": NOT_NEGATIVE, "freeze_codec": ("yes", 1), "strand_average": ("yes", 1)}


def cases(fields: dict) -> list:
    return [
        pytest.param(name, value, id=f"{name}={value!r:.20}") for name, values in fields.items() for value in values
    ]


def said(error) -> str:
    return str(error.value) + str(error.value.__cause__)


def check(name: str, make):
    """One error, soon, that names the field."""
    with pytest.raises((StrictDataclassError, ValueError)) as error:
        make()
    assert name in said(error) or (name == "num_labels" and "id2label" in said(error))


@pytest.mark.parametrize(("name", "value"), cases(CODEC))
def test_the_codec(name, value, tmp_path):
    if name == "quantized_layers" and value == [1]:
        value = [2, 1]
    check(name, lambda: VQDNACodecConfig.from_preset("tiny", **{name: value}))
    check(name, lambda: load(VQDNACodecConfig.from_preset("tiny"), tmp_path, **{name: value}))


@pytest.mark.parametrize(("name", "value"), cases(HEAD | SPECIAL | OURS))
def test_the_models(name, value, tmp_path):
    config = tiny_config()
    values = {"codec_config": config.codec_config, "encoder_config": config.encoder_config, name: value}
    check(name, lambda: VQDNAConfig(**values))
    if name not in ("num_labels",) or value is not None:
        check(name, lambda: load(config, tmp_path, **{name: value}))


@pytest.mark.parametrize(("name", "value"), cases(ENCODER))
def test_the_encoder_within(name, value, tmp_path):
    conv = tiny_config("conv")
    values = conv.encoder_config.to_dict() | {"layer_types": None, name: value}
    check(name, lambda: VQDNAConvEncoderConfig(**{key: one for key, one in values.items() if key != "model_type"}))
    check(name, lambda: VQDNAConfig(encoder_config=values))
    check(name, lambda: load(conv, tmp_path, encoder_config=values))
    if "conv" not in name:
        check(name, lambda: VQDNAConfig(encoder_config=values | {"model_type": "modernbert"}))


@pytest.mark.parametrize(
    ("name", "value"),
    cases(
        {
            "num_hidden_layers": (-1, HUGE),
            "layer_norm_eps": POSITIVE,
            "hidden_dropout_prob": FRACTIONS,
            "attention_probs_dropout_prob": FRACTIONS,
            "max_position_embeddings": (0, -1),
            "num_attention_heads": (0, 3),
        }
    ),
)
def test_a_stock_encoder_within(name, value):
    check(name, lambda: VQDNAConfig(encoder_config=TINY_BERT | {name: value}))


@pytest.mark.parametrize(("name", "value"), cases(HEAD))
def test_the_controls(name, value):
    small = {"encoder_config": encoder_config_from_preset("tiny")}
    if (name, value) != ("pad_token_id", 7):  # which is one of its ids
        check(name, lambda: TokenEncoderConfig.from_preset("tiny", character_tokenizer(), **small | {name: value}))
    if name != "initializer_range":
        check(name, lambda: OneHotCNNConfig(**{name: value}))


def load(config, directory, **changes):
    """A configuration from a file that somebody has edited."""
    config.save_pretrained(directory)
    path = directory / "config.json"
    stored = json.loads(path.read_text()) | changes
    if "num_labels" in changes:
        stored.pop("id2label", None)
    path.write_text(json.dumps(stored))
    return AutoConfig.from_pretrained(directory)


@pytest.mark.parametrize(
    ("name", "value"), [("pooling", "Mean"), ("pooling_bins", 0), ("num_labels", 0), ("classifier_dropout", math.nan)]
)
@pytest.mark.parametrize("model_class", [VQDNAForSequenceClassification, VQDNAForTokenClassification])
def test_what_from_pretrained_sets_is_checked_at_loading(model_class, name, value, tmp_path):
    tiny_model(model_class).save_pretrained(tmp_path)
    check(name, lambda: model_class.from_pretrained(tmp_path, **{name: value}))
    config = AutoConfig.from_pretrained(tmp_path)
    check(name, lambda: setattr(config, name, value))
    assert getattr(config, name) != value  # what was refused has changed nothing
    options = {"num_labels": 3, "pooling": "bins", "ignore_mismatched_sizes": True}
    assert model_class.from_pretrained(tmp_path, **options).config.num_labels == 3


def test_rules_across_fields_hold_for_what_was_set_later():
    config = VQDNACodecConfig.from_preset("tiny")
    config.num_hidden_layers = 3
    with pytest.raises(ValueError, match="must be num_hidden_layers=3"):
        VQDNACodecModel(config)
    config = tiny_config()
    config.id2label = {"0": "no", "1": "yes"}
    with pytest.raises(ValueError, match="id2label=.* must name the labels 0, 1"):
        VQDNAForTokenClassification(config)


def test_the_wrong_kind_of_configuration_within():
    with pytest.raises(StrictDataclassError, match="codec_config is of the model type 'bert'"):
        VQDNAConfig(codec_config=AutoConfig.for_model("bert"))
    for values, message in (({"hidden_size": 8}, "model_type None"), ({"model_type": "bort"}, "bort")):
        with pytest.raises(ValueError, match=message):
            VQDNAConfig(encoder_config=values)


def test_numbers_at_the_ends_of_their_ranges_pass():
    VQDNACodecConfig.from_preset("tiny", mask_ratio=0, ema_decay=0, restart_threshold=0, word_weight=0, codebook_dim=1)
    config = VQDNAConfig.from_preset("tiny", num_labels=1, pooling_bins=1, classifier_dropout=0, base_loss_weight=0)
    assert config.num_labels == 1 and config.id2label == {0: "LABEL_0"}
    assert VQDNAConfig.from_preset("tiny", id2label={0: "a", 1: "b", 2: "c"}).num_labels == 3
    assert VQDNAConfig.from_preset("tiny").num_labels == 2
