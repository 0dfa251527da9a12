"""The `vqdna` command: wrong input is an exit status of 2 and one message, and leaves nothing half-written."""

import gzip
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from vqdna_hf import __version__
from vqdna_hf.analysis.info import InfoArguments, codec_info, info
from vqdna_hf.cli import COMMANDS, main
from vqdna_hf.data import Corpus
from vqdna_hf.hub.publish import PublishArguments
from vqdna_hf.modeling.configuration_vqdna import VQDNACodecConfig
from vqdna_hf.modeling.tokenization_vqdna import VOCAB_FILES_NAMES
from vqdna_hf.parsing import named_words


# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def refused(capsys, *command: str) -> str:
    """Run a command that must be refused; returns its message."""
    capsys.readouterr()
    assert main([str(part) for part in command]) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("vqdna ")]
    assert len(lines) == 1 and lines[0].startswith(f"vqdna {command[0]}: ")
    assert "Traceback" not in error
    return error[error.index(lines[0]) :]


def assert_nothing_finished(output: Path):
    names = [path.name for path in output.rglob("*")] if output.exists() else []
    assert not [name for name in names if name.endswith((".partial", ".tmp"))]
    assert not {"training.json", "results.json", "tokenizer_config.json", "model.safetensors"} & set(names)


def tiny_training(output: Path, *options: str) -> list[str]:
    """The options of the smallest training there is, but for those that are given."""
    command = ["--preset", "tiny", "--max-steps", "1", "--batch-size", "4", "--warmup-steps", "0"]
    command += ["--length", "32", "--warmup-length", "32", "--eval-windows", "4", "--output", str(output)]
    pairs = [pair for pair in zip(command[::2], command[1::2]) if pair[0] not in options]
    return [*(word for pair in pairs for word in pair), *options]


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert "--output" in capsys.readouterr().out or command in ("compile-tokenizer", "info", "publish", "tasks")


@pytest.mark.parametrize(
    "command", [["learn"], [], ["pretrain"], ["info", "--length", "many"], ["info", "--size", "1"]]
)
def test_wrong_usage_is_one_line(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("vqdna") and said.count("\n") == 1 and "--help` says more" in said


# FASTA files


def fasta_files(directory: Path) -> dict[str, tuple[Path, str]]:
    """Unusable FASTA files and a word of the message each deserves."""
    compressed = gzip.compress(b">c1\n" + np.random.default_rng(0).choice(list(b"ACGT"), 4000).tobytes())
    contents = {
        "empty": (b"", "empty"),
        "truncated": (compressed[:-200], "truncated"),
        "protein": (b">p1\nMKLVEERS\n", "protein"),
        "duplicate": (b">c1\nACGT\n>c1\nACGT\n", "two records named 'c1'"),
        "headerless": (b"ACGTACGT\n", "not a FASTA file"),
        "no-bases": (b">c1\n>c2\nACGT\n", "no sequence"),
    }
    files = {"missing": (directory / "missing.fa", "no FASTA file")}
    for name, (content, word) in contents.items():
        files[name] = (directory / f"{name}{'.fa.gz' if name == 'truncated' else '.fa'}", word)
        files[name][0].write_bytes(content)
    return files


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "protein", "duplicate", "headerless", "no-bases"])
@pytest.mark.parametrize("command", ["train-tokenizer", "tokenize"])
def test_an_unusable_fasta_file_is_refused(tmp_path, capsys, command, kind):
    path, word = fasta_files(tmp_path)[kind]
    options = tiny_training(tmp_path / "out") if command == "train-tokenizer" else ["--output", tmp_path / "out"]
    message = refused(capsys, command, "--fasta", path, *options)
    assert word in message and path.name in message
    assert_nothing_finished(tmp_path / "out")


def test_windows_line_ends_are_read(tmp_path, genome_fasta, corpus_dir):
    crlf = tmp_path / genome_fasta.name
    crlf.write_bytes(genome_fasta.read_bytes().replace(b"\n", b"\r\n"))
    command = ["tokenize", "--fasta", str(crlf), "--output", str(tmp_path / "out"), "--eval-contigs", "c3"]
    assert main([*command, "--window", "64", "--min-length", "32"]) == 0
    there, here = (Corpus.load(path).split("train") for path in (corpus_dir, tmp_path / "out"))
    assert there["bases"][:] == here["bases"][:]


# directories and options


def test_a_missing_tokenizer_is_refused(tmp_path, capsys, genome_fasta, corpus_dir):
    missing, out = tmp_path / "missing", tmp_path / "out"
    for command in (
        ["tokenize", "--fasta", genome_fasta, "--tokenizer", missing, "--codes"],
        ["pretrain", "--corpus", corpus_dir, "--tokenizer", missing],
    ):
        message = refused(capsys, *command, "--output", out)
        assert str(missing) in message and "vqdna train-tokenizer" in message
        assert_nothing_finished(out)


def test_a_missing_corpus_or_model_is_refused(tmp_path, capsys, task_dir, tokenizer_dir):
    missing, out = tmp_path / "missing", tmp_path / "out"
    for command in (
        ["pretrain", "--corpus", missing, "--tokenizer", tokenizer_dir, "--output", out],
        ["finetune", "--data", missing, "--model", tokenizer_dir, "--output", out],
        ["finetune", "--data", task_dir, "--model", missing, "--output", out],
        ["info", "--model", missing],
    ):
        assert str(missing) in refused(capsys, *command)
        assert_nothing_finished(out)


@pytest.mark.parametrize("size", [0, 100, -50])
def test_truncated_tokenizer_weights_are_refused(tmp_path, capsys, genome_fasta, tokenizer_dir, size):
    broken = tmp_path / "broken"
    shutil.copytree(tokenizer_dir, broken)
    path = broken / VOCAB_FILES_NAMES["codec_file"]
    path.write_bytes(path.read_bytes()[:size])
    out = tmp_path / "out"
    message = refused(capsys, "tokenize", "--fasta", genome_fasta, "--tokenizer", broken, "--codes", "--output", out)
    assert path.name in message
    assert_nothing_finished(out)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--preset", "huge"], "--preset huge: must be one of paper-vq, paper-hrq, compact, "),
        (["--quantizer", "vq"], "quantizer='vq' has 1 codebook, but codebook_sizes=[8, 16] lists 2"),
        (["--mask-ratio", "1.5"], "--mask-ratio 1.5: must be at least 0 and less than 1"),
        (["--eval-contigs", "chrX"], "no contig 'chrX'"),
        (["--eval-fraction", "0.9"], "0.9"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, capsys, genome_fasta, options, message):
    out = tmp_path / "out"
    assert message in refused(capsys, "train-tokenizer", "--fasta", genome_fasta, *tiny_training(out, *options))
    assert_nothing_finished(out)


@pytest.mark.parametrize("options", [["--pooling", "median"], ["--dropout", "2"], ["--lora-r", "0"]])
def test_finetune_options_that_make_no_sense_are_refused(tmp_path, capsys, task_dir, model_dir, options):
    command = ["finetune", "--data", task_dir, "--model", model_dir, "--output", tmp_path / "out"]
    assert options[1] in refused(capsys, *command, *options)
    assert_nothing_finished(tmp_path / "out")


def test_an_interrupted_command_says_how_to_go_on(monkeypatch, tmp_path, capsys, genome_fasta):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("vqdna_hf.training.train_tokenizer.VQDNACodecTrainer.train", interrupt)
    assert main(["train-tokenizer", "--fasta", str(genome_fasta), *tiny_training(tmp_path / "out")]) == 130
    assert "--resume" in capsys.readouterr().err
    assert_nothing_finished(tmp_path / "out")


# the other commands


def test_the_one_hot_tokenizer_s_codes_are_the_bases(tmp_path):
    assert main(["one-hot-tokenizer", "--output", str(tmp_path)]) == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer("ACGTNacgu", add_special_tokens=False)["input_ids"]
    assert ids == [5, 6, 7, 8, 1, 5, 6, 7, 8]
    assert tokenizer.decode(ids) == "ACGTNACGT"
    assert tokenizer.codec.config.receptive_field == 1


def test_info_counts_what_a_directory_holds(capsys, model_dir, tokenizer_dir):
    assert main(["info", str(model_dir), "--length", "64"]) == 0
    text = capsys.readouterr().out
    assert "parameters" in text and "tokenizer" in text and "encoder" in text
    whole, alone = (info(InfoArguments(model=str(path), length=64)) for path in (model_dir, tokenizer_dir))
    assert whole[0] == alone[0] and len(alone) == 1
    twice = info(InfoArguments(model=str(model_dir), length=128))
    assert twice[0]["flops"] == 2 * whole[0]["flops"]


def test_the_flops_of_a_codec_are_those_of_its_products():
    """Stem, projection, six blocks of depth-wise and two linear layers, and the distances to all codes."""
    config = VQDNACodecConfig.from_preset("small")
    d, wide = config.hidden_size, config.expansion * config.hidden_size
    block = 2 * config.kernel_size * d + 2 * 2 * d * wide
    stem = 2 * 4 * config.stem_kernel_size * config.stem_channels + 2 * config.stem_channels * d
    levels = 2 * d * config.codebook_dim * config.num_levels
    search = 2 * sum(config.codebook_sizes) * config.codebook_dim
    expected = 100 * (stem + config.num_hidden_layers * block + levels + search)
    assert codec_info(config, 100)["flops"] == expected


@pytest.mark.slow
def test_the_presets_have_the_paper_s_sizes():
    rows = {row["what"]: row["parameters"] / 1e6 for row in info(InfoArguments(length=64))}
    assert rows["tokenizer paper-vq"] == pytest.approx(16, rel=0.15)
    assert rows["tokenizer paper-vq"] < rows["tokenizer paper-hrq"] < 17.5
    for name in ("encoder paper", "encoder paper-bert"):
        assert rows[name] == pytest.approx(86, rel=0.05)


@pytest.mark.slow
def test_the_demo_from_scratch_runs_through(tmp_path, capsys):
    command = ["demo", "--from-scratch", "--output", str(tmp_path / "demo"), "--steps", "4", "--epochs", "1"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "Reloaded by AutoTokenizer" in text
    for kind, mode in [("learned", "lora"), ("learned", "end-to-end"), ("one-hot", "lora"), ("one-hot", "full")]:
        results = json.loads((tmp_path / "demo" / f"{kind}-{mode}" / "results.json").read_text())
        assert f"{results['test']['mcc']:.3f}" in text
    assert (tmp_path / "demo" / "table.txt").read_text().strip() in text


@pytest.mark.parametrize(
    "argv, named",
    [
        (["d", "me/r"], ["--directory", "d", "--repo-id", "me/r"]),
        (["--dry-run", "d", "me/r"], ["--dry-run", "--directory", "d", "--repo-id", "me/r"]),
        (["d", "--private", "me/r", "--message", "m"], ["--directory", "d", "--private", "--repo-id", "me/r"]),
        (["--directory", "d", "--repo-id", "me/r"], ["--directory", "d", "--repo-id", "me/r"]),
    ],
)
def test_main_arguments_may_stand_alone(argv, named):
    assert named_words(PublishArguments, argv)[: len(named)] == named


@pytest.mark.parametrize("given, expected", [(None, "128"), ("7", "7")])
def test_compiled_products_are_not_kept_for_ever(monkeypatch, given, expected):
    """Every new number of rows is one more for oneDNN to keep; a user's own limit stands."""
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv(name, given)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert os.environ.pop(name) == expected
