"""Make what the other examples run on: simulated DNA, and a small vocabulary and encoder learned from it.

    python examples/small_data.py small

Writes small/simulated_genome.fa, small/task (train.csv, dev.csv, test.csv: are two motifs in the sequence?),
small/tokenizer, small/corpus and small/model. The sequences are random bases with motifs planted in them: they show
how things are called, not how good they are.

Trains: a vocabulary (stage 1) and an encoder (stage 2). On: 200,000 simulated bases. Takes: a minute on one CPU core.
"""

import argparse
import logging
from pathlib import Path

from vqdna_hf.demo.simulation import write_simulation
from vqdna_hf.demo.steps import run


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("directory", type=Path, help="directory to write")
parser.add_argument("--steps", type=int, default=200, help="training steps of the vocabulary and of the encoder")
args = parser.parse_args()
logging.basicConfig(level=logging.INFO, format="%(message)s")
directory, steps = args.directory, args.steps

fasta, task = write_simulation(directory, seed=0)
# the commands that a user would type, with small sizes
genome = ["--fasta", str(fasta), "--eval-contigs", "sim4"]
training = ["--max-steps", str(steps), "--warmup-steps", str(steps // 4), "--batch-size", "16"]
training += ["--eval-steps", str(steps), "--save-steps", str(steps), "--eval-windows", "64"]
tokenizer, corpus, model = (str(directory / name) for name in ("tokenizer", "corpus", "model"))
windows = ["--warmup-length", "48", "--length", "96", "--learning-rate", "2e-3"]
run("train-tokenizer", *genome, "--preset", "small", "--output", tokenizer, *windows, *training)
run("tokenize", *genome, "--output", corpus, "--window", "96")
inputs = ["--corpus", corpus, "--tokenizer", tokenizer, "--preset", "tiny", "--neighbour-steps", "0"]
run("pretrain", *inputs, "--output", model, "--learning-rate", "3e-3", *training)
print(f"The genome, the task, the vocabulary, the corpus and the model are in {directory}")
