import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import transformers
from datasets import Dataset
from tiny_benchmark import MODELS, write_benchmark, write_task
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

import vqdna_hf.benchmark.benchmark as command
import vqdna_hf.benchmark.run.prepare as prepare
from vqdna_hf.benchmark.benchmark import BenchmarkArguments, benchmark
from vqdna_hf.benchmark.run.archive import read_archive
from vqdna_hf.benchmark.run.cells import CELL_FIELDS
from vqdna_hf.tasks import TaskDataError
from vqdna_hf.training.encoding import EmptySequenceError


# PEFT asks models by the older name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
TIMES = ("seconds",)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmark")


@pytest.fixture(scope="module")
def finished(home):
    """A finished benchmark: its file, its output directory and its cells."""
    path, output = write_benchmark(home), home / "whole"
    return path, output, benchmark(BenchmarkArguments(file=str(path), output=str(output)))


def run(path, output, **options):
    return benchmark(BenchmarkArguments(file=str(path), output=str(output), **options))


def without_times(cells):
    return [{name: value for name, value in cell.items() if name not in TIMES} for cell in cells]


def copy_models(finished, output):
    """The pre-trained models of a finished benchmark, without its cells."""
    for name in ("models", "corpus"):
        shutil.copytree(finished[1] / name, output / name)


def test_every_cell_is_a_file_with_its_scores(finished):
    _, output, cells = finished

    assert len(cells) == 7 == len(list((output / "cells").glob("*.json")))
    assert not (output / "work").exists()
    for cell in cells:
        assert cell["metric"] == "mcc"
        assert -1 <= cell["test"]["mcc"] <= 1 and -1 <= cell["test_clean"]["mcc"] <= 1
        assert len(cell["bootstrap"]) == 200 and np.isfinite(cell["bootstrap"]).all()
        assert cell["counts"] == {"train": 40, "dev": 16, "test": 20}
        assert str(output) not in json.dumps(cell)
    usage = {cell["model"]: cell["tokenizer"]["usage"] for cell in cells}
    assert len(usage["learned"]) == 2 and usage["letters"] == [pytest.approx(4 / 5, abs=0.3)]
    sizes = {cell["model"]: cell["parameters"] for cell in cells}
    assert sizes["learned"]["tokenizer"] > 0 == sizes["letters"]["tokenizer"]
    assert sizes["untrained"] == sizes["learned"]
    weights = {cell["model"]: cell["weights"] for cell in cells}
    assert weights["untrained"] != weights["learned"] and weights["regression"] is None


def test_the_point_is_the_one_that_dev_prefers(finished):
    for cell in finished[2]:
        scores = [point["dev"][cell["metric"]] for point in cell["points"]]
        assert cell["dev"] == cell["points"][int(np.argmax(scores))]["dev"]
        if cell["model"] == "letters":
            assert [point["settings"]["learning_rate"] for point in cell["points"]] == [0.001, 0.003]


def test_the_tables_name_every_model_and_task(finished):
    for name in ("tables.md", "tables.tex"):
        text = (finished[1] / name).read_text()
        assert all(word in text for word in [*MODELS, "planted"])


def test_a_finished_benchmark_runs_nothing_again(finished, monkeypatch):
    path, output, cells = finished
    monkeypatch.setattr(command, "prepare_model", lambda *_: pytest.fail("a model was made again"))
    monkeypatch.setattr(command, "run_points", lambda *_: pytest.fail("a cell was run again"))

    assert run(path, output) == cells


def test_two_parts_give_what_one_run_gives(finished, tmp_path):
    copy_models(finished, tmp_path)
    first = run(finished[0], tmp_path, part="1/2")
    assert 0 < len(first) < len(finished[2])

    assert without_times(run(finished[0], tmp_path, part="2/2")) == without_times(finished[2])


def test_cells_that_another_part_finishes_meanwhile_are_in_the_parquet_file(finished, tmp_path, monkeypatch):
    path, whole, _ = finished
    shutil.copytree(whole / "cells", tmp_path / "cells")
    late, write_tables = sorted((tmp_path / "cells").iterdir())[-1], command.write_tables
    late.rename(tmp_path / late.name)

    def finish_another(*args, **kwargs):
        (tmp_path / late.name).rename(late)
        return write_tables(*args, **kwargs)

    monkeypatch.setattr(command, "write_tables", finish_another)
    assert len(run(path, tmp_path, tables_only=True)) == 6
    assert len(read_archive(tmp_path / "cells.parquet", CELL_FIELDS)) == 7


@pytest.mark.parametrize("seed", range(2))
def test_a_benchmark_that_is_killed_ends_like_one_that_was_not(finished, tmp_path, monkeypatch, seed):
    if seed:
        copy_models(finished, tmp_path)
    last, steps = int(np.random.default_rng(seed).integers(2, 22)), 0
    plain = transformers.Trainer.training_step

    def training_step(*args, **kwargs):
        nonlocal steps
        steps += 1
        if steps == last:
            raise KeyboardInterrupt
        return plain(*args, **kwargs)

    monkeypatch.setattr(transformers.Trainer, "training_step", training_step)
    with pytest.raises(KeyboardInterrupt):
        run(finished[0], tmp_path)
    monkeypatch.setattr(transformers.Trainer, "training_step", plain)

    cells = run(finished[0], tmp_path)

    assert without_times(cells) == without_times(finished[2])
    assert (tmp_path / "tables.tex").read_text() == (finished[1] / "tables.tex").read_text()


def test_cells_of_other_settings_are_refused(finished, tmp_path):
    path, output, _ = finished
    modes = {"full": {"learning_rate": 0.002, "epochs": 1, "batch_size": 16}}
    other = write_benchmark(path.parent, "other.yaml", modes=modes)
    with pytest.raises(ValueError, match=r"was run with other settings \(points: .*0\.002"):
        run(other, output)
    longer = {**MODELS["letters"]["encoder"], "max_steps": 3}
    models = {"letters": {"tokenizer": "character", "encoder": longer}}
    other = write_benchmark(path.parent, "longer.yaml", models=models)
    copy_models(finished, tmp_path)
    with pytest.raises(ValueError, match=r"encoder was made with other settings \(max_steps: 2 then, 3 now\)"):
        run(other, tmp_path)


def test_what_was_begun_with_other_settings_is_begun_anew(finished, tmp_path):
    copy_models(finished, tmp_path)
    work = tmp_path / "work/planted__letters__full__1"
    work.mkdir(parents=True)
    (work / "settings.json").write_text('{"points": []}')
    (work / "point-0.json").write_text('{"dev": {"mcc": 1.0}, "predictions": [0], "sizes": {}, "chosen": {}}')

    assert without_times(run(finished[0], tmp_path)) == without_times(finished[2])
    assert not (tmp_path / "work").exists()


def test_cells_of_other_weights_are_refused(finished, tmp_path):
    shutil.copytree(finished[1], tmp_path / "run")
    cell = tmp_path / "run/cells/planted__letters__full__1.json"
    content = json.loads(cell.read_text())
    cell.write_text(json.dumps({**content, "weights": "0" * 16}))
    (tmp_path / "run/cells/planted__letters__full__2.json").unlink()
    with pytest.raises(ValueError, match="is of other weights of letters"):
        run(finished[0], tmp_path / "run")


@pytest.fixture
def nothing_trains(monkeypatch):
    for module, name in [(command, "prepare_model"), (prepare, "train_tokenizer"), (prepare, "pretrain")]:
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("training began"))


def test_wrong_task_files_stop_it_before_any_training(tmp_path, nothing_trains):
    write_benchmark(tmp_path)
    write_task(tmp_path / "GUE/mouse/3")
    path = write_benchmark(tmp_path, tasks=["mouse/3"], data_dir=str(tmp_path))
    with pytest.raises(TaskDataError, match="train has 40 rows instead of 1904"):
        run(path, tmp_path / "output")
    (tmp_path / "planted/dev.csv").write_text("sequence,label\nACGT,maybe\n")
    with pytest.raises(TaskDataError, match="'maybe'"):
        run(write_benchmark(tmp_path), tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_a_tokenizer_without_tokens_for_dna_stops_it_before_any_training(tmp_path, nothing_trains):
    words = Tokenizer(models.WordPiece({"[PAD]": 0, "[UNK]": 1, "word": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Split(Regex("[ACGTN]"), "removed")
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
        tmp_path / "words"
    )
    config = BertConfig(vocab_size=3, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertForSequenceClassification(config).save_pretrained(tmp_path / "words")
    models_ = {**MODELS, "words": {"path": str(tmp_path / "words")}}
    with pytest.raises(EmptySequenceError, match="gives no token for sequence 0"):
        run(write_benchmark(tmp_path, models=models_), tmp_path / "output")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"models": {"a": {"path": "/no/such/model"}}}, "models.a: there is no directory /no/such/model"),
        ({"models": {"a": {"path": "TOKENIZER"}}}, "holds a vqdna_codec, which cannot classify sequences"),
        ({"models": {"a": {"tokenizer": {"kind": "bpe", "file": "no.json"}}}}, "no.json is no tokenizer.json"),
        ({"fasta": ["/no/such/genome.fa"]}, "fasta: there is no file /no/such/genome.fa"),
    ],
)
def test_what_is_not_there_stops_it_before_any_training(finished, tmp_path, nothing_trains, content, message):
    path = write_benchmark(tmp_path, **content)
    path.write_text(path.read_text().replace("TOKENIZER", str(finished[1] / "models/learned/tokenizer")))
    with pytest.raises(ValueError, match=message):
        run(path, tmp_path / "output")


@pytest.mark.parametrize(
    "models_",
    [{"a": {"control": "kmer-regression"}}, {"a": {"tokenizer": "character", "encoder": {"max_steps": 0}}}],
)
def test_several_labels_a_row_need_a_model_that_takes_them(tmp_path, nothing_trains, models_):
    (tmp_path / "several").mkdir()
    for split in ("train", "dev", "test"):
        labels = [[row % 2, (row // 2) % 2] for row in range(20)]
        rows = {"sequence": ["ACGTACGTAC"] * 20, "label": [[float(one) for one in pair] for pair in labels]}
        Dataset.from_dict(rows).to_parquet(tmp_path / "several" / f"{split}.parquet")
    tasks = [{"name": "several", "data": str(tmp_path / "several")}]
    path = write_benchmark(tmp_path, models=models_, tasks=tasks, modes={"full": {}, "linear": {}})
    with pytest.raises(ValueError, match="several has several labels a row, and models.a"):
        run(path, tmp_path / "output")


def test_any_model_of_transformers_can_be_named(finished, tmp_path):
    """A BERT over letters, in a directory, as one of the Hub would be."""
    letters = Tokenizer(
        models.WordLevel({"[PAD]": 0, "[UNK]": 1, **dict(zip("ACGT", range(2, 6)))}, unk_token="[UNK]")
    )
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=letters, pad_token="[PAD]", unk_token="[UNK]", model_max_length=24
    )
    tokenizer.save_pretrained(tmp_path / "bert")
    config = BertConfig(
        vocab_size=6,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        num_labels=3,
        max_position_embeddings=64,
    )
    BertForSequenceClassification(config).save_pretrained(tmp_path / "bert")
    path = write_benchmark(
        finished[0].parent,
        "bert.yaml",
        models={"bert": {"path": str(tmp_path / "bert")}, "regression": MODELS["regression"]},
        modes={"full": {"epochs": 1, "batch_size": 16}, "lora": {"epochs": 1}, "linear": {}},
        tasks=[{"name": name, "data": str(finished[0].parent / name)} for name in ("planted", "levels")],
        seeds=[1],
    )

    cells = run(path, tmp_path / "output")

    assert {(cell["model"], cell["mode"]) for cell in cells} == {
        *(("bert", mode) for mode in ("full", "lora", "linear")),
        ("regression", "control"),
    }
    assert {cell["metric"] for cell in cells if cell["task"] == "levels"} == {"spearman"}
    bert = [cell for cell in cells if cell["model"] == "bert"]
    assert all(cell["kind"] == "other" for cell in bert)
    assert all(not cell["flops"] or cell["flops"]["encoder"] is None for cell in bert)  # it reads 64 tokens at most
    trained = {cell["mode"]: cell["parameters"]["trained"] for cell in bert if cell["task"] == "planted"}
    assert trained["lora"] < trained["full"]


def test_all_modes_of_a_learned_vocabulary(finished, tmp_path):
    path, output, _ = finished
    models = {"ours": {"path": str(output / "models/learned/encoder")}, "cnn": {"control": "cnn"}}
    models["cnn"]["options"] = {"epochs": 1}
    file = write_benchmark(
        path.parent,
        "modes.yaml",
        models=models,
        tasks=[{"name": "planted", "data": str(path.parent / "planted"), "strand_average": True, "rc_augment": True}],
        modes={mode: {"epochs": 1} for mode in ("full", "lora", "end-to-end")} | {"linear": {}},
        seeds=[1],
    )

    cells = run(file, tmp_path / "output")

    assert [cell["mode"] for cell in cells] == ["full", "lora", "end-to-end", "linear", "control"]
    trained = [cell["parameters"]["trained"] for cell in cells]
    assert trained[1] < trained[0] < trained[2]


@pytest.mark.parametrize("part", ["3/2", "0/2", "half", "1"])
def test_a_part_that_is_none_is_refused(finished, part):
    with pytest.raises(ValueError, match="--part is"):
        run(finished[0], finished[1], part=part)


@pytest.mark.slow
def test_two_processes_share_a_benchmark(finished, tmp_path):
    """What `accelerate launch` starts: two processes on one machine, each cell trained by both."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517"]
    command = [*launcher, "-m", "vqdna_hf.cli", "benchmark", str(finished[0]), "--output", str(tmp_path / "output")]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, timeout=500, env=environment, cwd=Path(__file__).parents[2])

    cells = [json.loads(path.read_text()) for path in (tmp_path / "output/cells").glob("*.json")]

    assert len(cells) == len(finished[2]) and all(cell["processes"] == 2 for cell in cells)
    one = {(cell["model"], cell["seed"]): cell for cell in finished[2]}
    for cell in cells:
        if cell["mode"] == "control":  # which draws no random numbers
            assert cell["test"] == one[cell["model"], cell["seed"]]["test"]
        assert cell["counts"] == {"train": 40, "dev": 16, "test": 20} and len(cell["bootstrap"]) == 200
