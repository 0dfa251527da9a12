"""Full disks and kills while a tokenizer or a probe is written: what is there is whole; a run starts from scratch."""

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.baselines import linear_probe
from vqdna_hf.baselines.linear_probe import LinearProbe
from vqdna_hf.baselines.one_hot import OneHotTokenizerArguments, write_one_hot_tokenizer
from vqdna_hf.baselines.tokenizers import character_tokenizer
from vqdna_hf.baselines.write_tokenizer import BaselineTokenizerArguments, write_baseline_tokenizer
from vqdna_hf.runs.files import save_pretrained


def characters(output: Path):
    return write_baseline_tokenizer(BaselineTokenizerArguments(kind="character", output=str(output)))


def one_hot(output: Path):
    return write_one_hot_tokenizer(OneHotTokenizerArguments(output=str(output)))


def cut(self, directory, *_, **__):
    """Leaves what a full disk leaves of a tokenizer."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    (Path(directory) / "tokenizer_config.json").write_text('{"added_tokens')
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("write", [characters, one_hot])
@pytest.mark.parametrize("there", [None, "empty", "mine.txt"])
def test_a_full_disk_leaves_no_tokenizer(tmp_path, monkeypatch, write, there):
    output = tmp_path / "out"
    if there:
        output.mkdir()
    if there == "mine.txt":
        (output / there).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(PreTrainedTokenizerBase, "save_pretrained", cut)
        patch.setattr(VQDNATokenizer, "save_pretrained", cut)
        with pytest.raises(OSError, match="No space left"):
            write(output)
    assert sorted(tmp_path.rglob("*")) == before
    write(output)
    assert len(AutoTokenizer.from_pretrained(output)) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert there != "mine.txt" or (output / there).read_text() == "mine"


def test_a_full_disk_leaves_a_tokenizer_as_it_was(tmp_path, monkeypatch):
    tokenizer = character_tokenizer()
    save_pretrained(tokenizer, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(PreTrainedTokenizerBase, "save_pretrained", cut)
    with pytest.raises(OSError, match="No space left"):
        save_pretrained(tokenizer, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("write", [characters, one_hot])
def test_what_a_killed_run_left_is_removed(tmp_path, write):
    left = tmp_path / "out.4194305.partial"
    left.mkdir()
    (left / "tokenizer_config.json").write_text("{")
    write(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not list((tmp_path / "out").glob("*.partial"))


def probe() -> LinearProbe:
    torch.manual_seed(0)
    codec = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")).eval()
    settings = {"pooling": "mean", "pooling_bins": 1, "strand_average": False, "problem_type": "regression"}
    return LinearProbe(codec, np.zeros((1, 4), np.float32), np.zeros(1, np.float32), settings)


def test_a_full_disk_leaves_no_probe(tmp_path, monkeypatch):
    def fail(tensors, path):
        Path(path).write_bytes(b"\x08\0\0")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(linear_probe, "save_file", fail)
        with pytest.raises(OSError, match="No space left"):
            probe().save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "probe.safetensors.partial").write_bytes(b"\x08\0")
    probe().save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["probe.json", "probe.safetensors"]


def test_a_cut_probe_is_named(tmp_path):
    fitted = probe()
    fitted.save_pretrained(tmp_path)
    VQDNATokenizer(codec=fitted.codec).save_pretrained(tmp_path)
    LinearProbe.from_pretrained(tmp_path)
    content = (tmp_path / "probe.safetensors").read_bytes()
    (tmp_path / "probe.safetensors").write_bytes(content[:-4])
    with pytest.raises(ValueError, match="probe.safetensors is damaged"):
        LinearProbe.from_pretrained(tmp_path)


@pytest.mark.parametrize("umask", [0o022, 0o007], ids=oct)
def test_what_is_saved_is_readable_as_the_umask_says(tmp_path, umask):
    before = os.umask(umask)
    try:
        fitted = probe()
        fitted.save_pretrained(tmp_path)
        VQDNATokenizer(codec=fitted.codec).save_pretrained(tmp_path)
        fitted.codec.save_pretrained(tmp_path)
        one_hot(tmp_path / "one-hot")
        characters(tmp_path / "characters")
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len([path for path in files if path.suffix == ".safetensors"]) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o666 & ~umask}
