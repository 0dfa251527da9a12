"""The encoder with convolutions; what it shares with every encoder is in test_modeling_vqdna.py."""

import pytest
import torch
from peft import get_peft_model
from test_modeling_common import PAD, TINY_CONV, ragged_nucleotides, tiny_config, tiny_model
from transformers import AutoConfig, AutoModel, ModernBertModel

from vqdna_hf import VQDNAConfig, VQDNAForSequenceClassification, VQDNAModel
from vqdna_hf.baselines import TokenEncoderConfig, bpe_tokenizer
from vqdna_hf.lora import lora_config
from vqdna_hf.modeling import modeling_vqdna
from vqdna_hf.modeling.attention_vqdna import BLOCK_LOCAL
from vqdna_hf.modeling.modeling_conv_vqdna import VQDNAConvBlock, VQDNAConvEncoderModel


def conv_encoder(**changes) -> VQDNAConvEncoderModel:
    torch.manual_seed(0)
    return AutoModel.from_config(
        tiny_config("conv").encoder_config.__class__(**tiny_config("conv").encoder_config.to_dict() | changes)
    ).eval()


def test_presets():
    config = VQDNAConfig.from_preset("small-conv")
    assert config.codec_config.to_dict() == VQDNAConfig.from_preset("small").codec_config.to_dict()
    encoder = AutoModel.from_config(config.encoder_config)
    convolutions = sum(p.numel() for name, p in encoder.named_parameters() if "conv_blocks" in name)
    width, kernel, blocks = 128, 7, 4
    assert convolutions == blocks * (kernel * width * width + width + 2 * width)
    assert config.encoder_config.halo == 3 * (1 + 2 + 4 + 8)


def test_without_convolutions_it_is_modernbert_on_normalized_inputs():
    encoder = conv_encoder(conv_dilations=[])
    stock = ModernBertModel(encoder.config).eval()
    stock.load_state_dict({name: value for name, value in encoder.state_dict().items() if "conv" not in name})
    inputs = torch.randn(2, 9, 32)
    with torch.no_grad():
        expected = stock(inputs_embeds=torch.nn.functional.layer_norm(inputs, (32,))).last_hidden_state
        assert torch.equal(encoder(inputs_embeds=inputs).last_hidden_state, expected)


def test_the_convolutions_reach_as_far_as_the_halo():
    encoder = conv_encoder(conv_dilations=[1, 3], conv_kernel_size=5, num_hidden_layers=1, layer_types=None)
    assert encoder.config.halo == 8
    seen = []
    encoder.layers[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    first = torch.randn(1, 40, 32)
    second = first.clone()
    second[0, 20] += 1
    with torch.no_grad():
        for inputs in (first, second):
            encoder(inputs_embeds=inputs)
    changed = (seen[0] != seen[1]).any(dim=-1)[0].nonzero().squeeze(1)
    assert changed.min() == 12 and changed.max() == 28


def test_ids_are_looked_up():
    encoder = conv_encoder()
    ids = torch.tensor([[2, 4, 1, 3]])
    with torch.no_grad():
        vectors = encoder.get_input_embeddings()(ids)
        assert torch.equal(encoder(ids).last_hidden_state, encoder(inputs_embeds=vectors).last_hidden_state)


@pytest.mark.parametrize("side", ["left", "right"])
def test_local_layers_in_pieces(side, monkeypatch):
    config = tiny_config("conv")
    config.encoder_config.layer_types = ["sliding_attention"] * 2
    torch.manual_seed(0)
    model = VQDNAModel(config).eval()
    model.set_attn_implementation(BLOCK_LOCAL)
    batch = ragged_nucleotides([40, 300, 301], side)
    whole = model(nucleotide_ids=batch).last_hidden_state.detach()
    for piece in (50, 101, 302):
        monkeypatch.setattr(modeling_vqdna, "ENCODER_PIECE", piece)
        with torch.no_grad():
            pieces = model(nucleotide_ids=batch).last_hidden_state
        assert (pieces - whole)[batch != PAD].abs().max() < 1e-5


def test_an_ordinary_vocabulary_has_it_too(tmp_path):
    tokenizer = bpe_tokenizer(["ACGTACGTTTGACA" * 9], vocab_size=20)
    config = TokenEncoderConfig.from_preset("tiny", tokenizer)
    config = TokenEncoderConfig(**config.to_dict() | {"encoder_config": config.encoder_config.to_dict() | TINY_CONV})
    model = AutoModel.from_config(config).eval()
    assert isinstance(model.encoder, VQDNAConvEncoderModel)
    model.save_pretrained(tmp_path)
    batch = tokenizer(["ACGTACG", "TTGACATTTGACAACGT"], padding=True, return_tensors="pt")
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        expected = model(**batch).last_hidden_state
        assert torch.equal(AutoModel.from_pretrained(tmp_path).eval()(**batch).last_hidden_state, expected)
        alone = model(batch["input_ids"][:1, : int(batch["attention_mask"][0].sum())]).last_hidden_state
    assert (alone[0] - expected[0, : alone.shape[1]]).abs().max() < 1e-5


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_a_block_is_a_convolution(dilation):
    torch.manual_seed(0)
    block = VQDNAConvBlock(4, 5, dilation, 1e-5)
    inputs, mask = torch.randn(2, 17, 4), torch.ones(2, 17)
    mask[1, 9:] = 0
    update = torch.nn.functional.gelu(block.norm(inputs)) * mask.unsqueeze(-1)
    weight = block.convolution.weight.unflatten(1, (5, 4)).transpose(1, 2)  # [out, in, kernel]
    expected = torch.nn.functional.conv1d(
        update.transpose(1, 2), weight, block.convolution.bias, padding=2 * dilation, dilation=dilation
    )
    torch.testing.assert_close(block(inputs, mask), inputs + expected.transpose(1, 2))


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT's
def test_lora_adapts_the_convolutions():
    model = tiny_model(VQDNAForSequenceClassification, "conv")
    adapted = get_peft_model(model, lora_config(model))
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert sum("convolution.lora_A" in name for name in trained) == 2 and any(
        "Wqkv.lora_A" in name for name in trained
    )
    assert not any("codec" in name for name in trained)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_kernel_size": 4}, "conv_kernel_size=4 must be odd"),
        ({"conv_kernel_size": -1}, "conv_kernel_size=-1 must be odd and positive"),
        ({"conv_dilations": [1, 0]}, r"conv_dilations=\[1, 0\] must all be at least 1"),
    ],
)
def test_wrong_sizes(changes, message):
    with pytest.raises(Exception, match=message):
        AutoConfig.for_model("vqdna_conv_encoder", **changes)


def test_wrong_inputs():
    encoder, vectors = conv_encoder(), torch.randn(1, 4, 32)
    with pytest.raises(ValueError, match="one of input_ids and inputs_embeds"):
        encoder(torch.tensor([[1]]), inputs_embeds=vectors)
    with pytest.raises(ValueError, match="one of input_ids and inputs_embeds"):
        encoder()
    with pytest.raises(ValueError, match=r"attention_mask of shape \(batch_size, length\)"):
        encoder(inputs_embeds=vectors, attention_mask=torch.ones(1, 1, 4, 4))
