"""The simulated genome and task of `vqdna demo`.

The genome is random sequence with motifs planted in it, and the task is to tell sequences with two of the motifs, at a
promoter-like distance, from sequences in which the letters of both are shuffled.
"""

from pathlib import Path

import numpy as np

from ..modeling.nucleotides_vqdna import bases_to_ids, ids_to_bases


# shapes of well-known promoter elements, one degenerate position each; the planted copies are simulated
MOTIFS = {"tata": "TATAAA", "inr": "TCAGTC", "box": "GGGCGG", "sites": "CACGTG", "tail": "AATAAA"}
LENGTH = 70  # of a task sequence, in bases
DISTANCE = (24, 31)  # from the first motif to the second, in bases


def simulate_contig(rng: np.random.Generator, length: int) -> np.ndarray:
    """Random bases with a drifting GC content and a motif about every 60 bases; nucleotide ids, shape `(length,)`."""
    gc = 0.45 + 0.1 * np.sin(np.arange(length) / 900 + rng.uniform(0, 6))
    strong = rng.random(length) < gc
    bases = np.where(strong, rng.integers(1, 3, length), 3 * rng.integers(0, 2, length)).astype(np.uint8)
    motifs = [bases_to_ids(motif) for motif in MOTIFS.values()]
    for start in range(20, length - 20, 60):
        motif = motifs[rng.integers(len(motifs))]
        place = start + int(rng.integers(0, 30))
        if place + len(motif) <= length:
            bases[place : place + len(motif)] = motif
    return bases


def simulate_sequence(rng: np.random.Generator, positive: bool) -> np.ndarray:
    """A task sequence: TATAAA and, behind it, TCAGTC; in negatives with the letters of each in another order."""
    bases = rng.integers(0, 4, LENGTH).astype(np.uint8)
    distance = int(rng.integers(*DISTANCE))
    start = int(rng.integers(2, LENGTH - distance - 8))
    for name, place in (("tata", start), ("inr", start + distance)):
        motif = bases_to_ids(MOTIFS[name])
        bases[place : place + 6] = motif if positive else rng.permutation(motif)
        if rng.random() < 0.1:  # an imperfect copy
            bases[place + int(rng.integers(6))] = rng.integers(4)
    return bases


def write_genome(directory: Path, rng: np.random.Generator) -> Path:
    """Write four contigs, `sim1` to `sim4`, of 50,000 bases each; returns the FASTA file."""
    fasta = directory / "simulated_genome.fa"
    with fasta.open("w", encoding="ascii") as file:
        for number in range(1, 5):
            letters = ids_to_bases(simulate_contig(rng, 50_000))
            lines = "\n".join(letters[i : i + 80] for i in range(0, len(letters), 80))
            file.write(f">sim{number}\n{lines}\n")
    return fasta


def write_task(directory: Path, rng: np.random.Generator, rows: tuple[int, int, int] = (1500, 300, 600)) -> Path:
    """Write a task with these rows of train, dev and test into `directory / "task"`, which is returned."""
    task = directory / "task"
    task.mkdir(parents=True, exist_ok=True)
    for name, number in zip(("train", "dev", "test"), rows):
        labels = np.arange(number) % 2
        lines = [f"{ids_to_bases(simulate_sequence(rng, bool(label)))},{label}" for label in labels]
        (task / f"{name}.csv").write_text("sequence,label\n" + "\n".join(lines) + "\n", encoding="ascii")
    return task


def write_simulation(directory: Path, seed: int) -> tuple[Path, Path]:
    """Write a genome of four contigs (200,000 bases) and a task of 1500/300/600 rows; both simulated.

    Returns:
        the FASTA file and the task directory.
    """
    rng = np.random.default_rng(seed)
    directory.mkdir(parents=True, exist_ok=True)
    return write_genome(directory, rng), write_task(directory, rng)
