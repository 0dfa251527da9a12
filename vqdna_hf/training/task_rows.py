"""Task sequences as a trainer wants them: ids with special tokens, on a random strand or on both, padded."""

import numpy as np
import torch
from transformers import TrainerCallback

from ..modeling.nucleotides_vqdna import (
    CLS_NUCLEOTIDE_ID,
    PAD_NUCLEOTIDE_ID,
    SEP_NUCLEOTIDE_ID,
    reverse_complement,
)


class TaskRows(torch.utils.data.Dataset):
    """Ids and labels of the rows of a split; on a random strand, another one each epoch, when `seed` is given.

    Args:
        rows: the ids of each sequence, special tokens included.
        labels (`np.ndarray` of shape `(rows,)` or `(rows, num_labels)`).
        other: the ids of the other strands. Without `seed`, an item has them as `other_input_ids` (or
            `other_nucleotide_ids`), and a `ClassifierTrainer` averages both.
        seed: seed of the strands; the given strand when not given.
        name: what the ids are: `input_ids`, or `nucleotide_ids`.
    """

    def __init__(self, rows, labels: np.ndarray, other=None, seed: int | None = None, name: str = "input_ids"):
        self.rows, self.labels, self.other, self.seed, self.name = rows, labels, other, seed, name
        self.epoch = 0

    @classmethod
    def of_bases(cls, sequences, labels, other: bool = False, seed: int | None = None) -> "TaskRows":
        """Rows of nucleotide ids, [CLS] and [SEP] around those of each sequence.

        Args:
            sequences: nucleotide ids 0-4, each of shape `(length,)`.
            other: whether the other strands are wanted; they are with a `seed`.
        """
        sequences = [np.asarray(ids) for ids in sequences]
        wanted = other or seed is not None
        strands = [_around(reverse_complement(ids)) for ids in sequences] if wanted else None
        return cls(list(map(_around, sequences)), np.asarray(labels), strands, seed, "nucleotide_ids")

    def set_epoch(self, epoch: int):
        """Take the strands of an epoch; see `EpochCallback`."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        item = {self.name: self.rows[index], "labels": self.labels[index]}
        if self.seed is None:
            return item if self.other is None else {**item, f"other_{self.name}": self.other[index]}
        if np.random.default_rng([self.seed, self.epoch, index]).random() < 0.5:
            item[self.name] = self.other[index]
        return item


def _around(ids: np.ndarray) -> np.ndarray:
    return np.concatenate([[CLS_NUCLEOTIDE_ID], ids, [SEP_NUCLEOTIDE_ID]]).astype(np.uint8)


class EpochCallback(TrainerCallback):
    """Tells a data set which epoch begins; with several processes the data loader itself does not."""

    def __init__(self, dataset: TaskRows):
        self.dataset = dataset

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.dataset.set_epoch(round(state.epoch or 0))


class TaskCollator:
    """Pads the rows of a batch on the right.

    Gives ids and `attention_mask` of shape `(batch, tokens)`, and `labels` of shape `(batch,)` or, for several labels,
    `(batch, num_labels)`; where the items have the other strand, its ids and `other_attention_mask`, too.

    Args:
        pad_token_id: of token ids; nucleotide ids have their own. 0 for a tokenizer without one.
    """

    def __init__(self, pad_token_id: int | None = 0):
        self.pad_token_id = 0 if pad_token_id is None else pad_token_id

    def __call__(self, items: list[dict]) -> dict[str, torch.Tensor]:
        labels = np.stack([item["labels"] for item in items])
        labels = labels if labels.dtype.kind in "iu" else labels.astype(np.float32)
        batch = {"labels": torch.from_numpy(labels)}
        for name in items[0].keys() - {"labels"}:
            fill = PAD_NUCLEOTIDE_ID if name.endswith("nucleotide_ids") else self.pad_token_id
            mask_name = "other_attention_mask" if name.startswith("other_") else "attention_mask"
            batch[name], batch[mask_name] = _padded([item[name] for item in items], fill)
        return batch


def _padded(rows: list[np.ndarray], fill: int) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, fill, dtype=np.int64)
    ids[mask] = np.concatenate(rows)
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))
