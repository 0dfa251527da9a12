"""A learned vocabulary against one-hot, on three GUE tasks: the first table of docs/evidence/three-tasks.md.

Runs the commands a user would type: an `hrq` vocabulary learned on mammalian DNA, a small encoder pre-trained on it
and one of the same shape pre-trained on one-hot bases, both fine-tuned on three tasks with three seeds. Every finished
step is kept, so that the script resumes where it stopped. About 2 hours on one CPU core; `--only` splits it over two.

    VQDNA_DATA=/path/to/data python benchmarks/learned_vs_one_hot.py --output runs/three-tasks
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from measuring import parse_with_data

from vqdna_hf.cli import main as vqdna


SEEDS = (1, 2, 3)
VOCABULARY = ("homo_sapiens_long", "mus_musculus_long", "mammals_long", "mammals_windows")
CORPUS = ("homo_sapiens_long", "mus_musculus_long", "mammals_windows", "homo_sapiens_windows")
# pooling, epochs and strands were chosen on dev, once for both vocabularies
TASKS = {
    "mouse/3": ["--pooling", "max", "--epochs", "10", "--rc-augment", "--strand-average"],
    "prom/prom_core_tata": ["--pooling", "bins", "--epochs", "6"],
    "mouse/0": [
        *("--pooling", "mean+max", "--epochs", "6", "--rc-augment", "--strand-average"),
        *("--learning-rate", "5e-4", "--dropout", "0"),
    ],
}
KMER = {"prom/prom_core_tata": 47.8, "mouse/0": 53.9, "mouse/3": 68.2}  # 4-6-mer logistic regression
# what trains: encoder and head; the vocabulary stays frozen
MODES = {"hrq": "full", "one-hot": "full"}


def step(marker: Path, *command: str):
    """Run one `vqdna` command unless the file it ends with is there."""
    if marker.is_file() and json.loads(marker.read_text(encoding="utf-8")).get("complete", True):
        return
    resume = ["--resume"] if (marker.parent / "run.json").is_file() else []
    if vqdna([*command, *resume]) != 0:
        sys.exit(1)


def pretraining_step(data: Path, output: Path, vocabulary: str):
    """Learn the vocabulary (or write the one-hot control), store the corpus, pre-train the encoder."""
    fasta = {
        name: [part for file in files for part in ("--fasta", str(data / "pretraining" / f"{file}.fa.gz"))]
        for name, files in (("vocabulary", VOCABULARY), ("corpus", CORPUS))
    }
    tokenizer, corpus = output / f"tokenizer-{vocabulary}", output / "corpus"
    if vocabulary == "one-hot":
        step(tokenizer / "tokenizer_config.json", "one-hot-tokenizer", "--output", str(tokenizer))
    else:
        step(
            tokenizer / "training.json",
            *("train-tokenizer", *fasta["vocabulary"], "--output", str(tokenizer)),
            *("--preset", "small", "--mask-ratio", "0.25", "--max-steps", "1000", "--warmup-steps", "200"),
            *("--batch-size", "32", "--warmup-length", "128", "--length", "128", "--learning-rate", "2e-3"),
        )
    step(
        corpus / "corpus.json",
        *("tokenize", *fasta["corpus"], "--output", str(corpus), "--window", "128"),
    )
    step(
        output / f"encoder-{vocabulary}" / "training.json",
        *("pretrain", "--corpus", str(corpus), "--tokenizer", str(tokenizer)),
        *("--output", str(output / f"encoder-{vocabulary}"), "--preset", "small", "--masking", "base"),
        *("--max-steps", "1500", "--warmup-steps", "100", "--batch-size", "32", "--learning-rate", "2e-3"),
        *("--eval-steps", "1500", "--logging-steps", "100", "--neighbour-steps", "200"),
    )


def finetuning_step(data: Path, output: Path, vocabulary: str, seed: int):
    """Fine-tune one encoder on the three tasks with one seed."""
    for task, options in TASKS.items():
        results = result_directory(output, vocabulary, task, seed)
        step(
            results / "results.json",
            *("finetune", "--data", str(data / "GUE" / task), "--task", task, "--output", str(results)),
            *("--model", str(output / f"encoder-{vocabulary}"), "--mode", MODES[vocabulary], "--seed", str(seed)),
            *("--learning-rate", "1e-3", *options),
        )


def result_directory(output: Path, vocabulary: str, task: str, seed: int) -> Path:
    """Where one fine-tuned model and its results are."""
    return output / f"{vocabulary}-{task.replace('/', '-')}-{seed}"


def table(output: Path) -> str:
    """Test MCC, mean and standard deviation over the seeds that are finished."""
    names = {"hrq": "VQDNA `hrq`", "one-hot": "one-hot, same encoder and training"}
    lines = ["| test MCC x 100 | " + " | ".join(TASKS) + " |", "|---|" + "---|" * len(TASKS)]
    for vocabulary, name in names.items():
        cells = []
        for task in TASKS:
            paths = [result_directory(output, vocabulary, task, seed) / "results.json" for seed in SEEDS]
            scores = [
                100 * json.loads(path.read_text(encoding="utf-8"))["test"]["mcc"] for path in paths if path.is_file()
            ]
            spread = np.std(scores, ddof=1) if len(scores) > 1 else float("nan")
            cells.append(f"{np.mean(scores):.1f} ± {spread:.1f} ({len(scores)})" if scores else "-")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append("| k-mer logistic regression | " + " | ".join(f"{KMER[task]:.1f}" for task in TASKS) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="runs/three-tasks", help="directory to write")
    parser.add_argument("--only", choices=sorted(MODES), help="one of the two vocabularies")
    arguments = parse_with_data(parser, "GUE/ and pretraining/")
    data, output = Path(arguments.data), Path(arguments.output)
    chosen = [arguments.only] if arguments.only else list(MODES)
    for vocabulary in chosen:
        pretraining_step(data, output, vocabulary)
    for seed in SEEDS:
        for vocabulary in chosen:
            finetuning_step(data, output, vocabulary, seed)
    print(table(output))


if __name__ == "__main__":
    main()
