"""Stage 2: what it writes, that it resumes exactly, and that the neighbours-only predictor sees leakage."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tiny_runs import (
    Stopped,
    pretrain_arguments,
    stop_after,
    tokenize_arguments,
    tokenizer_arguments,
    write_fasta,
)
from transformers import AutoModelForMaskedLM, AutoTokenizer

from vqdna_hf import VQDNAConfig, VQDNAForMaskedLM
from vqdna_hf.baselines.one_hot import OneHotTokenizerArguments, write_one_hot_tokenizer
from vqdna_hf.data import Corpus
from vqdna_hf.training.masking import MaskedWindows, Masking
from vqdna_hf.training.neighbours import batches_of, neighbours_accuracy
from vqdna_hf.training.pretrain import PretrainTrainer, pretrain
from vqdna_hf.training.tokenize import tokenize
from vqdna_hf.training.train_tokenizer import train_tokenizer


# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

METRICS = {"loss", "loss_1", "loss_2", "base_loss", "accuracy_1", "accuracy_2", "base_accuracy"}
NEIGHBOURS = {"neighbours_accuracy_1", "neighbours_accuracy_2", "neighbours_base_accuracy"}


def weights(directory) -> dict[str, torch.Tensor]:
    return load_file(Path(directory) / "model.safetensors")


# what is written


@pytest.mark.parametrize("masking", ["base", "token", "span"])
def test_every_masking_writes_a_model_and_its_record(tmp_path, corpus_dir, tokenizer_dir, masking):
    summary = pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path, masking=masking))
    assert json.loads((tmp_path / "training.json").read_text()) == json.loads(json.dumps(summary))
    assert METRICS | NEIGHBOURS <= set(summary["eval"])
    for name in NEIGHBOURS | {"accuracy_1", "accuracy_2", "base_accuracy"}:
        assert 0 <= summary["eval"][name] <= 1, name
    parts = summary["eval"]
    assert parts["loss"] == pytest.approx((parts["loss_1"] + parts["loss_2"]) / 2 + parts["base_loss"], abs=0.05)
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    model.check_tokenizer(tokenizer)
    assert summary["fingerprint"] == tokenizer.vocabulary_fingerprint == model.config.vocabulary_fingerprint
    assert tokenizer.vocabulary_fingerprint == AutoTokenizer.from_pretrained(tokenizer_dir).vocabulary_fingerprint
    assert not list(tmp_path.glob("checkpoint-*")) and not list(tmp_path.glob("*.partial"))


def test_the_codec_stays_as_it_was(tokenizer_dir, model_dir):
    before, after = weights(tokenizer_dir), weights(model_dir)
    for name, values in before.items():
        assert torch.equal(values, after[f"vqdna.codec.{name}"]), name


def test_a_one_hot_vocabulary_trains_alike(tmp_path, genome_fasta):
    """A vocabulary whose codes see one base: nothing to leak, nothing else in the way."""
    write_one_hot_tokenizer(OneHotTokenizerArguments(output=str(tmp_path / "tokenizer")))
    tokenize(tokenize_arguments(genome_fasta, tmp_path / "corpus"))
    summary = pretrain(pretrain_arguments(tmp_path / "corpus", tmp_path / "tokenizer", tmp_path / "model"))
    # the code is the base, so that both heads answer one question
    assert {"accuracy_1", "base_accuracy", "neighbours_base_accuracy"} <= set(summary["eval"])
    assert "accuracy_2" not in summary["eval"]


# leakage


@pytest.fixture(scope="module")
def random_dna(tmp_path_factory) -> tuple[Path, Path]:
    """Corpus and tokenizer of DNA without any structure, in which nothing but leakage beats 25 %."""
    directory = tmp_path_factory.mktemp("random")
    rng = np.random.default_rng(7)
    contigs = [rng.integers(0, 4, length).astype(np.uint8) for length in (15_000, 15_000, 6000)]
    fasta = write_fasta(directory / "random.fa", contigs)
    arguments = tokenizer_arguments(
        fasta, directory / "tokenizer", max_steps=40, batch_size=16, warmup_steps=10, eval_steps=1000, mask_ratio=0.0
    )
    train_tokenizer(arguments)
    tokenize(tokenize_arguments(fasta, directory / "corpus"))
    return directory / "corpus", directory / "tokenizer"


def leakage(random_dna, kind: str) -> float:
    """How often the neighbours alone give away a masked base."""
    corpus, tokenizer = random_dna
    tokenizer = AutoTokenizer.from_pretrained(tokenizer)
    model = VQDNAForMaskedLM(VQDNAConfig.from_preset("tiny", codec_config=tokenizer.codec.config)).eval()
    model.codec.load_state_dict(tokenizer.codec.state_dict())
    masking = Masking(kind, 0.25, tokenizer.codec.config.halo, tokenizer.vocab_size - 5)

    def batches(split: str, count: int):
        return batches_of(MaskedWindows(Corpus.load(corpus).split(split), count * 16, masking, seed=0), 16)

    return neighbours_accuracy(model, batches("train", 80), batches("validation", 12))["neighbours_base_accuracy"]


def test_neighbours_give_a_masked_code_away_but_not_a_masked_base(random_dna):
    token, base, span = (leakage(random_dna, kind) for kind in ("token", "base", "span"))
    # some 3000 positions of unstructured DNA: chance is 0.25 with a standard deviation of 0.008. In `base` mode a
    # tenth of the labelled positions stays visible, and that little shows
    assert base < 0.36
    assert token > 0.45 and token > base + 0.12
    assert abs(span - 0.25) < 0.06


# stopping and resuming


def test_a_resumed_run_gives_the_same_bits(monkeypatch, tmp_path, corpus_dir, tokenizer_dir):
    changes = {"save_steps": 2, "masking": "token", "neighbour_steps": 0}
    expected = pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path / "whole", **changes))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, 2, PretrainTrainer)
        pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path / "parts", **changes))
    with pytest.raises(ValueError, match="--resume"):
        pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path / "parts", **changes))
    changes["resume"] = True
    with pytest.raises(ValueError, match=r"mask_ratio: 0.25 then, 0.5 now"):
        pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path / "parts", **changes, mask_ratio=0.5))
    (path,) = tmp_path.glob("parts/checkpoint-*/trainer_state.json")
    state = json.loads(path.read_text())
    state["log_history"][-1]["elapsed_seconds"] += 5000  # as if the first part had taken that
    path.write_text(json.dumps(state))
    resumed = pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path / "parts", **changes))
    assert 5000 < resumed["seconds"] < 6000 and expected["seconds"] < 1000  # time of all parts
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert list(first) == list(second)
    for name, values in first.items():
        assert torch.equal(values, second[name]), name
    for name in METRICS:
        assert resumed["eval"][name] == expected["eval"][name], name


def test_a_run_is_not_resumed_over_another_vocabulary(
    monkeypatch, tmp_path, genome_fasta, tokenizer_dir, other_tokenizer_dir
):
    tokenize(tokenize_arguments(genome_fasta, tmp_path / "corpus"))
    shutil.copytree(tokenizer_dir, tmp_path / "tokenizer")
    places = (tmp_path / "corpus", tmp_path / "tokenizer", tmp_path / "out")
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, 2, PretrainTrainer)
        pretrain(pretrain_arguments(*places, save_steps=2))
    shutil.copytree(other_tokenizer_dir, tmp_path / "tokenizer", dirs_exist_ok=True)
    with pytest.raises(ValueError, match=r"Cannot resume .*\(fingerprint: '\w+' then, '\w+' now\)"):
        pretrain(pretrain_arguments(*places, save_steps=2, resume=True))


def test_training_starts_from_a_model(tmp_path, corpus_dir, tokenizer_dir, model_dir):
    changes = {"model": str(model_dir), "learning_rate": 0.0, "max_steps": 1, "neighbour_steps": 0}
    changes["gradient_checkpointing"] = True
    pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path, **changes))
    for name, values in weights(model_dir).items():
        assert torch.equal(values, weights(tmp_path)[name]), name


def test_the_heads_run_where_something_is_labelled(monkeypatch, tmp_path, corpus_dir, tokenizer_dir):
    """A quarter of each window, which makes the run's heads four times cheaper; its scores are of those positions."""
    shapes, forward = [], VQDNAForMaskedLM.forward

    def keep_shape(model, *args, **kwargs):
        outputs = forward(model, *args, **kwargs)
        shapes.append((int((kwargs["base_targets"] >= 0).sum()), outputs.logits.shape, outputs.base_logits.shape))
        return outputs

    monkeypatch.setattr(VQDNAForMaskedLM, "forward", keep_shape)
    summary = pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path, masking="token", neighbour_steps=0))
    assert len(shapes) > 4 and METRICS <= set(summary["eval"])
    assert all(logits == (count, 24) and bases == (count, 4) and count for count, logits, bases in shapes)


def test_options_of_speed_change_no_loss(tmp_path, corpus_dir, tokenizer_dir):
    options = {
        "plain": {},
        "eager": {"attn_implementation": "eager", "gradient_checkpointing": True},
        "bf16": {"bf16": True},  # which a CPU can do, too
    }
    losses = {}
    for name, changes in options.items():
        changes = {**changes, "masking": "token", "neighbour_steps": 0}
        summary = pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path / name, **changes))
        losses[name] = summary["eval"]["loss"]
        assert ("attn_implementation" in summary["arguments"]) == (name == "eager")
    assert losses["eager"] == pytest.approx(losses["plain"], abs=1e-5)
    assert losses["bf16"] == pytest.approx(losses["plain"], abs=0.02) and losses["bf16"] != losses["plain"]


# adapters


def test_lora_saves_an_adapter_and_leaves_the_codec_alone(tmp_path, corpus_dir, tokenizer_dir, model_dir):
    changes = {"model": str(model_dir), "lora": True, "learning_rate": 1e-2}
    summary = pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path, **changes))
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "codec.safetensors",
        "codec_config.json",
        "tokenizer_config.json",
        "training.json",
    ]
    adapter = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert any("lora_A" in name for name in adapter) and any("level_decoder" in name for name in adapter)
    assert not any("codec" in name for name in adapter)
    assert summary["parameters"] == sum(values.numel() for values in adapter.values())
    base = VQDNAForMaskedLM.from_pretrained(model_dir)
    before = {name: values.clone() for name, values in base.codec.state_dict().items()}
    adapted = PeftModel.from_pretrained(base, tmp_path / "adapter")
    ids = AutoTokenizer.from_pretrained(tmp_path)("ACGTTGCAACGT", return_tensors="pt")["input_ids"]
    plain = VQDNAForMaskedLM.from_pretrained(model_dir).eval()
    with torch.no_grad():
        assert not torch.allclose(adapted.eval()(input_ids=ids).logits, plain(input_ids=ids).logits)
        # the next stage takes the whole model, with the adapter merged
        merged = VQDNAForMaskedLM.from_pretrained(tmp_path).eval()
        torch.testing.assert_close(merged(input_ids=ids).logits, adapted(input_ids=ids).logits, atol=1e-5, rtol=1e-4)
    for name, values in adapted.get_base_model().codec.state_dict().items():
        if not name.split(".")[-1] == "num_updates":
            assert torch.equal(values, before[name]), name
    assert adapted.get_base_model().fingerprint() == plain.fingerprint()


# what is refused


def test_a_corpus_of_another_vocabulary_is_refused(tmp_path, corpus_dir, tokenizer_dir, other_tokenizer_dir):
    theirs, ours = (
        AutoTokenizer.from_pretrained(path).vocabulary_fingerprint for path in (tokenizer_dir, other_tokenizer_dir)
    )
    assert theirs != ours
    with pytest.raises(ValueError) as caught:
        pretrain(pretrain_arguments(corpus_dir, other_tokenizer_dir, tmp_path / "out"))
    assert theirs in str(caught.value) and ours in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_vocabulary_is_refused(tmp_path, genome_fasta, model_dir, other_tokenizer_dir):
    tokenize(tokenize_arguments(genome_fasta, tmp_path / "corpus"))
    arguments = pretrain_arguments(tmp_path / "corpus", other_tokenizer_dir, tmp_path / "out", model=str(model_dir))
    with pytest.raises(ValueError) as caught:
        pretrain(arguments)
    for directory in (model_dir, other_tokenizer_dir):
        assert AutoTokenizer.from_pretrained(directory).vocabulary_fingerprint in str(caught.value)
    assert not (tmp_path / "out" / "training.json").exists()


def test_options_that_do_not_fit_are_refused(tmp_path, corpus_dir, tokenizer_dir):
    for changes, message in [
        ({"lora": True}, "name it with --model"),
        ({"masking": "span", "span_length": 9}, "at least 33"),
        ({"masking": "words"}, "--masking words: must be one of base, token, span"),
        ({"preset": "huge"}, "--preset huge: must be one of"),
        ({"attn_implementation": "telepathy"}, "--attn-implementation telepathy cannot be used here"),
    ]:
        with pytest.raises(ValueError, match=message):
            pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path / "out", **changes))
