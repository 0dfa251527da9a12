"""What `vqdna publish` refuses before anything leaves the machine, and what it would upload."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard, ModelCardData
from peft import get_peft_model
from safetensors.torch import load_file, save_file

from vqdna_hf import VQDNAForMaskedLM
from vqdna_hf.cards.card import MARKER, sealed
from vqdna_hf.hub import staging, verification
from vqdna_hf.hub.publish import PublishArguments, publish
from vqdna_hf.hub.staging import stage
from vqdna_hf.lora import lora_config
from vqdna_hf.modeling.compiled_vqdna import TABLE_FILE


ROOT = Path(__file__).resolve().parents[2]
CARD = "---\nlicense: mit\n---\n\n# My own words\n"


def refused(directory: Path, repo_id: str = "me/model", **options) -> str:
    """Publish what must be refused; the message."""
    with pytest.raises(ValueError) as error:
        publish(PublishArguments(directory=str(directory), repo_id=repo_id, dry_run=True, **options))
    return str(error.value)


def edit(path: Path, **changes):
    """Change fields of a JSON file; None removes one."""
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


def change_weights(path: Path, change):
    """Save what `change` makes of the tensors."""
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def without(name: str):
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


# directories


def test_what_is_no_directory_of_ours_is_refused(tmp_path):
    assert "is not a directory" in refused(tmp_path / "nowhere")
    assert "neither config.json nor adapter_config.json" in refused(tmp_path)
    (tmp_path / "checkpoint-100").mkdir()
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert "'bert'" in refused(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": ["vqdna"]}')
    assert "['vqdna']" in refused(tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert "config.json is not valid JSON" in refused(tmp_path)
    for name in ("config.json", "probe.json"):
        (tmp_path / name).write_text("{}")
    assert "linear probe" in refused(tmp_path)


@pytest.mark.parametrize("repo_id", ["model", "a/b/c", "me/a--b", "me/-a", "me/model.git", "/home/me"])
def test_what_is_no_name_of_a_repository_is_refused(directories, repo_id):
    assert repo_id in refused(directories / "model", repo_id)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("model", "model.safetensors"),
        ("model", "tokenizer_config.json"),
        ("model", "codec.safetensors"),
        ("vocabulary", "model.safetensors"),
        ("vocabulary", "codec_config.json"),
        ("newer", "model-00002-of-*.safetensors"),
        ("adapter", "adapter_model.safetensors"),
        ("adapter", "codec.safetensors"),
        ("compiled", "codec_table.safetensors"),
        ("compiled-vocabulary", "codec_table.safetensors"),
    ],
)
def test_a_missing_file_is_named(copy, name, file):
    directory = copy(name)
    (path,) = directory.glob(file)
    path.unlink()
    assert f"{path} was not found" in refused(directory, base_model="me/base")


@pytest.mark.parametrize("name", ["model", "newer", "vocabulary", "adapter", "compiled"])
def test_a_truncated_file_is_named(copy, name):
    directory = copy(name)
    for path in directory.glob("*.safetensors"):
        content = path.read_bytes()
        for size in (len(content) - 100, 4, 0):
            path.write_bytes(content[:size])
            message = refused(directory, base_model="me/base")
            assert str(path) in message and "truncated" in message
        path.write_bytes(content)


@pytest.mark.parametrize(("name", "file"), [("model", "pytorch_model.bin"), ("adapter", "adapter_model.bin")])
def test_pickled_weights_are_no_substitute(copy, name, file):
    directory = copy(name)
    next(path for path in directory.glob("*model.safetensors")).rename(directory / file)
    message = refused(directory, base_model="me/base")
    assert f"{file} is a pickle" in message and "safetensors" in message


def test_a_tokenizer_of_another_vocabulary_is_refused_with_both_names(copy, directories):
    directory, fingerprints = copy("model"), []
    for name in ("codec.safetensors", "tokenizer_config.json"):
        shutil.copy(directories / "other" / name, directory)
    for path in (directories / "model", directories / "other"):
        fingerprints.append(json.loads((path / "config.json").read_text())["vocabulary_fingerprint"])
    message = refused(directory)
    assert all(fingerprint in message for fingerprint in fingerprints)


def test_an_adapter_needs_a_base_that_others_can_find(copy):
    directory = copy("adapter")
    for base in (None, "/somewhere/model", "no-owner"):
        message = refused(directory, base_model=base)
        assert "--base-model OWNER/NAME" in message and "only this machine" in message
    shutil.copy(next(copy("model").glob("model.safetensors")), directory)
    assert "a model (model.safetensors) and an adapter" in refused(directory, base_model="me/base")


def test_a_base_that_is_a_repository_must_be_in_the_cache(copy):
    directory = copy("adapter")
    edit(directory / "adapter_config.json", base_model_name_or_path="me/base")
    assert staging.base_of(directory, None) == ("me/base", "me/base")
    assert "hf download me/base" in refused(directory)


def test_offline_nothing_can_be_uploaded(directories):
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set.*--dry-run"):
        publish(PublishArguments(directory=str(directories / "model"), repo_id="me/model"))


# what is uploaded


def test_only_what_belongs_in_a_repository_is_staged(copy, tmp_path):
    directory = copy("model")
    left_out = ["checkpoint-5", "optimizer.pt", "predictions.csv", "pytorch_model.bin", "run.json", "scores.pkl"]
    (directory / "checkpoint-5").mkdir()
    for name in left_out[1:]:
        (directory / name).write_text("x")
    before = {path.name for path in directory.iterdir()}
    assert stage(directory, tmp_path / "staged", "model", "me/model") == left_out
    staged = {path.name for path in (tmp_path / "staged").iterdir()}
    modules = {path.name for path in (ROOT / "modeling").glob("*.py")} - {"__init__.py"}
    assert staged == before - set(left_out) | modules | {"LICENSE", "README.md"}
    assert {path.name for path in directory.iterdir()} == before


def test_the_table_of_a_compiled_vocabulary_goes_along_and_its_card_says_so(directories, tmp_path):
    for name, kind in (("compiled", "model"), ("compiled-vocabulary", "vocabulary")):
        stage(directories / name, tmp_path / name, kind, "me/model")
        assert (tmp_path / name / TABLE_FILE).read_bytes() == (directories / name / TABLE_FILE).read_bytes()
        assert f"`{TABLE_FILE}`, without the network" in (tmp_path / name / "README.md").read_text()
    stage(directories / "model", tmp_path / "plain", "model", "me/model")
    assert TABLE_FILE not in (tmp_path / "plain" / "README.md").read_text()


def test_an_export_goes_along_if_it_is_of_the_same_vocabulary(copy, tmp_path):
    directory = copy("model")
    (directory / "onnx").mkdir()
    for name in ("tokenizer.onnx", "model.onnx", "notes.txt"):
        (directory / "onnx" / name).write_text(name)
    ours = json.loads((directory / "tokenizer_config.json").read_text())["vocabulary_fingerprint"]
    (directory / "onnx" / "export.json").write_text(json.dumps({"metadata": {"vocabulary_fingerprint": ours}}))
    stage(directory, tmp_path / "staged", "model", "me/model")
    assert sorted(path.name for path in (tmp_path / "staged" / "onnx").iterdir()) == [
        "export.json",
        "model.onnx",
        "tokenizer.onnx",
    ]
    (directory / "onnx" / "export.json").write_text(json.dumps({"metadata": {"vocabulary_fingerprint": "0" * 32}}))
    with pytest.raises(ValueError, match=f"{'0' * 32}.*{ours}.*vqdna export"):
        stage(directory, tmp_path / "again", "model", "me/model")


def test_results_and_base_keep_no_path_of_the_machine(copy, tmp_path, directories):
    directory = copy("adapter")
    results = {
        "task": "mouse/3",
        "mode": "lora",
        "seed": 1,
        "metric": "mcc",
        "dev": {"mcc": 0.5},
        "test": {"mcc": 0.5},
    }
    results["arguments"] = {"data": "/data/gue/mouse/3", "model": str(directories / "model")}
    (directory / "results.json").write_text(json.dumps(results))
    stage(directory, tmp_path / "staged", "adapter", "me/adapter", "me/base")
    texts = [path.read_bytes() for path in (tmp_path / "staged").iterdir()]
    assert not [text for text in texts if str(directories).encode() in text or b"/data/gue" in text]
    staged = json.loads((tmp_path / "staged" / "results.json").read_text())
    assert staged["task"] == "mouse/3" and staged["dev"] == {"mcc": 0.5}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (CARD, True),
        ("# No metadata\n", True),
        ("---\nlicense: mit\n---\nMy own words, and [More Information Needed]\n", True),
        ("---\nlicense: mit\n---\n# Model Card for Model ID\n", True),
        (str(ModelCard.from_template(ModelCardData(library_name="peft"))), False),
        (f"---\nlicense: mit\n---\n{MARKER}\n", False),
        (sealed(f"---\nlicense: mit\n---\n{MARKER}\nWords\n"), False),
        (sealed(f"---\nlicense: mit\n---\n{MARKER}\nWords\n") + "And a paragraph of my own.\n", True),
    ],
)
def test_a_card_that_somebody_wrote_is_kept(copy, tmp_path, text, kept):
    directory = copy("model")
    (directory / "README.md").write_text(text)
    (directory / "LICENSE").write_text("My own terms.\n")
    stage(directory, tmp_path / "staged", "model", "me/model")
    card = (tmp_path / "staged" / "README.md").read_text()
    assert (card == text) == kept
    assert kept or (card.startswith("---\n") and "me/model" in card)
    assert (tmp_path / "staged" / "LICENSE").read_text() == "My own terms.\n"


@pytest.mark.parametrize("metadata", ["license: [mit", "license: " + "[" * 5000 + "]" * 5000])
def test_a_card_with_damaged_metadata_is_refused(copy, metadata):
    directory = copy("model")
    (directory / "README.md").write_text(f"---\n{metadata}\n---\n")
    assert "README.md cannot be read" in refused(directory)


def test_an_install_and_a_checkout_have_the_same_licence(tmp_path, monkeypatch):
    expected = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert staging.license_text() == expected
    project = tmp_path / "project"
    package = ("vqdna_hf/__init__.py", "vqdna_hf/version.py", "modeling/__init__.py")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", *package):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project / name)
    code = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=project, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    monkeypatch.syspath_prepend(wheel)
    monkeypatch.setattr(staging, "__file__", str(tmp_path / "a/b/c.py"))  # no checkout around
    assert staging.license_text() == expected


# loading what is staged


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("base_decoder.bias"), ["lack 1 of the tensors", "base_decoder.bias"]),
        (
            lambda tensors: tensors | {"base_decoder.bias": torch.full((4,), torch.nan)},
            ["not finite", "base_decoder.bias"],
        ),
        (lambda tensors: tensors | {"base_decoder.bias": torch.zeros(5)}, ["size"]),
        (
            lambda tensors: {key: value + 1 if "embedding" in key else value for key, value in tensors.items()},
            ["was saved with the vocabulary", "damaged"],
        ),
    ],
    ids=["missing", "nan", "shape", "codebook"],
)
def test_damaged_weights_do_not_pass(copy, change, words):
    directory = copy("model")
    change_weights(directory / "model.safetensors", change)
    with pytest.raises((ValueError, RuntimeError)) as error:
        verification.check_model(str(directory), {})
    assert [word for word in words if word not in str(error.value)] == []


def test_an_unknown_architecture_does_not_pass(copy):
    directory = copy("model")
    edit(directory / "config.json", architectures=None)
    with pytest.raises(ValueError, match="architecture None"):
        verification.check_model(str(directory), {})


def test_a_vocabulary_whose_two_copies_differ_does_not_pass(copy, directories):
    directory = copy("vocabulary")
    verification.check_vocabulary(str(directory), {})
    for name in ("codec.safetensors", "tokenizer_config.json"):
        shutil.copy(directories / "other" / name, directory)
    with pytest.raises(ValueError, match="save the model's own tokenizer"):
        verification.check_vocabulary(str(directory), {})


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_adapter_that_does_not_fit_does_not_pass(copy, directories):
    directory = copy("adapter")
    verification.check_adapter(directory, str(directories / "model"), {})
    path = directory / "adapter_model.safetensors"
    change_weights(path, without(next(name for name in load_file(path) if "lora_A" in name)))
    with pytest.raises(Warning, match="missing adapter keys"):
        verification.check_adapter(directory, str(directories / "model"), {})


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_adapter_of_pretraining_needs_nothing_beside_it(directories, tmp_path):
    model = VQDNAForMaskedLM.from_pretrained(directories / "model")
    get_peft_model(model, lora_config(model)).save_pretrained(tmp_path / "adapter")
    stage(tmp_path / "adapter", tmp_path / "staged", "adapter", "me/adapter", "me/base")
    staged = {path.name for path in (tmp_path / "staged").iterdir()}
    assert staged == {"adapter_config.json", "adapter_model.safetensors", "LICENSE", "README.md"}
    verification.check_adapter(tmp_path / "staged", str(directories / "model"), {})


def test_a_fresh_process_gives_its_reason_in_one_line(copy):
    directory = copy("model")
    change_weights(directory / "model.safetensors", without("base_decoder.bias"))
    stage(directory, directory / "staged", "model", "me/model")
    reason = verification._run(directory / "staged", "model", None, None)
    assert reason.startswith("ValueError: The weights lack 1 of the tensors of VQDNAForMaskedLM (base_decoder.bias")
    assert len(reason.splitlines()) == 1


@pytest.mark.parametrize(("answers", "how"), [(["A", "B"], "without the package"), ([None, "B"], "with the package")])
def test_what_does_not_load_is_refused_with_the_first_reason(copy, monkeypatch, caplog, answers, how):
    directory = copy("model")
    (directory / "optimizer.pt").write_text("x")
    reasons = dict(zip((True, False), answers))
    monkeypatch.setattr(verification, "_run", lambda *task: reasons[task[-1] is None])
    with caplog.at_level("INFO"):
        message = refused(directory)
    assert message.startswith(f"The model does not load {how}") and message.endswith(next(filter(None, answers)))
    assert "pickles are not published: optimizer.pt" in caplog.text
