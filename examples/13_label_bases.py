"""Fine-tunes a model that labels every base, with the plain transformers `Trainer`: which bases belong to TATAAA?

    python examples/13_label_bases.py --model small/model --data small/task --output tagger

A label of each base, as a gene or a binding site gives them, and -100 at [CLS] and [SEP], which are positions of a
sequence too: `align_labels` puts each label at its base.

Trains: encoder and head. On: the sequences of a task, every base of TATAAA labelled 1. Takes: a minute on one CPU
core.
"""

import argparse

import numpy as np
from datasets import load_dataset
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

from vqdna_hf.data import align_labels


MOTIF = "TATAAA"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True, help="directory or repository of a model")
parser.add_argument("--data", required=True, help="directory with train.csv, dev.csv and test.csv")
parser.add_argument("--output", required=True, help="directory to write")
parser.add_argument("--epochs", type=float, default=4)
parser.add_argument("--learning-rate", type=float, default=1e-3)
args = parser.parse_args()
set_seed(42)

tokenizer = AutoTokenizer.from_pretrained(args.model)
model = AutoModelForTokenClassification.from_pretrained(args.model, num_labels=2)


def labels_of_bases(sequence: str) -> list[int]:
    """1 for every base of a motif, one label a base."""
    labels, start = [0] * len(sequence), sequence.find(MOTIF)
    while start >= 0:
        labels[start : start + len(MOTIF)] = [1] * len(MOTIF)
        start = sequence.find(MOTIF, start + 1)
    return labels


def encode(row: dict) -> dict:
    """Ids, and each label at the id of its base."""
    return align_labels(tokenizer(row["sequence"]), labels_of_bases(row["sequence"]))


def scores(prediction) -> dict[str, float]:
    """Precision and recall of the bases of motifs."""
    labels = prediction.label_ids
    found = (prediction.predictions.argmax(axis=-1) == 1)[labels >= 0]
    wanted = labels[labels >= 0] == 1
    right = np.sum(found & wanted)
    return {"precision": right / max(np.sum(found), 1), "recall": right / max(np.sum(wanted), 1)}


files = {split: f"{args.data}/{split}.csv" for split in ("train", "dev", "test")}
splits = load_dataset("csv", data_files=files)
splits = splits.map(encode, remove_columns=splits["train"].column_names)

trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=args.output,
        num_train_epochs=args.epochs,
        per_device_train_batch_size=16,
        learning_rate=args.learning_rate,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
    ),
    train_dataset=splits["train"],
    eval_dataset=splits["dev"],
    processing_class=tokenizer,
    data_collator=DataCollatorForTokenClassification(tokenizer),
    compute_metrics=scores,
)
trainer.train()
print(trainer.evaluate(splits["test"], metric_key_prefix="test"))
trainer.save_model(args.output)
print(f"The model is in {args.output}")
