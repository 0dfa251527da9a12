"""Vector quantizers of VQDNA (https://huggingface.co/papers/2405.10812): `vq` (Eq. 1-4), `hrq` (Eq. 5-8) and the
recursive baseline `rq` of Figure 4, over a codebook that moves by exponential moving average (Eq. 4).

Notation used for tensor shapes: b: batch, l: length, n: positions of all sequences, d: width of a code vector,
k: codes of a codebook. Latents are Z, code vectors e(M), quantized latents Z^ ("Z hat").

Not handled: half precision. Distances and statistics are float32 (float64 if the latents are), even under autocast.
"""

import contextlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from transformers.utils import ModelOutput

from .checks_vqdna import is_recorded


# positions x codes compared at once: 64 MB of float32, and on a CPU what stays in the cache of a core
_DISTANCE_ELEMENTS, _CPU_DISTANCE_ELEMENTS = 1 << 24, 1 << 18


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


def _switches() -> list:
    """The places where this PyTorch decides how float32 products are computed; none before it had them."""
    backends = torch.backends
    places = (
        getattr(backends.cuda, "matmul", None),
        getattr(backends.cudnn, "conv", None),
        getattr(backends.mkldnn, "matmul", None),
        getattr(backends.mkldnn, "conv", None),
    )
    return [place for place in places if hasattr(place, "fp32_precision")]


@contextlib.contextmanager
def exact_float32(device_type: str):
    """Compute in true float32: no autocast, no TF32 and no bf16 products, whatever the caller has switched on."""
    switches = _switches()
    # subtle: PyTorch refuses to read the older settings once somebody has used the newer ones
    if switches:
        before = [place.fp32_precision for place in switches]
        for place in switches:
            place.fp32_precision = "ieee"
    else:
        precision, cudnn_tf32 = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        if switches:
            for place, value in zip(switches, before):
                place.fp32_precision = value
        else:
            torch.set_float32_matmul_precision(precision)
            torch.backends.cudnn.allow_tf32 = cudnn_tf32


def full_precision(tensor: torch.Tensor) -> torch.Tensor:
    """float64 stays, everything else becomes float32."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def nearest_codes(latents: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
    """Eq. 1: the index of the nearest code vector.

    Args:
        latents (`torch.Tensor` of shape `(n, d)`), embedding (`torch.Tensor` of shape `(k, d)`): both float32 or both
            float64.

    Returns:
        `torch.LongTensor` of shape `(n,)`. Of codes whose distances come out equal, the lowest index.
    """
    # |z - e|^2 = |z|^2 - 2 z.e + |e|^2, and |z|^2 is the same for every code
    squared_norms = embedding.pow(2).sum(dim=1)
    on_cpu = latents.device.type == "cpu" and type(latents) is torch.Tensor
    rows = max(1, (_CPU_DISTANCE_ELEMENTS if on_cpu else _DISTANCE_ELEMENTS) // embedding.shape[0])
    with exact_float32(latents.device.type):
        if is_recorded():  # a graph must hold the search, not what NumPy finds for its example nor the number of parts
            return torch.addmm(squared_norms, latents, embedding.t(), alpha=-2).argmin(dim=1)
        if on_cpu:
            return _nearest_on_cpu(latents, embedding, squared_norms, rows)
        parts = [
            torch.addmm(squared_norms, part, embedding.t(), alpha=-2).argmin(dim=1) for part in latents.split(rows)
        ]
    return torch.cat(parts) if parts else latents.new_zeros(0, dtype=torch.long)


@torch.no_grad()
def _nearest_on_cpu(
    latents: torch.Tensor, embedding: torch.Tensor, squared_norms: torch.Tensor, rows: int
) -> torch.Tensor:
    """`nearest_codes` by NumPy's argmin, which compares several codes at once where PyTorch's takes one by one."""
    codes = np.empty(len(latents), dtype=np.int64)
    distances = latents.new_empty(min(rows, len(latents)), len(embedding))
    for start in range(0, len(latents), rows):
        part = latents[start : start + rows]
        found = torch.addmm(squared_norms, part, embedding.t(), alpha=-2, out=distances[: len(part)])
        np.argmin(found.numpy(), axis=1, out=codes[start : start + len(part)])
    return torch.from_numpy(codes)


def product_codes(codes, codebook_sizes: list[int]):
    """Level codes to product codes: one mixed-radix number for each combination.

    Example: codes (3, 5) of levels of 8 and 16 -> `3 * 16 + 5` = 53

    Args:
        codes (`np.ndarray` or `torch.Tensor` of integers, shape `(..., levels)`).

    Returns:
        The same type, of shape `(...)`.
    """
    product = codes[..., 0]
    for level, size in enumerate(codebook_sizes[1:], start=1):
        product = product * size + codes[..., level]
    return product


def level_codes(products, codebook_sizes: list[int]):
    """The inverse of `product_codes`: `(...)` to `(..., levels)`."""
    codes = []
    for size in reversed(codebook_sizes):
        codes.append(products % size)
        products = products // size
    return (torch if isinstance(products, torch.Tensor) else np).stack(codes[::-1], -1)


def in_backward_pass() -> bool:
    """Whether autograd is running, as it is when activation checkpointing computes a forward pass again."""
    return torch._C._current_graph_task_id() != -1


def _scramble(keys: torch.Tensor, salt: int) -> torch.Tensor:
    """A fixed pseudo-random order of 64-bit keys, another one for every salt (the finalizer of splitmix64)."""

    def shifted(value, bits):
        return (value >> bits) & ((1 << (64 - bits)) - 1)  # torch shifts signed integers arithmetically

    keys = keys + (salt * 0x1E3779B97F4A7C15 & 0x7FFFFFFFFFFFFFFF)
    keys = (keys ^ shifted(keys, 30)) * -0x40A7B892E31B1A47
    keys = (keys ^ shifted(keys, 27)) * -0x6B2FB644ECCEEE15
    return keys ^ shifted(keys, 31)


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class EMACodebook(nn.Module):
    """Code vectors that follow the mean of the latents assigned to them (Eq. 4 over clusters).

    With n_k the latents assigned to code k in a step and s_k their sum, a step is

        N_k <- alpha N_k + (1 - alpha) n_k,    S_k <- alpha S_k + (1 - alpha) s_k,    e(k) = S_k / N'_k

    where N'_k = (N_k + epsilon) / (sum N + k epsilon) * sum N is the Laplace-smoothed size. A code whose N_k falls
    under `restart_threshold` of the mean restarts from a latent of the step (Dhariwal et al. 2020), EMA sums included.

    `observe` collects what a forward pass saw and `update` makes the step of everything observed since the last
    one, so that a step can span several micro-batches. In `torch.distributed` the statistics of all processes are
    summed. `keys` (see `observe`) decide which latent a dead code restarts from, not the layout of the batch.

    Attributes:
        embedding: e, buffer of shape `(k, d)`.
        embedding_sum, cluster_size: S and N, buffers of shapes `(k, d)` and `(k,)`.
        num_updates: steps made so far, buffer of shape `()`.
        frozen: while true, `observe` and `update` do nothing.
    """

    def __init__(self, num_codes: int, dim: int, decay: float, epsilon: float, restart_threshold: float):
        super().__init__()
        self.decay, self.epsilon, self.restart_threshold = decay, epsilon, restart_threshold
        self.frozen = False
        self.register_buffer("embedding", torch.zeros(num_codes, dim, dtype=torch.float32))
        self.register_buffer("embedding_sum", torch.zeros(num_codes, dim, dtype=torch.float32))
        self.register_buffer("cluster_size", torch.ones(num_codes, dtype=torch.float32))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.long))
        self._pending: dict | None = None

    def extra_repr(self) -> str:
        num_codes, dim = self.embedding.shape
        return f"{num_codes}, {dim}, decay={self.decay}, restart_threshold={self.restart_threshold}"

    def smoothed_size(self) -> torch.Tensor:
        """N', of shape `(k,)`."""
        total = self.cluster_size.sum()
        return (self.cluster_size + self.epsilon) / (total + len(self.cluster_size) * self.epsilon) * total

    @torch.no_grad()
    def set_codes_(self, embedding: torch.Tensor, cluster_size: torch.Tensor):
        """Put new code vectors in place, with EMA sums that agree with them.

        Args:
            embedding (`torch.Tensor` of shape `(k, d)`), cluster_size (`torch.Tensor` of shape `(k,)`): e and N.
        """
        self.embedding.copy_(embedding)
        self.cluster_size.copy_(cluster_size)
        # a sum of e N alone would move every code at the next step, because e is S over the *smoothed* size
        self.embedding_sum.copy_(self.embedding * self.smoothed_size().unsqueeze(1))

    @torch.no_grad()
    def observe(self, latents: torch.Tensor, codes: torch.Tensor, keys: torch.Tensor | None = None):
        """Add a micro-batch to the statistics of the step to come.

        Args:
            latents (`torch.Tensor` of shape `(n, d)`), codes (`torch.LongTensor` of shape `(n,)`): the assignment.
            keys (`torch.LongTensor` of shape `(n,)`, *optional*): what names a latent wherever it stands in the batch
                (the codec passes a hash of the bases it was made from). Its place in `latents` when not given.
        """
        if self.frozen or not self.training or in_backward_pass():
            return
        num_codes, dim = self.embedding.shape
        size = torch.bincount(codes, minlength=num_codes).to(self.cluster_size.dtype)
        total = torch.zeros_like(self.embedding_sum).index_add_(0, codes, latents.to(self.embedding_sum.dtype))
        candidates = self._candidates(latents, keys)
        if self._pending is not None:
            size, total = self._pending["size"] + size, self._pending["sum"] + total
            candidates = tuple(torch.cat(pair) for pair in zip(self._pending["candidates"], candidates))
        self._pending = {"size": size, "sum": total, "candidates": candidates}

    def _candidates(self, latents: torch.Tensor, keys: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The latents dead codes may restart from: distinct keys, at most `_most_restarts`."""
        wanted = self._most_restarts()
        if keys is None:
            keys = torch.arange(len(latents), device=latents.device)
        order = _scramble(keys[:0] if wanted == 0 else keys, int(self.num_updates))
        order, first = _first_of_each(order)
        return order[:wanted], latents[first[:wanted]].to(self.embedding.dtype)

    def _most_restarts(self) -> int:
        """Codes that may restart in the step to come; where the mean size more than doubles, others wait one more."""
        if self.restart_threshold <= 0:
            return 0
        return int((self.decay * self.cluster_size < 2 * self.restart_threshold * self.cluster_size.mean()).sum())

    @torch.no_grad()
    def update(self):
        """Make one EMA step of everything observed since the last, summed over all processes."""
        if self._pending is None or self.frozen:
            self._pending = None
            return
        size, total = self._pending["size"], self._pending["sum"]
        if _is_distributed():
            packed = torch.cat([size.unsqueeze(1), total], dim=1)
            dist.all_reduce(packed)
            size, total = packed[:, 0], packed[:, 1:]
        # subtle: before the sizes move, so that it is the number the candidates were chosen for
        most = self._most_restarts()
        self.cluster_size.lerp_(size, 1 - self.decay)
        self.embedding_sum.lerp_(total, 1 - self.decay)
        if self.restart_threshold > 0:
            self._restart(*self._gather_candidates(*self._pending["candidates"]), most)
        self.embedding.copy_(self.embedding_sum / self.smoothed_size().unsqueeze(1))
        self.num_updates += 1
        self._pending = None

    def _gather_candidates(self, order: torch.Tensor, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not _is_distributed():
            return order, latents
        counts = [torch.zeros((), dtype=torch.long, device=order.device) for _ in range(dist.get_world_size())]
        dist.all_gather(counts, torch.full_like(counts[0], len(order)))
        longest = int(max(counts))
        gathered = []
        for values in (order, latents):
            padded = torch.cat([values, values.new_zeros(longest - len(values), *values.shape[1:])])
            pieces = [torch.empty_like(padded) for _ in counts]
            dist.all_gather(pieces, padded)
            gathered.append(torch.cat([piece[:count] for piece, count in zip(pieces, counts)]))
        return gathered[0], gathered[1]

    def _restart(self, order: torch.Tensor, latents: torch.Tensor, most: int):
        """Give at most `most` dead codes a latent of this step and a size that lasts some steps without use."""
        floor = self.restart_threshold * self.cluster_size.mean()
        dead = (self.cluster_size < floor).nonzero().squeeze(1)
        _, first = _first_of_each(order)
        dead = dead[: min(len(first), most)]
        if len(dead) == 0:
            return
        self.cluster_size[dead] = 2 * floor
        self.embedding_sum[dead] = latents[first[: len(dead)]] * self.smoothed_size()[dead].unsqueeze(1)

    @torch.no_grad()
    def kmeans_(self, latents: torch.Tensor, total_size: float, iterations: int = 10, seed: int = 0) -> torch.Tensor:
        """Re-seed every code by k-means (Lloyd's algorithm) on a sample of latents.

        Args:
            latents (`torch.Tensor` of shape `(n, d)`): the sample; the same on every process.
            total_size: the sum the cluster sizes get: the positions of a training step.
            iterations: steps of Lloyd's algorithm, after a start at distinct random latents.
            seed: seed of that start, and of the latents that empty clusters are moved to.

        Returns:
            `torch.LongTensor` of shape `(n,)`: the new code of each latent.

        Raises:
            ValueError: fewer latents than codes.
        """
        num_codes = len(self.embedding)
        latents = latents.to(self.embedding.dtype)
        if len(latents) < num_codes:
            raise ValueError(
                f"k-means for {num_codes} codes needs as many latents, but got {len(latents)}: give it more windows."
            )
        generator = torch.Generator().manual_seed(seed)
        draw = torch.randperm(len(latents), generator=generator).to(latents.device)
        distinct = torch.unique(latents[draw[: 8 * num_codes]], dim=0)
        distinct = distinct[torch.randperm(len(distinct), generator=generator).to(latents.device)]
        centres = distinct[:num_codes]
        if len(centres) < num_codes:  # fewer distinct latents than codes: the spare codes repeat and will be restarted
            centres = torch.cat([centres, latents[draw[: num_codes - len(centres)]]])
        for _ in range(iterations):
            codes = nearest_codes(latents, centres)
            size = torch.bincount(codes, minlength=num_codes)
            total = torch.zeros_like(centres).index_add_(0, codes, latents)
            centres = torch.where(size.unsqueeze(1) > 0, total / size.clamp(min=1).unsqueeze(1), centres)
            empty = (size == 0).nonzero().squeeze(1)
            moved = torch.randint(len(latents), (len(empty),), generator=generator).to(latents.device)
            centres[empty] = latents[moved]
        codes = nearest_codes(latents, centres)
        size = torch.bincount(codes, minlength=num_codes).to(self.cluster_size.dtype)
        self.set_codes_(centres, size * (total_size / len(latents)))
        self._pending = None
        if _is_distributed():
            # sums on a GPU differ in their last bits from run to run, and processes must not drift apart
            for buffer in (self.embedding, self.embedding_sum, self.cluster_size):
                dist.broadcast(buffer, src=0)
            codes = nearest_codes(latents, self.embedding)
        return codes


def _first_of_each(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The distinct values in increasing order, and where each stands first."""
    distinct, inverse = torch.unique(values, return_inverse=True)
    places = torch.arange(len(values), device=values.device)
    first = torch.full_like(distinct, len(values)).scatter_reduce_(0, inverse, places, reduce="amin")
    return distinct, first


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
    "exact_float32",
    "full_precision",
    "in_backward_pass",
    "level_codes",
    "nearest_codes",
    "product_codes",
]
