"""What an encoder costs is counted without computing it."""

import json

import pytest
from torch import nn

from vqdna_hf import VQDNAConfig
from vqdna_hf.analysis.info import encoder_info, info
from vqdna_hf.arguments.analysis import InfoArguments
from vqdna_hf.baselines import TokenEncoderConfig, TokenEncoderForSequenceClassification, kmer_tokenizer


def test_the_cost_of_long_sequences_is_counted_without_their_memory(monkeypatch):
    """Attention over 100,000 positions would hold 40 GB a head."""
    devices, multiply = set(), nn.Linear.forward

    def watch(module, values):
        devices.add(values.device.type)
        return multiply(module, values)

    monkeypatch.setattr(nn.Linear, "forward", watch)
    config = VQDNAConfig.from_preset("small")
    costs = [encoder_info(config, 1000)]
    assert devices == {"meta"}
    costs += [encoder_info(config, length) for length in (2000, 4000, 100_000)]
    assert len({cost["parameters"] for cost in costs}) == 1
    assert all(2 * a["flops"] < b["flops"] for a, b in zip(costs, costs[1:]))


def test_a_preset_that_is_too_short_leaves_the_others_their_rows(monkeypatch, capsys):
    monkeypatch.setattr("vqdna_hf.analysis.info.CODECS", ())
    monkeypatch.setattr("vqdna_hf.analysis.info.ENCODERS", ("paper-bert", "small"))
    refused, counted = info(InfoArguments(length=600))
    assert "512" in refused["refused"] or "514" in refused["refused"]
    assert counted["flops"] > 0 and counted["what"] == "encoder small"
    assert "encoder paper-bert" in capsys.readouterr().out


def test_an_encoder_of_hand_made_tokens_has_a_row(tmp_path, capsys):
    config = TokenEncoderConfig.from_preset("tiny", tokenizer=kmer_tokenizer(3))
    model = TokenEncoderForSequenceClassification(config)
    model.save_pretrained(tmp_path)
    [row] = info(InfoArguments(model=str(tmp_path), length=100))
    assert row["parameters"] == model.token_encoder.num_parameters() and row["flops"] > 0
    assert "FLOPs, 100 tokens" in capsys.readouterr().out


def test_a_model_of_another_kind_is_refused_by_its_name(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="holds no VQDNA tokenizer or model, but one of bert"):
        info(InfoArguments(model=str(tmp_path)))
