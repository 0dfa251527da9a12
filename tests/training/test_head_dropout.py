"""The dropout of a head is what was asked for, in the model that is trained, or it is refused; the record is true."""

import json

import pytest
import torch
from tiny_runs import finetune_arguments
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    EsmConfig,
    EsmForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
)

import vqdna_hf.cli as cli
from vqdna_hf.baselines import TokenEncoderConfig, TokenEncoderForMaskedLM, character_tokenizer
from vqdna_hf.training.classifier import head_dropout, load_classifier
from vqdna_hf.training.finetune import finetune


SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 9}
SIZES["pad_token_id"] = 0
DISTIL = {"dim": 8, "n_layers": 1, "n_heads": 1, "hidden_dim": 8, "vocab_size": 9}
KINDS = {
    "albert": lambda: AlbertForSequenceClassification(AlbertConfig(**SIZES, embedding_size=8)),
    "bert": lambda: BertForSequenceClassification(BertConfig(**SIZES)),
    "deberta": lambda: DebertaV2ForSequenceClassification(DebertaV2Config(**SIZES, pooler_hidden_size=8)),
    "distilbert": lambda: DistilBertForSequenceClassification(DistilBertConfig(**DISTIL)),
    "esm": lambda: EsmForSequenceClassification(EsmConfig(**SIZES, mask_token_id=4)),
    "gpt2": lambda: GPT2ForSequenceClassification(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=9)),
    "ours": lambda: TokenEncoderForMaskedLM(TokenEncoderConfig.from_preset("tiny", tokenizer=character_tokenizer())),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A directory for each kind of model."""
    home = tmp_path_factory.mktemp("models")
    for name, make in KINDS.items():
        torch.manual_seed(0)
        make().save_pretrained(home / name)
        character_tokenizer().save_pretrained(home / name)
    return home


def load(models, name, **changes):
    return load_classifier(
        str(models / name), character_tokenizer(), finetune_arguments("", "", "", **changes), num_labels=3
    )


@pytest.mark.parametrize("name", ["albert", "bert", "deberta", "distilbert", "ours"])
@pytest.mark.parametrize("dropout", [0.37, 0.0])
def test_a_head_is_built_with_the_dropout(models, name, dropout):
    model = load(models, name, dropout=dropout)
    assert head_dropout(model) == dropout
    assert model.num_labels == 3 and model.dtype == torch.float32


@pytest.mark.parametrize("name", ["albert", "bert", "deberta", "distilbert", "ours"])
def test_the_saved_model_has_it_too(models, name, tmp_path):
    load(models, name, dropout=0.37).save_pretrained(tmp_path)
    assert head_dropout(AutoModelForSequenceClassification.from_pretrained(tmp_path)) == 0.37


@pytest.mark.parametrize(("name", "has"), [("gpt2", "no dropout of its own"), ("esm", "a dropout of 0.1 that")])
def test_a_dropout_that_a_head_cannot_have_is_refused(models, name, has, tmp_path, task_dir, capsys):
    command = ["finetune", "--data", str(task_dir), "--model", str(models / name), "--mode", "full"]
    assert cli.main([*command, "--output", str(tmp_path / "out"), "--dropout", "0.3"]) == 2
    error = capsys.readouterr().err
    assert "--dropout 0.3 cannot be set" in error and has in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "dropout", "used"), [("albert", 0.25, 0.25), ("gpt2", 0.1, None)])
def test_the_record_says_what_was_used(models, task_dir, tmp_path, name, dropout, used):
    found = finetune(finetune_arguments(task_dir, models / name, tmp_path, mode="full", dropout=dropout))
    assert found["arguments"]["dropout"] == used
    assert json.loads((tmp_path / "results.json").read_text())["arguments"]["dropout"] == used


def test_an_error_of_a_model_comes_through(models, monkeypatch):
    def broken(self, config):
        raise TypeError("this model is broken")

    monkeypatch.setattr(BertForSequenceClassification, "__init__", broken)
    with pytest.raises(TypeError, match="this model is broken"):
        load(models, "bert")
