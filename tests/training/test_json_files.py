"""Every JSON file that a command reads: something else in its place is one line that names it, before all else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from no_json import NO_OBJECTS
from tiny_runs import finetune_arguments, pretrain_arguments, tokenize_arguments, tokenizer_arguments

from vqdna_hf.baselines.linear_probe import LinearProbe
from vqdna_hf.baselines.tokenizers import character_tokenizer
from vqdna_hf.checkpoints.lineage import vocabulary_record
from vqdna_hf.checkpoints.loading import load_tokenizer
from vqdna_hf.cli import main
from vqdna_hf.data import Corpus, GenomeCodes
from vqdna_hf.modeling.tokenization_vqdna import VQDNATokenizer
from vqdna_hf.runs.resume import check_same_run, checkpoint_fault
from vqdna_hf.tasks.catalogue import own_classes
from vqdna_hf.training.finetune import finetune
from vqdna_hf.training.pretrain import pretrain
from vqdna_hf.training.tokenize import tokenize
from vqdna_hf.training.train_tokenizer import train_tokenizer


# of the many kinds those that the readers of this folder could stumble over
KINDS = ("list", "number", "text", "null", "empty", "open", "bytes", "deep lists", "deep objects")
CONTENTS = {kind: NO_OBJECTS[kind] for kind in KINDS}


@pytest.fixture
def places(tmp_path, model_dir, tokenizer_dir, corpus_dir, task_dir, genome_fasta):
    return {
        "root": tmp_path,
        "model": model_dir,
        "tokenizer": tokenizer_dir,
        "corpus": corpus_dir,
        "task": task_dir,
        "fasta": genome_fasta,
    }


def copy(places, name: str) -> Path:
    return Path(shutil.copytree(places[name], places["root"] / "copy"))


def probe_of(places) -> Path:
    codec = VQDNATokenizer.from_pretrained(places["tokenizer"]).codec
    settings = {"pooling": "mean", "pooling_bins": 1, "strand_average": False, "problem_type": "regression"}
    LinearProbe(codec, np.zeros((1, 4), np.float32), np.zeros(1, np.float32), settings).save_pretrained(
        places["root"] / "probe"
    )
    VQDNATokenizer(codec=codec).save_pretrained(places["root"] / "probe")
    return places["root"] / "probe"


def begun(places) -> Path:
    (places["root"] / "run").mkdir()
    return places["root"] / "run"


def hand_made(places) -> Path:
    character_tokenizer().save_pretrained(places["root"] / "characters")
    return places["root"] / "characters"


# what reads which file: file, directory, and what a command does with the directory
READERS = {
    "encoder": (
        "config.json",
        lambda p: copy(p, "model"),
        lambda p, d: finetune(finetune_arguments(p["task"], d, p["root"] / "o")),
    ),
    "encoder gone on from": (
        "config.json",
        lambda p: copy(p, "model"),
        lambda p, d: pretrain(pretrain_arguments(p["corpus"], p["tokenizer"], p["root"] / "o", model=str(d))),
    ),
    "tokenizer": (
        "tokenizer_config.json",
        lambda p: copy(p, "tokenizer"),
        lambda p, d: tokenize(tokenize_arguments(p["fasta"], p["root"] / "o", tokenizer=str(d), codes=True)),
    ),
    "codec": ("codec_config.json", lambda p: copy(p, "tokenizer"), lambda p, d: load_tokenizer(str(d))),
    "codec alone": (
        "codec_config.json",
        lambda p: copy(p, "tokenizer"),
        lambda p, d: VQDNATokenizer.from_pretrained(d),
    ),
    "hand-made tokenizer": (
        "tokenizer.json",
        hand_made,
        lambda p, d: pretrain(pretrain_arguments(p["corpus"], d, p["root"] / "o", neighbour_steps=0)),
    ),
    "adapter": (
        "adapter_config.json",
        lambda p: copy(p, "tokenizer"),
        lambda p, d: finetune(finetune_arguments(p["task"], d, p["root"] / "o")),
    ),
    "record": ("training.json", lambda p: copy(p, "tokenizer"), lambda p, d: vocabulary_record(d, "f")),
    "corpus": ("corpus.json", lambda p: copy(p, "corpus"), lambda p, d: Corpus.load(d)),
    "corpus gone on with": (
        "corpus.json",
        lambda p: copy(p, "corpus"),
        lambda p, d: tokenize(tokenize_arguments(p["fasta"], d, tokenizer=str(p["tokenizer"]), codes=True)),
    ),
    "genome": ("genome.json", begun, lambda p, d: GenomeCodes.load(d)),
    "probe": ("probe.json", probe_of, lambda p, d: LinearProbe.from_pretrained(d)),
    "run": ("run.json", begun, lambda p, d: check_same_run(d, "run.json", {"seed": 1}, resume=True)),
    "task": ("task.json", begun, lambda p, d: own_classes(d)),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize(("name", "make", "read"), READERS.values(), ids=READERS)
def test_something_else_in_the_place_of_json_is_named(places, name, make, read, content):
    directory = make(places)
    (directory / name).write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read(places, directory)
    message = str(caught.value)
    assert name in message and "\n" not in message and len(message) < 600
    assert not (places["root"] / "o").exists()


WRONG_FIELDS = [
    ("config.json", {"model_type": ["vqdna"]}, "config.json: model_type is \\['vqdna'\\], but text or null is needed"),
    ("config.json", {"architectures": "VQDNAModel"}, "architectures is 'VQDNAModel', but a list or null is needed"),
    ("config.json", {"codec_config": 3}, "codec_config is 3, but an object or null is needed"),
    ("config.json", {"auto_map": []}, "auto_map is \\[\\], but an object or null"),
    ("tokenizer_config.json", {"tokenizer_class": 5}, "tokenizer_config.json: tokenizer_class is 5, but text"),
    ("training.json", {"vocabulary": "x"}, "training.json: vocabulary is 'x', but an object"),
    ("model.safetensors.index.json", {"weight_map": []}, "weight_map is \\[\\], but an object is needed"),
]


@pytest.mark.parametrize(("name", "fields", "message"), WRONG_FIELDS)
def test_fields_of_the_wrong_kind_are_named(places, name, fields, message):
    directory = copy(places, "model")
    path = directory / name
    before = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(before | fields))
    with pytest.raises(ValueError, match=message):
        finetune(finetune_arguments(places["task"], directory, places["root"] / "o"))
    with pytest.raises(ValueError, match=message):
        load_tokenizer(str(directory))
    assert not (places["root"] / "o").exists()


@pytest.mark.parametrize("field", ["pooling", "pooling_bins", "strand_average", "problem_type"])
def test_fields_of_a_probe_are_named(places, field):
    path = probe_of(places) / "probe.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {field: []}))
    with pytest.raises(ValueError, match=f"probe.json: {field} is \\[\\], but"):
        LinearProbe.from_pretrained(path.parent)
    del content[field]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"probe.json has no {field}"):
        LinearProbe.from_pretrained(path.parent)


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_checkpoint_whose_state_is_no_json_is_not_whole(tmp_path, content):
    (tmp_path / "trainer_state.json").write_bytes(content)
    assert "trainer_state.json" in checkpoint_fault(tmp_path)


def test_output_paths_that_lead_in_a_circle_are_named(places, capfd):
    loop = places["root"] / "loop"
    loop.symlink_to(loop)
    for words in (
        ["train-tokenizer", "--fasta", str(places["fasta"]), "--output", str(loop)],
        ["train-tokenizer", "--fasta", str(places["fasta"]), "--output", str(loop / "inner")],
        ["tokenize", "--fasta", str(places["fasta"]), "--output", str(loop)],
        ["baseline-tokenizer", "--kind", "character", "--output", str(loop)],
        ["one-hot-tokenizer", "--output", str(loop)],
        ["export", str(places["tokenizer"]), "--output", str(loop)],
        ["codebook", "--data", str(places["task"]), "--output", str(loop)],
        ["audit", str(places["task"]), "--output", str(loop)],
        ["card", str(places["tokenizer"]), "--output", str(loop)],
        ["benchmark", "file.yaml", "--output", str(loop)],
        ["demo", "--output", str(loop)],
    ):
        assert main(words) == 2, words
        assert "cannot be written to: it leads through symbolic links" in capfd.readouterr().err, words
    for words in (
        ["tokenize", "--fasta", str(places["fasta"]), "--codes", "--tokenizer", str(loop), "--output", "o"],
        ["finetune", "--data", str(places["task"]), "--model", str(loop), "--output", "o"],
    ):
        assert main(words) == 2
        assert "loop leads through symbolic links that lead back to themselves" in capfd.readouterr().err
    assert loop.is_symlink()


def test_a_run_writes_into_a_directory_of_its_own(places):
    dangling = places["root"] / "dangling"
    dangling.symlink_to(places["root"] / "gone")
    with pytest.raises(ValueError, match="dangling is a symbolic link to .*gone, which is not there"):
        train_tokenizer(tokenizer_arguments(places["fasta"], dangling))
    assert not (places["root"] / "gone").exists()
