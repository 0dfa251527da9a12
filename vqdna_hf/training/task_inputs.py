"""From the splits of a task to what a classifier trains on, chooses its epoch by and is scored on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..arguments.training import FinetuneArguments
from .length_groups import by_length, is_worth_grouping
from .task_rows import TaskCollator, TaskRows


@dataclass(frozen=True)
class TaskInputs:
    """The inputs of a run.

    Attributes:
        rows: the data set of each split.
        collator: of their items.
        lengths: of the training rows, in tokens, if batches are to be made by length, else None.
        test_places: where each row of the task's test split stands in `rows["test"]`.
    """

    rows: dict[str, TaskRows]
    collator: TaskCollator
    lengths: list[int] | None
    test_places: np.ndarray


def task_inputs(
    arguments: FinetuneArguments,
    sequences: dict[str, list],
    labels: dict[str, np.ndarray],
    encode: Callable[[str, bool], list[np.ndarray]] | None,
    pad_token_id: int | None = 0,
) -> TaskInputs:
    """Codes, tokens, or bases where the vocabulary trains along.

    Training rows are on a random strand with `rc_augment`; dev and test are read on both with `strand_average`, and
    the longest first where lengths differ.

    Args:
        sequences: those of each split's rows, the training ones cut already: nucleotide ids 0-4, shape `(length,)`;
            where there is `encode`, their lengths alone are looked at.
        labels: of each split.
        encode: token ids of a split's rows, special tokens included; called with the split's name, and whether those
            of the other strand are wanted. None for a model that is given bases.
    """
    rows, places, lengths = {}, {}, None
    for split, own in sequences.items():
        train = split == "train"
        bases = [len(ids) for ids in own]
        grouped = arguments.group_by_length and is_worth_grouping(bases, arguments.batch_size)
        order = by_length(bases) if grouped and not train else np.arange(len(own))
        other = arguments.rc_augment if train else arguments.strand_average
        seed = arguments.seed if train and other else None
        if encode is None:
            rows[split] = TaskRows.of_bases([own[row] for row in order], labels[split][order], other, seed)
        else:
            strands = [encode(split, strand) for strand in (False, True)[: 1 + other]]
            strands = [[ids[row] for row in order] for ids in strands]
            rows[split] = TaskRows(strands[0], labels[split][order], strands[1] if other else None, seed)
        if train and grouped:
            lengths = [len(ids) for ids in rows[split].rows]
        places[split] = np.argsort(order)
    return TaskInputs(rows, TaskCollator(pad_token_id), lengths, places["test"])
