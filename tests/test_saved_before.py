"""What an earlier version saved loads and resumes: the same codes and scores. See tests/saved/README.md."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from fresh_process import run_python
from peft import PeftModel
from safetensors.numpy import load_file
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer, Trainer

from vqdna_hf.baselines.linear_probe import LinearProbe
from vqdna_hf.cli import main
from vqdna_hf.data import Corpus, GenomeCodes
from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids


SAVED = Path(__file__).parent / "saved" / "version_0_1_0.tar.xz"
# that of logits; other releases of torch add in another order
CLOSE = {"rtol": 0, "atol": 1e-5}
PASSING = ("seconds", "runtime", "per_second", "versions", "digests", "fingerprint")
FEW = "--preset tiny --batch-size 4 --warmup-steps 1 --logging-steps 1 --eval-steps 2 --save-steps 2 --max-steps 4"
TUNE = "finetune --data planted --model encoder --batch-size 12 --learning-rate 0.01 --no-cache-codes"
# steps of the whole run, and of its checkpoint
STEPS = {"tokenizer": (4, 2), "encoder": (4, 2), "lora": (9, 6)}
UNFINISHED = {
    "tokenizer": f"train-tokenizer --fasta genome.fa --eval-contigs c3 {FEW} --warmup-length 32 --length 48 "
    "--eval-windows 6",
    "encoder": f"pretrain --corpus corpus --tokenizer tokenizer {FEW} --eval-windows 6 --neighbour-steps 2",
    "lora": f"{TUNE} --mode lora --lora-r 2 --lora-alpha 4 --epochs 3",
}
TOKENIZE = "tokenize --fasta genome.fa --tokenizer tokenizer"

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

# what a stranger runs: no package, no network, an empty cache
STRANGER = """
import json
import sys

sys.modules["vqdna_hf"] = None
import torch
from peft import PeftModel
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

torch.set_num_threads(1)
texts, trust, found = json.loads(sys.argv[1]), {"trust_remote_code": True}, {}
classify = AutoModelForSequenceClassification.from_pretrained
for name in ("encoder", "full", "lora"):
    tokenizer = AutoTokenizer.from_pretrained(f"{name}-repository", **trust)
    if name == "encoder":
        model = AutoModelForMaskedLM.from_pretrained("encoder-repository", **trust)
    elif name == "full":
        model = classify("full-repository", **trust)
    else:
        model = PeftModel.from_pretrained(classify("encoder-repository", **trust), "lora-repository")
    assert type(tokenizer).__module__.startswith("transformers_modules."), type(tokenizer)
    with torch.no_grad():
        found[name] = model.eval()(**tokenizer(texts, padding=True, return_tensors="pt")).logits.tolist()
assert sys.modules["vqdna_hf"] is None
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    """The directory that everything is in; it is only read."""
    folder = tmp_path_factory.mktemp("saved")
    with tarfile.open(SAVED) as archive:
        archive.extractall(folder, filter="data")
    return folder / "version_0_1_0"


@pytest.fixture
def here(unpacked, monkeypatch) -> Path:
    """The same, as the working directory, which is the one that the commands were run in."""
    monkeypatch.chdir(unpacked)
    return unpacked


@pytest.fixture
def copied(unpacked, tmp_path, monkeypatch) -> Path:
    """A copy to write in, as the working directory."""
    shutil.copytree(unpacked, tmp_path / "copy", ignore=shutil.ignore_patterns("*-repository"))
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def expected(unpacked) -> dict:
    return json.loads((unpacked / "expected.json").read_text())


def logits_of(model, tokenizer, texts: list[str]) -> np.ndarray:
    with torch.no_grad():
        return model.eval()(**tokenizer(texts, padding=True, return_tensors="pt")).logits.numpy()


def lasting(value):
    """A record without what passes: times, and digests of weights, which the last bit of one changes."""
    if isinstance(value, dict):
        return {key: lasting(part) for key, part in value.items() if not key.endswith(PASSING)}
    return [lasting(part) for part in value] if isinstance(value, list) else value


def check_same(found, record, place: str = ""):
    """Records are equal, numbers as far as another release of torch gives them."""
    if isinstance(record, dict):
        assert found.keys() == record.keys(), place
        for key in record:
            check_same(found[key], record[key], f"{place}.{key}")
    elif isinstance(record, list):
        assert len(found) == len(record), place
        for number, pair in enumerate(zip(found, record)):
            check_same(*pair, f"{place}[{number}]")
    elif isinstance(record, float):
        assert found == pytest.approx(record, abs=2e-4), place
    else:
        assert found == record, place


# what was finished


def test_a_vocabulary_gives_the_same_codes(here, expected):
    tokenizer = AutoTokenizer.from_pretrained("tokenizer")
    assert tokenizer.vocabulary_fingerprint == expected["fingerprint"]
    assert tokenizer(expected["texts"])["input_ids"] == expected["input_ids"]


def test_models_give_the_same_logits(here, expected):
    for name, load in {
        "encoder": lambda: AutoModelForMaskedLM.from_pretrained("encoder"),
        "full": lambda: AutoModelForSequenceClassification.from_pretrained("full-repository"),
        "lora": lambda: PeftModel.from_pretrained(
            AutoModelForSequenceClassification.from_pretrained("encoder"), "lora"
        ),
    }.items():
        tokenizer = AutoTokenizer.from_pretrained("full-repository" if name == "full" else name)
        np.testing.assert_allclose(logits_of(load(), tokenizer, expected["texts"]), expected[name], **CLOSE)


def test_a_model_of_hand_made_tokens_gives_the_same_logits(here, expected):
    place = "benchmark/models/letters/encoder"
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    np.testing.assert_allclose(logits_of(model, tokenizer, expected["letters"]), expected["token-encoder"], **CLOSE)


def test_a_probe_gives_the_same_logits_and_is_fitted_as_before(here, expected, tmp_path):
    logits = LinearProbe.from_pretrained("linear").logits([bases_to_ids(text) for text in expected["letters"]])
    np.testing.assert_allclose(logits, expected["linear"], **CLOSE)

    assert main([*TUNE.split(), "--mode", "linear", "--output", str(tmp_path)]) == 0
    scores = [json.loads((place / "results.json").read_text()) for place in (tmp_path, here / "linear")]
    assert [scores[0][split] for split in ("dev", "test")] == [scores[1][split] for split in ("dev", "test")]


def test_stored_codes_are_those_of_today(here, tmp_path):
    windows = "--codes --eval-contigs c3 --window 64 --min-length 32"
    assert main([*TOKENIZE.split(), *windows.split(), "--output", str(tmp_path / "corpus")]) == 0
    assert main([*TOKENIZE.split(), "--contigs", "--output", str(tmp_path / "contigs")]) == 0
    before, now = (Corpus.load(str(place / "corpus")) for place in (here, tmp_path))
    for split in ("train", "validation"):
        assert before.split(split).to_dict() == now.split(split).to_dict()
    before, now = (GenomeCodes.load(str(place / "contigs")) for place in (here, tmp_path))
    for contig in ("c1", "c2", "c3"):
        np.testing.assert_array_equal(before.codes(contig), now.codes(contig))


# what was not


needs_numpy_2 = pytest.mark.skipif(
    int(np.__version__.split(".")[0]) < 2, reason="checkpoints hold the random state as numpy 2 names its parts"
)


@needs_numpy_2
@pytest.mark.parametrize("name", UNFINISHED)
def test_an_unfinished_run_ends_as_one_that_was_not_interrupted(copied, monkeypatch, name):
    output, whole = copied / f"unfinished-{name}", copied / name
    steps, step = [], Trainer.training_step
    monkeypatch.setattr(Trainer, "training_step", lambda *args: steps.append(args) or step(*args))
    assert main([*UNFINISHED[name].split(), "--output", output.name, "--resume"]) == 0
    assert len(steps) == STEPS[name][0] - STEPS[name][1], "it began from scratch"
    files = [sorted(path.name for path in place.iterdir()) for place in (output, whole)]
    assert files[0] == files[1]
    record = "results.json" if name == "lora" else "training.json"
    check_same(*(lasting(json.loads((place / record).read_text())) for place in (output, whole)))
    for path in whole.glob("*.safetensors"):
        weights = load_file(output / path.name)
        for key, value in load_file(path).items():
            np.testing.assert_allclose(weights[key], value, rtol=0, atol=1e-4, err_msg=f"{path.name}: {key}")


@needs_numpy_2
def test_a_benchmark_resumes_in_the_cell_that_was_interrupted(copied, expected):
    finished = {path: path.read_bytes() for path in (copied / "benchmark/cells").iterdir()}
    finished |= {path: path.read_bytes() for path in (copied / "benchmark/models").rglob("*.*")}
    point = copied / "benchmark/work/planted__letters__lora__1/point-0.json"
    outcome = json.loads(point.read_text())
    outcome["dev"]["accuracy"] = 0.123  # which shows in the cell only if the point is not run again
    point.write_text(json.dumps(outcome))

    assert main(["benchmark", "benchmark.yaml", "--output", "benchmark"]) == 0

    assert {path: path.read_bytes() for path in finished} == finished
    cell = json.loads((copied / "benchmark/cells/planted__letters__lora__1.json").read_text())
    assert cell["points"][0]["dev"].pop("accuracy") == cell["dev"].pop("accuracy") == 0.123
    assert expected["cell"]["points"][0]["dev"].pop("accuracy") == expected["cell"]["dev"].pop("accuracy") == 0.75
    check_same(lasting(cell), lasting(expected["cell"]))
    assert not (copied / "benchmark/work").exists()


# what was uploaded


def test_a_stranger_loads_what_was_uploaded(here, expected, tmp_path):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PYTHONPATH"))}
    environment = clean | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_MODULES_CACHE": str(tmp_path / "modules")}
    done = run_python("-c", STRANGER, json.dumps(expected["texts"]), cwd=here, environment=environment)
    for name, found in json.loads(done.stdout.splitlines()[-1]).items():
        np.testing.assert_allclose(found, expected[name], **CLOSE, err_msg=name)
