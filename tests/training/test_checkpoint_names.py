"""Names of checkpoints where the commands take directories."""

import json
import shutil
from pathlib import Path

import pytest
from peft import AutoPeftModelForSequenceClassification
from tiny_runs import finetune_arguments, pretrain_arguments, tokenize_arguments

from vqdna_hf import checkpoints
from vqdna_hf.analysis.codebook.codebook import CodebookArguments
from vqdna_hf.analysis.info import InfoArguments, info
from vqdna_hf.arguments.training import FinetuneArguments, PretrainArguments
from vqdna_hf.baselines.tokenizers import character_tokenizer
from vqdna_hf.benchmark.run.cells import describe
from vqdna_hf.benchmark.run.prepare import find_model
from vqdna_hf.benchmark.spec.schema import ModelEntry
from vqdna_hf.checkpoints import DEFAULT_CHECKPOINT, resolve_checkpoint, resolve_with_output
from vqdna_hf.checkpoints.loading import check_model_directory, load_tokenizer
from vqdna_hf.cli import main
from vqdna_hf.data import GenomeCodes
from vqdna_hf.hub.publish import PublishArguments, publish
from vqdna_hf.training.finetune import finetune
from vqdna_hf.training.pretrain import pretrain
from vqdna_hf.training.tokenize import tokenize


# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

NAME = "vqdna-hrq-small"


@pytest.fixture
def packaged(monkeypatch, tmp_path, model_dir) -> Path:
    """A tiny model in the place of the checkpoint, and an empty working directory."""
    folder, elsewhere = tmp_path / "package", tmp_path / "elsewhere"
    shutil.copytree(model_dir, folder / NAME)
    elsewhere.mkdir()
    monkeypatch.setattr(checkpoints, "_FOLDER", folder)
    monkeypatch.chdir(elsewhere)
    return folder / NAME


def fingerprint_of(directory: Path) -> str:
    return json.loads((directory / "tokenizer_config.json").read_text())["vocabulary_fingerprint"]


def places_in(directory: Path) -> list[str]:
    """JSON files that name a place in the package."""
    return [path.name for path in directory.rglob("*.json") if "package" in path.read_text()]


def test_a_name_is_resolved_unless_a_directory_is_called_so(packaged):
    assert resolve_checkpoint(NAME) == str(packaged)
    for other in (f"./{NAME}", f"owner/{NAME}", "vqdna-hrq-tiny", str(packaged)):
        assert resolve_checkpoint(other) == other
    assert resolve_checkpoint(Path(NAME)) == resolve_with_output(NAME, "out") == str(packaged)
    assert resolve_with_output(packaged, None) == str(packaged)
    Path(NAME).mkdir()
    assert resolve_checkpoint(NAME) == resolve_with_output(NAME, None) == NAME


def test_the_checkpoint_is_what_commands_take_when_nothing_is_named():
    needed = {"data": "", "corpus": "", "output": ""}
    for arguments, option in ((FinetuneArguments, "model"), (PretrainArguments, "tokenizer")):
        values = {name: value for name, value in needed.items() if name in arguments.__dataclass_fields__}
        assert getattr(arguments(**values), option) == DEFAULT_CHECKPOINT == NAME
    assert CodebookArguments(data="", output="").settings()["directory"] == NAME


def test_codes_are_those_of_the_checkpoint(packaged, genome_fasta, tmp_path):
    windows = tokenize(tokenize_arguments(genome_fasta, tmp_path / "windows", codes=True))
    assert windows.manifest["fingerprint"] == fingerprint_of(packaged)
    plain = tokenize(tokenize_arguments(genome_fasta, tmp_path / "plain"))
    assert plain.manifest["fingerprint"] is None
    command = ["tokenize", "--contigs", "--fasta", str(genome_fasta), "--output", str(tmp_path / "contigs")]
    assert main(command) == 0
    GenomeCodes.load(tmp_path / "contigs").check_fingerprint(fingerprint_of(packaged))


def test_pretraining_takes_tokenizer_and_model_by_name(packaged, corpus_dir, tmp_path):
    arguments = pretrain_arguments(corpus_dir, NAME, tmp_path / "out", model=NAME, max_steps=1)
    summary = pretrain(arguments)
    assert summary["fingerprint"] == fingerprint_of(packaged)
    assert summary["arguments"]["tokenizer"] == summary["arguments"]["model"] == NAME
    assert summary["encoder"]["fingerprint"] == summary["vocabulary"]["fingerprint"] == summary["fingerprint"]
    assert places_in(tmp_path / "out") == []


def test_fine_tuning_takes_the_model_by_name_and_records_the_name(packaged, task_dir, tmp_path):
    arguments = finetune_arguments(task_dir, "", tmp_path / "full", mode="full")
    arguments.model = FinetuneArguments.model
    results = finetune(arguments)
    assert results["arguments"]["model"] == NAME
    assert results["encoder"]["fingerprint"] == fingerprint_of(packaged)
    assert places_in(tmp_path / "full") == []


def test_an_adapter_finds_the_checkpoint_it_was_trained_on(packaged, task_dir, tmp_path):
    finetune(finetune_arguments(task_dir, NAME, tmp_path / "lora"))
    assert places_in(tmp_path / "lora") == ["adapter_config.json"]  # PEFT loads the base from there
    model = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "lora")
    assert model.config.vocabulary_fingerprint == fingerprint_of(packaged)
    assert NAME in (tmp_path / "lora" / "README.md").read_text()


def test_a_checkpoint_without_a_model_is_no_encoder(packaged, task_dir, tmp_path, capsys):
    for path in [*packaged.glob("model*"), packaged / "config.json"]:
        path.unlink()
    command = ["finetune", "--data", task_dir, "--model", NAME, "--output", tmp_path / "out"]
    assert main([str(part) for part in command]) == 2
    assert f"{NAME} holds a vocabulary" in capsys.readouterr().err


def test_a_hand_made_tokenizer_is_no_learned_vocabulary(tmp_path):
    character_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path} holds a tokenizer, but no learned vocabulary"):
        load_tokenizer(str(tmp_path))


def test_a_mistyped_name_is_answered_with_those_there_are(packaged):
    with pytest.raises(ValueError, match=f"absent holds no tokenizer.*{NAME}"):
        load_tokenizer("absent")
    with pytest.raises(ValueError, match=f"absent holds no model.*{NAME}, which comes with the package"):
        check_model_directory("absent")


def test_benchmarks_name_it_and_record_no_place(packaged):
    entry = ModelEntry(name="ours", path=NAME)
    prepared = find_model(entry)
    assert prepared.source == str(packaged) and prepared.is_vqdna and prepared.weights
    assert describe(entry)["path"] == describe(prepared.entry)["path"] == NAME


def test_info_and_publish_read_it_by_name(packaged, capsys):
    assert info(InfoArguments(model=NAME, length=64)) == info(InfoArguments(model=str(packaged), length=64))
    with pytest.raises(ValueError, match="not the name of a repository"):
        publish(PublishArguments(directory=NAME, repo_id="no-owner", dry_run=True))


@pytest.mark.parametrize("command", ["card", "export"])
def test_nothing_is_written_into_the_package(packaged, command, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in packaged.iterdir()}
    assert main([command, NAME]) == 2
    assert f"{NAME} comes with the package" in (said := capsys.readouterr().err) and "--output" in said
    if command == "card":
        assert main([command, NAME, "--output", str(tmp_path / "card.md")]) == 0
        assert f"# {NAME}" in (tmp_path / "card.md").read_text()
    assert {path.name: path.read_bytes() for path in packaged.iterdir()} == before


def test_an_export_by_name_records_the_name(packaged, tmp_path):
    pytest.importorskip("onnxscript")
    for path in [*packaged.glob("model*"), packaged / "config.json"]:  # a tokenizer is exported faster
        path.unlink()
    command = ["export", NAME, "--output", str(tmp_path / "onnx"), "--check-bases", "0"]
    assert main(command) == 0
    assert json.loads((tmp_path / "onnx" / "export.json").read_text())["source"] == NAME
    assert main(command) == 0  # the same export again


def test_the_usage_says_what_may_be_left_out(capsys):
    for command, places in (("codebook", "[DIRECTORY]"), ("publish", "DIRECTORY REPO_ID"), ("card", "DIRECTORY")):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert f"vqdna {command} {places} [options]" in capsys.readouterr().out
