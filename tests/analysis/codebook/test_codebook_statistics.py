"""Usage, changed bases and strands, on codes whose answers are known."""

import numpy as np
import pytest

from vqdna_hf.analysis.codebook.information import word_information
from vqdna_hf.analysis.codebook.rows import Encoded, encode_rows
from vqdna_hf.analysis.codebook.statistics import base_change, code_usage, level_radius, strand_consistency
from vqdna_hf.modeling.nucleotides_vqdna import reverse_complement


class WordCodec:
    """Stands in for a codec with one level: the code of a base is the word of it and the two behind it."""

    class config:
        num_levels, quantized_layers, stem_kernel_size, kernel_size, halo = 1, [1], 1, 5, 2

    def __init__(self, first: int = 0, last: int = 2):
        self.first, self.last = first, last

    def encode_sequences(self, rows):
        return [self.encode(np.asarray(row, dtype=np.int64)) for row in rows]

    def encode(self, row):
        padded = np.concatenate([np.zeros(5, dtype=np.int64), row, np.zeros(5, dtype=np.int64)])
        code = np.zeros(len(row), dtype=np.int64)
        for offset in range(self.first, self.last + 1):
            code = code * 4 + padded[5 + offset : 5 + offset + len(row)]
        return code[:, None]


def random_rows(count: int, length: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 4, (count, length)).astype(np.uint8))


def encode(codec, rows) -> Encoded:
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Encoded(np.concatenate(rows), np.concatenate(codec.encode_sequences(rows)), starts)


def mirror(codec, rows) -> np.ndarray:
    return np.concatenate([part[::-1] for part in codec.encode_sequences([reverse_complement(row) for row in rows])])


def test_usage_counts_codes_of_known_bases():
    encoded = Encoded(np.array([0, 1, 4, 3]), np.array([[0, 2], [0, 2], [1, 1], [0, 0]]), np.array([0, 4]))
    first, second = code_usage(encoded, [2, 4])
    assert (first["counts"], first["used"], first["share_used"], first["perplexity"]) == ([3, 0], 1, 0.5, 1.0)
    assert second["counts"] == [1, 0, 2, 0]


def test_a_code_tells_the_bases_of_its_word_and_no_others():
    """The code of a base is the word of it and the two behind it: two bits about each of the three."""
    encoded = encode(WordCodec(), random_rows(40, 500))
    found = word_information(encoded, [64], reach=4)
    assert found["offsets"] == list(range(-4, 5)) and found["levels"][0] == found["together"]
    bits = dict(zip(found["offsets"], found["together"]["bits"]))
    # the last bases of a row have a padded word, which is why it is not quite two
    assert all(bits[offset] == pytest.approx(2, abs=0.02) for offset in (0, 1, 2))
    assert all(bits[offset] < 0.003 for offset in (-4, -3, -2, -1, 3, 4))
    assert found["together"]["entropy"] == pytest.approx(6, abs=0.05)


def test_levels_are_told_apart_and_counted_together():
    rng = np.random.default_rng(0)
    bases = rng.integers(0, 4, 20_000).astype(np.uint8)
    codes = np.stack([bases // 2, bases % 2], axis=1).astype(np.int64)
    found = word_information(Encoded(bases, codes, np.array([0, 20_000])), [2, 2], reach=1)
    assert [level["bits"][1] for level in found["levels"]] == pytest.approx([1, 1], abs=0.01)
    assert found["together"]["bits"] == pytest.approx([0, 2, 0], abs=0.01)


def test_unknown_bases_and_other_rows_are_not_counted():
    bases = np.array([0, 1, 4, 2, 3, 0, 1, 2], dtype=np.uint8)
    encoded = Encoded(bases, bases.astype(np.int64)[:, None], np.array([0, 4, 8]))
    found = word_information(encoded, [5], reach=7)
    assert found["together"]["entropy"] < 2 and found["together"]["bits"][0] == found["together"]["bits"][-1] == 0
    assert found["together"]["bits"][7] > 0


def test_every_level_sees_as_far_as_its_layer(codec):
    assert codec.config.quantized_layers == [1, 2]
    assert [level_radius(codec, level) for level in (0, 1)] == [5, 8]
    assert level_radius(codec, 1) == codec.config.halo


def test_changed_bases_change_exactly_the_codes_that_read_them():
    found = base_change(WordCodec(), random_rows(6, 50), 200, np.random.default_rng(0))
    level = found["levels"][0]
    # a code reads its base and the two behind it: those two before the changed base, and its own, change
    assert level["by_offset"] == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert level["by_distance"] == [1.0, 0.5, pytest.approx(0.5, abs=0.05)]
    assert found["substitutions"] == 200
    assert found["compared_beyond"] > 200 * 10


def test_no_code_beyond_the_receptive_field_changes(codec):
    found = base_change(codec, random_rows(4, 60), 80, np.random.default_rng(0))
    assert [len(level["by_offset"]) for level in found["levels"]] == [11, 17]
    assert all(level["by_distance"][0] > 0.3 for level in found["levels"])
    assert found["compared_beyond"] > 0


def test_a_code_that_changes_from_afar_is_an_error():
    with pytest.raises(RuntimeError, match="level 1 changed -3 bases from the only base that was changed"):
        base_change(WordCodec(first=0, last=3), random_rows(3, 40), 20, np.random.default_rng(0))


def test_rows_shorter_than_the_reach_are_compared_as_far_as_they_go():
    level = base_change(WordCodec(), [np.array([2], dtype=np.uint8)], 5, np.random.default_rng(0))["levels"][0]
    assert level["by_offset"] == [None, None, 1.0, None, None]
    assert level["codes_changed"] == 1.0


def test_strands_agree_at_the_shift_of_the_word():
    rows = random_rows(60, 60)
    codec = WordCodec(0, 2)
    found = strand_consistency(encode(codec, rows), mirror(codec, rows), [64], np.random.default_rng(0))[0]
    assert found["shifted"]["shift"] == 2
    # all but the ends of rows, where words reach beyond them
    assert found["shifted"]["partner"] > 0.95
    assert found["shifted"]["nmi"] > 0.95
    # the own base is one of the three; the other two are guessed
    assert found["measured"]["partner"] == pytest.approx(1 / 16, abs=0.03)
    assert found["measured"]["nmi"] == pytest.approx(found["shuffled_within_base"]["nmi"], abs=0.06)
    assert found["shuffled"]["partner"] < 0.04 < found["shuffled_within_base"]["partner"]


def test_a_symmetric_word_is_foretold_at_its_own_base():
    rows, codec = random_rows(60, 60), WordCodec(-1, 1)
    found = strand_consistency(encode(codec, rows), mirror(codec, rows), [64], np.random.default_rng(0))[0]
    assert found["shifted"]["shift"] == 0
    assert found["measured"]["partner"] > 0.95
    assert found["measured"] == {key: found["shifted"][key] for key in ("partner", "nmi")}


def test_statistics_of_a_codec_are_shares(codec):
    rows = random_rows(5, 40)
    rows[0][3:6] = 4
    encoded = encode_rows(codec, rows, "codes")
    for level in strand_consistency(encoded, mirror(codec, rows), [8, 16], np.random.default_rng(0)):
        assert all(0 <= level[name][key] <= 1 for name in level for key in ("partner", "nmi"))
