"""What every VQDNA model promises, as a mixin: a test class names its model and inherits the checks."""

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from vqdna_hf import VQDNACodecConfig, VQDNAConfig
from vqdna_hf.modeling.configuration_vqdna import encoder_config_from_preset
from vqdna_hf.modeling.modeling_vqdna import unpack_codes


TOLERANCE = 1e-6
LENGTHS = [3, 11, 24]
CLS, SEP, PAD = 6, 7, 8  # as nucleotide ids

TINY_BERT = {
    "model_type": "bert",
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}


TINY_CONV = {"model_type": "vqdna_conv_encoder", "conv_dilations": [1, 2], "conv_kernel_size": 3}


def tiny_config(encoder: str = "modernbert", **changes) -> VQDNAConfig:
    """A configuration of a few thousand parameters, without dropout."""
    codec = VQDNACodecConfig.from_preset("tiny")
    if encoder == "bert":
        values = TINY_BERT | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    else:
        values = encoder_config_from_preset("tiny").to_dict() | (TINY_CONV if encoder == "conv" else {})
    return VQDNAConfig(**{"codec_config": codec, "encoder_config": values, "classifier_dropout": 0.0, **changes})


def tiny_model(model_class: type, encoder: str = "modernbert", **changes) -> PreTrainedModel:
    torch.manual_seed(0)
    return model_class(tiny_config(encoder, **changes)).eval()


def ragged_nucleotides(lengths: list[int] = LENGTHS, side: str = "right", seed: int = 0) -> torch.Tensor:
    """[CLS], random bases with some unknown and masked ones, [SEP] and padding on one side; shape `(b, l)`."""
    rng, width, rows = np.random.default_rng(seed), max(lengths) + 2, []
    for length in lengths:
        row = [CLS, *rng.choice(6, length, p=[0.22, 0.22, 0.22, 0.22, 0.06, 0.06]), SEP]
        padding = [PAD] * (width - len(row))
        rows.append(row + padding if side == "right" else padding + row)
    return torch.tensor(np.array(rows), dtype=torch.long)


def largest_difference(first, second) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(tensors_of(first), tensors_of(second), strict=True))


def tensors_of(output) -> list[torch.Tensor]:
    values = output.values() if hasattr(output, "values") else output
    return [value for value in values if isinstance(value, torch.Tensor)]


def scalar_of(output) -> torch.Tensor:
    """A number that every output and every position has a part in."""
    return sum((value * torch.linspace(1, 2, value.shape[-1])).square().mean() for value in tensors_of(output))


@pytest.mark.parametrize("encoder", ["modernbert", "conv", "bert"])
class ModelContract:
    """Inherit, and set `model_class`; `per_position` says whether the first tensor has a row per base."""

    model_class: type
    per_position = True

    def outputs(self, model, nucleotide_ids: torch.Tensor, **kwargs):
        with torch.no_grad():
            return model(nucleotide_ids=nucleotide_ids, **kwargs)

    def test_saving_and_loading(self, encoder, tmp_path):
        model, inputs = tiny_model(self.model_class, encoder), ragged_nucleotides()
        model.save_pretrained(tmp_path)
        loaded, report = self.model_class.from_pretrained(tmp_path, output_loading_info=True)
        assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        assert largest_difference(self.outputs(model, inputs), self.outputs(loaded, inputs)) <= TOLERANCE
        for (name, old), (again, new) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
            assert (name, old.requires_grad) == (again, new.requires_grad)
            assert torch.equal(old, new), name
        for (name, old), (_, new) in zip(model.named_buffers(), loaded.named_buffers(), strict=True):
            assert torch.equal(old, new), name
        assert loaded.fingerprint() == loaded.config.vocabulary_fingerprint == model.fingerprint()
        assert not [path.name for path in tmp_path.iterdir() if path.suffix in (".py", ".bin", ".pt")]

    def test_the_same_call_gives_the_same_numbers(self, encoder):
        model, inputs = tiny_model(self.model_class, encoder), ragged_nucleotides()
        assert largest_difference(self.outputs(model, inputs), self.outputs(model, inputs)) == 0

    def test_code_ids_and_bases_agree(self, encoder):
        model, inputs = tiny_model(self.model_class, encoder), ragged_nucleotides()
        ids = model.base_model.encode_nucleotides(inputs)
        assert len(unpack_codes(ids, [8, 16]).flatten(0, 1).unique(dim=0)) > 8
        with torch.no_grad():
            from_ids = model(input_ids=ids)
        assert largest_difference(from_ids, self.outputs(model, inputs)) <= TOLERANCE

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_padding_and_the_batch_change_nothing(self, encoder, side):
        if (encoder, side) == ("bert", "left"):
            pytest.skip("BERT's learned positions count from the first column, padding or not")
        model, inputs = tiny_model(self.model_class, encoder), ragged_nucleotides(side=side)
        batch = tensors_of(self.outputs(model, inputs))
        masked = tensors_of(self.outputs(model, inputs, attention_mask=(inputs != PAD).long()))
        assert largest_difference(batch, masked) == 0
        for row, nucleotides in enumerate(inputs):
            inside = nucleotides != PAD
            alone = tensors_of(self.outputs(model, nucleotides[inside][None]))
            for one, many in zip(alone, batch):
                kept = many[row][inside] if self.per_position else many[row]
                assert (one[0] - kept).abs().max() <= 1e-5

    def test_a_tuple_holds_what_the_dictionary_holds(self, encoder):
        model, inputs = tiny_model(self.model_class, encoder), ragged_nucleotides()
        named, plain = self.outputs(model, inputs), self.outputs(model, inputs, return_dict=False)
        assert isinstance(plain, tuple) and len(plain) == len(named.to_tuple())
        assert largest_difference(named, plain) == 0

    def test_hidden_states_and_attentions(self, encoder):
        torch.manual_seed(0)
        model = self.model_class._from_config(tiny_config(encoder), attn_implementation="eager").eval()
        inputs = ragged_nucleotides([24] * 3)  # what attention gives at padding differs between its implementations
        outputs = self.outputs(model, inputs, output_hidden_states=True, output_attentions=True)
        assert [tuple(states.shape) for states in outputs.hidden_states] == [(3, 26, 32)] * 3
        assert [tuple(weights.shape) for weights in outputs.attentions] == [(3, 2, 26, 26)] * 2
        plain = self.outputs(tiny_model(self.model_class, encoder), inputs)
        assert largest_difference(outputs, plain) <= 1e-5

    def test_gradients_reach_every_trainable_parameter(self, encoder):
        for frozen in (True, False):
            model = tiny_model(self.model_class, encoder, freeze_codec=frozen).train()
            scalar_of(model(nucleotide_ids=ragged_nucleotides())).backward()
            for name, parameter in model.named_parameters():
                reached = parameter.grad is not None and bool(parameter.grad.abs().max() > 0)
                assert reached == parameter.requires_grad, name

    def test_checkpointing_gives_the_same_gradients(self, encoder):
        gradients = []
        for checkpointing in (False, True):
            model = tiny_model(self.model_class, encoder, freeze_codec=False).train()
            if checkpointing:
                enable = "activation_checkpointing_enable"  # the name that replaces the older one
                getattr(model, enable, model.gradient_checkpointing_enable)()
            scalar_of(model(nucleotide_ids=ragged_nucleotides())).backward()
            gradients.append([p.grad for p in model.parameters() if p.requires_grad])
        assert largest_difference(*gradients) <= TOLERANCE

    def test_meta_initialization_is_complete(self, encoder):
        normal = tiny_model(self.model_class, encoder)
        with torch.device("meta"):
            model = self.model_class(tiny_config(encoder))
        model.to_empty(device="cpu")
        with torch.no_grad():
            for value in (*model.parameters(), *model.buffers()):
                value.fill_(7)
        for module in model.modules():
            module._is_hf_initialized = False
        model.init_weights()
        for (name, expected), (_, value) in zip(normal.state_dict().items(), model.state_dict().items(), strict=True):
            spread, usual = (float(tensor.float().std(correction=0)) for tensor in (value, expected))
            assert usual / 2 <= spread <= usual * 2 and not (value == 7).all(), name
        for (name, expected), (_, value) in zip(normal.named_buffers(), model.named_buffers(), strict=True):
            if "embedding" not in name:  # the codebooks are random
                assert torch.equal(value, expected), name
