"""Score predictions with the `evaluate` library, offline, by the metrics of the benchmarks.

Trains: nothing. On: a CSV file with the columns prediction and label, as `finetune_trainer.py` writes it, or simulated
predictions that are right three times in four. Takes: seconds.
"""

import argparse
from pathlib import Path

import evaluate
import numpy as np
import pandas as pd

from vqdna_hf.metrics import evaluate_module_path


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--predictions", type=Path, help="CSV file; simulated when not given")
args = parser.parse_args()
if args.predictions is None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    table = pd.DataFrame({"prediction": np.where(rng.random(400) < 0.75, labels, 1 - labels), "label": labels})
else:
    table = pd.read_csv(args.predictions)

for name in ("mcc", "f1", "accuracy"):
    metric = evaluate.load(evaluate_module_path(), name)
    print(metric.compute(predictions=table["prediction"].tolist(), references=table["label"].tolist()))
