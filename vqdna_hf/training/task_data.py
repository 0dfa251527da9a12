"""Task sequences as a trainer wants them: cut, on a random strand, with special tokens, padded."""

import copy

import numpy as np
import torch
from transformers import TrainerCallback

from ..modeling.nucleotides_vqdna import CLS_NUCLEOTIDE_ID, PAD_NUCLEOTIDE_ID, SEP_NUCLEOTIDE_ID, reverse_complement


def sequence_lengths(split) -> list[int]:
    """The lengths, in bases, of the rows of a task split."""
    return [len(ids) for ids in split.with_format("numpy")["nucleotide_ids"]]


class TaskSequences(torch.utils.data.Dataset):
    """The rows of a task split; on a random strand, another one each epoch, when `seed` is given.

    Args:
        split: rows with `nucleotide_ids` and `labels`.
        max_length: bases to keep of each sequence, from its start; all when not given.
        seed: seed of the strands; the given strand when not given.
    """

    def __init__(self, split, max_length: int | None = None, seed: int | None = None):
        columns = split.with_format("numpy")
        self.sequences = [np.asarray(row, dtype=np.int64)[:max_length] for row in columns["nucleotide_ids"]]
        self.labels = np.asarray(split["labels"])
        self.seed, self.epoch = seed, 0

    def take(self, rows) -> "TaskSequences":
        """A set of some rows, in their order, which draws no strands."""
        taken = copy.copy(self)
        taken.sequences, taken.labels = [self.sequences[row] for row in rows], self.labels[rows]
        taken.seed = None
        return taken

    def set_epoch(self, epoch: int):
        """Take the strands of an epoch; see `EpochCallback`."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> dict:
        ids = self.sequences[index]
        if self.seed is not None and np.random.default_rng([self.seed, self.epoch, index]).random() < 0.5:
            ids = reverse_complement(ids)
        return {"nucleotide_ids": ids, "labels": self.labels[index]}


class EpochCallback(TrainerCallback):
    """Tells a data set which epoch begins; with several processes the data loader itself does not."""

    def __init__(self, dataset: TaskSequences):
        self.dataset = dataset

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.dataset.set_epoch(round(state.epoch or 0))


class TaskCollator:
    """Puts [CLS] and [SEP] around the sequences of a batch and pads them.

    Gives `nucleotide_ids` and `attention_mask` of shape `(batch, length)` and `labels` of shape `(batch,)` or, for
    several labels, `(batch, num_labels)`.
    """

    def __call__(self, items: list[dict]) -> dict[str, torch.Tensor]:
        longest = max(len(item["nucleotide_ids"]) for item in items) + 2
        rows = np.full((len(items), longest), PAD_NUCLEOTIDE_ID, dtype=np.int64)
        for row, item in zip(rows, items):
            end = len(item["nucleotide_ids"]) + 1
            row[0], row[1:end], row[end] = CLS_NUCLEOTIDE_ID, item["nucleotide_ids"], SEP_NUCLEOTIDE_ID
        ids, labels = torch.from_numpy(rows), np.stack([item["labels"] for item in items])
        labels = torch.from_numpy(labels if labels.dtype.kind in "iu" else labels.astype(np.float32))
        return {"nucleotide_ids": ids, "attention_mask": (ids != PAD_NUCLEOTIDE_ID).long(), "labels": labels}
