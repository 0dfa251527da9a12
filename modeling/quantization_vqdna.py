"""Vector quantizers of VQDNA (https://huggingface.co/papers/2405.10812): `vq` (Eq. 1-4), `hrq` (Eq. 5-8) and the
recursive baseline `rq` of Figure 4, over a codebook that moves by exponential moving average (Eq. 4).

Notation used for tensor shapes: b: batch, l: length, n: positions of all sequences, d: width of a code vector,
k: codes of a codebook. Latents are Z, code vectors e(M), quantized latents Z^ ("Z hat").

Not handled: half precision. Distances and statistics are float32 (float64 if the latents are), even under autocast.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers.utils import ModelOutput

from .codebook_vqdna import EMACodebook, full_precision, nearest_codes


@dataclass
class QuantizerOutput(ModelOutput):
    """
    Args:
        quantized (`torch.FloatTensor` of shape `(batch_size, length, codebook_dim)`):
            Z^, with the straight-through gradient on the last level's latents.
        codes (`torch.LongTensor` of shape `(batch_size, length, levels)`): The code of each level, M.
        commitment_loss (`torch.FloatTensor` of shape `()`): Third term of Eq. 3, or second of Eq. 8, before beta.
        counts (`list[torch.FloatTensor]` of shapes `(codes of the level,)`): How often each code was used.
        perplexity (`torch.FloatTensor` of shape `(levels,)`): exp of the entropy of the codes used, in codes.
        usage (`torch.FloatTensor` of shape `(levels,)`): Fraction of the codes used.
    """

    quantized: torch.FloatTensor | None = None
    codes: torch.LongTensor | None = None
    commitment_loss: torch.FloatTensor | None = None
    counts: list[torch.FloatTensor] | None = None
    perplexity: torch.FloatTensor | None = None
    usage: torch.FloatTensor | None = None


class Quantizer(nn.Module):
    """What the three quantizers share: one codebook per level, the straight-through gradient, losses and statistics.

    A kind of quantizer says what a level quantizes (`level_input`), and how the code vectors of the first levels make
    up Z^ (`combine`).
    """

    def __init__(
        self,
        codebook_sizes: list[int],
        dim: int,
        decay: float = 0.99,
        epsilon: float = 1e-5,
        restart_threshold: float = 0.05,
    ):
        super().__init__()
        self.codebooks = nn.ModuleList(
            EMACodebook(size, dim, decay, epsilon, restart_threshold) for size in codebook_sizes
        )
        # subtle: whether `forward` makes the EMA step itself; a trainer that accumulates gradients makes it instead
        self.defer_updates = False

    @staticmethod
    def level_input(latents: torch.Tensor, earlier: list[torch.Tensor]) -> torch.Tensor:
        """H^(n) from Z^(n) and e(M^(1)), ..., e(M^(n-1)), all of shape `(b, l, d)`."""
        raise NotImplementedError

    @staticmethod
    def combine(vectors: list[torch.Tensor]) -> torch.Tensor:
        """Z^(n) hat of the first n levels' code vectors, all of shape `(b, l, d)`."""
        raise NotImplementedError

    @staticmethod
    def latents_of(latents: list[torch.Tensor], level: int) -> torch.Tensor:
        """Z^(n) in full precision; one tensor serves all levels of `rq`."""
        return full_precision(latents[min(level, len(latents) - 1)])

    def quantize(self, latents: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Find the code of every level.

        Args:
            latents: Z^(1), ..., Z^(N), each of shape `(b, l, d)`; one tensor serves all levels of `rq`.

        Returns:
            codes of shape `(b, l, N)`, code vectors e(M^(n)) and level inputs H^(n), each of shape `(b, l, d)`.
        """
        codes, vectors, inputs = [], [], []
        for level, codebook in enumerate(self.codebooks):
            h = self.level_input(self.latents_of(latents, level).detach(), vectors)
            embedding = codebook.embedding.to(h.dtype)
            m = nearest_codes(h.flatten(0, 1), embedding)
            inputs.append(h)
            codes.append(m.view(h.shape[:2]))
            vectors.append(embedding[m].view_as(h))
        return torch.stack(codes, dim=-1), vectors, inputs

    def lookup(self, codes: torch.Tensor) -> torch.Tensor:
        """Z^ of codes of shape `(..., N)`: code vectors of all levels combined, shape `(..., d)`."""
        return self.combine([book.embedding[codes[..., level]] for level, book in enumerate(self.codebooks)])

    def forward(
        self, latents: list[torch.Tensor], mask: torch.Tensor | None = None, keys: torch.Tensor | None = None
    ) -> QuantizerOutput:
        """Quantize, and in training mode let the codebooks follow.

        Args:
            latents: as for `quantize`.
            mask (`torch.BoolTensor` of shape `(b, l)`, *optional*): the positions that count; all when not given.
            keys (`torch.LongTensor` of shape `(b, l)`, *optional*): see `EMACodebook.observe`.
        """
        if mask is None:
            mask = torch.ones(latents[0].shape[:2], dtype=torch.bool, device=latents[0].device)
        with torch.autocast(latents[0].device.type, enabled=False):
            codes, vectors, inputs = self.quantize(latents)
            last = full_precision(latents[-1])
            quantized = last + (self.combine(vectors) - last).detach()  # no-op forward, identity backward
            loss = sum(
                _mean_squared_error(self.latents_of(latents, n), self.combine(vectors[: n + 1]), mask)
                for n in range(len(vectors))
            )
            for level, codebook in enumerate(self.codebooks):
                if codebook.training and not codebook.frozen:
                    chosen = codes[..., level][mask]
                    codebook.observe(inputs[level][mask], chosen, None if keys is None else keys[mask])
            if not self.defer_updates:
                self.update()
            return QuantizerOutput(quantized, codes, loss, **self._statistics(codes, mask))

    def update(self):
        """Make the EMA step of all levels; see `EMACodebook.update`."""
        for codebook in self.codebooks:
            codebook.update()

    def freeze(self, frozen: bool = True):
        """Keep the codebooks where they are, in training mode too (or let them move again)."""
        for codebook in self.codebooks:
            codebook.frozen = frozen

    @torch.no_grad()
    def kmeans_(self, latents: list[torch.Tensor], total_size: float, iterations: int = 10, seed: int = 0):
        """Re-seed the codebooks by k-means, level by level, each on what the levels before it leave.

        Args:
            latents: as for `quantize`, each of shape `(1, n, d)`.
            total_size, iterations, seed: see `EMACodebook.kmeans_`.
        """
        vectors = []
        for level, codebook in enumerate(self.codebooks):
            h = self.level_input(self.latents_of(latents, level), vectors)
            codes = codebook.kmeans_(h.flatten(0, 1), total_size, iterations, seed + level)
            vectors.append(codebook.embedding[codes].view_as(h))

    @torch.no_grad()
    def _statistics(self, codes: torch.Tensor, mask: torch.Tensor) -> dict:
        places = mask.flatten().long()
        counts = [
            places.new_zeros(len(book.embedding)).index_add(0, codes[..., level].flatten(), places).float()
            for level, book in enumerate(self.codebooks)
        ]
        perplexity = torch.stack([code_perplexity(c) for c in counts])
        usage = torch.stack([(c > 0).float().mean() for c in counts])
        return {"counts": counts, "perplexity": perplexity, "usage": usage}


def code_perplexity(counts: torch.Tensor) -> torch.Tensor:
    """exp of the entropy of the codes used: `k` for uniform use, 1 when one code does everything."""
    p = counts / counts.sum().clamp(min=1)
    return torch.exp(-torch.special.xlogy(p, p).sum())


def _mean_squared_error(latents: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The norm of Eq. 3 and 8, as a mean over positions *and* dimensions (a sum over d would be d times stronger)."""
    error = (latents - target.detach()).pow(2).mean(dim=-1)  # [b, l]
    return (error * mask).sum() / mask.sum().clamp(min=1)


class VectorQuantizer(Quantizer):
    """`vq`: one codebook. H = Z (Eq. 1), Z^ = e(M)."""

    @staticmethod
    def level_input(latents, earlier):
        return latents

    @staticmethod
    def combine(vectors):
        return vectors[-1]


class ResidualQuantizer(Quantizer):
    """`rq` (Figure 4; Lee et al. 2022): level n quantizes what the levels before it left; Z^ = sum e(M)."""

    @staticmethod
    def level_input(latents, earlier):
        return latents - sum(earlier) if earlier else latents

    @staticmethod
    def combine(vectors):
        return torch.stack(vectors).sum(dim=0)


class HierarchicalResidualQuantizer(Quantizer):
    """`hrq`: H^(1) = Z^(1), H^(n) = 2 Z^(n) - e(M^(n-1)) (Eq. 6), and Z^ is the mean of the code vectors (Eq. 7).

    Eq. 6 defines H^(1) as e(M^(1)), which is circular; Z^(1) is the reading that leaves Eq. 5 meaningful. For two
    levels the mean is then exactly Z^(2) wherever e(M^(2)) = H^(2). Eq. 8 leaves Z^(n) hat open for n < N: the mean
    over the first n levels, so that the error falls as n grows.
    """

    @staticmethod
    def level_input(latents, earlier):
        return 2 * latents - earlier[-1] if earlier else latents

    @staticmethod
    def combine(vectors):
        return torch.stack(vectors).mean(dim=0)


QUANTIZERS = {"vq": VectorQuantizer, "rq": ResidualQuantizer, "hrq": HierarchicalResidualQuantizer}

__all__ = [
    "EMACodebook",
    "HierarchicalResidualQuantizer",
    "Quantizer",
    "QuantizerOutput",
    "ResidualQuantizer",
    "VectorQuantizer",
    "code_perplexity",
    "nearest_codes",
]
