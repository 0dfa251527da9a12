"""Models of the Hub, named by repository, in the benchmark and in fine-tuning."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from loopback_hub import LoopbackHub
from tiny_benchmark import write_benchmark
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A Hub with a BERT over letters."""
    directory = tmp_path_factory.mktemp("bert")
    vocabulary = {"[PAD]": 0, "[UNK]": 1, **dict(zip("ACGT", range(2, 6)))}
    letters = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=letters, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(directory)
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertForMaskedLM(BertConfig(vocab_size=6, **shape)).save_pretrained(directory)
    with LoopbackHub() as hub:
        hub.seed("tester/bert", {path.name: path.read_bytes() for path in directory.iterdir()})
        yield hub


def vqdna(hub, home: Path, *command):
    return subprocess.run(
        [sys.executable, "-m", "vqdna_hf.cli", *map(str, command)],
        env={**hub.environment(home), "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_a_repository_is_a_model_of_the_benchmark(hub, tmp_path):
    content = {"models": {"bert": {"path": "tester/bert"}}, "seeds": [1]}
    file, output = write_benchmark(tmp_path, **content), tmp_path / "output"

    done = vqdna(hub, tmp_path / "home", "benchmark", file, "--output", output)

    assert done.returncode == 0, done.stderr
    (path,) = (output / "cells").glob("*.json")
    cell = json.loads(path.read_text())
    assert cell["kind"] == "other" and cell["settings"]["model"]["path"] == "tester/bert"
    assert len(cell["weights"]) == 40  # the commit
    missing = write_benchmark(tmp_path, "missing.yaml", **{**content, "models": {"bert": {"path": "tester/none"}}})
    done = vqdna(hub, tmp_path / "home", "benchmark", missing, "--output", tmp_path / "none")
    assert done.returncode == 2 and "tester/none" in done.stderr and "Traceback" not in done.stderr


def test_a_repository_is_fine_tuned(hub, tmp_path):
    write_benchmark(tmp_path)
    options = ["--data", tmp_path / "planted", "--epochs", 1, "--mode", "full", "--output", tmp_path / "output"]

    done = vqdna(hub, tmp_path / "home", "finetune", "--model", "tester/bert", *options)

    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "output/results.json").read_text())
    assert results["arguments"]["model"] == "tester/bert" and set(results["test"]) == {"mcc", "f1", "accuracy"}
