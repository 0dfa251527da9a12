"""Evaluation in parts of so many positions: every row once, in its place, with the scores of one batch."""

import numpy as np
import pytest
import torch
from tiny_runs import finetune_arguments, write_task

import vqdna_hf.baselines.linear_probe as linear_probe
import vqdna_hf.training.classifier_trainer as classifier
from vqdna_hf.data.eval_batches import join_parts, parts_of, take_rows
from vqdna_hf.training.classifier_trainer import ClassifierTrainer
from vqdna_hf.training.finetune import finetune


# PEFT asks models by the older name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def batch(lengths, labels=2):
    mask = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, length in zip(mask, lengths):
        row[:length] = 1
    ids = torch.arange(mask.numel()).view_as(mask) * mask
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.rand(len(lengths), labels)}


@pytest.mark.parametrize("positions", [1, 10, 64, 1000])
def test_parts_are_bounded_and_hold_every_row_once(positions):
    lengths = np.random.default_rng(0).integers(1, 40, 50)
    parts = parts_of(lengths, positions)
    assert sorted(np.concatenate(parts)) == list(range(50))
    assert all(len(rows) * lengths[rows].max() <= positions or len(rows) == 1 for rows in parts)
    assert (np.diff([lengths[rows].max() for rows in parts]) <= 0).all()  # a lack of memory shows at once
    assert parts_of([], positions) == []


def test_a_short_batch_is_one_part():
    assert [len(rows) for rows in parts_of([100] * 64)] == [64]


def test_rows_lose_padding_and_nothing_else():
    inputs = batch([3, 9, 5], labels=9)
    part = take_rows(inputs, np.array([2, 0]))
    assert part["input_ids"].tolist() == [inputs["input_ids"][2, :5].tolist(), inputs["input_ids"][0, :5].tolist()]
    assert part["attention_mask"].sum(dim=1).tolist() == [5, 3]
    assert torch.equal(part["labels"], inputs["labels"][[2, 0]])  # as wide as the ids, by chance


def test_parts_are_joined_in_the_order_of_the_batch():
    logits, labels = torch.rand(5, 2), torch.arange(5)
    parts = [np.array([4, 1]), np.array([0, 3, 2])]
    found = [(logits[rows].mean(), logits[rows], labels[rows]) for rows in parts]
    loss, joined, joined_labels = join_parts(parts, found)
    assert torch.equal(joined, logits) and torch.equal(joined_labels, labels)
    assert torch.allclose(loss, logits.mean())
    assert join_parts(parts, [(None, None, None)] * 2) == (None, None, None)


@pytest.fixture(scope="module")
def uneven_task(tmp_path_factory):
    """Sequences of 30 to 90 bases."""
    task = write_task(tmp_path_factory.mktemp("uneven") / "task", lambda planted, rng: planted, length=90)
    for path in task.glob("*.csv"):
        header, *rows = path.read_text().splitlines()
        rows = [row.split(",") for row in rows]
        rows = [f"{bases[: 30 + 7 * number % 61]},{label}" for number, (bases, label) in enumerate(rows)]
        path.write_text("\n".join([header, *rows]) + "\n")
    return task


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "full", "strand_average": True},
        {"mode": "full", "bf16": True},
        {"mode": "end-to-end", "strand_average": True},
        {"mode": "lora", "group_by_length": False, "ema_decay": 0.5},
    ],
    ids=["full", "bf16", "end-to-end", "lora"],
)
def test_scores_do_not_depend_on_the_parts(tmp_path, monkeypatch, uneven_task, model_dir, changes):
    logits, sizes = {}, []
    plain_predict, plain_step = ClassifierTrainer.predict, ClassifierTrainer.compute_loss

    def predict(trainer, *args, **kwargs):
        result = plain_predict(trainer, *args, **kwargs)
        logits[name] = result.predictions
        return result

    def compute_loss(trainer, model, inputs, *args, **kwargs):
        if not model.training:
            sizes.append(inputs["attention_mask"].numel())
        return plain_step(trainer, model, inputs, *args, **kwargs)

    monkeypatch.setattr(ClassifierTrainer, "predict", predict)
    monkeypatch.setattr(ClassifierTrainer, "compute_loss", compute_loss)
    found = {}
    for name, positions in (("whole", 1 << 20), ("parts", 200)):
        monkeypatch.setattr(classifier, "parts_of", lambda lengths, most=positions: parts_of(lengths, most))
        sizes.clear()
        found[name] = finetune(finetune_arguments(uneven_task, model_dir, tmp_path / name, **changes))
    assert max(sizes) <= 200
    tolerance = 0.05 if changes.get("bf16") else 1e-5
    np.testing.assert_allclose(logits["parts"], logits["whole"], atol=tolerance)
    if not changes.get("bf16"):
        assert all(found["parts"][split] == found["whole"][split] for split in ("dev", "test"))


def test_features_of_the_linear_probe_do_not_depend_on_the_parts(tmp_path, monkeypatch, uneven_task, model_dir):
    whole = finetune(finetune_arguments(uneven_task, model_dir, tmp_path / "whole", mode="linear"))
    monkeypatch.setattr(linear_probe, "_POSITIONS", 200)
    parts = finetune(finetune_arguments(uneven_task, model_dir, tmp_path / "parts", mode="linear"))
    assert all(parts[split] == whole[split] for split in ("dev", "test"))
