"""Bases to codes at speed, in packed batches: the codec's encoder and the search for the nearest codes, no autograd.

A packed batch is one row: sequences end to end, with a gap between two that no convolution reaches across, so that
nothing is padded to the longest. On a CPU it then passes through the network in place, in tiles that stay in the
cache; elsewhere the network's own modules run. Both add up the same numbers, in another order than a batch does:
codes differ at near-ties alone.

Notation used for tensor shapes: t: positions of a packed batch, d: hidden_size, k: codes of a level.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .checks_vqdna import is_recorded
from .nucleotides_vqdna import CLS_NUCLEOTIDE_ID, PAD_NUCLEOTIDE_ID
from .quantization_vqdna import exact_float32, full_precision


PRECISIONS = ("float32", "bfloat16")
# positions of a packed batch, and of a tile of it: what a tile makes should stay in the cache of a core
CPU_BATCH, GPU_BATCH = 4_096, 262_144
_TILE = 1_024


@dataclass(frozen=True)
class Piece:
    """A part of a sequence in a packed batch.

    Attributes:
        row: which sequence.
        start, end: the bases whose codes are wanted (0-based, half-open).
        left, right: the bases that the network sees, a halo more on either side.
        place: where `left` stands in the packed batch.
    """

    row: int
    start: int
    end: int
    left: int
    right: int
    place: int


def pack_pieces(lengths: list[int], halo: int, gap: int, capacity: int, chunk: int) -> Iterator[list[Piece]]:
    """Cut sequences into pieces of at most `chunk` bases, in packed batches of at most `capacity` positions.

    Args:
        lengths: bases of each sequence.
        halo: bases that a piece sees beyond its own on either side.
        gap: empty positions between two pieces.
        capacity, chunk: a packed batch may be longer than `capacity` only for a single piece of `chunk` and its halos.

    Yields:
        the pieces of a packed batch.
    """
    pieces, used = [], 0
    for row, length in enumerate(lengths):
        for start in range(0, length, chunk):
            end = min(start + chunk, length)
            left, right = max(0, start - halo), min(end + halo, length)
            place = used + gap if pieces else 0
            if pieces and place + right - left > capacity:
                yield pieces
                pieces, place = [], 0
            pieces.append(Piece(row, start, end, left, right, place))
            used = place + right - left
    if pieces:
        yield pieces


def check_precision(precision: str):
    """Refuse what is no name of a precision, with a `ValueError`."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r} is not one of {', '.join(PRECISIONS)}.")


def runs_in_tiles(encoder: nn.Module) -> bool:
    """Whether the tiles of this module compute what an encoder's own modules would: plain layers, in float32.

    Adapters, hooks, weights that are spread over processes or brought in for each call (accelerate's offloading), and
    a trace, which would hold the codes of its example, go through the modules.
    """
    blocks = list(encoder.blocks)
    if not blocks or is_recorded():
        return False
    linears = [encoder.stem_projection, *(layer for block in blocks for layer in (block.expand, block.contract))]
    plain = all(type(layer) is nn.Linear for layer in linears) and type(encoder.stem) is nn.Conv1d
    plain = plain and all(type(block.norm) is nn.LayerNorm for block in blocks)
    parameters = list(encoder.parameters())
    plain = plain and all(type(value) in (nn.Parameter, torch.Tensor) for value in parameters)
    hooked = any(
        module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module) for module in encoder.modules()
    )
    return plain and not hooked and all(value.dtype == torch.float32 for value in parameters)


class PackedEncoder:
    """Codes of packed batches, by the networks of one codec as it is now.

    Args:
        codec ([`VQDNACodecModel`]): its weights are read at every call, and nothing of it is changed.
        precision: `float32`, or `bfloat16` for the products of the network (the search stays in float32).
        network: the codec's encoder, compiled (see `compile_network`): it takes batches of one length, to which longer
            ones than half of it are padded; shorter ones pass without it.
        capacity: positions of a packed batch; chosen from the device if `None`, and never less than one base and its
            halos.

    Attributes:
        capacity: positions of the longest packed batch.
        gap: positions between two pieces that no convolution reaches across.
    """

    def __init__(self, codec: nn.Module, precision: str = "float32", network=None, capacity: int | None = None):
        check_precision(precision)
        self.codec, self.encoder = codec, codec.encoder
        self.dtype = getattr(torch, precision)
        self.network = network
        self.in_tiles = runs_in_tiles(codec.encoder)
        self.gap = max(codec.config.stem_kernel_size, codec.config.kernel_size) // 2
        # the pieces of a long sequence fill one, together with their halos
        default = CPU_BATCH if codec.device.type == "cpu" else GPU_BATCH
        self.capacity = max(capacity or default, codec.config.receptive_field)
        self._buffers: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def encode(self, nucleotide_ids: torch.Tensor) -> torch.Tensor:
        """Codes of a packed batch.

        Args:
            nucleotide_ids (`torch.Tensor` of integers, shape `(t,)`): 0-5 for bases, 6 and above between them.

        Returns:
            `torch.LongTensor` of shape `(t, levels)`; whatever stands outside the sequences.
        """
        with exact_float32(nucleotide_ids.device.type):
            latents = self.latents(nucleotide_ids)
            codes, _, _ = self.codec.quantizer.quantize([level.unsqueeze(0) for level in latents])
        return codes[0]

    @torch.no_grad()
    def latents(self, nucleotide_ids: torch.Tensor) -> list[torch.Tensor]:
        """Z of every quantized layer of a packed batch of shape `(t,)`: each of shape `(t, codebook_dim)`."""
        inside = nucleotide_ids < CLS_NUCLEOTIDE_ID
        device, length = nucleotide_ids.device.type, len(nucleotide_ids)
        compiled = self.network is not None and 2 * length > self.capacity
        if self.in_tiles and device == "cpu" and not compiled:
            return self._latents_in_tiles(nucleotide_ids, inside)
        if compiled:  # for one shape: another would be compiled too
            missing = -length % self.capacity
            nucleotide_ids, inside = F.pad(nucleotide_ids, (0, missing)), F.pad(inside, (0, missing))
        with torch.autocast(device, self.dtype, enabled=self.dtype != torch.float32):
            network = self.network if compiled else self.encoder
            latents = network(nucleotide_ids.unsqueeze(0).long(), inside.view(1, -1, 1))
        return [full_precision(level[0, :length]) for level in latents]

    def _latents_in_tiles(self, nucleotide_ids: torch.Tensor, inside: torch.Tensor) -> list[torch.Tensor]:
        encoder, length = self.encoder, len(nucleotide_ids)
        outside = (~inside).nonzero().squeeze(1)
        width = encoder.stem_projection.out_features
        wide = encoder.blocks[0].expand.out_features
        edge = encoder.blocks[0].depthwise.weight.shape[-1] // 2
        # the residual stream, with what every convolution finds beyond its ends
        stream = self._buffer("stream", length + 2 * edge, width)
        stream[:edge], stream[length + edge :] = 0, 0
        hidden = stream[edge : length + edge]
        update = self._buffer("update", length, width)
        wider = self._buffer("wider", min(_TILE, length), wide, self.dtype)
        self._stem(nucleotide_ids, hidden)
        latents = {}
        for layer, block in enumerate(encoder.blocks, start=1):
            # what lies outside the sequences must be zero before every convolution
            hidden.index_fill_(0, outside, 0)
            self._convolve(block.depthwise, stream, update)
            expand, contract = (linear.weight.t().to(self.dtype) for linear in (block.expand, block.contract))
            bias = block.expand.bias.to(self.dtype)
            for start in range(0, length, _TILE):
                tile = slice(start, min(start + _TILE, length))
                normed = F.layer_norm(update[tile], (width,), block.norm.weight, block.norm.bias, block.norm.eps)
                inner = torch.addmm(bias, normed.to(self.dtype), expand, out=wider[: len(normed)])
                torch.ops.aten.gelu_(inner)
                if self.dtype == torch.float32:
                    hidden[tile].add_(block.contract.bias).addmm_(inner, contract)
                else:
                    hidden[tile].add_(block.contract.bias).add_(inner @ contract)
            if layer in encoder.quantized_layers:
                projection = encoder.latent_projections[encoder.quantized_layers.index(layer)]
                latents[layer] = hidden.clone() if isinstance(projection, nn.Identity) else projection(hidden)
        return [latents[layer] for layer in encoder.quantized_layers]

    def _stem(self, nucleotide_ids: torch.Tensor, hidden: torch.Tensor):
        """Bases of shape `(t,)` to the first hidden states, `(t, d)`, in place."""
        encoder = self.encoder
        kernel = encoder.stem.weight.shape[-1]
        one_hot = encoder.stem.weight.new_zeros(len(nucleotide_ids) + kernel - 1, 4)
        known = (nucleotide_ids < 4).nonzero().squeeze(1)
        one_hot[known + kernel // 2, nucleotide_ids[known].long()] = 1
        # one row per position: the one-hot vectors that its convolution sees, side by side
        windows = one_hot.as_strided((len(nucleotide_ids), 4 * kernel), (4, 1))
        weight = encoder.stem.weight.permute(0, 2, 1).reshape(-1, 4 * kernel).t()
        for start in range(0, len(nucleotide_ids), _TILE):
            tile = slice(start, start + _TILE)
            x = encoder.stem_norm(torch.addmm(encoder.stem.bias, windows[tile], weight))
            torch.addmm(
                encoder.stem_projection.bias,
                torch.ops.aten.gelu_(x),
                encoder.stem_projection.weight.t(),
                out=hidden[tile],
            )

    @staticmethod
    def _convolve(depthwise: nn.Module, stream: torch.Tensor, update: torch.Tensor):
        """A depth-wise convolution as one multiplication per offset: rows of `stream`, shifted, into `update`."""
        kernel = depthwise.weight[:, 0].t().contiguous()  # [kernel, d]
        for start in range(0, len(update), _TILE):
            part = update[start : start + _TILE]
            torch.addcmul(depthwise.bias, stream[start : start + len(part)], kernel[0], out=part)
            for shift in range(1, len(kernel)):
                part.addcmul_(stream[start + shift : start + shift + len(part)], kernel[shift])

    def _buffer(self, name: str, rows: int, width: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Memory that the batches of one call share: what a page costs at its first touch is paid once."""
        held = self._buffers.get(name)
        if held is None or len(held) < rows:
            held = self._buffers[name] = torch.empty(rows, width, dtype=dtype, device="cpu")
        return held[:rows]


def compile_network(codec: nn.Module):
    """The codec's encoder, compiled when it is first used; its weights are those of each call."""
    return torch.compile(codec.encoder, dynamic=False)


def encode_sequences(
    encoder: PackedEncoder, sequences: list[np.ndarray], device: torch.device, chunk: int
) -> list[np.ndarray]:
    """Codes of sequences of any lengths; those longer than `chunk` in pieces, with the codes of the whole.

    Args:
        sequences: nucleotide ids 0-5, each of shape `(length,)`.
        chunk: bases of a piece before its halos; fewer where a packed batch would not hold it.

    Returns:
        One `np.ndarray` of `int64` and shape `(length, levels)` per sequence.
    """
    config = encoder.codec.config
    codes = [np.zeros((len(sequence), config.num_levels), dtype=np.int64) for sequence in sequences]
    lengths, waiting = [len(sequence) for sequence in sequences], None
    chunk = min(chunk, encoder.capacity - 2 * config.halo)
    for pieces in pack_pieces(lengths, config.halo, encoder.gap, encoder.capacity, chunk):
        packed = np.full(pieces[-1].place + pieces[-1].right - pieces[-1].left, PAD_NUCLEOTIDE_ID, dtype=np.uint8)
        for piece in pieces:
            span = slice(piece.place, piece.place + piece.right - piece.left)
            packed[span] = sequences[piece.row][piece.left : piece.right]
        ids = torch.from_numpy(packed)
        if device.type == "cuda":  # one byte a base; the copy and the next batch's layout run beside the network
            ids = ids.pin_memory().to(device, non_blocking=True)
        encoded = encoder.encode(ids.to(device))
        if waiting is not None:
            _collect(*waiting, codes)
        waiting = (pieces, encoded)
    if waiting is not None:
        _collect(*waiting, codes)
    return codes


def _collect(pieces: list[Piece], encoded: torch.Tensor, codes: list[np.ndarray]):
    found = encoded.cpu().numpy()
    for piece in pieces:
        first = piece.place + piece.start - piece.left
        codes[piece.row][piece.start : piece.end] = found[first : first + piece.end - piece.start]


__all__ = [
    "PRECISIONS",
    "PackedEncoder",
    "Piece",
    "check_precision",
    "compile_network",
    "encode_sequences",
    "pack_pieces",
    "runs_in_tiles",
]
