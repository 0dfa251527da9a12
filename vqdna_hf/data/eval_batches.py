"""Evaluation within a bounded memory: a batch of long sequences is read in parts of so many positions."""

import numpy as np
import torch


# positions of a part, padding included: 64 sequences of 256 bases, or 5 of 3,000
POSITIONS = 1 << 14


def parts_of(lengths, positions: int = POSITIONS) -> list[np.ndarray]:
    """Rows of like lengths, the longest first, in parts that have at most so many positions when padded.

    Args:
        lengths: of the rows.
        positions: rows of a part times the longest of them; a row that alone is longer is a part of its own.

    Returns:
        The numbers of the rows of each part; every row is in one of them.
    """
    lengths = np.asarray(lengths)
    order, parts = np.argsort(-lengths, kind="stable"), []
    while order.size:
        rows = max(1, positions // max(1, int(lengths[order[0]])))
        parts.append(order[:rows])
        order = order[rows:]
    return parts


def take_rows(inputs: dict[str, torch.Tensor], rows: np.ndarray) -> dict[str, torch.Tensor]:
    """Rows of a batch that is padded on the right, without the padding that none of them needs.

    Args:
        inputs: `attention_mask` of shape `(batch, length)`, ids of that shape, and `labels`; where there is the other
            strand, its ids and `other_attention_mask`.
    """
    mask = inputs["attention_mask"]
    rows = torch.from_numpy(rows).to(mask.device)
    longest = {
        prefix: int(inputs[f"{prefix}attention_mask"][rows].sum(dim=-1).max())
        for prefix in ("", "other_")
        if f"{prefix}attention_mask" in inputs
    }
    return {
        name: values[rows]
        if name == "labels"
        else values[rows, : longest["other_" if name.startswith("other_") else ""]]
        for name, values in inputs.items()
    }


def join_parts(parts: list[np.ndarray], found: list[tuple]) -> tuple:
    """What `Trainer.prediction_step` gave for the parts of a batch, as it would have given it for the batch.

    Args:
        parts: the rows of each part.
        found: loss (a mean over rows), logits and labels of each; logits and labels may be None.
    """
    sizes = [len(rows) for rows in parts]
    losses, logits, labels = zip(*found)
    loss = None
    if losses[0] is not None:
        loss = sum(one * size for one, size in zip(losses, sizes)) / sum(sizes)
    back = torch.from_numpy(np.argsort(np.concatenate(parts)))
    logits, labels = (
        None if values[0] is None else torch.cat(list(values))[back.to(values[0].device)]
        for values in (logits, labels)
    )
    return loss, logits, labels
