"""Logos: which bases stand around a code, and how many bits they tell."""

import numpy as np
import pytest

from vqdna_hf.analysis.codebook.logos import base_frequencies, code_logos, letter_heights
from vqdna_hf.analysis.codebook.rows import Encoded


EVEN = np.full(4, 0.25)


def test_bases_are_counted_around_every_occurrence_and_never_across_rows():
    # rows ACGT and GGN; code 1 at the C of the first, the last T, and the second G; the N's code counts for nothing
    bases = np.array([0, 1, 2, 3, 2, 2, 4], dtype=np.uint8)
    codes = np.array([[0], [1], [0], [1], [0], [1], [1]])
    encoded = Encoded(bases, codes, np.array([0, 4, 7]))
    logo, other = code_logos(encoded, 0, [3, 3, 0], number=3, halo=1)
    assert (logo["code"], logo["uses"], other["code"], other["uses"]) == (0, 3, 1, 3)
    assert other["counts"] == [
        [1, 0, 2, 0],  # A before C, G before T, G before G
        [0, 1, 1, 1],
        [0, 0, 1, 0],  # G behind C; the row ends behind T; N is no base
    ]
    assert base_frequencies(encoded).tolist() == [1 / 6, 1 / 6, 3 / 6, 1 / 6]


def test_the_most_used_codes_come_first():
    codes = np.repeat([0, 1, 2], [2, 5, 3])[:, None]
    encoded = Encoded(np.zeros(10, dtype=np.uint8), codes, np.array([0, 10]))
    assert [logo["code"] for logo in code_logos(encoded, 0, [2, 5, 3], number=2, halo=1)] == [1, 2]


def test_information_is_two_bits_less_the_correction():
    heights = letter_heights([[1000, 0, 0, 0]], EVEN)
    assert heights[0].tolist() == pytest.approx([2 - 3 / (2 * np.log(2) * 1000), 0, 0, 0])
    assert letter_heights([[250, 250, 0, 0]], EVEN)[0].tolist() == pytest.approx([0.4978, 0.4978, 0, 0], abs=1e-4)


def test_what_the_background_has_too_tells_nothing():
    background = np.array([0.4, 0.1, 0.1, 0.4])
    assert (letter_heights([[400, 100, 100, 400], [4, 1, 1, 4]], background) == 0).all()
    assert letter_heights([[0, 1000, 0, 0]], background)[0, 1] == pytest.approx(np.log2(10), abs=0.01)


def test_small_samples_tell_nothing_on_average():
    rng = np.random.default_rng(0)
    for size in (20, 100):
        counts = rng.multinomial(size, EVEN, 4000)
        shares = counts / size
        raw = (shares * np.log2(np.where(shares > 0, shares, 1) / 0.25)).sum(axis=1).mean()
        assert raw == pytest.approx(3 / (2 * np.log(2) * size), rel=0.1)
    assert (letter_heights([[0, 0, 0, 0], [1, 0, 0, 0]], EVEN) == 0).all()
