"""The tokenizer on disk and in other processes: saved, loaded, damaged, pickled, hashed and forked."""

import copy
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets.fingerprint import Hasher
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.modeling import tokenization_vqdna


ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["ACGTTGCANNACGT", "acg[MASK]tttgggca", "", "G" * 100]


def new_codec(seed: int, **changes) -> VQDNACodecModel:
    torch.manual_seed(seed)
    return VQDNACodecModel(VQDNACodecConfig.from_preset("tiny", **changes))


@pytest.fixture(scope="module")
def tokenizer() -> VQDNATokenizer:
    return VQDNATokenizer(codec=new_codec(0), batch_bases=512, chunk_length=64)


@pytest.fixture
def directory(tokenizer, tmp_path) -> Path:
    tokenizer.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def rows_of(tokenizer: VQDNATokenizer) -> dict:
    return dict(tokenizer(TEXTS, padding=True, return_offsets_mapping=True, return_special_tokens_mask=True))


def run(code: str, *arguments, timeout: int = 120, **environment: str) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# saving and loading


@pytest.mark.parametrize("loader", [VQDNATokenizer, AutoTokenizer])
def test_a_saved_tokenizer_comes_back(tokenizer, directory, loader):
    loaded = loader.from_pretrained(directory)
    assert type(loaded) is VQDNATokenizer
    assert rows_of(loaded) == rows_of(tokenizer)
    assert loaded.vocabulary_fingerprint == tokenizer.vocabulary_fingerprint
    assert (loaded.batch_bases, loaded.chunk_length) == (512, 64)
    assert not any(parameter.requires_grad for parameter in loaded.codec.parameters())
    assert not loaded.codec.training
    names = {path.name for path in directory.iterdir()}
    assert names >= {"codec.safetensors", "codec_config.json", "tokenizer_config.json"}
    assert not [name for name in names if name.endswith((".partial", ".py", ".bin", ".pt", ".pkl"))]


def test_a_loaded_tokenizer_saves_the_same_files(directory, tmp_path):
    VQDNATokenizer.from_pretrained(directory).save_pretrained(tmp_path / "again")
    for name in ("codec.safetensors", "codec_config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (directory / name).read_bytes()
    assert rows_of(AutoTokenizer.from_pretrained(tmp_path / "again")) == rows_of(
        AutoTokenizer.from_pretrained(directory)
    )


def test_a_saved_tokenizer_does_not_say_where_its_codec_came_from(tokenizer, tmp_path):
    tokenizer.codec.save_pretrained(tmp_path / "codec")
    other = VQDNATokenizer(codec=type(tokenizer.codec).from_pretrained(tmp_path / "codec"))
    other.save_pretrained(tmp_path / "tokenizer")
    assert not [path for path in (tmp_path / "tokenizer").iterdir() if str(tmp_path).encode() in path.read_bytes()]


def test_settings_are_saved(tokenizer, tmp_path):
    own = VQDNATokenizer(
        codec=tokenizer.codec, padding_side="left", truncation_side="left", model_max_length=9, chunk_length=7
    )
    own.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert (loaded.padding_side, loaded.truncation_side, loaded.model_max_length) == ("left", "left", 9)
    batch = {"padding": True, "truncation": True}
    assert loaded(TEXTS, **batch)["input_ids"] == own(TEXTS, **batch)["input_ids"]
    changed = AutoTokenizer.from_pretrained(tmp_path, padding_side="right", batch_bases=99)
    assert (changed.padding_side, changed.batch_bases) == ("right", 99)


def test_nucleotide_ids_are_saved(tokenizer, tmp_path):
    own = VQDNATokenizer(codec=tokenizer.codec, return_nucleotide_ids=True)
    own.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.model_input_names == ["nucleotide_ids", "attention_mask"]
    assert rows_of(loaded) == rows_of(own)
    codes = AutoTokenizer.from_pretrained(tmp_path, return_nucleotide_ids=False)
    assert rows_of(codes) == rows_of(tokenizer)


def test_filename_prefix(tokenizer, tmp_path):
    files = tokenizer.save_pretrained(tmp_path, filename_prefix="human")
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"human-codec.safetensors", "human-codec_config.json"}
    assert {Path(file).name for file in files} >= {"human-codec.safetensors", "human-codec_config.json"}
    weights, config = tmp_path / "human-codec.safetensors", tmp_path / "human-codec_config.json"
    loaded = VQDNATokenizer(codec_file=str(weights), codec_config_file=str(config))
    assert loaded(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]


def test_loading_leaves_the_random_state_alone(directory):
    before = torch.get_rng_state()
    AutoTokenizer.from_pretrained(directory)(TEXTS)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loaded_codec_is_float32(directory):
    tensors = load_file(directory / "codec.safetensors")
    halves = {name: value.bfloat16() if value.is_floating_point() else value for name, value in tensors.items()}
    save_file(halves, directory / "codec.safetensors")
    config = json.loads((directory / "tokenizer_config.json").read_text())
    (directory / "tokenizer_config.json").write_text(json.dumps(config | {"vocabulary_fingerprint": None}))
    loaded = VQDNATokenizer.from_pretrained(directory)
    floating = [value for value in loaded.codec.state_dict().values() if value.is_floating_point()]
    assert {value.dtype for value in floating} == {torch.float32}
    loaded(TEXTS)


# damage


def test_missing_files_are_named(directory):
    for name in ("codec.safetensors", "codec_config.json"):
        moved = shutil.move(directory / name, directory / "away")
        with pytest.raises((ValueError, OSError), match=name):
            AutoTokenizer.from_pretrained(directory)
        shutil.move(moved, directory / name)
    with pytest.raises(ValueError, match=r"codec\.safetensors"):
        VQDNATokenizer()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated_weights_are_named(directory, share):
    path = directory / "codec.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises((ValueError, OSError), match=r"codec\.safetensors.*(truncated|damaged)"):
        AutoTokenizer.from_pretrained(directory)


def test_weights_of_another_shape_are_named(directory):
    other = new_codec(0, codebook_sizes=[8, 32])
    save_file(other.state_dict(), directory / "codec.safetensors")
    with pytest.raises(ValueError, match=r"codec\.safetensors does not fit .*codec_config\.json"):
        AutoTokenizer.from_pretrained(directory)
    save_file({"nothing": torch.zeros(1)}, directory / "codec.safetensors")
    with pytest.raises(ValueError, match=r"codec\.safetensors does not fit"):
        AutoTokenizer.from_pretrained(directory)


def test_weights_of_another_codec_are_refused(tokenizer, directory):
    other = new_codec(1)
    save_file(other.state_dict(), directory / "codec.safetensors")
    with pytest.raises(ValueError, match=r"codec\.safetensors") as error:
        AutoTokenizer.from_pretrained(directory)
    assert tokenizer.vocabulary_fingerprint in str(error.value) and other.fingerprint() in str(error.value)


def test_settings_of_another_codec_are_refused(directory):
    path = directory / "codec_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"layer_norm_eps": 1e-3}))  # no shape tells
    with pytest.raises(ValueError, match="vocabulary"):
        AutoTokenizer.from_pretrained(directory)


BROKEN = ["", "{", '{"quantizer": "hrq"', "[]", '{"quantizer": "none"}', '{"hidden_size": "a"}']


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_configuration_is_named(directory, content):
    (directory / "codec_config.json").write_text(content)
    with pytest.raises((ValueError, OSError), match=r"codec_config\.json"):
        AutoTokenizer.from_pretrained(directory)


@pytest.mark.parametrize("broken", ["save_file", "replace"])
def test_a_failed_save_leaves_nothing_half_written(tokenizer, tmp_path, monkeypatch, broken):
    def fail(*args, **kwargs):
        if broken == "save_file":
            Path(args[1]).write_bytes(b"half")
        raise OSError("the disk is full")

    old, prefix = VQDNATokenizer(codec=new_codec(7)), {"filename_prefix": "old"}
    old.save_pretrained(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in ("codec.safetensors", "codec_config.json")}
    owner, name = (tokenization_vqdna, "save_file") if broken == "save_file" else (os, "replace")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        for options in ({}, prefix):
            with pytest.raises(OSError, match="disk is full"):
                tokenizer.save_pretrained(tmp_path, **options)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert not list(tmp_path.glob("old-codec*")) and not list(tmp_path.glob("*.partial"))


# copies, devices and other processes


def test_copies(tokenizer):
    for other in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert rows_of(other) == rows_of(tokenizer)
        assert other.get_vocab()["c1.2"] == tokenizer.get_vocab()["c1.2"]
        assert other.vocabulary_fingerprint == tokenizer.vocabulary_fingerprint


def test_to_a_device(tokenizer):
    assert tokenizer.to("cpu") is tokenizer
    assert tokenizer.device == torch.device("cpu")
    assert tokenizer.encode_nucleotides([np.array([0, 4, 5])])[0][1:].tolist() == [1, 4]


@pytest.mark.gpu
def test_codes_on_a_gpu(directory):
    cpu, gpu = (AutoTokenizer.from_pretrained(directory).to(device) for device in ("cpu", "cuda"))
    text = "".join(np.random.default_rng(0).choice(list("ACGTN"), 5000))
    same = np.array(cpu(text)["input_ids"]) == np.array(gpu(text)["input_ids"])
    assert same.mean() > 0.999  # what differs are near-ties


def test_datasets_hash_is_stable(directory):
    first = AutoTokenizer.from_pretrained(directory)
    expected = Hasher.hash(first)
    first(TEXTS, padding=True)
    first.decode(first(TEXTS[0])["input_ids"])
    assert Hasher.hash(first) == expected
    assert Hasher.hash(AutoTokenizer.from_pretrained(directory)) == expected
    code = (
        "import sys, vqdna_hf\nfrom datasets.fingerprint import Hasher\nfrom transformers import AutoTokenizer\n"
        "print(Hasher.hash(AutoTokenizer.from_pretrained(sys.argv[1])))"
    )
    another_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    assert run(code, directory, PYTHONHASHSEED=another_seed) == expected


_MAP = """
import sys
import datasets
import vqdna_hf
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
texts = ["ACGTTGCA" * n for n in range(1, 41)]
dataset = datasets.Dataset.from_dict({"text": texts})
for codec in (tokenizer.codec, vqdna_hf.VQDNACodecModel.from_pretrained(sys.argv[2])):  # the latter is compiled
    tokenizer = vqdna_hf.VQDNATokenizer(codec=codec)
    expected = tokenizer(texts)["input_ids"]  # a forward pass before the fork
    mapped = dataset.map(lambda rows: tokenizer(rows["text"]), batched=True, batch_size=5, num_proc=2)
    assert mapped["input_ids"][:] == expected
print("done", codec.table is not None)
"""


def test_datasets_map_in_two_processes_after_a_forward_pass(directory, tmp_path):
    # more than one thread, because it is OpenMP's other threads that a forked process would wait for
    sizes = {"stem_kernel_size": 3, "kernel_size": 3, "num_hidden_layers": 1, "quantizer": "rq"}
    codec = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny", **sizes)).eval()
    codec.compile_vocabulary(verify=False)
    codec.save_pretrained(tmp_path / "compiled")
    options = {"OMP_NUM_THREADS": "2", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    assert run(_MAP, directory, tmp_path / "compiled", **options) == "done True"
