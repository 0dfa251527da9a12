"""A repository with its code loads where the package is not: the same classes by name, the same numbers."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from fresh_process import run_python
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from vqdna_hf import (
    VQDNACodecConfig,
    VQDNACodecModel,
    VQDNAConfig,
    VQDNAForMaskedLM,
    VQDNAForSequenceClassification,
    VQDNAForTokenClassification,
    VQDNAModel,
    VQDNATokenizer,
)
from vqdna_hf.hub import write_remote_code
from vqdna_hf.hub.remote_code import EARLIER_MODULES
from vqdna_hf.modeling.configuration_vqdna import VQDNAConvEncoderConfig


MODELING = Path(__file__).resolve().parents[1] / "modeling"
TEXTS = ["ACGTTGCATTGACCNACGT", "acg[MASK]tttgggca"]
MODELS = {
    "codec": VQDNACodecModel,
    "body": VQDNAModel,
    "masked": VQDNAForMaskedLM,
    "sequence": VQDNAForSequenceClassification,
    "token": VQDNAForTokenClassification,
}
AUTO = {
    "body": AutoModel,
    "masked": AutoModelForMaskedLM,
    "sequence": AutoModelForSequenceClassification,
    "token": AutoModelForTokenClassification,
}

# what a stranger runs: no package, no network, an empty cache; every class from every directory
STRANGER = """
import json
import sys

sys.modules["vqdna_hf"] = None
import numpy as np
import torch
import transformers

torch.set_num_threads(1)
root, texts = sys.argv[1], json.loads(sys.argv[2])
trusted = {"trust_remote_code": True}
heads = {
    "body": transformers.AutoModel,
    "masked": transformers.AutoModelForMaskedLM,
    "sequence": transformers.AutoModelForSequenceClassification,
    "token": transformers.AutoModelForTokenClassification,
}
results = {}


def record(name, directory):
    config = transformers.AutoConfig.from_pretrained(directory, **trusted)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory, **trusted)
    model = heads.get(name, transformers.AutoModel).from_pretrained(directory, **trusted)
    for thing in (config, tokenizer, model):
        assert type(thing).__module__.startswith("transformers_modules."), type(thing)
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    ids = batch["input_ids"]
    if name == "codec":
        values = {"codes": model.encode(torch.randint(4, (2, 50), generator=torch.Generator().manual_seed(0)))}
    else:
        model.check_tokenizer(tokenizer)
        with torch.no_grad():
            values = model(**batch)
        others = [head for other, head in heads.items() if other != name]
        if directory.endswith("masked"):  # one directory opens with every class
            for other in others:
                other.from_pretrained(directory, **trusted)
    return tokenizer, model, {"ids": ids} | dict(values)


for name in ("codec", *heads):
    tokenizer, model, first = record(name, f"{root}/{name}")
    model.save_pretrained(f"{root}/again-{name}")
    tokenizer.save_pretrained(f"{root}/again-{name}")
    _, _, second = record(name, f"{root}/again-{name}")
    for key, value in first.items():
        results[f"{name}.{key}"] = value.numpy()
        results[f"again-{name}.{key}"] = second[key].numpy()
assert sys.modules["vqdna_hf"] is None
np.savez(f"{root}/results.npz", **results)
"""


@pytest.fixture(scope="module")
def repositories(tmp_path_factory) -> dict:
    """A directory of each kind, with code, and the objects saved there."""
    root = tmp_path_factory.mktemp("repositories")
    torch.manual_seed(0)
    saved = {}
    for name, model_class in MODELS.items():
        config = (VQDNACodecConfig if name == "codec" else VQDNAConfig).from_preset("tiny")
        if name in ("masked", "token"):
            config.encoder_config = VQDNAConvEncoderConfig(**config.encoder_config.to_dict(), conv_dilations=[1, 2])
        model = model_class(config).eval()
        tokenizer = VQDNATokenizer(codec=model if name == "codec" else model.codec)
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
        write_remote_code(root / name)
        saved[name] = model, tokenizer
    return {"root": root, "saved": saved}


def outputs_of(name: str, model, tokenizer) -> dict[str, np.ndarray]:
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        if name == "codec":
            values = {"codes": model.encode(torch.randint(4, (2, 50), generator=torch.Generator().manual_seed(0)))}
        else:
            values = model(**batch)
    return {"ids": batch["input_ids"].numpy()} | {key: value.numpy() for key, value in values.items()}


def test_a_stranger_loads_everything(repositories, tmp_path):
    (tmp_path / "empty").mkdir()
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PYTHONPATH"))}
    environment = clean | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_MODULES_CACHE": str(tmp_path / "modules")}
    told = (str(repositories["root"]), json.dumps(TEXTS))
    run_python("-c", STRANGER, *told, cwd=tmp_path / "empty", environment=environment)
    results = np.load(repositories["root"] / "results.npz")
    for name, (model, tokenizer) in repositories["saved"].items():
        for key, expected in outputs_of(name, model, tokenizer).items():
            for found in (results[f"{name}.{key}"], results[f"again-{name}.{key}"]):
                assert found.dtype == expected.dtype
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 if expected.dtype.kind == "f" else 0)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("flag", [{}, {"trust_remote_code": False}, {"trust_remote_code": True}])
def test_with_the_package_its_own_classes_load(repositories, name, flag):
    directory = repositories["root"] / name
    model, tokenizer = repositories["saved"][name]
    loaded = AUTO.get(name, AutoModel).from_pretrained(directory, **flag)
    assert type(loaded) is MODELS[name]
    assert type(AutoConfig.from_pretrained(directory, **flag)) is type(model.config)
    own = AutoTokenizer.from_pretrained(directory, **flag)
    assert type(own) is VQDNATokenizer
    expected = outputs_of(name, model, tokenizer)
    for key, value in outputs_of(name, loaded, own).items():
        np.testing.assert_allclose(value, expected[key], rtol=0, atol=1e-6)


# what is written


def save(directory: Path, name: str = "masked") -> Path:
    torch.manual_seed(0)
    config = (VQDNACodecConfig if name == "codec" else VQDNAConfig).from_preset("tiny")
    model = MODELS[name](config)
    model.save_pretrained(directory)
    VQDNATokenizer(codec=model if name == "codec" else model.codec).save_pretrained(directory)
    return directory


@pytest.mark.parametrize("name", ["codec", "masked"])
def test_what_is_written(tmp_path, name):
    directory = save(tmp_path, name)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    written = write_remote_code(directory)
    modules = {path.name: path.read_bytes() for path in MODELING.glob("*.py") if path.name != "__init__.py"}
    assert {path.name for path in written} == set(modules) | {"config.json", "tokenizer_config.json"}
    assert {path.name for path in directory.iterdir()} == set(before) | set(modules)
    assert all((directory / module).read_bytes() == content for module, content in modules.items())
    config = json.loads((directory / "config.json").read_text())
    tokenizer = json.loads((directory / "tokenizer_config.json").read_text())
    heads = ["ForMaskedLM", "ForSequenceClassification", "ForTokenClassification"] if name == "masked" else []
    auto_map = config.pop("auto_map")
    assert set(auto_map) == {"AutoConfig", "AutoModel", *(f"AutoModel{head}" for head in heads)}
    for reference in auto_map.values():
        module, class_name = reference.split(".")
        assert f"class {class_name}(" in modules[f"{module}.py"].decode()
    assert tokenizer.pop("auto_map") == {"AutoTokenizer": ["tokenization_vqdna.VQDNATokenizer", None]}
    pipelines = config.pop("custom_pipelines", {})
    assert sorted(pipelines) == (["feature-extraction", "fill-mask", "text-classification"] if heads else [])
    for pipeline in pipelines.values():
        module, class_name = pipeline["impl"].split(".")
        assert f"class {class_name}(" in modules[f"{module}.py"].decode()
        assert set(pipeline["pt"]) <= set(auto_map)
    assert config == json.loads(before["config.json"])
    assert tokenizer == json.loads(before["tokenizer_config.json"])


def test_writing_again_brings_it_up_to_date(tmp_path):
    directory = save(tmp_path)
    write_remote_code(directory)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    own = {name: f"mine = {name!r}\n".encode() for name in ("mine_vqdna.py", "outputs.py", "heads_vqdna.txt")}
    for name in ("modeling_vqdna.py", *own, *EARLIER_MODULES):
        (directory / name).write_bytes(own.get(name, b"old = True\n"))
    write_remote_code(str(directory))
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before | own


def test_what_is_removed_is_no_present_module():
    assert len(EARLIER_MODULES) == 10 and not EARLIER_MODULES & {path.name for path in MODELING.iterdir()}


@pytest.mark.parametrize("fails_after", [0, 3])
def test_a_failure_leaves_no_map_without_its_modules(tmp_path, monkeypatch, fails_after):
    directory, replace, calls = save(tmp_path), os.replace, []
    before = {path.name: path.read_bytes() for path in directory.iterdir()}

    def fail(source, target):
        calls.append(target)
        if len(calls) > fails_after:
            raise OSError("the disk is full")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("vqdna_hf.runs.files.os.replace", fail)
        with pytest.raises(OSError, match="disk is full"):
            write_remote_code(directory)
    assert all((directory / name).read_bytes() == content for name, content in before.items())
    assert len(list(directory.iterdir())) == len(before) + fails_after
    write_remote_code(directory)


def test_other_directories_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"config\.json was not found"):
        write_remote_code(tmp_path / "nowhere")
    directory = save(tmp_path / "saved")

    def broken(name: str, **changes):
        path = directory / name
        content = path.read_text()
        path.write_text(json.dumps(json.loads(content) | changes))
        with pytest.raises(ValueError) as error:
            write_remote_code(directory)
        path.write_text(content)
        return str(error.value)

    message = broken("config.json", model_type="bert")
    assert "'bert'" in message and "config.json" in message
    assert "BertTokenizer" in broken("tokenizer_config.json", tokenizer_class="BertTokenizer")
    message = broken("tokenizer_config.json", vocabulary_fingerprint="0" * 32)
    assert (
        "0" * 32 in message
        and json.loads((directory / "config.json").read_text())["vocabulary_fingerprint"] in message
    )
    for name in ("config.json", "tokenizer_config.json"):
        content = (directory / name).read_text()
        for wrong in ("{", "[]", "3"):
            (directory / name).write_text(wrong)
            with pytest.raises(ValueError, match=name.replace(".", r"\.")):
                write_remote_code(directory)
        (directory / name).unlink()
        with pytest.raises(ValueError, match=f"{name} was not found"):
            write_remote_code(directory)
        (directory / name).write_text(content)
    assert not list(directory.glob("*.py"))
    write_remote_code(directory)
