"""The four models: their common contract, and a codec that does not move, is not rounded and is not mistaken."""

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from test_modeling_common import ModelContract, largest_difference, ragged_nucleotides, scalar_of, tiny_model

from vqdna_hf import (
    VQDNACodecConfig,
    VQDNACodecModel,
    VQDNAConfig,
    VQDNAForMaskedLM,
    VQDNAForSequenceClassification,
    VQDNAForTokenClassification,
    VQDNAModel,
    VQDNATokenizer,
)


MODELS = [VQDNAModel, VQDNAForMaskedLM, VQDNAForSequenceClassification, VQDNAForTokenClassification]

each_model = pytest.mark.parametrize("model_class", MODELS, ids=lambda model_class: model_class.__name__)


class TestVQDNAModel(ModelContract):
    model_class = VQDNAModel


class TestVQDNAForMaskedLM(ModelContract):
    model_class = VQDNAForMaskedLM


class TestVQDNAForSequenceClassification(ModelContract):
    model_class = VQDNAForSequenceClassification
    per_position = False


class TestVQDNAForTokenClassification(ModelContract):
    model_class = VQDNAForTokenClassification


def snapshot(codec: VQDNACodecModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in codec.state_dict().items()}


def train_step(model, nucleotide_ids: torch.Tensor):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    scalar_of(model(nucleotide_ids=nucleotide_ids)).backward()
    optimizer.step()


# the codec stays


@each_model
def test_the_codec_never_moves_while_training(model_class):
    model = tiny_model(model_class)
    before, fingerprint = snapshot(model.codec), model.fingerprint()
    model.train()
    assert model.training and not any(module.training for module in model.codec.modules())
    model.codec.train()  # not even then
    train_step(model, ragged_nucleotides())
    after = model.codec.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert model.fingerprint() == fingerprint


def test_end_to_end_training_moves_the_encoder_of_the_codec_only(tmp_path):
    model = tiny_model(VQDNAForSequenceClassification, freeze_codec=False).train()
    before, fingerprint, inputs = snapshot(model.codec), model.fingerprint(), ragged_nucleotides()
    train_step(model, inputs)
    moved = {name for name, value in model.codec.state_dict().items() if not torch.equal(value, before[name])}
    # the first level's projection would get no gradient: it is straight through the last level's latents
    still = {name for name in before if name.startswith("encoder.latent_projections.0")}
    assert moved == {name for name in before if name.startswith("encoder.")} - still
    assert model.fingerprint() != fingerprint
    model.save_pretrained(tmp_path)
    loaded = VQDNAForSequenceClassification.from_pretrained(tmp_path)
    assert loaded.config.vocabulary_fingerprint == model.fingerprint()
    assert any(parameter.requires_grad for parameter in loaded.codec.encoder.parameters())
    again = VQDNAForSequenceClassification.from_pretrained(tmp_path, freeze_codec=True)
    assert not any(parameter.requires_grad for parameter in again.codec.parameters())


def test_straight_through_gives_the_outputs_of_the_frozen_codec():
    inputs = ragged_nucleotides()
    frozen, free = (tiny_model(VQDNAModel, freeze_codec=value) for value in (True, False))
    with torch.no_grad():
        assert largest_difference(frozen(nucleotide_ids=inputs), free(nucleotide_ids=inputs)) <= 1e-5
    free.set_codec_frozen(True)
    assert not any(parameter.requires_grad for parameter in free.codec.parameters())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks for it
def test_lora_leaves_the_codec_alone(tmp_path):
    model = tiny_model(VQDNAForSequenceClassification)
    before, inputs = snapshot(model.codec), ragged_nucleotides()
    pattern = r".*encoder\.layers.*(Wqkv|Wo|Wi)"
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=pattern, task_type="SEQ_CLS")).train()
    trainable = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert trainable and all("lora_" in name or "classifier" in name for name in trainable)
    assert not [name for name, _ in adapted.named_modules() if "lora_" in name and "codec" in name]
    assert not any(module.training for module in model.codec.modules())
    train_step(adapted, inputs)
    after = model.codec.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    adapted.eval().save_pretrained(tmp_path)
    assert all("lora_" in name or "classifier" in name for name in load_file(tmp_path / "adapter_model.safetensors"))
    loaded = PeftModel.from_pretrained(tiny_model(VQDNAForSequenceClassification), tmp_path)
    with torch.no_grad():
        assert largest_difference(adapted(nucleotide_ids=inputs), loaded(nucleotide_ids=inputs)) <= 1e-6


# precision


@each_model
def test_half_precision_keeps_the_codec_and_its_codes(model_class, tmp_path):
    tiny_model(model_class).save_pretrained(tmp_path)
    full = model_class.from_pretrained(tmp_path)
    half = model_class.from_pretrained(tmp_path, dtype=torch.bfloat16)
    for name, value in half.codec.state_dict().items():
        assert not value.is_floating_point() or value.dtype == torch.float32, name
    assert half.base_model.projection.weight.dtype == torch.bfloat16
    inputs = torch.randint(4, (4, 200))
    assert torch.equal(half.base_model.encode_nucleotides(inputs), full.base_model.encode_nucleotides(inputs))
    assert half.fingerprint() == full.fingerprint()
    with torch.no_grad():
        assert half(nucleotide_ids=inputs)[0].dtype == torch.bfloat16


def test_autocast_keeps_the_codes():
    inputs = torch.randint(4, (4, 200))
    for frozen in (True, False):
        model = tiny_model(VQDNAModel, freeze_codec=frozen)
        expected = model.encode_nucleotides(inputs)
        vectors = model._straight_through_vectors(inputs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(model.encode_nucleotides(inputs), expected)
            assert torch.equal(model._straight_through_vectors(inputs), vectors)
            assert model(nucleotide_ids=inputs).last_hidden_state.isfinite().all()


# inputs and vocabularies


@each_model
def test_exactly_one_input(model_class):
    model, ids = tiny_model(model_class), torch.tensor([[2, 7, 9, 3]])
    with pytest.raises(ValueError, match="input_ids and nucleotide_ids"):
        model(input_ids=ids, nucleotide_ids=ids)
    with pytest.raises(ValueError, match="none"):
        model()
    with pytest.raises(ValueError, match="none"):
        model(attention_mask=torch.ones_like(ids))


@pytest.mark.parametrize("index", [-1, 133, 10**9])
def test_ids_outside_the_vocabulary(index):
    with pytest.raises(ValueError, match=f"{index}, outside the vocabulary of 133"):
        tiny_model(VQDNAModel)(input_ids=torch.tensor([[2, 7, index, 3]]))


def test_embeddings_as_input():
    model, inputs = tiny_model(VQDNAForSequenceClassification), ragged_nucleotides([9])
    embeds, _ = model.vqdna.embed(None, inputs)
    mask = torch.tensor([[0] + [1] * 9 + [0]])
    with torch.no_grad():
        logits = model(inputs_embeds=embeds).logits
        assert logits.shape == (1, 2) and logits.isfinite().all()
        hidden = model.vqdna(inputs_embeds=embeds).last_hidden_state
        expected = model.vqdna(nucleotide_ids=inputs).last_hidden_state
    assert torch.equal(hidden, expected)
    assert model.pooling(hidden, mask.bool()).shape == (1, 64)  # mean and maximum


def test_the_table_of_the_encoder_holds_the_special_tokens():
    model = tiny_model(VQDNAModel)
    assert model.get_input_embeddings().weight.shape == (5, 32)
    ids = torch.tensor([[2, 1, 4, 9, 3, 0]])
    embeds, special = model.embed(ids, None)
    assert special.tolist() == [[2, 1, 4, -1, 3, 0]]
    table = model.get_input_embeddings().weight
    assert torch.equal(embeds[0, [0, 1, 2, 4, 5]], table[[2, 1, 4, 3, 0]])
    vector = model.codec.quantizer.lookup(torch.tensor([0, 4]))  # 9 - 5 = 0 * 16 + 4
    assert torch.allclose(embeds[0, 3], model.projection(model.input_norm(vector)), atol=1e-6)


def test_check_tokenizer():
    model = tiny_model(VQDNAForMaskedLM)
    own = VQDNATokenizer(codec=model.codec)
    foreign = VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")))
    model.check_tokenizer(own)
    with pytest.raises(ValueError) as error:
        model.check_tokenizer(foreign)
    assert foreign.vocabulary_fingerprint in str(error.value) and model.fingerprint() in str(error.value)
    with pytest.raises(ValueError, match="None"):
        model.check_tokenizer(object())
    inputs = torch.randint(4, (2, 30))
    assert (
        own.encode_nucleotides(list(inputs.numpy()))[1].tolist() == model.vqdna.encode_nucleotides(inputs)[1].tolist()
    )


@each_model
def test_a_damaged_vocabulary_is_refused(model_class, tmp_path):
    model = tiny_model(model_class)
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    (name,) = [name for name in tensors if name.endswith("codebooks.1.embedding")]
    tensors[name][3, 2] += 1e-3
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="damaged") as error:
        model_class.from_pretrained(tmp_path)
    assert model.fingerprint() in str(error.value) and str(tmp_path) in str(error.value)


# heads share one body


def test_a_pretrained_body_goes_under_another_head(tmp_path):
    model = tiny_model(VQDNAForMaskedLM)
    model.save_pretrained(tmp_path)
    for model_class in (VQDNAForSequenceClassification, VQDNAForTokenClassification):
        other = model_class.from_pretrained(tmp_path, num_labels=3)
        body = other.vqdna.state_dict()
        assert all(torch.equal(body[name], value) for name, value in model.vqdna.state_dict().items())
        with torch.no_grad():
            logits = other(nucleotide_ids=ragged_nucleotides()).logits
        assert logits.shape[-1] == 3 and logits.isfinite().all() and logits.std() > 0
    body = VQDNAModel.from_pretrained(tmp_path)
    assert torch.equal(body.projection.weight, model.vqdna.projection.weight)


# the paper's sizes


@pytest.mark.parametrize("name", ["paper-vq", "paper-hrq"])
def test_the_codec_has_the_size_of_the_paper(name):
    with torch.device("meta"):
        codec = VQDNACodecModel(VQDNACodecConfig.from_preset(name))
    count = sum(p.numel() for p in codec.parameters()) + sum(b.embedding.numel() for b in codec.quantizer.codebooks)
    assert 14e6 < count < 17e6  # the paper: 16M and 17M


@pytest.mark.parametrize("name", ["paper", "paper-bert"])
def test_the_encoder_has_the_size_of_the_paper(name):
    with torch.device("meta"):
        model = VQDNAModel(VQDNAConfig.from_preset(name))
    count = sum(parameter.numel() for parameter in model.encoder.parameters())
    assert count == pytest.approx(86e6, rel=0.05)


@each_model
def test_the_projection_keeps_the_variance_of_the_code_vectors(model_class):
    model = tiny_model(model_class)
    assert model.base_model.projection.weight.std().item() == pytest.approx(8**-0.5, rel=0.15)
    assert (model.base_model.projection.bias == 0).all()


def test_the_vocabulary_cannot_be_resized():
    model = tiny_model(VQDNAForMaskedLM)
    table = model.get_input_embeddings()
    assert model.resize_token_embeddings(model.config.vocab_size) is table
    with pytest.raises(ValueError, match=f"has {model.config.vocab_size} ids.* resized to 7"):
        model.resize_token_embeddings(7)
    assert model.get_input_embeddings() is table


# long sequences


def test_rotary_positions_have_no_end():
    """The tiny encoder is configured for 512 positions, as most are for some number."""
    model, ids = tiny_model(VQDNAModel), ragged_nucleotides([2000])
    with torch.no_grad():
        states = model(nucleotide_ids=ids).last_hidden_state
    assert states.shape == (1, 2002, 32) and torch.isfinite(states).all()


def test_learned_positions_end_with_a_word_of_advice():
    model = tiny_model(VQDNAModel, "bert")
    with torch.no_grad():
        assert model(nucleotide_ids=ragged_nucleotides([62])).last_hidden_state.shape == (1, 64, 32)
    with pytest.raises(ValueError, match=r"65 positions.*the 64 .*bert.*max_length=64"):
        model(nucleotide_ids=ragged_nucleotides([63]))


def test_the_weights_of_other_heads_are_no_news(tmp_path, caplog):
    """A pre-trained model opened for another use says which weights are new, and nothing of those it leaves."""
    tiny_model(VQDNAForMaskedLM).save_pretrained(tmp_path)
    with caplog.at_level("WARNING", logger="transformers"):
        VQDNAModel.from_pretrained(tmp_path)
        assert not caplog.records
        VQDNAForSequenceClassification.from_pretrained(tmp_path)
    text = caplog.text
    assert "classifier.out_proj.weight" in text and "level_decoder" not in text
