"""Every example runs, one after the other, on what the one before it wrote."""

import ast
import runpy
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from vqdna_hf.demo import write_simulation


EXAMPLES = Path(__file__).parents[1] / "examples"
# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    sys.modules.pop("small_data", None)


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("examples")


def run(monkeypatch, script: str, *options) -> dict:
    monkeypatch.setattr(sys, "argv", [script, *(str(option) for option in options)])
    return runpy.run_path(str(EXAMPLES / script), run_name="__main__")


@pytest.fixture(scope="module")
def task(directory) -> Path:
    """The simulated task, cut to a few rows."""
    _, task = write_simulation(directory / "data", seed=0)
    for path in task.glob("*.csv"):
        path.write_text("\n".join(path.read_text().splitlines()[:65]) + "\n")
    return task


@pytest.fixture
def tokenizer(monkeypatch, directory) -> Path:
    output = directory / "tokenizer"
    if not output.exists():
        fasta = write_simulation(directory / "genome", seed=0)[0][0]
        run(monkeypatch, "train_tokenizer.py", "--fasta", fasta, "--output", output, "--max-steps", 4)
    return output


@pytest.fixture
def model(monkeypatch, directory, tokenizer) -> Path:
    output = directory / "model"
    if not output.exists():
        options = ["--tokenizer", tokenizer, "--output", output, "--max-steps", 4, "--batch-size", 4]
        run(monkeypatch, "pretrain_mlm.py", *options)
    return output


def test_train_tokenizer(tokenizer):
    assert len(AutoTokenizer.from_pretrained(tokenizer)("ACGT")["input_ids"]) == 6


def test_tokenize_sequences(monkeypatch, capsys, tokenizer):
    run(monkeypatch, "tokenize_sequences.py", "AC[MASK]TN", "--tokenizer", tokenizer)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["2-8", "[MASK]", "[MASK]"] for line in lines)
    assert any(line.split() == ["9-10", "N", "[UNK]"] for line in lines)


def test_small_data_stands_in_for_missing_paths(monkeypatch, capsys, tmp_path):
    import small_data

    monkeypatch.setattr(small_data, "new_directory", lambda: tmp_path)
    small_data.small_tokenizer(tmp_path, steps=4)  # found there by the example, which would train longer
    run(monkeypatch, "tokenize_sequences.py")
    assert "Vocabulary fingerprint" in capsys.readouterr().out
    small_data.small_model(tmp_path, steps=4)
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "model")
    assert small_data.small_model(tmp_path) == tmp_path / "model"


def test_pretrain_mlm(model):
    AutoModelForMaskedLM.from_pretrained(model).check_tokenizer(AutoTokenizer.from_pretrained(model))


def test_finetune_and_evaluate(monkeypatch, capsys, directory, task, model):
    output = directory / "finetuned"
    names = run(
        monkeypatch, "finetune_trainer.py", "--data", task, "--model", model, "--output", output, "--epochs", 1
    )
    AutoModelForSequenceClassification.from_pretrained(output).check_tokenizer(AutoTokenizer.from_pretrained(output))
    capsys.readouterr()
    run(monkeypatch, "evaluate_predictions.py", "--predictions", output / "predictions.csv")
    printed = ast.literal_eval(capsys.readouterr().out.splitlines()[0])
    assert printed == {"mcc": pytest.approx(names["test"].metrics["test_mcc"])}


def test_finetune_lora(monkeypatch, directory, task, model):
    output = directory / "lora"
    run(monkeypatch, "finetune_lora.py", "--data", task, "--model", model, "--output", output, "--epochs", 1)
    assert (output / "adapter_model.safetensors").is_file() and not (output / "model.safetensors").exists()


def test_evaluate_simulated_predictions(monkeypatch, capsys):
    run(monkeypatch, "evaluate_predictions.py")
    assert "mcc" in capsys.readouterr().out


def test_the_two_ways_to_finetune_differ_in_the_marked_lines_only():
    plain = (EXAMPLES / "finetune_trainer.py").read_text().splitlines()
    lora = (EXAMPLES / "finetune_lora.py").read_text().splitlines()
    marked = [line for line in lora if line.endswith("  # LoRA")]
    assert len(marked) == 5
    assert [line for line in lora if line not in marked] == plain


def test_every_example_is_in_the_table():
    table = (EXAMPLES / "README.md").read_text()
    scripts = {path.name for path in EXAMPLES.glob("*.py")} - {"small_data.py"}
    assert scripts == {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    for name in scripts:
        header = (EXAMPLES / name).read_text().split('"""')[1]
        assert all(word in header for word in ("Trains:", "On:", "Takes:")), name
