"""What the examples run on when no path is given: simulated DNA, and a small vocabulary and encoder.

The sequences are random bases with motifs planted in them. They show how things are called, not how good they are.
"""

import tempfile
from pathlib import Path

from vqdna_hf.demo import write_simulation
from vqdna_hf.training.arguments import PretrainArguments, TokenizeArguments, TrainTokenizerArguments
from vqdna_hf.training.pretrain import pretrain
from vqdna_hf.training.tokenize import tokenize
from vqdna_hf.training.train_tokenizer import train_tokenizer


def new_directory() -> Path:
    """A directory for what an example makes."""
    return Path(tempfile.mkdtemp(prefix="vqdna-example-"))


def simulated_genome(directory: Path) -> Path:
    """A FASTA file with the contigs sim1 to sim4, 50,000 bases each."""
    return write_simulation(directory / "data", seed=0)[0][0]


def simulated_task(directory: Path) -> Path:
    """train.csv, dev.csv and test.csv: are two motifs in the sequence?"""
    return write_simulation(directory / "data", seed=0)[1]


def small_tokenizer(directory: Path, steps: int = 100) -> Path:
    """A tokenizer directory; learned from the simulated genome unless it is there already."""
    output = directory / "tokenizer"
    if not (output / "training.json").is_file():
        options = {"preset": "tiny", "max_steps": steps, "batch_size": 16, "eval_contigs": ["sim4"]}
        options |= {"warmup_steps": steps // 4, "warmup_length": 48, "length": 96, "learning_rate": 2e-3}
        fasta = simulated_genome(directory)
        train_tokenizer(TrainTokenizerArguments(fasta=[str(fasta)], output=str(output), **options))
    return output


def small_corpus(directory: Path) -> Path:
    """A corpus directory with windows of 96 bases."""
    output, fasta = directory / "corpus", simulated_genome(directory)
    tokenize(TokenizeArguments(fasta=[str(fasta)], output=str(output), window=96, eval_contigs=["sim4"]))
    return output


def small_model(directory: Path, steps: int = 100) -> Path:
    """A model directory; pre-trained on the simulated genome unless it is there already."""
    output = directory / "model"
    if not (output / "training.json").is_file():
        tokenizer, corpus = small_tokenizer(directory, steps), small_corpus(directory)
        options = {"preset": "tiny", "max_steps": steps, "batch_size": 16, "warmup_steps": steps // 10}
        options |= {"learning_rate": 3e-3, "neighbour_steps": 0}
        pretrain(PretrainArguments(corpus=str(corpus), tokenizer=str(tokenizer), output=str(output), **options))
    return output
