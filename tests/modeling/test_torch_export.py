"""`torch.export`: one graph for every batch and length, equal to the model it was made of."""

import pytest
import torch
from test_modeling_common import largest_difference, ragged_nucleotides, tensors_of, tiny_model

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNAForSequenceClassification, VQDNAModel
from vqdna_hf.modeling import modeling_vqdna_codec, quantization_vqdna


SHAPE = {0: torch.export.Dim("batch", max=64), 1: torch.export.Dim("length", max=4096)}
BATCHES = [[5, 9], [300], [40, 1, 13, 77]]


def exported(model):
    """The graph of a model, made of one example."""
    inputs, shapes = {"nucleotide_ids": ragged_nucleotides([24, 30, 11])}, {"nucleotide_ids": SHAPE}
    with torch.no_grad():
        return torch.export.export(model, (), inputs, dynamic_shapes=shapes, strict=False).module()


def codec(kind: str, **changes) -> VQDNACodecModel:
    sizes = {"vq": [16], "rq": [8, 8], "hrq": [8, 16]}[kind]
    torch.manual_seed(0)
    return VQDNACodecModel(
        VQDNACodecConfig.from_preset("tiny", quantizer=kind, codebook_sizes=sizes, **changes)
    ).eval()


@pytest.mark.parametrize(("kind", "radius"), [("vq", 0), ("rq", 0), ("hrq", 2)])
@torch.no_grad()
def test_the_codec(kind, radius, monkeypatch):
    model = codec(kind, word_radius=radius)
    # smaller than any of the batches: nothing of how a search is parted may be in the graph
    monkeypatch.setattr(quantization_vqdna, "_DISTANCE_ELEMENTS", 64)
    graph = exported(model)
    for lengths in BATCHES:
        ids = ragged_nucleotides(lengths, seed=len(lengths))
        found, expected = graph(nucleotide_ids=ids), model(ids)
        assert torch.equal(found.codes, expected.codes)
        assert all(torch.equal(a, b) for a, b in zip(found.counts, expected.counts, strict=True))
        for name in ("loss", "logits", "accuracy", "commitment_loss", "perplexity", "usage"):
            torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("frozen", [True, False])
@torch.no_grad()
def test_the_encoder_from_bases(frozen, monkeypatch):
    monkeypatch.setattr(quantization_vqdna, "_DISTANCE_ELEMENTS", 64)
    monkeypatch.setattr(modeling_vqdna_codec, "MIN_PIECE", 16)
    model = tiny_model(VQDNAModel, freeze_codec=frozen)
    graph = exported(model)
    for lengths in BATCHES:
        ids = ragged_nucleotides(lengths, seed=len(lengths))
        inside = ids != 8  # what attention gives at padding is of no meaning
        found, expected = graph(nucleotide_ids=ids)[0], model(nucleotide_ids=ids)[0]
        torch.testing.assert_close(found[inside], expected[inside], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_head_from_bases():
    model = tiny_model(VQDNAForSequenceClassification, pooling="mean+max")
    graph = exported(model)
    for lengths in BATCHES:
        ids = ragged_nucleotides(lengths, seed=len(lengths))
        assert largest_difference(tensors_of(graph(nucleotide_ids=ids)), tensors_of(model(nucleotide_ids=ids))) <= 1e-4


def test_a_loss_of_nothing_known_is_0_with_gradients_of_0():
    model = codec("hrq", word_radius=1).train()
    for ids in (torch.full((2, 9), 4), torch.full((2, 9), 8)):
        model.zero_grad()
        output = model(ids)
        output.loss.backward()
        assert float(output.reconstruction_loss) == 0 == float(output.word_loss) and torch.isnan(output.accuracy)
        assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.decoder.parameters())
