from pathlib import Path

import pytest
from tiny_benchmark import MODELS, VOCABULARY, write_benchmark

from vqdna_hf.benchmark.run.cells import list_cells
from vqdna_hf.benchmark.spec.schema import SpecificationError
from vqdna_hf.benchmark.spec.specification import read_specification


REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "benchmarks").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_files_of_the_repository_are_read(path, monkeypatch):
    monkeypatch.setenv("VQDNA_DATA", "data")
    specification = read_specification(path)
    assert list_cells(specification) or specification.ablations  # ablations.yaml has studies alone


def test_a_file_becomes_cells_in_the_order_of_seeds(tmp_path):
    cells = list_cells(read_specification(write_benchmark(tmp_path)))

    assert [cell.name for cell in cells[:4]] == [
        *("planted__learned__full__1", "planted__untrained__full__1", "planted__letters__full__1"),
        "planted__regression__control__1",
    ]
    assert len(cells) == 4 + 3  # k-mer regression has no seed to vary


def test_a_model_may_run_fewer_seeds(tmp_path):
    specification = read_specification(
        write_benchmark(tmp_path, models={"letters": {**MODELS["letters"], "seeds": 1}})
    )
    assert [cell.seed for cell in list_cells(specification)] == [1]


def test_a_list_is_a_grid_and_the_most_special_place_decides(tmp_path):
    models = {**MODELS, "letters": {**MODELS["letters"], "options": {"dropout": 0.3, "batch_size": 4}}}
    path = write_benchmark(tmp_path, models=models, modes={"full": {"learning_rate": [0.001, 0.003], "epochs": 1}})
    path.write_text(path.read_text().replace("pooling: max", "pooling: max\n  letters: {batch_size: 2}"))
    specification = read_specification(path)
    task, model = specification.tasks[0], next(one for one in specification.models if one.name == "letters")

    points = specification.points(task, model, "full")

    shared = {"epochs": 1.0, "batch_size": 2, "pooling": "max", "dropout": 0.3}
    assert points == [{**shared, "learning_rate": 0.001}, {**shared, "learning_rate": 0.003}]


def test_a_linear_probe_has_no_grid(tmp_path):
    path = write_benchmark(tmp_path, modes={"full": {}, "linear": {}})
    specification = read_specification(path)
    (model,) = (one for one in specification.models if one.name == "letters")
    assert len(specification.points(specification.tasks[0], model, "full")) == 2
    assert len(specification.points(specification.tasks[0], model, "linear")) == 1


def test_environment_variables_stand_in_places(tmp_path, monkeypatch):
    path = write_benchmark(tmp_path, data_dir="${SOME_FOLDER}/below")
    with pytest.raises(SpecificationError, match="SOME_FOLDER, which is not set"):
        read_specification(path)
    monkeypatch.setenv("SOME_FOLDER", "/data")
    assert read_specification(path).data_dir == "/data/below"


def test_exponents_that_yaml_reads_as_text_are_numbers(tmp_path):
    path = write_benchmark(tmp_path)
    path.write_text(path.read_text().replace("epochs: 1", "epochs: 1\n    weight_decay: 1e-2"))
    assert read_specification(path).modes["full"]["weight_decay"] == 0.01


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sedes": [1]}, r"unknown key 'sedes'. Did you mean seeds"),
        ({"seeds": [1, 1]}, "1 is there twice"),
        ({"seeds": ["a"]}, "seeds a: must be a whole number"),
        ({"seeds": []}, "seeds is missing or empty"),
        ({"tasks": ["mouse/9"]}, r"There is no task 'mouse/9'. Did you mean mouse/"),
        (
            {"tasks": [{"name": "mouse/0", "poling": "max"}]},
            r"tasks.mouse/0: unknown key 'poling'. Did you mean",
        ),
        ({"modes": {"everything": {}}}, "modes: mode everything: must be one of lora, full, linear, end-to-end"),
        (
            {"modes": {"full": {"learning_rat": 1}}},
            r"full: unknown key 'learning_rat'. Did you mean",
        ),
        ({"modes": {"full": {"epochs": "many"}}}, "modes.full: epochs many: must be a number"),
        ({"modes": {"full": {"epochs": []}}}, "full.epochs is an empty list: write the values"),
        ({"models": {"a": {}}}, "exactly one of vocabulary, tokenizer, path and control, not none"),
        ({"models": {"a": {"path": "x", "control": "cnn"}}}, "not path and control"),
        ({"models": {"a": {"path": "x", "seeds": [1]}}}, r"models.a: seeds \[1\]: must be a whole number"),
        ({"models": {"a": {"control": "svm"}}}, "models.a: control svm: must be one of cnn"),
        (
            {"models": {"a": {"tokenizer": "words"}}},
            "a.tokenizer: kind words: must be one of character",
        ),
        ({"models": {"a": {"tokenizer": {"kind": "kmer", "stride": 2}}}}, "unknown key 'stride'"),
        (
            {"models": {"a": {"vocabulary": {**VOCABULARY, "max_step": 3}}}},
            "unknown key 'max_step'. Did you mean max_steps",
        ),
        ({"models": {"a": {"vocabulary": "b", "encoder": {}}}}, "'b', which is no model of the file"),
        (
            {"models": {"a": {"path": "x"}, "b": {"vocabulary": "a", "encoder": {}}}},
            "names 'a', which is no model .*vocabulary: {path: DIRECTORY}",
        ),
        ({"models": {"a": {"vocabulary": {"path": "x"}, "encoder": {}}}}, "a.vocabulary.path: x holds no tokenizer"),
        ({"models": {"a": {"vocabulary": {"path": None}, "encoder": {}}}}, "a.vocabulary: path None: must be text"),
        ({"models": {"a": {"vocabulary": {"path": "x", "seed": 1}}}}, "a.vocabulary: unknown key 'seed'"),
        (
            {"models": {"a": {"vocabulary": {"path": "vqdna-vq-small"}, "encoder": {"masking": "span"}}}},
            "windows of 48 bases are too short",
        ),
        ({"models": {"a": {"path": "x", "encoder": {}}}}, "encoder goes with vocabulary or tokenizer, not with path"),
        ({"models": {"a/b": {"path": "x"}}}, "'a/b' is no name"),
        ({"models": {"a": {"path": "x"}, "A": {"path": "x"}}}, "'a' is there twice"),
        ({"models": {"a": {"path": "x", "modes": ["lora"]}}}, "'lora' is not among the file's modes"),
        ({"models": {"a": {"tokenizer": "character", "encoder": {}}}, "fasta": []}, "names no fasta"),
        ({"modes": {"full": {}, "end-to-end": {}}}, "models.letters: the mode end-to-end trains a learned vocabulary"),
        ({"train_rows": 0}, "train_rows 0: must be at least 1"),
        ({"reference": "gold"}, "no model 'gold'"),
        ({"format": 9}, "format 9: must be one of 1"),
        ({"reference": ["letters"]}, r"reference \['letters'\]: must be text"),
        ({"seeds": [2**32]}, "seeds 4294967296: must be from 0 to 4,294,967,295"),
        ({"fasta": [3]}, "fasta 3: must be text"),
        ({"modes": {"full": {"epochs": 0}}}, "modes.full: epochs 0.0: must be more than 0"),
        ({"modes": {"full": {"learning_rate": [1e-3, "nan"]}}}, "learning_rate nan: must be a finite number"),
        ({"modes": {"full": {"dropout": 1}}}, "dropout 1.0: must be at least 0 and less than 1"),
        ({"modes": {"full": {"batch_size": 0}}}, "batch_size 0: must be from 1 to 65,536"),
        ({"tasks": [{"name": "mouse/0", "pooling": "mid"}]}, "pooling mid: must be one of mean, max"),
        (
            {"models": {"a": {"control": "kmer-regression", "options": {"kmers": [20]}}}},
            "kmers 20: must be from 1 to 10",
        ),
        (
            {"models": {"a": {"control": "kmer-regression", "options": {"strands": "two"}}}},
            "strands two: must be one",
        ),
        (
            {"models": {"a": {"vocabulary": {**VOCABULARY, "preset": "large"}}}},
            "vocabulary: preset large: must be one",
        ),
        (
            {"models": {"a": {"vocabulary": {**VOCABULARY, "quantizer": "hqr"}}}},
            "quantizer hqr: must be one of vq",
        ),
        ({"models": {"a": {"vocabulary": {**VOCABULARY, "max_steps": 0}}}}, "max_steps 0: must be from 1 to"),
        (
            {"models": {"a": {"vocabulary": {**VOCABULARY, "batch_size": [4, 8]}}}},
            r"size \[4, 8\]: must be a whole",
        ),
        (
            {"models": {"a": {"vocabulary": VOCABULARY, "encoder": {"preset": "large"}}}},
            "encoder: preset large: must be",
        ),
        (
            {"models": {"a": {"vocabulary": VOCABULARY, "encoder": {"masking": "word"}}}},
            "encoder: masking word: must be",
        ),
        (
            {"models": {"a": {"vocabulary": VOCABULARY, "encoder": {"mask_ratio": 25}}}},
            "mask_ratio 25.0: must be more",
        ),
        (
            {"models": {"a": {"vocabulary": VOCABULARY, "encoder": {"masking": "span", "span_length": 90}}}},
            "windows of 48 bases are too short",
        ),
        ({"models": {"a": {"tokenizer": "character", "encoder": {"masking": "token"}}}}, "is about the codes of a"),
        (
            {"models": {"a": {"tokenizer": "character", "encoder": {"max_steps": -1}}}},
            "max_steps -1: must be from 0",
        ),
        ({"models": {"a": {"tokenizer": {"kind": "kmer", "k": 12}}}}, "k 12: must be from 2 to 8"),
        ({"models": {"a": {"tokenizer": {"kind": "bpe", "vocab_size": 3}}}}, "vocab_size 3: must be from 9"),
        ({"models": {"a": {"path": "x", "modes": ["full", "full"]}}}, "models.a.modes: 'full' is there twice"),
        ({"models": {"a": {"path": 3}}}, "models.a: path 3: must be text"),
        ({"models": {"a": {"path": "x", "trust_remote_code": "yes"}}}, "trust_remote_code yes: must be true or false"),
        ({"models": {"a": {"vocabulary": 3}}}, "models.a.vocabulary should be a mapping"),
        ({"models": {"a": {"tokenizer": {"kind": ["bpe"]}}}}, r"kind \['bpe'\]: must be one of"),
        ({"models": {"a": {"control": "kmer-regression", "options": {"kmers": [3, 3]}}}}, "different lengths"),
        ({"modes": {"full": {"learning_rate": 10**400}}}, "must be a finite number"),
        ({"models": {"pooling": {"control": "cnn"}}}, "'pooling' cannot be the name of a model"),
        ({"tasks": [{"name": n, "data": "d"} for n in ("a/b", "a-b")]}, "'a-b__learned__full__1' is there twice"),
    ],
)
def test_what_cannot_be_run_is_refused_with_its_place(tmp_path, changes, message):
    path = write_benchmark(tmp_path, **changes)
    with pytest.raises(SpecificationError, match=message) as caught:
        read_specification(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "broken.yaml").write_text("a: [\n")
    for name, message in [
        ("list.yaml", "a mapping"),
        ("broken.yaml", "not YAML"),
        ("missing.yaml", "no benchmark file"),
    ]:
        with pytest.raises(SpecificationError, match=message):
            read_specification(tmp_path / name)


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    path = write_benchmark(tmp_path)
    path.write_text("shared: &shared {epochs: 1}\n" + path.read_text() + "seeds: [3]\n")
    with pytest.raises(SpecificationError, match=r"'seeds' is there twice line \d"):
        read_specification(path)


def test_merged_mappings_may_be_changed(tmp_path):
    path = write_benchmark(tmp_path, modes=None)
    text = path.read_text().replace("modes: null", "modes:\n  full: &full {epochs: 1, batch_size: 16}")
    path.write_text(
        text.replace("  full: &full", "  lora: &full").replace("16}", "16}\n  full: {<<: *full, epochs: 2}")
    )
    modes = read_specification(path).modes
    assert modes == {"lora": {"epochs": 1, "batch_size": 16}, "full": {"epochs": 2, "batch_size": 16}}
