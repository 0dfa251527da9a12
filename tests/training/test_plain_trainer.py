"""Every head under the plain `Trainer` with stock collators: it evaluates, scores and keeps the best by itself."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from vqdna_hf import (
    VQDNACodecConfig,
    VQDNACodecModel,
    VQDNAConfig,
    VQDNAForMaskedLM,
    VQDNAForSequenceClassification,
    VQDNAForTokenClassification,
    VQDNATokenizer,
)
from vqdna_hf.baselines import (
    TokenEncoderConfig,
    TokenEncoderForMaskedLM,
    TokenEncoderForSequenceClassification,
    character_tokenizer,
)
from vqdna_hf.baselines.cnn import OneHotCNNConfig, OneHotCNNForSequenceClassification
from vqdna_hf.data import align_labels
from vqdna_hf.metrics import MaskedLMMetrics
from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids


LETTERS = character_tokenizer()
HEADS = [
    VQDNAForMaskedLM,
    VQDNAForSequenceClassification,
    VQDNAForTokenClassification,
    TokenEncoderForMaskedLM,
    TokenEncoderForSequenceClassification,
    OneHotCNNForSequenceClassification,
]


def sequences(count: int = 12) -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("ACGT"), length)) for length in rng.integers(20, 30, count)]


def model_and_tokenizer(head: type, **changes):
    """A tiny model of a head, and the tokenizer it reads."""
    torch.manual_seed(0)
    if head.__name__.startswith("VQDNA"):
        codec = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny", **changes)).eval()
        model = head(VQDNAConfig.from_preset("tiny", codec_config=codec.config))
        model.codec.load_state_dict(codec.state_dict())
        return model, VQDNATokenizer(codec=model.codec)
    if head is OneHotCNNForSequenceClassification:
        return head(OneHotCNNConfig.from_tokenizer(LETTERS, hidden_size=8)), LETTERS
    return head(TokenEncoderConfig.from_preset("tiny", LETTERS)), LETTERS


def data_and_collator(head: type, tokenizer):
    """What a user of transformers makes of sequences and labels."""
    rows = tokenizer(sequences())
    if "MaskedLM" in head.__name__:
        return Dataset.from_dict(dict(rows)), DataCollatorForLanguageModeling(tokenizer, seed=0)
    if "Token" in head.__name__.removeprefix("TokenEncoder"):
        labels = [[int(base == "A") for base in sequence] for sequence in sequences()]
        return Dataset.from_dict(dict(align_labels(rows, labels))), DataCollatorForTokenClassification(tokenizer)
    rows = dict(rows) | {"labels": [n % 2 for n in range(len(rows["input_ids"]))]}
    return Dataset.from_dict(rows), DataCollatorWithPadding(tokenizer)


def arguments(directory, **changes) -> TrainingArguments:
    values = {"num_train_epochs": 1, "per_device_train_batch_size": 6, "report_to": "none", "use_cpu": True}
    values |= {"disable_tqdm": True, "eval_strategy": "epoch", "save_strategy": "epoch", "logging_steps": 1000}
    return TrainingArguments(str(directory), **values | changes)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
def test_it_evaluates_scores_and_keeps_the_best(head, tmp_path):
    model, tokenizer = model_and_tokenizer(head)
    rows, collator = data_and_collator(head, tokenizer)
    seen = []

    def metrics(prediction):
        seen.append(len(prediction.label_ids))
        return {"rows": len(prediction.label_ids)}

    trainer = Trainer(
        model,
        arguments(tmp_path, load_best_model_at_end=True),
        train_dataset=rows.add_column("a_column_of_no_use", list(range(len(rows)))),
        eval_dataset=rows,
        processing_class=tokenizer,
        data_collator=collator,
        compute_metrics=metrics,
    )
    assert trainer.label_names == ["labels"] and trainer.args.remove_unused_columns
    trainer.train()
    assert trainer.state.best_metric is not None and seen == [12]
    scores = trainer.evaluate()
    assert scores["eval_rows"] == 12 and np.isfinite(scores["eval_loss"])
    # what is handed to compute_metrics is one row a sequence, and nothing of the loss's parts
    predictions = trainer.predict(rows).predictions
    parts = predictions if isinstance(predictions, tuple) else (predictions,)
    assert all(len(part) == 12 for part in parts) and len(parts) == (2 if head is VQDNAForMaskedLM else 1)


# older names


def masked(tokenizer) -> dict:
    """Ids, and as labels the same, with their bases."""
    batch = tokenizer(["ACGTACGTAC", "TTGACCATAA"], return_tensors="pt")
    bases = [[-100, *bases_to_ids(text).tolist(), -100] for text in ("ACGTACGTAC", "TTGACCATAA")]
    return {**batch, "labels": batch["input_ids"].clone(), "targets": torch.tensor(bases)}


def test_the_older_names_of_the_arguments_work_with_a_warning():
    model, tokenizer = model_and_tokenizer(VQDNAForMaskedLM)
    batch = masked(tokenizer)
    model, targets = model.eval(), batch.pop("targets")
    expected = model(**batch, base_targets=targets, masked_positions_only=True)
    with pytest.warns(FutureWarning) as warned:
        older = model(**batch, base_labels=targets, only_labelled=True)
    assert {str(one.message).split("`")[1] for one in warned} == {"base_labels", "only_labelled"}
    assert torch.equal(older.loss, expected.loss) and older.logits.shape == expected.logits.shape == (20, 24)
    with pytest.raises(ValueError, match="`base_labels` is the older name of `base_targets`"):
        model(**batch, base_labels=targets, base_targets=targets)
    tokens, letters = model_and_tokenizer(TokenEncoderForMaskedLM)
    ids = letters("ACGT", return_tensors="pt")["input_ids"]
    with pytest.warns(FutureWarning, match="`only_labelled` is called `masked_positions_only`"):
        assert tokens(input_ids=ids, labels=ids, only_labelled=True).logits.ndim == 2


def test_a_trainer_told_the_older_label_names_still_evaluates(tmp_path):
    model, tokenizer = model_and_tokenizer(VQDNAForMaskedLM)
    rows = {name: values.numpy() for name, values in masked(tokenizer).items()}
    rows = Dataset.from_dict({**rows, "base_labels": rows.pop("targets")})
    settings = arguments(tmp_path, eval_strategy="no", save_strategy="no", label_names=["labels", "base_labels"])
    trainer = Trainer(model, settings, eval_dataset=rows)
    with pytest.warns(FutureWarning, match="base_targets"):
        assert trainer.evaluate()["eval_loss"] > 0


# scores of masked language modelling


def by_hand(logits: np.ndarray, labels: np.ndarray, sizes: list[int]) -> dict[str, float]:
    """Position by position: the codes of largest logit, and the codes of the label."""
    right, ids, count = np.zeros(len(sizes)), 0, 0
    for row, column in zip(*np.nonzero(labels >= 5)):
        found, start = [], 0
        for size in sizes:
            found.append(int(np.argmax(logits[row, column, start : start + size])))
            start += size
        wanted, rest = [], int(labels[row, column]) - 5
        for size in reversed(sizes):
            wanted.insert(0, rest % size)
            rest //= size
        right += np.array(found) == np.array(wanted)
        ids, count = ids + (found == wanted), count + 1
    return {"accuracy": ids / count, **{f"accuracy_{n}": float(value) / count for n, value in enumerate(right, 1)}}


@pytest.mark.parametrize("sizes", [{}, {"quantizer": "vq", "codebook_sizes": [16]}], ids=["hrq", "vq"])
def test_masked_lm_scores_are_those_of_the_labelled_codes(sizes, tmp_path):
    model, tokenizer = model_and_tokenizer(VQDNAForMaskedLM, **sizes)
    with torch.no_grad():  # predictions that are sometimes right
        model.level_decoder.weight.normal_()
    rows, collator = data_and_collator(VQDNAForMaskedLM, tokenizer)
    metrics = MaskedLMMetrics(model.config)
    settings = arguments(tmp_path, save_strategy="no", per_device_eval_batch_size=5)
    plain = Trainer(model, settings, eval_dataset=rows, processing_class=tokenizer)
    plain.data_collator = fixed = FixedMasks(collator)
    whole = plain.predict(rows)
    scored = Trainer(
        model,
        settings,
        eval_dataset=rows,
        processing_class=tokenizer,
        data_collator=fixed,
        compute_metrics=metrics.compute_metrics,
        preprocess_logits_for_metrics=metrics.preprocess_logits_for_metrics,
    )
    expected = by_hand(whole.predictions[0], whole.label_ids, model.config.codec_config.codebook_sizes)
    found = scored.evaluate()
    for name, value in expected.items():
        assert found[f"eval_{name}"] == pytest.approx(value, abs=1e-12), name
    assert 0 < found["eval_accuracy"] + found["eval_accuracy_1"] < 2
    # what a whole evaluation holds is one number a position, as run_mlm's own accuracy reads it
    ids = scored.predict(rows).predictions
    assert ids.shape == whole.label_ids.shape and ids.dtype.kind == "i"
    labelled = whole.label_ids >= 5
    assert (ids[labelled] == whole.label_ids[labelled]).mean() == pytest.approx(expected["accuracy"])


class FixedMasks:
    """Masks the same positions of a sequence at every pass."""

    def __init__(self, collator):
        self.collator = collator

    def __call__(self, rows: list[dict]) -> dict:
        self.collator.generator = None
        self.collator.seed = len(rows[0]["input_ids"])
        torch.manual_seed(len(rows[0]["input_ids"]))
        return self.collator(rows)


def test_bases_are_scored_where_they_are_asked_for():
    metrics = MaskedLMMetrics(VQDNAConfig.from_preset("tiny"))
    logits, base_logits = torch.zeros(1, 3, 24), torch.zeros(1, 3, 4)
    logits[0, :, 3] = logits[0, :, 8 + 5] = 1  # the codes (3, 5)
    base_logits[0, :, 2] = 1  # G
    labels = (torch.tensor([[5 + 3 * 16 + 5, 5 + 3 * 16 + 6, -100]]), torch.tensor([[2, 1, -100]]))
    ids, bases = metrics.preprocess_logits_for_metrics((logits, base_logits), labels)
    assert ids.tolist() == [[58] * 3] and bases.tolist() == [[2] * 3]
    prediction = type("Prediction", (), {"predictions": (ids.numpy(), bases.numpy())})()
    prediction.label_ids = tuple(one.numpy() for one in labels)
    scores = metrics.compute_metrics(prediction)
    assert scores == {"accuracy": 0.5, "accuracy_1": 1.0, "accuracy_2": 0.5, "base_accuracy": 0.5}


def test_nothing_labelled_has_no_score():
    metrics = MaskedLMMetrics(VQDNAConfig.from_preset("tiny"))
    prediction = type("Prediction", (), {"predictions": np.zeros((1, 2), int), "label_ids": np.full((1, 2), -100)})()
    assert all(np.isnan(value) for value in metrics.compute_metrics(prediction).values())


@pytest.mark.parametrize("sizes", [{}, {"quantizer": "vq", "codebook_sizes": [16]}], ids=["hrq", "vq"])
def test_label_smoothing_is_refused(sizes, tmp_path):
    """It would read the logits of codes as logits of ids."""
    model, tokenizer = model_and_tokenizer(VQDNAForMaskedLM, **sizes)
    rows, collator = data_and_collator(VQDNAForMaskedLM, tokenizer)
    settings = arguments(tmp_path, label_smoothing_factor=0.1)
    options = {"processing_class": tokenizer, "data_collator": collator}
    trainer = Trainer(model, settings, train_dataset=rows, eval_dataset=rows, **options)
    for step in (trainer.train, trainer.evaluate):
        with pytest.raises(ValueError, match="label_smoothing_factor=0.1 .* predicts the codes of each level"):
            step()
    assert model(**tokenizer("ACGT", return_tensors="pt"))["logits"].shape[:2] == (1, 6)
