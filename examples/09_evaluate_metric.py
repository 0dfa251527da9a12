"""Score a fine-tuned model or adapter on a task with `pipeline` and the `evaluate` library.

    python examples/09_evaluate_metric.py --model finetuned --data small/task

The metric is loaded from the package and needs no network. MCC is what GUE judges most of its tasks by; a bootstrap of
the rows says how far a score on so few of them may be off (seeds vary more, and it does not see them).

Trains: nothing. On: a split of a task, a CSV file (sequence,label). Takes: seconds.
"""

import argparse

import evaluate
import numpy as np
from datasets import load_dataset
from transformers import pipeline

import vqdna_hf  # noqa: F401  registers the classes, so that no remote code is needed
from vqdna_hf.metrics import evaluate_module_path


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True, help="directory or repository of a fine-tuned model or adapter")
parser.add_argument("--data", required=True, help="directory of the task")
parser.add_argument("--split", default="test")
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--samples", type=int, default=200, help="samples of the bootstrap")
args = parser.parse_args()

rows = load_dataset("csv", data_files=f"{args.data}/{args.split}.csv", split="train")
classifier = pipeline("text-classification", model=args.model)
answers = classifier(list(rows["sequence"]), batch_size=args.batch_size)
predictions = np.array([classifier.model.config.label2id[answer["label"]] for answer in answers])
labels = np.array(rows["label"])

rng = np.random.default_rng(0)
samples = [rng.integers(0, len(labels), len(labels)) for _ in range(args.samples)]
for name in ("mcc", "f1", "accuracy"):
    metric = evaluate.load(evaluate_module_path(), name)
    score = metric.compute(predictions=predictions, references=labels)[name]
    drawn = [metric.compute(predictions=predictions[rows], references=labels[rows])[name] for rows in samples]
    low, high = np.quantile(drawn, [0.025, 0.975])
    print(f"{name:9s} {score:.3f}  (95 % of bootstrap samples: {low:.3f} to {high:.3f})")
