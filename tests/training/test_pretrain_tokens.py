"""Pre-training over ordinary vocabularies: the same windows, no leaks, files, resuming, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import Stopped, pretrain_arguments, stop_after, tokenize_arguments, write_fasta
from tokenizers import Regex, pre_tokenizers
from transformers import AutoModelForMaskedLM, AutoTokenizer

from vqdna_hf.baselines import (
    TokenEncoderForMaskedLM,
    bpe_tokenizer,
    character_tokenizer,
    kmer_tokenizer,
    tokenizer_kind,
)
from vqdna_hf.baselines.write_tokenizer import BaselineTokenizerArguments, write_baseline_tokenizer
from vqdna_hf.data import Corpus
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.runs.records import weight_digests
from vqdna_hf.training.masking import MaskedWindows, Masking
from vqdna_hf.training.pretrain import PretrainTrainer, pretrain
from vqdna_hf.training.token_masking import TokenCollator, TokenMasking, WindowEncoder, masked_spans
from vqdna_hf.training.tokenize import tokenize


KINDS = ["character", "kmer", "kmer-apart", "bpe"]


def window(rng: np.random.Generator, length: int, unknown: int = 0) -> np.ndarray:
    bases = rng.integers(0, 4, length)
    bases[rng.choice(length, unknown, replace=False)] = 4
    return bases


def token_arguments(*places, **changes):
    """An encoder in four steps; there are no codes whose neighbours could give them away."""
    return pretrain_arguments(*places, **{"neighbour_steps": 0} | changes)


def build(kind: str):
    if kind == "bpe":
        rng = np.random.default_rng(1)
        return bpe_tokenizer([ids_to_bases(window(rng, 500)) for _ in range(10)], vocab_size=50)
    return character_tokenizer() if kind == "character" else kmer_tokenizer(3, overlapping="apart" not in kind)


@pytest.fixture(scope="module")
def plain_corpus(tmp_path_factory, genome_fasta) -> Path:
    """Windows of 64 bases, the last of each contig shorter."""
    directory = tmp_path_factory.mktemp("plain") / "corpus"
    tokenize(tokenize_arguments(genome_fasta, directory))
    return directory


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("tokenizers")
    for kind in KINDS:
        build(kind).save_pretrained(directory / kind)
    return {kind: directory / kind for kind in KINDS}


# ids and masks


@pytest.mark.parametrize("tokenizer", [*map(build, KINDS), kmer_tokenizer(6)], ids=[*KINDS, "kmer-6"])
def test_windows_become_what_the_tokenizer_gives(tokenizer):
    rng = np.random.default_rng(0)
    windows = [window(rng, length, length // 20) for length in (1, 2, 3, 5, 6, 7, 64, 100, 333)]
    texts = [ids_to_bases(bases) for bases in windows]
    expected = tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert [row.tolist() for row in WindowEncoder(tokenizer)(windows)] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_vocabulary_sees_the_windows_of_a_learned_one(plain_corpus, kind):
    rows = Corpus.load(plain_corpus).split("train")
    items = list(range(0, 2 * len(rows), 7))
    learned = MaskedWindows(rows, 3 * len(rows), Masking("base", 0.25, 8, 128), seed=5)
    ours = MaskedWindows(rows, 3 * len(rows), TokenMasking(WindowEncoder(build(kind)), 0.25), seed=5)
    for theirs, own in zip(learned.__getitems__(items), ours.__getitems__(items)):
        assert np.array_equal(theirs["nucleotide_ids"], own["bases"])
    assert ours.count_bases() == sum(len(ours[index]["bases"]) for index in range(len(ours)))
    part = MaskedWindows(rows, len(rows) + 3, ours.masking, seed=5)
    assert part.count_bases() == sum(len(part[index]["bases"]) for index in range(len(part)))


@pytest.mark.parametrize("k", [2, 3, 6])
def test_no_visible_kmer_holds_a_masked_base(k):
    tokenizer, rng = kmer_tokenizer(k), np.random.default_rng(k)
    masking = TokenMasking(WindowEncoder(tokenizer), 0.25)
    items = [masking.item(window(rng, length, length // 40), rng) for length in (200, 64, 512, k - 1, k, 333)]
    batch = TokenCollator(masking)(items)
    clean = masking.encoder([item["bases"] for item in items])
    for row, item in enumerate(items):
        span, length = (k, len(item["bases"])) if len(item["bases"]) >= k else (1, k - 1)
        ids = batch["input_ids"][row, 1 : length - span + 2]
        for place, token in enumerate(ids.tolist()):
            holds_masked = bool(item["masked"][place : place + span].any())
            assert (token == tokenizer.mask_token_id) == holds_masked
            label = int(batch["labels"][row, place + 1])
            assert label == (clean[row][place] if holds_masked and clean[row][place] != 1 else -100)
            assert holds_masked or token == clean[row][place]
    assert not ((batch["labels"] >= 0) & (batch["attention_mask"] == 0)).any()


@pytest.mark.parametrize("span, ratio", [(6, 0.25), (3, 0.25), (1, 0.25), (6, 0.95), (2, 0.5)])
def test_masked_spans_have_the_share_asked_for(span, ratio):
    rng = np.random.default_rng(0)
    masked = np.stack([masked_spans(120, span, ratio, rng) for _ in range(400)])
    assert (masked.sum(axis=1) == round(ratio * 120 / span) * span).all()
    # runs of whole spans, and every base has its turn
    for row in masked[:20]:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row, [0]])))
        assert ((edges[1::2] - edges[::2]) % span == 0).all()
    assert masked.any(axis=0).all()
    assert masked_spans(span, span, ratio, rng).all()


@pytest.mark.parametrize("kind", ["character", "kmer-apart", "bpe"])
def test_other_vocabularies_are_masked_as_bert_does(kind):
    tokenizer, rng = build(kind), np.random.default_rng(0)
    masking = TokenMasking(WindowEncoder(tokenizer), 0.25)
    items = [masking.item(window(rng, length, 5), rng) for length in (400, 300) * 20]
    collate = TokenCollator(masking)
    batch = collate(items)
    clean = torch.where(batch["labels"] >= 0, batch["labels"], batch["input_ids"])
    for row, ids in enumerate(masking.encoder([item["bases"] for item in items])):
        assert clean[row][batch["attention_mask"][row] == 1].tolist() == [2, *ids, 3]
    assert (batch["input_ids"][batch["attention_mask"] == 0] == tokenizer.pad_token_id).all()
    chosen, ordinary = batch["labels"] >= 0, clean > 4
    assert not (chosen & ~ordinary).any()  # special tokens and unknown bases are no labels
    assert abs(chosen.sum() / ordinary.sum() - 0.25) < 0.02
    assert abs((batch["input_ids"][chosen] == tokenizer.mask_token_id).double().mean() - 0.8) < 0.03
    again = collate(items)
    assert all(torch.equal(batch[name], again[name]) for name in batch)


# runs


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_writes_a_model_and_its_record(tmp_path, plain_corpus, tokenizers, kind):
    summary = pretrain(token_arguments(plain_corpus, tokenizers[kind], tmp_path))
    assert json.loads((tmp_path / "training.json").read_text()) == json.loads(json.dumps(summary))
    assert 0 <= summary["eval"]["masked_token_accuracy"] <= 1 and summary["eval"]["loss"] > 0
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert summary["parameters"] == model.num_parameters()
    assert summary["embedding_parameters"] == len(tokenizer) * 32
    assert summary["digests"] == weight_digests(tmp_path)
    assert tokenizer_kind(tokenizer).items() <= summary["tokenizer"].items()
    assert tokenizer_kind(tokenizer)["kind"] == kind.removesuffix("-apart")
    assert summary["bases_seen"] <= 4 * 8 * 64
    if kind == "character":
        assert summary["tokens_seen"] == summary["bases_seen"] + 2 * 32  # [CLS] and [SEP] of 32 windows
        assert summary["tokenizer"]["usage"] == summary["tokenizer"]["tokens_per_base"] == 1
    assert summary["tokenizer"]["unknown"] == 0
    left = {path.name for path in tmp_path.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "run.json"} <= left
    assert not list(tmp_path.glob("checkpoint-*")) and not list(tmp_path.glob("*.partial"))


def test_it_learns_what_repeats(tmp_path, tokenizers):
    repeat = np.tile([0, 1, 2, 2, 3], 1200).astype(np.uint8)
    fasta = write_fasta(tmp_path / "repeat.fa", [repeat, repeat[:1000], repeat[:1000]])
    tokenize(tokenize_arguments(fasta, tmp_path / "corpus"))
    changes = {"max_steps": 80, "learning_rate": 5e-3, "logging_steps": 80, "random_strand": False}
    summary = pretrain(token_arguments(tmp_path / "corpus", tokenizers["kmer"], tmp_path / "model", **changes))
    # five k-mers, equally frequent: a guess is right one time in five
    assert summary["eval"]["masked_token_accuracy"] > 0.5


@pytest.mark.parametrize("kind", ["kmer", "bpe"])
def test_a_resumed_run_gives_the_same_bits(monkeypatch, tmp_path, plain_corpus, tokenizers, kind):
    changes = {"save_steps": 2}
    expected = pretrain(token_arguments(plain_corpus, tokenizers[kind], tmp_path / "whole", **changes))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, 2, PretrainTrainer)
        pretrain(token_arguments(plain_corpus, tokenizers[kind], tmp_path / "parts", **changes))
    resumed = pretrain(token_arguments(plain_corpus, tokenizers[kind], tmp_path / "parts", **changes, resume=True))
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert list(first) == list(second)
    for name, values in first.items():
        assert torch.equal(values, second[name]), name
    for name in ("loss", "masked_token_accuracy"):
        assert resumed["eval"][name] == expected["eval"][name], name
    for name in ("tokens_seen", "bases_seen"):
        assert resumed[name] == expected[name], name


def test_training_starts_from_a_model(tmp_path, plain_corpus, tokenizers):
    arguments = BaselineTokenizerArguments(kind="kmer", k=2, output=str(tmp_path / "tokenizer"))
    write_baseline_tokenizer(arguments)
    pretrain(token_arguments(plain_corpus, tmp_path / "tokenizer", tmp_path / "first"))
    changes = {"model": str(tmp_path / "first"), "learning_rate": 0.0, "max_steps": 1, "gradient_checkpointing": True}
    # the tokenizer that a model was saved with is the same one
    summary = pretrain(token_arguments(plain_corpus, tmp_path / "first", tmp_path / "second", **changes))
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    assert all(torch.equal(values, second[name]) for name, values in first.items())
    assert summary["vocabulary"]["arguments"]["k"] == 2 and summary["encoder"]["arguments"]["max_steps"] == 4
    with pytest.raises(ValueError, match="has another vocabulary"):
        pretrain(token_arguments(plain_corpus, tokenizers["bpe"], tmp_path / "out", **changes))


def test_what_does_not_fit_is_refused(tmp_path, plain_corpus, tokenizers, model_dir):
    spaced = kmer_tokenizer(3)
    spaced.backend_tokenizer.pre_tokenizer = character_tokenizer().backend_tokenizer.pre_tokenizer
    spaced.backend_tokenizer.normalizer = None
    spaced.backend_tokenizer.model = type(spaced.backend_tokenizer.model)({"[UNK]": 1}, unk_token="[UNK]")
    spaced.init_kwargs.pop("vqdna_vocabulary")
    spaced.save_pretrained(tmp_path / "spaced")
    for kind, changes, message in [
        ("kmer", {"masking": "token"}, "--masking token is about the codes"),
        ("kmer", {"lora": True}, "--lora True is about"),
        ("kmer", {"span_length": 80}, "--span-length 80"),
        ("kmer", {"neighbour_steps": 7}, "--neighbour-steps 7"),
        ("kmer", {"base_loss_weight": 0.5}, "--base-loss-weight 0.5"),
        ("kmer", {"mask_ratio": 1.5}, "--mask-ratio 1.5: must be more than 0 and less than 1"),
        ("kmer", {"preset": "huge"}, "--preset huge: must be one of"),
        ("kmer", {"model": str(model_dir)}, "its model_type is 'vqdna'"),
        ("kmer", {"attn_implementation": "telepathy"}, "--attn-implementation telepathy cannot be used here"),
    ]:
        with pytest.raises(ValueError, match=message):
            pretrain(token_arguments(plain_corpus, tokenizers[kind], tmp_path / "out", **changes))
    with pytest.raises(ValueError, match=r"100% of known DNA as \[UNK\]"):
        pretrain(token_arguments(plain_corpus, tmp_path / "spaced", tmp_path / "out"))
    silent = bpe_tokenizer(["ACGTACGT"], vocab_size=10)
    silent.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[A-Z]"), "removed")
    silent.save_pretrained(tmp_path / "silent")
    with pytest.raises(ValueError, match="gives no token for .* sequences of DNA"):
        pretrain(token_arguments(plain_corpus, tmp_path / "silent", tmp_path / "out"))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="tokenizer in .*broken cannot be loaded.*Make one with"):
        pretrain(token_arguments(plain_corpus, tmp_path / "broken", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_options_of_speed_change_no_loss(monkeypatch, tmp_path, plain_corpus, tokenizers):
    compiled, losses = [], {}
    options = {"plain": {}, "eager": {"attn_implementation": "eager"}, "compiled": {"compile": True}}
    # what torch would compile runs as it is: compilation itself is torch's
    monkeypatch.setattr(torch, "compile", lambda model, **_: compiled.append(model) or model)
    for name, changes in options.items():
        summary = pretrain(token_arguments(plain_corpus, tokenizers["kmer"], tmp_path / name, **changes))
        losses[name] = summary["eval"]["loss"]
        assert bool(compiled) == (name == "compiled") and changes.items() <= summary["arguments"].items()
        config = TokenEncoderForMaskedLM.from_pretrained(tmp_path / name).config
        assert config._attn_implementation == "sdpa"  # how a model computes is not saved with it
    assert losses["compiled"] == losses["plain"] == pytest.approx(losses["eager"], abs=1e-5)


def test_the_paper_recipe_sets_the_optimizer_alone(tmp_path, plain_corpus, tokenizers):
    changes = {"recipe": "paper", "max_steps": 1}
    summary = pretrain(token_arguments(plain_corpus, tokenizers["bpe"], tmp_path, **changes))
    assert summary["arguments"]["learning_rate"] == 5e-4 and summary["arguments"]["masking"] == "base"
