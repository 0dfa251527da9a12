import numpy as np
import pytest

from vqdna_hf.metrics import bootstrap_scores, compute_scores


@pytest.mark.parametrize("metric", ["mcc", "f1", "accuracy"])
@pytest.mark.parametrize("classes", [2, 4])
def test_replicates_are_scores_of_the_drawn_rows(metric, classes):
    random = np.random.default_rng(1)
    references = random.integers(classes, size=60)
    predictions = np.where(random.random(60) < 0.6, references, random.integers(classes, size=60))

    found = bootstrap_scores(predictions, references, metric, replicates=20, seed=7)

    draws = np.random.default_rng(7)
    for score in found:
        rows = draws.integers(60, size=60)
        assert score == pytest.approx(compute_scores(predictions[rows], references[rows], metric)[metric], abs=1e-12)


def test_values_are_resampled_too():
    random = np.random.default_rng(1)
    references = random.normal(size=50)
    predictions = references + random.normal(size=50)

    found = bootstrap_scores(predictions, references, "spearman", "regression", replicates=100)

    whole = compute_scores(predictions, references, "spearman", "regression")["spearman"]
    assert found.std() > 0.01 and found.min() < whole < found.max()


def test_the_same_seed_draws_the_same_rows_for_every_model():
    random = np.random.default_rng(2)
    references, first, second = random.integers(2, size=(3, 80))
    differences = bootstrap_scores(first, references, "accuracy") - bootstrap_scores(second, references, "accuracy")
    draws = np.random.default_rng(0)
    rows = draws.integers(80, size=80)
    expected = (first[rows] == references[rows]).mean() - (second[rows] == references[rows]).mean()
    assert differences[0] == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:A single label was found")
def test_one_class_has_no_correlation():
    assert not bootstrap_scores(np.ones(9, int), np.ones(9, int), "mcc", replicates=3).any()


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="no metric 'r2'"):
        bootstrap_scores(np.ones(3), np.ones(3), "r2")
