"""The door between the two rooms: what `modeling/` may import, and what an install consists of."""

import ast
import os
import random
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import vqdna_hf.modeling.nucleotides_vqdna as installed_module
from vqdna_hf.checkpoints import list_checkpoints


ROOT = Path(__file__).resolve().parents[1]
MODELING = sorted((ROOT / "modeling").glob("*.py"))
SOURCES = [path for folder in ("vqdna_hf", "examples", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
ALLOWED = {"huggingface_hub", "numpy", "safetensors", "torch", "transformers", *sys.stdlib_module_names}
SIGNPOST = ROOT / "vqdna_hf" / "modeling"

# PEP 517 by hand, in the folder it runs in: no network, no isolated environment
BUILD_SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
BUILD_WHEEL = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"

each_modeling_file = pytest.mark.parametrize("path", MODELING, ids=lambda path: path.name)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def forbidden_imports(tree: ast.Module, siblings: set[str]) -> list[str]:
    """List the imports, at any depth, that break when the file is loaded as remote code."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] not in ALLOWED]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found += [node.module] if node.module.split(".")[0] not in ALLOWED else []
        elif isinstance(node, ast.ImportFrom):
            is_sibling = node.level == 1 and node.module in siblings
            found += [] if is_sibling else ["." * node.level + (node.module or "")]
    return found


def test_signpost_resolves_to_the_modeling_folder():
    assert runpy.run_path(str(SIGNPOST / "__init__.py"))["__path__"] == [str(ROOT / "modeling")]
    assert [path.name for path in SIGNPOST.glob("*.py")] == ["__init__.py"]


def test_modules_of_the_folder_are_imported_under_one_name():
    assert installed_module.__name__ == "vqdna_hf.modeling.nucleotides_vqdna"
    assert "modeling" not in sys.modules


def test_modeling_init_holds_a_docstring_only():
    tree = parse(ROOT / "modeling" / "__init__.py")
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


def test_modeling_is_flat():
    names = {path.name for path in (ROOT / "modeling").iterdir()}
    assert names - {"__pycache__"} == {path.name for path in MODELING}


@each_modeling_file
def test_modeling_imports_only_what_a_stranger_has(path):
    assert forbidden_imports(parse(path), siblings={module.stem for module in MODELING}) == []


@pytest.mark.parametrize(
    "source",
    [
        "import sklearn",
        "import numpy, pandas",
        "from . import configuration_vqdna",
        "from .layers.configuration_vqdna import X",
        "from ..configuration_vqdna import X",
        "def f():\n    from vqdna_hf.data import X",
        "if TYPE_CHECKING:\n    from vqdna_hf import X",
    ],
)
def test_forbidden_imports_are_seen_at_any_depth(source):
    assert len(forbidden_imports(ast.parse(source), siblings={"configuration_vqdna"})) == 1


@each_modeling_file
def test_no_text_in_modeling_looks_like_a_relative_import(path):
    # transformers looks for relative imports with a regular expression, in docstrings too, and fails to find the file
    lines = [
        line.strip()
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for line in node.value.splitlines()
    ]
    assert [line for line in lines if line.startswith(("from .", "import ."))] == []


def test_config_annotations_are_evaluated():
    # a `@strict` config checks its fields against their types, which must therefore be types and not strings
    path = ROOT / "modeling" / "configuration_vqdna.py"
    if not path.exists():
        pytest.skip("there is no configuration_vqdna.py yet")
    modules = [node.module for node in ast.walk(parse(path)) if isinstance(node, ast.ImportFrom)]
    assert "__future__" not in modules


def test_nobody_imports_the_top_level_modeling():
    offenders = []
    for path in SOURCES:
        for node in ast.walk(parse(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            offenders += [f"{path.name}:{node.lineno}" for name in names if name.split(".")[0] == "modeling"]
    assert offenders == []


def expected_wheel_files() -> set[str]:
    """List what the tree says an install consists of: `vqdna_hf/` with `modeling/` in the place of the signpost."""
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "vqdna_hf").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and SIGNPOST not in path.parents
    }
    return package | {f"vqdna_hf/modeling/{path.name}" for path in MODELING}


def python(*arguments: str, cwd: Path, **environment: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """The sdist, unpacked; the tree itself stays as it is."""
    work = tmp_path_factory.mktemp("build")
    copy = work / "copy"
    copy.mkdir()
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
        elif path.name in {"docs", "examples", "model_cards", "modeling", "tests", "vqdna_hf"}:
            shutil.copytree(path, copy / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    python("-c", BUILD_SDIST, str(work), cwd=copy)
    (packed,) = work.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(work / "unpacked", filter="data")
    (source,) = (work / "unpacked").iterdir()
    return source


@pytest.fixture(scope="module")
def wheel(sdist) -> Path:
    """The wheel built from the sdist, as an installer does it."""
    python("-c", BUILD_WHEEL, str(sdist.parent), cwd=sdist)
    (wheel,) = sdist.parent.glob("*.whl")
    return wheel


def test_the_sdist_holds_the_pages_of_docs_and_nothing_that_was_measured(sdist):
    pages = {path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md")}
    assert pages == {path.relative_to(sdist) for path in (sdist / "docs").rglob("*.md")}
    assert {path.suffix for path in (sdist / "docs").rglob("*") if path.is_file()} == {".md", ".png", ".svg"}


def test_wheel_from_the_sdist_holds_exactly_the_package(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not re.match(r"vqdna_hf-[^/]+\.dist-info/", name)}
    assert names == expected_wheel_files()


def test_wheel_carries_metadata(wheel):
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [archive.read(name).decode() for name in archive.namelist() if name.endswith("dist-info/METADATA")]
    (scripts,) = [archive.read(name).decode() for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "Name: vqdna-hf" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert "vqdna = vqdna_hf.cli:main" in scripts


def required_by(wheel: Path) -> list[Requirement]:
    """What `setup.py` asks for, all extras included."""
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [archive.read(name).decode() for name in archive.namelist() if name.endswith("dist-info/METADATA")]
    return [Requirement(line) for line in re.findall(r"^Requires-Dist: (.+)$", metadata, re.MULTILINE)]


def lower_bounds(required: list[Requirement]) -> dict[str, str]:
    return {
        needed.name: bound.version
        for needed in required
        for bound in needed.specifier
        if bound.operator == ">=" and (needed.marker is None or "onnx" in str(needed.marker))
    }


def test_the_extra_min_pins_every_lower_bound_but_torch(wheel):
    required = required_by(wheel)
    bounds = lower_bounds(required)
    assert bounds.pop("torch")
    pinned = {needed.name: str(needed.specifier) for needed in required if "min" in str(needed.marker)}
    assert {name: f"=={version}" for name, version in bounds.items()} == pinned
    assert "transformers" in bounds


def locked(name: str, **environment: str) -> dict[str, Version]:
    """The releases that a file in `requirements/` names for a platform and a Python."""
    lines = [Requirement(line.partition("#")[0]) for line in (ROOT / "requirements" / name).read_text().splitlines()
             if not line.startswith("#")]  # fmt: skip
    kept = [line for line in lines if line.marker is None or line.marker.evaluate(environment)]
    releases = {canonicalize_name(line.name): Version(str(line.specifier).removeprefix("==")) for line in kept}
    assert len(releases) == len(kept), "one release each"
    return releases


@pytest.mark.parametrize("python_version", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_locked_releases_are_all_that_setup_asks_for(wheel, python_version, system):
    releases = locked(
        "locked.txt", python_version=python_version, python_full_version=f"{python_version}.0", sys_platform=system
    )
    wanted = [needed for needed in required_by(wheel) if needed.marker is None or "dev" in str(needed.marker)]
    assert len(wanted) > 25
    for needed in wanted:
        if needed.name != "torch":  # which the Makefile installs first
            assert releases[canonicalize_name(needed.name)] in needed.specifier, f"`make lock` for {needed}"
    assert not {"torch", "triton"} & set(releases)


def test_oldest_releases_are_the_lower_bounds(wheel):
    bounds = lower_bounds(required_by(wheel))
    bounds.pop("torch")
    releases = locked("oldest.txt")
    assert {name: releases[canonicalize_name(name)] for name in bounds} == {
        name: Version(version) for name, version in bounds.items()
    }


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """The folder that the wheel is installed in."""
    folder = tmp_path_factory.mktemp("site")
    python("-m", "pip", "install", "--no-deps", "--no-index", "--target", str(folder), str(wheel), cwd=folder)
    return folder


def test_installed_wheel_imports_from_an_empty_directory(site, tmp_path):
    code = (
        "import vqdna_hf, vqdna_hf.modeling.nucleotides_vqdna as module\n"
        "print(vqdna_hf.__file__, module.__file__, sep='\\n')"
    )
    files = python("-c", code, cwd=tmp_path, PYTHONPATH=str(site)).splitlines()
    assert [Path(file).relative_to(site).as_posix() for file in files] == [
        "vqdna_hf/__init__.py",
        "vqdna_hf/modeling/nucleotides_vqdna.py",
    ]


def test_installed_wheel_brings_checkpoints(site, tmp_path):
    bases = "".join(random.Random(0).choices("ACGT", k=400))
    code = (
        "import sys, vqdna_hf\n"
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n"
        "from vqdna_hf.checkpoints import list_checkpoints\n"
        "for name in list_checkpoints():\n"
        "    tokenizer = AutoTokenizer.from_pretrained(vqdna_hf.checkpoint(name))\n"
        "    ids = tokenizer(sys.argv[1])['input_ids']\n"
        "    print(vqdna_hf.checkpoint(name), len(ids), tokenizer.decode(ids, skip_special_tokens=True))\n"
        "tokenizer = AutoTokenizer.from_pretrained(vqdna_hf.checkpoint())\n"
        "model = AutoModelForSequenceClassification.from_pretrained(vqdna_hf.checkpoint())\n"
        "print(*model(**tokenizer(['ACGT', 'GATTACA'], padding=True, return_tensors='pt')).logits.shape)"
    )
    *tokenizers, shape = python("-c", code, bases, cwd=tmp_path, PYTHONPATH=str(site)).splitlines()
    for name, line in zip(list_checkpoints(), tokenizers, strict=True):
        directory, length, decoded = line.split()
        assert Path(directory) == site / "vqdna_hf" / "checkpoints" / name
        assert int(length) == len(bases) + 2 and len(decoded) == len(bases)
        assert sum(a == b for a, b in zip(bases, decoded)) >= 0.98 * len(bases)
    assert shape == "2 2"
