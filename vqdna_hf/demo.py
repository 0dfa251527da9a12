"""`vqdna demo`: a simulated genome and a simulated task, through every stage and the commands a user would type.

Nothing here is real DNA: the genome is random sequence with motifs planted in it, and the task is to tell sequences
with two of the motifs, at a promoter-like distance, from sequences in which the letters of both are shuffled. What the
demo shows is that the stages work together, not how good a vocabulary is.
"""

import json
import logging
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .modeling.nucleotides_vqdna import bases_to_ids, ids_to_bases
from .training.arguments import option


logger = logging.getLogger(__name__)

# shapes of well-known promoter elements, one degenerate position each; the planted copies are simulated
MOTIFS = {"tata": "TATAAA", "inr": "TCAGTC", "box": "GGGCGG", "sites": "CACGTG", "tail": "AATAAA"}
MARKER = "made_by_vqdna_demo.txt"
LENGTH = 70  # of a task sequence, in bases
DISTANCE = (24, 31)  # from the first motif to the second, in bases


@dataclass(kw_only=True)
class DemoArguments:
    """Run all stages on simulated data."""

    output: str = option("demo-output", "directory to write")
    seed: int = option(0, "seed of the simulation and of every stage")
    steps: int = option(200, "training steps of each of the first two stages")
    epochs: int = option(6, "passes over the task's training data")
    overwrite: bool = option(True, "replace the results of an earlier demo")


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


def write_simulation(directory: Path, seed: int) -> tuple[list[Path], Path]:
    """Write a genome of four contigs (200,000 bases) and a task of 1500/300/600 rows; both simulated.

    Returns:
        the FASTA files and the task directory.
    """
    rng = np.random.default_rng(seed)
    task = directory / "task"
    task.mkdir(parents=True, exist_ok=True)
    fasta = directory / "simulated_genome.fa"
    with fasta.open("w", encoding="ascii") as file:
        for number in range(1, 5):
            letters = ids_to_bases(simulate_contig(rng, 50_000))
            lines = "\n".join(letters[i : i + 80] for i in range(0, len(letters), 80))
            file.write(f">sim{number}\n{lines}\n")
    for name, rows in (("train", 1500), ("dev", 300), ("test", 600)):
        labels = np.arange(rows) % 2
        lines = [f"{ids_to_bases(simulate_sequence(rng, bool(label)))},{label}" for label in labels]
        (task / f"{name}.csv").write_text("sequence,label\n" + "\n".join(lines) + "\n", encoding="ascii")
    return [fasta], task


def run(*command: str):
    """Run one `vqdna` command in this process, as a user would type it.

    Raises:
        RuntimeError: the command failed.
    """
    from .cli import main

    logger.info("\n$ vqdna %s", " ".join(command))
    if (status := main(list(command))) != 0:
        raise RuntimeError(f"`vqdna {' '.join(command)}` failed with status {status}.")


RELOAD = """
import sys
import torch
import vqdna_hf
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1]).eval()
model.check_tokenizer(tokenizer)
sequences = [line.split(",") for line in open(sys.argv[2]).read().split()[1:]]
with torch.no_grad():
    logits = model(**tokenizer([s for s, _ in sequences], padding=True, return_tensors="pt")).logits
print((logits.argmax(-1) == torch.tensor([int(label) for _, label in sequences])).float().mean().item())
"""


def demo(arguments: DemoArguments) -> list[dict]:
    """Simulate data, run every stage for a learned vocabulary and for the one-hot control, print one table.

    Returns:
        The rows of the table.
    """
    started, output = time.time(), Path(arguments.output)
    _prepare(output, arguments.overwrite)
    fasta, task = write_simulation(output / "data", arguments.seed)
    logger.info("The genome and the task in %s are simulated: random bases with planted motifs.", output / "data")
    steps, seed = str(arguments.steps), str(arguments.seed)
    genome = [part for path in fasta for part in ("--fasta", str(path))]
    training = ["--max-steps", steps, "--warmup-steps", "50", "--seed", seed, "--batch-size", "16"]
    training += ["--logging-steps", "50", "--eval-steps", steps, "--save-steps", steps, "--eval-windows", "64"]
    run(
        *("train-tokenizer", *genome, "--output", str(output / "tokenizer"), "--eval-contigs", "sim4"),
        *("--warmup-length", "48", "--length", "96", "--learning-rate", "2e-3", *training),
    )
    run("one-hot-tokenizer", "--output", str(output / "one-hot-tokenizer"))
    run(
        *("tokenize", *genome, "--output", str(output / "corpus"), "--eval-contigs", "sim4"),
        *("--window", "96"),
    )
    rows = []
    for name, modes in (("tokenizer", ("lora", "end-to-end")), ("one-hot-tokenizer", ("lora", "full"))):
        kind = "one-hot" if name.startswith("one-hot") else "learned"
        model = output / f"{kind}-encoder"
        run(
            *("pretrain", "--corpus", str(output / "corpus"), "--tokenizer", str(output / name)),
            *("--output", str(model), "--preset", "tiny", "--learning-rate", "3e-3", *training),
            *("--neighbour-steps", "100"),
        )
        for mode in modes:
            results = output / f"{kind}-{mode}"
            run(
                *("finetune", "--data", str(task), "--model", str(model), "--output", str(results)),
                *("--mode", mode, "--epochs", str(arguments.epochs), "--seed", seed, "--learning-rate", "3e-3"),
                *("--pooling", "max"),
            )
            rows.append({"vocabulary": kind, **json.loads((results / "results.json").read_text(encoding="utf-8"))})
    reloaded = _reload(output / "learned-end-to-end", task / "test.csv")
    _print_table(rows, output, reloaded, time.time() - started)
    return rows


def _prepare(output: Path, overwrite: bool):
    """Make room for a new demo.

    Raises:
        ValueError: the directory holds files, and no demo made it; nothing of it is touched.
    """
    marker = output / MARKER
    if output.exists() and not output.is_dir() or output.is_dir() and any(output.iterdir()) and not marker.is_file():
        raise ValueError(f"{output} holds something that no demo wrote. Choose another --output.")
    names = ("data", "tokenizer", "one-hot-tokenizer", "corpus", "learned-encoder", "one-hot-encoder")
    names += ("learned-lora", "learned-end-to-end", "one-hot-lora", "one-hot-full")
    existing = [output / name for name in names if (output / name).exists()]
    if existing and not overwrite:
        raise ValueError(f"{output} holds an earlier demo; choose another --output.")
    for path in existing:
        shutil.rmtree(path)
    output.mkdir(parents=True, exist_ok=True)
    marker.write_text("Everything here was made by `vqdna demo`, which replaces it when it runs again.\n")


def _reload(directory: Path, test: Path) -> float:
    """Test accuracy of a saved model, loaded by the Auto classes in a fresh process."""
    command = [sys.executable, "-c", RELOAD, str(directory), str(test)]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode != 0:
        raise RuntimeError(f"The saved model in {directory} does not load in a fresh process:\n{finished.stderr}")
    return float(finished.stdout.strip().splitlines()[-1])


def _print_table(rows: list[dict], output: Path, reloaded: float, seconds: float):
    lines = ["", "Simulated promoter-like task, MCC (one seed; simulated data say nothing about real DNA)", ""]
    lines.append(f"{'vocabulary':12s} {'mode':12s} {'dev':>8s} {'test':>8s} {'seconds':>8s}")
    for row in rows:
        dev, test = row["dev"]["mcc"], row["test"]["mcc"]
        lines.append(f"{row['vocabulary']:12s} {row['mode']:12s} {dev:8.3f} {test:8.3f} {row['seconds']:8.0f}")
    lines.append("")
    lines.append(f"Reloaded by AutoTokenizer and AutoModelForSequenceClassification: test accuracy {reloaded:.3f}")
    lines.append(f"Everything is in {output}; {seconds / 60:.1f} minutes")
    text = "\n".join(lines)
    print(text)
    (output / "table.txt").write_text(text.lstrip() + "\n", encoding="utf-8")
