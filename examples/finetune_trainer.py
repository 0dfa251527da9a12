"""Fine-tune a pre-trained model on a classification task, as any other transformers model.

`finetune_trainer.py` trains all parameters but the frozen vocabulary; `finetune_lora.py` is the same script with the
lines that are marked `# LoRA`, and trains adapters.

Trains: a sequence classifier (stage 3). On: a directory with train.csv, dev.csv and test.csv (sequence,label), or a
simulated task. Takes: two minutes on one CPU core as it is.
"""

import argparse
from pathlib import Path

from datasets import load_dataset
from small_data import new_directory, simulated_task, small_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

import vqdna_hf  # noqa: F401  registers the classes, so that no remote code is needed
from vqdna_hf.metrics import make_compute_metrics


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", type=Path, help="task directory; a simulated task when not given")
parser.add_argument("--model", type=Path, help="model directory; a small one is trained when not given")
parser.add_argument("--output", type=Path, help="directory to write; a temporary one when not given")
parser.add_argument("--epochs", type=float, default=5)
parser.add_argument("--learning-rate", type=float, default=1e-3)
args = parser.parse_args()
output = args.output or new_directory() / "finetuned"
model_directory = args.model or small_model(output.parent)
data = args.data or simulated_task(output.parent)

splits = load_dataset("csv", data_files={split: str(data / f"{split}.csv") for split in ("train", "dev", "test")})
num_labels = max(splits["train"]["label"]) + 1
tokenizer = AutoTokenizer.from_pretrained(model_directory)
model = AutoModelForSequenceClassification.from_pretrained(model_directory, num_labels=num_labels, pooling="max")
model.check_tokenizer(tokenizer)
# one network pass per batch of strings; the result is cached by `datasets`
splits = splits.map(lambda rows: tokenizer(rows["sequence"]), batched=True, remove_columns="sequence")

trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=str(output),
        num_train_epochs=args.epochs,
        learning_rate=args.learning_rate,
        per_device_train_batch_size=32,
        warmup_steps=0.1,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="mcc",
        report_to="none",
    ),
    train_dataset=splits["train"],
    eval_dataset=splits["dev"],
    processing_class=tokenizer,
    data_collator=DataCollatorWithPadding(tokenizer),
    compute_metrics=make_compute_metrics("single_label_classification"),
)
trainer.train()
# test is looked at once, after dev has chosen the epoch
test = trainer.predict(splits["test"], metric_key_prefix="test")
print(test.metrics)
trainer.save_model(output)
rows = [f"{logits.argmax()},{label}" for logits, label in zip(test.predictions, test.label_ids)]
(output / "predictions.csv").write_text("\n".join(["prediction,label", *rows]) + "\n", encoding="utf-8")
print(f"The model and predictions.csv are in {output}")
