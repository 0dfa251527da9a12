"""Sequences as token ids of any tokenizer, encoded once, for one strand or both."""

import re

import numpy as np
import torch

from ..runs.records import Cut, note_cut


_BATCH = 4096
# enough known bases for a token of any tokenizer for DNA
_KNOWN = re.compile("[ACGTacgt]{16}")


class EmptySequenceError(ValueError):
    """A tokenizer gives no token for a sequence; the message names tokenizer and row."""


def encode_sequences(
    tokenizer,
    sequences: list[str],
    max_length: int | None = None,
    split: str = "",
    cuts: list[Cut] | None = None,
) -> list[np.ndarray]:
    """Token ids of DNA strings, special tokens included: one `int32` array a sequence.

    Args:
        tokenizer: any tokenizer of transformers.
        max_length: bases to keep of each sequence, from its start; all when not given. A tokenizer that states a
            largest number of tokens (`model_max_length`) cuts at that, too, and a warning says how many it cuts.
        split: what the sequences are, for that warning.
        cuts: takes what the warning says.

    Raises:
        EmptySequenceError: a sequence has no token but special ones; or all sequences become unknown tokens, although
            there are known bases in them.
    """
    unknown = tokenizer.unk_token_id
    special, encoded, lengths, known = set(tokenizer.all_special_ids) - {unknown}, [], [], False
    for start in range(0, len(sequences), _BATCH):
        strings = [sequence[:max_length] for sequence in sequences[start : start + _BATCH]]
        rows, whole = _token_ids(tokenizer, strings)
        for row, ids in enumerate(rows):
            if all(one in special for one in ids):
                raise EmptySequenceError(
                    f"{type(tokenizer).__name__} {tokenizer.name_or_path!r} gives no token for sequence "
                    f"{start + row} (0-based), {strings[row][:30]!r}. It is no tokenizer for DNA letters, or it "
                    "expects them in another form (spaces between k-mers?)."
                )
            known = known or any(one not in special and one != unknown for one in ids)
            encoded.append(np.asarray(ids, dtype=np.int32))
        lengths += whole
    row = next((row for row, sequence in enumerate(sequences) if _KNOWN.search(sequence[:max_length])), None)
    if not known and row is not None:
        raise EmptySequenceError(
            f"{type(tokenizer).__name__} {tokenizer.name_or_path!r} knows no token of sequence {row} (0-based), "
            f"{sequences[row][:30]!r}, nor of any other: all become {tokenizer.unk_token}. It is no tokenizer for DNA "
            "letters, or it expects them in another form (spaces between k-mers?)."
        )
    note_cut([] if cuts is None else cuts, split, lengths, _limit(tokenizer), "tokens")
    return encoded


def _limit(tokenizer) -> int | None:
    """Where a tokenizer says that it cuts, in tokens; None for one that does not."""
    return tokenizer.model_max_length if tokenizer.model_max_length < 1_000_000 else None


def _token_ids(tokenizer, strings: list[str]) -> tuple[list[list[int]], list[int]]:
    """Token ids, cut where the tokenizer says, and how many there would be without the cut."""
    limit = _limit(tokenizer)
    rows = tokenizer(strings, return_attention_mask=False, truncation=False, verbose=False)["input_ids"]
    lengths = [len(ids) for ids in rows]
    long = [row for row, length in enumerate(lengths) if limit is not None and length > limit]
    if long:
        options = {"truncation": True, "max_length": limit, "return_attention_mask": False}
        for row, ids in zip(long, tokenizer([strings[row] for row in long], **options)["input_ids"]):
            rows[row] = ids
    return rows, lengths


class EncodedSequences(torch.utils.data.Dataset):
    """Token ids and labels; on a random strand, another one each epoch, when `seed` is given.

    Args:
        ids: one array a sequence.
        labels (`np.ndarray` of shape `(rows,)` or `(rows, num_labels)`).
        other_ids: the ids of the other strands. Without `seed`, an item has them as `other_input_ids`.
        seed: seed of the strands; the given strand when not given.
    """

    def __init__(self, ids, labels: np.ndarray, other_ids=None, seed: int | None = None):
        self.ids, self.labels, self.other_ids, self.seed = ids, labels, other_ids, seed
        self.epoch = 0

    def set_epoch(self, epoch: int):
        """Take the strands of an epoch; see `EpochCallback`."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict:
        item = {"input_ids": self.ids[index], "labels": self.labels[index]}
        if self.seed is None:
            return item if self.other_ids is None else {**item, "other_input_ids": self.other_ids[index]}
        if np.random.default_rng([self.seed, self.epoch, index]).random() < 0.5:
            item["input_ids"] = self.other_ids[index]
        return item


class EncodedCollator:
    """Pads the sequences of a batch on the right.

    Gives `input_ids` and `attention_mask` of shape `(batch, tokens)` and `labels`; `other_input_ids`, too, of the same
    shape, where the items have them.
    """

    def __init__(self, pad_token_id: int | None):
        self.pad_token_id = 0 if pad_token_id is None else pad_token_id

    def __call__(self, items: list[dict]) -> dict[str, torch.Tensor]:
        longest = max(len(item["input_ids"]) for item in items)
        ids = np.full((len(items), longest), self.pad_token_id, dtype=np.int64)
        mask = np.zeros((len(items), longest), dtype=np.int64)
        for row, item in enumerate(items):
            end = len(item["input_ids"])
            ids[row, :end], mask[row, :end] = item["input_ids"], 1
        labels = np.stack([item["labels"] for item in items])
        labels = labels if labels.dtype.kind in "iu" else labels.astype(np.float32)
        batch = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels),
        }
        if "other_input_ids" in items[0]:
            other = np.full_like(ids, self.pad_token_id)
            for row, item in zip(other, items):
                row[: len(item["other_input_ids"])] = item["other_input_ids"]
            batch["other_input_ids"] = torch.from_numpy(other)
        return batch
