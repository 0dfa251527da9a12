"""Stage 3: every mode writes what it promises, dev selects, test is scored once, and saved models come back."""

import json
import shutil
from typing import get_args

import numpy as np
import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, PeftModel
from safetensors.torch import load_file
from tiny_runs import FINETUNE_KEYS, Stopped, finetune_arguments, stop_after, write_task
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer, Trainer

from vqdna_hf.arguments.training import Mode
from vqdna_hf.baselines.linear_probe import LinearProbe
from vqdna_hf.checkpoints.loading import load_tokenizer
from vqdna_hf.cli import main
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases, reverse_complement
from vqdna_hf.tasks import load_task_files
from vqdna_hf.training.finetune import finetune
from vqdna_hf.training.task_rows import TaskCollator, TaskRows


# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

TRAINED = ("lora", "full", "end-to-end")


class Predictions:
    """What `Trainer` evaluates and predicts, in order, and the logits of the last prediction."""

    def __init__(self, monkeypatch):
        self.calls, self.logits = [], None
        evaluate, predict = Trainer.evaluate, Trainer.predict

        def count_evaluate(trainer, *args, **kwargs):
            self.calls.append(("dev", len(trainer.eval_dataset)))
            return evaluate(trainer, *args, **kwargs)

        def keep_predict(trainer, dataset, *args, **kwargs):
            output = predict(trainer, dataset, *args, **kwargs)
            self.calls.append(("test", len(dataset)))
            self.logits = output.predictions
            return output

        monkeypatch.setattr(Trainer, "evaluate", count_evaluate)
        monkeypatch.setattr(Trainer, "predict", keep_predict)


@pytest.fixture
def predictions(monkeypatch) -> Predictions:
    return Predictions(monkeypatch)


def test_batch(data) -> dict[str, torch.Tensor]:
    rows = TaskRows.of_bases(*load_task_files(data)[0]["test"][:].values())
    return TaskCollator()([rows[index] for index in range(len(rows))])


test_batch.__test__ = False


def test_sequences(data) -> list[str]:
    return [ids_to_bases(ids) for ids in load_task_files(data)[0]["test"]["nucleotide_ids"]]


test_sequences.__test__ = False


@torch.no_grad()
def logits_of(model, **inputs) -> np.ndarray:
    return model.eval()(**inputs).logits.numpy()


def load_adapter(directory) -> PeftModel:
    """As the docstring of `finetune` says."""
    return AutoPeftModelForSequenceClassification.from_pretrained(directory)


def test_classes_of_a_known_task_have_names(tmp_path, model_dir):
    data = write_task(tmp_path / "GUE" / "mouse" / "3", lambda planted, rng: planted)
    finetune(finetune_arguments(data, model_dir, tmp_path / "out", mode="lora"))
    assert load_adapter(tmp_path / "out").config.id2label == {0: "not bound", 1: "bound"}


# every mode


@pytest.mark.parametrize("mode", get_args(Mode))
def test_results_hold_the_scores_and_how_they_came_about(tmp_path, task_dir, model_dir, mode):
    results = finetune(finetune_arguments(task_dir, model_dir, tmp_path, mode=mode))
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(json.dumps(results))
    assert set(results) == FINETUNE_KEYS
    assert (results["task"], results["mode"], results["metric"], results["seed"]) == ("planted", mode, "mcc", 42)
    assert results["counts"] == {"train": 36, "dev": 12, "test": 14}
    for split in ("dev", "test"):
        assert set(results[split]) == {"mcc", "f1", "accuracy"}
        assert all(-1 <= value <= 1 for value in results[split].values())
    assert results["arguments"]["epochs"] == 1 and "torch" in results["versions"]
    rates = {"lora": 1e-3, "full": 5e-4, "end-to-end": 5e-4, "linear": None}
    assert results["arguments"]["learning_rate"] == rates[mode]  # the one used, though none was asked for
    assert results["encoder"]["eval"] == json.loads((model_dir / "training.json").read_text())["eval"]
    assert results["fingerprint"] == AutoTokenizer.from_pretrained(tmp_path).vocabulary_fingerprint
    assert not list(tmp_path.glob("checkpoint-*")) and not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("mode", TRAINED)
def test_test_is_scored_once_and_after_selection(predictions, tmp_path, task_dir, model_dir, mode):
    finetune(finetune_arguments(task_dir, model_dir, tmp_path, mode=mode, epochs=2))
    assert predictions.calls == [("dev", 12)] * 3 + [("test", 14)]


def test_the_linear_probe_scores_test_once_and_after_selection(monkeypatch, tmp_path, task_dir, model_dir):
    calls, score = [], LinearProbe.score
    monkeypatch.setattr(
        LinearProbe, "score", lambda self, split: calls.append(len(split["labels"])) or score(self, split)
    )
    finetune(finetune_arguments(task_dir, model_dir, tmp_path, mode="linear"))
    assert calls[-1] == 14 and set(calls[:-1]) == {12}


def test_the_best_epoch_is_kept(monkeypatch, tmp_path, task_dir, model_dir):
    """Scores that are made up: the first of three epochs is the best, and its weights are the ones saved."""
    made_up = iter([0.5, 0.25, 0.125, 0.5, 0.0])
    weights = []
    evaluate = Trainer.evaluate

    def keep(trainer, *args, **kwargs):
        weights.append(trainer.model.classifier.out_proj.weight.detach().clone())
        return evaluate(trainer, *args, **kwargs)

    monkeypatch.setattr(Trainer, "evaluate", keep)
    scores = lambda problem: lambda evaluation: {"mcc": next(made_up), "f1": 0.0, "accuracy": 0.0}  # noqa: E731
    monkeypatch.setattr("vqdna_hf.training.classifier_trainer.make_compute_metrics", scores)
    results = finetune(finetune_arguments(task_dir, model_dir, tmp_path, mode="full", epochs=3))
    assert results["dev"]["mcc"] == 0.5 and results["test"]["mcc"] == 0.0
    saved = load_file(tmp_path / "model.safetensors")["classifier.out_proj.weight"]
    assert torch.equal(saved, weights[0]) and not torch.equal(saved, weights[1])


# saved models


@pytest.mark.parametrize("mode", ["full", "end-to-end"])
def test_a_saved_model_gives_the_logits_of_the_trained_one(predictions, tmp_path, task_dir, model_dir, mode):
    finetune(finetune_arguments(task_dir, model_dir, tmp_path, mode=mode, learning_rate=1e-2))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    batch = test_batch(task_dir)
    batch.pop("labels")
    assert np.array_equal(logits_of(model, **batch), predictions.logits)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model.check_tokenizer(tokenizer)
    encoded = tokenizer(test_sequences(task_dir), padding=True, return_tensors="pt")
    np.testing.assert_allclose(logits_of(model, **encoded), predictions.logits, atol=1e-5)


def test_end_to_end_makes_a_vocabulary_of_its_own(tmp_path, task_dir, model_dir):
    results = finetune(
        finetune_arguments(task_dir, model_dir, tmp_path, mode="end-to-end", learning_rate=1e-2, strand_average=True)
    )
    before = AutoTokenizer.from_pretrained(model_dir)
    after, model = (
        AutoTokenizer.from_pretrained(tmp_path),
        AutoModelForSequenceClassification.from_pretrained(tmp_path),
    )
    assert results["fingerprint"] == after.vocabulary_fingerprint == model.fingerprint()
    assert after.vocabulary_fingerprint != before.vocabulary_fingerprint
    books = [[book.embedding for book in tokenizer.codec.quantizer.codebooks] for tokenizer in (before, after)]
    assert all(torch.equal(first, second) for first, second in zip(*books))  # the code vectors never move
    assert not torch.equal(before.codec.encoder.stem.weight, after.codec.encoder.stem.weight)


@pytest.mark.parametrize("mode", ["lora", "full", "linear"])
def test_other_modes_keep_the_vocabulary(tmp_path, task_dir, model_dir, mode):
    results = finetune(finetune_arguments(task_dir, model_dir, tmp_path, mode=mode, learning_rate=1e-2))
    assert results["fingerprint"] == AutoTokenizer.from_pretrained(model_dir).vocabulary_fingerprint


def test_lora_saves_an_adapter_that_loads_over_its_base(predictions, tmp_path, task_dir, model_dir):
    finetune(finetune_arguments(task_dir, model_dir, tmp_path, mode="lora", learning_rate=1e-2))
    assert not (tmp_path / "model.safetensors").exists()
    adapter = load_file(tmp_path / "adapter_model.safetensors")
    assert all("lora_" in name or ".classifier." in name for name in adapter)
    assert not (tmp_path / "config.json").exists()  # the Auto classes would look for the model's weights beside it
    batch = test_batch(task_dir)
    batch.pop("labels")
    model = load_adapter(tmp_path)
    assert np.array_equal(logits_of(model, **batch), predictions.logits)
    merged = model.merge_and_unload()
    np.testing.assert_allclose(logits_of(merged, **batch), predictions.logits, atol=1e-5)
    whole = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert np.array_equal(logits_of(whole, **batch), predictions.logits)
    merged.check_tokenizer(AutoTokenizer.from_pretrained(tmp_path))


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_strand_average_reads_both_strands(predictions, tmp_path, task_dir, model_dir, mode):
    finetune(finetune_arguments(task_dir, model_dir, tmp_path, mode=mode, strand_average=True, learning_rate=1e-2))
    model = load_adapter(tmp_path) if mode == "lora" else AutoModelForSequenceClassification.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.return_nucleotide_ids and model.config.strand_average
    forward = test_sequences(task_dir)
    other = [ids_to_bases(ids) for ids in map(reverse_complement, _ids(task_dir))]
    first, second = (
        logits_of(model, **tokenizer(strand, padding=True, return_tensors="pt")) for strand in (forward, other)
    )
    np.testing.assert_allclose(first, second, atol=1e-5)
    np.testing.assert_allclose(first, predictions.logits, atol=1e-5)


def _ids(data) -> list[np.ndarray]:
    return [np.asarray(ids, dtype=np.uint8) for ids in load_task_files(data)[0]["test"]["nucleotide_ids"]]


def test_a_linear_probe_comes_back(tmp_path, task_dir, model_dir):
    results = finetune(finetune_arguments(task_dir, model_dir, tmp_path, mode="linear", strand_average=True))
    probe, split = LinearProbe.from_pretrained(tmp_path), load_task_files(task_dir)[0]["test"]
    assert probe.score(split) == results["test"]
    probe.save_pretrained(tmp_path / "again")
    AutoTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path / "again")
    again = LinearProbe.from_pretrained(tmp_path / "again")
    ids = _ids(task_dir)
    assert np.array_equal(again.logits(ids), probe.logits(ids))
    np.testing.assert_allclose(probe.logits([reverse_complement(row) for row in ids]), probe.logits(ids), atol=1e-4)


def test_a_linear_probe_needs_no_encoder(tmp_path, task_dir, model_dir, tokenizer_dir):
    theirs = finetune(finetune_arguments(task_dir, model_dir, tmp_path / "encoder", mode="linear"))

    with pytest.raises(ValueError, match="encoder holds no model"):  # but a probe, with its vocabulary
        finetune(finetune_arguments(task_dir, tmp_path / "encoder", tmp_path / "of-a-probe", mode="linear"))
    results = finetune(finetune_arguments(task_dir, tokenizer_dir, tmp_path / "alone", mode="linear"))

    assert (results["dev"], results["test"]) == (theirs["dev"], theirs["test"])
    record = json.loads((tokenizer_dir / "training.json").read_text())
    assert results["vocabulary"]["eval"] == record["eval"]
    assert set(results) == FINETUNE_KEYS - {"encoder"} | {"vocabulary"}
    assert LinearProbe.from_pretrained(tmp_path / "alone").codec.fingerprint() == record["fingerprint"]
    learned_from = "### Learned from"
    assert all(learned_from in (tmp_path / name / "README.md").read_text() for name in ("encoder", "alone"))


def test_a_linear_probe_checks_its_pooling_without_an_encoder(tmp_path, task_dir, tokenizer_dir):
    with pytest.raises(ValueError, match="--pooling-bins 0: must be from 1 to"):
        finetune(finetune_arguments(task_dir, tokenizer_dir, tmp_path, mode="linear", pooling="bins", pooling_bins=0))
    with pytest.raises(ValueError, match="a vocabulary, but a pre-trained encoder is needed"):
        finetune(finetune_arguments(task_dir, tokenizer_dir, tmp_path, mode="lora"))


def test_a_probe_of_another_vocabulary_is_refused(tmp_path, task_dir, model_dir, other_tokenizer_dir):
    finetune(finetune_arguments(task_dir, model_dir, tmp_path, mode="linear"))
    theirs = AutoTokenizer.from_pretrained(other_tokenizer_dir)
    theirs.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=theirs.vocabulary_fingerprint):
        LinearProbe.from_pretrained(tmp_path)


# other kinds of labels


@pytest.mark.parametrize("mode", ["lora", "linear"])
@pytest.mark.parametrize(
    "label_of, metric, scores",
    [
        (lambda planted, rng: f"{planted + rng.normal():.3f}", "spearman", {"spearman", "pearson"}),
        (lambda planted, rng: f"{planted};{rng.integers(2)};{1 - planted}", "mcc", {"mcc", "f1", "accuracy"}),
    ],
    ids=["regression", "multi-label"],
)
def test_other_problem_types(tmp_path, model_dir, mode, label_of, metric, scores):
    data = write_task(tmp_path / "data", label_of)
    results = finetune(finetune_arguments(data, model_dir, tmp_path / "out", mode=mode))
    assert results["metric"] == metric and set(results["test"]) <= scores and metric in results["test"]
    assert all(-1 <= value <= 1 for value in results["test"].values())


# repeating and resuming


def test_a_seed_decides_the_run(tmp_path, task_dir, model_dir):
    runs = {}
    for name, seed in [("first", 1), ("again", 1), ("other", 2)]:
        arguments = finetune_arguments(task_dir, model_dir, tmp_path / name, mode="full", seed=seed, rc_augment=True)
        runs[name] = finetune(arguments)
    weights = {name: load_file(tmp_path / name / "model.safetensors") for name in runs}
    assert runs["first"]["dev"] == runs["again"]["dev"] and runs["first"]["test"] == runs["again"]["test"]
    for name, values in weights["first"].items():
        assert torch.equal(values, weights["again"][name]), name
    assert not torch.equal(weights["first"]["classifier.dense.weight"], weights["other"]["classifier.dense.weight"])


def test_a_resumed_run_gives_the_same_bits(monkeypatch, tmp_path, task_dir, model_dir):
    def arguments(name, **changes):
        changes |= {"mode": "full", "epochs": 2, "rc_augment": True}
        return finetune_arguments(task_dir, model_dir, tmp_path / name, **changes)

    whole = finetune(arguments("whole"))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, 3, Trainer)
        finetune(arguments("parts"))
    with pytest.raises(ValueError, match="--resume"):
        finetune(arguments("parts"))
    with pytest.raises(ValueError, match="dropout: 0.1 then, 0.5 now"):
        finetune(arguments("parts", resume=True, dropout=0.5))
    path = next((tmp_path / "parts").glob("checkpoint-*")) / "trainer_state.json"
    state = json.loads(path.read_text())
    state["log_history"][-1]["elapsed_seconds"] += 5000  # as if the first part had taken that
    path.write_text(json.dumps(state))
    resumed = finetune(arguments("parts", resume=True))
    assert resumed["dev"] == whole["dev"] and resumed["test"] == whole["test"]
    assert 5000 < resumed["seconds"] < 6000 and whole["seconds"] < 1000  # time of all parts
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    for name, values in first.items():
        assert torch.equal(values, second[name]), name


def test_a_run_is_not_resumed_over_another_vocabulary(monkeypatch, tmp_path, task_dir, model_dir, other_tokenizer_dir):
    shutil.copytree(model_dir, tmp_path / "model")
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, 3, Trainer)
        finetune(finetune_arguments(task_dir, tmp_path / "model", tmp_path / "out", mode="full"))
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(model_dir), load_tokenizer(str(other_tokenizer_dir))
    model.codec.load_state_dict(tokenizer.codec.state_dict())
    for one in (model, tokenizer):
        one.save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match=f"fingerprint: .* then, '{tokenizer.vocabulary_fingerprint}' now"):
        finetune(finetune_arguments(task_dir, tmp_path / "model", tmp_path / "out", mode="full", resume=True))


def test_a_model_that_was_saved_in_16_bits_trains_in_32(tmp_path, task_dir, model_dir):
    shutil.copytree(model_dir, tmp_path / "half")
    AutoModelForMaskedLM.from_pretrained(model_dir).to(torch.bfloat16).save_pretrained(tmp_path / "half")
    kinds = {values.dtype for values in load_file(tmp_path / "half" / "model.safetensors").values()}
    assert torch.bfloat16 in kinds
    finetune(finetune_arguments(task_dir, tmp_path / "half", tmp_path / "out", mode="full"))
    kinds = {values.dtype for values in load_file(tmp_path / "out" / "model.safetensors").values()}
    assert torch.bfloat16 not in kinds
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").dtype == torch.float32


# what is refused


def test_a_finished_run_is_not_overwritten(tmp_path, task_dir, model_dir):
    arguments = finetune_arguments(task_dir, model_dir, tmp_path, mode="linear")
    finetune(arguments)
    before = (tmp_path / "results.json").read_bytes()
    for resume in (False, True):
        arguments.resume = resume
        with pytest.raises(ValueError, match="finished run"):
            finetune(arguments)
    assert (tmp_path / "results.json").read_bytes() == before


def test_a_model_beside_a_foreign_tokenizer_is_refused(tmp_path, task_dir, model_dir, other_tokenizer_dir):
    shutil.copytree(model_dir, tmp_path / "mixed")
    for name in ("codec.safetensors", "codec_config.json", "tokenizer_config.json"):
        shutil.copy(other_tokenizer_dir / name, tmp_path / "mixed" / name)
    with pytest.raises(ValueError) as caught:
        finetune(finetune_arguments(task_dir, tmp_path / "mixed", tmp_path / "out"))
    for directory in (model_dir, other_tokenizer_dir):
        assert AutoTokenizer.from_pretrained(directory).vocabulary_fingerprint in str(caught.value)
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("train.csv", "sequence,label\nACGT,0\nACGEF,1\n", "'E'"),
        ("dev.csv", "sequence,label\nACGT,yes\n", "yes"),
        ("test.csv", "sequence,class\nACGT,0\n", "label"),
        ("test.csv", "", "test.csv"),
        ("test.csv", "sequence,label\nACGT,7\n", "7"),
    ],
)
def test_wrong_task_files_end_the_command_with_status_2(tmp_path, capsys, task_dir, model_dir, file, content, message):
    shutil.copytree(task_dir, tmp_path / "data")
    (tmp_path / "data" / file).write_text(content)
    command = ["finetune", "--data", str(tmp_path / "data"), "--model", str(model_dir)]
    assert main([*command, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and file in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"mode": "adapter"}, "--mode adapter: must be one of lora, full, linear, end-to-end"),
        ({"metric": "spearman"}, "single_label_classification task, scored by mcc, f1, accuracy"),
        ({"recipe": "mine"}, "--recipe mine: must be one of default, paper"),
    ],
)
def test_wrong_options_are_refused(tmp_path, task_dir, model_dir, changes, message):
    with pytest.raises(ValueError, match=message):
        finetune(finetune_arguments(task_dir, model_dir, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()
