"""A code is a function of its receptive field: not of padding, of the batch, or of the pieces a sequence is cut into.

float64 codecs show the property exactly. In float32 two layouts may round differently, so that a code whose two
nearest distances are closer than 1e-5 (|z|^2 + |c|^2) may differ; a near tie at level 1 excuses level 2.
"""

import itertools

import numpy as np
import pytest
import torch

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel
from vqdna_hf.data import read_fasta


KINDS = {"vq": [16], "rq": [8, 8], "hrq": [8, 16]}


def make_codec(kind: str = "hrq", preset: str = "tiny", **overrides) -> VQDNACodecModel:
    fields = {"quantizer": kind, "codebook_sizes": KINDS[kind], **overrides}
    return VQDNACodecModel(VQDNACodecConfig.from_preset(preset, **fields)).eval()


def random_ids(length: int, high: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, length).astype(np.uint8)


def padded(row: torch.Tensor, left: int, right: int) -> torch.Tensor:
    return torch.cat([torch.full((left,), 8), row, torch.full((right,), 8)])[None]


@pytest.mark.parametrize(("left", "right"), [(0, 1), (0, 57), (3, 0), (40, 0), (13, 29)])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind, left, right):
    model, row = make_codec(kind), torch.randint(6, (50,))
    alone, more = row[None], padded(row, left, right)
    codes, logits = model.encode(alone), model(alone).logits
    inside = slice(left, left + 50)
    assert torch.equal(model.encode(more)[:, inside], codes)
    assert (model.encode(more)[more >= 6] == 0).all()
    torch.testing.assert_close(model(more).logits[:, inside], logits, rtol=1e-5, atol=1e-5)
    # what stands outside does not matter either, if the attention mask says that it is outside
    noise = torch.where(more == 8, torch.randint(4, more.shape), more)
    mask = (more != 8).long()
    assert torch.equal(model.encode(noise, mask)[:, inside], codes)
    torch.testing.assert_close(model(noise, mask).logits[:, inside], logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model(noise, mask).loss, model(alone).loss, rtol=1e-5, atol=1e-5)
    exact = model.double()
    torch.testing.assert_close(exact.latents(more)[-1][:, inside], exact.latents(alone)[-1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_gives_the_codes_of_each_alone(kind):
    model, lengths = make_codec(kind), [1, 2, 7, 8, 9, 40, 64]
    rows = [torch.randint(5, (length,)) for length in lengths]
    batch = torch.cat([padded(row, 0, 64 - len(row)) for row in rows])
    together = model.encode(batch)
    for row, codes in zip(rows, together):
        assert torch.equal(codes[: len(row)], model.encode(row[None])[0])
    listed = model.encode_sequences([row.numpy() for row in rows])
    assert all(np.array_equal(one, codes[: len(one)]) for one, codes in zip(listed, together.numpy()))


@pytest.mark.parametrize("value", [4, 5])
def test_unknown_and_hidden_bases_are_zero_one_hot_vectors(value):
    model, seen = make_codec(), []
    model.encoder.stem.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model.encode(torch.tensor([[0, value, 3, 8, 6, 7]]))
    assert seen[0][0].T.tolist() == [[1, 0, 0, 0], [0] * 4, [0, 0, 0, 1], [0] * 4, [0] * 4, [0] * 4]


def test_a_hidden_base_does_not_leak():
    model, ids = make_codec(), torch.randint(4, (4, 60))
    ids[1:] = ids[0]
    ids[:, 30] = torch.arange(4)
    assert len(model.encode(ids).unique(dim=0)) > 1  # the base matters ...
    ids[:, 30] = 5
    assert len(model.encode(ids).unique(dim=0)) == 1  # ... unless it is masked
    unknown = ids.clone()
    unknown[:, 30] = 4
    assert torch.equal(model.encode(unknown), model.encode(ids))


@pytest.mark.parametrize("kind", KINDS)
def test_one_base_changes_codes_within_the_halo_only(kind):
    model = make_codec(kind).double()
    halo, ids = model.config.halo, torch.randint(4, (1, 100))
    before = model.encode(ids)
    reached = set()
    for position, shift in itertools.product(range(30, 70), (1, 2, 3)):
        other = ids.clone()
        other[0, position] = (other[0, position] + shift) % 4
        changed = (model.encode(other) != before).any(dim=-1)[0].nonzero().squeeze(1) - position
        reached |= set(changed.tolist())
    assert max(map(abs, reached)) <= halo and 0 in reached
    assert len(reached) > halo  # the codes do read their neighbours


@pytest.mark.parametrize("offset", [-1, 0, 1])
@pytest.mark.parametrize("chunk_length", [1, 16, 50])
@pytest.mark.parametrize("kind", KINDS)
def test_pieces_give_the_codes_of_the_whole(kind, chunk_length, offset):
    model = make_codec(kind).double()
    halo = model.config.halo
    lengths = [max(0, n * chunk_length + extra + offset) for n in (0, 1, 2, 3) for extra in (0, halo)]
    sequences = [random_ids(length, 6, seed) for seed, length in enumerate(lengths)]
    for batch_bases in (1, 200, 10**6):
        found = model.encode_sequences(sequences, batch_bases, chunk_length)
        for ids, codes in zip(sequences, found):
            assert codes.shape == (len(ids), model.config.num_levels) and codes.dtype == np.int64
            if len(ids):
                assert np.array_equal(codes, model.encode(torch.from_numpy(ids.astype(np.int64))[None])[0])


def test_encode_sequences_of_nothing():
    model = make_codec()
    assert model.encode_sequences([]) == []
    empty, one = model.encode_sequences([random_ids(0), random_ids(1)])
    assert empty.shape == (0, 2) and one.shape == (1, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_in_pieces_is_decoding_the_whole(kind):
    model = make_codec(kind).double()
    for length in (0, 1, 15, 16, 17, 100):
        codes = model.encode_sequences([random_ids(length)])[0]
        inside = np.arange(length) % 29 != 7
        for chunk_length in (1, 16, 1000):
            bases = model.decode_sequence(codes, inside, chunk_length)
            assert bases.dtype == np.uint8 and bases.shape == (length,)
            if length:
                whole = model.decode(torch.from_numpy(codes)[None], torch.from_numpy(inside)[None])
                assert np.array_equal(bases, whole.argmax(-1)[0])


def test_decode_inverts_the_forward_pass():
    model, ids = make_codec(), torch.randint(4, (3, 40))
    output = model(ids)
    torch.testing.assert_close(model.decode(output.codes), output.logits, rtol=1e-4, atol=1e-5)
    mask = torch.arange(40) < torch.tensor([[40], [30], [20]])
    logits = model.decode(output.codes, mask)
    noise = torch.where(mask[..., None], output.codes, torch.randint(8, output.codes.shape))
    assert torch.equal(model.decode(noise, mask)[mask], logits[mask])


def near_ties(model: VQDNACodecModel, ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Which of the positions have a near tie at some level, of the windows around them."""
    halo, tied = model.config.halo, np.zeros(len(positions), dtype=bool)
    for row, position in enumerate(positions):
        left = max(0, position - halo)
        window = torch.from_numpy(ids[left : position + halo + 1].astype(np.int64))[None]
        with torch.no_grad():
            _, _, inputs = model.quantizer.quantize(model.latents(window))
        for book, h in zip(model.quantizer.codebooks, inputs):
            z = h[0, position - left].double()
            distances = (z - book.embedding.double()).pow(2).sum(dim=1)
            near = distances.argsort()[:2]
            gap = distances[near[1]] - distances[near[0]]
            tied[row] |= bool(gap < 1e-5 * (z.pow(2).sum() + book.embedding[near[0]].double().pow(2).sum()))
    return tied


def assert_same_codes(model: VQDNACodecModel, ids: np.ndarray, left: np.ndarray, right: np.ndarray):
    positions = np.flatnonzero((left != right).any(axis=1))
    assert len(positions) <= 1e-4 * len(ids) + 1
    assert near_ties(model, ids, positions).all(), f"{len(positions)} codes differ, not all of them near ties"


def encode_pieces(model: VQDNACodecModel, ids: np.ndarray, length: int) -> np.ndarray:
    """Whole calls of `encode` on pieces with an explicit halo: nothing of `encode_sequences` is used."""
    codes, halo = [], model.config.halo
    for start in range(0, len(ids), length):
        left = max(0, start - halo)
        piece = torch.from_numpy(ids[left : start + length + halo].astype(np.int64))[None]
        codes.append(model.encode(piece)[0, start - left : start - left + length].numpy())
    return np.concatenate(codes)


@pytest.mark.parametrize("kind", KINDS)
def test_50_kb_in_pieces(kind):
    model, ids = make_codec(kind), random_ids(50_000, 5)
    whole = encode_pieces(model, ids, 50_000)
    for chunk_length in (1000, 8192):
        assert_same_codes(model, ids, model.encode_sequences([ids], 16_384, chunk_length)[0], whole)
    assert len(np.unique(whole, axis=0)) > 10


@pytest.mark.slow
def test_1_mb_of_a_genome_in_pieces(data_dir):
    _, bases = next(read_fasta(data_dir / "genomes/escherichia_coli_k12.fa.gz"))
    ids = bases[:1_000_000]
    model = make_codec("hrq", "small", codebook_sizes=[128, 256])
    whole = encode_pieces(model, ids, 250_000)
    for chunk_length in (8192, 50_000):
        assert_same_codes(model, ids, model.encode_sequences([ids], 65_536, chunk_length)[0], whole)
