"""Is one code per base needed? The checkpoint, fine-tuned on every second, third, ... code of the same rows.

    VQDNA_DATA=/path/to/data python benchmarks/downsampling.py

A code of the checkpoint's vocabulary holds about five bases, so that every third code still tells of each base. Prints
the dev scores (test is not looked at) and how long training took, in CPU seconds relative to the first line's.
About 20 minutes on a CPU core.
"""

import argparse
import tempfile
import time

from datasets import DatasetDict
from measuring import parse_with_data
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed

import vqdna_hf
from vqdna_hf.metrics import make_compute_metrics
from vqdna_hf.tasks import load_task


TASKS = ("prom/prom_core_tata", "prom/prom_core_notata")


def strided(splits: DatasetDict, tokenizer, stride: int) -> DatasetDict:
    """Rows of every `stride`-th code, between [CLS] and [SEP]."""

    def encode(batch: dict) -> dict:
        rows = tokenizer(batch["sequence"], add_special_tokens=False)["input_ids"]
        rows = [[tokenizer.cls_token_id, *row[stride // 2 :: stride], tokenizer.sep_token_id] for row in rows]
        return {"input_ids": rows}

    return splits.map(encode, batched=True, batch_size=256, remove_columns=["sequence"], load_from_cache_file=False)


def train(splits: DatasetDict, tokenizer, arguments: argparse.Namespace) -> tuple[float, float]:
    """The best epoch's MCC on dev, and the seconds that training took."""
    set_seed(arguments.seed)
    model = AutoModelForSequenceClassification.from_pretrained(arguments.model, num_labels=2, pooling="bins")
    scores = []

    def keep(found) -> dict:
        scores.append(compute(found)["mcc"])
        return {"mcc": scores[-1]}

    compute = make_compute_metrics("single_label_classification")
    with tempfile.TemporaryDirectory() as place:
        trainer = Trainer(
            model,
            TrainingArguments(
                place,
                learning_rate=1e-3,
                num_train_epochs=arguments.epochs,
                per_device_train_batch_size=32,
                per_device_eval_batch_size=64,
                lr_scheduler_type="linear",
                warmup_steps=0.1,
                eval_strategy="epoch",
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                seed=arguments.seed,
            ),
            train_dataset=splits["train"],
            eval_dataset=splits["dev"],
            processing_class=tokenizer,
            compute_metrics=keep,
        )
        started = time.process_time()
        trainer.train()
        return max(scores), time.process_time() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(vqdna_hf.checkpoint()), help="directory of a pre-trained model")
    parser.add_argument("--strides", type=int, nargs="+", default=[1, 2, 3, 5])
    parser.add_argument("--rows", type=int, default=4000, help="training rows at most")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parse_with_data(parser)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    print("| every n-th code | " + " | ".join(f"{task}, dev MCC x 100 (time)" for task in TASKS) + " |")
    print("|---" * (len(TASKS) + 1) + "|")
    first = {}
    for stride in arguments.strides:
        cells = []
        for task in TASKS:
            rows = load_task(task, arguments.data)
            splits = DatasetDict(
                {
                    split: rows[split].shuffle(seed=0).select(range(min(limit, len(rows[split]))))
                    for split, limit in (("train", arguments.rows), ("dev", 1000))
                }
            )
            score, seconds = train(strided(splits, tokenizer, stride), tokenizer, arguments)
            cells.append(f"{100 * score:.1f} ({seconds / first.setdefault(task, seconds):.2f})")
        print(f"| {stride} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
