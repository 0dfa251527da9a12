"""Block-local attention against the stock implementations, what it holds in memory, and long sequences as a whole."""

import pytest
import torch
from test_modeling_common import PAD, ragged_nucleotides, tiny_config, tiny_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModel, AutoModelForSequenceClassification, ModernBertConfig, ModernBertModel

from vqdna_hf import VQDNAConfig, VQDNAForSequenceClassification, VQDNAModel
from vqdna_hf.modeling import attention_vqdna, modeling_vqdna, modeling_vqdna_codec
from vqdna_hf.modeling.attention_vqdna import BLOCK_LOCAL, block_local_attention, block_local_mask


LOCAL, GLOBAL = "sliding_attention", "full_attention"
TOLERANCE = 1e-5


def encoder(window: int, layers: list[str], dropout: float = 0.0) -> ModernBertModel:
    """A stock encoder whose weights are large enough for attention to be far from a mean."""
    torch.manual_seed(0)
    config = ModernBertConfig(
        **{"vocab_size": 5, "hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2},
        **{"num_hidden_layers": len(layers), "layer_types": layers, "local_attention": window},
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")),
        initializer_range=0.3,
        attention_dropout=dropout,
    )
    return ModernBertModel(config).eval()


def padding_mask(lengths: list[int], side: str) -> torch.Tensor:
    rows = [[1] * n + [0] * (max(lengths) - n) for n in lengths]
    return torch.tensor([row if side == "right" else row[::-1] for row in rows])


def states_and_gradient(model, implementation: str, inputs: torch.Tensor, mask: torch.Tensor | None):
    model.set_attn_implementation(implementation)
    inputs = inputs.clone().requires_grad_()
    states = model(inputs_embeds=inputs, attention_mask=mask).last_hidden_state
    assert torch.isfinite(states).all()  # at padding as well
    if mask is not None:
        states = states * mask.unsqueeze(-1)
    (states * torch.linspace(-1, 1, states.shape[-1])).square().sum().backward()
    return states.detach(), inputs.grad


class LargestTensor(TorchDispatchMode):
    """The largest number of elements that any tensor made meanwhile has."""

    largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        results = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(results):
            if isinstance(leaf, torch.Tensor):
                self.largest = max(self.largest, leaf.numel())
        return results


# equal to the stock implementations


@pytest.mark.parametrize("layers", [[LOCAL, LOCAL], [GLOBAL, LOCAL]])
@pytest.mark.parametrize("window", [0, 1, 2, 7, 16, 33, 128])  # the total, of which transformers takes the half
def test_equal_to_stock(window, layers):
    model = encoder(window, layers)
    for length in (1, 31, 33, 100):
        masks = [None, *(padding_mask([1, length // 2 + 1, length], side) for side in ("left", "right"))]
        inputs = torch.randn(3, length, 32)
        for mask in masks:
            states, gradient = states_and_gradient(model, BLOCK_LOCAL, inputs, mask)
            for stock in ("eager", "sdpa"):
                expected, slope = states_and_gradient(model, stock, inputs, mask)
                assert (states - expected).abs().max() < TOLERANCE
                assert (gradient - slope).abs().max() < TOLERANCE * max(1, slope.abs().max())


@pytest.mark.parametrize("side", [None, "left", "right"])
def test_slabs_change_nothing(side, monkeypatch):
    model, inputs = encoder(8, [LOCAL, LOCAL]), torch.randn(2, 501, 32)
    mask = padding_mask([301, 501], side) if side else None
    expected, slope = states_and_gradient(model, "sdpa", inputs, mask)
    for slab in (1, 64, 200):
        monkeypatch.setattr(attention_vqdna, "SLAB", slab)
        states, gradient = states_and_gradient(model, BLOCK_LOCAL, inputs, mask)
        assert (states - expected).abs().max() < TOLERANCE
        assert (gradient - slope).abs().max() < TOLERANCE * slope.abs().max()


@pytest.mark.parametrize("window", [4, None])
def test_rows_of_padding_are_finite(window):
    class Layer(torch.nn.Module):
        is_causal = False

    states = torch.randn(2, 2, 70, 8, requires_grad=True)
    mask = torch.stack([torch.zeros(70), torch.ones(70)]).bool()
    output, weights = block_local_attention(Layer(), states, states, states, mask, sliding_window=window)
    output.sum().backward()
    assert output.shape == (2, 70, 2, 8) and weights is None
    assert torch.isfinite(output).all() and torch.isfinite(states.grad).all()


@pytest.mark.parametrize("window", [9, None])
def test_fewer_heads_of_keys(window):
    """As in encoders with grouped queries: each head of the keys serves the heads that stand next to each other."""
    query, key, value = (torch.randn(2, heads, 100, 8) for heads in (6, 2, 2))
    module = torch.nn.Module()
    found = block_local_attention(module, query, key, value, None, sliding_window=window)[0]
    for head in range(6):
        alone = (query[:, head, None], key[:, head // 3, None], value[:, head // 3, None])
        expected = block_local_attention(module, *alone, None, sliding_window=window)[0]
        torch.testing.assert_close(found[:, :, head], expected[:, :, 0], rtol=1e-5, atol=1e-6)


def test_bfloat16():
    model, inputs = encoder(16, [GLOBAL, LOCAL, LOCAL]).bfloat16(), torch.randn(2, 200, 32).bfloat16()
    expected, _ = states_and_gradient(model, "sdpa", inputs, None)
    states, gradient = states_and_gradient(model, BLOCK_LOCAL, inputs, None)
    assert states.dtype == gradient.dtype == torch.bfloat16
    assert (states - expected).abs().mean() < 0.02 * expected.abs().mean()


def test_dropout_of_attention_weights():
    """Every draw of a layer is another, and their mean is the output without dropout."""

    class Layer(torch.nn.Module):
        is_causal = False

    query, key, value = (torch.randn(1, 2, 100, 8) for _ in range(3))
    plain = block_local_attention(Layer(), query, key, value, None, sliding_window=9)[0]
    draws = [block_local_attention(Layer(), query, key, value, None, 0.3, sliding_window=9)[0] for _ in range(400)]
    assert not torch.equal(draws[0], draws[1])
    assert (torch.stack(draws).mean(dim=0) - plain).abs().mean() < 0.05 * plain.abs().mean()


def test_gradient_checkpointing_changes_nothing():
    model = tiny_model(VQDNAForSequenceClassification, gradient_checkpointing=False).train()
    model.set_attn_implementation(BLOCK_LOCAL)
    batch, labels = ragged_nucleotides([100, 200, 257]), torch.tensor([0, 1, 1])

    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        model(nucleotide_ids=batch, labels=labels).loss.backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    expected = gradients()
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable()
    assert model.vqdna.encoder.layers[0].gradient_checkpointing
    for first, second in zip(gradients(), expected, strict=True):
        assert torch.allclose(first, second, atol=1e-6)


@pytest.mark.slow
def test_compiled():
    model, inputs = encoder(8, [GLOBAL, LOCAL]), torch.randn(2, 100, 32)
    model.set_attn_implementation(BLOCK_LOCAL)
    compiled = torch.compile(model, fullgraph=True)
    for mask in (None, padding_mask([60, 100], "left")):
        with torch.no_grad():
            expected = model(inputs_embeds=inputs, attention_mask=mask).last_hidden_state
            found = compiled(inputs_embeds=inputs, attention_mask=mask).last_hidden_state
        real = slice(None) if mask is None else mask.bool()
        assert (found - expected)[real].abs().max() < TOLERANCE


# memory


@pytest.mark.parametrize("padded", [False, True])
def test_memory_grows_with_the_length(padded):
    """Nothing of length x length is made, in the forward pass or backward; the stock implementation does."""
    model, largest = encoder(16, [LOCAL, LOCAL]), {}
    for implementation in (BLOCK_LOCAL, "sdpa"):
        for length in (1000, 2000):
            mask = padding_mask([length - 10, length], "left") if padded else None
            with LargestTensor() as record:
                states_and_gradient(model, implementation, torch.randn(2, length, 32), mask)
            largest[implementation, length] = record.largest
    assert largest["sdpa", 2000] >= 2000**2
    assert largest[BLOCK_LOCAL, 2000] <= 2.1 * largest[BLOCK_LOCAL, 1000] < 1000**2


def test_global_layers_make_no_square_mask():
    model = encoder(16, [GLOBAL])
    model.set_attn_implementation(BLOCK_LOCAL)
    for mask in (None, padding_mask([1000, 3000], "right")):
        with LargestTensor() as record, torch.no_grad():
            model(inputs_embeds=torch.randn(2, 3000, 32), attention_mask=mask)
        assert record.largest < 3000**2


# what it does not know


def test_other_masks_are_refused():
    query = torch.zeros(1, 2, 5, 8)
    module = torch.nn.Module()
    with pytest.raises(ValueError, match=r"\(1, 1, 5, 5\)"):
        block_local_attention(module, query, query, query, torch.ones(1, 1, 5, 5))
    with pytest.raises(ValueError, match="softcap"):
        block_local_attention(module, query, query, query, None, softcap=1.0)
    module.is_causal = True
    with pytest.raises(ValueError, match="causal"):
        block_local_attention(module, query, query, query, None)
    with pytest.raises(ValueError, match="7 and 5"):
        block_local_mask(1, 5, 7)


# whole models


@pytest.mark.parametrize("side", ["left", "right"])
def test_whole_classifier(side, tmp_path):
    """Global layers included; chosen at loading, through Auto classes, and afterwards."""
    stock = tiny_model(VQDNAForSequenceClassification, num_labels=3)
    stock.save_pretrained(tmp_path)
    batch = ragged_nucleotides([5, 100, 203], side)
    with torch.no_grad():
        expected = stock(nucleotide_ids=batch).logits
    models = [
        VQDNAForSequenceClassification.from_pretrained(tmp_path, attn_implementation=BLOCK_LOCAL),
        AutoModelForSequenceClassification.from_pretrained(tmp_path, attn_implementation=BLOCK_LOCAL),
    ]
    models[0].save_pretrained(tmp_path / "again")  # how attention is computed is no part of what is saved
    models.append(AutoModelForSequenceClassification.from_pretrained(tmp_path / "again"))
    assert models[-1].vqdna.encoder.config._attn_implementation != BLOCK_LOCAL
    models[-1].set_attn_implementation(BLOCK_LOCAL)
    for model in models:
        assert model.vqdna.encoder.config._attn_implementation == BLOCK_LOCAL
        with torch.no_grad():
            assert (model.eval()(nucleotide_ids=batch).logits - expected).abs().max() < TOLERANCE


def test_bert_as_well():
    model, batch = tiny_model(VQDNAModel, "bert"), ragged_nucleotides([5, 20, 60])
    with torch.no_grad():
        expected = model(nucleotide_ids=batch).last_hidden_state
        model.set_attn_implementation(BLOCK_LOCAL)
        found = model(nucleotide_ids=batch).last_hidden_state
    assert (found - expected)[batch != PAD].abs().max() < TOLERANCE


@pytest.mark.parametrize("name", ["paper", "small"])
def test_local_presets(name):
    """The same size, codec and window as the preset they are named after; no layer sees everything."""
    local, base = VQDNAConfig.from_preset(f"{name}-local"), VQDNAConfig.from_preset(name)
    assert local.codec_config.to_dict() == base.codec_config.to_dict()
    first, second = local.encoder_config.to_dict(), base.encoder_config.to_dict()
    assert {key for key in first if first[key] != second[key]} == {"layer_types"}
    assert local.encoder_config.layer_types == [LOCAL] * base.num_hidden_layers
    local.encoder_config.layer_types.append(GLOBAL)  # presets are not shared
    assert GLOBAL not in VQDNAConfig.from_preset(f"{name}-local").encoder_config.layer_types


def test_reach_of_local_layers():
    """A base that is changed is seen by positions up to the codec's halo and every layer's window away, no further."""
    config = tiny_config()
    config.encoder_config.layer_types = [LOCAL, LOCAL]
    torch.manual_seed(0)
    model = AutoModel.from_config(config, attn_implementation=BLOCK_LOCAL).eval()
    reach = config.codec_config.halo + 2 * config.encoder_config.sliding_window
    first = torch.randint(4, (1, 200))
    second = first.clone()
    second[0, 100] = 3 - second[0, 100]
    with torch.no_grad():
        changed = (model(nucleotide_ids=first)[0] != model(nucleotide_ids=second)[0]).any(dim=-1)[0].nonzero()
    assert 0 < (changed - 100).abs().max() <= reach


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_codec_in_pieces(side, monkeypatch):
    """By its own modules, as with a hook on one, or on a GPU; and in the tiles that run on a CPU."""
    model, batch = tiny_model(VQDNAModel), ragged_nucleotides([40, 300, 301], side)
    in_tiles = model.encode_nucleotides(batch)
    model.codec.encoder.stem_norm.register_forward_hook(lambda *_: None)
    with LargestTensor() as at_once:
        whole = model.encode_nucleotides(batch)
    assert torch.equal(in_tiles, whole)
    for piece in (1, 37, 100, 303):
        monkeypatch.setattr(modeling_vqdna_codec, "PIECE", 3 * piece)
        monkeypatch.setattr(modeling_vqdna_codec, "MIN_PIECE", piece)
        with LargestTensor() as record:
            assert torch.equal(model.encode_nucleotides(batch), whole)
        assert piece > 37 or record.largest < at_once.largest / 2


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_local_encoder_in_pieces(side, monkeypatch):
    """Without gradients; from any input, to the states of the whole. Its memory is that of a piece."""
    config = tiny_config(encoder_config=encoder(8, [LOCAL, LOCAL, LOCAL]).config.to_dict())
    torch.manual_seed(0)
    model = VQDNAModel(config).eval()
    model.set_attn_implementation(BLOCK_LOCAL)
    batch = ragged_nucleotides([40, 300, 301], side)
    mask, real, ids = (batch != PAD).long(), batch != PAD, model.encode_nucleotides(batch)
    inputs = [{"nucleotide_ids": batch}, {"input_ids": ids}, {"nucleotide_ids": batch, "attention_mask": mask}]
    inputs.append({"inputs_embeds": model.embed(ids, None)[0].detach(), "attention_mask": mask})
    for given in inputs:
        whole = model(**given).last_hidden_state.detach()
        for piece in (50, 101, 302):
            monkeypatch.setattr(modeling_vqdna, "ENCODER_PIECE", piece)
            with torch.no_grad(), LargestTensor() as record:
                pieces = model(**given).last_hidden_state
            assert (pieces - whole)[real].abs().max() < TOLERANCE
            assert piece > 50 or "nucleotide_ids" in given or record.largest <= whole.numel()
            with torch.no_grad():  # all of them are asked for: not in pieces
                assert len(model(**given, output_hidden_states=True).hidden_states) == 4
