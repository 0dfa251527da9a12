"""The parts of the heads against plain NumPy: packed codes, the other strand, pooling and every loss."""

import numpy as np
import pytest
import torch
from test_modeling_common import CLS, PAD, SEP, ragged_nucleotides, tiny_model

from vqdna_hf import VQDNACodecConfig, VQDNAForMaskedLM, VQDNAForSequenceClassification, VQDNAForTokenClassification
from vqdna_hf.modeling import modeling_vqdna
from vqdna_hf.modeling.configuration_vqdna import POOLINGS
from vqdna_hf.modeling.modeling_vqdna import VQDNAPooling, masked_cross_entropy, pack_codes, unpack_codes
from vqdna_hf.modeling.nucleotides_vqdna import base_mask, nucleotides_to_special_ids, reverse_complement_batch
from vqdna_hf.modeling.tokenization_vqdna import CodeVocabulary


RAGGED = ragged_nucleotides([1, 5, 13, 20])


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log softmax at the labels; logits `(n, classes)`, labels `(n,)`."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_probability[np.arange(len(labels)), labels].mean())


# codes and ids


@pytest.mark.parametrize("sizes", [[512], [8, 16], [768, 1536], [3, 5, 7]])
def test_codes_pack_and_unpack(sizes):
    codes = torch.stack([torch.randint(size, (4, 50)) for size in sizes], dim=-1)
    codes[0, 0], codes[0, 1] = 0, torch.tensor(sizes) - 1
    ids = pack_codes(codes, sizes)
    assert torch.equal(unpack_codes(ids, sizes), codes)
    assert (int(ids[0, 0]), int(ids[0, 1])) == (5, 4 + int(np.prod(sizes)))
    vocabulary = CodeVocabulary(sizes)  # the tokenizer's arithmetic is the model's
    assert np.array_equal(vocabulary.ids(codes.numpy()), ids.numpy())
    assert np.array_equal(vocabulary.codes(ids.numpy()), codes.numpy())


def test_all_ids_are_different():
    sizes = VQDNACodecConfig.from_preset("tiny").codebook_sizes
    grid = torch.cartesian_prod(torch.arange(sizes[0]), torch.arange(sizes[1]))
    assert pack_codes(grid, sizes).tolist() == list(range(5, 133))
    assert unpack_codes(torch.arange(5), sizes).tolist() == [[0, 0]] * 5


def test_special_ids_of_nucleotides():
    assert nucleotides_to_special_ids(torch.arange(9)[None]).tolist() == [[-1, -1, -1, -1, 1, 4, 2, 3, 0]]


# the other strand


@pytest.mark.parametrize("side", ["left", "right"])
def test_reverse_complement_of_every_row(side):
    batch = ragged_nucleotides([0, 1, 6, 15], side)
    other = reverse_complement_batch(batch).numpy()
    for row, result in zip(batch.numpy(), other):
        expected = row.copy()
        bases = row[row < CLS][::-1]
        expected[row < CLS] = np.where(bases < 4, 3 - bases, bases)
        assert np.array_equal(result, expected)
    assert torch.equal(reverse_complement_batch(reverse_complement_batch(batch)), batch)
    bare = torch.randint(6, (3, 10))  # no special tokens at all
    assert torch.equal(reverse_complement_batch(bare), torch.where(bare < 4, 3 - bare, bare).flip(1))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_strand_average(pooling):
    plain = tiny_model(VQDNAForSequenceClassification, pooling=pooling)
    model = tiny_model(VQDNAForSequenceClassification, pooling=pooling, strand_average=True)
    batch = ragged_nucleotides()
    other = reverse_complement_batch(batch)
    with torch.no_grad():
        first, second = plain(nucleotide_ids=batch).logits, plain(nucleotide_ids=other).logits
        averaged, turned = model(nucleotide_ids=batch).logits, model(nucleotide_ids=other).logits
        assert (first - second).abs().max() > 1e-5
        assert torch.allclose(averaged, (first + second) / 2, atol=1e-6)
        assert torch.allclose(averaged, turned, atol=1e-6)
        ids = model.vqdna.encode_nucleotides(batch)
        assert torch.allclose(model(input_ids=ids).logits, first, atol=1e-6)  # one strand: ids do not tell the other
        assert torch.allclose(model.train()(nucleotide_ids=batch).logits, first, atol=1e-6)


# pooling


def pooled_by_hand(kind: str, bins: int, states: np.ndarray) -> np.ndarray:
    """Pooling of the bases of one sequence, `(bases, h)`."""
    parts = {"mean": [states.mean(axis=0)], "max": [states.max(axis=0)]}
    parts["mean+max"] = parts["mean"] + parts["max"]
    if kind != "bins":
        return np.concatenate(parts[kind])
    place = np.arange(len(states)) * bins // len(states)
    empty = np.zeros(states.shape[1])
    return np.concatenate([states[place == n].max(axis=0) if (place == n).any() else empty for n in range(bins)])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", POOLINGS)
def test_pooling(kind, side):
    batch = ragged_nucleotides([1, 5, 13, 20], side)
    states = torch.randn(*batch.shape, 6) - 3  # mostly negative: a maximum with padding's zeros would show
    mask = base_mask(None, batch, None)
    pooling = VQDNAPooling(kind, 8)
    pooled = pooling(states, mask).numpy()
    assert pooled.shape[1] == pooling.output_size(6)
    for row, result in enumerate(pooled):
        if kind == "cls":
            expected = states[row, batch[row] == CLS][0].numpy()
        else:
            expected = pooled_by_hand(kind, 8, states[row, batch[row] < CLS].numpy())
        np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in POOLINGS if kind != "cls"])
def test_pooling_ignores_what_is_no_base(kind):
    mask = base_mask(None, RAGGED, None)
    assert torch.equal(mask, RAGGED < CLS)
    states, pooling = torch.randn(*RAGGED.shape, 6), VQDNAPooling(kind, 3)
    expected = pooling(states, mask)
    for token, value in ((CLS, 1e4), (SEP, -1e4), (PAD, float("inf"))):
        changed = states.masked_fill((RAGGED == token).unsqueeze(-1), value)
        if kind.startswith("mean") and value == float("inf"):
            changed = changed.clamp(max=1e6)  # 0 * inf is nan
        assert torch.allclose(pooling(changed, mask), expected, atol=1e-6)
    nothing = pooling(states, torch.zeros_like(mask))
    assert (nothing == 0).all()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", [kind for kind in POOLINGS if kind != "cls"])
def test_pooling_in_pieces(kind, side, monkeypatch):
    """The same vectors and gradients as of the whole, also where many positions share the maximum."""
    mask = base_mask(None, ragged_nucleotides([0, 7, 40, 61], side), None)
    states = torch.randn(*mask.shape, 6).round(decimals=1) - 3
    weights, results = torch.randn(4, VQDNAPooling(kind, 8).output_size(6)), []
    for piece in (1000, 5, 17, 62):
        monkeypatch.setattr(modeling_vqdna, "POOLING_PIECE", piece)
        inputs = states.clone().requires_grad_()
        pooled = VQDNAPooling(kind, 8)(inputs, mask)
        (pooled * weights).sum().backward()
        results.append((pooled.detach(), inputs.grad))
    for pooled, gradient in results[1:]:
        assert torch.allclose(pooled, results[0][0], atol=1e-6)
        # equal maxima share the gradient, first between the pieces and then within: its sum is the same
        assert torch.allclose(gradient.sum(dim=1), results[0][1].sum(dim=1), atol=1e-5)
        if kind == "mean":
            assert torch.allclose(gradient, results[0][1], atol=1e-6)
    distinct = torch.randn(*mask.shape, 6, requires_grad=True)
    gradients = []
    for piece in (1000, 5):
        monkeypatch.setattr(modeling_vqdna, "POOLING_PIECE", piece)
        gradients.append(torch.autograd.grad((VQDNAPooling(kind, 8)(distinct, mask) * weights).sum(), distinct)[0])
    assert torch.allclose(*gradients, atol=1e-6)


def test_base_mask_from_every_input():
    model = tiny_model(VQDNAForSequenceClassification)
    ids = model.vqdna.encode_nucleotides(RAGGED)
    assert torch.equal(base_mask(ids, None, None), RAGGED < CLS)
    attention = torch.ones_like(ids)
    attention[:, 1] = 0
    expected = (RAGGED < CLS) & attention.bool()
    assert torch.equal(base_mask(ids, None, attention), expected)
    assert torch.equal(base_mask(None, RAGGED, attention), expected)
    assert torch.equal(base_mask(None, None, attention), attention.bool())
    assert base_mask(None, None, None) is None


# losses of the task heads


def test_single_label_loss():
    model = tiny_model(VQDNAForSequenceClassification, num_labels=3)
    labels = torch.tensor([2, 0, 1, 2])
    with torch.no_grad():
        outputs = model(nucleotide_ids=RAGGED, labels=labels)
    assert outputs.loss.item() == pytest.approx(cross_entropy(outputs.logits.numpy(), labels.numpy()), abs=1e-6)


def test_multi_label_loss():
    model = tiny_model(VQDNAForSequenceClassification, num_labels=3, problem_type="multi_label_classification")
    labels = torch.randint(2, (4, 3)).float()
    with torch.no_grad():
        outputs = model(nucleotide_ids=RAGGED, labels=labels)
    logits, y = outputs.logits.double().numpy(), labels.numpy()
    expected = np.mean(np.log1p(np.exp(logits)) - y * logits)
    assert outputs.loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("num_labels", [1, 2])
def test_regression_loss(num_labels):
    model = tiny_model(VQDNAForSequenceClassification, num_labels=num_labels, problem_type="regression")
    labels = torch.randn(4, num_labels).squeeze(-1)
    with torch.no_grad():
        outputs = model(nucleotide_ids=RAGGED, labels=labels)
    expected = np.mean((outputs.logits.numpy().reshape(4, -1) - labels.numpy().reshape(4, -1)) ** 2)
    assert outputs.loss.item() == pytest.approx(expected, abs=1e-6)


def test_strand_average_loss_is_of_the_averaged_logits():
    model = tiny_model(VQDNAForSequenceClassification, strand_average=True)
    labels = torch.tensor([1, 0, 1, 1])
    with torch.no_grad():
        outputs = model(nucleotide_ids=RAGGED, labels=labels)
    assert outputs.loss.item() == pytest.approx(cross_entropy(outputs.logits.numpy(), labels.numpy()), abs=1e-6)


def test_token_loss():
    model = tiny_model(VQDNAForTokenClassification, num_labels=4)
    labels = torch.randint(4, RAGGED.shape).masked_fill(RAGGED >= CLS, -100)
    with torch.no_grad():
        outputs = model(nucleotide_ids=RAGGED, labels=labels)
    chosen = (labels >= 0).numpy()
    expected = cross_entropy(outputs.logits.numpy()[chosen], labels.numpy()[chosen])
    assert outputs.loss.item() == pytest.approx(expected, abs=1e-6)


# the masked language model


@pytest.fixture(scope="module")
def masked_lm() -> VQDNAForMaskedLM:
    return tiny_model(VQDNAForMaskedLM, base_loss_weight=0.3)


@pytest.fixture
def labels(masked_lm) -> torch.Tensor:
    """The code ids of a third of the bases; -100 and special ids elsewhere."""
    ids = masked_lm.vqdna.encode_nucleotides(RAGGED)
    return ids.masked_fill((torch.rand(ids.shape) > 1 / 3) & (RAGGED < CLS), -100)


def test_masked_lm_loss(masked_lm, labels):
    base_targets = torch.where((labels >= 5) & (RAGGED < 4), RAGGED, -100)
    with torch.no_grad():
        outputs = masked_lm(nucleotide_ids=RAGGED, labels=labels, base_targets=base_targets)
    assert outputs.logits.shape == (*RAGGED.shape, 8 + 16) and outputs.base_logits.shape == (*RAGGED.shape, 4)
    chosen = (labels >= 5).numpy()
    codes, logits = (labels.numpy()[chosen] - 5), outputs.logits.numpy()[chosen]
    levels = [cross_entropy(logits[:, :8], codes // 16), cross_entropy(logits[:, 8:], codes % 16)]
    bases = (base_targets >= 0).numpy()
    base = cross_entropy(outputs.base_logits.numpy()[bases], base_targets.numpy()[bases])
    assert outputs.level_losses.tolist() == pytest.approx(levels, abs=1e-5)
    assert outputs.base_loss.item() == pytest.approx(base, abs=1e-5)
    assert outputs.loss.item() == pytest.approx(np.mean(levels) + 0.3 * base, abs=1e-5)


def test_either_loss_alone(masked_lm, labels):
    base_targets = torch.where(RAGGED < 4, RAGGED, -100)
    with torch.no_grad():
        codes = masked_lm(nucleotide_ids=RAGGED, labels=labels)
        bases = masked_lm(nucleotide_ids=RAGGED, base_targets=base_targets)
        neither = masked_lm(nucleotide_ids=RAGGED)
    assert codes.base_loss is None and torch.equal(codes.loss, codes.level_losses.mean())
    assert bases.level_losses is None and torch.equal(bases.loss, 0.3 * bases.base_loss)
    assert neither.loss is None


def test_special_labels_are_ignored(masked_lm, labels):
    with torch.no_grad():
        expected = masked_lm(nucleotide_ids=RAGGED, labels=labels).loss
        for ignored in (-100, 0, 1, 4):
            again = masked_lm(nucleotide_ids=RAGGED, labels=labels.masked_fill(labels < 5, ignored)).loss
            assert torch.equal(again, expected)


def test_no_label_gives_no_loss():
    model = tiny_model(VQDNAForMaskedLM).train()
    nothing = torch.full_like(RAGGED, -100)
    outputs = model(nucleotide_ids=RAGGED, labels=nothing, base_targets=nothing)
    assert outputs.loss.item() == 0 and outputs.level_losses.tolist() == [0, 0]
    outputs.loss.backward()
    assert all((p.grad == 0).all() for p in model.parameters() if p.grad is not None)
    assert masked_cross_entropy(torch.randn(2, 3, 4), torch.full((2, 3), -1)) == 0
