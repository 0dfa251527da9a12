"""The quantizers against Eq. 1-8 written out in NumPy, against vector-quantize-pytorch, and the rules of their state.

NumPy's side is float64, plain loops over explicit distances, and shares no code with the package.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from vqdna_hf.modeling.quantization_vqdna import (
    QUANTIZERS,
    EMACodebook,
    VectorQuantizer,
    code_perplexity,
    nearest_codes,
)


KINDS = {"vq": [7], "rq": [7, 5, 6], "hrq": [6, 12]}
DIM = 5
TIGHT = {"rtol": 1e-12, "atol": 1e-12}


def make_quantizer(kind: str, threshold: float = 0.0, decay: float = 0.9, scale: float = 1.0):
    """A float64 quantizer with random codes, in training mode."""
    quantizer = QUANTIZERS[kind](KINDS[kind], DIM, decay, 1e-5, threshold).double()
    for book in quantizer.codebooks:
        size = torch.rand(len(book.embedding)).double() + 0.5
        book.set_codes_(scale * torch.randn_like(book.embedding), size)
    return quantizer.train()


def make_latents(kind: str, batch: int = 3, length: int = 11, dtype=torch.float64) -> list[torch.Tensor]:
    levels = len(KINDS[kind]) if kind == "hrq" else 1
    return [torch.randn(batch, length, DIM, dtype=dtype) for _ in range(levels)]


def state_of(quantizer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in quantizer.state_dict().items()}


def assert_state_equal(left: dict, right: dict, **tolerance):
    tolerance = tolerance or {"rtol": 0, "atol": 0}
    for name in left:
        torch.testing.assert_close(left[name], right[name], msg=lambda m, n=name: f"{n}: {m}", **tolerance)


@dataclass
class Oracle:
    """Eq. 1-8 for latents of shape `(n, d)` per level."""

    kind: str
    codes: np.ndarray = None
    quantized: np.ndarray = None
    loss: float = 0.0

    def run(self, latents: list[np.ndarray], books: list[np.ndarray]) -> "Oracle":
        n, levels = len(latents[0]), len(books)
        self.codes = np.zeros((n, levels), dtype=int)
        self.quantized = np.zeros_like(latents[0])
        self.inputs = [np.zeros_like(latents[0]) for _ in books]
        for i in range(n):
            vectors = []
            for level, book in enumerate(books):
                z = latents[min(level, len(latents) - 1)][i]
                h = self.inputs[level][i] = self._input(z, vectors)
                distances = [np.sqrt(((h - e) ** 2).sum()) for e in book]  # Eq. 1 and 5
                self.codes[i, level] = int(np.argmin(distances))
                vectors.append(book[self.codes[i, level]])
                self.loss += ((z - self._combined(vectors)) ** 2).mean() / n  # Eq. 3 and 8, mean over positions and d
            self.quantized[i] = self._combined(vectors)
        return self

    def _input(self, z: np.ndarray, vectors: list[np.ndarray]) -> np.ndarray:
        if not vectors or self.kind == "vq":
            return z
        return z - sum(vectors) if self.kind == "rq" else 2 * z - vectors[-1]  # Figure 4; Eq. 6

    def _combined(self, vectors: list[np.ndarray]) -> np.ndarray:
        return sum(vectors) / (len(vectors) if self.kind == "hrq" else 1)  # Eq. 7: the average


def ema_step(latents, codes, embedding_sum, size, decay, epsilon=1e-5):
    """Eq. 4 over clusters; returns e, S, N."""
    size, embedding_sum = size * decay, embedding_sum * decay
    for z, k in zip(latents, codes):
        size[k] += 1 - decay
        embedding_sum[k] += (1 - decay) * z
    smoothed = (size + epsilon) / (size.sum() + len(size) * epsilon) * size.sum()
    return embedding_sum / smoothed[:, None], embedding_sum, size


def splitmix(key: int, salt: int) -> int:
    """The order in which latents are offered to dead codes, in Python's unbounded integers; signed as torch's."""
    x = (key + (salt * 0x1E3779B97F4A7C15 & (2**63 - 1))) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    x ^= x >> 31
    return x - 2**64 if x >= 2**63 else x


@pytest.mark.parametrize("kind", KINDS)
def test_equations_against_numpy(kind):
    for _ in range(5):
        quantizer, latents = make_quantizer(kind), make_latents(kind)
        before = state_of(quantizer)
        books = [before[f"codebooks.{n}.embedding"].numpy() for n in range(len(KINDS[kind]))]
        output = quantizer(latents)
        oracle = Oracle(kind).run([z.flatten(0, 1).numpy() for z in latents], books)
        assert np.array_equal(output.codes.flatten(0, 1), oracle.codes)
        np.testing.assert_allclose(output.quantized.flatten(0, 1), oracle.quantized, **TIGHT)
        np.testing.assert_allclose(output.commitment_loss, oracle.loss, **TIGHT)
        for n, book in enumerate(quantizer.codebooks):
            old = [before[f"codebooks.{n}.{name}"].numpy() for name in ("embedding_sum", "cluster_size")]
            embedding, total, size = ema_step(oracle.inputs[n], oracle.codes[:, n], *old, decay=0.9)
            np.testing.assert_allclose(book.embedding, embedding, **TIGHT)
            np.testing.assert_allclose(book.embedding_sum, total, **TIGHT)
            np.testing.assert_allclose(book.cluster_size, size, **TIGHT)
            counts = np.bincount(oracle.codes[:, n], minlength=len(size))
            p = counts[counts > 0] / counts.sum()
            assert output.counts[n].tolist() == counts.tolist()
            assert float(output.perplexity[n]) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)
            assert float(output.usage[n]) == pytest.approx((counts > 0).mean(), rel=1e-6)


def test_hrq_mean_is_the_latent_where_level_2_is_exact():
    """Eq. 6 and 7 together: (e1 + 2 Z - e1) / 2 = Z, whatever level 1 chose."""
    quantizer, latents = make_quantizer("hrq"), make_latents("hrq", 1, 12)
    codes, vectors, _ = quantizer.quantize(latents)
    quantizer.codebooks[1].embedding.copy_((2 * latents[1] - vectors[0])[0])
    torch.testing.assert_close(quantizer.eval()(latents).quantized, latents[1], **TIGHT)
    assert torch.equal(quantizer(latents).codes[0, :, 1], torch.arange(12))


def test_rq_levels_reduce_the_error():
    quantizer, latents = make_quantizer("rq"), make_latents("rq")
    for book in quantizer.codebooks:  # with a zero code every level may leave the residual as it is
        book.embedding[0] = 0
    _, vectors, _ = quantizer.quantize(latents)
    errors = [(latents[0] - quantizer.combine(vectors[:n])).norm(dim=-1) for n in (1, 2, 3)]
    assert (errors[1] <= errors[0]).all() and (errors[2] <= errors[1]).all() and errors[2].sum() < errors[0].sum()


@pytest.mark.parametrize(("rows", "codes", "scale"), [(2000, 512, 1.0), (500, 64, 100.0), (500, 64, 1e-3)])
def test_float32_codes_are_nearest_up_to_near_ties(rows, codes, scale):
    latents, embedding = scale * torch.randn(rows, 8), scale * torch.randn(codes, 8)
    found = nearest_codes(latents, embedding)
    distances = ((latents.double()[:, None] - embedding.double()) ** 2).sum(-1)
    best, exact = distances.min(dim=1)
    gap = distances.gather(1, found[:, None])[:, 0] - best
    allowed = 1e-5 * (latents.double().pow(2).sum(1) + embedding.double()[exact].pow(2).sum(1))
    assert (gap <= allowed).all()
    assert (found != exact).float().mean() <= 0.002


def test_equal_distances_take_the_lowest_index_and_pieces_do_not_matter(monkeypatch):
    embedding = torch.tensor([[1.0], [-1.0], [1.0]])
    assert nearest_codes(torch.tensor([[2.0], [0.0], [-3.0]]), embedding).tolist() == [0, 0, 1]
    latents, embedding = torch.randn(100, 4), torch.randn(9, 4)
    whole = nearest_codes(latents, embedding)
    monkeypatch.setattr("vqdna_hf.modeling.quantization_vqdna._DISTANCE_ELEMENTS", 7 * 9)
    assert torch.equal(nearest_codes(latents, embedding), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_straight_through_gradient_is_the_identity(kind):
    """The decoder's gradient reaches the last latents unchanged, and no other ones; Eq. 3 and 8 add their own."""
    quantizer, latents = make_quantizer(kind).eval(), [z.requires_grad_() for z in make_latents(kind)]
    output = quantizer(latents)
    upstream = torch.randn_like(output.quantized)
    gradients = torch.autograd.grad(output.quantized, latents, upstream, retain_graph=True, allow_unused=True)
    assert torch.equal(gradients[-1], upstream) and all(g is None for g in gradients[:-1])
    _, vectors, _ = quantizer.quantize(latents)
    means = [quantizer.combine(vectors[: n + 1]) for n in range(len(vectors))]
    expected = [torch.zeros_like(z) for z in latents]
    for n, mean in enumerate(means):
        z = min(n, len(latents) - 1)
        expected[z] += 2 * (latents[z] - mean).detach() / mean.numel()
    for got, want in zip(torch.autograd.grad(output.commitment_loss, latents), expected):
        torch.testing.assert_close(got, want, **TIGHT)


@pytest.mark.parametrize("kind", KINDS)
def test_state_moves_only_in_training_and_if_not_frozen(kind):
    quantizer, latents = make_quantizer(kind, threshold=0.05), make_latents(kind)
    before = state_of(quantizer)
    quantizer.eval()(latents)
    quantizer.update()
    assert_state_equal(state_of(quantizer), before)
    quantizer.train().freeze()
    quantizer(latents)
    quantizer.update()
    assert_state_equal(state_of(quantizer), before)
    quantizer.freeze(False)
    quantizer(latents)
    after = state_of(quantizer)
    assert all(not torch.equal(after[name], before[name]) for name in after)
    assert [int(book.num_updates) for book in quantizer.codebooks] == [1] * len(KINDS[kind])


def test_what_was_observed_before_freezing_is_forgotten():
    quantizer, latents = make_quantizer("vq"), make_latents("vq")
    quantizer.defer_updates = True
    before = state_of(quantizer)
    quantizer(latents)
    quantizer.freeze()
    quantizer.update()
    quantizer.freeze(False)
    quantizer.update()
    assert_state_equal(state_of(quantizer), before)


@pytest.mark.parametrize("kind", KINDS)
def test_masked_positions_never_count(kind):
    latents, mask = make_latents(kind), torch.rand(3, 11) < 0.6
    quantizer = make_quantizer(kind, threshold=0.05)
    start = state_of(quantizer)
    masked = quantizer(latents, mask, torch.arange(33).view(3, 11))
    after = state_of(quantizer)
    quantizer.load_state_dict(start)
    short = quantizer([z[mask][None] for z in latents], None, torch.arange(33)[mask.flatten()][None])
    assert_state_equal(state_of(quantizer), after, **TIGHT)
    torch.testing.assert_close(masked.commitment_loss, short.commitment_loss, **TIGHT)
    assert [c.tolist() for c in masked.counts] == [c.tolist() for c in short.counts]
    torch.testing.assert_close(masked.perplexity, short.perplexity)


@pytest.mark.parametrize("kind", KINDS)
def test_empty_batches(kind):
    quantizer = make_quantizer(kind, threshold=0.05)
    before = state_of(quantizer)
    shapes = [(0, 11), (3, 0), (3, 11)]
    for batch, length in shapes:
        latents = make_latents(kind, batch, length)
        output = quantizer(latents, torch.zeros(batch, length, dtype=torch.bool))
        assert output.codes.shape == (batch, length, len(KINDS[kind])) and float(output.commitment_loss) == 0
        assert all(float(c.sum()) == 0 for c in output.counts)
    for book, n in zip(quantizer.codebooks, range(9)):  # three steps without data: the sizes fade, the codes stay
        torch.testing.assert_close(book.embedding, before[f"codebooks.{n}.embedding"], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(book.cluster_size, 0.9**3 * before[f"codebooks.{n}.cluster_size"], **TIGHT)
    assert torch.isfinite(quantizer(make_latents(kind, 0, 11)).commitment_loss)


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_changes_neither_codes_nor_statistics(kind):
    quantizer = make_quantizer(kind).float()
    latents = make_latents(kind, 4, 200, torch.float32)
    start = state_of(quantizer)
    plain = quantizer(latents)
    after = state_of(quantizer)
    quantizer.load_state_dict(start)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = quantizer(latents)
    assert torch.equal(mixed.codes, plain.codes) and mixed.quantized.dtype == torch.float32
    assert torch.equal(mixed.commitment_loss, plain.commitment_loss)
    assert_state_equal(state_of(quantizer), after)
    quantizer.load_state_dict(start)
    half = quantizer([z.bfloat16() for z in latents])
    quantizer.load_state_dict(start)
    assert torch.equal(half.codes, quantizer([z.bfloat16().float() for z in latents]).codes)
    assert all(value.dtype in (torch.float32, torch.int64) for value in quantizer.state_dict().values())


def restart_oracle(embedding_sum, size, latents, keys, step, threshold, epsilon=1e-5):
    """Dead codes, in order, take the latents of the distinct keys that come first in the order of this step."""
    floor = threshold * size.mean()
    offered = {}
    for i, key in enumerate(keys):
        offered.setdefault(splitmix(int(key), step), i)
    offered = [offered[place] for place in sorted(offered)]
    dead = [k for k in range(len(size)) if size[k] < floor][: len(offered)]
    size[dead] = 2 * floor
    smoothed = (size + epsilon) / (size.sum() + len(size) * epsilon) * size.sum()
    for k, i in zip(dead, offered):
        embedding_sum[k] = latents[i] * smoothed[k]
    return embedding_sum / smoothed[:, None], embedding_sum, size, dead


@pytest.mark.parametrize("step", [0, 1, 1000])
def test_dead_codes_restart_as_in_numpy(step):
    book = EMACodebook(12, DIM, 0.9, 1e-5, 0.2).double().train()
    size = torch.tensor([1.0, 0.01, 1, 0.02, 1, 1, 0.0, 1, 1, 1, 0.03, 1]).double()
    far = torch.randn(12, DIM).double()
    far[size < 0.5] += 50
    book.set_codes_(far, size)
    book.num_updates.fill_(step)
    latents, keys = torch.randn(40, DIM).double(), torch.randint(-(2**62), 2**62, (40,))
    keys[20:] = keys[:20]  # every key twice; what has one key is one latent
    latents[20:] = latents[:20]
    codes = nearest_codes(latents, book.embedding)
    old = [book.embedding_sum.numpy().copy(), book.cluster_size.numpy().copy()]
    book.observe(latents, codes, keys)
    book.update()
    _, total, new = ema_step(latents.numpy(), codes.tolist(), *old, decay=0.9)
    embedding, total, new, dead = restart_oracle(total, new, latents.numpy(), keys.tolist(), step, 0.2)
    assert dead == [1, 3, 6, 10]
    np.testing.assert_allclose(book.embedding, embedding, **TIGHT)
    np.testing.assert_allclose(book.embedding_sum, total, **TIGHT)
    np.testing.assert_allclose(book.cluster_size, new, **TIGHT)
    revived = book.embedding[dead]
    assert (torch.cdist(revived, latents).min(dim=1).values < 1e-6).all()  # four latents of this step ...
    assert torch.cdist(revived, revived).fill_diagonal_(9).min() > 0.01  # ... and not one of them twice


def test_restarted_codes_survive_unused_and_can_be_used():
    book = EMACodebook(4, 2, 0.9, 1e-5, 0.1).train()
    book.set_codes_(torch.tensor([[0.0, 0], [9, 9], [0, 1], [1, 0]]), torch.tensor([1.0, 0.01, 1, 1]))
    latents = torch.tensor([[0.0, 0.1], [0.1, 1.0], [1.0, 0.1], [0.6, 0.6]])
    book.observe(latents, nearest_codes(latents, book.embedding))
    book.update()
    revived = book.embedding[1].clone()
    assert (revived - latents).norm(dim=1).min() < 1e-5
    for _ in range(3):  # without a latent of its own it stays, because it began at twice the threshold
        book.observe(latents[:0], latents.new_zeros(0, dtype=torch.long))
        book.update()
    torch.testing.assert_close(book.embedding[1], revived, rtol=1e-3, atol=1e-3)
    assert 1 in nearest_codes(latents, book.embedding)


def test_no_restart_at_threshold_zero():
    book = EMACodebook(3, 2, 0.5, 1e-5, 0.0).train()
    book.set_codes_(torch.tensor([[0.0, 0], [9, 9], [5, 5]]), torch.tensor([1.0, 1e-3, 1]))
    book.observe(torch.zeros(8, 2), torch.zeros(8, dtype=torch.long))
    book.update()
    torch.testing.assert_close(book.embedding[1:], torch.tensor([[9.0, 9], [5, 5]]), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("steps", [1, 5])
def test_vq_agrees_with_vector_quantize_pytorch(steps):
    library = pytest.importorskip("vector_quantize_pytorch")
    theirs = library.VectorQuantize(
        8, 32, decay=0.9, eps=1e-5, kmeans_init=False, threshold_ema_dead_code=0, commitment_weight=1.0
    ).train()
    ours = VectorQuantizer([32], 8, 0.9, 1e-5, 0.0).train()
    book, other = ours.codebooks[0], theirs._codebook
    other.embed.mul_(20)
    other.embed_avg.copy_(other.embed)
    book.set_codes_(other.embed[0], other.cluster_size[0])
    torch.testing.assert_close(book.embedding_sum, other.embed_avg[0], rtol=1e-6, atol=1e-7)
    for _ in range(steps):
        latents = torch.randn(4, 50, 8)
        expected, codes, loss = theirs(latents)
        output = ours([latents])
        assert torch.equal(output.codes[..., 0], codes)
        torch.testing.assert_close(output.quantized, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(output.commitment_loss, loss.sum(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(book.cluster_size, other.cluster_size[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(book.embedding, other.embed[0], rtol=1e-4, atol=1e-5)


def test_rq_codes_agree_with_vector_quantize_pytorch():
    library = pytest.importorskip("vector_quantize_pytorch")
    theirs = library.ResidualVQ(
        dim=8, num_quantizers=3, codebook_size=16, kmeans_init=False, threshold_ema_dead_code=0
    ).eval()
    ours = QUANTIZERS["rq"]([16, 16, 16], 8).eval()
    for level, book in enumerate(ours.codebooks):
        codes = torch.randn(16, 8) / (level + 1)
        theirs.layers[level]._codebook.embed.copy_(codes[None])
        book.set_codes_(codes, torch.ones(16))
    latents = torch.randn(4, 100, 8)
    expected, codes, _ = theirs(latents)
    output = ours([latents])
    assert torch.equal(output.codes, codes)
    torch.testing.assert_close(output.quantized, expected, rtol=1e-5, atol=1e-5)


def test_perplexity_extremes():
    assert float(code_perplexity(torch.full((8,), 3.0))) == pytest.approx(8)
    assert float(code_perplexity(torch.tensor([0.0, 5, 0]))) == pytest.approx(1)
    assert float(code_perplexity(torch.zeros(4))) == pytest.approx(1)
    assert float(code_perplexity(torch.tensor([2.0, 1, 1]))) == pytest.approx(2**1.5)
