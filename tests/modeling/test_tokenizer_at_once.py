"""A call whose strings are read as one array gives exactly what a call gives that reads them one by one."""

import itertools
import json
import warnings

import numpy as np
import pytest
import torch
from transformers.tokenization_utils_base import TensorType
from transformers.utils import logging

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.modeling.nucleotides_vqdna import parse_joined, parse_sequence


TEXTS = ["ACGTTGCAGGCATTACGGAC", "acgun", "", "NRYSWKMBDHV", "GATTACA"]
BATCHES = {
    "one": "ACGTTGCAggcaUUACN",
    "several": TEXTS,
    "a tuple": tuple(TEXTS[:2]),
    "of one width": ["ACGTACGTA", "GATTACAGA"],
    "one in a list": TEXTS[:1],
    "empty strings": ["", ""],
    "an empty string": "",
    "none": [],
    "inline tokens": ["ACGT", "AC[MASK]GT[UNK]", "G"],
}
WRONG = {
    "white space": ["ACGT", "AC GT"],
    "a line break": "ACGT\n",
    "beyond ASCII": ["ACGT", "ACÄG"],
    "beyond Latin-1": ["ACGT", "A\N{EM DASH}"],
    "a question mark": "AC?",
    "a surrogate": "AC\ud800",
    "no string": ["ACGT", None],
    "bytes": b"ACGT",
    "special tokens": ["ACGT", "[CLS]ACGT"],
    "a protein": ["ACGT", "MAGIC", "PROTEIN"],
}
CUTS = [
    {},
    {"truncation": True, "max_length": 8},
    {"truncation": "only_first", "max_length": 2},
    {"truncation": True, "max_length": 64},
    {"max_length": 16},
    {"truncation": False, "max_length": 8},
    {"truncation": True, "max_length": 1},
    {"truncation": "only_second", "max_length": 64},
]
FLAGS = ["return_attention_mask", "return_special_tokens_mask", "return_token_type_ids", "return_length"]
GRID = [
    {**cut, "padding": padding, "pad_to_multiple_of": multiple, "padding_side": side, "add_special_tokens": special}
    for cut, padding, multiple, side, special in itertools.product(
        CUTS, (False, True, "max_length"), (None, 8), (None, "left"), (True, False)
    )
]
OUTPUTS = [
    {"return_tensors": tensors, **dict.fromkeys(FLAGS, flags)} if flags is not None else {"return_tensors": tensors}
    for tensors, flags in itertools.product((None, "np", "pt"), (None, True, False))
]


@pytest.fixture(scope="module", params=["network", "table"])
def codes(request) -> VQDNATokenizer:
    torch.manual_seed(0)
    size = {"stem_kernel_size": 3, "kernel_size": 3, "num_hidden_layers": 1, "quantizer": "rq"}
    narrow = size if request.param == "table" else {}
    codec = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny", **narrow)).eval()
    if narrow:
        codec.compile_vocabulary()
    return VQDNATokenizer(codec=codec)


@pytest.fixture(scope="module")
def bases() -> VQDNATokenizer:
    return VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")), return_nucleotide_ids=True)


def described(value):
    """All there is to know about a value: lists hold nothing but Python's numbers, which `json` sees to."""
    if isinstance(value, torch.Tensor):
        return "pt", value.dtype, value.shape, value.device, value.tolist()
    if isinstance(value, np.ndarray):
        rows = [described(row) for row in value] if value.dtype == object else value.tolist()
        return "np", value.dtype, value.shape, value.flags.writeable, value.flags.c_contiguous, rows
    return type(value), json.dumps(value)


def outcome(tokenizer, *args, **kwargs) -> tuple:
    """What a call gives, in its order, or its error; and its warnings."""
    said = []
    tokenizer.deprecation_warnings.clear()
    with warnings.catch_warnings(record=True) as caught, pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("always")
        patch.setattr(logging.get_logger("transformers.tokenization_utils_base"), "warning", said.append)
        try:
            batch = tokenizer(*args, **kwargs)
            result = type(batch), batch.n_sequences, [(key, described(value)) for key, value in batch.items()]
        except Exception as error:
            result = type(error), str(error)
    return result, said, [str(one.message) for one in caught], dict(tokenizer.deprecation_warnings)


def both(tokenizer, *args, **kwargs) -> tuple[tuple, tuple, bool]:
    """The outcome, that of the general path, and whether the strings were read as one array."""
    with pytest.MonkeyPatch.context() as patch:
        read, columns = [], VQDNATokenizer._columns
        patch.setattr(VQDNATokenizer, "_columns", lambda self, *args: read.append(1) or columns(self, *args))
        ours = outcome(tokenizer, *args, **kwargs)
        patch.setattr(VQDNATokenizer, "_goes_at_once", lambda *args: False)
        return ours, outcome(tokenizer, *args, **kwargs), bool(read)


@pytest.mark.parametrize("name", BATCHES)
def test_both_paths_give_the_same_for_all_arguments(bases, name):
    at_once = 0
    for arguments, outputs in itertools.product(GRID, OUTPUTS):
        ours, general, read = both(bases, BATCHES[name], **arguments, **outputs)
        assert ours == general, (arguments, outputs)
        at_once += read
    asked = len(GRID) * len(OUTPUTS)
    common = {"an empty string": 0, "none": 0, "inline tokens": 0}.get(name, asked / 2)
    assert at_once >= common and (common or not at_once)


@pytest.mark.parametrize("name", BATCHES)
def test_both_paths_give_the_same_codes(codes, name):
    for arguments, outputs in itertools.product(GRID[::7], OUTPUTS[1::3]):
        ours, general, _ = both(codes, BATCHES[name], **arguments, **outputs)
        assert ours == general, (arguments, outputs)


@pytest.mark.parametrize("name", WRONG)
def test_both_paths_refuse_in_the_same_words(codes, name):
    for arguments in ({}, {"truncation": True, "max_length": 4}, {"max_length": 0}, {"padding": True, "stride": -1}):
        ours, general, read = both(codes, WRONG[name], **arguments)
        assert ours == general and ours[0][0] is ValueError and not read


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_length": 0},
        {"max_length": 2.5, "truncation": True},
        {"max_length": np.int64(9), "truncation": True, "padding": "max_length"},
        {"stride": -1},
        {"stride": 20, "truncation": True, "max_length": 8},
        {"padding": True, "pad_to_multiple_of": 0},
        {"padding": True, "pad_to_multiple_of": True},
        {"padding": True, "pad_to_multiple_of": np.int64(16)},
        {"pad_to_multiple_of": -3},
        {"padding": True, "padding_side": "middle"},
        {"padding_side": "middle"},
        {"padding": True, "return_tensors": "jax"},
        {"padding": True, "return_tensors": TensorType.NUMPY},
        {"padding": True, "return_tensors": TensorType.PYTORCH},
        {"return_tensors": "np"},
        {"return_offsets_mapping": True, "padding": True},
        {"truncation": True, "max_length": 6, "return_overflowing_tokens": True},
        {"return_overflowing_tokens": True},
        {"is_split_into_words": True},
        {"text_pair": TEXTS},
        {"text_target": TEXTS},
        {"verbose": False},
        {"padding": True, "max_length": 8},
    ],
)
def test_both_paths_answer_rarer_arguments_alike(codes, bases, arguments):
    for tokenizer, texts in itertools.product((codes, bases), (TEXTS, TEXTS[0])):
        ours, general, _ = both(tokenizer, texts, **arguments)
        assert ours == general


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("nucleotides", [False, True])
def test_both_paths_heed_the_tokenizers_settings(codes, side, nucleotides):
    settings = {"padding_side": side, "truncation_side": side, "return_nucleotide_ids": nucleotides}
    tokenizer = VQDNATokenizer(codec=codes.codec, model_max_length=9, **settings)
    tokenizer._pad_token_type_id = 1
    for names in (["input_ids"], ["input_ids", "token_type_ids", "attention_mask"]):
        tokenizer.model_input_names = names
        for padding, truncation in itertools.product((False, True, "max_length"), (False, True)):
            for verbose in (True, False):
                ours, general, read = both(tokenizer, TEXTS, padding=padding, truncation=truncation, verbose=verbose)
                assert ours == general and read == (not truncation or side == "right")
                assert bool(ours[1]) == (verbose and padding != "max_length" and not truncation)
    tokenizer = VQDNATokenizer(codec=codes.codec, token_type_ids_include_special_tokens=False, **settings)
    ours, general, _ = both(tokenizer, TEXTS, return_token_type_ids=True)
    assert ours == general


def test_random_strings_are_the_same_codes_on_both_paths(codes):
    random = np.random.default_rng(0)
    halo = codes.codec.config.halo
    texts = ["".join(random.choice(list("ACGTacgtuN"), n)) for n in random.integers(0, 4 * halo, 24)]
    for arguments in ({}, {"truncation": True, "max_length": halo}, {"truncation": True, "max_length": 3}):
        ours, general, read = both(codes, texts, padding=True, return_tensors="np", **arguments)
        assert read and ours == general
        assert outcome(codes, texts, **arguments) == both(codes, texts, **arguments)[1]


def test_a_subclass_with_rows_of_its_own_is_asked(codes):
    class Doubled(VQDNATokenizer):
        def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
            return [2, *super().build_inputs_with_special_tokens(token_ids_0, token_ids_1), 3]

    rows = Doubled(codec=codes.codec)(TEXTS)["input_ids"]
    assert rows == [[2, *row, 3] for row in codes(TEXTS)["input_ids"]]


def test_what_a_call_gives_is_the_callers_own(bases):
    for tensors in ("np", "pt"):
        first = bases("ACGT", add_special_tokens=False, return_tensors=tensors)
        for value in first.values():
            value[:] = 7
        assert bases("ACGT", add_special_tokens=False, return_tensors=tensors)["nucleotide_ids"].tolist() == [
            [0, 1, 2, 3]
        ]


def test_strings_are_read_as_one_by_one():
    ids, lengths = parse_joined(TEXTS)
    assert ids.dtype == np.uint8 and lengths.dtype == np.int64 and lengths.tolist() == list(map(len, TEXTS))
    assert np.array_equal(ids, np.concatenate([parse_sequence(text)[0] for text in TEXTS]))
    for character in map(chr, range(0x180)):
        read = parse_joined(["AC", f"G{character}"])
        try:
            expected = parse_sequence(f"G{character}")[0].tolist()
        except ValueError:
            expected = None
        assert (None if read is None else read[0].tolist()[2:]) == expected
    for wrong in (None, 3, b"ACGT", ["A"]):
        assert parse_joined(["A", wrong]) is None
