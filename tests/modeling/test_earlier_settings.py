"""Models that were saved after a setting that is refused today, and ids and labels of odd shapes."""

import json

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from test_modeling_common import ragged_nucleotides, tiny_model
from transformers import AutoConfig

from vqdna_hf import (
    VQDNACodecConfig,
    VQDNACodecModel,
    VQDNAConfig,
    VQDNAForMaskedLM,
    VQDNAForSequenceClassification,
    VQDNAForTokenClassification,
)


@pytest.mark.parametrize("value", [3, None])
def test_a_pad_id_that_a_trainer_once_took_over_is_put_right(value, tmp_path, caplog):
    model = tiny_model(VQDNAForMaskedLM)
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token_id": value}))
    loaded = VQDNAForMaskedLM.from_pretrained(tmp_path).eval()
    assert loaded.config.pad_token_id == 0
    assert f"pad_token_id={value}" in caplog.text and "save the model again" in caplog.text
    ids = ragged_nucleotides()
    assert torch.equal(loaded(nucleotide_ids=ids).logits, model.eval()(nucleotide_ids=ids).logits)
    for asked in (lambda: VQDNAConfig(pad_token_id=3), lambda: AutoConfig.from_pretrained(tmp_path, pad_token_id=3)):
        with pytest.raises(StrictDataclassError, match="pad_token_id=3 is not one of 0"):
            asked()


@pytest.mark.parametrize("model_class", [VQDNAForTokenClassification, VQDNAForSequenceClassification])
def test_heads_with_labels_are_one_compiled_graph(model_class):
    model = tiny_model(model_class).eval()
    labels = torch.tensor([1]) if model_class is VQDNAForSequenceClassification else torch.full((1, 6), 1)
    given = {"input_ids": torch.full((1, 6), 7), "labels": labels}
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert torch.equal(compiled(**given).loss, model(**given).loss)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.full((1, 6), 9), "base_targets hold 9"),
        (torch.full((1, 6), -5), "base_targets hold -5"),
        (torch.full((1, 6), 1.0), "base_targets are torch.float32"),
    ],
)
def test_targets_that_are_no_bases_are_refused(targets, message):
    with pytest.raises(ValueError, match=message):
        tiny_model(VQDNAForMaskedLM)(input_ids=torch.full((1, 6), 7), base_targets=targets)


def test_the_codec_refuses_what_is_no_batch():
    codec, ids = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")), ragged_nucleotides()
    for read in (codec, codec.encode, codec.latents):
        with pytest.raises(ValueError, match=r"shape \(3,\), but models take"):
            read(torch.tensor([0, 1, 2]))
        with pytest.raises(ValueError, match="attention_mask has the shape"):
            read(ids, attention_mask=torch.ones(1, 3))
    with pytest.raises(ValueError, match="labels have the shape"):
        codec(ids, labels=ids[:, :3])
    for sequence in (np.zeros((2, 3), dtype=np.uint8), torch.zeros(3)):
        with pytest.raises(ValueError, match="sequence 0 is .* one-dimensional array of whole numbers"):
            codec.encode_sequences([sequence])
