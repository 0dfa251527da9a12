"""Masked language modelling over an ordinary vocabulary: windows of bases to token ids, and which of them are masked.

A base stands in one token, and BERT's masking masks it with its token; not so with overlapping k-mers, where it stands
in k of them. There spans of k bases are masked, and every token that touches one becomes [MASK].
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from ..baselines.tokenizers import tokenizer_kind
from ..modeling.nucleotides_vqdna import UNKNOWN_ID, ids_to_bases


class WindowEncoder:
    """Turns windows of bases into the ids that the tokenizer gives for their letters.

    Where a token begins at every base (single bases, overlapping k-mers) a table does it, some thirty times as fast.

    Attributes:
        span: bases of a token that begins at every base, 1 for single bases; `None` for other vocabularies.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self.tokenizer, kind = tokenizer, tokenizer_kind(tokenizer)
        self.span = kind["k"] if kind["stride"] == 1 else None
        self._tables = {span: self._table(span) for span in {1, self.span}} if self.span else {}

    def _table(self, span: int) -> np.ndarray:
        words = map("".join, product("ACGT", repeat=span))
        return np.array(self.tokenizer.convert_tokens_to_ids(list(words)), dtype=np.int64)

    def span_of(self, length: int) -> int:
        """Bases of a token in a window of `length` bases: one that is too short for k-mers is read base by base."""
        return self.span if length >= self.span else 1

    def __call__(self, windows: list[np.ndarray]) -> list[np.ndarray]:
        """Token ids of windows of nucleotide ids 0-4, without special tokens: one `int64` array a window."""
        if self.span:
            return [self._look_up(np.asarray(bases, dtype=np.int64)) for bases in windows]
        texts = [ids_to_bases(bases) for bases in windows]
        rows = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        return [np.asarray(row, dtype=np.int64) for row in rows]

    def _look_up(self, bases: np.ndarray) -> np.ndarray:
        span = self.span_of(len(bases))
        count = len(bases) - span + 1
        number = np.zeros(count, dtype=np.int64)
        for offset in range(span):
            number = 4 * number + bases[offset : offset + count] % 4
        ids = self._tables[span][number]
        return np.where(touching(bases == UNKNOWN_ID, span), self.tokenizer.unk_token_id, ids)


def touching(marked: np.ndarray, span: int) -> np.ndarray:
    """Which tokens of `span` bases at every base hold a marked one: bool `(length,)` to `(length - span + 1,)`."""
    counts = np.concatenate([[0], np.cumsum(marked)])
    return counts[span:] > counts[:-span]


def masked_spans(length: int, span: int, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Mask `ratio * length` bases in spans that do not overlap, at least one span; bool of shape `(length,)`."""
    count = min(max(1, round(ratio * length / span)), length // span)
    # places among what is left when every span is drawn together to one base, then apart again
    starts = np.sort(rng.choice(length - count * (span - 1), size=count, replace=False))
    starts += np.arange(count) * (span - 1)
    masked = np.zeros(length, dtype=bool)
    masked[(starts[:, None] + np.arange(span)).ravel()] = True
    return masked


@dataclass
class TokenMasking:
    """What [`MaskedWindows`] asks of a masking, over token ids; windows, order and strands are the same for all.

    Args:
        encoder: of the vocabulary.
        ratio: fraction of the tokens to predict; of the bases, where tokens overlap.

    Raises:
        ValueError: a ratio outside (0, 1).
    """

    encoder: WindowEncoder
    ratio: float
    kind: str = "base"  # from the bases alone, whatever codes the corpus holds

    def __post_init__(self):
        if not 0 < self.ratio < 1:
            raise ValueError(f"The mask ratio is {self.ratio}, but must lie between 0 and 1.")

    @property
    def overlapping(self) -> bool:
        """Whether a base stands in several tokens."""
        return (self.encoder.span or 1) > 1

    def item(self, bases: np.ndarray, rng: np.random.Generator, codes: np.ndarray | None = None) -> dict:
        """A window and what decides its masks: `seed`, or, where tokens overlap, `masked`, a bool for every base."""
        if not self.overlapping:
            return {"bases": bases, "seed": int(rng.integers(2**63))}
        return {"bases": bases, "masked": masked_spans(len(bases), self.encoder.span_of(len(bases)), self.ratio, rng)}


class TokenCollator:
    """Windows of [`TokenMasking`] to `input_ids`, `attention_mask` and `labels`, each `(batch, length in tokens)`.

    Unknown bases are never labels.
    """

    def __init__(self, masking: TokenMasking):
        self.encoder, self.masking = masking.encoder, masking
        self.tokenizer = masking.encoder.tokenizer
        self.random = DataCollatorForLanguageModeling(self.tokenizer, mlm_probability=masking.ratio)

    def __call__(self, items: list[dict]) -> dict[str, torch.Tensor]:
        tokenizer, rows = self.tokenizer, self.encoder([item["bases"] for item in items])
        ids = np.full((len(rows), max(map(len, rows)) + 2), tokenizer.pad_token_id, dtype=np.int64)
        masked, inside = np.zeros(ids.shape, dtype=bool), np.zeros(ids.shape, dtype=np.int64)
        for number, (row, item) in enumerate(zip(rows, items)):
            end = len(row) + 1
            ids[number, 0], ids[number, 1:end], ids[number, end] = tokenizer.cls_token_id, row, tokenizer.sep_token_id
            inside[number, : end + 1] = 1
            if self.masking.overlapping:
                masked[number, 1:end] = touching(item["masked"], self.encoder.span_of(len(item["bases"])))
        special = np.isin(ids, tokenizer.all_special_ids)
        if self.masking.overlapping:
            inputs = torch.from_numpy(np.where(masked, tokenizer.mask_token_id, ids))
            labels = torch.from_numpy(np.where(masked & ~special, ids, -100))
        else:
            # what the first window drew decides the batch's masks, so that a run resumes exactly
            self.random.generator = torch.Generator().manual_seed(items[0]["seed"])
            inputs, labels = self.random.torch_mask_tokens(torch.from_numpy(ids), torch.from_numpy(special))
        return {"input_ids": inputs, "attention_mask": torch.from_numpy(inside), "labels": labels}
