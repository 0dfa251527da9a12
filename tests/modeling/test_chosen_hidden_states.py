"""`output_hidden_states` with an index or a list of them, as the stock encoder within takes it."""

import pytest
import torch
from test_modeling_common import ragged_nucleotides, tiny_model

from vqdna_hf import VQDNAForMaskedLM, VQDNAForSequenceClassification, VQDNAForTokenClassification, VQDNAModel
from vqdna_hf.baselines import TokenEncoderConfig, TokenEncoderModel, character_tokenizer


CHOICES = [0, 1, -1, [0], [0, 2], [-1], [7], (1,), [], True, False]


def same(found, expected) -> bool:
    if expected is None or found is None:
        return found is expected
    pairs = zip(found, expected, strict=True)
    return all((a is None) == (b is None) and (a is None or torch.equal(a, b)) for a, b in pairs)


@pytest.mark.parametrize("encoder", ["modernbert", "conv", "bert"])
@pytest.mark.parametrize(
    "model_class", [VQDNAModel, VQDNAForMaskedLM, VQDNAForSequenceClassification, VQDNAForTokenClassification]
)
@torch.no_grad()
def test_the_layers_are_those_that_the_encoder_gives(model_class, encoder):
    model, ids = tiny_model(model_class, encoder), ragged_nucleotides()
    inputs, mask = model.base_model.embed(None, ids)[0], (ids != 8).long()
    for choice in CHOICES:
        expected = model.base_model.encoder(inputs_embeds=inputs, attention_mask=mask, output_hidden_states=choice)
        found = model(nucleotide_ids=ids, output_hidden_states=choice)
        assert same(found.get("hidden_states"), expected.get("hidden_states")), choice


@torch.no_grad()
def test_over_an_ordinary_vocabulary_too():
    tokenizer = character_tokenizer()
    model = TokenEncoderModel(TokenEncoderConfig.from_preset("tiny", tokenizer)).eval()
    batch = tokenizer("ACGTAC", return_tensors="pt")
    for choice in CHOICES:
        given = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        expected = model.encoder(**given, output_hidden_states=choice)
        found = model(**given, output_hidden_states=choice)
        assert same(found.get("hidden_states"), expected.get("hidden_states")), choice
