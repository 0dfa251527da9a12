"""Activation checkpointing of end-to-end training: it covers the codec's blocks, and moves no code."""

import pytest
import torch
from test_modeling_common import largest_difference, tiny_config
from transformers.modeling_layers import GradientCheckpointingLayer

from vqdna_hf import VQDNACodecConfig, VQDNAForMaskedLM, VQDNAForSequenceClassification


def end_to_end(model_class=VQDNAForSequenceClassification, **changes):
    torch.manual_seed(0)
    codec = VQDNACodecConfig.from_preset("tiny", num_hidden_layers=4, quantized_layers=[2, 4])
    return model_class(tiny_config(codec_config=codec, freeze_codec=False, **changes)).train()


def with_checkpointing(model):
    enable = "activation_checkpointing_enable"  # the name that replaces the older one
    getattr(model, enable, model.gradient_checkpointing_enable)()
    return model


def step(model, ids: torch.Tensor) -> int:
    """A forward and a backward pass; returns the bytes of activations that were held for the backward pass."""
    held, storages = 0, {parameter.data_ptr() for parameter in model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal held
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in storages:
            storages.add(storage.data_ptr())
            held += storage.nbytes()
        return tensor

    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(nucleotide_ids=ids).logits.float().square().mean()
    loss.backward()
    return held


@pytest.mark.parametrize("model_class", [VQDNAForSequenceClassification, VQDNAForMaskedLM])
def test_the_blocks_of_the_codec_hold_no_activations(model_class):
    ids = torch.randint(4, (2, 120))
    plain, saving = end_to_end(model_class), with_checkpointing(end_to_end(model_class))
    books = [book.embedding.clone() for book in saving.codec.quantizer.codebooks]
    usual, less = step(plain, ids), step(saving, ids)
    assert less < usual / 2
    gradients = [
        {name: p.grad for name, p in model.named_parameters() if p.grad is not None} for model in (plain, saving)
    ]
    assert gradients[0].keys() == gradients[1].keys() and largest_difference(*gradients) <= 1e-6
    assert any("codec.encoder.blocks" in name for name in gradients[1])
    for book, before in zip(saving.codec.quantizer.codebooks, books):
        assert torch.equal(book.embedding, before) and int(book.num_updates) == 0 and book._pending is None


def test_only_what_trains_is_in_training_mode():
    model = end_to_end()
    codec = model.codec
    blocks = [module for module in codec.encoder.modules() if isinstance(module, GradientCheckpointingLayer)]
    assert len(blocks) == 4 and all(block.training for block in blocks)
    quiet = (codec, codec.quantizer, codec.decoder, *codec.quantizer.codebooks)
    assert not any(module.training for module in quiet)
    model.eval()
    assert not any(module.training for module in model.modules())
    model.train().base_model.set_codec_frozen(True)
    assert not any(module.training for module in codec.modules()) and model.vqdna.encoder.training
    model.base_model.set_codec_frozen(False)
    assert all(block.training for block in blocks) and not codec.quantizer.training


def test_training_mode_changes_no_output():
    model, ids = end_to_end(), torch.randint(4, (2, 40))
    with torch.no_grad():
        training = model(nucleotide_ids=ids).logits
        assert torch.equal(model.eval()(nucleotide_ids=ids).logits, training)
