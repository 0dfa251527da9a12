"""What a tokenizer is given: every form of input is read as it is meant or refused in a line that helps."""

import copy
import pickle

import datasets
import numpy as np
import pandas as pd
import pytest
import torch

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer


@pytest.fixture(scope="module")
def tokenizer() -> VQDNATokenizer:
    torch.manual_seed(0)
    return VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")))


@pytest.fixture
def bases(tokenizer) -> VQDNATokenizer:
    return VQDNATokenizer(codec=tokenizer.codec, return_nucleotide_ids=True)


# forms


TEXTS = ["ACGTTGCA", "GGC"]


def test_containers_that_are_no_list(tokenizer):
    expected = tokenizer(TEXTS)
    assert tokenizer(tuple(TEXTS)) == expected
    column = datasets.Dataset.from_dict({"sequence": TEXTS})["sequence"]
    for container in (np.array(TEXTS), np.array(TEXTS, dtype=object), pd.Series(TEXTS), column, iter(TEXTS)):
        with pytest.raises(ValueError, match=rf"`text` is a {type(container).__name__}.*give list\(text\)"):
            tokenizer(container)
        with pytest.raises(ValueError, match=r"`text_pair` is a .*give list\(text_pair\)"):
            tokenizer(TEXTS, container)
    for container in (np.array(TEXTS), np.array(TEXTS, dtype=object), pd.Series(TEXTS), column):
        assert tokenizer(list(container)) == expected
    assert tokenizer(np.str_(TEXTS[0])) == tokenizer(TEXTS[0])


@pytest.mark.parametrize(
    "container, remedy",
    [
        ({"sequence": TEXTS}, "give one of its columns"),
        (pd.DataFrame({"sequence": TEXTS}), "give one of its columns"),
        (datasets.Dataset.from_dict({"sequence": TEXTS}), "give one of its columns"),
        (set(TEXTS), "no order"),
        (np.arange(4), "encode_nucleotides"),
        (torch.arange(4), "encode_nucleotides"),
    ],
)
def test_containers_that_a_list_would_not_mend(tokenizer, container, remedy):
    with pytest.raises(ValueError, match=remedy):
        tokenizer(container)


@pytest.mark.parametrize(
    "wrong, words",
    [
        (b"ACGT", ["bytes", r"sequence\.decode\(\)"]),
        (None, ["NoneType", "missing"]),
        (float("nan"), ["float", "missing"]),
        (pd.NA, ["NAType", "missing"]),
        (3, ["int 3"]),
        ([["A"], ["C"]], ["list", "nested too deep"]),
    ],
)
def test_items_that_are_no_strings(tokenizer, wrong, words):
    for word in words:
        with pytest.raises(ValueError, match=word):
            tokenizer(["ACGT", wrong] if not isinstance(wrong, list) else [wrong])
        if not isinstance(wrong, list):
            with pytest.raises(ValueError, match=f"sequence 1 of the batch.*{word}|{word}"):
                tokenizer(["ACGT", "ACGT"], ["ACGT", wrong])
    if isinstance(wrong, bytes):
        with pytest.raises(ValueError, match=r"the sequence is bytes.*decode"):
            tokenizer(wrong)


def test_a_long_wrong_item_is_shortened(tokenizer):
    with pytest.raises(ValueError) as error:
        tokenizer([b"ACGT" * 10_000])
    assert len(str(error.value)) < 200


def test_pairs_of_different_forms(tokenizer):
    with pytest.raises(ValueError, match="one sequence, but `text_pair` is a batch of 2"):
        tokenizer("ACGT", TEXTS)
    with pytest.raises(ValueError, match="batch of 2"):
        tokenizer(TEXTS, "ACGT")
    with pytest.raises(ValueError, match="is_split_into_words"):
        tokenizer([["AC", "GT", "AA"]])


@pytest.mark.parametrize(
    "call",
    [
        (["AC", "GT"], ["A", "C"]),
        ([["AC", "GT"]], [["A", "C"]]),
        ([(["AC", "GT"], ["A", "C"])],),
    ],
)
def test_pairs_in_words_are_refused_in_a_line(tokenizer, call):
    with pytest.raises(ValueError, match="Pairs cannot be given in words"):
        tokenizer(*call, is_split_into_words=True)


def test_words_that_are_no_strings(tokenizer):
    for wrong in ([3, 4], [["AC", None]], ["AC", b"GT"]):
        with pytest.raises(ValueError, match="Row 0 .*list of strings"):
            tokenizer(wrong, is_split_into_words=True)


# characters


def kmers(text: str, k: int) -> str:
    return " ".join(text[i : i + k] for i in range(len(text) - k + 1))


@pytest.mark.parametrize("k", [2, 3, 6])
def test_overlapping_kmers_are_known_for_what_they_are(tokenizer, k):
    text = "ACGTTGCAACGGT"
    for spelled in (kmers(text, k), kmers(text * 300, k)):
        with pytest.raises(ValueError, match=f"overlapping {k}-mers") as error:
            tokenizer(spelled)
        assert "Remove spaces" not in str(error.value)
    words = kmers(text, k).split()
    assert words[0] + "".join(word[-1] for word in words[1:]) == text


@pytest.mark.parametrize("spaced", ["ACGTTG CAACGG TTGACC", "ACGT ACG", "A C G T", "AC CA GT", "ACGT\nACGT", " ACGT"])
def test_other_spaces_can_be_removed(tokenizer, spaced):
    with pytest.raises(ValueError, match="white space.*Remove spaces"):
        tokenizer(spaced)


@pytest.mark.parametrize(
    "text, words",
    [
        ("\ufeffACGT", ["position 0", "byte order mark", "utf-8-sig"]),
        ("\xef\xbb\xbfACGT", ["position 0", "byte order mark"]),
        ("AC\u200bGT", ["position 2", "ZERO WIDTH SPACE", "cannot be seen"]),
        ("ACGT\x00", ["position 4", "control character"]),
        ("\u0410CGT", ["position 0", "CYRILLIC CAPITAL LETTER A"]),
        (">chr1\nACGT", ["position 0", "FASTA"]),
        ("@read1", ["FASTQ"]),
        ("ACGT,0", ["position 4", "separates columns"]),
        ("ACGT;0", ["separates columns"]),
        ('"ACGT"', ["quotation mark"]),
        ("AC-GT", ["gap"]),
        ("[CLS]ACGT[SEP]", ["position 0", r"\[CLS\] is put there by the tokenizer"]),
        ("ACGT[PAD]", ["position 4", r"\[PAD\]"]),
        ("AC<mask>GT", ["position 2", r"written \[MASK\]"]),
        ("AC[mask]GT", ["position 2", r"written \[MASK\]"]),
        ("MEEPQSDPSV", ["protein"]),
    ],
)
def test_characters_are_told_apart(tokenizer, text, words):
    for word in words:
        with pytest.raises(ValueError, match=word):
            tokenizer(text)


# nucleotide ids in


@pytest.mark.parametrize(
    "ids, words",
    [
        ([0, 1, 9], "has 9 at position 2"),
        ([0, -1], "has -1 at position 1"),
        ([256], "has 256 at position 0"),
        ([6, 0, 1, 7], "has 6 at position 0"),
        ([0.5, 1], "whole numbers"),
        ([True, False], "whole numbers"),
        ([[0, 1]], "one-dimensional"),
        ("ACGT", "go to the tokenizer itself"),
    ],
)
def test_encode_nucleotides_takes_bases_alone(tokenizer, ids, words):
    with pytest.raises(ValueError, match=f"sequence 1.*{words}"):
        tokenizer.encode_nucleotides([np.array([0, 1]), ids if isinstance(ids, str) else np.array(ids)])


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64, list, torch.tensor])
def test_encode_nucleotides_takes_every_kind_of_integers(tokenizer, kind):
    rows = [[0, 1, 2, 3, 4, 5, 0], []]
    expected = tokenizer(["ACGTN[MASK]A", ""], add_special_tokens=False)["input_ids"]
    if isinstance(kind, type) and issubclass(kind, np.generic):
        rows = [np.array(row, dtype=kind) for row in rows]
    elif kind is torch.tensor:
        rows = [torch.tensor(row, dtype=torch.int64) for row in rows]
    assert [row.tolist() for row in tokenizer.encode_nucleotides(rows)] == expected


# nucleotide ids out: the whole surface speaks of them


def test_nucleotide_ids_everywhere(bases):
    ids = bases.encode("ACGTN[MASK]")
    assert ids == [6, 0, 1, 2, 3, 4, 5, 7] == bases("ACGTN[MASK]")["nucleotide_ids"]
    tokens = ["[CLS]", "A", "C", "G", "T", "[UNK]", "[MASK]", "[SEP]"]
    assert bases.tokenize("ACGTN[MASK]", add_special_tokens=True) == tokens == bases.convert_ids_to_tokens(ids)
    assert bases.tokenize("ACGT") == list("ACGT")
    assert bases.convert_tokens_to_ids(tokens) == ids
    assert bases.convert_tokens_to_ids("[PAD]") == 8 and bases.convert_ids_to_tokens(8) == "[PAD]"
    assert bases.convert_tokens_to_ids(["N", "c0.0", "x"]) == [4, 4, 4]
    assert bases.convert_ids_to_tokens(ids, skip_special_tokens=True) == list("ACGT")
    assert bases.decode(ids) == "[CLS]ACGTN[MASK][SEP]" == bases.convert_tokens_to_string(tokens)
    assert bases.batch_decode([ids, [0]], skip_special_tokens=True) == ["ACGTN", "A"]
    assert bases.build_inputs_with_special_tokens([0, 1]) == [6, 0, 1, 7]
    assert bases.num_special_tokens_to_add() == 2
    assert bases.get_special_tokens_mask([0, 1]) == [1, 0, 0, 1]
    assert bases.get_special_tokens_mask([6, 0, 3, 7, 8], already_has_special_tokens=True) == [1, 0, 0, 1, 1]
    assert set(bases.all_special_ids) == {4, 5, 6, 7, 8} == set(bases.get_added_vocab().values())
    padded = bases.pad([{"nucleotide_ids": ids}, {"nucleotide_ids": [6, 7]}])
    assert padded["nucleotide_ids"][1] == [6, 7] + [8] * 6 and padded["attention_mask"][1] == [1, 1] + [0] * 6
    assert bases.encode("ACGTACGT", truncation=True, max_length=4) == [6, 0, 1, 7]


@pytest.mark.parametrize("wrong", [-1, 9, 133])
def test_what_is_no_nucleotide_id(bases, wrong):
    with pytest.raises(ValueError, match=str(wrong)):
        bases.decode([0, wrong])
    with pytest.raises(IndexError, match=str(wrong)):
        bases.convert_ids_to_tokens([0, wrong])


def test_calls_that_need_code_ids(bases):
    with pytest.raises(ValueError, match="prepare_for_model"):
        bases.prepare_for_model([0, 1])
    with pytest.raises(ValueError, match="text_target"):
        bases("ACGT", text_target="ACGT")
    with pytest.raises(ValueError, match="is a pair"):
        bases.encode("ACGT", "AC")


# the rest of the surface


def test_code_ids_everywhere(tokenizer):
    ids = tokenizer.encode("ACGTN[MASK]")
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert tokenizer.tokenize("ACGTN[MASK]", add_special_tokens=True) == tokens
    assert (
        tokenizer.convert_ids_to_tokens(np.array(ids)) == tokens == tokenizer.convert_ids_to_tokens(torch.tensor(ids))
    )
    assert tokenizer.convert_ids_to_tokens(np.int64(4)) == "[MASK]"
    assert tokenizer.get_special_tokens_mask(ids, already_has_special_tokens=True) == [1, 0, 0, 0, 0, 1, 1, 1]
    assert tokenizer.get_special_tokens_mask([7, 8], [9]) == [1, 0, 0, 1, 0, 1]
    assert tokenizer.build_inputs_with_special_tokens([7, 8], [9]) == [2, 7, 8, 3, 9, 3]
    assert tokenizer.num_special_tokens_to_add(pair=True) == 3
    assert tokenizer.prepare_for_model([7, 8, 9], truncation=True, max_length=4)["input_ids"] == [2, 7, 8, 3]
    assert tokenizer.get_added_vocab() == {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    both = tokenizer("ACGT", text_target="AC")
    assert both["labels"] == tokenizer.encode("AC") and both["input_ids"] == tokenizer.encode("ACGT")
    assert tokenizer.encode("ACGT", "AC") == tokenizer("ACGT", "AC")["input_ids"]
    assert tokenizer.encode("ACGT", return_tensors="pt").shape == (1, 6)


def test_calls_that_make_no_sense_here(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="chat"):
        tokenizer.apply_chat_template([{"role": "user", "content": "ACGT"}])
    with pytest.raises(AttributeError, match="train_new_from_iterator"):
        tokenizer.train_new_from_iterator(["ACGT"], 10)
    with pytest.raises(ValueError, match="legacy_format"):
        tokenizer.save_pretrained(tmp_path, legacy_format=False)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        tokenizer.save_pretrained(tmp_path / "file")
    with pytest.raises(ValueError, match=r"Cannot decode .*2\.5"):
        tokenizer.decode([2.5])


def test_copies_are_the_same(bases):
    for other in (pickle.loads(pickle.dumps(bases)), copy.deepcopy(bases), copy.copy(bases)):
        assert other(["ACGT"]) == bases(["ACGT"]) and other.pad_token_id == 0
        with pytest.raises(ValueError, match="learned"):
            other.pad_token = "<pad>"


def hashes_of(tokenizer: VQDNATokenizer) -> dict[str, str]:
    """Of each part of what is pickled: older releases of `datasets` hash a whole by the identity of its parts, too."""
    return {name: datasets.fingerprint.Hasher.hash(part) for name, part in tokenizer.__getstate__().items()}


def test_a_warning_changes_no_hash(tokenizer):
    short = VQDNATokenizer(codec=tokenizer.codec, model_max_length=4)
    before = hashes_of(short)
    short("ACGTACGT")  # longer than the model's longest, which is said once
    assert hashes_of(short) == before
