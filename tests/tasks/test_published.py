"""The transcribed figures of the paper, against each other and against the catalogue."""

import numpy as np
import pytest

from vqdna_hf.tasks.catalogue import list_tasks
from vqdna_hf.tasks.published import (
    published_models,
    published_note,
    published_rows,
    published_scores,
    published_table,
    task_of,
)


NINE = ["prom/prom_core_tata", "prom/prom_core_notata", "prom/prom_core_all", "prom/prom_300_tata"]
NINE += ["tf/0", "tf/1", "tf/3", "mouse/0", "mouse/3"]


def values(model: str) -> dict[str, float]:
    return {score.task: score.value for score in published_scores(model) if score.table < 6}


def mean_of(model: str, family: str) -> float:
    return np.mean([values(model)[task.name] for task in list_tasks(family)])


def test_every_task_is_of_the_catalogue_and_scored_by_its_metric():
    for score in published_scores():
        assert score.metric == task_of(score.task).metric, score
        assert score.model in published_models()


def test_six_models_have_each_of_the_31_tasks_and_no_other_model_any():
    tasks = {task.name for task in list_tasks()} - {"species"}
    assert len(tasks) == 31
    rows = published_rows({task: task_of(task).metric for task in tasks})
    assert list(rows) == ["DNABERT (3-mer)", "NT-500M", "NT-2500M", "DNABERT-2", "VQDNA", "VQDNA (HRQ)"]
    assert all(set(found) == tasks for found in rows.values())


def test_mean_of_nine_tasks():
    assert np.mean([values("VQDNA (HRQ)")[task] for task in NINE]) == pytest.approx(70.06, abs=0.005)


# means over families and over GUE as others have published or worked out from the same rows
@pytest.mark.parametrize(
    ("model", "means"),
    [
        ("DNABERT (3-mer)", [49.54, 84.63, 72.96, 64.43, 57.74, 61.62]),
        ("NT-500M", [47.68, 86.58, 69.13, 58.92, 49.31, 57.79]),
        ("NT-2500M", [50.86, 86.61, 68.17, 62.00, 56.82, 61.41]),
        ("DNABERT-2", [55.98, 84.21, 70.53, 70.11, 68.00, 66.81]),
        ("VQDNA", [57.43, 85.78, 72.62, 70.11, 69.04, 68.09]),
        ("VQDNA (HRQ)", [57.95, 86.58, 73.37, 70.56, 69.80, 68.75]),
    ],
)
def test_means_of_families_and_of_gue(model, means):
    found = [mean_of(model, family) for family in ("EMP", "PD", "CPD", "TFP-H", "TFP-M")]
    found.append(np.mean([value for task, value in values(model).items() if not task.startswith("eep/")]))
    assert found == pytest.approx(means, abs=0.0051)


def test_hrq_is_above_vq_on_every_task():
    vq, hrq = values("VQDNA"), values("VQDNA (HRQ)")
    assert all(hrq[task] > vq[task] for task in vq)


def test_tables_agree_where_they_print_the_same_run():
    probe = {model: row[2] for model, row in published_table(1)["rows"].items()}
    tuned = {model: row[3] for model, row in published_table(1)["rows"].items()}
    for model in ("NT-2500M", "DNABERT-2", "VQDNA", "VQDNA (HRQ)"):
        assert tuned[model] == values(model)["virus/covid"]
    sizes, dims, masks = (published_table(number)["rows"] for number in (7, 8, 9))
    assert sizes["512"] == dims["384"]
    assert (sizes["512"][1], sizes["512"][3]) == (round(probe["VQDNA"], 1), round(probe["VQDNA (HRQ)"], 1))
    printed = [values(model)[task] for model in ("VQDNA", "VQDNA (HRQ)") for task in ("EMP/H3", "virus/covid")]
    assert masks["0.25"] == [round(value, 1) for value in printed]


def test_printed_ranks_are_the_order_of_the_mean_ranks_that_the_note_gives():
    rows = published_rows({task.name: task.metric for task in list_tasks() if task.name != "species"})
    scores = np.array([list(found[task] for task in rows["VQDNA"]) for found in rows.values()])
    above = (scores[:, None] < scores[None]).sum(axis=1) + ((scores[:, None] == scores[None]).sum(axis=1) - 1) / 2
    mean_ranks = 1 + above.mean(axis=1)
    printed = [published_table(2)["rows"][model][4] for model in rows]
    assert [sorted(mean_ranks).index(rank) + 1 for rank in mean_ranks] == printed
    note = next(note for note in published_table(2)["notes"] if "means of the ranks" in note)
    assert all(f"{rank:.2f}" in note for rank in mean_ranks)


def test_species_has_a_length_and_what_ran_out_of_memory_has_no_score():
    assert [score.value for score in published_scores("DNABERT-2", "species/32k")] == [99.28]
    assert [score.value for score in published_scores("VQDNA (HRQ)", "species/450k")] == [None]
    assert "VQDNA (HRQ)" not in published_rows({"species/450k": "accuracy"})
    assert [score.value for score in published_scores("hyenadna", "SPECIES/1K")] == [61.13]


def test_names_may_be_aliases_in_any_case():
    (score,) = published_scores("vqdna (hrq)", "mouse_3")
    assert (score.model, score.task, score.metric, score.value, score.table) == (
        "VQDNA (HRQ)",
        "mouse/3",
        "mcc",
        69.72,
        4,
    )


def test_scores_by_another_metric_are_not_compared():
    assert published_rows({"mouse/0": "accuracy", "my/own": "mcc"}) == {}


def test_unclear_figures_have_notes():
    assert any("Spearman" in note for note in published_table(4)["notes"])
    assert any("relative to DNABERT-2" in note for note in published_table(2)["notes"])
    assert "arXiv:2405.10812" in published_note()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: published_scores("NT-1B"), "no model 'NT-1B'.*VQDNA"),
        (lambda: published_scores(task="mouse/9"), "no task 'mouse/9'"),
        (lambda: published_table(10), "no published table 10; there are 1"),
    ],
)
def test_unknown_names_are_errors_that_list_what_there_is(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_tables_handed_out_are_copies():
    published_table(3)["rows"].clear()
    assert published_table(3)["rows"]
