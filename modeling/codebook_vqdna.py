"""The codebook of a quantizer: code vectors that move by exponential moving average (Eq. 4 of
https://huggingface.co/papers/2405.10812), restart when they die, and can be re-seeded by k-means.

Notation used for tensor shapes: n: positions, d: width of a code vector, k: codes.

Not handled: half precision. Distances and statistics are float32 (float64 if the latents are), even under autocast.
"""

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from .checks_vqdna import is_recorded
from .precision_vqdna import exact_float32


# positions x codes compared at once: 64 MB of float32, and on a CPU what stays in the cache of a core
_DISTANCE_ELEMENTS, _CPU_DISTANCE_ELEMENTS = 1 << 24, 1 << 18


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


__all__ = ["EMACodebook", "full_precision", "in_backward_pass", "nearest_codes"]
