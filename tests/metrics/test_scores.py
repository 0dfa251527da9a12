"""Scores against values worked out by hand and against their definitions; codebook metrics against their extremes."""

from types import SimpleNamespace

import numpy as np
import pytest

from vqdna_hf.metrics import codebook_usage, compute_scores, make_compute_metrics, perplexity


def test_classification_by_hand():
    # true positives 2, false positives 1, false negatives 1, true negatives 2: mcc = (2*2 - 1*1) / 9
    scores = compute_scores([1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0])
    assert scores == pytest.approx({"mcc": 1 / 3, "f1": 2 / 3, "accuracy": 2 / 3})


def test_regression_by_hand():
    # one swap of neighbours in four: rho = 1 - 6 * 2 / (4 * 15)
    scores = compute_scores([0.1, 0.3, 0.2, 0.4], [1, 2, 3, 4], problem_type="regression")
    assert scores == pytest.approx({"spearman": 0.8, "pearson": 0.8})


def test_multi_label_by_hand():
    predictions, references = [[1, 0], [0, 1], [1, 1], [0, 0]], [[1, 0], [0, 1], [1, 0], [0, 1]]
    scores = compute_scores(predictions, references, problem_type="multi_label_classification")
    assert scores == pytest.approx({"mcc": 0.5, "f1": 0.75, "accuracy": 0.5})


@pytest.mark.parametrize("classes", [2, 9])
def test_scores_do_not_depend_on_order_and_know_perfection(classes):
    rng = np.random.default_rng(0)
    references, predictions, order = rng.integers(0, classes, 200), rng.integers(0, classes, 200), rng.permutation(200)
    assert compute_scores(references, references) == pytest.approx({"mcc": 1, "f1": 1, "accuracy": 1})
    scores = compute_scores(predictions, references)
    assert all(-1 <= score <= 1 for score in scores.values())
    assert compute_scores(predictions[order], references[order]) == pytest.approx(scores)


def test_spearman_sees_ranks_only():
    rng = np.random.default_rng(0)
    references, predictions = rng.normal(size=(2, 50))
    plain = compute_scores(predictions, references, "spearman", problem_type="regression")
    assert compute_scores(np.exp(predictions), references, "spearman", "regression") == pytest.approx(plain)
    assert compute_scores(-references, references, "spearman", "regression") == pytest.approx({"spearman": -1})


def test_constant_predictions_score_zero():
    assert compute_scores([0.5] * 3, [1, 2, 3], problem_type="regression") == {"spearman": 0.0, "pearson": 0.0}
    assert compute_scores([1, 2, 3], [0.5] * 3, problem_type="regression") == {"spearman": 0.0, "pearson": 0.0}
    assert compute_scores([1, 1, 1], [0, 1, 1])["mcc"] == 0.0


@pytest.mark.parametrize("metric", ["mcc", "f1", "accuracy"])
def test_one_metric_alone(metric):
    assert list(compute_scores([0, 1], [0, 1], metric)) == [metric]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0, 1, 1]), r"shape \(2,\) and references \(3,\)"),
        (([], []), "no predictions"),
        (([[0.1, 0.9]], [[0, 1]]), "needs arrays of 1 dimension"),
        (([0.3, 1], [0, 1]), "prediction in row 0 .0-based. is 0.3"),
        (([0, 1], [0, 1], "spearman"), "no metric 'spearman'; it has mcc, f1, accuracy"),
        (([0, 1], [0, 1], "mcc", "regression"), "no metric 'mcc'"),
        (([0, np.nan], [0, 1], None, "regression"), "prediction in row 1 .* finite"),
        (([[0, 2]], [[0, 1]], None, "multi_label_classification"), "must be 0 or 1"),
        (([0, 1], [0, 1], None, "ranking"), "problem_type is 'ranking'"),
    ],
)
def test_what_cannot_be_scored_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        compute_scores(*arguments)


def evaluation(predictions, references) -> SimpleNamespace:
    return SimpleNamespace(predictions=predictions, label_ids=np.asarray(references))


def test_logits_become_classes_labels_and_numbers():
    logits = np.array([[2.0, -1.0], [0.1, 0.2], [-3.0, -2.0]])
    compute = make_compute_metrics("single_label_classification")
    assert compute(evaluation(logits, [0, 1, 1]))["accuracy"] == 1
    assert compute(evaluation((logits, "hidden states"), [0, 1, 1]))["accuracy"] == 1
    compute = make_compute_metrics("multi_label_classification")
    assert compute(evaluation(logits, [[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]))["accuracy"] == 1
    compute = make_compute_metrics("regression")
    assert compute(evaluation(logits[:, :1], [3.0, 2.0, 1.0]))["spearman"] == pytest.approx(1)


def test_a_diverged_model_and_an_unknown_problem_are_refused():
    with pytest.raises(ValueError, match="logits of row 1 .* diverged"):
        make_compute_metrics("single_label_classification")(evaluation(np.array([[0, 1], [np.nan, 0]]), [0, 1]))
    with pytest.raises(ValueError, match="problem_type is 'ranking'"):
        make_compute_metrics("ranking")


@pytest.mark.parametrize("codes", [1, 8, 1000])
def test_codebook_metrics_at_their_extremes(codes):
    assert perplexity(np.full(codes, 3)) == pytest.approx(codes)
    assert codebook_usage(np.full(codes, 3)) == 1
    one = np.eye(codes)[0]
    assert perplexity(one) == pytest.approx(1) and codebook_usage(one) == pytest.approx(1 / codes)
    assert perplexity(np.zeros(codes)) == 0 and codebook_usage(np.zeros(codes)) == 0


def test_perplexity_by_hand():
    # entropy of (1/2, 1/4, 1/4) is 1.5 bits
    assert perplexity([2, 1, 1, 0]) == pytest.approx(2**1.5)


@pytest.mark.parametrize(("counts", "message"), [([], "shape"), ([[1]], "shape"), ([1, -2], "count of code 1 is -2")])
def test_counts_that_are_none_are_refused(counts, message):
    for function in (perplexity, codebook_usage):
        with pytest.raises(ValueError, match=message):
            function(counts)
