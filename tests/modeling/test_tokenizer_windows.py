"""Long strings in windows: cut as by a fast tokenizer over characters, with the codes of the whole string."""

import datasets
import numpy as np
import pytest
import tokenizers
import torch
from packaging.version import Version
from transformers import AutoTokenizer
from transformers.utils import logging

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.baselines.tokenizers import character_tokenizer


CLS, SEP = 2, 3
LENGTHS = [0, 1, 5, 14, 15, 16, 40]
CALL = {"truncation": True, "return_overflowing_tokens": True}
same_as_fast = pytest.mark.skipif(
    Version(tokenizers.__version__) < Version("0.23.3"), reason="older fast tokenizers cut other windows"
)


def dna(length: int) -> str:
    return "".join(np.random.default_rng(length).choice(list("ACGT"), length))


@pytest.fixture(scope="module")
def codes() -> VQDNATokenizer:
    torch.manual_seed(0)
    return VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")))


@pytest.fixture
def both(codes) -> tuple[VQDNATokenizer, object]:
    """Ours, which gives bases (ids 0-3), and a fast one (ids 5-8)."""
    return VQDNATokenizer(codec=codes.codec, return_nucleotide_ids=True), character_tokenizer()


def as_fast(batch) -> dict:
    """What ours gives in the ids of the fast tokenizer."""
    ids = np.array([5, 6, 7, 8, 1, 4, 2, 3, 0])  # A, C, G, T, [UNK], [MASK], [CLS], [SEP], [PAD]
    rows = dict(batch)
    given = (row if isinstance(row, list) else row.tolist() for row in rows.pop("nucleotide_ids"))
    rows["input_ids"] = [ids[np.array(row, dtype=int)].tolist() for row in given]
    return {key: value if isinstance(value, list) else value.tolist() for key, value in rows.items()}


def same(ours, fast):
    theirs = {key: value if isinstance(value, list) else value.tolist() for key, value in fast.items()}
    if "offset_mapping" in theirs:
        theirs["offset_mapping"] = [[tuple(span) for span in row] for row in theirs["offset_mapping"]]
        ours["offset_mapping"] = [[tuple(span) for span in row] for row in ours["offset_mapping"]]
    assert ours == theirs


@same_as_fast
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("special", [True, False])
def test_windows_are_those_of_a_fast_tokenizer(both, side, special):
    ours, fast = both
    ours.truncation_side = fast.truncation_side = side
    texts = [dna(length) for length in LENGTHS]
    every = {"return_offsets_mapping": True, "return_special_tokens_mask": True, "return_length": True}
    for max_length in (4, 7, 16, 17, 60):
        for stride in (0, 1, 2, 4, 13):
            if stride >= max_length - 2 * special:
                continue
            call = {**CALL, "max_length": max_length, "stride": stride, "add_special_tokens": special, **every}
            same(as_fast(ours(texts, **call)), fast(texts, **call))


@same_as_fast
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_windows_as_tensors(both, side):
    ours, fast = both
    ours.padding_side = fast.padding_side = side
    texts = [dna(length) for length in LENGTHS]
    for options in (
        {"padding": True, "return_tensors": "pt"},
        {"padding": "max_length", "return_tensors": "np"},
        {"padding": True, "pad_to_multiple_of": 8, "max_length": 16},
    ):
        call = {**CALL, "max_length": 12, "stride": 3, "return_special_tokens_mask": True, **options}
        same(as_fast(ours(texts, **call)), fast(texts, **call))


@pytest.mark.parametrize("strategy", ["only_first", "only_second"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_windows_of_pairs(codes, strategy, side):
    tokenizer, fast = VQDNATokenizer(codec=codes.codec, truncation_side=side), character_tokenizer()
    fast.truncation_side = side
    pairs = [(dna(20), dna(9)), (dna(9), dna(20)), (dna(12), dna(12)), (dna(4), dna(5))]
    for max_length, stride in ((26, 0), (28, 2), (24, 1), (32, 3)):
        call = {"truncation": strategy, "max_length": max_length, "stride": stride}
        call |= {"return_overflowing_tokens": True, "return_offsets_mapping": True}
        for pair in pairs:
            try:
                theirs = fast(*pair, **call)
            except BaseException:  # a panic of the Rust library is no Exception
                with pytest.raises(ValueError, match="cannot be cut|stride"):
                    tokenizer(*pair, **call)
                continue
            rows = tokenizer(*pair, **call)
            assert rows["offset_mapping"] == theirs["offset_mapping"]
            assert rows["overflow_to_sample_mapping"] == theirs["overflow_to_sample_mapping"]
            wholes = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in pair]
            for ids, spans in zip(rows["input_ids"], rows["offset_mapping"]):
                middle = spans.index((0, 0), 1)
                first, second = spans[1:middle], spans[middle + 1 : -1]
                parts = [wholes[0][start] for start, _ in first], [wholes[1][start] for start, _ in second]
                assert ids == [CLS, *parts[0], SEP, *parts[1], SEP]


@same_as_fast
def test_pairs_cut_longest_first(codes):
    fast = character_tokenizer()
    for pair in ((dna(5), dna(9)), (dna(9), dna(5)), (dna(6), dna(6))):
        for max_length in range(3, 20):
            call = {"truncation": True, "max_length": max_length, "return_offsets_mapping": True}
            assert codes(*pair, **call)["offset_mapping"] == fast(*pair, **call)["offset_mapping"]


def test_codes_of_windows_are_those_of_the_whole(codes):
    texts = [dna(300), dna(41)]
    batch = codes(texts, **CALL, max_length=34, stride=8)
    wholes = [codes(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert batch["overflow_to_sample_mapping"] == [0] * 13 + [1] * 2
    place = {0: 0, 1: 0}
    for ids, sample in zip(batch["input_ids"], batch["overflow_to_sample_mapping"]):
        start = place[sample]
        assert ids == [CLS, *wholes[sample][start : start + 32], SEP]
        place[sample] += 32 - 8


def test_a_single_string_gives_a_batch_of_windows(codes):
    batch = codes(dna(20), **CALL, max_length=12, return_tensors="pt", padding=True)
    assert batch["input_ids"].shape == (2, 12) and batch["overflow_to_sample_mapping"].tolist() == [0, 0]
    short = codes("ACGT", **CALL, max_length=12)
    assert len(short["input_ids"]) == 1 and short["overflow_to_sample_mapping"] == [0]
    assert codes("ACGT", return_overflowing_tokens=True)["overflow_to_sample_mapping"] == [0]
    assert codes([], **CALL, max_length=12)["overflow_to_sample_mapping"] == []


def test_windows_in_a_map_of_datasets(codes, tmp_path):
    rows = datasets.Dataset.from_dict({"sequence": [dna(30), dna(7), dna(50)], "label": [0, 1, 2]})

    def encode(batch):
        windows = codes(batch["sequence"], **CALL, max_length=16, stride=4)
        samples = windows.pop("overflow_to_sample_mapping")
        return {**windows, "label": [batch["label"][sample] for sample in samples]}

    mapped = rows.map(encode, batched=True, remove_columns=rows.column_names)
    assert mapped["label"][:] == [0, 0, 0, 1, 2, 2, 2, 2, 2]
    assert max(map(len, mapped["input_ids"])) == 16


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_length": 0}, "max_length=0 is no number of ids"),
        ({"max_length": -5}, "max_length=-5"),
        ({"max_length": 10.5}, "max_length=10.5"),
        ({"max_length": 1}, "max_length=1 leaves no room for the 2 special tokens"),
        ({"max_length": 12, "stride": -1}, "stride=-1"),
        ({"max_length": 12, "stride": 10}, "stride=10 must be smaller than the 10 bases"),
        ({"max_length": 2, "return_overflowing_tokens": True}, "leaves none of it"),
        ({"max_length": 8, "truncation": "only_second"}, "no second sequence"),
        ({"padding": True, "pad_to_multiple_of": 0, "max_length": None}, "pad_to_multiple_of"),
        (
            {"padding": True, "pad_to_multiple_of": -8, "max_length": None, "truncation": False},
            "pad_to_multiple_of=-8",
        ),
    ],
)
def test_windows_that_cannot_be(codes, options, message, monkeypatch):
    if options.get("pad_to_multiple_of") is None:  # refused before anything is computed
        monkeypatch.setattr(VQDNATokenizer, "encode_nucleotides", None)
    with pytest.raises(ValueError, match=message):
        codes(dna(40), **{"truncation": True, **options})


def test_overflow_of_pairs_that_are_cut_on_both_sides(codes):
    with pytest.raises(ValueError, match="only_first"):
        codes(dna(40), dna(40), **CALL, max_length=40)


def test_cutting_without_a_length_says_so(codes, caplog):
    logging.warning_once.cache_clear()
    for options in ({"truncation": True}, {"padding": "max_length"}, {"pad_to_multiple_of": 8}, {"max_len": 1}):
        assert len(codes(dna(40), **options)["input_ids"]) == 42
    for words in ("Asking to truncate", "Asking to pad", "pad_to_multiple_of is ignored", "max_len"):
        assert words in caplog.text
    bounded = VQDNATokenizer(codec=codes.codec, model_max_length=10)
    assert len(bounded(dna(40), truncation=True)["input_ids"]) == 10


def test_windows_of_a_saved_tokenizer(codes, tmp_path):
    codes.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    call = {**CALL, "max_length": 20, "stride": 5}
    assert dict(loaded(dna(90), **call)) == dict(codes(dna(90), **call))
