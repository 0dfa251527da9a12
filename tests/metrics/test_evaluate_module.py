"""The `evaluate` module: loads offline and on its own, agrees with the plain functions, and ignores how it is fed."""

import os
import subprocess
import sys

import evaluate
import numpy as np
import pytest

from vqdna_hf.metrics import compute_scores, evaluate_module_path


@pytest.fixture
def load(tmp_path):
    def load(name: str):
        return evaluate.load(evaluate_module_path(), name, cache_dir=str(tmp_path))

    return load


def made_up(metric: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    if metric == "spearman":
        return tuple(rng.normal(size=(2, 100)))
    references = rng.integers(0, 3, 100)
    return np.where(rng.random(100) < 0.5, references, rng.integers(0, 3, 100)), references


@pytest.mark.parametrize("metric", ["mcc", "f1", "accuracy", "spearman"])
def test_agrees_with_the_plain_functions(load, metric):
    predictions, references = made_up(metric)
    problem_type = "regression" if metric == "spearman" else "single_label_classification"
    expected = compute_scores(predictions, references, metric, problem_type)
    assert load(metric).compute(predictions=predictions, references=references) == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["mcc", "f1", "accuracy", "spearman"])
@pytest.mark.parametrize("batch", [1, 7, 100])
def test_batches_and_their_order_do_not_matter(load, metric, batch):
    predictions, references = made_up(metric)
    expected = load(metric).compute(predictions=predictions, references=references)
    module, order = load(metric), np.random.default_rng(batch).permutation(100)
    for first in range(0, 100, batch):
        rows = order[first : first + batch]
        module.add_batch(predictions=predictions[rows], references=references[rows])
    assert module.compute() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("prom_core_tata", "mcc"),
        ("prom_300_all", "mcc"),
        ("mouse_0", "mcc"),
        ("tf_0", "mcc"),
        ("tf/0", "mcc"),
        ("prom/prom_core_tata", "mcc"),
        ("emp_H3", "mcc"),
        ("EMP/H3K4me3", "mcc"),
        ("splice_reconstructed", "mcc"),
        ("virus_covid", "f1"),
        ("species", "accuracy"),
        ("eep_spcas9", "spearman"),
    ],
)
def test_every_task_has_its_metric(load, task, metric):
    assert list(load(task).compute(predictions=[0, 1, 1], references=[0, 1, 0])) == [metric]


def test_a_constant_prediction_has_spearman_zero(load):
    assert load("spearman").compute(predictions=[0.5] * 3, references=[1, 2, 3]) == {"spearman": 0.0}


@pytest.mark.parametrize("name", ["tf_9", "bleu", "eep_", None])
def test_an_unknown_name_is_refused_with_the_known_ones(load, name):
    with pytest.raises(ValueError, match="no GUE score .*mcc, f1, accuracy, spearman.*prom_core_tata"):
        load(name)


def test_loads_where_the_package_is_not(tmp_path):
    code = (
        "import sys; sys.modules['vqdna_hf'] = None\n"
        "import evaluate\n"
        f"print(evaluate.load({evaluate_module_path()!r}, 'mcc').compute(predictions=[0, 1], references=[0, 1]))"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_EVALUATE_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "{'mcc': 1.0}"
