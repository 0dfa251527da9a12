"""Parts of the VQDNA models: ids and codes, the other strand, pooling, the projection and the layers of the heads.

Notation used for tensor shapes: b: batch, l: length (special tokens included), n: levels, h: hidden size.
"""

import warnings

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from .checks_vqdna import check_label_shape
from .configuration_vqdna import NUM_SPECIAL_TOKENS
from .nucleotides_vqdna import (
    CLS_NUCLEOTIDE_ID,
    MASK_NUCLEOTIDE_ID,
    PAD_NUCLEOTIDE_ID,
    SEP_NUCLEOTIDE_ID,
    UNKNOWN_ID,
    sequence_mask,
)


POOLING_PIECE = 16_384  # positions that are pooled at a time
HEAD_ROWS = 128  # the heads run on a multiple of so many positions


def pack_codes(codes: torch.Tensor, codebook_sizes: list[int]) -> torch.Tensor:
    """Level codes of shape `(..., n)` to code ids of shape `(...)`: a mixed-radix number behind the special tokens.

    Example: codes (3, 5) of levels of 8 and 16 -> `5 + 3 * 16 + 5` = 58
    """
    ids = torch.zeros_like(codes[..., 0])
    for level, size in enumerate(codebook_sizes):
        ids = ids * size + codes[..., level]
    return ids + NUM_SPECIAL_TOKENS


def unpack_codes(ids: torch.Tensor, codebook_sizes: list[int]) -> torch.Tensor:
    """The inverse of `pack_codes`; special tokens give codes of 0."""
    rest, codes = (ids - NUM_SPECIAL_TOKENS).clamp(min=0), []
    for size in reversed(codebook_sizes):
        codes.append(rest % size)
        rest = rest // size
    return torch.stack(codes[::-1], dim=-1)


def nucleotides_to_special_ids(nucleotide_ids: torch.Tensor) -> torch.Tensor:
    """The special token at each position of nucleotide ids, -1 at the bases."""
    ids = torch.full_like(nucleotide_ids, -1, dtype=torch.long)  # bytes would not hold it
    pairs = ((PAD_NUCLEOTIDE_ID, 0), (UNKNOWN_ID, 1), (CLS_NUCLEOTIDE_ID, 2), (SEP_NUCLEOTIDE_ID, 3))
    for nucleotide, token in (*pairs, (MASK_NUCLEOTIDE_ID, 4)):
        ids = ids.masked_fill(nucleotide_ids == nucleotide, token)
    return ids


def reverse_complement_batch(nucleotide_ids: torch.Tensor) -> torch.Tensor:
    """Read the other strand of every row, leaving [CLS], [SEP] and padding where they are.

    Args:
        nucleotide_ids (`torch.LongTensor` of shape `(batch_size, length)`): one run of bases per row.
    """
    inside = nucleotide_ids < CLS_NUCLEOTIDE_ID
    first = inside.long().argmax(dim=1, keepdim=True)
    last = first + inside.sum(dim=1, keepdim=True) - 1
    places = torch.arange(nucleotide_ids.shape[1], device=nucleotide_ids.device).expand_as(nucleotide_ids)
    mirrored = nucleotide_ids.gather(1, torch.where(inside, first + last - places, places))
    return torch.where(mirrored < UNKNOWN_ID, 3 - mirrored, mirrored)


class VQDNAProjection(nn.Linear):
    """Code vectors to the width of the encoder: a linear layer with an initialization of its own."""


class VQDNAPredictionHead(nn.Module):
    """Dense layer, activation, LayerNorm: what BERT puts before its output layer."""

    def __init__(self, hidden_size: int, eps: float = 1e-5):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=eps)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.norm(F.gelu(self.dense(hidden_states)))


def masked_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the labelled positions; 0, not nan, when there is none."""
    chosen = labels >= 0
    return F.cross_entropy(logits[chosen].float(), labels[chosen], reduction="sum") / chosen.sum().clamp(min=1)


def row_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """`masked_cross_entropy` of logits most of which count: it picks none out, and waits for no device.

    Args:
        logits (`torch.FloatTensor` of shape `(..., classes)`), labels (`torch.LongTensor` of shape `(...)`): negative
            ones are ignored.
    """
    labels = labels.flatten().clamp(min=-1)
    total = F.cross_entropy(logits.flatten(0, -2).float(), labels, ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)


def renamed_argument(kwargs: dict, old: str, new: str, value):
    """What an argument is: `value`, or what came under its older name, which is taken out of `kwargs`, with a warning.

    No argument of a `forward` but `labels` may have "label" in its name: a `Trainer` waits for every such argument
    before it evaluates.

    Raises:
        ValueError: both names were given.
    """
    if old not in kwargs:
        return value
    if value is not None and value is not False:
        raise ValueError(f"`{old}` is the older name of `{new}`: give one of them, not both.")
    warnings.warn(f"`{old}` is called `{new}` now, and its older name will be removed.", FutureWarning, stacklevel=3)
    return kwargs.pop(old)


def labelled_positions(
    labels: torch.Tensor | None, base_targets: torch.Tensor | None, shape: torch.Size | None = None
) -> torch.Tensor | None:
    """Where a batch has a label of either kind: places in the flattened `(b, l)`, rising; `None` without labels.

    Raises:
        ValueError: labels of another shape than the batch's `shape`, which would fall on other positions.
    """
    for name, value in (("labels", labels), ("base_targets", base_targets)):
        if value is not None and shape is not None:
            check_label_shape(name, value, shape)
    chosen = None if labels is None else labels >= NUM_SPECIAL_TOKENS
    if base_targets is not None:
        chosen = base_targets >= 0 if chosen is None else chosen | (base_targets >= 0)
    return None if chosen is None else chosen.flatten().nonzero().squeeze(-1)


def whole_blocks(rows: torch.Tensor) -> torch.Tensor:
    """Rows `(n, d)` with zeros below them, up to a whole number of blocks of `HEAD_ROWS`.

    Every batch has another number of labels, and a CPU's library keeps kernels for each shape that it has met: without
    this they grow to gigabytes under bfloat16.
    """
    return F.pad(rows, (0, 0, 0, -len(rows) % HEAD_ROWS))


class VQDNAPooling(nn.Module):
    """One vector per sequence of the hidden states of its bases."""

    def __init__(self, kind: str, bins: int):
        super().__init__()
        self.kind, self.bins = kind, bins

    def output_size(self, hidden_size: int) -> int:
        """Width of the pooled vector."""
        return hidden_size * {"mean+max": 2, "bins": self.bins}.get(self.kind, 1)

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """
        Args:
            hidden_states (`torch.FloatTensor` of shape `(b, l, h)`), mask (`torch.BoolTensor` of shape `(b, l)`): true
                for the bases, which excludes padding, [CLS] and [SEP].
        """
        if self.kind == "cls":  # before the first base, which padding on the left moves
            first = (mask.long().argmax(dim=1) - 1).clamp(min=0)
            return hidden_states[torch.arange(first.shape[0], device=first.device), first]
        pooled = []
        if self.kind in ("mean", "mean+max"):
            pooled.append(_mean(hidden_states, mask))
        if self.kind in ("max", "mean+max"):
            pooled.append(_maxima(hidden_states, torch.where(mask, 0, -1), 1))
        if self.kind == "bins":
            places = (mask.cumsum(dim=1) - 1).clamp(min=0)
            bins = places * self.bins // mask.sum(dim=1, keepdim=True).clamp(min=1)
            pooled.append(_maxima(hidden_states, bins.masked_fill(~mask, -1), self.bins))
        return torch.cat(pooled, dim=-1)


def _mean(hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over the positions where the mask is true; `(b, h)`."""
    # subtle: split, not sliced: the gradient of every slice would be as long as the whole
    pieces = zip(hidden_states.split(POOLING_PIECE, dim=1), mask.unsqueeze(-1).split(POOLING_PIECE, dim=1))
    wide = torch.promote_types(hidden_states.dtype, torch.float32)  # bfloat16 cannot count to a thousand
    total = sum((states * inside).sum(dim=1, dtype=wide) for states, inside in pieces)
    return (total / mask.sum(dim=1, keepdim=True).clamp(min=1)).to(hidden_states.dtype)


def _maxima(hidden_states: torch.Tensor, groups: torch.Tensor, number: int) -> torch.Tensor:
    """The maximum of each group of positions, concatenated; `(b, number * h)`. An empty group gives 0.

    Args:
        groups (`torch.LongTensor` of shape `(b, l)`): the group of each position, -1 for none.
    """
    if number > 1 and groups.shape[1] <= POOLING_PIECE:
        return _maxima_at_once(hidden_states, groups, number)
    pieces = list(zip(hidden_states.split(POOLING_PIECE, dim=1), groups.split(POOLING_PIECE, dim=1)))
    found = []
    for part in range(number):
        # a group is a run of positions: most pieces hold nothing of it
        maxima = [_piece_max(*piece, part, len(pieces) > 1) for piece in pieces if _holds(piece[1], part, pieces)]
        largest = torch.stack(maxima).amax(dim=0) if maxima else torch.zeros_like(hidden_states[:, 0])
        found.append(largest.masked_fill(~(groups == part).any(dim=1, keepdim=True), 0))
    return torch.cat(found, dim=-1)


def _maxima_at_once(hidden_states: torch.Tensor, groups: torch.Tensor, number: int) -> torch.Tensor:
    """As `_maxima`, in one pass over the positions however many groups there are."""
    outside = torch.where(groups >= 0, groups, number)  # one more group, for what belongs to none
    found = hidden_states.new_full((groups.shape[0], number + 1, hidden_states.shape[-1]), _lowest(hidden_states))
    index = outside.unsqueeze(-1).expand_as(hidden_states)
    found = found.scatter_reduce(1, index, hidden_states, "amax")[:, :number]
    filled = (outside.unsqueeze(-1) == torch.arange(number, device=groups.device)).any(dim=1)
    return found.masked_fill(~filled.unsqueeze(-1), 0).flatten(1)


def _lowest(hidden_states: torch.Tensor) -> float:
    return torch.finfo(hidden_states.dtype).min


def _holds(groups: torch.Tensor, part: int, pieces: list) -> bool:
    return len(pieces) == 1 or bool((groups == part).any())


def _piece_max(states: torch.Tensor, groups: torch.Tensor, part: int, again: bool) -> torch.Tensor:
    """The maximum of a group within a piece; what its gradient needs is kept, or made `again`."""
    if again and torch.is_grad_enabled():
        return checkpoint(_masked_max, states, groups == part, use_reentrant=False, preserve_rng_state=False)
    return _masked_max(states, groups == part)


def _masked_max(hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return hidden_states.masked_fill(~mask.unsqueeze(-1), _lowest(hidden_states)).amax(dim=1)


class VQDNAClassificationHead(nn.Module):
    """Dense layer, activation, dropout, output layer."""

    def __init__(self, input_size: int, hidden_size: int, num_labels: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(input_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(hidden_size, num_labels)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        return self.out_proj(self.dropout(F.gelu(self.dense(self.dropout(pooled)))))


def base_mask(
    input_ids: torch.Tensor | None, nucleotide_ids: torch.Tensor | None, attention_mask: torch.Tensor | None
) -> torch.Tensor | None:
    """True for the positions that are bases, known or not, of shape `(b, l)`; `None` when nothing tells."""
    if nucleotide_ids is not None:
        return sequence_mask(nucleotide_ids, attention_mask)
    if input_ids is None:
        return None if attention_mask is None else attention_mask.bool()
    outside = (input_ids == 0) | (input_ids == 2) | (input_ids == 3)  # [PAD], [CLS], [SEP]
    return ~outside if attention_mask is None else ~outside & attention_mask.bool()
