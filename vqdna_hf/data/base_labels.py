"""Labels of bases, put where a tokenizer has put the bases."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ..modeling.nucleotides_vqdna import base_mask


IGNORED = -100  # the label of positions that are no base, which losses skip


def align_labels(encoded: Mapping, labels: Sequence) -> Mapping:
    """Add `labels` to what a tokenizer gave: each base's at its id, -100 at [CLS], [SEP] and [PAD].

    A tokenizer of VQDNA gives one id a base *and* one for each special token: a list of labels of the bases alone
    would fall one base too early. [MASK] and [UNK] are bases, and have a label each.

    Args:
        encoded: what the tokenizer gave for one string or a list of them, with `input_ids` or `nucleotide_ids`.
        labels: whole numbers, one a base: a list for one string, a list of lists for many. -100 where a base's label
            is not known.

    Returns:
        `encoded`, with `labels` of the shape of its ids; tensors or arrays if those are.

    Raises:
        ValueError: other numbers of sequences, or of bases and labels, names the row and both numbers; or labels that
            are no whole numbers.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from transformers import AutoTokenizer

    >>> from vqdna_hf import checkpoint
    >>> from vqdna_hf.data import align_labels

    >>> tokenizer = AutoTokenizer.from_pretrained(checkpoint())
    >>> rows = Dataset.from_dict({"sequence": ["ACG"], "of_bases": [[1, 0, 1]]})
    >>> rows = rows.map(lambda row: align_labels(tokenizer(row["sequence"]), row["of_bases"]))
    >>> rows["labels"][0]
    [-100, 1, 0, 1, -100]
    ```
    """
    name = next((name for name in ("input_ids", "nucleotide_ids") if name in encoded), None)
    if name is None:
        raise ValueError(
            f"There are no input_ids and no nucleotide_ids in {sorted(encoded)}: give what the tokenizer gave."
        )
    ids = encoded[name]
    single = len(ids) > 0 and np.ndim(ids[0]) == 0
    rows, labels = ([ids], [labels]) if single else (ids, labels)
    if len(rows) != len(labels):
        raise ValueError(f"There are {len(rows)} sequences, but labels for {len(labels)}: give a list for each.")
    aligned = [_align(np.asarray(row), of_bases, name, n) for n, (row, of_bases) in enumerate(zip(rows, labels))]
    aligned = aligned[0] if single else aligned
    if hasattr(ids, "new_tensor"):
        encoded["labels"] = ids.new_tensor(np.stack(aligned) if not single else aligned)
    elif isinstance(ids, np.ndarray):
        encoded["labels"] = np.stack(aligned) if not single else aligned
    else:
        encoded["labels"] = aligned.tolist() if single else [row.tolist() for row in aligned]
    return encoded


def _align(ids: np.ndarray, of_bases: Sequence[int], name: str, row: int) -> np.ndarray:
    """Labels of one row of ids, `(length,)`."""
    given = {"input_ids": None, "nucleotide_ids": None, name: torch.as_tensor(ids)}
    inside = base_mask(**given, attention_mask=None).numpy()
    if np.ndim(of_bases) != 1 or (len(of_bases) and not np.issubdtype(np.asarray(of_bases).dtype, np.integer)):
        raise ValueError(
            f"The labels of row {row} (0-based) are {of_bases!r:.60}, but a list of whole numbers is needed, one for "
            "each base."
        )
    if len(of_bases) != inside.sum():
        raise ValueError(
            f"Row {row} (0-based) has {inside.sum()} bases, but {len(of_bases)} labels: give one label for each base, "
            "none for [CLS] and [SEP]. If the tokenizer has cut the sequence, cut its labels as well."
        )
    labels = np.full(len(ids), IGNORED, dtype=np.int64)
    labels[inside] = of_bases
    return labels


__all__ = ["IGNORED", "align_labels"]
