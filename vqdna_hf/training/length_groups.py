"""Batches of sequences of like lengths, where lengths differ enough for padding to cost anything."""

import numpy as np
import torch
from transformers.trainer_pt_utils import get_length_grouped_indices


# part of the positions of random batches that is padding, from which on batches are made by length
_WORTH_GROUPING = 0.05


def padding_share(lengths, batch_size: int) -> float:
    """Which part of the positions of random batches would be padding, in [0, 1).

    Args:
        lengths: of the sequences.
        batch_size: sequences that are padded to the longest among them.
    """
    lengths = np.random.default_rng(0).permutation(np.asarray(lengths))
    edges = np.arange(0, len(lengths), batch_size)
    sizes = np.diff([*edges, len(lengths)])
    return float(1 - lengths.sum() / max(1, (np.maximum.reduceat(lengths, edges) * sizes).sum()))


def is_worth_grouping(lengths, batch_size: int) -> bool:
    """Whether lengths differ so much that batches are better made by length."""
    return padding_share(lengths, batch_size) > _WORTH_GROUPING


def by_length(lengths) -> np.ndarray:
    """The rows of a set that is only looked at, the longest first, so that a lack of memory shows at once."""
    return np.argsort(-np.asarray(lengths), kind="stable")


class LengthGroupedSampler(torch.utils.data.Sampler):
    """A random order in which rows of like lengths stand together: transformers', decided by seed and epoch alone.

    A resumed run has the order of one that was never stopped.

    Args:
        dataset: has `epoch`, which `EpochCallback` sets.
        lengths: of its rows.
        batch_size: rows of an optimizer step.
        seed: any integer.
    """

    def __init__(self, dataset, lengths, batch_size: int, seed: int):
        self.dataset, self.lengths, self.batch_size, self.seed = dataset, list(map(int, lengths)), batch_size, seed

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self):
        state = np.random.SeedSequence([self.seed, self.dataset.epoch]).generate_state(1)
        generator = torch.Generator().manual_seed(int(state[0]))
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=generator))
