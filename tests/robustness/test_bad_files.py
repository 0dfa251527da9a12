"""Files and directories that no command can use: each is answered with one line that names the file and the status 2,
no traceback, and nothing half-written."""

import json
import os
import shutil
from pathlib import Path

import pytest
from answers import check_nothing_written, refusal
from bad_files import (
    FASTA_COMMANDS,
    FASTA_CONTENT,
    FASTA_FILES,
    FASTA_FINE,
    GOOD,
    JSON_READERS,
    TASK_FILES,
    YAML_TEXTS,
    edited,
    with_nan,
)
from no_json import NO_OBJECTS
from robust_world import World


pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

JSON_KINDS = ("empty", "cut", "list", "number", "null", "text", "bytes", "unfinished lists", "unfinished objects")
FASTA_CASES = [
    (command, kind) for command in FASTA_COMMANDS for kind in FASTA_FILES if (command, kind) not in FASTA_FINE
]


@pytest.fixture
def places(world: World, tmp_path) -> dict[str, str]:
    return {**world.places, "out": str(tmp_path / "out"), "bad": str(tmp_path / "bad")}


def copy_of(world: World, name: str, places: dict[str, str]) -> Path:
    return Path(shutil.copytree(world[name], places["bad"]))


@pytest.mark.parametrize(("command", "kind"), FASTA_CASES, ids=["-".join(case) for case in FASTA_CASES])
def test_a_bad_fasta_file(places, capsys, tmp_path, command, kind):
    name, content, word = FASTA_FILES[kind]
    path = tmp_path / name
    path.write_bytes(content)
    said = refusal(capsys, FASTA_COMMANDS[command], {**places, "bad": str(path)})
    assert word in said
    assert name in said or kind in FASTA_CONTENT and "window" in said
    check_nothing_written(tmp_path / "out")


@pytest.mark.parametrize("command", FASTA_COMMANDS)
@pytest.mark.parametrize("kind", ["missing", "directory", "loop", "socket"])
def test_no_fasta_file(places, capsys, tmp_path, command, kind):
    path = tmp_path / "a.fa"
    if kind == "directory":
        path.mkdir()
    if kind == "loop":
        path.symlink_to(path)
    if kind == "socket":
        import socket

        if not hasattr(socket, "AF_UNIX"):
            pytest.skip("no such sockets here")
        socket.socket(socket.AF_UNIX).bind(str(path))
    assert "a.fa" in refusal(capsys, FASTA_COMMANDS[command], {**places, "bad": str(path)})
    check_nothing_written(tmp_path / "out")


@pytest.mark.parametrize("kind", TASK_FILES)
@pytest.mark.parametrize("command", ["finetune --data {bad} --model {encoder} --output {out}", "audit {bad}"])
def test_a_bad_task_file(places, capsys, tmp_path, command, kind):
    name, content, words = TASK_FILES[kind]
    directory = tmp_path / "bad"
    directory.mkdir()
    for split in ("train", "dev", "test"):
        if not name.startswith(split):
            (directory / f"{split}.csv").write_bytes(GOOD)
    (directory / name).write_bytes(content)
    said = refusal(capsys, command, places)
    assert all(word in said for word in words), said
    check_nothing_written(tmp_path / "out")


@pytest.mark.parametrize("kind", ["no files", "no train", "no test", "two devs", "two trains"])
def test_a_bad_task_directory(places, capsys, tmp_path, kind):
    directory = tmp_path / "bad"
    directory.mkdir()
    names = {
        "no files": (),
        "no train": ("dev.csv", "test.csv"),
        "no test": ("train.csv", "dev.csv"),
        "two devs": ("train.csv", "dev.csv", "validation.csv", "test.csv"),
        "two trains": ("train.csv", "train.parquet", "test.csv"),
    }[kind]
    for name in names:
        (directory / name).write_bytes(GOOD)
    said = refusal(capsys, "finetune --data {bad} --model {encoder} --output {out}", places)
    assert str(directory) in said
    check_nothing_written(tmp_path / "out")


@pytest.mark.parametrize("kind", JSON_KINDS)
@pytest.mark.parametrize(("source", "file", "line"), JSON_READERS, ids=[" ".join(case) for case in JSON_READERS])
def test_a_bad_json_file(world, places, capsys, tmp_path, source, file, line, kind):
    (copy_of(world, source, places) / file).write_bytes(NO_OBJECTS[kind])
    said = refusal(capsys, line, places)
    assert file in said or places["bad"] in said, said
    check_nothing_written(tmp_path / "out")


@pytest.mark.parametrize("kind", YAML_TEXTS)
def test_a_bad_benchmark_file(places, capsys, tmp_path, kind):
    text, word = YAML_TEXTS[kind]
    path = tmp_path / "b.yaml"
    path.write_text(text)
    said = refusal(capsys, "benchmark {bad} --output {out}", {**places, "bad": str(path)})
    assert "b.yaml" in said and word in said
    check_nothing_written(tmp_path / "out")


WEIGHTS = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "garbage": lambda path: path.write_bytes(os.urandom(4096)),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
    "a loop": lambda path: (path.unlink(), path.symlink_to(path)),
    "nan": with_nan,
}
WEIGHT_READERS = [
    ("encoder", "model.safetensors", "finetune --data {task} --model {bad} --output {out}"),
    ("encoder", "codec.safetensors", "finetune --data {task} --model {bad} --output {out}"),
    ("encoder", "model.safetensors", "export {bad} --output {out}"),
    ("encoder", "model.safetensors", "publish {bad} owner/name --dry-run"),
    ("tokenizer", "codec.safetensors", "tokenize --codes --fasta {genome} --tokenizer {bad} --output {out}"),
    ("tokenizer", "codec.safetensors", "pretrain --corpus {corpus} --tokenizer {bad} --output {out}"),
    ("tokenizer", "codec.safetensors", "codebook {bad} --data {task} --output {out}"),
    ("full", "model.safetensors", "publish {bad} owner/name --dry-run"),
    ("adapter", "adapter_model.safetensors", "publish {bad} owner/name --dry-run --base-model owner/base"),
    ("probe", "probe.safetensors", "publish {bad} owner/name --dry-run"),
]


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize(("source", "file", "line"), WEIGHT_READERS, ids=[" ".join(case) for case in WEIGHT_READERS])
def test_bad_weights(world, places, capsys, tmp_path, source, file, line, kind):
    WEIGHTS[kind](copy_of(world, source, places) / file)
    refusal(capsys, line, places)
    check_nothing_written(tmp_path / "out")


# edits of a configuration that no model can be of
CONFIGS = {
    "model_type": ["bert2", 7, None],
    "pooling": ["Mean", "", 3],
    "pooling_bins": [0, -1, 1.5, "many"],
    "classifier_dropout": [-0.1, 1.5, "much"],
    "base_loss_weight": [-1.0, "much"],
    "num_labels": [0, -3],
    "problem_type": ["regressions", 4],
    "strand_average": ["yes", 2],
    "freeze_codec": ["no"],
    "format_version": [99, "one"],
    "vocabulary_fingerprint": ["0" * 32, 5],
    "codec_config": [
        [],
        {"quantizer": "hqr"},
        {"codebook_sizes": [0]},
        {"hidden_size": -4},
        {"num_hidden_layers": 10**9},
    ],
    "encoder_config": [[], {"model_type": "no-such-model"}, {"model_type": "modernbert", "hidden_size": 31}],
}
CONFIG_CASES = [(field, value) for field, values in CONFIGS.items() for value in values]


@pytest.mark.parametrize(
    ("field", "value"), CONFIG_CASES, ids=[f"{field}={value}"[:60] for field, value in CONFIG_CASES]
)
def test_a_bad_configuration(world, places, capsys, tmp_path, field, value):
    edited(copy_of(world, "encoder", places) / "config.json", **{field: value})
    refusal(capsys, "finetune --data {task} --model {bad} --output {out}", places)
    check_nothing_written(tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/passwd", "sub/../../x.safetensors", "a\\b.safetensors"]
)
def test_weights_outside_a_directory(world, places, capsys, tmp_path, name):
    directory = copy_of(world, "encoder", places)
    (directory / "model.safetensors").rename(tmp_path / "outside.safetensors")
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {"a": name}}))
    refusal(capsys, "publish {bad} owner/name --dry-run", places)


@pytest.mark.parametrize(
    "file", ["results.json", "LICENSE", "special_tokens_map.json", "model.safetensors", "README.md"]
)
def test_links_that_lead_outside_a_directory(world, places, capsys, tmp_path, file):
    directory = copy_of(world, "full", places)
    secret = tmp_path / "secret"
    if (directory / file).exists():
        shutil.move(directory / file, secret)
    else:
        secret.write_text("secret")
    (directory / file).symlink_to(secret)
    assert file in refusal(capsys, "publish {bad} owner/name --dry-run", places)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("command", FASTA_COMMANDS)
def test_a_pipe_is_refused_without_waiting_for_who_writes_to_it(places, capsys, tmp_path, command):
    """Most commands read a file twice, of which a pipe would lose what a check has read."""
    pipe = tmp_path / "a.fa"
    os.mkfifo(pipe)
    said = refusal(capsys, FASTA_COMMANDS[command], {**places, "bad": str(pipe)})
    assert "a.fa" in said and "pipe" in said
    check_nothing_written(tmp_path / "out")
