"""Every example runs on tiny data, one on what another has written."""

import ast
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from loopback_hub import LoopbackHub
from peft import AutoPeftModelForSequenceClassification
from sklearn.metrics import matthews_corrcoef
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

from vqdna_hf.data import GenomeBases
from vqdna_hf.hub import publish as publishing
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases


ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
ROWS = {"train": 64, "dev": 33, "test": 35}
# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def run(script: str, *options) -> dict:
    """Run an example in this process; returns its names."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "argv", [script, *(str(option) for option in options)])
        return runpy.run_path(str(EXAMPLES / script), run_name="__main__")


def code(script: str) -> list[str]:
    """The lines behind the header."""
    return (EXAMPLES / script).read_text().split('"""', 2)[2].splitlines()


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """What `small_data.py` writes after a few steps, with a task of a few rows and a genome of a few windows."""
    directory = tmp_path_factory.mktemp("examples")
    run("small_data.py", directory, "--steps", 4)
    for name, rows in ROWS.items():
        path = directory / "task" / f"{name}.csv"
        path.write_text("\n".join(path.read_text().splitlines()[: rows + 1]) + "\n")
    genome = (directory / "simulated_genome.fa").read_text().splitlines()
    (directory / "short.fa").write_text("\n".join([*genome[:4], ">second", *genome[4:6]]) + "\n")
    return directory


def finetune(script: str, small: Path, output: Path, *options) -> dict:
    return run(script, "--model", small / "model", "--data", small / "task", "--output", output, *options)


@pytest.fixture(scope="module")
def finetuned(small) -> dict:
    """The names of 04, and its `directory`."""
    output = small / "finetuned"
    return {"directory": output, **finetune("04_finetune_trainer.py", small, output, "--epochs", 2)}


@pytest.fixture(scope="module")
def adapter(small) -> dict:
    """The names of 05, and its `directory`."""
    output = small / "adapter"
    return {"directory": output, **finetune("05_finetune_lora.py", small, output, "--epochs", 2)}


def test_small_data(small):
    tokenizer = AutoTokenizer.from_pretrained(small / "tokenizer")
    AutoModelForMaskedLM.from_pretrained(small / "model").check_tokenizer(tokenizer)


def test_tokenize(capsys, small):
    run("01_tokenize.py", "AC[MASK]TN", "--model", small / "model")
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["2-8", "[MASK]", "[MASK]"] for line in lines)
    assert any(line.split() == ["9-10", "N", "[UNK]"] for line in lines)
    run("01_tokenize.py", "--model", small / "tokenizer")
    assert "Vocabulary fingerprint" in capsys.readouterr().out


def test_embeddings_belong_to_bases_and_windows(capsys, small, tmp_path):
    output = tmp_path / "windows.parquet"
    fasta = ["--fasta", small / "short.fa", "--length", 64]
    run("02_embeddings.py", "--model", small / "model", *fasta, "--output", output, "--sequence", "ACGTN")
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.endswith("...")]
    assert [line[:2] for line in lines] == [["0", "A"], ["1", "C"], ["2", "G"], ["3", "T"], ["4", "N"]]
    table = pd.read_parquet(output)
    genome = GenomeBases.from_fasta([small / "short.fa"])
    pieces = [(name, 64 * i, min(64 * i + 64, size)) for name, size in zip(genome.names, (240, 160)) for i in range(4)]
    pieces = [piece for piece in pieces if piece[1] < piece[2]]
    assert list(table[["contig", "start", "end"]].itertuples(index=False, name=None)) == pieces
    extract = pipeline("feature-extraction", model=str(small / "model"))
    for row in table.itertuples():  # the last ones are short, and were padded
        bases = ids_to_bases(genome.contig(genome.names.index(row.contig))[row.start : row.end])
        alone = extract(bases, return_tensors=True)[0].mean(dim=0)
        np.testing.assert_allclose(row.embedding, alone, atol=1e-5)


def test_fill_mask_scores_what_the_network_has_not_seen(capsys, small):
    names = run("03_fill_mask.py", "--model", small / "model")
    printed = capsys.readouterr().out
    assert len(re.findall(r"\[MASK\] \d: ", printed)) == 3
    scores = names["log_probabilities"]("GCCATGTATAAAGG", 7)
    assert sum(np.exp(list(scores.values()))) == pytest.approx(1, abs=1e-5)
    assert names["log_probabilities"]("GCCATGTCTAAAGG", 7) == scores
    alternatives = re.findall(r"^  T>([ACG])  ([-+]\d\.\d{3})$", printed, re.MULTILINE)
    expected = {base: names["scores"][base] - names["scores"]["T"] for base in "ACG"}
    assert {base: float(score) for base, score in alternatives} == pytest.approx(expected, abs=1e-3)


def test_the_trainer_saves_the_epoch_that_dev_chose(finetuned, small):
    trainer, directory = finetuned["trainer"], finetuned["directory"]
    dev = [entry["eval_mcc"] for entry in trainer.state.log_history if "eval_mcc" in entry]
    assert len(dev) == 2 and trainer.state.best_metric == max(dev)
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    model.check_tokenizer(AutoTokenizer.from_pretrained(directory))
    expected = trainer.predict(finetuned["splits"]["dev"])
    assert expected.metrics["test_mcc"] == pytest.approx(trainer.state.best_metric)
    np.testing.assert_allclose(predict(model, directory, small / "task" / "dev.csv"), expected.predictions, atol=1e-5)


def predict(model, directory: Path, file: Path) -> np.ndarray:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    with torch.no_grad():
        batch = tokenizer(pd.read_csv(file)["sequence"].tolist(), padding=True, return_tensors="pt")
        return model(**batch).logits.numpy()


def test_the_adapter_that_is_saved_is_the_one_that_was_trained(adapter, small):
    trainer, directory = adapter["trainer"], adapter["directory"]
    assert (directory / "adapter_model.safetensors").is_file() and not (directory / "model.safetensors").exists()
    expected = trainer.predict(adapter["splits"]["dev"])
    assert expected.metrics["test_mcc"] == pytest.approx(trainer.state.best_metric)
    model = AutoPeftModelForSequenceClassification.from_pretrained(directory).eval()
    np.testing.assert_allclose(predict(model, directory, small / "task" / "dev.csv"), expected.predictions, atol=1e-5)


def test_lora_differs_from_plain_finetuning_in_the_marked_lines_only():
    plain, lora = code("04_finetune_trainer.py"), code("05_finetune_lora.py")
    marked = [line for line in lora if line.endswith("  # LoRA")]
    assert len(marked) == 7
    assert [line for line in lora if line not in marked] == plain


def test_plain_finetuning_needs_nothing_of_ours_but_the_classes():
    imports = [line for line in code("04_finetune_trainer.py") if "vqdna_hf" in line]
    assert [line.split("  #")[0] for line in imports] == ["import vqdna_hf"]


def check_loop(output: Path, small: Path, printed: str, epochs: int):
    """What the hand-written loop printed of dev's best epoch and of test is so for the model that it saved."""
    dev = [float(score) for score in re.findall(r"dev MCC (\S+),", printed)]
    test = float(re.search(r"test MCC (\S+)", printed).group(1))
    assert len(dev) == epochs
    model = AutoModelForSequenceClassification.from_pretrained(output).eval()
    for name, score in (("dev", max(dev)), ("test", test)):
        file = small / "task" / f"{name}.csv"
        predictions = predict(model, output, file).argmax(axis=-1)
        assert matthews_corrcoef(pd.read_csv(file)["label"], predictions) == pytest.approx(score, abs=1e-3)


def test_the_hand_written_loop(capsys, small, tmp_path):
    # five batches an epoch, and an optimizer step for the first three and for the other two
    options = ["--epochs", 2, "--batch-size", 13, "--accumulation", 3]
    names = finetune("06_finetune_accelerate.py", small, tmp_path / "finetuned", *options)
    printed = capsys.readouterr().out
    assert names["schedule"].last_epoch == names["steps"] == 4
    assert {int(state["step"]) for state in names["optimizer"].optimizer.state.values()} == {4}
    assert "epoch 2" in printed and "learning rate 0.0e+00" in printed
    check_loop(tmp_path / "finetuned", small, printed, epochs=2)


@pytest.mark.slow
def test_the_hand_written_loop_on_two_processes(small, tmp_path):
    launch = ["--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]
    options = ["--model", small / "model", "--data", small / "task", "--output", tmp_path / "finetuned"]
    options += ["--epochs", "2", "--batch-size", "8", "--accumulation", "3"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        command = [sys.executable, "-m", "accelerate.commands.launch", *launch]
        command += [EXAMPLES / "06_finetune_accelerate.py", *options]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    # each process has four batches an epoch, and steps after three and after the fourth
    assert done.stdout.count("epoch") == 2 and "learning rate 0.0e+00" in done.stdout
    check_loop(tmp_path / "finetuned", small, done.stdout, epochs=2)


def test_train_vocabulary_and_pretrain_with_it(small, tmp_path):
    vocabulary, encoder = tmp_path / "vocabulary", tmp_path / "encoder"
    steps = ["--preset", "tiny", "--max-steps", 4, "--batch-size", 4]
    run("07_train_vocabulary.py", "--fasta", small / "simulated_genome.fa", "--output", vocabulary, *steps)
    tokenizer = AutoTokenizer.from_pretrained(vocabulary)
    assert AutoModel.from_pretrained(vocabulary).fingerprint() == tokenizer.vocabulary_fingerprint
    assert len(tokenizer("ACGT")["input_ids"]) == 6
    run("08_pretrain_mlm.py", "--corpus", small / "corpus", "--tokenizer", vocabulary, "--output", encoder, *steps)
    AutoModelForMaskedLM.from_pretrained(encoder).check_tokenizer(tokenizer)
    AutoModelForMaskedLM.from_pretrained(encoder).check_tokenizer(AutoTokenizer.from_pretrained(encoder))


@pytest.mark.slow
def test_train_the_checkpoint(small, tmp_path):
    """Every step of it, a few steps each; what is there is kept when the script is called again."""
    options = ["--fasta", small / "simulated_genome.fa", "--work", tmp_path, "--scale", 0.0005]
    run("12_train_checkpoint.py", *options)
    directory = tmp_path / "vqdna-hrq-small"
    tokenizer, model = AutoTokenizer.from_pretrained(directory), AutoModelForMaskedLM.from_pretrained(directory)
    model.check_tokenizer(tokenizer)
    assert tokenizer.vocabulary_fingerprint != (
        AutoTokenizer.from_pretrained(tmp_path / "vqdna-vq-small").vocabulary_fingerprint
    )
    before = (directory / "model.safetensors").read_bytes()
    run("12_train_checkpoint.py", *options)
    assert (directory / "model.safetensors").read_bytes() == before


def test_the_checkpoint_is_not_made_of_a_run_at_another_scale(tmp_path, capsys):
    (tmp_path / "hrq").mkdir()
    (tmp_path / "hrq" / "training.json").write_text('{"arguments": {"max_steps": 40}}')
    with pytest.raises(SystemExit):
        run("12_train_checkpoint.py", "--fasta", tmp_path / "none.fa", "--work", tmp_path)
    assert "holds a run of 40 steps, this one takes 4000" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["finetuned", "adapter"])
def test_evaluate_metric_gives_the_score_of_training(kind, request, capsys, small):
    names = request.getfixturevalue(kind)
    capsys.readouterr()
    run("09_evaluate_metric.py", "--model", names["directory"], "--data", small / "task", "--samples", 5)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "bootstrap" in line]
    scores = {name: float(score) for name, score, *_ in lines}
    assert set(scores) == {"mcc", "f1", "accuracy"}
    expected = names["trainer"].evaluate(names["splits"]["test"], metric_key_prefix="test")["test_mcc"]
    assert scores["mcc"] == pytest.approx(expected, abs=1e-3)


def test_publish_shows_what_it_would_upload(monkeypatch, capsys, finetuned):
    monkeypatch.setattr(publishing, "verify", lambda *arguments: None)  # takes long; the next test has it
    run("10_publish.py", finetuned["directory"], "tester/model")
    printed = capsys.readouterr().out
    assert "model.safetensors" in printed and "Nothing was uploaded" in printed


@pytest.mark.slow
def test_publish_uploads_and_loads_by_name(finetuned, tmp_path):
    command = [sys.executable, EXAMPLES / "10_publish.py", finetuned["directory"], "tester/model", "--upload"]
    with LoopbackHub() as hub:
        environment = hub.environment(tmp_path) | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-4000:]
        assert not hub.repositories["tester/model"].private
        stored = hub.files("tester/model")
    assert json.loads(stored["config.json"])["architectures"] == ["VQDNAForSequenceClassification"]
    (answer,) = ast.literal_eval(done.stdout.splitlines()[-1])
    assert answer["label"] in ("LABEL_0", "LABEL_1")
    here = pipeline("text-classification", model=str(finetuned["directory"]))("ACGTTATAAAGGCACGTACGGAT")
    assert answer == {"label": here[0]["label"], "score": pytest.approx(here[0]["score"], abs=1e-5)}


def test_benchmark_compares_a_model_with_others(small, tmp_path):
    options = ["--data", small / "task", "--model", small / "model", "--fasta", small / "simulated_genome.fa"]
    options += ["--steps", 4, "--epochs", 1, "--seeds", 1, "--output", tmp_path / "comparison"]
    cells = run("11_benchmark.py", *options)["cells"]
    found = [(cell["model"], cell["mode"]) for cell in cells]
    modes = [(model, mode) for model in ("learned", "letters", "3-mers") for mode in ("full", "linear")]
    assert found == [*modes, ("cnn", "control"), ("k-mers", "control")]
    assert all(name in (tmp_path / "comparison/tables.md").read_text() for name in ("learned", "3-mers", "cnn"))


def test_labels_of_bases_are_learned_at_their_bases(small, tmp_path):
    names = finetune("13_label_bases.py", small, tmp_path / "tagger", "--epochs", 1)
    row = names["splits"]["test"][0]
    sequence = pd.read_csv(small / "task" / "test.csv")["sequence"][0]
    assert row["labels"] == [-100, *names["labels_of_bases"](sequence), -100]
    assert names["labels_of_bases"]("CTATAAAG") == [0, 1, 1, 1, 1, 1, 1, 0]
    assert {"test_loss", "test_recall"} <= set(
        names["trainer"].evaluate(names["splits"]["test"], metric_key_prefix="test")
    )
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "tagger")
    model.check_tokenizer(AutoTokenizer.from_pretrained(tmp_path / "tagger"))


def test_every_example_is_in_the_table_and_says_what_it_takes():
    table = (EXAMPLES / "README.md").read_text()
    scripts = sorted(path.name for path in EXAMPLES.glob("[0-9]*.py"))
    assert scripts == [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    assert [script[:2] for script in scripts] == [f"{number:02d}" for number in range(1, 14)]
    for name in (*scripts, "small_data.py"):
        header = (EXAMPLES / name).read_text().split('"""')[1]
        assert all(word in header for word in ("Trains:", "On:", "Takes:", f"python examples/{name}")), name
