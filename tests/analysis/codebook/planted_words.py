"""Sequences whose classes differ by a planted word."""

import numpy as np

from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids


def planted_rows(count: int, length: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Random sequences of three classes in turn; of class 1 every one is full of CCC, of class 2 of AAA."""
    rng, words = np.random.default_rng(seed), {1: bases_to_ids("CCC"), 2: bases_to_ids("AAA")}
    rows, labels = [], np.arange(count) % 3
    for label in labels:
        bases = rng.integers(0, 4, length).astype(np.uint8)
        for place in range(3, length - 3, 8):
            bases[place : place + 3] = words.get(label, bases[place : place + 3])
        rows.append(bases)
    return rows, labels
