"""What decides whether an exported graph is good: near-ties, and inputs of every kind and length."""

import numpy as np
import torch
from tiny_exports import make_codec

from vqdna_hf.export.checks import count_differences, model_shapes, random_rows
from vqdna_hf.modeling.configuration_vqdna import encoder_config_from_preset


def test_near_ties_are_counted_and_excuse_the_next_level():
    codec, ids = make_codec(), random_rows(2, 60, seed=3)
    codes = codec.encode(torch.from_numpy(ids)).numpy()
    assert count_differences(codec, ids, codes) == (0, 0)
    first, second = codec.quantizer.codebooks
    place = tuple(np.argwhere(ids < 4)[0])
    code = codes[place][0]
    other = (code + 1) % len(first.embedding)
    far = codes.copy()
    far[place][0] = other
    assert count_differences(codec, ids, far) == (1, 0)
    first.embedding[other] = first.embedding[code] * (1 + 1e-7)
    codes = codec.encode(torch.from_numpy(ids)).numpy()
    tied = codes.copy()
    tied[place][0] = other if codes[place][0] == code else code
    assert count_differences(codec, ids, tied) == (1, 1)
    tied[place][1] = (codes[place][1] + 1) % len(second.embedding)
    assert count_differences(codec, ids, tied) == (1, 1)
    codes[place][1] = tied[place][1]
    assert count_differences(codec, ids, codes) == (1, 0)
    outside = tuple(np.argwhere(ids > 5)[0])
    tied[outside] = 3
    assert count_differences(codec, ids, tied) == (1, 1)


def test_random_rows_hold_every_kind_of_position():
    for shape in ((1, 1), (1, 2), (4, 3), (4, 150)):
        assert random_rows(*shape, seed=0).shape == shape
    rows = random_rows(4, 150, seed=0)
    assert set(np.unique(rows)) == set(range(9))
    assert rows[0, 0] == rows[1, 0] == 6 and rows[3, 0] == rows[1, -1] == 8


def test_lengths_go_beyond_the_window_and_not_beyond_the_positions():
    config = encoder_config_from_preset("paper")
    assert max(length for _, length in model_shapes(config)) > 2 * config.local_attention
    assert len(model_shapes(config)) > 4
    config.local_attention = 512
    assert max(length for _, length in model_shapes(config)) > 1024
    assert max(length for _, length in model_shapes(encoder_config_from_preset("tiny"))) <= 512
    assert max(length for _, length in model_shapes(encoder_config_from_preset("paper-bert"))) <= 514
