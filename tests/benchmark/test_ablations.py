import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_benchmark import MODELS, VOCABULARY, write_benchmark

import vqdna_hf.benchmark.benchmark as command
import vqdna_hf.benchmark.run.ablations as ablations
from vqdna_hf.benchmark.benchmark import BenchmarkArguments, benchmark
from vqdna_hf.benchmark.run.ablations import list_variants, record_path
from vqdna_hf.benchmark.run.archive import archive_path
from vqdna_hf.benchmark.spec.schema import SpecificationError
from vqdna_hf.benchmark.spec.specification import read_specification


STUDIES = [
    {
        "name": "codebook size",
        "task": "planted",
        "vocabulary": {**VOCABULARY, "quantizer": "vq"},
        "neighbour_steps": 2,
        "variants": [{"codebook_sizes": [8]}, {"codebook_sizes": [16]}],
    },
    {
        "name": "masking",
        "task": "planted",
        "vocabulary": {**VOCABULARY, "quantizer": "vq", "codebook_sizes": [8]},
        "neighbour_steps": 2,
        "variants": [{"masking": "base"}, {"masking": "token", "masked_share": 0.15}],
    },
    {"name": "vocabularies", "models": {"regression": {"kmers": 3}}, "mode": "control"},
]


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    home = tmp_path_factory.mktemp("ablations")
    models = {"regression": MODELS["regression"]}
    path = write_benchmark(home, models=models, ablations=STUDIES, seeds=[1])
    benchmark(BenchmarkArguments(file=str(path), output=str(home / "output")))
    return path, home / "output"


def test_every_codec_of_a_study_is_measured(studied):
    records = [json.loads(path.read_text()) for path in (studied[1] / "ablations").glob("*.json")]

    assert len(records) == 4
    for record in records:
        assert 0 <= record["reconstruction"] <= 1 and 0 < record["usage"][0] <= 1
        assert record["bits_per_base"] <= (3 if record["settings"]["vocabulary"]["codebook_sizes"] == [8] else 4)
        assert -1 <= record["linear_probe"]["test"] <= 1 and 0 <= record["neighbours_base_accuracy"] <= 1
        assert str(studied[1]) not in json.dumps(record)
    fingerprints = {json.dumps(r["settings"]["vocabulary"]["codebook_sizes"]): r["fingerprint"] for r in records}
    assert len(set(fingerprints.values())) == 2  # the second study looks at a vocabulary of the first


def test_studies_become_tables_with_the_papers_figures(studied):
    text = (studied[1] / "tables.md").read_text()

    assert all(f"Ablation: {study['name']}" in text for study in STUDIES)
    size = text[text.index("Ablation: codebook size") : text.index("Ablation: masking")]
    assert "44.8" in size and "published" in size


def test_finished_codecs_are_not_learned_again(studied, monkeypatch):
    before = (studied[1] / "tables.md").read_text()
    monkeypatch.setattr(ablations, "learn_vocabulary", lambda *_: pytest.fail("a vocabulary was learned again"))

    benchmark(BenchmarkArguments(file=str(studied[0]), output=str(studied[1])))

    assert (studied[1] / "tables.md").read_text() == before


@pytest.fixture
def packed(studied, tmp_path):
    """The Parquet files of a finished benchmark, of its cells and of its studies, alone."""
    for name in ("cells", "ablations"):
        shutil.copy(archive_path(studied[1] / name), tmp_path)
    return tmp_path


def records(directory: Path) -> dict[str, str]:
    """The JSON files of cells and of codecs."""
    return {
        path.name: path.read_text() for name in ("cells", "ablations") for path in directory.glob(f"{name}/*.json")
    }


def test_tables_are_made_of_the_parquet_files_alone(studied, packed):
    before = archive_path(packed / "cells").read_bytes()
    benchmark(BenchmarkArguments(file=str(studied[0]), output=str(packed), tables_only=True))

    for name in ("tables.md", "tables.tex", "tables.json"):
        assert (packed / name).read_bytes() == (studied[1] / name).read_bytes()
    assert records(packed) == {} and archive_path(packed / "cells").read_bytes() == before


def test_a_run_resumes_from_the_parquet_files(studied, packed, monkeypatch):
    monkeypatch.setattr(ablations, "learn_vocabulary", lambda *_: pytest.fail("a vocabulary was learned again"))
    monkeypatch.setattr(command, "run_points", lambda *_: pytest.fail("a cell was run again"))
    benchmark(BenchmarkArguments(file=str(studied[0]), output=str(packed)))

    assert records(packed) == records(studied[1]) and len(records(packed)) == 5


def test_the_parquet_file_of_a_run_is_made_of_its_cells(studied, packed):
    (packed / "cells").mkdir()  # the user removed them, to run them again
    assert benchmark(BenchmarkArguments(file=str(studied[0]), output=str(packed), tables_only=True)) == []


def test_records_of_other_rows_are_refused(studied):
    path = studied[0].with_name("fewer.yaml")
    path.write_text(studied[0].read_text() + "train_rows: 30\n")
    for name in ("cells", "cells.parquet"):
        (studied[1] / name).rename(studied[1] / f"{name}.away")
    try:
        with pytest.raises(ValueError, match=r"was measured with other settings \(rows: .*40.* then, .*30.* now\)"):
            benchmark(BenchmarkArguments(file=str(path), output=str(studied[1])))
    finally:
        for name in ("cells", "cells.parquet"):
            (studied[1] / f"{name}.away").rename(studied[1] / name)


def test_a_longer_measurement_is_another_record(studied):
    study = read_specification(studied[0]).ablations[0]
    variant = list_variants(study, [1])[0]
    assert record_path(studied[1], study, variant).is_file()
    assert not record_path(studied[1], replace(study, neighbour_steps=3), variant).is_file()


def test_a_variant_says_what_is_varied(studied):
    study = read_specification(studied[0]).ablations[1]

    first, second = list_variants(study, [5])

    assert first.varied == {"masking": "base", "masked_share": None}
    assert second.name == "masking token, masked_share 0.15"
    assert list_variants(replace(study, variants=({}, {"masking": "span"})), [1])[0].name == "as shared"
    assert first.vocabulary == second.vocabulary and first.vocabulary["seed"] == 5


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"name": "a", "task": "planted"}, "either variants or models"),
        ({"name": "a", "task": "nothing", "variants": [{}]}, "'nothing' is none of the file's: planted"),
        ({"name": "a", "task": "planted", "variants": [{"codebook": 3}]}, "unknown key 'codebook'"),
        (
            {"name": "a", "task": "planted", "variants": [{"learning_rate": [1, 2]}]},
            r"learning_rate \[1, 2\]: must be a number",
        ),
        ({"name": "a", "models": {"other": {}}}, "unknown key 'other'"),
        (
            {"name": "a", "task": ["planted"], "variants": [{"kmeans": True}]},
            "ablations.a: task .* must be text",
        ),
        (
            {"name": "a", "task": "planted", "variants": [{"masking": "word"}]},
            "number 1: masking word: must be one",
        ),
        ({"name": "a", "task": "planted", "variants": [{"codebook_dim": 0}]}, "codebook_dim 0: must be"),
        ({"name": "a", "task": "planted", "variants": [{}]}, "no variant varies anything"),
        ({"name": "a", "task": "planted", "variants": [{"kmeans": True}] * 2}, "is there twice"),
        ({"name": "a", "task": "planted", "seeds": 3, "variants": [{"kmeans": True}]}, "seeds 3: must be at most 2"),
        (
            {"name": "a", "task": "planted", "neighbour_steps": 0, "variants": [{"kmeans": True}]},
            "steps 0: must be at",
        ),
        ({"name": "a", "models": {"letters": 3}}, "letters 3: must say what is varied"),
        ({"name": "a", "models": {"letters": {"k": 1}}, "mode": "all"}, "mode all: must be one of"),
        ({"name": "a", "models": {"letters": {"k": 1}}, "published": 4}, "published 4: must be 7, 8 or 9"),
        ({"name": "a", "variant": []}, "unknown key 'variant'. Did you mean variants"),
    ],
)
def test_a_study_that_cannot_be_run_is_refused(tmp_path, study, message):
    with pytest.raises(SpecificationError, match=message):
        read_specification(write_benchmark(tmp_path, ablations=[study]))
