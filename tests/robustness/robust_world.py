"""What the tests of this folder need: one of everything that a command writes, made once and only read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from tiny_runs import write_fasta, write_task

from vqdna_hf.cli import main
from vqdna_hf.demo.simulation import simulate_contig


# a vocabulary, an encoder and a control, on one task
BENCHMARK = {
    "window": 48,
    "modes": {"full": {"learning_rate": 0.003, "epochs": 1, "batch_size": 16}},
    "models": {
        "learned": {
            "vocabulary": {
                **{"preset": "tiny", "max_steps": 2, "warmup_steps": 1, "batch_size": 4},
                **{"warmup_length": 32, "length": 32, "eval_windows": 4},
            },
            "encoder": {"preset": "tiny", "max_steps": 2, "warmup_steps": 1, "batch_size": 4, "neighbour_steps": 0},
        },
        "regression": {"control": "kmer-regression", "options": {"kmers": [3]}},
    },
    "seeds": [1, 2],
}


@dataclass(frozen=True)
class World:
    """Where things are.

    Attributes:
        root: everything is in it.
        places: name -> path, for commands to be filled in: `genome`, `task`, `values` (a regression), `tokenizer`,
            `corpus`, `contigs` (genome codes), `encoder`, `full` and `adapter` and `probe` (fine-tuned).
    """

    root: Path
    places: dict[str, str]

    def __getitem__(self, name: str) -> Path:
        return Path(self.places[name])


def write_genome(path: Path) -> Path:
    """20,000 simulated bases in the contigs c1, c2 and c3."""
    rng = np.random.default_rng(0)
    return write_fasta(path, [simulate_contig(rng, length) for length in (9000, 7000, 4000)])


def write_benchmark(path: Path, world: World, content: dict) -> Path:
    """A benchmark file over the world's genome and task."""
    files = {"fasta": [world.places["genome"]], "tasks": [{"name": "planted", "data": world.places["task"]}]}
    path.write_text(yaml.safe_dump({**files, **content}, sort_keys=False))
    return path


def make_world(root: Path) -> World:
    """Run every stage once."""
    names = ("tokenizer", "corpus", "contigs", "encoder", "full", "adapter", "probe")
    places = {name: str(root / name) for name in names}
    places["genome"] = str(write_genome(root / "genome.fa"))
    places["task"] = str(write_task(root / "planted", lambda planted, rng: planted))
    places["values"] = str(write_task(root / "levels", lambda planted, rng: planted + rng.random() / 3))
    few = ["--preset", "tiny", "--max-steps", "2", "--batch-size", "4", "--warmup-steps", "1", "--eval-windows", "4"]
    tuned = ["finetune", "--data", "{task}", "--model", "{encoder}", "--epochs", "1", "--batch-size", "12"]
    tuned += ["--cache-dir", str(root / "cache"), "--mode"]
    for name, command in {
        "tokenizer": ["train-tokenizer", "--fasta", "{genome}", "--eval-contigs", "c3", *few, "--length", "48",
                      "--warmup-length", "32"],
        "corpus": ["tokenize", "--fasta", "{genome}", "--tokenizer", "{tokenizer}", "--codes", "--eval-contigs", "c3",
                   "--window", "64", "--min-length", "32"],
        "contigs": ["tokenize", "--fasta", "{genome}", "--tokenizer", "{tokenizer}", "--contigs"],
        "encoder": ["pretrain", "--corpus", "{corpus}", "--tokenizer", "{tokenizer}", *few, "--neighbour-steps", "2"],
        "full": [*tuned, "full"],
        "adapter": [*tuned, "lora"],
        "probe": [*tuned, "linear"],
    }.items():  # fmt: skip
        command = [part.format(**places) for part in command]
        if main([*command, "--output", places[name]]) != 0:
            raise RuntimeError(f"the tests cannot begin: {' '.join(command)} failed.")
    return World(root, places)
