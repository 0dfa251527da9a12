"""`vqdna demo`: the checkpoint at work beside controls. All that it prints is computed from what it ran."""

import json
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import write_task

from vqdna_hf import VQDNATokenizer, checkpoints
from vqdna_hf.arguments.analysis import DemoArguments
from vqdna_hf.baselines import one_hot_codec
from vqdna_hf.cli import main
from vqdna_hf.demo import checkpoint as demo_checkpoint
from vqdna_hf.demo.checkpoint import describe_codes, load_tasks, take_rows, task_name
from vqdna_hf.demo.demo import demo
from vqdna_hf.demo.simulation import write_task as write_simulated
from vqdna_hf.demo.steps import MARKER, prepare_output
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.tasks import load_task_files


# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

MODELS = {"lora": "vqdna-hrq-small", "untrained": "same network, random", "cnn": "one-hot CNN"}


@pytest.fixture
def packaged(monkeypatch, tmp_path, model_dir) -> Path:
    """A tiny model in the place of the checkpoint, and few rows of the simulated task."""
    shutil.copytree(model_dir, tmp_path / "package" / "vqdna-hrq-small")
    monkeypatch.setattr(checkpoints, "_FOLDER", tmp_path / "package")
    monkeypatch.setattr(demo_checkpoint, "write_task", partial(demo_checkpoint.write_task, rows=(64, 20, 30)))
    return tmp_path / "package"


def test_the_demo_adapts_the_checkpoint_beside_controls(packaged, task_dir, tmp_path, capsys):
    before = {path: path.read_bytes() for path in packaged.rglob("*") if path.is_file()}
    output = tmp_path / "demo"
    command = ["demo", "--output", str(output), "--data", str(task_dir), "--epochs", "1"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert text.rstrip().endswith((output / "table.txt").read_text().rstrip())
    for task in ("simulated", task_dir.name):
        for name, model in MODELS.items():
            results = json.loads((output / "runs" / task / name / "results.json").read_text())
            assert results["mode"] == ("lora" if name == "lora" else "full")
            scores = rf"{results['dev']['mcc']:.3f} +{results['test']['mcc']:.3f}"
            assert re.search(rf"^{model} .* {scores} ", text, re.MULTILINE)
    assert len(re.findall(r"^4- to 6-mers +regression +-?[01]\.\d{3} +-?[01]\.\d{3}", text, re.MULTILINE)) == 2
    assert "simulated: MCC, 64 training rows" in text and f"{task_dir.name}: MCC, 36 training rows (14 test" in text
    again = re.search(r"test accuracy of ([\d.]+); when it was trained, it had ([\d.]+)\.", text)
    assert again.group(1) == again.group(2)
    assert {path: path.read_bytes() for path in packaged.rglob("*") if path.is_file()} == before


def test_the_control_has_the_network_and_the_codes_but_not_the_weights(packaged, tmp_path):
    checkpoint = packaged / "vqdna-hrq-small"
    tokenizer = VQDNATokenizer.from_pretrained(checkpoint)
    written = demo_checkpoint.write_controls(tokenizer, tmp_path / "models", seed=0)["untrained"]
    ours, theirs = (load_file(path / "model.safetensors") for path in (checkpoint, written))
    assert {name: value.shape for name, value in ours.items()} == {name: v.shape for name, v in theirs.items()}
    same = {name for name in ours if ours[name].equal(theirs[name])}
    assert same >= {name for name in ours if "codec." in name}
    assert not any(name.endswith("proj.weight") for name in same if "codec." not in name)


def test_a_directory_that_no_demo_wrote_is_left_alone(packaged, tmp_path):
    arguments = DemoArguments(output=str(tmp_path / "demo"), epochs=1)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="no demo wrote"):
        demo(arguments)
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["mine.txt"]


def test_a_second_demo_replaces_the_first_and_nothing_else(tmp_path):
    prepare_output(tmp_path / "demo", overwrite=True)
    (tmp_path / "demo" / "runs" / "old").mkdir(parents=True)
    (tmp_path / "demo" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds an earlier demo"):
        prepare_output(tmp_path / "demo", overwrite=False)
    assert (tmp_path / "demo" / "runs" / "old").is_dir()
    prepare_output(tmp_path / "demo", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [MARKER, "mine.txt"]


def test_data_that_cannot_be_shown_are_refused_before_anything_is_written(packaged, tmp_path):
    several = write_task(tmp_path / "several", lambda planted, rng: f"{planted};{1 - planted}")
    one, same = (write_task(tmp_path / name / "task", lambda planted, rng: planted) for name in ("a", "b"))
    number, hyphen = (write_task(tmp_path / name, lambda planted, rng: planted) for name in ("task/1", "task-1"))
    output = str(tmp_path / "demo")
    for data, message in (
        ([several], "several labels a row"),
        ([one, same], "another task called 'task'"),
        ([number, hyphen], "another task called 'task-1'"),
        ([tmp_path / "missing"], "no task directory"),
    ):
        with pytest.raises(ValueError, match=message):
            demo(DemoArguments(output=output, data=[str(path) for path in data]))
    with pytest.raises(ValueError, match="leave --from-scratch out"):
        demo(DemoArguments(output=output, data=[str(one)], from_scratch=True))
    with pytest.raises(ValueError, match="--max-rows 1 is less than the 2 classes"):
        demo(DemoArguments(output=output, data=[str(one)], max_rows=1))
    assert not Path(output).exists()


def test_data_in_the_output_are_not_deleted(packaged, tmp_path):
    prepare_output(tmp_path / "demo", overwrite=True)
    mine = write_task(tmp_path / "demo" / "data" / "mine", lambda planted, rng: planted)
    with pytest.raises(ValueError, match="lies in .*demo, which is replaced"):
        demo(DemoArguments(output=str(tmp_path / "demo"), data=[str(mine)]))
    assert load_task_files(mine)


def test_fewer_rows_of_a_task_that_is_called_as_the_simulated_one_s_directory(packaged, tmp_path):
    write_simulated(tmp_path / "data", np.random.default_rng(0), rows=(8, 4, 4))
    directory = write_task(tmp_path / "mine" / "task", lambda planted, rng: planted)
    task = take_rows(*load_tasks([str(directory)]), tmp_path / "data", max_rows=10, seed=0)
    assert task.info.counts["train"] == 10
    assert load_task_files(tmp_path / "data" / "task")[1].counts["train"] == 8


def test_fewer_rows_have_every_class_and_are_otherwise_those_of_the_seed(tmp_path):
    rare = write_task(tmp_path / "rare", lambda planted, rng: planted)
    lines = (rare / "train.csv").read_text().splitlines()
    lines[3] = lines[3][:-1] + "2"
    (rare / "train.csv").write_text("\n".join(lines) + "\n")
    [whole] = load_tasks([str(rare)])
    for seed in range(5):
        task = take_rows(whole, tmp_path / f"data{seed}", max_rows=6, seed=seed)
        assert task.info.num_labels == 3 and task.info.counts["train"] == 6
        drawn = np.random.default_rng(seed).permutation(36)[:6]
        if 2 in drawn:  # the row with the rare label: nothing had to be changed
            expected = whole.splits["train"].select(np.sort(drawn))["nucleotide_ids"]
            assert list(task.splits["train"]["nucleotide_ids"]) == list(expected)


@pytest.mark.parametrize("label_of", [lambda planted, rng: planted, lambda planted, rng: rng.normal()])
def test_fewer_rows_are_drawn_from_train_and_dev_alone(tmp_path, label_of):
    directory = write_task(tmp_path / "task", label_of)
    [given] = load_tasks([str(directory)])
    task = take_rows(given, tmp_path / "data", max_rows=10, seed=0)
    assert (task.info.counts, task.of) == ({"train": 10, "dev": 10, "test": 14}, 36)
    problem = given.info.problem_type
    assert task.info.problem_type == load_task_files(task.directory, problem=problem)[1].problem_type == problem
    for split in ("train", "dev", "test"):
        rows = [
            list(zip(map(tuple, one.splits[split]["nucleotide_ids"]), one.splits[split]["labels"]))
            for one in (given, task)
        ]
        assert set(rows[1]) <= set(rows[0])
    assert rows[0] == rows[1]  # test, in its order
    assert take_rows(given, tmp_path / "none", max_rows=36, seed=0) is given and not (tmp_path / "none").exists()


@pytest.mark.parametrize("path, name", [("GUE/mouse/0", "mouse/0"), ("GUE/prom_core_all", "prom_core_all")])
def test_a_task_is_named_by_its_directory(tmp_path, path, name):
    assert task_name(tmp_path / path) == name


def test_one_hot_codes_decode_to_the_bases_and_a_base_changes_its_own_code():
    sequences = np.random.default_rng(0).integers(0, 4, (3, 40)).astype(np.uint8)
    text = "\n".join(describe_codes(VQDNATokenizer(codec=one_hot_codec()), sequences))
    assert "Decoding gives back 100.00 % of the 120 bases of 3 such sequences." in text
    assert "other codes at 1 of 40 bases (20 to 20); a code sees 1 bases." in text
    assert re.search(r"^decoded +" + " +".join(ids_to_bases(sequences[0])[:24]) + "$", text, re.MULTILINE)


def test_codes_that_a_base_does_not_change_are_said_not_to():
    tokenizer = VQDNATokenizer(codec=one_hot_codec())
    with torch.no_grad():
        tokenizer.codec.quantizer.codebooks[0].embedding[1:] = 1e6  # far away: all bases have the first code
    text = "\n".join(describe_codes(tokenizer, np.zeros((1, 30), dtype=np.uint8)))
    assert "other codes at 0 of 30 bases; a code sees 1 bases." in text


def test_what_does_not_decode_is_not_said_to():
    tokenizer = VQDNATokenizer(codec=one_hot_codec())
    with torch.no_grad():
        tokenizer.codec.decoder.head.weight.neg_()  # the base that is there becomes the least likely one
    text = "\n".join(describe_codes(tokenizer, np.zeros((2, 30), dtype=np.uint8)))
    assert "Decoding gives back 0.00 % of the 60 bases" in text
