"""The encoder over an ordinary vocabulary: VQDNA's in all but the vocabulary, saved, padded, trained."""

import json

import pytest
import torch
from torch.utils.data import Dataset
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from vqdna_hf import VQDNAConfig, VQDNAForMaskedLM, VQDNAForSequenceClassification
from vqdna_hf.baselines import (
    TokenEncoderConfig,
    TokenEncoderForMaskedLM,
    TokenEncoderForSequenceClassification,
    TokenEncoderModel,
    character_tokenizer,
    kmer_tokenizer,
)


TOKENIZER = kmer_tokenizer(3)
PRESETS = ["tiny", "paper-bert"]


def config(preset: str = "tiny", **changes) -> TokenEncoderConfig:
    made = TokenEncoderConfig.from_preset(preset, tokenizer=TOKENIZER, **changes)
    if preset == "paper-bert":
        made.encoder_config.update({"num_hidden_layers": 1, "hidden_size": 24, "intermediate_size": 16})
        made.encoder_config.update({"num_attention_heads": 2})
    return made


def shapes(model, *prefixes: str) -> dict:
    found = {name: tuple(values.shape) for name, values in model.state_dict().items()}
    return {name: shape for name, shape in found.items() if name.startswith(prefixes)}


# one comparison, one difference


@pytest.mark.parametrize("preset", ["tiny", "small"])
@pytest.mark.parametrize("pooling", ["mean+max", "bins"])
def test_all_but_the_vocabulary_is_vqdna(preset, pooling):
    ours, theirs = (
        TokenEncoderForSequenceClassification(config(preset, pooling=pooling, num_labels=3)),
        VQDNAForSequenceClassification(VQDNAConfig.from_preset(preset, pooling=pooling, num_labels=3)),
    )
    layers = {name.partition(".")[2]: shape for name, shape in shapes(ours, "token_encoder.encoder").items()}
    wanted = {name.partition(".")[2]: shape for name, shape in shapes(theirs, "vqdna.encoder").items()}
    different = {name for name in layers if layers[name] != wanted[name]}
    assert layers.keys() == wanted.keys() and different == {"encoder.embeddings.tok_embeddings.weight"}
    assert shapes(ours, "classifier") == shapes(theirs, "classifier")
    masked = TokenEncoderForMaskedLM(config(preset)), VQDNAForMaskedLM(VQDNAConfig.from_preset(preset))
    assert shapes(masked[0], "head") == shapes(masked[1], "head") != {}
    own = {**ours.config.encoder_config.to_dict(), "vocab_size": 0}
    assert own == {**theirs.config.encoder_config.to_dict(), "vocab_size": 0}


def test_the_configuration_takes_sizes_and_ids_from_the_tokenizer():
    made = config()
    assert made.vocab_size == made.encoder_config.vocab_size == 73
    assert (made.pad_token_id, made.cls_token_id, made.sep_token_id, made.mask_token_id) == (0, 2, 3, 4)
    tokenizer = character_tokenizer()
    tokenizer.pad_token = "T"
    made = TokenEncoderConfig.from_preset("tiny", tokenizer=tokenizer)
    assert made.pad_token_id == made.encoder_config.pad_token_id == 8
    tokenizer.mask_token = None
    with pytest.raises(ValueError, match=r"\[MASK\]"):
        TokenEncoderConfig.from_preset("tiny", tokenizer=tokenizer)
    for changes, message in [
        ({"pooling": "sum"}, "pooling='sum'"),
        ({"pad_token_id": 73}, "pad_token_id=73"),
        ({"mask_token_id": None}, "mask_token_id=None"),
        ({"classifier_dropout": 1}, "classifier_dropout=1"),
    ]:
        with pytest.raises(Exception) as caught:
            config(**changes)
        assert message in str(caught.value.__cause__ or caught.value)


# files


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "model_class, auto",
    [
        (TokenEncoderModel, AutoModel),
        (TokenEncoderForMaskedLM, AutoModelForMaskedLM),
        (TokenEncoderForSequenceClassification, AutoModelForSequenceClassification),
    ],
)
def test_a_saved_model_is_the_same(tmp_path, caplog, preset, model_class, auto):
    model = model_class(config(preset)).eval()
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "vqdna_token_encoder"
    anywhere = {"dtype": 0, "_name_or_path": ""}
    assert AutoConfig.from_pretrained(tmp_path).to_dict() | anywhere == model.config.to_dict() | anywhere
    loaded = auto.from_pretrained(tmp_path).eval()
    assert type(loaded) is model_class
    inputs = TOKENIZER(["ACGTACGTT", "ACGN"], return_tensors="pt", padding=True)
    with torch.no_grad():
        assert torch.equal(loaded(**inputs)[0], model(**inputs)[0])
    assert not caplog.records


def test_another_head_goes_on_from_the_encoder(tmp_path):
    masked = TokenEncoderForMaskedLM(config())
    masked.save_pretrained(tmp_path)
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=4, pooling="bins")
    assert classifier.classifier.out_proj.out_features == 4
    assert classifier.classifier.dense.in_features == 8 * 32
    for name, values in masked.token_encoder.state_dict().items():
        assert torch.equal(values, classifier.token_encoder.state_dict()[name]), name


# outputs


@pytest.mark.parametrize("pooling", ["mean", "max", "mean+max", "cls", "bins"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_does_not_matter(pooling, side):
    tokenizer = kmer_tokenizer(3)
    tokenizer.padding_side = side
    model = TokenEncoderForSequenceClassification(config(pooling=pooling)).eval()
    texts = ["ACGTACGGTCATT", "ACGTA", "ACGGTCAAAAAACGTACGTTT"]
    padded = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        together = model(**padded).logits
        alone = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in texts])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
        # without a mask, the [PAD] ids tell
        torch.testing.assert_close(model(input_ids=padded["input_ids"]).logits, together)


def test_pooling_leaves_special_tokens_out():
    model = TokenEncoderForSequenceClassification(config(pooling="mean")).eval()
    ids = TOKENIZER("ACGTAC", return_tensors="pt")["input_ids"]
    seen = []
    model.pooling.register_forward_hook(lambda module, inputs, output: seen.append(inputs[1]))
    model(input_ids=ids)
    assert seen[0].tolist() == [[False, True, True, True, True, False]]


def test_vectors_and_attentions_are_those_of_the_encoder():
    model = TokenEncoderModel(config()).eval()
    ids = TOKENIZER("ACGTACGT", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        vectors = model.get_input_embeddings()(ids)
        outputs = model(inputs_embeds=vectors)
        assert torch.equal(outputs.last_hidden_state, model(input_ids=ids).last_hidden_state)
    assert len(model(input_ids=ids, output_hidden_states=True).hidden_states) == 3
    with pytest.raises(ValueError, match="exactly one"):
        model()
    with pytest.raises(ValueError, match="eager"):
        model(input_ids=ids, output_attentions=True)
    with pytest.raises(ValueError, match="514 that this"):
        TokenEncoderModel(config("paper-bert"))(input_ids=torch.full((1, 515), 7))


# training


@pytest.mark.parametrize("preset", PRESETS)
def test_every_parameter_learns(preset):
    ids = TOKENIZER(["ACGTACGTT", "ACGTTTTTA"], return_tensors="pt")["input_ids"]
    for model, inputs in [
        (TokenEncoderForMaskedLM(config(preset)), {"labels": ids}),
        (TokenEncoderForSequenceClassification(config(preset)), {"labels": torch.tensor([0, 1])}),
    ]:
        model(input_ids=ids, **inputs).loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_the_output_layer_is_the_embedding_table():
    model = TokenEncoderForMaskedLM(config()).eval()
    ids = TOKENIZER("ACGTACGT", return_tensors="pt")["input_ids"]
    names = [name for name, values in model.named_parameters() if values.shape == (73, 32)]
    assert names == ["token_encoder.encoder.embeddings.tok_embeddings.weight"]
    with torch.no_grad():
        before = model(input_ids=ids).logits
        model.get_input_embeddings().weight[70] += 1  # a token that the input does not hold
        after = model(input_ids=ids).logits
    assert 70 not in ids
    assert (before != after).any(dim=(0, 1)).nonzero().flatten().tolist() == [70]


def test_logits_of_the_labelled_positions_alone():
    model = TokenEncoderForMaskedLM(config()).eval()
    ids = TOKENIZER(["ACGTACGT", "ACGTTCGT"], return_tensors="pt")["input_ids"]
    labels = ids.clone()
    labels[:, ::2] = -100
    with torch.no_grad():
        whole = model(input_ids=ids, labels=labels)
        part = model(input_ids=ids, labels=labels, masked_positions_only=True)
        nothing = model(input_ids=ids, labels=torch.full_like(ids, -100), masked_positions_only=True)
    torch.testing.assert_close(part.loss, whole.loss)
    torch.testing.assert_close(part.logits, whole.logits[labels >= 0])
    wanted = torch.nn.functional.cross_entropy(whole.logits[labels >= 0], labels[labels >= 0])
    torch.testing.assert_close(whole.loss, wanted)
    assert nothing.loss == 0 and nothing.logits.shape == (0, 73)


class Planted(Dataset):
    """Runs of A are class 1, others 0."""

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> dict:
        return {**TOKENIZER("A" * 12 if index % 2 else "CGT" * 4), "labels": index % 2}


def test_the_trainer_trains_and_saves_it(tmp_path):
    model = TokenEncoderForSequenceClassification(config(num_labels=2))
    arguments = TrainingArguments(
        str(tmp_path), max_steps=30, learning_rate=3e-3, per_device_train_batch_size=8, report_to="none", use_cpu=True
    )
    trainer = Trainer(model, arguments, train_dataset=Planted(), eval_dataset=Planted(), processing_class=TOKENIZER)
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < 0.1
    trainer.save_model(tmp_path / "saved")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    ids = TOKENIZER(["A" * 12, "CGT" * 4], return_tensors="pt")
    assert loaded.eval()(**ids).logits.argmax(-1).tolist() == [1, 0]
