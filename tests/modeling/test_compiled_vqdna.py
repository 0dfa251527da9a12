"""Codes that are looked up: equal to the network's everywhere, never used for other weights, and saved with them."""

import copy
import pickle

import numpy as np
import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from safetensors.numpy import load_file, save_file

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNAConfig, VQDNAForMaskedLM, VQDNATokenizer
from vqdna_hf.modeling import compiled_vqdna
from vqdna_hf.modeling.compiled_vqdna import (
    TABLE_FILE,
    CodeTable,
    ExactNetwork,
    de_bruijn,
    verify_table,
    window_numbers,
)


# stem, kernel, blocks -> a receptive field of 5 or 7 bases
SIZES = {5: {"num_hidden_layers": 1}, 7: {"num_hidden_layers": 2}}


def narrow_codec(width: int = 5, quantizer: str = "rq", seed: int = 0) -> VQDNACodecModel:
    """A codec of two levels whose codes are functions of `width` bases."""
    torch.manual_seed(seed)
    options = {"stem_kernel_size": 3, "kernel_size": 3, "quantizer": quantizer, **SIZES[width]}
    return VQDNACodecModel(VQDNACodecConfig.from_preset("tiny", **options)).eval()


@pytest.fixture(scope="module")
def compiled() -> VQDNACodecModel:
    codec = narrow_codec()
    codec.compile_vocabulary()
    return codec


@pytest.fixture(params=[(5, 5), (5, 4), (7, 4)], ids="R{0[0]}-{0[1]} letters".format)
def any_codec(request, monkeypatch) -> VQDNACodecModel:
    """Codecs with tables of five letters, and of four, whose windows with N run the network."""
    width, letters = request.param
    monkeypatch.setattr(compiled_vqdna, "WIDEST", {letters: 9})
    codec = narrow_codec(width, "hrq" if width == 7 else "rq")
    codec.compile_vocabulary()
    return codec


def random_sequences(count: int, longest: int = 40, seed: int = 0) -> list[np.ndarray]:
    """DNA with unknown and masked bases, of all lengths from 0 on, and runs of N."""
    rng = np.random.default_rng(seed)
    shares = [0.23, 0.23, 0.23, 0.23, 0.05, 0.03]
    found = [rng.choice(6, n, p=shares).astype(np.uint8) for n in rng.integers(0, longest, count)]
    return [*found, np.full(50, 4, np.uint8), np.array([*[4] * 30, 0, *[5] * 30, 1, 2, *[4] * 9], np.uint8)]


def by_network(codec: VQDNACodecModel, sequences: list[np.ndarray]) -> list[np.ndarray]:
    return ExactNetwork(codec).products(sequences)


# the table


@pytest.mark.parametrize(("letters", "order"), [(4, 3), (5, 4), (2, 1), (3, 2)])
def test_every_window_stands_once_in_the_sequence(letters, order):
    sequence = de_bruijn(letters, order)
    numbers = window_numbers(sequence.astype(np.uint32), letters, order)
    assert np.array_equal(np.sort(numbers), np.arange(letters**order))


@pytest.mark.parametrize("width", range(1, 12))
def test_window_numbers_are_those_of_their_letters(width):
    digits = np.random.default_rng(width).integers(0, 4, 30)
    wanted = [int("".join(map(str, digits[start : start + width])), 4) for start in range(31 - width)]
    assert window_numbers(digits.astype(np.uint32), 4, width).tolist() == wanted
    assert window_numbers(torch.from_numpy(digits), 4, width).tolist() == wanted


def test_joined_sequences_get_the_codes_of_the_network(any_codec):
    sequences = random_sequences(200)
    found = any_codec.encode_joined(np.concatenate(sequences), np.array(list(map(len, sequences))))
    assert np.array_equal(found, np.concatenate(by_network(any_codec, sequences)))


def test_every_way_to_encode_gives_the_same(any_codec):
    sequences = random_sequences(60, seed=1)
    wanted = by_network(any_codec, sequences)
    tokenizer = VQDNATokenizer(codec=any_codec)
    for ids, products, sequence in zip(tokenizer.encode_nucleotides(sequences), wanted, sequences):
        known = sequence < 4
        assert np.array_equal(ids[known], products[known] + 5)
        assert np.array_equal(ids[~known], np.where(sequence[~known] == 4, 1, 4))
    for codes, products in zip(any_codec.encode_sequences(sequences), wanted):
        assert np.array_equal(codes[:, 0] * 16 + codes[:, 1], products)
    for left in (0, 3):  # [CLS], bases, [SEP] and padding on either side
        length = max(map(len, sequences)) + 5
        batch, inside = torch.full((len(sequences), length), 8), torch.zeros(len(sequences), length, dtype=torch.bool)
        expected = torch.zeros(len(sequences), length, dtype=torch.long)
        for row, (sequence, products) in enumerate(zip(sequences, wanted)):
            span = slice(left + 1, left + 1 + len(sequence))
            batch[row, span], expected[row, span] = torch.from_numpy(sequence).long(), torch.from_numpy(products)
            batch[row, left], batch[row, span.stop], inside[row, span] = 6, 7, True
        assert torch.equal(any_codec.encode_products(batch), expected)
        assert torch.equal(any_codec.encode(batch)[..., 0], (expected // 16) * inside)


def test_two_sequences_of_one_row_do_not_see_each_other(any_codec):
    first, second = random_sequences(2, 30, seed=5)[:2]
    row = np.concatenate([first, [7], second, [8, 8]]).astype(np.uint8)
    wanted = np.concatenate([by_network(any_codec, [first])[0], [0], by_network(any_codec, [second])[0], [0, 0]])
    assert np.array_equal(any_codec.encode_products(torch.from_numpy(row).long().unsqueeze(0))[0].numpy(), wanted)
    codes = any_codec.encode_sequences([row])[0]
    assert np.array_equal(codes[:, 0] * 16 + codes[:, 1], wanted)


def test_long_sequences_are_looked_up_in_blocks(compiled, monkeypatch):
    sequence = np.random.default_rng(0).integers(0, 5, 1000).astype(np.uint8)
    wanted = compiled.encode_joined(sequence, np.array([1000]))
    monkeypatch.setattr(compiled_vqdna, "_BLOCK", 64)
    assert np.array_equal(compiled.encode_joined(sequence, np.array([1000])), wanted)
    assert np.array_equal(by_network(compiled, [sequence])[0], wanted)


def test_compiling_again_gives_the_same_table(compiled, monkeypatch):
    again = narrow_codec()
    monkeypatch.setattr(compiled_vqdna, "_PASS", 300)
    assert again.compile_vocabulary().digest == compiled.table.digest
    assert again.fingerprint() == compiled.fingerprint() == narrow_codec().fingerprint()


def test_verification_finds_a_wrong_code(compiled):
    table = copy.deepcopy(compiled.table)
    network = ExactNetwork(compiled)
    assert verify_table(table, network) == 0
    table.codes[[7, -1]] += 1
    assert verify_table(table, network) >= 2


def test_a_wide_codec_says_what_its_table_would_weigh():
    codec = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny"))
    with pytest.raises(ValueError, match=r"R = 17 bases.* 4\^17 .*34\.4 GB.*5 \+ 2 \* 6.*--preset compact"):
        codec.compile_vocabulary()
    many = VQDNACodecConfig.from_preset("compact", codebook_sizes=[2**16, 2**16])
    with pytest.raises(ValueError, match="4,294,967,301 ids, more than a table of codes holds"):
        compiled_vqdna.refuse_wide(many)


@pytest.mark.parametrize(
    ("preset", "width", "letters"),
    [("compact", 9, 5), ("compact-vq", 9, 5), ("compact-rq", 9, 5), ("compact-11", 11, 4)],
)
def test_presets_are_narrow(preset, width, letters):
    config = VQDNACodecConfig.from_preset(preset)
    assert config.receptive_field == width
    assert compiled_vqdna.letters_for(width, config.vocab_size) == letters
    assert CodeTable.size(letters, config.halo) * 2 < (8e6 if width == 9 else 14e6)


def test_a_changed_base_changes_at_most_r_codes(compiled):
    sequence = np.random.default_rng(0).integers(0, 4, 200).astype(np.uint8)
    changed = sequence.copy()
    changed[100] = (changed[100] + 1) % 4
    before, after = (compiled.encode_joined(one, np.array([200])) for one in (sequence, changed))
    assert set(np.flatnonzero(before != after)) <= set(range(98, 103))


# never stale


def nudge(codec):
    with torch.no_grad():
        codec.encoder.blocks[0].expand.bias[3] += 1e-6


def merge_through_data(codec):
    codec.encoder.blocks[0].expand.weight.data += 1e-6


def load_other(codec):
    codec.load_state_dict(narrow_codec(seed=1).state_dict())


def assign_other(codec):
    codec.load_state_dict(narrow_codec(seed=1).state_dict(), assign=True)


def move_a_code(codec):
    codec.quantizer.codebooks[0].embedding[0, 0] += 1


def replace_a_layer(codec):
    codec.encoder.stem_projection = torch.nn.Linear(16, 16)


def step_of_training(codec):
    codec.train().requires_grad_(True)
    optimizer = torch.optim.SGD(codec.encoder.parameters(), lr=0.1)
    codec(torch.randint(0, 4, (2, 30))).loss.backward()
    optimizer.step()
    codec.eval()


def step_that_moves_codes_alone(codec):
    codec.train()(torch.randint(0, 4, (2, 30)))
    codec.eval()


def turn_two_signs(codec: VQDNACodecModel):
    codec.encoder.stem_projection.weight.data[0, [1, 3]] *= -1


CHANGES = [nudge, merge_through_data, load_other, assign_other, move_a_code, replace_a_layer, step_of_training]
CHANGES += [step_that_moves_codes_alone, turn_two_signs]


@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_moved_have_no_table(compiled, change, tmp_path):
    codec = copy.deepcopy(compiled)
    assert codec.table is not None
    change(codec)
    assert codec.table is None
    codec.save_pretrained(tmp_path)
    assert not (tmp_path / TABLE_FILE).exists()
    assert not VQDNACodecModel.from_pretrained(tmp_path).config.compiled


def test_the_table_comes_back_with_the_weights(compiled):
    codec = copy.deepcopy(compiled)
    codec.load_state_dict(narrow_codec(seed=1).state_dict())
    assert codec.table is None
    codec.load_state_dict(compiled.state_dict())
    assert codec.table is not None


def test_no_table_in_training(compiled):
    codec = copy.deepcopy(compiled).train()
    assert codec.table is None and codec.eval().table is not None
    codec.encoder.train()
    assert codec.table is None


def test_adapters_in_the_codec_turn_the_table_off(compiled):
    codec = copy.deepcopy(compiled)
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["expand"]), codec)  # adds 0 until it is trained
    assert codec.table is None


def test_end_to_end_training_leaves_the_table(compiled):
    model = model_over(compiled)
    model.base_model.set_codec_frozen(False)
    assert model.train().codec.table is None
    model.base_model.set_codec_frozen(True)
    assert model.codec.table is not None


def test_another_vocabulary_s_table_is_refused(compiled):
    with pytest.raises(ValueError, match=f"table is of the vocabulary {compiled.fingerprint()}, but the codec is"):
        narrow_codec(seed=1).table = compiled.table


# files


def model_over(codec: VQDNACodecModel) -> VQDNAForMaskedLM:
    model = VQDNAForMaskedLM(VQDNAConfig.from_preset("tiny", codec_config=copy.deepcopy(codec.config))).eval()
    model.codec.copy_from(codec)
    return model


def saved_model(codec, directory):
    model_over(codec).save_pretrained(directory)
    return lambda: VQDNAForMaskedLM.from_pretrained(directory).codec


def saved_codec(codec, directory):
    codec.save_pretrained(directory)
    return lambda: VQDNACodecModel.from_pretrained(directory)


def saved_tokenizer(codec, directory):
    VQDNATokenizer(codec=codec).save_pretrained(directory)
    return lambda: VQDNATokenizer.from_pretrained(directory).codec


SAVED = pytest.mark.parametrize("save", [saved_model, saved_codec, saved_tokenizer])


@SAVED
def test_the_table_is_saved_and_loaded(compiled, save, tmp_path):
    load = save(compiled, tmp_path)
    assert load().table.digest == compiled.table.digest
    assert load().config.compiled and load().config.format_version == 2


@SAVED
def test_without_a_table_nothing_changes(save, tmp_path):
    codec = narrow_codec()
    loaded = save(codec, tmp_path)()
    assert not (tmp_path / TABLE_FILE).exists()
    assert loaded.table is None and not loaded.config.compiled and loaded.config.format_version == 1


def edit(path, codes=None, **metadata):
    table = load_file(path)["codes"].copy()
    with compiled_vqdna.safe_open(path, "np") as file:
        known = file.metadata()
    save_file({"codes": table if codes is None else codes(table)}, path, metadata=known | metadata)


def change_a_code(path):
    edit(path, lambda codes: np.where(np.arange(len(codes)) == 5, codes[5] ^ 1, codes).astype(codes.dtype))


def cut_the_file(path):
    path.write_bytes(path.read_bytes()[:-100])


def cut_the_codes(path):
    edit(path, lambda codes: codes[:-7])


def other_weights(path):
    saved_tokenizer_of_others = narrow_codec(seed=1)
    compiled_vqdna.save_table(saved_tokenizer_of_others.compile_vocabulary(), path)


SPOILED = {
    change_a_code: "were edited or damaged",
    cut_the_file: "truncated or damaged",
    cut_the_codes: "cut short, or is another vocabulary's",
    other_weights: "mixed from two",
    (lambda path: edit(path, letters="four")): "is no table of codes",
    (lambda path: path.unlink()): f"the file {TABLE_FILE} was not found",
}


@SAVED
@pytest.mark.parametrize(("spoil", "reason"), SPOILED.items(), ids=list(map(str, range(len(SPOILED)))))
def test_a_table_that_was_spoiled_is_refused(compiled, save, spoil, reason, tmp_path):
    load = save(compiled, tmp_path)
    spoil(tmp_path / TABLE_FILE)
    with pytest.raises(ValueError, match=f"{tmp_path}.*{reason}.*compile-tokenizer"):
        load()


def test_pickled_and_copied_codecs_keep_the_table(compiled):
    compiled.encode_joined(np.zeros(3, dtype=np.uint8), np.array([3]))  # by the network in float64, which stays behind
    compiled.encode_products(torch.zeros(1, 9, dtype=torch.long))
    tokenizer = VQDNATokenizer(codec=compiled)
    for other in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert other.codec.table.digest == compiled.table.digest
        assert other("ACGTNAC")["input_ids"] == tokenizer("ACGTNAC")["input_ids"]
    fresh = pickle.dumps(VQDNATokenizer(codec=copy.deepcopy(compiled)))
    assert len(pickle.dumps(tokenizer)) < len(fresh) + 1000


def test_precision_device_and_batches_change_nothing(compiled):
    strings = ["".join("ACGTN"[i] for i in np.minimum(one, 4)) for one in random_sequences(30, seed=3) if len(one)]
    wanted = VQDNATokenizer(codec=compiled)(strings)["input_ids"]
    half = VQDNATokenizer(codec=copy.deepcopy(compiled), precision="bfloat16", batch_bases=64, chunk_length=16)
    assert half(strings)["input_ids"] == wanted
    assert [half(one)["input_ids"] for one in strings] == wanted
    moved = VQDNATokenizer(codec=copy.deepcopy(compiled).to(torch.float64)).to("cpu")
    assert moved(strings)["input_ids"] == wanted and moved.codec.table is not None


@pytest.mark.gpu
def test_a_device_looks_up_the_same(compiled):
    codec = copy.deepcopy(compiled).to("cuda")
    batch = torch.randint(0, 9, (20, 60))
    assert torch.equal(codec.encode_products(batch.to("cuda")).cpu(), compiled.encode_products(batch))


def test_older_code_refuses_a_compiled_vocabulary(compiled, tmp_path):
    """Version 1 of the format reads the network alone; `check_format` of that code compares with its own version."""
    compiled.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="format_version 3.*reads up to 2"):
        VQDNACodecConfig(format_version=3)
    assert VQDNACodecConfig.from_pretrained(tmp_path).format_version == 2
    assert VQDNACodecConfig().format_version == 1
