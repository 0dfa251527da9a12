"""Calls of the Python interface that cannot work: each raises one error that names the value and changes nothing. And
calls that look odd and are right."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from robust_world import World
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNAConfig, VQDNATokenizer
from vqdna_hf.data import Corpus, GenomeCodes
from vqdna_hf.metrics import compute_scores
from vqdna_hf.tasks import load_task_files


@pytest.fixture(scope="module")
def tokenizer(world: World) -> VQDNATokenizer:
    return AutoTokenizer.from_pretrained(world["tokenizer"])


@pytest.fixture(scope="module")
def model(world: World):
    return AutoModel.from_pretrained(world["encoder"]).eval()


@pytest.fixture(scope="module")
def masked(world: World):
    return AutoModelForMaskedLM.from_pretrained(world["encoder"]).eval()


@pytest.fixture(scope="module")
def classifier(world: World):
    return AutoModelForSequenceClassification.from_pretrained(world["full"]).eval()


REFUSED = (ValueError, TypeError, IndexError, OSError)

STRINGS: dict[str, tuple[object, str]] = {
    "a space": ("ACG TTA", "3"),
    "a line break": ("ACGT\nACGT", "4"),
    "a tab": ("AC\tGT", "2"),
    "a digit": ("ACG7", "'7'"),
    "a dash": ("AC-GT", "'-'"),
    "a star": ("AC*GT", "'*'"),
    "an umlaut": ("ACGÄ", "3"),
    "protein": ("MKLVEERSTQ", ""),
    "FASTA": (">c1\nACGT", "'>'"),
    "k-mers": ("ACG CGT GTT TTA", ""),
    "a zero": ("AC\0GT", "2"),
    "a wide A": ("ＡCGT", "0"),
    "a token": ("[UNK]ACGT[FOO]", ""),
    "an open bracket": ("AC[MASKGT", "2"),
    "bytes": (b"ACGT", "bytes"),
    "a number": (7, "7"),
    "none": (None, ""),
    "a float": (float("nan"), "nan"),
    "a list with none": (["ACGT", None], "None"),
    "a list with a number": (["ACGT", 4], "4"),
    "a list with a space": (["ACGT", "AC GT"], "sequence 1"),
    "a dict": ({"a": "ACGT"}, ""),
    "ids": ([5, 6, 7], "5"),
    "an array": (np.array(["ACGT", "TTGA"]), "list"),
}


@pytest.mark.parametrize("kind", STRINGS)
def test_what_is_no_dna(tokenizer, kind):
    value, word = STRINGS[kind]
    with pytest.raises(REFUSED) as caught:
        tokenizer(value)
    assert word in str(caught.value)


NUCLEOTIDES = {
    "nine": [0, 9],
    "below": [0, -1],
    "a byte": [0, 256],
    "a half": [0.5, 1.0],
    "a specials": [0, 6],
    "two axes": [[0, 1]],
    "booleans": [True, False],
    "text": ["A", "C"],
}


@pytest.mark.parametrize("kind", NUCLEOTIDES)
def test_what_are_no_nucleotide_ids(tokenizer, kind):
    with pytest.raises(REFUSED):
        tokenizer.encode_nucleotides([np.array(NUCLEOTIDES[kind])])


TOKENIZER_CALLS: dict[str, Callable[[VQDNATokenizer], object]] = {
    "a pad token": lambda t: setattr(t, "pad_token", "<pad>"),
    "another's pad token": lambda t: setattr(t, "pad_token", t.cls_token),
    "a pad id": lambda t: setattr(t, "pad_token_id", 3),
    "an eos token": lambda t: setattr(t, "eos_token", "</s>"),
    "a bos token": lambda t: t.add_special_tokens({"bos_token": "<s>"}),
    "extra tokens": lambda t: t.add_special_tokens({"extra_special_tokens": ["<x>"]}),
    "added tokens": lambda t: t.add_tokens(["ACGT"]),
    "an unknown id": lambda t: t.decode([10**6]),
    "a negative id": lambda t: t.convert_ids_to_tokens([-1]),
    "a stride too long": lambda t: t(
        "ACGT" * 9, truncation=True, max_length=8, stride=8, return_overflowing_tokens=True
    ),
    "a negative length": lambda t: t("ACGT", truncation=True, max_length=-1),
    "an unknown side": lambda t: t("ACGT", padding="max_length", max_length=9, padding_side="middle"),
    "an unknown precision": lambda t: VQDNATokenizer(codec=t.codec, precision="int4"),
    "bases of 0": lambda t: VQDNATokenizer(codec=t.codec, batch_bases=0),
    "pieces of 0": lambda t: VQDNATokenizer(codec=t.codec, chunk_length=0),
    "another vocabulary": lambda t: VQDNATokenizer(codec=t.codec, vocabulary_fingerprint="0" * 32),
    "no codec": lambda t: VQDNATokenizer(),
}


@pytest.mark.parametrize("kind", TOKENIZER_CALLS)
def test_what_a_tokenizer_refuses(tokenizer, kind, tmp_path):
    before = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    with pytest.raises(REFUSED):
        TOKENIZER_CALLS[kind](tokenizer)
    assert {name: str(token) for name, token in tokenizer.special_tokens_map.items()} == before
    assert len(tokenizer) == tokenizer.vocab_size and tokenizer.pad_token_id == 0
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("ACGTN").input_ids == tokenizer("ACGTN").input_ids


def ids(*values: int, shape: tuple[int, ...] | None = None) -> torch.Tensor:
    tensor = torch.tensor([values])
    return tensor if shape is None else tensor.reshape(shape)


MODEL_CALLS: dict[str, Callable] = {
    "nothing": lambda model: model(),
    "both": lambda model: model(input_ids=ids(2, 5, 3), nucleotide_ids=ids(6, 0, 7)),
    "an id too large": lambda model: model(input_ids=ids(2, 10**6, 3)),
    "an id below 0": lambda model: model(input_ids=ids(2, -5, 3)),
    "a nucleotide too large": lambda model: model(nucleotide_ids=ids(6, 9, 7)),
    "a nucleotide below 0": lambda model: model(nucleotide_ids=ids(6, -1, 7)),
    "floats": lambda model: model(input_ids=torch.rand(1, 4)),
    "half nucleotides": lambda model: model(nucleotide_ids=torch.rand(1, 4)),
    "one axis": lambda model: model(input_ids=torch.tensor([2, 5, 3])),
    "three axes": lambda model: model(input_ids=torch.ones(1, 2, 3, dtype=torch.long)),
    "another mask": lambda model: model(input_ids=ids(2, 5, 3), attention_mask=torch.ones(1, 7)),
    "another size": lambda model: model.resize_token_embeddings(7),
}


@pytest.mark.parametrize("kind", MODEL_CALLS)
def test_what_a_model_refuses(model, kind):
    with pytest.raises(REFUSED) as caught, torch.no_grad():
        MODEL_CALLS[kind](model)
    assert str(caught.value)


HEAD_CALLS: dict[str, Callable] = {
    "labels of another length": lambda masked, _: masked(input_ids=ids(2, 5, 3), labels=ids(-100, 5)),
    "labels too large": lambda masked, _: masked(input_ids=ids(2, 5, 3), labels=ids(-100, 10**6, -100)),
    "labels below 0": lambda masked, _: masked(input_ids=ids(2, 5, 3), labels=ids(-100, -7, -100)),
    "a class too large": lambda _, head: head(input_ids=ids(2, 5, 3), labels=torch.tensor([9])),
    "a class below 0": lambda _, head: head(input_ids=ids(2, 5, 3), labels=torch.tensor([-2])),
    "classes of another number": lambda _, head: head(input_ids=ids(2, 5, 3), labels=torch.tensor([0, 1])),
}


@pytest.mark.parametrize("kind", HEAD_CALLS)
def test_what_a_head_refuses(masked, classifier, kind):
    with pytest.raises((*REFUSED, RuntimeError)), torch.no_grad():
        HEAD_CALLS[kind](masked, classifier)


CODEC_FIELDS = [
    *(("quantizer", value) for value in ("", "VQ", None)),
    *(("codebook_sizes", value) for value in ([], [0], [-1], [8.5], ["8"], [2**40])),
    *(
        (name, value)
        for name in ("hidden_size", "codebook_dim", "stem_channels", "expansion")
        for value in (0, -1, 2.5)
    ),
    *((name, value) for name in ("kernel_size", "stem_kernel_size") for value in (0, 2, -3)),
    *(("num_hidden_layers", value) for value in (-1, 1.5, 10**9)),
    *(
        (name, value)
        for name in ("ema_decay", "mask_ratio", "restart_threshold")
        for value in (-0.1, 1.0, float("nan"))
    ),
    *((name, value) for name in ("commitment_weight", "word_weight") for value in (-1, float("nan"), float("inf"))),
    *((name, value) for name in ("layer_norm_eps", "ema_epsilon") for value in (-1e-5, float("nan"))),
    ("initializer_range", -0.02),
    ("word_radius", -1),
    ("quantized_layers", [9]),
    ("format_version", 99),
]


@pytest.mark.parametrize(("field", "value"), CODEC_FIELDS, ids=[f"{field}={value}" for field, value in CODEC_FIELDS])
def test_what_is_no_codec(field, value):
    with pytest.raises(Exception) as caught:
        VQDNACodecConfig(**{field: value})
    assert "Strict" in type(caught.value).__name__ or isinstance(caught.value, REFUSED)
    assert field in str(caught.value)


ENCODER_FIELDS = [
    *(("pooling", value) for value in ("", "Mean", "sum", None)),
    *(("pooling_bins", value) for value in (0, -1, 2.5)),
    *(("classifier_dropout", value) for value in (-0.1, 1.5, float("nan"))),
    *(("base_loss_weight", value) for value in (-1.0, float("nan"), float("inf"))),
    *(("num_labels", value) for value in (0, -1)),
    *(("problem_type", value) for value in ("regressions", "multilabel")),
    ("strand_average", "yes"),
    ("freeze_codec", "no"),
    ("initializer_range", -0.02),
    ("codec_config", []),
    ("encoder_config", []),
    ("format_version", 99),
]


@pytest.mark.parametrize(
    ("field", "value"), ENCODER_FIELDS, ids=[f"{field}={value}" for field, value in ENCODER_FIELDS]
)
def test_what_is_no_encoder(field, value):
    with pytest.raises(Exception) as caught:
        VQDNAConfig.from_preset("tiny", **{field: value})
    assert "Strict" in type(caught.value).__name__ or isinstance(caught.value, REFUSED)
    assert field in str(caught.value) or str(value) in str(caught.value)


DATA_CALLS: dict[str, tuple[Callable[[World], object], str]] = {
    "no corpus": (lambda world: Corpus.load(world["task"]), "planted"),
    "no genome codes": (lambda world: GenomeCodes.load(world["corpus"]), "corpus"),
    "no such contig": (lambda world: GenomeCodes.load(world["contigs"]).ids("chr1", 0, 9), "chr1"),
    "beyond the contig": (lambda world: GenomeCodes.load(world["contigs"]).ids("c1", 0, 10**9), "1000000000"),
    "before the contig": (lambda world: GenomeCodes.load(world["contigs"]).ids("c1", -5, 9), "-5"),
    "backwards": (lambda world: GenomeCodes.load(world["contigs"]).ids("c1", 9, 5), "9"),
    "another vocabulary": (lambda world: GenomeCodes.load(world["contigs"]).check_fingerprint("0" * 32), "0" * 32),
    "no task": (lambda world: load_task_files(world.root / "nothing"), "nothing"),
    "no problem": (lambda world: load_task_files(world["task"], problem="regressions"), "regressions"),
    "scores of another length": (lambda world: compute_scores(np.zeros(3), np.zeros(4)), "3"),
    "scores of nan": (lambda world: compute_scores(np.array([np.nan, 1.0]), np.array([0, 1])), "nan"),
    "no scores": (lambda world: compute_scores(np.array([]), np.array([])), ""),
    "no preset": (lambda world: VQDNACodecConfig.from_preset("huge"), "huge"),
    "no codec's file": (lambda world: VQDNACodecModel.from_pretrained(world["task"]), "planted"),
    "no checkpoint": (lambda world: __import__("vqdna_hf").checkpoint("no-such"), "no-such"),
}


@pytest.mark.parametrize("kind", DATA_CALLS)
def test_what_data_and_scores_refuse(world, kind):
    call, word = DATA_CALLS[kind]
    with pytest.raises((*REFUSED, KeyError)) as caught:
        call(world)
    assert word in str(caught.value)


ODD_BUT_RIGHT: dict[str, tuple[object, object]] = {
    "lower case": ("acgtn", "ACGTN"),
    "RNA": ("ACGU", "ACGT"),
    "IUPAC letters": ("ACRYN", "ACNNN"),
    "a tuple": (("ACGT", "TTGA"), ["ACGT", "TTGA"]),
}


@pytest.mark.parametrize("kind", ODD_BUT_RIGHT)
def test_what_looks_odd_and_is_right(tokenizer, kind):
    value, same = ODD_BUT_RIGHT[kind]
    assert tokenizer(value)["input_ids"] == tokenizer(same)["input_ids"]


def test_nothing_at_all_is_no_error(tokenizer):
    assert tokenizer("")["input_ids"] == [tokenizer.cls_token_id, tokenizer.sep_token_id]
    assert tokenizer([])["input_ids"] == []
