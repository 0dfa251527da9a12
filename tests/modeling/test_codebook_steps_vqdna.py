"""One codebook step is one step: however the batch is cut, computed twice, or spread over processes. And k-means."""

import datetime

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.utils.checkpoint import checkpoint

from vqdna_hf.modeling.quantization_vqdna import QUANTIZERS, EMACodebook


KINDS = {"vq": [24], "rq": [24, 16], "hrq": [16, 24]}
DIM, BATCH, LENGTH = 6, 32, 20
TIGHT = {"rtol": 1e-12, "atol": 1e-12}


def make_quantizer(kind: str, dead: bool = True):
    """A float64 quantizer in which a third of the codes is about to die."""
    quantizer = QUANTIZERS[kind](KINDS[kind], DIM, 0.9, 1e-5, 0.1).double().train()
    generator = torch.Generator().manual_seed(1)
    for book in quantizer.codebooks:
        size = torch.rand(len(book.embedding), generator=generator).double() + 0.5
        codes = torch.randn(len(size), DIM, generator=generator).double()
        if dead:
            size[::3] = 1e-3
            codes[::3] += 40
        book.set_codes_(codes, size)
    return quantizer


def make_batch(kind: str) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Latents, mask and keys; one key stands for one latent, and most keys appear in several rows."""
    generator = torch.Generator().manual_seed(2)
    keys = torch.randint(200, (BATCH, LENGTH), generator=generator)
    tables = torch.randn(2, 200, DIM, generator=generator).double()
    names = torch.randint(-(2**62), 2**62, (200,), generator=generator)
    mask = torch.rand(BATCH, LENGTH, generator=generator) < 0.9
    return [table[keys] for table in tables[: 2 if kind == "hrq" else 1]], mask, names[keys]


def rows_of(batch: tuple, rows) -> tuple:
    latents, mask, keys = batch
    return [z[rows] for z in latents], mask[rows], keys[rows]


def state_of(quantizer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in quantizer.state_dict().items()}


def assert_state_equal(left: dict, right: dict, **tolerance):
    tolerance = tolerance or {"rtol": 0, "atol": 0}
    for name in left:
        torch.testing.assert_close(left[name], right[name], msg=lambda m, n=name: f"{n}: {m}", **tolerance)


def one_step(kind: str) -> dict[str, torch.Tensor]:
    quantizer = make_quantizer(kind)
    before = state_of(quantizer)
    quantizer(*make_batch(kind))
    after = state_of(quantizer)
    for n, size in enumerate(KINDS[kind]):  # the comparison means something only if codes were restarted
        moved = (after[f"codebooks.{n}.embedding"] - before[f"codebooks.{n}.embedding"]).norm(dim=1) > 20
        assert int(moved.sum()) == len(range(0, size, 3))
    return after


@pytest.mark.parametrize("permuted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_make_the_step_of_the_whole(kind, permuted):
    order = torch.randperm(BATCH) if permuted else torch.arange(BATCH)
    quantizer, batch = make_quantizer(kind), make_batch(kind)
    quantizer.defer_updates = True
    start = state_of(quantizer)
    for rows in order.split(8):
        quantizer(*rows_of(batch, rows))
        assert_state_equal(state_of(quantizer), start)
    quantizer.update()
    assert_state_equal(state_of(quantizer), one_step(kind), **TIGHT)
    again = state_of(quantizer)
    quantizer.update()  # nothing was observed since
    assert_state_equal(state_of(quantizer), again)


def test_more_codes_die_than_could_be_foreseen():
    """One code takes a batch so large that the mean size jumps, and with it the threshold of death."""
    states = []
    for parts in (1, 4):
        torch.manual_seed(0)
        book = EMACodebook(8, 2, 0.5, 1e-5, 0.05).double().train()
        book.set_codes_(torch.randn(8, 2).double(), torch.tensor([0.01, 1, 1, 1, 1, 1, 1, 1]).double())
        latents, keys = torch.randn(1000, 2).double(), torch.randint(2**62, (1000,))
        for rows in torch.arange(1000).chunk(parts):
            book.observe(latents[rows], torch.full((len(rows),), 7), keys[rows])
        book.update()
        states.append(state_of(book))
    assert_state_equal(states[0], states[1], **TIGHT)


def test_every_step_offers_other_latents():
    picked = []
    for step in (0, 1):
        quantizer = make_quantizer("vq")
        quantizer.codebooks[0].num_updates.fill_(step)
        quantizer(*make_batch("vq"))
        picked.append(quantizer.codebooks[0].embedding[::3].clone())
    assert not torch.allclose(*picked)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_activation_checkpointing_counts_once(kind, deferred, use_reentrant):
    quantizer, (latents, mask, keys) = make_quantizer(kind), make_batch(kind)
    quantizer.defer_updates = deferred
    leaves = [z.clone().requires_grad_() for z in latents]

    def run(*tensors):
        output = quantizer(list(tensors), mask, keys)
        return output.quantized, output.commitment_loss

    quantized, loss = checkpoint(run, *leaves, use_reentrant=use_reentrant)
    (quantized.pow(2).sum() + loss).backward()
    assert all(leaf.grad is not None for leaf in leaves)
    if deferred:
        quantizer.update()
        plain = [z.clone().requires_grad_() for z in latents]
        output = make_quantizer(kind).eval()(plain, mask)
        (output.quantized.pow(2).sum() + output.commitment_loss).backward()
        assert all(torch.equal(leaf.grad, other.grad) for leaf, other in zip(leaves, plain))
    assert_state_equal(state_of(quantizer), one_step(kind), **TIGHT)


def run_half(rank: int, folder: str):
    """One of two processes: first on half of the rows each, then on uneven parts, then one of them on nothing."""
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=60)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2, timeout=timeout)
    try:
        for kind in KINDS:
            quantizer, batch = make_quantizer(kind), make_batch(kind)
            quantizer(*rows_of(batch, slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)))
            torch.save(state_of(quantizer), f"{folder}/halves-{kind}-{rank}")
            quantizer = make_quantizer(kind)
            quantizer.defer_updates = True
            rows = [slice(0, 5)] if rank else [slice(5, 12), slice(12, BATCH)]
            for part in rows:
                quantizer(*rows_of(batch, part))
            quantizer.update()
            first = state_of(quantizer)
            latents, mask, keys = batch
            quantizer(latents, mask if rank == 0 else torch.zeros_like(mask), keys)
            quantizer.update()
            torch.save([first, state_of(quantizer)], f"{folder}/uneven-{kind}-{rank}")
    finally:
        dist.destroy_process_group()


def test_two_processes_make_the_step_of_one(tmp_path):
    mp.spawn(run_half, args=(str(tmp_path),), nprocs=2)
    for kind in KINDS:
        halves = [torch.load(tmp_path / f"halves-{kind}-{rank}") for rank in (0, 1)]
        uneven = [torch.load(tmp_path / f"uneven-{kind}-{rank}") for rank in (0, 1)]
        assert_state_equal(halves[0], halves[1])  # to the last bit, or the processes would drift apart
        for step in (0, 1):
            assert_state_equal(uneven[0][step], uneven[1][step])
        whole = make_quantizer(kind)
        whole(*make_batch(kind))
        for state in (halves[0], uneven[0][0]):
            assert_state_equal(state, state_of(whole), **TIGHT)
        whole(*make_batch(kind))
        assert_state_equal(uneven[0][1], state_of(whole), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_restores_the_next_step(kind):
    quantizer, batch = make_quantizer(kind), make_batch(kind)
    quantizer(*batch)
    resumed = make_quantizer(kind, dead=False)
    resumed.load_state_dict(state_of(quantizer))
    for book in (*quantizer.codebooks, *resumed.codebooks):  # let codes die in the step to come as well
        book.cluster_size[1::4] = 1e-4
    for _ in range(2):
        quantizer(*batch)
        resumed(*batch)
        assert_state_equal(state_of(quantizer), state_of(resumed))


def blobs(centres: torch.Tensor, each: int, spread: float) -> torch.Tensor:
    return centres.repeat_interleave(each, dim=0) + spread * torch.randn(len(centres) * each, centres.shape[1])


def test_kmeans_finds_repeated_points_exactly():
    centres = torch.randn(12, 4).double()
    book = EMACodebook(12, 4, 0.99, 1e-5, 0.05).double()
    codes = book.kmeans_(centres.repeat(20, 1), total_size=1000.0)
    assert torch.cdist(centres, book.embedding).min(dim=1).values.max() < 1e-12
    torch.testing.assert_close(book.embedding[codes], centres.repeat(20, 1), **TIGHT)
    torch.testing.assert_close(book.cluster_size, torch.full((12,), 1000 / 12, dtype=torch.float64), **TIGHT)


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_reaches_known_centres(seed):
    centres = torch.tensor([[0.0, 0, 0], [9, 0, 0]])
    book = EMACodebook(2, 3, 0.99, 1e-5, 0.05)
    codes = book.kmeans_(blobs(centres, 200, 0.1), total_size=100.0, seed=seed)
    assert torch.cdist(centres, book.embedding).min(dim=1).values.max() < 0.05
    assert codes[:200].unique().numel() == codes[200:].unique().numel() == 1 and codes[0] != codes[-1]
    torch.testing.assert_close(book.cluster_size, torch.full((2,), 50.0))


def test_kmeans_ends_at_means_of_their_clusters():
    latents = torch.randn(600, 3).double()
    book = EMACodebook(8, 3, 0.99, 1e-5, 0.05).double()
    codes = book.kmeans_(latents, 600.0, iterations=200)
    means = torch.stack([latents[codes == k].mean(dim=0) for k in range(8)])
    torch.testing.assert_close(book.embedding, means, **TIGHT)
    start = latents[torch.randperm(600)[:8]]
    error = (latents - book.embedding[codes]).pow(2).sum()
    assert error < 0.9 * torch.cdist(latents, start).min(dim=1).values.pow(2).sum()


def test_kmeans_sums_agree_with_the_codes():
    book = EMACodebook(16, 4, 0.9, 1e-5, 0.0).double().train()
    book.kmeans_(torch.randn(300, 4).double(), total_size=500.0)
    before = book.embedding.clone()
    torch.testing.assert_close(book.embedding_sum, before * book.smoothed_size()[:, None], **TIGHT)
    book.observe(before[:0], torch.zeros(0, dtype=torch.long))
    book.update()
    torch.testing.assert_close(book.embedding, before, rtol=1e-6, atol=1e-6)


def test_kmeans_is_deterministic_and_leaves_the_random_state_alone():
    latents, books = torch.randn(200, 4), [EMACodebook(16, 4, 0.9, 1e-5, 0.0) for _ in range(3)]
    state = torch.get_rng_state()
    for book, seed in zip(books, (3, 3, 4)):
        book.kmeans_(latents, 200.0, seed=seed)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(books[0].embedding, books[1].embedding)
    assert not torch.equal(books[0].embedding, books[2].embedding)


def test_kmeans_needs_as_many_latents_as_codes():
    with pytest.raises(ValueError, match="16 codes needs as many latents, but got 15"):
        EMACodebook(16, 4, 0.9, 1e-5, 0.0).kmeans_(torch.randn(15, 4), 100.0)


def test_kmeans_with_fewer_distinct_latents_than_codes():
    book = EMACodebook(8, 2, 0.9, 1e-5, 0.05).train()
    codes = book.kmeans_(torch.tensor([[0.0, 1], [2, 3]]).repeat(10, 1), 100.0)
    assert torch.isfinite(book.embedding).all() and float(book.cluster_size.sum()) == pytest.approx(100)
    assert torch.equal(book.embedding[codes], torch.tensor([[0.0, 1], [2, 3]]).repeat(10, 1))


@pytest.mark.parametrize("kind", ["rq", "hrq"])
def test_kmeans_goes_level_by_level(kind):
    quantizer = QUANTIZERS[kind]([4, 16], 3, 0.99, 1e-5, 0.05).double()
    latents = [torch.randn(1, 500, 3).double() for _ in range(2 if kind == "hrq" else 1)]
    quantizer.kmeans_(latents, 500.0, iterations=50)
    _, vectors, inputs = quantizer.quantize(latents)
    expected = latents[0] - vectors[0] if kind == "rq" else 2 * latents[1] - vectors[0]
    torch.testing.assert_close(inputs[1], expected, **TIGHT)
    one_level, both = (quantizer.combine(vectors[:n]) for n in (1, 2))
    assert (latents[-1] - both).pow(2).mean() < 0.7 * (latents[-1] - one_level).pow(2).mean()
    second = EMACodebook(16, 3, 0.99, 1e-5, 0.05).double()
    second.kmeans_(expected[0], 500.0, iterations=50, seed=1)
    torch.testing.assert_close(quantizer.codebooks[1].embedding, second.embedding, rtol=1e-9, atol=1e-9)
