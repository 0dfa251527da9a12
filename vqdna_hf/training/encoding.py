"""Sequences as token ids of any tokenizer."""

import re

import numpy as np

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
