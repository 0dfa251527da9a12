"""Windows and macOS: what Linux alone has is not needed, worker processes are spawned, and files stay free."""

import ast
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, DataCollatorWithPadding

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.baselines.tokenizers import character_tokenizer
from vqdna_hf.checkpoints import checkpoint
from vqdna_hf.hub.staging import stage_base
from vqdna_hf.runs.files import put_directory


ROOT = Path(__file__).resolve().parents[1]
SOURCES = [path for name in ("modeling", "vqdna_hf", "examples", "benchmarks") for path in (ROOT / name).rglob("*.py")]


@pytest.fixture
def directory(tmp_path) -> Path:
    torch.manual_seed(0)
    VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset("tiny"))).save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


_WITHOUT = """
import os, signal, sys
import accelerate, datasets, peft, torch, transformers, multiprocessing.popen_spawn_posix, concurrent.futures.process
import torch.utils.data, transformers.trainer, subprocess, onnx, evaluate

# what Windows lacks, some of it macOS too
for name in ("fork", "forkpty", "killpg", "register_at_fork", "sched_getaffinity", "setsid", "sysconf", "uname"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGKILL", "SIGALRM", "SIGHUP", "SIGUSR1"):
    if hasattr(signal, name):
        delattr(signal, name)
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None

import importlib, pkgutil
import vqdna_hf

for module in pkgutil.walk_packages(vqdna_hf.__path__, "vqdna_hf."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(len(transformers.AutoTokenizer.from_pretrained(sys.argv[1])("ACGT")["input_ids"]))
"""


def test_every_module_imports_without_what_windows_lacks(directory):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, str(directory)], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "6"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_text_is_read_and_written_in_utf8(path):
    """Windows has another encoding for files that name none."""
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        named = any(keyword.arg == "encoding" for keyword in node.keywords)
        if name == "read_text":
            named = named or bool(node.args)
        elif name == "write_text":
            named = named or len(node.args) > 1
        elif name == "open" and isinstance(node.func, ast.Name):
            modes = [value.value for value in node.args[1:2] if isinstance(value, ast.Constant)]
            named = named or any("b" in str(mode) for mode in modes)
        else:
            continue
        if not named:
            wrong.append(node.lineno)
    assert wrong == []


def test_a_spawned_worker_tokenizes(directory):
    """DataLoader workers are spawned on Windows and macOS, so that what they work with has to be pickled."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    rows = Dataset.from_list([dict(tokenizer(text)) for text in ("ACGT", "ACGTACGT")])
    loader = DataLoader(
        rows,
        batch_size=2,
        num_workers=1,
        multiprocessing_context="spawn",
        collate_fn=DataCollatorWithPadding(tokenizer),
    )
    batch = next(iter(loader))
    assert torch.equal(
        batch["input_ids"], tokenizer(["ACGT", "ACGTACGT"], padding=True, return_tensors="pt").input_ids
    )


def test_datasets_and_collators_can_be_pickled():
    from vqdna_hf.training.codec_trainer import CodecCollator
    from vqdna_hf.training.masking import Masking, MaskingCollator
    from vqdna_hf.training.task_rows import TaskCollator, TaskRows
    from vqdna_hf.training.token_masking import TokenCollator, TokenMasking, WindowEncoder

    for one in (
        CodecCollator(),
        MaskingCollator(),
        TaskCollator(),
        Masking("span", 0.25, 3, 8),
        TaskRows([np.array([7, 8])], np.array([0])),
        TaskRows.of_bases([np.array([0, 1, 2, 3])], np.array([1]), seed=0),
        TokenCollator(TokenMasking(WindowEncoder(character_tokenizer()), 0.25)),
    ):
        assert type(pickle.loads(pickle.dumps(one))) is type(one)


# files


def test_a_loaded_tokenizer_keeps_no_hold_of_its_file(directory):
    """Windows replaces no file that is in use; elsewhere a file changed in place would change the codes."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    expected = tokenizer.codec.fingerprint()
    path = directory / "codec.safetensors"
    with open(path, "r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert tokenizer.codec.fingerprint() == expected
    tokenizer.save_pretrained(directory)
    assert AutoTokenizer.from_pretrained(directory)("ACGT") == tokenizer("ACGT")


def test_a_directory_takes_the_place_of_an_empty_one(tmp_path, monkeypatch):
    def as_on_windows(source, target):
        if Path(target).exists():
            raise PermissionError(5, "Access is denied", str(target))
        replace(source, target)

    replace = os.replace
    monkeypatch.setattr(os, "replace", as_on_windows)
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "file").write_text("x", encoding="utf-8")
    (tmp_path / "output").mkdir()
    put_directory(tmp_path / "partial", tmp_path / "output")
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["file"]
    (tmp_path / "other").mkdir()
    with pytest.raises(OSError):
        put_directory(tmp_path / "other", tmp_path / "output")  # which is not empty
    assert (tmp_path / "output" / "file").exists()


def test_a_copy_stands_where_no_link_can(tmp_path, monkeypatch):
    def refused(*args, **kwargs):
        raise OSError(1314, "A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refused)
    stage_base(checkpoint(), tmp_path / "base")
    copy = tmp_path / "base" / "model.safetensors"
    assert copy.read_bytes() == Path(checkpoint(), "model.safetensors").read_bytes() and not copy.is_symlink()
