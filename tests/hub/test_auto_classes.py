"""Every Auto class and pipeline, with the package and without it, from a directory and from the Hub: load, save, load.

The names of the tests are the matrix: `test_auto_class[AutoModel-hub-remote code]`.
"""

import json
import subprocess
import sys
from pathlib import Path

import auto_client
import pytest
import torch
import transformers

import vqdna_hf
from vqdna_hf import VQDNAConfig, VQDNATokenizer
from vqdna_hf.hub import write_remote_code


ROOT = Path(__file__).resolve().parents[2]
CLASSES = {
    "body": vqdna_hf.VQDNAModel,
    "masked": vqdna_hf.VQDNAForMaskedLM,
    "sequence": vqdna_hf.VQDNAForSequenceClassification,
    "token": vqdna_hf.VQDNAForTokenClassification,
}
LABELS = {"id2label": {0: "other", 1: "promoter"}, "label2id": {"other": 0, "promoter": 1}}
CODE = {path.name for path in (ROOT / "modeling").glob("*.py")} - {"__init__.py"}

each_way = pytest.mark.parametrize("way", ["installed", "remote code"])
each_source = pytest.mark.parametrize("source", ["directory", "hub"])


@pytest.fixture(scope="module")
def repositories(tmp_path_factory, hub) -> Path:
    """A repository for each head, in directories and on the Hub."""
    root = tmp_path_factory.mktemp("repositories")
    for number, (name, model_class) in enumerate(CLASSES.items()):
        torch.manual_seed(number)
        model = model_class(VQDNAConfig.from_preset("tiny", **(LABELS if name == "sequence" else {})))
        model.save_pretrained(root / name)
        VQDNATokenizer(codec=model.codec).save_pretrained(root / name)
        write_remote_code(root / name)
        hub.seed(f"tester/{name}", {path.name: path.read_bytes() for path in (root / name).iterdir()})
    return root


@pytest.fixture(scope="module")
def matrix(repositories, hub, tmp_path_factory) -> dict:
    """What both kinds of users get: way -> source -> Auto class or task -> results."""
    results, homes = {}, tmp_path_factory.mktemp("users")
    for way in ("installed", "remote code"):
        home = homes / way.replace(" ", "-")
        (home / "work").mkdir(parents=True)
        given = {
            "installed": way == "installed",
            "work": str(home / "work"),
            "sources": {"directory": f"{repositories}/", "hub": "tester/"},
        }
        environment = hub.environment(home) | ({"PYTHONPATH": str(ROOT)} if way == "installed" else {})
        command = [sys.executable, "-P", auto_client.__file__, json.dumps(given)]
        done = subprocess.run(command, cwd=home / "work", env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-4000:]
        results[way] = json.loads(done.stdout.splitlines()[-1])
    return results


def assert_equal(found, expected):
    """Nested results are equal, numbers up to 1e-6."""
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for key in expected:
            assert_equal(found[key], expected[key])
    elif isinstance(expected, list) and expected and isinstance(expected[0], (dict, list)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            assert_equal(one, other)
    else:
        assert found == pytest.approx(expected, abs=1e-6) if isinstance(expected, (list, float)) else found == expected


@each_way
@each_source
@pytest.mark.parametrize("auto", ["AutoConfig", "AutoTokenizer", *auto_client.HEADS])
def test_auto_class(matrix, repositories, auto, source, way):
    cell = matrix[way][source][auto]
    _, expected = auto_client.load(auto, str(repositories / auto_client.HEADS.get(auto, "masked")))
    assert cell["module"].startswith("vqdna_hf.modeling." if way == "installed" else "transformers_modules.")
    expected = json.loads(json.dumps(expected))
    assert_equal(cell["first"], expected)
    assert_equal(cell["again"], expected)
    saved_code = {name for name in cell["files"] if name.endswith(".py")}
    if way == "installed":
        assert not saved_code  # and no map that names any, or it would not have loaded again
    elif auto.startswith("AutoModel"):
        assert saved_code == CODE


@each_way
@each_source
@pytest.mark.parametrize("task", auto_client.PIPELINES)
def test_pipeline(matrix, repositories, task, source, way):
    name, text, options = auto_client.PIPELINES[task]
    expected = json.loads(json.dumps(transformers.pipeline(task, model=str(repositories / name))(text, **options)))
    for when in ("first", "again"):
        result = matrix[way][source][task][when]
        assert result["class"].startswith("VQDNA")
        assert result["module"].startswith("vqdna_hf.modeling." if way == "installed" else "transformers_modules.")
        assert_equal(result["answer"], expected)
        batch = result["batch"]
        assert_equal(batch, expected) if task != "feature-extraction" else assert_close(batch, expected)


def assert_close(found, expected):
    """Attention over a padded batch adds up in another order."""
    assert (torch.tensor(found) - torch.tensor(expected)).abs().max() <= 1e-5
