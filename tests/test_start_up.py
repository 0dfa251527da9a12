"""What starts fast, and that it is known to transformers all the same."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import import_orders_client
import pytest
import transformers

import vqdna_hf
from vqdna_hf import registration
from vqdna_hf.cli import COMMANDS


HEAVY = (
    "torch",
    "transformers",
    "numpy",
    "pandas",
    "pyarrow",
    "datasets",
    "huggingface_hub",
    "safetensors",
    "sklearn",
)


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_no_help_imports_what_only_the_command_needs():
    """`None` in `sys.modules` makes every import of that name fail."""
    script = f"""
import sys
sys.modules.update(dict.fromkeys({HEAVY}))
from vqdna_hf.cli import COMMANDS, main
for words in (["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)):
    try:
        main(words)
    except SystemExit as left:
        assert left.code == 0, words
"""
    said = run("-c", script)
    assert said.count("usage: vqdna") == 1 + len(COMMANDS) and f"vqdna-hf {vqdna_hf.__version__}" in said


def test_the_package_alone_imports_neither_torch_nor_transformers():
    script = f"import sys, vqdna_hf; print([name for name in {HEAVY} if name in sys.modules], vqdna_hf.checkpoint)"
    assert run("-c", script).startswith("[] <function checkpoint")


@pytest.fixture(scope="module")
def orders(tiny_masked_model: Path) -> dict[str, list]:
    lines = [
        line for line in run(import_orders_client.__file__, str(tiny_masked_model)).splitlines() if line[:2] == '["'
    ]
    return {name: [classes, registered] for name, classes, registered in map(json.loads, lines)}


@pytest.fixture(scope="module")
def tiny_masked_model(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("masked")
    model = vqdna_hf.VQDNAForMaskedLM(vqdna_hf.VQDNAConfig.from_preset("tiny"))
    model.save_pretrained(directory)
    vqdna_hf.VQDNATokenizer(codec=model.codec).save_pretrained(directory)
    return directory


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the orders part by fork")
@pytest.mark.parametrize("order", import_orders_client.ORDERS)
def test_the_auto_classes_know_the_package_in_every_order(orders, order):
    classes, registered = orders[order]
    names = ["tokenization_vqdna.VQDNATokenizer", "configuration_vqdna.VQDNAConfig", "modeling_vqdna.VQDNAForMaskedLM"]
    names += ["modeling_vqdna.VQDNAForTokenClassification", "pipelines_vqdna.VQDNAFillMaskPipeline"]
    assert classes == [f"vqdna_hf.modeling.{name}" for name in names]
    assert registered == {"config": True, "model": True}


def test_every_public_name_is_there():
    assert set(vqdna_hf.__all__) <= set(dir(vqdna_hf))
    assert all(getattr(vqdna_hf, name) is not None for name in vqdna_hf.__all__)
    with pytest.raises(AttributeError, match="no attribute 'VQDNAForCausalLM'"):
        vqdna_hf.VQDNAForCausalLM


@pytest.mark.parametrize("name", registration.CLASSES)
def test_a_stand_in_is_its_class_to_whoever_uses_it(name):
    stand_in, real = getattr(registration, name), registration.load_class(name)
    assert stand_in.__name__ == real.__name__ == name
    assert stand_in.from_pretrained == real.from_pretrained
    assert pickle.loads(pickle.dumps(stand_in)) is stand_in
    with pytest.raises(AttributeError):
        stand_in.__wrapped__
    if name.endswith("Config"):
        assert type(stand_in()) is real and isinstance(real(), stand_in)


def test_the_watched_modules_keep_their_loaders():
    for name in ("transformers.models.auto.configuration_auto", "vqdna_hf.modeling.modeling_vqdna"):
        module = sys.modules[name]
        assert module.__spec__.loader.get_source(name) == Path(module.__file__).read_text(encoding="utf-8")
    assert transformers.AutoConfig.for_model("vqdna_conv_encoder").model_type == "vqdna_conv_encoder"


def test_the_parts_of_the_package_are_its_attributes():
    parts = ("baselines", "benchmark", "data", "metrics", "modeling", "training")
    code = f"import vqdna_hf; print([getattr(vqdna_hf, name).__name__ for name in {parts}], hasattr(vqdna_hf, 'no'))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"{[f'vqdna_hf.{name}' for name in parts]} False"
