"""Attention in windows, in time and memory that grow with the length: `attn_implementation="block_local"`.

transformers' `sdpa` and `eager` give every layer a mask of length x length, also layers that see a window of it only.
Here queries are cut into blocks, each of which attends to its own keys and those of a window on either side, so that
nothing of length x length is ever made. Importing this module registers the function and its mask with transformers.

Notation used for tensor shapes: b: batch, a: attention heads, l: length, d: width of a head, n: blocks, w: positions
of a block, k: positions that a block sees.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface


BLOCK_LOCAL = "block_local"
MIN_BLOCK = 32  # smaller blocks cost more in calls than they save in products
SLAB = 8_192  # positions whose keys are unfolded, and whose mask is made, at a time


def block_local_mask(
    batch_size: int, q_length: int, kv_length: int, attention_mask: torch.Tensor | None = None, **kwargs
) -> torch.Tensor | None:
    """What transformers hands to the attention function as its mask: the padding mask, or `None` without padding.

    Args:
        attention_mask (`torch.BoolTensor` of shape `(b, l)`, *optional*): false at padding.

    Raises:
        ValueError: a mask beyond padding is asked for, or keys of another length than the queries.
    """
    if kwargs.get("use_vmap") or q_length != kv_length:
        raise ValueError(
            f"attn_implementation={BLOCK_LOCAL!r} knows padding and windows only, and as many keys as queries (here "
            f"{kv_length} and {q_length}): use attn_implementation='sdpa' for other masks."
        )
    # a mask of ones would only cost time; a compiled network may not look at what is in it
    if attention_mask is None or (not torch.compiler.is_compiling() and bool(attention_mask.all())):
        return None
    return attention_mask


def block_local_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it: within windows if the layer has one, over the whole sequence otherwise.

    Equal to `sdpa` and `eager` at every real position. At padding there stand finite numbers, of no meaning and others
    than theirs: a padded position sees itself, beside the real positions of its window.

    Args:
        query, key, value (`torch.FloatTensor` of shape `(b, a, l, d)`): keys and values may have fewer heads, each for
            as many heads of the queries as stand next to each other.
        attention_mask (`torch.BoolTensor` of shape `(b, l)`, *optional*): false at padding, on either side.
        dropout: of the attention weights; 0 outside training.
        scaling: what the products are multiplied by; `d ** -0.5` when not given.
        sliding_window: position i sees j where `|i - j| < sliding_window`, as flash attention counts; `None` for all.

    Returns:
        The output of shape `(b, l, a, d)`, and `None` in the place of the weights, which are never held.

    Raises:
        ValueError: the layer is causal, brings a bias of its own, or the mask has another shape.
    """
    unknown = [name for name in ("softcap", "position_bias", "s_aux") if kwargs.get(name) is not None]
    if kwargs.get("is_causal") or getattr(module, "is_causal", False) or unknown:
        raise ValueError(
            f"{type(module).__name__} needs {' and '.join(unknown) or 'a causal mask'}, which attn_implementation="
            f"{BLOCK_LOCAL!r} does not have: use attn_implementation='sdpa' or 'eager'."
        )
    if attention_mask is not None and attention_mask.ndim != 2:
        raise ValueError(
            f"attn_implementation={BLOCK_LOCAL!r} reads a padding mask of shape (batch, length), not "
            f"{tuple(attention_mask.shape)}: use attn_implementation='sdpa' for other masks."
        )
    if key.shape[1] < query.shape[1]:
        key, value = (x.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for x in (key, value))
    real = None if attention_mask is None else attention_mask.bool()
    if sliding_window is None or query.shape[2] <= sliding_window:
        output = _attend_to_all(query, key, value, real, dropout, scaling)
    else:
        output = _attend_in_blocks(query, key, value, real, sliding_window - 1, dropout, scaling)
    return output.contiguous(), None


def _attend_to_all(query, key, value, real, dropout, scaling) -> torch.Tensor:
    """Every position sees every real one; `(b, l, a, d)`. The fused kernels need no memory of l x l."""
    if real is not None:
        # a row of nothing but padding has no real position to see: it sees all of them
        real = (real | ~real.any(dim=1, keepdim=True))[:, None, None]  # [b, 1, 1, l]
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=real, dropout_p=dropout, scale=scaling)
    return output.transpose(1, 2)


def _attend_in_blocks(query, key, value, real, half: int, dropout, scaling) -> torch.Tensor:
    """Every position sees the real ones up to `half` positions away; `(b, l, a, d)`."""
    batch, heads, length, dim = query.shape
    # twice the window's half: each key is copied twice, and half of the products are of use
    width = max(2 * half, MIN_BLOCK)
    blocks = -(-length // width)
    around = (half, blocks * width - length + half)
    query = F.pad(query, (0, 0, 0, around[1] - half)).view(batch, heads, blocks, width, dim).transpose(1, 2)
    key, value = (_windows(F.pad(x, (0, 0, *around)), width, half).permute(0, 2, 1, 4, 3) for x in (key, value))
    padded = real is not None
    real = real if padded else torch.ones(1, length, dtype=torch.bool, device=query.device)
    real = _windows(F.pad(real, around), width, half, dim=1)  # [b or 1, n, k]
    ahead = torch.arange(-half, width + half, device=query.device)  # of the first query of a block
    ahead = ahead - torch.arange(width, device=query.device).unsqueeze(1)  # [w, k], of each
    band, itself = ahead.abs() <= half, ahead == 0
    slab, start, outputs = max(1, SLAB // (width * batch)), 0, []
    # subtle: split, because the gradient of a slice would be a tensor of the whole length for every slab
    for queries, keys, values, inside in zip(*(x.split(slab, dim=1) for x in (query, key, value, real))):
        stop = start + queries.shape[1]
        mask = band[None, None]
        if padded or start == 0 or stop > blocks - 2:  # or else no block sees an end of the sequence
            mask = band & (inside.unsqueeze(2) | itself)  # [b or 1, n, w, k]
            mask = mask.expand(batch, -1, -1, -1).flatten(0, 1).unsqueeze(1)  # [b * n, 1, w, k]
        queries, keys, values = (
            x.flatten(0, 1).contiguous() for x in (queries, keys, values)
        )  # [b * n, a, w or k, d]
        output = F.scaled_dot_product_attention(queries, keys, values, mask, dropout, scale=scaling)
        outputs.append(output.transpose(1, 2).reshape(batch, -1, heads, dim))
        start = stop
    return torch.cat(outputs, dim=1)[:, :length]


def _windows(x: torch.Tensor, width: int, half: int, dim: int = 2) -> torch.Tensor:
    """What each block sees, as a last dimension: `width + 2 * half` positions of a sequence padded by `half`."""
    return x.unfold(dim, width + 2 * half, width)


AttentionInterface.register(BLOCK_LOCAL, block_local_attention)
AttentionMaskInterface.register(BLOCK_LOCAL, block_local_mask)


__all__ = ["BLOCK_LOCAL", "block_local_attention", "block_local_mask"]
