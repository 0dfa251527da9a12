"""The one-hot CNN: padding and special tokens change nothing, every kind of label trains, and directories load."""

import json

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from vqdna_hf.baselines import bpe_tokenizer, character_tokenizer, kmer_tokenizer
from vqdna_hf.baselines.cnn import CNN_POOLINGS, CNN_TRAINING, OneHotCNNConfig, OneHotCNNForSequenceClassification


PAD, UNK, CLS, SEP, MASK = range(5)
TINY = {"hidden_size": 8, "stem_kernel_size": 5, "kernel_size": 3, "pooling_bins": 3}


def tiny_model(**fields) -> OneHotCNNForSequenceClassification:
    torch.manual_seed(0)
    return OneHotCNNForSequenceClassification(OneHotCNNConfig(**{**TINY, **fields})).eval()


def random_ids(length: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(5, 9, length))


def padded(rows: list[torch.Tensor], length: int, side: str = "right") -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, both of shape `(rows, length)`."""
    ids, mask = torch.full((len(rows), length), PAD), torch.zeros(len(rows), length, dtype=torch.long)
    for target, flags, row in zip(ids, mask, rows):
        place = slice(0, len(row)) if side == "right" else slice(length - len(row), length)
        target[place], flags[place] = row, 1
    return ids, mask


# what a prediction depends on


@pytest.mark.parametrize("pooling", CNN_POOLINGS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(pooling, side):
    model = tiny_model(pooling=pooling)
    rows = [random_ids(length, seed=length) for length in (1, 2, 7, 30, 61)]
    alone = torch.cat([model(row[None]).logits for row in rows])
    for length in (61, 100):
        ids, mask = padded(rows, length, side)
        together = model(ids, attention_mask=mask).logits
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
        assert torch.equal(model(ids).logits, together)  # the mask of the [PAD] ids
        noise = torch.where(mask == 1, ids, torch.randint(5, 9, ids.shape))  # bases behind the mask
        assert torch.equal(model(noise, attention_mask=mask).logits, together)
    assert (alone.std(dim=0) > 1e-3).all()


@pytest.mark.parametrize("pooling", CNN_POOLINGS)
def test_special_tokens_are_outside_the_sequence(pooling):
    model, row = tiny_model(pooling=pooling), random_ids(40)
    framed = torch.cat([torch.tensor([CLS]), row, torch.tensor([SEP, PAD, PAD])])
    torch.testing.assert_close(model(framed[None]).logits, model(row[None]).logits, rtol=0, atol=1e-6)


def test_one_hot_vectors():
    model = tiny_model()
    ids = torch.tensor([[5, 6, 7, 8, UNK, MASK, PAD, CLS, SEP, 9, 100]])
    expected = torch.cat([torch.eye(4), torch.zeros(7, 4)])
    assert torch.equal(model.one_hot(ids)[0], expected)
    other = tiny_model(base_token_ids=[20, 7, 9, 5])
    assert torch.equal(
        other.one_hot(torch.tensor([[20, 7, 9, 5, 6, 8]]))[0], torch.cat([torch.eye(4), torch.zeros(2, 4)])
    )


def test_unknown_bases_are_positions_all_the_same():
    model, row = tiny_model(), random_ids(40)
    unknown, hidden, other = row.clone(), row.clone(), row.clone()
    unknown[20], hidden[20], other[20] = UNK, MASK, 9
    assert torch.equal(model(unknown[None]).logits, model(hidden[None]).logits)
    assert torch.equal(model(unknown[None]).logits, model(other[None]).logits)
    removed = torch.cat([row[:20], row[21:]])
    for changed in (row, removed):
        assert (model(unknown[None]).logits - model(changed[None]).logits).abs().max() > 1e-4


def test_receptive_field():
    """A base changes the states of `receptive_field` positions, no more and no fewer."""
    model, row = tiny_model(pooling="max"), random_ids(101)
    states = {}
    model.norm.register_forward_hook(lambda module, inputs, output: states.update(latest=inputs[0][0].detach()))
    model(row[None])
    before = states["latest"]
    row[50] = 5 + (row[50] - 4) % 4
    model(row[None])
    changed = (states["latest"] - before).abs().amax(dim=-1) > 0
    assert model.config.receptive_field == 5 + 2 * 7 == int(changed.sum())
    assert changed[50 - 9 : 50 + 10].all()


def test_a_sequence_without_bases_is_no_accident():
    model = tiny_model()
    assert torch.isfinite(model(torch.tensor([[CLS, SEP, PAD]])).logits).all()


def test_size():
    model = OneHotCNNForSequenceClassification(OneHotCNNConfig(num_labels=2))
    assert 80_000 < sum(parameter.numel() for parameter in model.parameters()) < 100_000
    assert model.config.receptive_field == 53


def test_initial_states_carry_signal():
    model = tiny_model(hidden_size=64)
    states = model.stem(model.one_hot(random_ids(1000)[None]), torch.ones(1, 1000, dtype=torch.bool))
    assert 0.2 < states.std() < 1  # zeros are three quarters of the one-hot input
    logits = model(torch.stack([random_ids(100, seed) for seed in range(50)])).logits
    assert 0.005 < logits.std() < 1


# labels


@pytest.mark.parametrize(
    "fields, labels, expected",
    [
        ({"num_labels": 3}, torch.tensor([0, 2]), lambda x, y: F.cross_entropy(x, y)),
        ({"num_labels": 1}, torch.tensor([0.5, -1.0]), lambda x, y: F.mse_loss(x[:, 0], y)),
        ({"num_labels": 2}, torch.tensor([[0.0, 1.0], [1.0, 1.0]]), F.binary_cross_entropy_with_logits),
    ],
    ids=["single_label_classification", "regression", "multi_label_classification"],
)
def test_losses(request, fields, labels, expected):
    batch = torch.stack([random_ids(20, 1), random_ids(20, 2)])
    name = request.node.callspec.id
    model = tiny_model(problem_type=name, **fields)
    outputs = model(batch, labels=labels)
    assert outputs.logits.shape == (2, fields["num_labels"]) and model.config.problem_type == name
    torch.testing.assert_close(outputs.loss, expected(outputs.logits, labels))
    outputs.loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    loss, logits = model(batch, labels=labels, return_dict=False)
    assert torch.equal(loss, outputs.loss) and torch.equal(logits, outputs.logits)
    assert model(batch).loss is None


@pytest.mark.parametrize("pooling", CNN_POOLINGS)
def test_learns_a_planted_motif(pooling):
    def rows(count, seed):
        generator = np.random.default_rng(seed)
        ids, labels = generator.integers(5, 9, (count, 40)), np.arange(count) % 2
        for row in np.flatnonzero(labels):
            start = generator.integers(34)
            ids[row, start : start + 6] = [7, 5, 8, 5, 5, 7]  # GATAAG
        return torch.from_numpy(ids), torch.from_numpy(labels)

    model = tiny_model(hidden_size=16, pooling=pooling, problem_type="single_label_classification").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids, labels = rows(512, 1)
    for _ in range(12):
        for part in torch.randperm(512).split(64):
            optimizer.zero_grad()
            model(ids[part], labels=labels[part]).loss.backward()
            optimizer.step()
    ids, labels = rows(400, 2)
    with torch.no_grad():
        right = model.eval()(ids).logits.argmax(dim=1) == labels
    assert right.float().mean() > 0.9


def test_training_settings_are_plain_numbers():
    assert set(CNN_TRAINING) >= {"learning_rate", "weight_decay", "batch_size", "epochs"}
    assert json.loads(json.dumps(CNN_TRAINING)) == CNN_TRAINING
    torch.optim.AdamW(
        tiny_model().parameters(), lr=CNN_TRAINING["learning_rate"], weight_decay=CNN_TRAINING["weight_decay"]
    )


# directories


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_save_and_load(tmp_path, dtype):
    model = tiny_model(pooling="bins", num_labels=4, base_token_ids=[8, 7, 6, 5], dilations=[1, 3]).to(dtype)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=dtype)
    assert type(loaded) is OneHotCNNForSequenceClassification and not loaded.training
    config = AutoConfig.from_pretrained(tmp_path)
    assert type(config) is OneHotCNNConfig and config.base_token_ids == [8, 7, 6, 5] and config.dilations == [1, 3]
    batch, mask = padded([random_ids(30), random_ids(12)], 35)
    logits = model(batch, mask).logits
    assert logits.dtype == dtype and torch.equal(loaded(batch, mask).logits, logits)
    assert (tmp_path / "model.safetensors").is_file()


def test_same_seed_same_model():
    first, second = tiny_model(), tiny_model()
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values()))


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"base_token_ids": [5, 6, 7]}, r"\[5, 6, 7\] must be four different ids"),
        ({"base_token_ids": [5, 6, 7, 7]}, r"\[5, 6, 7, 7\] must be four"),
        ({"base_token_ids": [0, 1, 2, 3]}, r"from 5 on: 0-4 are \[PAD\]"),
        ({"hidden_size": 0}, "hidden_size=0 must be at least 1"),
        ({"kernel_size": 4}, "kernel_size=4 must be odd"),
        ({"stem_kernel_size": -1}, "stem_kernel_size=-1 must be odd and positive"),
        ({"dilations": [1, 0]}, r"dilations=\[1, 0\]"),
        ({"pooling": "cls"}, "pooling='cls' is not one of mean, max, mean\\+max, bins"),
        ({"pooling": "bins", "pooling_bins": 0}, "pooling_bins=0 must be at least 1"),
        ({"classifier_dropout": 1.0}, r"classifier_dropout=1.0 must lie in \[0, 1\)"),
        ({"hidden_size": "64"}, "hidden_size"),
    ],
)
def test_wrong_configurations_are_refused(fields, message):
    with pytest.raises(StrictDataclassError, match=message):
        OneHotCNNConfig(**fields)


# tokenizers


def word_tokenizer(words: list[str], **special) -> PreTrainedTokenizerFast:
    model = models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def test_configuration_of_a_character_tokenizer():
    tokenizer = character_tokenizer()
    config = OneHotCNNConfig.from_tokenizer(tokenizer, pooling="bins", num_labels=5)
    assert (config.base_token_ids, config.pooling, config.num_labels) == ([5, 6, 7, 8], "bins", 5)
    batch = tokenizer(["ACGTNACGTTTGA", "acg"], padding=True, return_tensors="pt")
    logits = OneHotCNNForSequenceClassification(config).eval()(**batch).logits
    assert logits.shape == (2, 5) and torch.isfinite(logits).all()


def test_ids_follow_the_tokenizer():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "N", "T", "G", "C", "A"]
    tokenizer = word_tokenizer(words, unk_token="[UNK]", pad_token="[PAD]")
    config = OneHotCNNConfig.from_tokenizer(tokenizer)
    assert config.base_token_ids == [9, 8, 7, 6]
    model = OneHotCNNForSequenceClassification(config)
    vectors = model.one_hot(torch.tensor([tokenizer("ACGTN")["input_ids"]]))[0]
    assert torch.equal(vectors, torch.cat([torch.eye(4), torch.zeros(1, 4)]))


def test_other_tokenizers_are_refused():
    sequences = ["".join(np.random.default_rng(i).choice(list("ACGT"), 200)) for i in range(20)]
    others = [kmer_tokenizer(3), kmer_tokenizer(6, overlapping=False), bpe_tokenizer(sequences, vocab_size=20)]
    for tokenizer in others:
        with pytest.raises(ValueError, match="not a character tokenizer"):
            OneHotCNNConfig.from_tokenizer(tokenizer)
    moved = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "A", "C", "G", "T"]
    with pytest.raises(ValueError, match=r"pad_token_id is 1, but the network takes 0 as \[PAD\]"):
        OneHotCNNConfig.from_tokenizer(word_tokenizer(moved, unk_token="[UNK]", pad_token="[PAD]"))
