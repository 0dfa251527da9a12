"""What the models refuse: ids that mean nothing, and labels at positions that are no base."""

import numpy as np
import pytest
import torch
from test_modeling_common import CLS, PAD, ragged_nucleotides, tiny_model

from vqdna_hf import (
    VQDNACodecConfig,
    VQDNACodecModel,
    VQDNAForMaskedLM,
    VQDNAForSequenceClassification,
    VQDNAForTokenClassification,
    VQDNAModel,
)
from vqdna_hf.modeling import checks_vqdna


MODELS = [VQDNAModel, VQDNAForMaskedLM, VQDNAForSequenceClassification, VQDNAForTokenClassification]
WRONG = [(9, "hold 9, but they are 0-3"), (-1, "hold -1, but"), (256, "hold 256, but"), (0.5, "are torch.float32")]


def with_one(value) -> torch.Tensor:
    """Nucleotide ids of two sequences, one of which is wrong."""
    ids = ragged_nucleotides([5, 9])
    ids = ids.float() if isinstance(value, float) else ids
    ids[1, 4] = value
    return ids


# ids


@pytest.mark.parametrize(("value", "message"), WRONG)
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("model_class", MODELS)
def test_models_refuse_nucleotide_ids_that_mean_nothing(model_class, frozen, value, message):
    model = tiny_model(model_class, freeze_codec=frozen)
    with pytest.raises(ValueError, match=f"^nucleotide_ids {message}"):
        model(nucleotide_ids=with_one(value))
    with pytest.raises(ValueError, match=f"^nucleotide_ids {message}"):
        model.base_model.encode_nucleotides(with_one(value))


@pytest.mark.parametrize(("value", "message"), WRONG)
def test_the_codec_refuses_nucleotide_ids_that_mean_nothing(value, message):
    codec = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny"))
    for read in (codec, codec.eval(), codec.encode, codec.latents):
        with pytest.raises(ValueError, match=f"^nucleotide_ids {message}"):
            read(with_one(value))
    sequences = [np.zeros(4, dtype=np.uint8), with_one(value)[1].numpy()]
    with pytest.raises(ValueError, match="^sequence 1 (has|is) "):
        codec.encode_sequences(sequences)
    # a sequence that is too short to be read at all is still no reason to fail
    assert [len(codes) for codes in codec.encode_sequences([sequences[0], np.zeros(0, dtype=np.uint8)])] == [4, 0]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32])
def test_narrow_whole_numbers_are_ids_too(dtype):
    model, ids = tiny_model(VQDNAForMaskedLM), ragged_nucleotides()
    codec = model.codec
    with torch.no_grad():
        for frozen in (True, False):
            model.vqdna.set_codec_frozen(frozen)
            assert torch.equal(model(nucleotide_ids=ids.to(dtype)).logits, model(nucleotide_ids=ids).logits)
        assert torch.equal(codec.encode(ids.to(dtype)), codec.encode(ids))
        assert torch.equal(codec(ids.to(dtype)).loss, codec(ids).loss)


def test_what_the_mask_hides_may_be_anything():
    model, ids = tiny_model(VQDNAModel), ragged_nucleotides()
    mask = (ids != PAD).long()
    with torch.no_grad():
        expected = model(nucleotide_ids=ids, attention_mask=mask).last_hidden_state
        found = model(nucleotide_ids=ids.masked_fill(ids == PAD, -100), attention_mask=mask).last_hidden_state
    assert torch.equal(found, expected)
    assert torch.equal(model.codec.encode(ids.masked_fill(ids == PAD, -100), mask), model.codec.encode(ids, mask))


def test_input_ids_are_whole_numbers():
    model = tiny_model(VQDNAModel)
    with pytest.raises(ValueError, match="^input_ids are torch.float32, but ids are whole numbers"):
        model(input_ids=torch.tensor([[2.0, 7.0, 3.0]]))
    for value in (-1, model.config.vocab_size):
        with pytest.raises(ValueError, match=f"^input_ids hold {value}, outside the vocabulary of 133 ids"):
            model(input_ids=torch.tensor([[2, value, 3]]))


def test_another_device_is_waited_for_once_only(monkeypatch):
    """It costs a stop of the device's queue: each kind of input is looked at in one batch of a model."""
    module, values = torch.nn.Module(), torch.ones(2, 3, dtype=torch.long)

    class Elsewhere:
        device, numel = torch.device("cuda"), values.numel

    assert [checks_vqdna.may_look(module, "labels", Elsewhere()) for _ in range(3)] == [True, False, False]
    assert checks_vqdna.may_look(module, "input_ids", Elsewhere())
    assert all(checks_vqdna.may_look(module, "labels", values) for _ in range(3))
    assert not checks_vqdna.may_look(module, "labels", values.to("meta"))
    assert not checks_vqdna.may_look(module, "labels", values[:0])
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not checks_vqdna.may_look(module, "labels", values)


# labels of bases


@pytest.fixture(scope="module")
def tagger() -> VQDNAForTokenClassification:
    return tiny_model(VQDNAForTokenClassification, num_labels=3)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("given", ["input_ids", "nucleotide_ids"])
def test_labels_at_special_tokens_are_refused(tagger, given, side):
    nucleotides = ragged_nucleotides(side=side)
    inputs = {given: nucleotides if given == "nucleotide_ids" else tagger.vqdna.encode_nucleotides(nucleotides)}
    right = torch.where(nucleotides < CLS, nucleotides % 3, -100)
    assert torch.isfinite(tagger(**inputs, labels=right).loss)
    for token, name in ((6, r"\[CLS\]"), (7, r"\[SEP\]"), (8, r"\[PAD\]")):
        wrong, (row, place) = right.clone(), (nucleotides == token).nonzero()[-1].tolist()
        wrong[row, place] = 2
        message = rf"^labels hold 2 at position {place} \(0-based\) of row {row}, which is {name}.*align_labels"
        with pytest.raises(ValueError, match=message):
            tagger(**inputs, labels=wrong)


def test_labels_of_the_bases_alone_are_refused_and_not_shifted(tagger):
    """What a collator for labels makes of one label a base: it pads them behind."""
    nucleotides = ragged_nucleotides([9, 12])
    bases = torch.full_like(nucleotides, -100)
    bases[0, :9], bases[1, :12] = 1, 1
    with pytest.raises(ValueError, match=r"labels hold 1 at position 0 \(0-based\) of row 0, which is \[CLS\]"):
        tagger(nucleotide_ids=nucleotides, labels=bases)
    with pytest.raises(ValueError, match=r"labels have the shape \(2, 12\), but the inputs \(2, 14\)"):
        tagger(nucleotide_ids=nucleotides, labels=bases[:, :12])
    # without special tokens every position is a base
    assert torch.isfinite(tagger(nucleotide_ids=torch.randint(4, (2, 9)), labels=bases[:, :9].clamp(min=0)).loss)


def test_labels_where_the_mask_is_0_are_refused(tagger):
    ids = tagger.vqdna.encode_nucleotides(torch.randint(4, (1, 6)))
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    with pytest.raises(ValueError, match="which is outside the attention_mask"):
        tagger(input_ids=ids, attention_mask=mask, labels=torch.ones(1, 6, dtype=torch.long))


def test_vectors_tell_nothing_of_special_tokens(tagger):
    labels = torch.ones(1, 6, dtype=torch.long)
    assert torch.isfinite(tagger(inputs_embeds=torch.randn(1, 6, 32), labels=labels).loss)
