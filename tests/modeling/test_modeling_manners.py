"""The manners of a transformers model, as a mixin: what users expect of `from_pretrained`, `forward` and `save`."""

import pytest
import torch
from test_modeling_common import largest_difference, ragged_nucleotides, tensors_of, tiny_config, tiny_model

from vqdna_hf import (
    VQDNACodecConfig,
    VQDNACodecModel,
    VQDNAForMaskedLM,
    VQDNAForSequenceClassification,
    VQDNAForTokenClassification,
    VQDNAModel,
)


ENCODERS = ["modernbert", "bert"]


def outputs(model, **kwargs):
    with torch.no_grad():
        return model(nucleotide_ids=ragged_nucleotides(), **kwargs)


# names that transformers has replaced, which users still write: its warnings are not ours to fail on
older_names = pytest.mark.filterwarnings("ignore:.*deprecated.*:FutureWarning:transformers")


@pytest.mark.parametrize("encoder", ENCODERS)
class ModelManners:
    """Inherit, and set `model_class`."""

    model_class: type

    def saved(self, encoder, directory, **options):
        model = tiny_model(self.model_class, encoder)
        model.save_pretrained(directory, **options)
        return model

    # outputs

    def test_hidden_states_belong_to_the_positions(self, encoder):
        model = tiny_model(self.model_class, encoder)
        states = outputs(model, output_hidden_states=True).hidden_states
        assert [tuple(state.shape) for state in states] == [(3, 26, 32)] * 3
        body = outputs(model.base_model).last_hidden_state
        if encoder == "bert":  # ModernBERT's last hidden state is normalized once more
            assert torch.equal(states[-1], body)
        assert outputs(model).get("hidden_states") is None

    def test_the_configuration_may_ask_for_more(self, encoder):
        model = tiny_model(self.model_class, encoder)
        model.set_attn_implementation("eager")
        named = outputs(model, output_attentions=True)
        assert all(tuple(weights.shape) == (3, 2, 26, 26) for weights in named.attentions) and named.attentions
        plain = outputs(model, output_attentions=True, return_dict=False)
        assert isinstance(plain, tuple) and isinstance(plain[-1], tuple) and torch.equal(plain[0], named[0])
        model.config.output_attentions = True
        assert len(outputs(model).attentions) == 2 and outputs(model, output_attentions=False).attentions is None

    def test_attentions_that_an_implementation_cannot_give_are_refused(self, encoder):
        model = tiny_model(self.model_class, encoder)
        model.set_attn_implementation("sdpa")
        with pytest.raises(ValueError, match="eager"):
            outputs(model, output_attentions=True)

    def test_embeddings_may_take_the_place_of_ids(self, encoder):
        model, ids = tiny_model(self.model_class, encoder), ragged_nucleotides()
        with torch.no_grad():
            embeds, _ = model.base_model.embed(None, ids)
            given = model(inputs_embeds=embeds, attention_mask=(ids != 8).long())
            usual = model(nucleotide_ids=ids)
        if self.model_class is not VQDNAForSequenceClassification:  # which then cannot tell [CLS] and [SEP] from bases
            assert largest_difference(given, usual) <= 1e-6
        assert [value.shape for value in tensors_of(given)] == [value.shape for value in tensors_of(usual)]

    # loading

    @pytest.mark.parametrize("dtype", ["bfloat16", torch.float16, torch.float32, "auto"])
    def test_dtype(self, encoder, dtype, tmp_path):
        model = self.saved(encoder, tmp_path)
        loaded = self.model_class.from_pretrained(tmp_path, dtype=dtype)
        wanted = {"bfloat16": torch.bfloat16, "auto": torch.float32}.get(dtype, dtype)
        for name, parameter in loaded.named_parameters():
            assert parameter.dtype == (torch.float32 if "codec." in name else wanted), name
        assert loaded.fingerprint() == model.fingerprint()
        assert largest_difference(outputs(loaded), outputs(model)) <= (0.3 if wanted != torch.float32 else 1e-6)
        assert loaded.dtype == wanted
        loaded.save_pretrained(tmp_path / "again")
        again = self.model_class.from_pretrained(tmp_path / "again", dtype="auto")
        assert again.base_model.projection.weight.dtype == wanted

    @older_names
    def test_the_older_name_of_dtype(self, encoder, tmp_path):
        self.saved(encoder, tmp_path)
        loaded = self.model_class.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
        assert loaded.base_model.projection.weight.dtype == torch.bfloat16

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_a_model_cast_later_keeps_its_vocabulary(self, encoder, dtype, tmp_path):
        model = tiny_model(self.model_class, encoder)
        before = model.fingerprint()
        model.to(dtype)
        assert model.base_model.projection.weight.dtype == dtype
        assert {parameter.dtype for parameter in model.codec.parameters()} == {torch.float32}
        assert model.fingerprint() == before
        model.save_pretrained(tmp_path)
        assert self.model_class.from_pretrained(tmp_path).fingerprint() == before

    @pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}])
    def test_device_map(self, encoder, device_map, tmp_path):
        model = self.saved(encoder, tmp_path)
        loaded = self.model_class.from_pretrained(tmp_path, device_map=device_map)
        if not torch.cuda.is_available():
            assert loaded.device.type == "cpu"
        assert largest_difference(outputs(loaded), outputs(model)) <= 1e-6

    @pytest.mark.parametrize("implementation", ["eager", "sdpa"])
    def test_attention_implementation(self, encoder, implementation, tmp_path):
        model = self.saved(encoder, tmp_path)
        loaded = self.model_class.from_pretrained(tmp_path, attn_implementation=implementation)
        assert loaded.base_model.encoder.config._attn_implementation == implementation
        full = ragged_nucleotides([24] * 3)  # what attention gives at padding differs between its implementations
        with torch.no_grad():
            assert largest_difference(loaded(nucleotide_ids=full), model(nucleotide_ids=full)) <= 1e-5

    def test_flash_attention_is_refused_where_it_is_not_installed(self, encoder, tmp_path):
        try:
            import flash_attn  # noqa: F401
        except ImportError:
            self.saved(encoder, tmp_path)
            with pytest.raises(ImportError, match="flash_attn|[Ff]lash"):
                self.model_class.from_pretrained(tmp_path, attn_implementation="flash_attention_2")
        else:
            pytest.skip("flash_attn is installed")

    def test_low_memory_loading(self, encoder, tmp_path):
        model = self.saved(encoder, tmp_path)
        loaded = self.model_class.from_pretrained(tmp_path, low_cpu_mem_usage=True)
        assert largest_difference(outputs(loaded), outputs(model)) <= 1e-6

    # saving

    def test_shards(self, encoder, tmp_path):
        model = self.saved(encoder, tmp_path, max_shard_size="30kB")
        assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
        assert (tmp_path / "model.safetensors.index.json").is_file()
        assert largest_difference(outputs(self.model_class.from_pretrained(tmp_path)), outputs(model)) <= 1e-6

    # training

    @older_names
    def test_checkpointing_by_its_older_name(self, encoder):
        model = tiny_model(self.model_class, encoder).train()
        model.gradient_checkpointing_enable()
        assert model.is_gradient_checkpointing
        tensors_of(model(nucleotide_ids=ragged_nucleotides()))[0].sum().backward()
        assert model.base_model.projection.weight.grad is not None

    def test_the_vocabulary_cannot_be_resized(self, encoder):
        model = tiny_model(self.model_class, encoder)
        size = model.config.vocab_size
        assert model.resize_token_embeddings(size) is model.get_input_embeddings()
        with pytest.raises(ValueError, match=f"{size} ids.*cannot be resized to {size + 1}.*codebook_sizes"):
            model.resize_token_embeddings(size + 1)


class TestBody(ModelManners):
    model_class = VQDNAModel


class TestMaskedLM(ModelManners):
    model_class = VQDNAForMaskedLM


class TestSequenceClassification(ModelManners):
    model_class = VQDNAForSequenceClassification


class TestTokenClassification(ModelManners):
    model_class = VQDNAForTokenClassification


# the same for the codec


def test_the_codec_has_the_manners_that_fit_it(tmp_path):
    torch.manual_seed(0)
    model = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")).eval()
    model.save_pretrained(tmp_path, max_shard_size="10kB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    codes, ids = model.encode(ragged_nucleotides()), ragged_nucleotides()
    for options in ({}, {"dtype": torch.bfloat16}, {"device_map": "auto"}, {"attn_implementation": "sdpa"}):
        loaded = VQDNACodecModel.from_pretrained(tmp_path, **options)
        assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
        assert loaded.fingerprint() == model.fingerprint()
        assert torch.equal(loaded.encode(ids), codes)
        assert isinstance(loaded(ids, return_dict=False), tuple)


# compiled


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(
    "model_class", [VQDNAModel, VQDNAForMaskedLM, VQDNAForSequenceClassification, VQDNAForTokenClassification]
)
def test_compiled_models_give_the_same(model_class, encoder):
    model, ids = tiny_model(model_class, encoder), ragged_nucleotides()
    compiled = torch.compile(model)
    with torch.no_grad():
        input_ids = model.base_model.encode_nucleotides(ids)
        assert largest_difference(compiled(input_ids=input_ids), model(input_ids=input_ids)) <= 1e-5
        assert largest_difference(compiled(nucleotide_ids=ids), model(nucleotide_ids=ids)) <= 1e-5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # transformers' call of an option that PyTorch has replaced
@pytest.mark.parametrize("encoder", ENCODERS)
def test_flex_attention(encoder):
    torch.manual_seed(0)
    model = VQDNAModel._from_config(tiny_config(encoder), attn_implementation="flex_attention").eval()
    plain, ids = tiny_model(VQDNAModel, encoder), ragged_nucleotides([24] * 3)
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert largest_difference(model(nucleotide_ids=ids), plain(nucleotide_ids=ids)) <= 1e-5
