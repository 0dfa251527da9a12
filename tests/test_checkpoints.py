"""The checkpoints that come with the package: what they are, whatever weights they hold."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

import vqdna_hf
from vqdna_hf.checkpoints import checkpoint, list_checkpoints
from vqdna_hf.checkpoints.lineage import without_paths
from vqdna_hf.demo.simulation import simulate_contig
from vqdna_hf.modeling.compiled_vqdna import TABLE_FILE
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.runs.records import weight_digests


FOLDER = Path(vqdna_hf.__file__).parent / "checkpoints"
FILES = [path for path in FOLDER.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
MEGABYTE = 1_000_000

NAMES = ["vqdna-hrq-compact", "vqdna-hrq-small", "vqdna-vq-compact", "vqdna-vq-small"]
each_checkpoint = pytest.mark.parametrize("name", NAMES)


def random_bases(rng: np.random.Generator, length: int) -> np.ndarray:
    return rng.integers(0, 4, length).astype(np.uint8)


def test_all_are_there_and_one_is_the_default():
    assert list_checkpoints() == NAMES
    assert vqdna_hf.checkpoint() == checkpoint("vqdna-hrq-small") == str(FOLDER / "vqdna-hrq-small")


@pytest.mark.parametrize("name", ["vqdna-hrq-tiny", "", ".", "..", "__pycache__", "vqdna-hrq-small/"])
def test_an_unknown_name_is_refused_with_those_that_are_there(name):
    with pytest.raises(ValueError, match=re.escape(repr(name)) + ".*" + ", ".join(NAMES)):
        checkpoint(name)


@each_checkpoint
@pytest.mark.parametrize("kind", [random_bases, simulate_contig])
def test_the_decoder_gives_the_bases_back(name, kind):
    tokenizer, rng = AutoTokenizer.from_pretrained(checkpoint(name)), np.random.default_rng(7)
    for length in (60, 300, 5000):
        bases = ids_to_bases(kind(rng, length))
        decoded = tokenizer.decode(tokenizer(bases)["input_ids"], skip_special_tokens=True)
        assert len(decoded) == length
        assert np.mean([a == b for a, b in zip(bases, decoded)]) >= 0.98


@each_checkpoint
def test_the_record_has_the_digests_of_the_weights(name):
    record = json.loads((FOLDER / name / "training.json").read_text())
    assert record["digests"] == weight_digests(FOLDER / name)


@each_checkpoint
def test_the_tokenizer_gives_one_id_per_base(name):
    tokenizer = AutoTokenizer.from_pretrained(checkpoint(name))
    assert type(tokenizer) is vqdna_hf.VQDNATokenizer
    ids = tokenizer("ttgacaNNacgu")["input_ids"]
    assert len(ids) == 14 and ids[7:9] == [tokenizer.unk_token_id] * 2
    assert tokenizer("TTGACANNACGT")["input_ids"] == ids


@pytest.mark.parametrize("auto", [AutoModelForMaskedLM, AutoModelForSequenceClassification])
def test_the_model_loads_with_its_vocabulary(auto):
    directory = checkpoint("vqdna-hrq-small")
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model, report = auto.from_pretrained(directory, output_loading_info=True)
    model.check_tokenizer(tokenizer)
    assert not report["mismatched_keys"]
    # a head for sequences is new, and the heads over codes and bases are then left over; nothing below them is
    heads = ("classifier.", "head", "base_head")
    wrong = [*report["missing_keys"], *report["unexpected_keys"]]
    assert all(key.startswith(heads) for key in wrong) if auto is AutoModelForSequenceClassification else not wrong
    batch = tokenizer(["ACGTTGACA", "ttgacaNNacgu"], padding=True, return_tensors="pt")
    assert model(**batch).logits.isfinite().all()


def test_the_vq_sibling_is_a_tokenizer_alone():
    assert [path.name for path in Path(checkpoint("vqdna-vq-small")).glob("*.safetensors")] == ["codec.safetensors"]
    assert AutoTokenizer.from_pretrained(checkpoint("vqdna-vq-small")).codec.config.quantizer == "vq"


@pytest.mark.parametrize("quantizer", ["hrq", "vq"])
def test_the_compact_ones_are_compiled_tokenizers_of_nine_bases(quantizer):
    directory = Path(checkpoint(f"vqdna-{quantizer}-compact"))
    files = [path for path in directory.iterdir() if path.is_file()]
    assert {path.name for path in files if path.suffix == ".safetensors"} == {"codec.safetensors", TABLE_FILE}
    assert sum(path.stat().st_size for path in files) <= 8 * MEGABYTE
    codec = AutoTokenizer.from_pretrained(directory).codec
    assert codec.config.quantizer == quantizer and codec.config.receptive_field == 9 and codec.table is not None


def test_the_files_are_small_and_all_weights_are_safetensors():
    assert sum(path.stat().st_size for path in FILES) < 24 * MEGABYTE
    large = [path for path in FILES if path.stat().st_size > MEGABYTE / 4]
    assert large and {path.suffix for path in large} == {".safetensors"}
    assert {path.suffix for path in FILES} <= {".safetensors", ".json", ".txt", ".md"}


def test_the_records_name_no_place_on_a_machine():
    for path in FILES:
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            assert without_paths(content) == content, path


def test_importing_the_package_does_not_load_what_only_adapters_need():
    code = "import sys, vqdna_hf; print(vqdna_hf.checkpoint()); sys.exit('peft' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == checkpoint()
