"""Hand-made vocabularies: what their tokens are, that nothing is dropped, and that a saved one needs no package."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from tokenizers import Regex, pre_tokenizers
from transformers import AutoTokenizer

from vqdna_hf.baselines import (
    bpe_tokenizer,
    bpe_tokenizer_from_file,
    build_tokenizer,
    character_tokenizer,
    kmer_tokenizer,
    token_usage,
    tokenizer_kind,
)
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def dna(length: int, seed: int = 0) -> str:
    return ids_to_bases(np.random.default_rng(seed).integers(0, 4, length).astype(np.uint8))


def kmers(text: str, k: int) -> list[str]:
    return [text[i : i + k] for i in range(len(text) - k + 1)]


@pytest.fixture(scope="module")
def bpe():
    return bpe_tokenizer([dna(400, seed) for seed in range(20)], vocab_size=60)


@pytest.fixture(params=["character", "kmer-3", "kmer-6", "kmer-3-apart", "kmer-6-apart", "bpe"])
def tokenizer(request, bpe):
    kind, *rest = request.param.split("-")
    if kind == "kmer":
        return kmer_tokenizer(int(rest[0]), overlapping="apart" not in rest)
    return bpe if kind == "bpe" else character_tokenizer()


# what holds for all


def test_special_tokens_come_first_and_stand_around(tokenizer):
    assert tokenizer.convert_ids_to_tokens(range(5)) == SPECIAL
    ids = tokenizer(dna(20))["input_ids"]
    assert ids[0] == 2 and ids[-1] == 3 and min(ids[1:-1]) > 4
    assert tokenizer("")["input_ids"] == [2, 3]
    assert tokenizer("ACGT[MASK]ACGT")["input_ids"].count(tokenizer.mask_token_id) == 1
    assert set(tokenizer(["ACGT", dna(9)], padding=True)) == {"input_ids", "attention_mask"}


def test_case_and_uracil_do_not_matter(tokenizer):
    text = dna(101)
    wanted = tokenizer(text)["input_ids"]
    assert tokenizer(text.lower())["input_ids"] == wanted
    assert tokenizer(text.replace("T", "U"))["input_ids"] == tokenizer(text.lower().replace("t", "u"))["input_ids"]
    assert tokenizer(text.replace("T", "U"))["input_ids"] == wanted


@pytest.mark.parametrize("length", [1, 2, 3, 5, 6, 7, 12, 13, 100])
def test_known_bases_round_trip(tokenizer, length):
    text = dna(length, seed=length)
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == f"[CLS]{text}[SEP]"


def test_a_saved_tokenizer_is_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = dna(50) + "N" + dna(33, seed=1) + "rACg"
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == tokenizer.decode(tokenizer(text)["input_ids"])
    assert tokenizer_kind(loaded) == tokenizer_kind(tokenizer)
    assert loaded.get_vocab() == tokenizer.get_vocab()


def test_time_is_linear(tokenizer):
    def seconds(length: int) -> float:
        text, taken = dna(length), []
        for _ in range(3):
            begun = time.perf_counter()
            tokenizer(text)
            taken.append(time.perf_counter() - begun)
        return min(taken)

    # a sixteen times longer string takes 256 times as long where time is quadratic
    assert seconds(16_000) < 80 * seconds(1000) + 0.02


def test_another_program_needs_no_package_of_ours(tmp_path):
    kmer_tokenizer(3).save_pretrained(tmp_path)
    program = (
        "import json, sys; from transformers import AutoTokenizer; "
        f"ids = AutoTokenizer.from_pretrained({str(tmp_path)!r})('ACGTA')['input_ids']; "
        "print(json.dumps([ids, any(name.startswith('vqdna') for name in sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    ids, has_ours = json.loads(done.stdout.splitlines()[-1])
    assert ids == kmer_tokenizer(3)("ACGTA")["input_ids"] and not has_ours


# each kind


def test_characters():
    tokenizer = character_tokenizer()
    assert tokenizer("ACGTNR-")["input_ids"] == [2, 5, 6, 7, 8, 1, 1, 1, 3]
    assert len(tokenizer) == 9 and tokenizer_kind(tokenizer) == {"kind": "character", "k": 1, "stride": 1}


@pytest.mark.parametrize("k", range(2, 9))
def test_overlapping_kmers_begin_at_every_base(k):
    tokenizer, text = kmer_tokenizer(k), dna(60, seed=k)
    assert len(tokenizer) == 9 + 4**k
    assert tokenizer.tokenize(text) == kmers(text, k)
    assert tokenizer.tokenize(text[:k]) == [text[:k]]
    assert tokenizer.tokenize(text[: k - 1]) == list(text[: k - 1])
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert [tuple(pair) for pair in offsets] == [(i, i + 1) for i in range(60 - k + 1)]


@pytest.mark.parametrize("unknown", ["N", "n", "R", "-", " ", "\n", "É"])
def test_an_unknown_base_makes_every_kmer_over_it_unknown(unknown):
    left, right = dna(20), dna(15, seed=1)
    tokens = kmer_tokenizer(4).tokenize(left + unknown + right)
    assert tokens == kmers(left, 4) + ["[UNK]"] * 4 + kmers(right, 4)
    # at the ends fewer k-mers stand over it, in a short string none does
    assert kmer_tokenizer(4).tokenize(unknown + left) == ["[UNK]"] + kmers(left, 4)
    assert kmer_tokenizer(4).tokenize(left + unknown) == kmers(left, 4) + ["[UNK]"]
    assert kmer_tokenizer(4).tokenize(f"A{unknown}C") == ["A", "[UNK]", "C"]


def test_kmers_are_not_joined_over_what_is_unknown():
    tokenizer = kmer_tokenizer(3)
    ids = tokenizer("ACGTNACGTA")["input_ids"]
    assert tokenizer.decode(ids) == "[CLS]ACGT[UNK][UNK][UNK]ACGTA[SEP]"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "ACGTACGTA"


def test_kmers_side_by_side_leave_single_bases():
    tokenizer = kmer_tokenizer(3, overlapping=False)
    assert tokenizer.tokenize("ACGTACGT") == ["ACG", "TAC", "G", "T"]
    assert tokenizer.tokenize("ACGTNACGTAR") == ["ACG", "T", "[UNK]", "ACG", "T", "A", "[UNK]"]
    encoded = tokenizer("ACGTAC", add_special_tokens=False, return_offsets_mapping=True)
    assert [tuple(pair) for pair in encoded["offset_mapping"]] == [(0, 3), (3, 6)]
    assert tokenizer_kind(tokenizer) == {"kind": "kmer", "k": 3, "stride": 3}
    assert tokenizer_kind(kmer_tokenizer(3)) == {"kind": "kmer", "k": 3, "stride": 1}


def test_bpe_learns_what_repeats_and_nothing_unknown():
    tokenizer = bpe_tokenizer(["ACGGT" * 30 + "NN" + "acggu" * 30 + "RYKM"] * 3, vocab_size=16)
    words = set(tokenizer.get_vocab()) - set(SPECIAL)
    assert {"A", "C", "G", "T"} <= words and len(words) == 11
    assert all(set(word) <= set("ACGT") for word in words)
    assert len(tokenizer.tokenize("ACGGT" * 20)) < 25
    assert tokenizer.tokenize("ANNC") == ["A", "[UNK]", "[UNK]", "C"]


def test_bpe_is_deterministic(bpe):
    again = bpe_tokenizer((dna(400, seed) for seed in range(20)), vocab_size=60)
    assert again.backend_tokenizer.to_str() == bpe.backend_tokenizer.to_str() and len(bpe) == 60


def test_a_bpe_keeps_the_ids_of_its_file(tmp_path, bpe):
    content = json.loads(bpe.backend_tokenizer.to_str())
    # as in DNABERT-2's file: another order of the special tokens, no normalizer
    order = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    content["normalizer"], content["post_processor"] = None, None
    content["model"]["vocab"] |= {token: index for index, token in enumerate(order)}
    content["added_tokens"] = [token | {"id": order.index(token["content"])} for token in content["added_tokens"]]
    (tmp_path / "theirs.json").write_text(json.dumps(content))
    tokenizer = bpe_tokenizer_from_file(tmp_path / "theirs.json")
    assert tokenizer.convert_tokens_to_ids(order) == list(range(5))
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id) == (3, 4)
    assert tokenizer(dna(99))["input_ids"] == [1, *bpe(dna(99))["input_ids"][1:-1], 2]
    assert tokenizer(dna(99).lower())["input_ids"] == tokenizer(dna(99))["input_ids"]
    assert tokenizer_kind(tokenizer) == {"kind": "bpe", "k": None, "stride": None, "file": "theirs.json"}


def test_dnabert2_reads_as_its_own_file_does(data_dir):
    from tokenizers import Tokenizer

    path = data_dir / "baselines" / "dnabert2_bpe_tokenizer.json"
    tokenizer, theirs = bpe_tokenizer_from_file(path), Tokenizer.from_file(str(path))
    assert tokenizer.convert_tokens_to_ids(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]) == [0, 1, 2, 3, 4]
    for seed in range(20):
        text = dna(50 + 20 * seed, seed) + ("N" if seed % 2 else "")
        assert tokenizer(text)["input_ids"] == theirs.encode(text).ids
    assert len(tokenizer) == 4096


# usage, and what is refused


def silent_tokenizer():
    """It takes all letters for what stands between tokens."""
    tokenizer = character_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[A-Z]"), "removed")
    return tokenizer


def test_usage_counts_tokens():
    usage = token_usage(character_tokenizer(), ["AACC", "AN"])
    assert usage == {"usage": 0.5, "tokens_per_base": 1.0, "unknown": pytest.approx(1 / 6)}
    usage = token_usage(kmer_tokenizer(2, overlapping=False), iter(["ACGTA"] * 600))
    assert usage == {"usage": 3 / 20, "tokens_per_base": pytest.approx(0.6), "unknown": 0.0}
    with pytest.raises(ValueError, match="no bases"):
        token_usage(character_tokenizer(), [])
    with pytest.raises(ValueError, match="gives no token for 2 sequences of DNA"):
        token_usage(silent_tokenizer(), ["AACC", "A"])
    unknowing = silent_tokenizer()
    unknowing.backend_tokenizer.pre_tokenizer = character_tokenizer().backend_tokenizer.pre_tokenizer
    unknowing.unk_token = None
    assert token_usage(unknowing, ["AACC"])["unknown"] == 0.0


def test_a_foreign_tokenizer_is_of_another_kind(bpe):
    from transformers import PreTrainedTokenizerFast

    foreign = PreTrainedTokenizerFast(tokenizer_object=bpe.backend_tokenizer)
    assert tokenizer_kind(foreign)["kind"] == "other"


def test_what_cannot_be_built_is_refused(tmp_path):
    for arguments, message in [
        ({"kind": "words"}, "no kind of tokenizer 'words'"),
        ({"kind": "kmer", "k": 1}, "k is 1"),
        ({"kind": "kmer", "k": 9}, "k is 9"),
        ({"kind": "kmer", "k": 2.5}, "k is 2.5"),
        ({"kind": "bpe", "sequences": ["ACGT"], "vocab_size": 20.5}, "vocab_size is 20.5"),
        ({"kind": "bpe", "sequences": "ACGT"}, "give a list"),
        ({"kind": "bpe", "sequences": ["ACGT"], "vocab_size": 8}, "vocab_size is 8"),
        ({"kind": "bpe", "sequences": ["NNNN"]}, "no pair of known bases"),
        ({"kind": "bpe", "file": tmp_path / "none.json"}, "none.json is no tokenizer.json"),
    ]:
        with pytest.raises(ValueError, match=message):
            build_tokenizer(**arguments)
    character_tokenizer().backend_tokenizer.save(str(tmp_path / "words.json"))
    with pytest.raises(ValueError, match="a BPE is needed"):
        build_tokenizer("bpe", file=tmp_path / "words.json")
