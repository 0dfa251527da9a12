"""Codes at speed are the codes: packed batches, tiles against the network's own modules, precision, search."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.modeling import encoding_vqdna
from vqdna_hf.modeling.encoding_vqdna import PackedEncoder, pack_pieces, runs_in_tiles
from vqdna_hf.modeling.quantization_vqdna import nearest_codes


# what a configuration may vary: kinds, sizes of kernels, layers, quantized ones, one, latents as wide as the network
CONFIGS = {
    "tiny": {},
    "one layer": {"quantizer": "vq", "codebook_sizes": [16], "num_hidden_layers": 1, "stem_kernel_size": 1},
    "no layers": {"quantizer": "rq", "codebook_sizes": [8, 8], "num_hidden_layers": 0, "quantized_layers": [0]},
    "early taps": {"num_hidden_layers": 3, "quantized_layers": [1, 3], "expansion": 1, "kernel_size": 3},
    "wide stem": {"quantizer": "rq", "codebook_sizes": [8, 8, 8], "stem_kernel_size": 11, "stem_channels": 5},
    "wide kernel": {"kernel_size": 13, "expansion": 3, "hidden_size": 24, "num_hidden_layers": 3},
    "as wide as the network": {"codebook_dim": None, "hidden_size": 12},
    "no kernels": {"stem_kernel_size": 1, "kernel_size": 1},
    "one code": {"quantizer": "vq", "codebook_sizes": [1]},
}


def make_codec(**overrides) -> VQDNACodecModel:
    """A codec whose every weight matters, norms and biases included."""
    torch.manual_seed(0)
    codec = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny", **overrides)).eval().requires_grad_(False)
    for parameter in codec.encoder.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return codec


def random_ids(length: int, high: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, length).astype(np.uint8)


def module_latents(codec: VQDNACodecModel, ids: np.ndarray) -> list[torch.Tensor]:
    """Latents of one sequence by the encoder's modules, each of shape `(length, codebook_dim)`."""
    return [level[0] for level in codec.latents(torch.from_numpy(ids.astype(np.int64))[None])]


def module_codes(codec: VQDNACodecModel, ids: np.ndarray) -> np.ndarray:
    return codec.quantizer.quantize([level[None] for level in module_latents(codec, ids)])[0][0].numpy()


def assert_nearly_all_equal(found: np.ndarray, wanted: np.ndarray):
    """Up to near-ties, which are rare."""
    assert found.shape == wanted.shape and found.dtype == np.int64
    assert (found != wanted).any(axis=-1).sum() <= 0.002 * len(found)


# the layout


@pytest.mark.parametrize("seed", range(30))
def test_packed_batches_cover_every_base_once(seed):
    random = np.random.default_rng(seed)
    halo, gap = (int(random.integers(0, 9)) for _ in range(2))
    lengths = random.integers(0, 120, random.integers(1, 20)).tolist()
    capacity = int(random.integers(2 * halo + 1, 150))
    chunk = int(random.integers(1, capacity - 2 * halo + 1))
    covered = [np.zeros(length, dtype=int) for length in lengths]
    batches = list(pack_pieces(lengths, halo, gap, capacity, chunk))
    for packed in batches:
        free = 0
        for number, piece in enumerate(packed):
            assert piece.place == (free + gap if number else 0)
            assert 0 < piece.end - piece.start <= chunk
            assert piece.left == max(0, piece.start - halo)
            assert piece.right == min(piece.end + halo, lengths[piece.row])
            covered[piece.row][piece.start : piece.end] += 1
            free = piece.place + piece.right - piece.left
        assert free <= capacity
    assert all((row == 1).all() for row in covered)
    # none ends where the next piece would have had a place in it
    for packed, following in zip(batches, batches[1:]):
        last, piece = packed[-1], following[0]
        assert last.place + last.right - last.left + gap + piece.right - piece.left > capacity


def test_a_strip_is_longer_than_its_capacity_for_a_single_piece_only():
    batches = list(pack_pieces([100, 3, 3], halo=5, gap=2, capacity=10, chunk=40))
    assert [len(packed) for packed in batches] == [1, 1, 1, 2]
    assert max(piece.right - piece.left for packed in batches for piece in packed) == 50


def test_nothing_gives_no_strip():
    assert list(pack_pieces([], 3, 2, 10, 4)) == list(pack_pieces([0, 0], 3, 2, 10, 4)) == []


# packed batches against the modules


@pytest.mark.parametrize("name", CONFIGS)
def test_latents_of_a_strip_are_those_of_the_modules(name, monkeypatch):
    """Of sequences that stand in one packed batch with nothing but the gap between them, each as if it were alone."""
    monkeypatch.setattr(encoding_vqdna, "_TILE", 64)  # several tiles, the last one short
    codec = make_codec(**CONFIGS[name])
    encoder = PackedEncoder(codec)
    assert encoder.in_tiles == (name != "no layers")
    sequences = [random_ids(length, seed=length) for length in (1, 70, 2, 130, 64)]
    sequences += [np.full(30, 4, np.uint8), np.full(9, 5, np.uint8)]
    (pieces,) = pack_pieces([len(ids) for ids in sequences], codec.config.halo, encoder.gap, 10_000, 5_000)
    packed = np.full(pieces[-1].place + len(sequences[-1]), 8, dtype=np.uint8)
    for piece, ids in zip(pieces, sequences):
        packed[piece.place : piece.place + len(ids)] = ids
    for _ in range(2):  # the second one finds what the first one left in the buffers
        latents = encoder.latents(torch.from_numpy(packed))
        assert len(latents) == len(codec.config.quantized_layers)
        for piece, ids in zip(pieces, sequences):
            for level, wanted in zip(latents, module_latents(codec, ids), strict=True):
                found = level[piece.place : piece.place + len(ids)]
                torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_codes_are_those_of_the_modules(name):
    codec = make_codec(**CONFIGS[name])
    sequences = [random_ids(length, seed=length) for length in (3000, 0, 1, 60)]
    sequences += [random_ids(50, 4).astype(np.int64), np.full(40, 4, np.uint8), np.full(40, 5, np.uint8)]
    wanted = [
        module_codes(codec, ids) if len(ids) else np.zeros((0, codec.config.num_levels), int) for ids in sequences
    ]
    # smaller than a base with its halos, as small as that, and the setting of older tokenizers
    for batch_bases in (None, 1, codec.config.receptive_field, 100, 16_384):
        few = sequences[1 if batch_bases in (1, codec.config.receptive_field) else 0 :]
        found = codec.encode_sequences(few, batch_bases)
        for ids, codes, expected in zip(few, found, wanted[-len(few) :], strict=True):
            assert len(codes) == len(ids)
            assert_nearly_all_equal(codes, expected)
    for chunk_length in (1, 7, 100_000):
        assert_nearly_all_equal(codec.encode_sequences(sequences[3:4], None, chunk_length)[0], wanted[3])


@pytest.mark.parametrize("capacity", [1, 30, 500])
def test_a_strip_holds_a_base_and_its_halos(capacity):
    codec = make_codec()
    encoder, seen = PackedEncoder(codec, capacity=capacity), []
    encoder.encode = lambda ids: seen.append(len(ids)) or torch.zeros(len(ids), 2, dtype=torch.long)
    encoding_vqdna.encode_sequences(encoder, [random_ids(2000), random_ids(5)], codec.device, 8_192)
    assert max(seen) == encoder.capacity == max(capacity, codec.config.receptive_field)


def test_gaps_isolate_neighbours():
    codec, ids = make_codec(kernel_size=9), random_ids(50)
    alone = codec.encode_sequences([ids])[0]
    for seed in range(1, 6):
        around = [random_ids(60, 4, seed), ids, random_ids(60, 4, seed + 10)]
        assert np.array_equal(codec.encode_sequences(around)[1], alone)


def test_a_batch_of_no_rows_or_no_bases():
    codec = make_codec()
    for shape in ((0, 7), (3, 0), (0, 0)):
        assert codec.encode(torch.zeros(shape, dtype=torch.long)).shape == (*shape, 2)


def test_a_float64_codec_searches_in_float64():
    """Two code vectors that are one in float32."""
    codec = make_codec().double()
    for book in codec.quantizer.codebooks:
        book.embedding[1:] = book.embedding[0] + 1e-9 * torch.randn_like(book.embedding[1:])
    ids = random_ids(300)
    assert len(np.unique(module_codes(codec, ids)[:, 0])) > 1
    assert np.array_equal(codec.encode_sequences([ids])[0], module_codes(codec, ids))


def test_default_kinds_of_numbers_and_devices_do_not_matter():
    codec, ids = make_codec(), random_ids(300)
    wanted = codec.encode_sequences([ids])[0]
    for dtype in (torch.float64, torch.bfloat16):
        torch.set_default_dtype(dtype)
        try:
            assert np.array_equal(codec.encode_sequences([ids])[0], wanted)
        finally:
            torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        assert np.array_equal(codec.encode_sequences([ids])[0], wanted)
    with torch.inference_mode():
        assert np.array_equal(codec.encode_sequences([ids])[0], wanted)
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(codec.encode_sequences([ids])[0], wanted)


def test_trainable_weights_give_no_graph():
    codec, ids = make_codec(), torch.from_numpy(random_ids(300))
    wanted = PackedEncoder(codec).encode(ids)
    codec.requires_grad_(True)
    assert torch.equal(PackedEncoder(codec).encode(ids), wanted)
    assert not any(level.requires_grad for level in PackedEncoder(codec).latents(ids))


@pytest.mark.parametrize("chunk_length", [0, -1])
def test_pieces_of_no_base_are_refused(chunk_length):
    codec = make_codec()
    with pytest.raises(ValueError, match=f"chunk_length={chunk_length}"):
        codec.encode_sequences([random_ids(10)], chunk_length=chunk_length)
    with pytest.raises(ValueError, match=f"chunk_length={chunk_length}"):
        codec.decode_sequence(np.zeros((10, 2), dtype=np.int64), np.ones(10, dtype=bool), chunk_length)


# what does not run in tiles


def hook(codec):
    codec.encoder.blocks[0].register_forward_hook(lambda module, inputs, output: -output)


def hook_before(codec):
    codec.encoder.blocks[1].expand.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))


def replaced_forward(codec):
    block = codec.encoder.blocks[0]
    forward = block.forward
    block.forward = lambda states, mask: -forward(states, mask)


def another_norm(codec):
    codec.encoder.blocks[0].norm = torch.nn.RMSNorm(codec.config.hidden_size)


def lora(codec):
    from peft import LoraConfig, inject_adapter_in_model

    inject_adapter_in_model(LoraConfig(target_modules=["expand", "contract"], init_lora_weights=False), codec)


def doubles(codec):
    codec.double()


def halves(codec):
    codec.encoder.bfloat16()  # past the codec, which refuses to


def offloaded(codec):
    from accelerate import cpu_offload

    cpu_offload(codec.encoder, execution_device=torch.device("cpu"))


@pytest.mark.parametrize(
    "change", [hook, hook_before, replaced_forward, another_norm, lora, doubles, halves, offloaded]
)
def test_what_is_not_plain_goes_through_the_modules(change):
    codec, ids = make_codec(), torch.from_numpy(random_ids(400).astype(np.int64))[None]
    assert runs_in_tiles(codec.encoder)
    plain = codec.encode(ids)
    change(codec)
    assert not runs_in_tiles(codec.encoder)
    found = codec.encode(ids)
    assert torch.equal(found[0], torch.from_numpy(module_codes(codec, ids[0].numpy())))
    if change in (doubles, halves, offloaded):
        assert (found == plain).float().mean() > 0.9
    else:
        assert (found == plain).float().mean() < 0.9  # the change does change codes


def test_adapters_on_latents_are_heard_in_tiles():
    from peft import LoraConfig, inject_adapter_in_model

    codec, ids = make_codec(), random_ids(400)
    plain = module_codes(codec, ids)
    inject_adapter_in_model(LoraConfig(target_modules=["latent_projections.0"], init_lora_weights=False), codec)
    assert (plain != module_codes(codec, ids)).any()
    assert_nearly_all_equal(codec.encode_sequences([ids])[0], module_codes(codec, ids))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["encode", "forward"])
def test_a_trace_holds_the_network(method):
    """And not the codes of the example that it was made with."""

    class Codes(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.codec = make_codec()

        def forward(self, ids):
            return self.codec.encode(ids) if method == "encode" else self.codec(ids).codes

    module = Codes()
    traced = torch.jit.trace(module, (torch.randint(4, (1, 60)),), check_trace=False)
    other = torch.randint(4, (1, 60))
    assert torch.equal(traced(other), module(other))


# precision and compilation


@pytest.mark.parametrize("name", ["bf16", "float16", "", None])
def test_unknown_precisions_are_refused(name):
    codec = make_codec()
    for make in (
        lambda: PackedEncoder(codec, name),
        lambda: codec.encode_sequences([], precision=name),
        lambda: VQDNATokenizer(codec=codec, precision=name),
    ):
        with pytest.raises(ValueError, match=f"precision={name!r} is not one of float32, bfloat16"):
            make()


@pytest.mark.parametrize("in_tiles", [True, False])
def test_bfloat16_changes_few_codes(in_tiles):
    codec, ids = make_codec(), random_ids(4000, 4)
    if not in_tiles:
        codec.encoder.register_forward_hook(lambda module, inputs, output: None)
    wanted, found = codec.encode_sequences([ids])[0], codec.encode_sequences([ids], precision="bfloat16")[0]
    # some do change, or nothing was computed with 16 bits
    assert 0.85 < (wanted == found).all(axis=1).mean() < 1
    assert codec.dtype == torch.float32


def compiled_shapes(monkeypatch) -> list[tuple[int, ...]]:
    """Stands in for `torch.compile`, which takes long, by the network itself; notes the shape of every pass."""
    shapes = []

    def compile_(network, **options):
        def passes(ids, mask):
            shapes.append(tuple(ids.shape))
            return network(ids, mask)

        return passes

    monkeypatch.setattr(encoding_vqdna.torch, "compile", compile_)
    return shapes


@pytest.mark.parametrize(("batch_bases", "capacity"), [(None, encoding_vqdna.CPU_BATCH), (16_384, 16_384), (600, 600)])
def test_the_compiled_network_sees_one_shape(monkeypatch, batch_bases, capacity):
    shapes, codec = compiled_shapes(monkeypatch), make_codec()
    compiled = VQDNATokenizer(codec=codec, compile=True, batch_bases=batch_bases)
    lengths = (1, capacity // 2, capacity // 2 + 1, capacity - 1, capacity, capacity + 1, 3 * capacity + 7)
    for length in lengths:
        sequences, before = [random_ids(length, seed=length)], len(shapes)
        found = compiled.encode_nucleotides(sequences)[0]
        assert (len(shapes) > before) == (2 * length > capacity)  # short ones pass without it
        wanted = VQDNATokenizer(codec=codec).encode_nucleotides(sequences)[0]
        assert (found != wanted).mean() <= 0.002
    assert set(shapes) == {(1, capacity)}


def test_a_tokenizer_compiles_once_and_anew_on_another_device(monkeypatch):
    compiled_shapes(monkeypatch)
    tokenizer, ids = VQDNATokenizer(codec=make_codec(), compile=True), [random_ids(10)]
    assert tokenizer._network is None  # not before it is used
    tokenizer.encode_nucleotides(ids)
    first = tokenizer._network
    tokenizer.encode_nucleotides(ids)
    assert tokenizer._network is first is not None
    for other in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert other._network is None and other.compile
        assert np.array_equal(other.encode_nucleotides(ids)[0], tokenizer.encode_nucleotides(ids)[0])
    assert tokenizer.to("cpu")._network is None
    monkeypatch.undo()
    plain = VQDNATokenizer(codec=make_codec())
    plain.encode_nucleotides(ids)
    assert plain._network is None


@pytest.mark.slow
def test_the_compiled_network_reads_the_weights_of_each_call():
    codec, sequences = make_codec(), [random_ids(3000)]
    compiled = VQDNATokenizer(codec=codec, compile=True)
    before = compiled.encode_nucleotides(sequences)[0]
    for parameter in codec.encoder.parameters():
        parameter.mul_(-1.3)
    after, wanted = (
        compiled.encode_nucleotides(sequences)[0],
        VQDNATokenizer(codec=codec).encode_nucleotides(sequences)[0],
    )
    assert (after != before).mean() > 0.1 and (after != wanted).mean() <= 0.002


def test_how_codes_are_computed_is_not_saved(tmp_path):
    options = {"precision": "bfloat16", "compile": True}
    VQDNATokenizer(codec=make_codec(), **options).save_pretrained(tmp_path)
    plain, asked = VQDNATokenizer.from_pretrained(tmp_path), VQDNATokenizer.from_pretrained(tmp_path, **options)
    assert (plain.precision, plain.compile, plain.batch_bases) == ("float32", False, None)
    assert (asked.precision, asked.compile) == ("bfloat16", True)
    asked.save_pretrained(tmp_path)
    assert not set(options) & set(json.loads((tmp_path / "tokenizer_config.json").read_text()))


def test_tokenizers_of_an_older_version(tmp_path):
    """They name a size of a pass: it is kept, and gives the same codes."""
    tokenizer, text = VQDNATokenizer(codec=make_codec()), "ACGTN[MASK]GGCA" * 500
    tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"batch_bases": 16_384}))
    older = VQDNATokenizer.from_pretrained(tmp_path)
    assert older.batch_bases == 16_384
    assert_nearly_all_equal(
        np.array(older(text)["input_ids"])[:, None], np.array(tokenizer(text)["input_ids"])[:, None]
    )


# the search


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("codes", "dim"), [(1, 1), (2, 8), (9, 17), (512, 16)])
def test_nearest_codes_are_the_nearest(codes, dim, dtype):
    latents, embedding = torch.randn(3000, dim, dtype=dtype), torch.randn(codes, dim, dtype=dtype)
    found = nearest_codes(latents, embedding)
    assert found.shape == (3000,) and found.dtype == torch.int64
    distances = (latents[:, None].double() - embedding.double()).pow(2).sum(-1)
    nearest = distances.min(dim=1).values
    chosen = distances.gather(1, found[:, None])[:, 0]
    torch.testing.assert_close(chosen, nearest, rtol=0, atol=1e-4 if dtype == torch.float32 else 1e-12)


def test_of_equal_distances_the_lowest_index(monkeypatch):
    latents = torch.randint(-3, 4, (500, 6)).float()  # small whole numbers, whose distances are exact
    embedding = torch.randint(-1, 2, (70, 6)).float()
    distances = (latents[:, None] - embedding).pow(2).sum(-1)
    lowest = (distances == distances.min(dim=1, keepdim=True).values).int().argmax(dim=1)
    assert ((distances == distances.min(dim=1, keepdim=True).values).sum(dim=1) > 1).any()
    for elements in (1, 700, 1 << 18):
        monkeypatch.setattr("vqdna_hf.modeling.quantization_vqdna._CPU_DISTANCE_ELEMENTS", elements)
        assert torch.equal(nearest_codes(latents, embedding), lowest)
        # and the way of other devices
        assert torch.equal(nearest_codes(torch.nn.Parameter(latents), embedding), lowest)


def test_nearest_codes_of_no_latents():
    assert nearest_codes(torch.zeros(0, 3), torch.zeros(5, 3)).shape == (0,)
    assert nearest_codes(torch.nn.Parameter(torch.zeros(0, 3)), torch.zeros(5, 3)).shape == (0,)
