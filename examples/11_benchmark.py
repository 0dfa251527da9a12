r"""Compare vocabularies on a task of your own: a learned one, letters and 3-mers under one encoder, and two controls.

    python examples/11_benchmark.py --data small/task --model small/model --output comparison \
        --fasta small/simulated_genome.fa

Writes comparison/benchmark.yaml and runs `vqdna benchmark` on it; docs/benchmark.md says what else such a file can
hold. Started again, it resumes where it stopped.

Trains: two encoders over hand-made tokens, and classifiers for every model and seed. On: FASTA files and a task
directory. Takes: a few minutes on one CPU core as it is.
"""

import argparse
import logging
from pathlib import Path

import yaml

from vqdna_hf.arguments.analysis import BenchmarkArguments
from vqdna_hf.benchmark.benchmark import benchmark


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", required=True, type=Path, help="directory with train, dev and test files")
parser.add_argument("--model", required=True, type=Path, help="directory that `vqdna pretrain` wrote")
parser.add_argument("--fasta", required=True, nargs="+", type=Path, help="what the other encoders are pre-trained on")
parser.add_argument("--output", required=True, type=Path, help="directory to write")
parser.add_argument("--steps", type=int, default=200, help="pre-training steps of the other encoders")
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
args = parser.parse_args()
logging.basicConfig(level=logging.INFO, format="%(message)s")

encoder = {"preset": "tiny", "max_steps": args.steps, "warmup_steps": args.steps // 4, "learning_rate": 3e-3}
encoder["batch_size"] = 16
content = {
    "tasks": [{"name": "own", "data": str(args.data.resolve()), "pooling": "max"}],
    "models": {
        "learned": {"path": str(args.model.resolve())},
        "letters": {"tokenizer": "character", "encoder": encoder},
        "3-mers": {"tokenizer": {"kind": "kmer", "k": 3}, "encoder": encoder},
        "cnn": {"control": "cnn", "options": {"epochs": args.epochs}},
        "k-mers": {"control": "kmer-regression"},
    },
    # two learning rates are a grid: dev chooses
    "modes": {"full": {"learning_rate": [1e-3, 3e-3], "epochs": args.epochs}, "linear": {}},
    "seeds": args.seeds,
    "fasta": [str(path.resolve()) for path in args.fasta],
    "window": 96,
    "reference": "letters",
}
args.output.mkdir(parents=True, exist_ok=True)
file = args.output / "benchmark.yaml"
file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
cells = benchmark(BenchmarkArguments(file=str(file), output=str(args.output)))
