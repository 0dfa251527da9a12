"""What does a code tell by itself, and how many codes does a changed base alter? On human DNA of GUE's dev splits.

    VQDNA_DATA=/path/to/data python benchmarks/code_information.py [TOKENIZER ...]

Bits are the entropy of the codes of all levels taken together: a code that told its base, and nothing else, would have
2. A change is that of the middle base of a row, to each of the three others.
"""

import argparse
from pathlib import Path

import numpy as np
from measuring import parse_with_data
from scipy.stats import entropy

from vqdna_hf import VQDNATokenizer
from vqdna_hf.checkpoints import list_checkpoints, resolve_checkpoint
from vqdna_hf.metrics import codebook_usage
from vqdna_hf.modeling.nucleotides_vqdna import BASES
from vqdna_hf.tasks import load_task


TASKS = ("prom/prom_core_all", "tf/0")
BATCH = 512


def encode(tokenizer: VQDNATokenizer, sequences: list[str]) -> list[list[int]]:
    """The ids of each sequence, without special tokens."""
    chunks = (sequences[start : start + BATCH] for start in range(0, len(sequences), BATCH))
    return [row for chunk in chunks for row in tokenizer(chunk, add_special_tokens=False)["input_ids"]]


def information(tokenizer: VQDNATokenizer, sequences: list[str]) -> str:
    """Cells: bits and combinations of all levels, then bits and share of codes used of each."""
    ids = np.concatenate(encode(tokenizer, sequences))
    combinations = np.unique(ids, return_counts=True)[1]
    sizes, codes = tokenizer.codec.config.codebook_sizes, tokenizer.vocabulary.codes(ids)
    counts = [np.bincount(level, minlength=size) for level, size in zip(codes.T, sizes, strict=True)]
    bits = ", ".join(f"{entropy(count, base=2):.2f}" for count in counts)
    used = ", ".join(f"{100 * codebook_usage(count):.1f} %" for count in counts)
    return f"{entropy(combinations, base=2):.2f} | {len(combinations):,} | {bits} | {used}"


def altered(tokenizer: VQDNATokenizer, sequences: list[str]) -> str:
    """Cells: mean and largest number of codes that differ once the middle base of a row is another."""
    kept, changed = [], []
    for sequence in sequences:
        middle = len(sequence) // 2
        others = BASES.replace(sequence[middle], "")
        kept += [sequence] * len(others)
        changed += [sequence[:middle] + base + sequence[middle + 1 :] for base in others]
    pairs = zip(encode(tokenizer, kept), encode(tokenizer, changed), strict=True)
    differ = [np.count_nonzero(np.asarray(one) != np.asarray(other)) for one, other in pairs]
    return f"{np.mean(differ):.1f} | {max(differ)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", nargs="*", help="directories or names of checkpoints; those of the package")
    arguments = parse_with_data(parser)
    rows = {task: list(load_task(task, arguments.data)["dev"]["sequence"]) for task in TASKS}
    print("| vocabulary | R | bits a code | combinations | bits by level | used | codes altered | at most |")
    print("|---|---:|---:|---:|---|---|---:|---:|")
    for name in arguments.tokenizers or list_checkpoints():
        tokenizer = VQDNATokenizer.from_pretrained(resolve_checkpoint(name))
        cells = information(tokenizer, sum(rows.values(), [])), altered(tokenizer, rows["tf/0"])
        field = tokenizer.codec.config.receptive_field
        print(f"| {Path(name).name} | {field} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
