"""The heads on labelled positions alone: the same losses and gradients as on all, and what the logits are then."""

import pytest
import torch

from vqdna_hf import VQDNAConfig, VQDNAForMaskedLM
from vqdna_hf.modeling.modeling_vqdna import masked_cross_entropy, row_cross_entropy


BASES = torch.tensor([[6, 0, 1, 2, 3, 4, 0, 1, 3, 7], [6, 2, 2, 0, 1, 3, 7, 8, 8, 8]])


@pytest.fixture
def model() -> VQDNAForMaskedLM:
    return VQDNAForMaskedLM(VQDNAConfig.from_preset("tiny", base_loss_weight=0.3))


def some_labels(model, kind: str) -> dict[str, torch.Tensor]:
    """Code ids and bases to predict; -100 elsewhere."""
    ids = model.vqdna.encode_nucleotides(BASES)
    places = torch.rand(BASES.shape) < 0.5
    places[0, 1] = True
    if kind == "none":
        places[:] = False
    labels, base_targets = torch.where(places & (BASES < 6), ids, -100), torch.where(places & (BASES < 4), BASES, -100)
    if kind == "different":  # each has positions that the other lacks
        labels[0, 1], base_targets[0, 1] = -100, BASES[0, 1]
        labels[1, 1], base_targets[1, 1] = ids[1, 1], -100
    given = {"labels": labels, "base_targets": base_targets}
    return {name: value for name, value in given.items() if kind not in ("labels", "base_targets") or name == kind}


def losses_and_gradients(model, labels, **options):
    model.zero_grad()
    outputs = model(nucleotide_ids=BASES, **labels, **options)
    outputs.loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return outputs, {name: gradient.clone() for name, gradient in gradients.items()}


@pytest.mark.parametrize("kind", ["same", "different", "labels", "base_targets", "none"])
def test_losses_and_gradients_are_those_of_all_positions(model, kind):
    labels = some_labels(model, kind)
    dense, expected = losses_and_gradients(model, labels)
    sparse, gradients = losses_and_gradients(model, labels, masked_positions_only=True)
    for name in ("loss", "level_losses", "base_loss"):
        theirs, ours = getattr(dense, name), getattr(sparse, name)
        assert (theirs is None) == (ours is None)
        if theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    # data-parallel training waits for a gradient of every parameter, also of a batch without labels
    assert set(gradients) == set(expected)
    if kind in ("same", "different", "none"):
        assert set(gradients) == {name for name, p in model.named_parameters() if p.requires_grad}
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-5, atol=1e-6, msg=name)
    if kind == "none":
        assert sparse.loss.item() == 0 and not any(gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize("kind", ["same", "different", "none"])
@torch.no_grad()
def test_logits_are_those_of_the_labelled_positions_in_order(model, kind):
    labels = some_labels(model, kind)
    dense = model(nucleotide_ids=BASES, **labels)
    sparse = model(nucleotide_ids=BASES, **labels, masked_positions_only=True)
    chosen = (labels["labels"] >= 5) | (labels["base_targets"] >= 0)
    assert dense.logits.shape == (*BASES.shape, 8 + 16) and dense.base_logits.shape == (*BASES.shape, 4)
    assert sparse.logits.shape == (int(chosen.sum()), 8 + 16)
    torch.testing.assert_close(sparse.logits, dense.logits[chosen], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(sparse.base_logits, dense.base_logits[chosen], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("masked_positions_only", [False, True])
@pytest.mark.parametrize("name", ["labels", "base_targets"])
def test_labels_of_another_shape_are_refused(model, name, masked_positions_only):
    """They would be read row after row, and fall on other positions."""
    labels = some_labels(model, "same")
    for wrong in (labels[name][:, :-1], labels[name][:1], labels[name].flatten()):
        with pytest.raises(ValueError, match=rf"^{name} have the shape .* inputs \(2, 10\)"):
            model(nucleotide_ids=BASES, **(labels | {name: wrong}), masked_positions_only=masked_positions_only)


@torch.no_grad()
def test_without_labels_there_are_logits_everywhere(model):
    plain, asked = model(nucleotide_ids=BASES), model(nucleotide_ids=BASES, masked_positions_only=True)
    assert asked.loss is None and torch.equal(asked.logits, plain.logits)


def test_the_heads_see_the_labelled_positions_alone_in_whole_blocks(model):
    seen = []
    model.level_decoder.register_forward_hook(lambda module, inputs, output: seen.append(tuple(inputs[0].shape[:-1])))
    bases = torch.randint(4, (4, 200))
    labels = torch.full((4, 200), -100)
    for count in (0, 1, 128, 129, 200):
        labels.flatten()[:count] = 7
        outputs = model(nucleotide_ids=bases, labels=labels, masked_positions_only=True)
        assert outputs.logits.shape[0] == count
    assert seen == [(0,), (128,), (128,), (256,), (256,)]


def test_cross_entropies_agree():
    logits, labels = torch.randn(3, 5, 7), torch.randint(-3, 7, (3, 5))
    torch.testing.assert_close(row_cross_entropy(logits, labels), masked_cross_entropy(logits, labels))
    half = logits.bfloat16()
    assert row_cross_entropy(half, labels).dtype == torch.float32
    assert row_cross_entropy(logits, torch.full((3, 5), -100)) == 0
    assert row_cross_entropy(logits[:0, 0], labels[:0, 0]) == 0
