"""Masked pre-training: which positions to predict, and what the encoder may see of them.

A code is a function of the bases around it (41 for the paper's sizes), so that a masked *code* shows in the
codes around:

    token   the paper's: codes at random positions become [MASK]. The base at such a position is still visible in up to
            2 x halo neighbouring codes.
    span    whole spans of codes become [MASK], and only positions at least a halo from the span's edges are predicted:
            no code outside has seen their bases. (It has seen bases that their *codes* see, too: the base head is the
            figure to read.) Windows without room for a span and its surroundings are left alone.
    base    bases are masked before the window is tokenized, so that no code knows them; their positions hold [MASK].
            Every masked base also changes the codes around it, to codes of words with a hole. Masked one by one, a
            quarter of the bases leaves few codes as they are in clean DNA; masked in runs, it leaves most.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch

from ..arguments.training import MaskingKind
from ..modeling.configuration_vqdna import NUM_SPECIAL_TOKENS
from ..modeling.nucleotides_vqdna import (
    CLS_NUCLEOTIDE_ID,
    MASK_NUCLEOTIDE_ID,
    PAD_NUCLEOTIDE_ID,
    SEP_NUCLEOTIDE_ID,
    UNKNOWN_ID,
    reverse_complement,
)


MASKINGS = get_args(MaskingKind)
MASK_TOKEN_ID = 4
KEEP = -1  # in `replacement_ids`: leave the code as it is
_MASKED, _RANDOM = 0.8, 0.1  # BERT's shares of masked and replaced positions; the rest stays visible


@dataclass
class Masking:
    """How positions are chosen.

    Args:
        kind: `base`, `token` or `span`.
        ratio: fraction of the known bases to predict; for `span`, and for runs, fraction of the window inside them, as
            near as a whole number of them (at least one) comes.
        halo: bases on either side that a code sees.
        num_codes: product ids of the vocabulary, for random replacement.
        span_length: length of a span, in bases, `4 * halo + 1` (at least 2) when not given; for `base`, of a run of
            masked bases, 1 when not given.

    Raises:
        ValueError: an unknown kind, a ratio outside (0, 1), a length below 1, a length for `token`, or a span with no
            position far enough from its edges.
    """

    kind: str
    ratio: float
    halo: int
    num_codes: int
    span_length: int | None = None

    def __post_init__(self):
        if self.kind not in MASKINGS:
            raise ValueError(f"There is no masking {self.kind!r}; choose one of {', '.join(MASKINGS)}.")
        if not 0 < self.ratio < 1:
            raise ValueError(f"The mask ratio is {self.ratio}, but must lie between 0 and 1.")
        if self.span_length is None:
            self.span_length = max(2, 4 * self.halo + 1) if self.kind == "span" else 1
        if self.span_length < 1:
            raise ValueError(f"The span length is {self.span_length}, but at least one base has to be masked.")
        if self.kind == "token" and self.span_length > 1:
            raise ValueError(
                f"The span length is {self.span_length}, but `token` masking masks codes one by one: leave it out, or "
                "choose `base` or `span`."
            )
        if self.kind == "span" and self.span_length < 4 * self.halo + 1:
            raise ValueError(
                f"A span of {self.span_length} bases masks little: a base shows in the codes of {self.halo} positions "
                f"on either side, so that a span needs at least {4 * self.halo + 1}."
            )

    @property
    def in_runs(self) -> bool:
        """Whether bases are masked in runs, not one by one."""
        return self.kind == "base" and self.span_length > 1

    @property
    def min_length(self) -> int:
        """The shortest window in which something is masked, in bases: a span and a halo on either side of it, or a run
        and one base."""
        if self.kind == "span":
            return self.span_length + 2 * self.halo
        return self.span_length + 1 if self.in_runs else 1

    def choose(self, bases: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The positions the encoder may not see, and the ones to predict.

        Args:
            bases: nucleotide ids 0-4 of a window, shape `(length,)`.

        Returns:
            two boolean arrays of shape `(length,)`: masked, and labelled (a subset of the known bases).
        """
        known, masked = bases < UNKNOWN_ID, np.zeros(len(bases), dtype=bool)
        if self.kind == "span" or self.in_runs:
            return self._choose_spans(known, rng)
        places = np.flatnonzero(known)
        masked[rng.choice(places, size=round(self.ratio * len(places)), replace=False)] = True
        return masked, masked.copy()

    def _choose_spans(self, known: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        length, halo = len(known), self.halo if self.kind == "span" else 0
        masked, inner = np.zeros(length, dtype=bool), np.zeros(length, dtype=bool)
        # in a shorter window a span would leave too little to predict from: it teaches nothing
        for start, width in self._intervals(length, rng) if length >= self.min_length else ():
            masked[start : start + width] = True
            # at the ends of a window nothing stands beyond the edge that could leak
            first = start if start == 0 else start + halo
            last = start + width if start + width == length else start + width - halo
            inner[first : max(first, last)] = True
        return masked if self.kind == "span" else masked & known, inner & known

    def _intervals(self, length: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
        """Start and width of as many spans as the ratio asks for, one in each equal part of a window."""
        edges = np.linspace(0, length, max(1, round(self.ratio * length / self.span_length)) + 1).astype(int)
        for left, right in zip(edges[:-1], edges[1:]):
            width = min(self.span_length, right - left)
            yield int(rng.integers(left, right - width + 1)), width

    def item(self, bases: np.ndarray, rng: np.random.Generator, codes: np.ndarray | None = None) -> dict:
        """One training example: the clean window, and what replaces the masked positions.

        Returns:
            `nucleotide_ids`, `labelled` and, for `base`, `masked_nucleotide_ids`, otherwise `replacement_ids` (-1
            keeps the code), each of shape `(length,)`; `clean_ids`, the window's code ids, when `codes` are given.
        """
        chosen, labelled = self.choose(bases, rng)
        draw = rng.random(len(bases))
        if self.in_runs:  # what is done with a base is done with its run
            first = chosen & ~np.append(False, chosen[:-1])
            draw = draw[np.maximum.accumulate(np.where(first, np.arange(len(bases)), 0))]
        # a span is masked whole: what stays visible in it would show its neighbours
        random = chosen & (draw >= _MASKED) & (draw < _MASKED + _RANDOM) & (self.kind != "span")
        masked = chosen & ((draw < _MASKED + _RANDOM) | (self.kind == "span"))
        item = {"nucleotide_ids": bases, "labelled": labelled}
        if self.kind == "base":
            inputs = np.where(masked, MASK_NUCLEOTIDE_ID, bases)
            item["masked_nucleotide_ids"] = np.where(random, rng.integers(0, 4, len(bases)), inputs)
        else:
            replacement = np.where(masked, MASK_TOKEN_ID, KEEP)
            # a uniform product id is an independent uniform code on every level
            codes_drawn = NUM_SPECIAL_TOKENS + rng.integers(0, self.num_codes, len(bases))
            item["replacement_ids"] = np.where(random, codes_drawn, replacement)
        if codes is not None:
            item["clean_ids"] = codes
        return item


class MaskedWindows(torch.utils.data.Dataset):
    """A virtual data set of masked windows: item `i` is decided by `(seed, i)` alone, so that a run resumes exactly.

    Every pass over the corpus is another permutation of it, with other strands and other masks.

    Args:
        corpus: rows with `bases`, and `codes` when they are stored.
        num_items: length of this data set.
        masking: see [`Masking`].
        seed: any integer.
        random_strand: read a window on either strand (not possible with stored codes).
    """

    def __init__(self, corpus, num_items: int, masking: Masking, seed: int, random_strand: bool = True):
        self.with_codes = "codes" in corpus.column_names and masking.kind != "base"
        columns = ["bases", "codes"] if self.with_codes else ["bases"]
        self.corpus = corpus.select_columns(columns).with_format("numpy")
        self.num_items, self.masking, self.seed = num_items, masking, seed
        self.random_strand = random_strand and not self.with_codes
        self._permutation: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return self.num_items

    def __getitem__(self, index: int) -> dict:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict]:
        rows = self.corpus[[self._row(index) for index in indices]]
        items = []
        for number, index in enumerate(indices):
            rng = np.random.default_rng([self.seed, index])
            bases = rows["bases"][number].astype(np.int64)
            if self.random_strand and rng.random() < 0.5:
                bases = reverse_complement(bases).astype(np.int64)
            codes = rows["codes"][number].astype(np.int64) if self.with_codes else None
            items.append(self.masking.item(bases, rng, codes))
        return items

    def count_bases(self) -> int:
        """Bases in all items: whole passes over the corpus, and a part of one more."""
        chunks = self.corpus.data.column("bases").chunks
        lengths = np.concatenate([chunk.value_lengths().to_numpy() for chunk in chunks])
        passes, rest = divmod(len(self), len(lengths))
        first = passes * len(lengths)
        return int(passes * lengths.sum() + sum(lengths[self._row(first + index)] for index in range(rest)))

    def _row(self, index: int) -> int:
        epoch, place = divmod(index, len(self.corpus))
        if self._permutation is None or self._permutation[0] != epoch:
            order = np.random.default_rng([self.seed, 1 << 32, epoch]).permutation(len(self.corpus))
            self._permutation = (epoch, order)
        return int(self._permutation[1][place])


class MaskingCollator:
    """Puts [CLS] and [SEP] around the windows of a batch and pads them; every value is `(batch, length)`."""

    # what stands at [CLS], at [SEP], and in the padding
    EDGES = {
        "nucleotide_ids": (CLS_NUCLEOTIDE_ID, SEP_NUCLEOTIDE_ID, PAD_NUCLEOTIDE_ID),
        "masked_nucleotide_ids": (CLS_NUCLEOTIDE_ID, SEP_NUCLEOTIDE_ID, PAD_NUCLEOTIDE_ID),
        "clean_ids": (2, 3, 0),
        "replacement_ids": (KEEP, KEEP, KEEP),
        "labelled": (0, 0, 0),
    }

    def __call__(self, items: list[dict]) -> dict[str, torch.Tensor]:
        longest = max(len(item["nucleotide_ids"]) for item in items) + 2
        batch = {}
        for name in items[0]:
            cls, sep, pad = self.EDGES[name]
            rows = np.full((len(items), longest), pad, dtype=np.int64)
            for row, item in zip(rows, items):
                end = len(item[name]) + 1
                row[0], row[1:end], row[end] = cls, item[name], sep
            batch[name] = torch.from_numpy(rows)
        batch["labelled"] = batch["labelled"].bool()
        return batch


@torch.no_grad()
def mask_batch(encoder, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Turn a collated batch into the inputs of `VQDNAForMaskedLM`, on the model's device.

    Args:
        encoder ([`VQDNAModel`]): its frozen codec tokenizes.
        batch: what [`MaskingCollator`] gives.

    Returns:
        `input_ids`, `attention_mask`, `labels` (codes of the clean window) and `base_targets`, each `(batch, length)`.
    """
    clean, labelled = batch["nucleotide_ids"], batch["labelled"]
    if "masked_nucleotide_ids" in batch:
        both = encoder.encode_nucleotides(torch.cat([clean, batch["masked_nucleotide_ids"]]))
        clean_ids, input_ids = both.chunk(2)
    else:
        clean_ids = batch["clean_ids"] if "clean_ids" in batch else encoder.encode_nucleotides(clean)
        replacement = batch["replacement_ids"]
        input_ids = torch.where(replacement == KEEP, clean_ids, replacement)
    return {
        "input_ids": input_ids,
        "attention_mask": (clean != PAD_NUCLEOTIDE_ID).long(),
        "labels": torch.where(labelled, clean_ids, -100),
        "base_targets": torch.where(labelled, clean, -100),
    }
