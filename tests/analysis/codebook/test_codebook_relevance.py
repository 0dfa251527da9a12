"""Grad-CAM of the linear classifier against autograd, and what labels are worth when there is nothing to find."""

import numpy as np
import pytest
import torch
from planted_words import planted_rows

from vqdna_hf.analysis.codebook.labels import (
    agreement,
    enrichment,
    half_labels,
    halves,
    label_support,
    neighbour_purity,
    study_labels,
)
from vqdna_hf.analysis.codebook.relevance import Probe, code_labels, code_relevance, code_tables, kmer_score
from vqdna_hf.analysis.codebook.rows import encode_rows
from vqdna_hf.baselines.linear_probe import code_features


SIZES = [8, 16]


@pytest.fixture(scope="module")
def rows():
    return {split: planted_rows(count, 48, seed) for seed, (split, count) in enumerate((("train", 90), ("test", 45)))}


@pytest.fixture(scope="module")
def tables(codec, rows):
    return code_tables(codec, {split: encode_rows(codec, part[0], split) for split, part in rows.items()})


@pytest.fixture(scope="module")
def probe(tables, rows):
    return Probe.fit(tables["train"].features, rows["train"][1], 1.0)


def test_features_are_the_linear_probes(codec, tables, rows):
    expected = code_features(codec, rows["test"][0], {"pooling": "mean", "pooling_bins": 1, "strand_average": False})
    np.testing.assert_allclose(tables["test"].features, expected, atol=1e-5)


def test_unknown_bases_have_no_codes(codec):
    row = np.random.default_rng(0).integers(0, 4, 30).astype(np.uint8)
    row[10:14] = 4
    table = code_tables(codec, {"train": encode_rows(codec, [row], "codes")})["train"]
    assert table.counts.sum() == 26
    assert table.shares.sum() == pytest.approx(1)


def test_relevance_is_the_grad_cam_of_autograd(codec, tables, rows, probe):
    encoded = encode_rows(codec, rows["train"][0], "codes")
    sums, uses = [np.zeros((size, 3)) for size in SIZES], [np.zeros(size) for size in SIZES]
    weight, bias = torch.from_numpy(probe.weight), torch.from_numpy(probe.bias)
    for start, end in zip(encoded.starts, encoded.starts[1:]):
        codes = encoded.codes[start:end]
        vectors = codec.quantizer.lookup(torch.from_numpy(codes)).double().requires_grad_()
        logits = vectors.mean(dim=0) @ weight.T + bias
        centred = logits - logits.mean()
        for label in range(3):
            (gradient,) = torch.autograd.grad(centred[label], vectors, retain_graph=True)
            channel = gradient.mean(dim=0)
            cam = torch.relu((vectors.detach() - torch.from_numpy(probe.mean)) @ channel).numpy()
            for level in range(2):
                np.add.at(sums[level][:, label], codes[:, level], cam)
        for level in range(2):
            np.add.at(uses[level], codes[:, level], 1)
    for level, found in enumerate(code_relevance(probe, tables["train"], SIZES)):
        used = uses[level] > 0
        np.testing.assert_allclose(found[used], sums[level][used] / uses[level][used, None], atol=1e-9)
        assert np.isnan(found[~used]).all()


def test_neither_a_common_weight_nor_another_origin_changes_a_label(tables, probe):
    table = tables["train"]
    labels = code_labels(code_relevance(probe, table, SIZES))
    rng = np.random.default_rng(0)
    common, origin = 5 * rng.normal(size=probe.weight.shape[1]), 5 * rng.normal(size=probe.weight.shape[1])
    moved = Probe(probe.weight + common, probe.bias, probe.mean)
    assert (code_labels(code_relevance(moved, table, SIZES)) == labels).all()
    shifted = type(table)(table.codes, table.vectors + origin, table.counts)
    fitted = Probe(probe.weight, probe.bias - probe.weight @ origin, probe.mean + origin)
    assert (code_labels(code_relevance(fitted, shifted, SIZES)) == labels).all()
    np.testing.assert_allclose(fitted.activations(shifted.vectors), probe.activations(table.vectors), atol=1e-9)


def test_two_classes_are_each_others_mirror(tables, rows):
    labels = rows["train"][1] % 2
    probe = Probe.fit(tables["train"].features, labels, 1.0)
    maps = probe.activations(tables["train"].vectors)
    assert ((maps > 0).sum(axis=1) <= 1).all()
    flipped = Probe.fit(tables["train"].features, 1 - labels, 1.0).activations(tables["train"].vectors)
    np.testing.assert_allclose(maps, flipped[:, ::-1], atol=1e-4)


def test_codes_that_do_not_occur_have_no_label():
    relevance = [np.array([[0.1, 0.2], [np.nan, np.nan]]), np.array([[0.3, 0.0]])]
    assert code_labels(relevance).tolist() == [1, -1, 0]


def test_halves_share_no_row_and_hold_every_class():
    labels = np.repeat([0, 1, 2], [7, 10, 4])
    first, second = halves(labels, np.random.default_rng(0))
    assert sorted([*first, *second]) == list(range(21))
    assert np.bincount(labels[first]).tolist() == [3, 5, 2]


def test_agreement_is_one_for_equal_labels_and_nothing_beyond_chance_for_dealt_ones():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 500)
    assert agreement([[labels, labels]])["kappa"] == 1.0
    dealt = agreement([[rng.integers(0, 3, 500), rng.integers(0, 3, 500)] for _ in range(20)])
    assert dealt["kappa"] == pytest.approx(0, abs=0.05)
    assert dealt["by_chance"] == pytest.approx(1 / 3, abs=0.02)
    one, other = np.array([0, 1, -1]), np.array([0, 1, 1])
    assert agreement([[one, other]])["same"] == 1.0


def test_support_is_the_share_of_fits_that_agree():
    labels = np.array([0, 1, -1])
    pairs = [[np.array([0, 1, -1]), np.array([0, 0, -1])], [np.array([0, 0, 1]), np.array([0, 0, 1])]]
    assert label_support(labels, pairs).tolist() == [1.0, 0.25, 0.0]


def test_purity_of_two_clusters_and_of_dealt_labels():
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(size=(40, 3)), rng.normal(size=(40, 3)) + 50])
    clusters = np.repeat([0, 1], 40)
    found = neighbour_purity(vectors, clusters)
    assert found["same"] == 1.0
    assert found["by_chance"] == pytest.approx(39 / 79)
    dealt = neighbour_purity(vectors, rng.permutation(clusters))
    assert dealt["same"] == pytest.approx(dealt["by_chance"], abs=0.1)
    far = np.concatenate([vectors, [[1e3, 0, 0]]])
    assert neighbour_purity(far, np.append(clusters, -1)) == found


def test_planted_words_are_found_and_permuted_classes_are_not(codec, rows, tables):
    labels = {"train": rows["train"][1], "dev": rows["test"][1], "test": rows["test"][1]}
    splits = tables | {"dev": tables["test"]}
    study = study_labels(codec, splits, labels, ("none", "ccc", "aaa"), "mcc", repeats=4, seed=0)
    report = study.report
    assert report["classifier"]["test"]["mcc"] > 0.7 > max(report["classifier"]["permuted_test"])
    assert report["classifier"]["code_shares_test"] > 0.7
    assert report["halves"]["measured"]["kappa"] > 0.5 > report["halves"]["permuted"]["kappa"]
    assert report["halves"]["measured"]["stable"] > report["halves"]["permuted"]["stable"]
    # most of the codes that stand in CCC belong to the class it was planted in
    codes = codec.encode_sequences([np.full(40, 1, dtype=np.uint8)])[0][20]
    assert [study.labels[codes[0]], study.labels[SIZES[0] + codes[1]]] == [1, 1]
    assert all(row["enrichment"] > 1 for row in report["classes"] if row["enrichment"] is not None)
    assert [sum(row["codes"]) for row in report["classes"]] == np.bincount(study.labels[study.labels >= 0]).tolist()
    again = study_labels(codec, splits, labels, ("none", "ccc", "aaa"), "mcc", repeats=4, seed=0)
    assert again.report == report


def test_enrichment_compares_a_class_with_the_others(tables, rows):
    table, labels = tables["test"], rows["test"][1]
    everything = np.zeros(sum(SIZES), dtype=np.int64)
    assert enrichment(table, labels, everything, SIZES, 3) == [pytest.approx(1.0), None, None]


def test_half_labels_use_their_rows_only(tables, rows):
    pair = half_labels(tables["train"], rows["train"][1], 1.0, SIZES, np.random.default_rng(0))
    assert [len(labels) for labels in pair] == [24, 24]


def test_code_shares_are_counts_over_lengths(codec, tables, rows):
    shares = tables["test"].code_shares(SIZES)
    codes = codec.encode_sequences(rows["test"][0][:1])[0]
    expected = np.concatenate([np.bincount(codes[:, level], minlength=size) for level, size in enumerate(SIZES)]) / 48
    np.testing.assert_allclose(shares[0], expected)


def test_kmers_tell_planted_words(rows):
    parts = {"train": rows["train"], "dev": rows["test"], "test": rows["test"]}
    sequences = {split: part[0] for split, part in parts.items()}
    labels = {split: part[1] for split, part in parts.items()}
    assert kmer_score(sequences, labels, "mcc") > 0.9
    assert kmer_score({split: [row[:2] for row in part] for split, part in sequences.items()}, labels, "mcc") == 0
