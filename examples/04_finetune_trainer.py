"""Fine-tune a classifier with the plain transformers `Trainer`, as any other model.

    python examples/04_finetune_trainer.py --model small/model --data small/task --output finetuned

dev chooses the epoch, and test is looked at once. The frozen vocabulary stays as it is; all else is trained. Where
labels depend on the position, as in promoters around their start, `--pooling bins` is the better choice.

Trains: a sequence classifier (stage 3). On: a directory with train.csv, dev.csv and test.csv (sequence,label).
Takes: a minute on one CPU core for the simulated task.
"""

import argparse

from datasets import load_dataset
from sklearn.metrics import matthews_corrcoef
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

import vqdna_hf  # noqa: F401  registers the classes, so that no remote code is needed


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True, help="directory or repository of a pre-trained model")
parser.add_argument("--data", required=True, help="directory of the task")
parser.add_argument("--output", required=True, help="directory to write")
parser.add_argument("--pooling", default="mean+max", help="mean, max, mean+max, cls or bins")
parser.add_argument("--epochs", type=float, default=6)
parser.add_argument("--learning-rate", type=float, default=1e-3)
args = parser.parse_args()
set_seed(42)  # before the model: its head is new

splits = load_dataset("csv", data_files={split: f"{args.data}/{split}.csv" for split in ("train", "dev", "test")})
tokenizer = AutoTokenizer.from_pretrained(args.model)
num_labels = len(set(splits["train"]["label"]))
head = {"num_labels": num_labels, "problem_type": "single_label_classification", "pooling": args.pooling}
model = AutoModelForSequenceClassification.from_pretrained(args.model, **head)
splits = splits.map(lambda rows: tokenizer(rows["sequence"]), batched=True, remove_columns="sequence")


def compute_metrics(evaluation):
    return {"mcc": matthews_corrcoef(evaluation.label_ids, evaluation.predictions.argmax(axis=-1))}


trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=args.output,
        num_train_epochs=args.epochs,
        learning_rate=args.learning_rate,
        per_device_train_batch_size=32,
        warmup_steps=0.1,  # of all steps
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="mcc",
    ),
    train_dataset=splits["train"],
    eval_dataset=splits["dev"],
    processing_class=tokenizer,
    data_collator=DataCollatorWithPadding(tokenizer),
    compute_metrics=compute_metrics,
)
trainer.train()
print(trainer.evaluate(splits["test"], metric_key_prefix="test"))
trainer.save_model()
