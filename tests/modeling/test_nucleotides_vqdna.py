"""Letters to nucleotide ids: the input policy as a table, places in errors, inline tokens, and both strands."""

import numpy as np
import pytest
import torch

from vqdna_hf.modeling.nucleotides_vqdna import (
    BASES,
    COMPLEMENT,
    IUPAC_UNKNOWN,
    NUM_NUCLEOTIDE_IDS,
    bases_to_ids,
    ids_to_bases,
    parse_sequence,
    reverse_complement,
    sequence_mask,
)


POLICY = {"A": 0, "C": 1, "G": 2, "T": 3, "U": 3, **dict.fromkeys("NRYSWKMBDHV", 4)}


@pytest.mark.parametrize(("letter", "expected"), POLICY.items())
def test_every_allowed_letter_in_both_cases(letter, expected):
    for text in (letter, letter.lower()):
        assert bases_to_ids(text).tolist() == [expected]
        assert bases_to_ids(text.encode()).tolist() == [expected]


def test_every_other_byte_is_refused_by_name_and_place():
    allowed = {*POLICY, *(letter.lower() for letter in POLICY)}
    refused = [chr(code) for code in range(256) if chr(code) not in allowed]
    assert len(refused) == 256 - 32
    for character in refused:
        with pytest.raises(ValueError, match="position 3 ") as error:
            bases_to_ids("ACG" + character + "T")
        assert repr(character) in str(error.value)
        with pytest.raises(ValueError, match="position 3 "):
            bases_to_ids(b"ACG" + character.encode("latin-1") + b"T")


@pytest.mark.parametrize("character", [" ", "\n", "\r", "\t", "\u00a0", "\u2003"])
def test_white_space_has_its_own_message(character):
    with pytest.raises(ValueError, match="white space .* at position 2 "):
        bases_to_ids("AC" + character + "GT")


@pytest.mark.parametrize("character", ["\u0410", "\U0001f9ec", "\uff21", "-", "*", "?", "."])
def test_letters_that_only_look_right_are_refused(character):
    """The Cyrillic and the full-width A look like A; letters beyond Latin-1 must not move the place in the message."""
    with pytest.raises(ValueError, match=r"position 11 \(0-based\)") as error:
        bases_to_ids("AAAAC" + character, offset=6)
    assert character in str(error.value)


def test_error_names_the_sequence_and_the_first_of_several():
    with pytest.raises(ValueError, match="chr7 of x.fa has 'Q' at position 1 "):
        bases_to_ids("AQCZ", where="chr7 of x.fa")


def test_empty_and_type():
    assert bases_to_ids("").shape == (0,)
    assert bases_to_ids("ACGT").dtype == np.uint8
    assert ids_to_bases(np.zeros(0, dtype=np.uint8)) == ""


@pytest.mark.parametrize(
    ("text", "ids", "starts"),
    [
        ("", [], None),
        ("acgu", [0, 1, 2, 3], None),
        ("A[MASK]C", [0, 5, 1], [0, 1, 7, 8]),
        ("[MASK][MASK]", [5, 5], [0, 6, 12]),
        ("[UNK]A", [4, 0], [0, 5, 6]),
        ("AC[UNK]N[MASK]", [0, 1, 4, 4, 5], [0, 1, 2, 7, 8, 14]),
    ],
)
def test_parse_sequence(text, ids, starts):
    found, places = parse_sequence(text)
    assert found.tolist() == ids and found.dtype == np.uint8
    assert places is None if starts is None else places.tolist() == starts


def test_spans_of_parse_sequence_cover_the_text():
    text = "ACG[MASK]nn[UNK]T[MASK]"
    ids, starts = parse_sequence(text)
    pieces = [text[start:end] for start, end in zip(starts[:-1], starts[1:])]
    assert "".join(pieces) == text
    assert len(pieces) == len(ids) and pieces[3] == "[MASK]" and pieces[6] == "[UNK]"


@pytest.mark.parametrize(
    ("text", "position"),
    [("A[mask]C", 1), ("AC[CLS]", 2), ("A[MASK]C-", 8), ("A[MASK", 1), ("[MASK]A C", 7), ("[MASK][", 6), ("A]", 1)],
)
def test_places_in_errors_are_those_of_the_text(text, position):
    with pytest.raises(ValueError, match=f"my read has .* at position {position} "):
        parse_sequence(text, where="my read")


@pytest.mark.parametrize("value", [None, b"ACGT", 3, ["ACGT"]])
def test_only_strings_are_parsed(value):
    with pytest.raises(ValueError, match=type(value).__name__):
        parse_sequence(value)


def test_round_trips():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 5, 1000).astype(np.uint8)
    assert np.array_equal(bases_to_ids(ids_to_bases(ids)), ids)
    assert ids_to_bases(bases_to_ids("acguRYN")) == "ACGTNNN"
    assert ids_to_bases(ids) == ids_to_bases(ids.astype(np.int64))


def test_reverse_complement():
    assert ids_to_bases(reverse_complement(bases_to_ids("AACGTN"))) == "NACGTT"
    ids = np.random.default_rng(1).integers(0, NUM_NUCLEOTIDE_IDS, (3, 50)).astype(np.uint8)
    assert np.array_equal(reverse_complement(reverse_complement(ids)), ids)
    assert [BASES[COMPLEMENT[i]] for i in range(4)] == ["T", "G", "C", "A"]
    assert COMPLEMENT[4:].tolist() == [4, 5, 6, 7, 8]  # what is no base stays what it is
    palindrome = bases_to_ids("GAATTC")
    assert np.array_equal(reverse_complement(palindrome), palindrome)


def test_sequence_mask():
    ids = torch.tensor([[6, 0, 4, 5, 7, 8]])
    assert sequence_mask(ids, None).tolist() == [[False, True, True, True, False, False]]
    attention = torch.tensor([[1, 1, 0, 1, 1, 1]])
    assert sequence_mask(ids, attention).tolist() == [[False, True, False, True, False, False]]


def test_iupac_letters_are_complete():
    assert sorted(BASES + "U" + IUPAC_UNKNOWN) == sorted(POLICY)
