"""Does a vocabulary hold on DNA that it has never seen? Bases given back, and codes used, on the test splits of GUE.

    VQDNA_DATA=/path/to/data python benchmarks/unseen_dna.py [TOKENIZER ...]

The pre-training data of the package's checkpoints were screened against these sequences. Bases are compared with what
`decode` makes of the ids alone. The perplexity of codes equals their number when all are as frequent.
"""

import argparse
from pathlib import Path

import numpy as np
from measuring import parse_with_data

from vqdna_hf import VQDNATokenizer
from vqdna_hf.checkpoints import list_checkpoints, resolve_checkpoint
from vqdna_hf.metrics import codebook_usage, perplexity
from vqdna_hf.tasks import load_task


TASKS = {"human": ("prom/prom_core_all", "prom/prom_300_tata", "tf/0"), "mouse": ("mouse/0", "mouse/3")}
BATCH = 512


def measure(tokenizer, sequences: list[str]) -> tuple[int, float, list[tuple[float, float]]]:
    """Bases, the share of them that comes back, and for each level the share of codes used and their perplexity."""
    sizes, right, bases = tokenizer.codec.config.codebook_sizes, 0, 0
    counts = [np.zeros(size, dtype=np.int64) for size in sizes]
    for start in range(0, len(sequences), BATCH):
        chunk = sequences[start : start + BATCH]
        rows = tokenizer(chunk, add_special_tokens=False)["input_ids"]
        for sequence, decoded in zip(chunk, tokenizer.batch_decode(rows), strict=True):
            right += sum(one == two for one, two in zip(sequence, decoded, strict=True))
            bases += len(sequence)
        codes = tokenizer.vocabulary.codes(np.concatenate(rows))
        for level, count in enumerate(counts):
            count += np.bincount(codes[:, level], minlength=len(count))
    return bases, right / bases, [(codebook_usage(count), perplexity(count)) for count in counts]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", nargs="*", help="directories or names of checkpoints; those of the package")
    arguments = parse_with_data(parser)
    print("| vocabulary | DNA | bases | given back | codes used | perplexity |\n|---|---|---:|---:|---|---|")
    sequences = {
        kind: [sequence for task in tasks for sequence in load_task(task, arguments.data)["test"]["sequence"]]
        for kind, tasks in TASKS.items()
    }
    for name in arguments.tokenizers or list_checkpoints():
        tokenizer = VQDNATokenizer.from_pretrained(resolve_checkpoint(name))
        for kind, rows in sequences.items():
            bases, right, levels = measure(tokenizer, rows)
            used = ", ".join(f"{100 * share:.1f} %" for share, _ in levels)
            spread = ", ".join(f"{value:.0f}" for _, value in levels)
            print(f"| {Path(name).name} | {kind} | {bases:,} | {100 * right:.3f} % | {used} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
