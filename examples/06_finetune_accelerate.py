"""Fine-tune a classifier in a loop written by hand, on one device or many, with Accelerate.

    python examples/06_finetune_accelerate.py --model small/model --data small/task --output finetuned

With `accelerate launch` in place of `python` it runs on every GPU of the machine, and with
`ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes 2` in two processes on a CPU. An optimizer step
sees processes x batch size x accumulation sequences.

Trains: a sequence classifier (stage 3). On: a directory with train.csv, dev.csv and test.csv (sequence,label).
Takes: a minute on one CPU core for the simulated task.
"""

import argparse
import math

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from datasets import load_dataset
from sklearn.metrics import matthews_corrcoef
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    get_linear_schedule_with_warmup,
)

import vqdna_hf  # noqa: F401  registers the classes, so that no remote code is needed


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True, help="directory or repository of a pre-trained model")
parser.add_argument("--data", required=True, help="directory of the task")
parser.add_argument("--output", required=True, help="directory to write")
parser.add_argument("--pooling", default="mean+max", help="mean, max, mean+max, cls or bins")
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--learning-rate", type=float, default=1e-3)
parser.add_argument("--batch-size", type=int, default=16, help="sequences of a forward pass and process")
parser.add_argument("--accumulation", type=int, default=2, help="forward passes of an optimizer step")
args = parser.parse_args()
accelerator = Accelerator(gradient_accumulation_steps=args.accumulation)
set_seed(42)

splits = load_dataset("csv", data_files={split: f"{args.data}/{split}.csv" for split in ("train", "dev", "test")})
tokenizer = AutoTokenizer.from_pretrained(args.model)
num_labels = len(set(splits["train"]["label"]))
model = AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=num_labels, pooling=args.pooling)
with accelerator.main_process_first():  # the others find what it has cached
    splits = splits.map(lambda rows: tokenizer(rows["sequence"]), batched=True, remove_columns="sequence")
loader = {"batch_size": args.batch_size, "collate_fn": DataCollatorWithPadding(tokenizer)}
train, dev, test = (DataLoader(splits[name], shuffle=name == "train", **loader) for name in ("train", "dev", "test"))
optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=args.learning_rate)
model, optimizer, train, dev, test = accelerator.prepare(model, optimizer, train, dev, test)
# `prepare` has shared the batches out; an epoch's last step may have fewer of them
steps = args.epochs * math.ceil(len(train) / args.accumulation)
schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)


def evaluate(model, batches) -> float:
    """The MCC of all processes' predictions."""
    model.eval()
    predictions, labels = [], []
    for batch in batches:
        with torch.no_grad():
            logits = model(**batch).logits
        # subtle: `gather` would count the rows twice that fill up the last batch of several processes
        part = accelerator.gather_for_metrics((logits.argmax(dim=-1), batch["labels"]))
        predictions.extend(part[0].tolist())
        labels.extend(part[1].tolist())
    return matthews_corrcoef(labels, predictions)


best = -math.inf
for epoch in range(args.epochs):
    model.train()
    for batch in train:
        # gradients add up over the passes of a step, each divided by their number; the optimizer waits for the last
        with accelerator.accumulate(model):
            accelerator.backward(model(**batch).loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if accelerator.sync_gradients:
                schedule.step()  # not prepared: once per step, however many processes there are
            optimizer.zero_grad()
    score = evaluate(model, dev)
    accelerator.print(f"epoch {epoch + 1}: dev MCC {score:.3f}, learning rate {schedule.get_last_lr()[0]:.1e}")
    if score > best:
        best = score
        accelerator.unwrap_model(model).save_pretrained(args.output, is_main_process=accelerator.is_main_process)

if accelerator.is_main_process:
    tokenizer.save_pretrained(args.output)
accelerator.wait_for_everyone()
# test is looked at once, with the epoch that dev has chosen
model = AutoModelForSequenceClassification.from_pretrained(args.output).to(accelerator.device)
score = evaluate(model, test)
accelerator.print(f"test MCC {score:.3f}")
accelerator.end_training()
