"""Benchmarks that take seconds: simulated genomes and tasks, tiny models."""

from pathlib import Path

import numpy as np
import yaml

from vqdna_hf.demo.simulation import simulate_contig
from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids, ids_to_bases


ENCODER = {"preset": "tiny", "max_steps": 2, "warmup_steps": 1, "batch_size": 4, "neighbour_steps": 0}
VOCABULARY = {
    **{"preset": "tiny", "max_steps": 2, "warmup_steps": 1, "batch_size": 4},
    **{"warmup_length": 32, "length": 32, "eval_windows": 4},
}
MODELS = {
    "learned": {"vocabulary": VOCABULARY, "encoder": ENCODER},
    "untrained": {"vocabulary": "learned", "encoder": {"preset": "tiny", "max_steps": 0}, "modes": ["full"]},
    "letters": {"tokenizer": "character", "encoder": ENCODER, "options": {"learning_rate": [0.001, 0.003]}},
    "regression": {"control": "kmer-regression", "options": {"kmers": [3]}},
}


def write_genome(directory: Path) -> Path:
    """A FASTA file of three simulated contigs."""
    rng, lines = np.random.default_rng(0), []
    for number in range(3):
        lines += [f">c{number}", ids_to_bases(simulate_contig(rng, 3000))]
    path = directory / "genome.fa"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_task(
    directory: Path, rows: tuple[int, int, int] = (40, 16, 20), seed: int = 3, values: bool = False
) -> Path:
    """Random sequences of 30 to 40 bases; every other one has TATAAA in it, which is its label."""
    directory.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for split, count in zip(("train", "dev", "test"), rows):
        lines = ["sequence,label"]
        for row in range(count):
            bases = rng.integers(0, 4, rng.integers(30, 41)).astype(np.uint8)
            if row % 2:
                bases[8:14] = bases_to_ids("TATAAA")
            lines.append(f"{ids_to_bases(bases)},{row % 2 + rng.random() / 3 if values else row % 2}")
        (directory / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return directory


def write_benchmark(directory: Path, name: str = "benchmark.yaml", **changes) -> Path:
    """A benchmark file with a task, four models and two seeds, and what it needs."""
    if not (directory / "genome.fa").is_file():
        write_genome(directory)
        write_task(directory / "planted")
        write_task(directory / "levels", seed=4, values=True)
    content = {
        "fasta": [str(directory / "genome.fa")],
        "window": 48,
        "tasks": [{"name": "planted", "data": str(directory / "planted"), "pooling": "max"}],
        "modes": {"full": {"learning_rate": 0.003, "epochs": 1, "batch_size": 16}},
        "models": MODELS,
        "seeds": [1, 2],
    }
    path = directory / name
    path.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False))
    return path
