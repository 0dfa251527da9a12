"""Training over a compiled vocabulary: codes are looked up, and saved with their table unless their weights moved."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import Stopped, finetune_arguments, pretrain_arguments, stop_after, tokenize_arguments
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNAConfig, VQDNAForMaskedLM, VQDNATokenizer
from vqdna_hf.baselines.linear_probe import LinearProbe
from vqdna_hf.data import Corpus
from vqdna_hf.modeling.compiled_vqdna import TABLE_FILE, ExactNetwork
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.runs.processes import leave_processes
from vqdna_hf.training.code_cache import cached_codes
from vqdna_hf.training.finetune import finetune
from vqdna_hf.training.masking import MASKINGS, MaskedWindows, Masking, MaskingCollator, mask_batch
from vqdna_hf.training.pretrain import PretrainTrainer, pretrain
from vqdna_hf.training.tokenize import tokenize


# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def codec() -> VQDNACodecModel:
    """Two levels whose codes are functions of five bases, without a table."""
    torch.manual_seed(0)
    sizes = {"stem_kernel_size": 3, "kernel_size": 3, "num_hidden_layers": 1, "quantizer": "rq"}
    return VQDNACodecModel(VQDNACodecConfig.from_preset("tiny", **sizes)).eval()


@pytest.fixture(scope="module")
def compiled(codec) -> VQDNACodecModel:
    compiled = copy.deepcopy(codec)
    compiled.compile_vocabulary(verify=False)
    return compiled


@pytest.fixture(scope="module")
def places(tmp_path_factory, codec, compiled, genome_fasta) -> dict[str, Path]:
    """Directories: the vocabulary with and without its table, a corpus without codes, and an encoder over each."""
    directory = tmp_path_factory.mktemp("compiled")
    places = {name: directory / name for name in ("plain", "compiled", "corpus")}
    VQDNATokenizer(codec=copy.deepcopy(codec)).save_pretrained(places["plain"])
    VQDNATokenizer(codec=copy.deepcopy(compiled)).save_pretrained(places["compiled"])
    tokenize(tokenize_arguments(genome_fasta, places["corpus"]))
    for name in ("plain", "compiled"):
        places[f"{name} model"] = directory / f"{name}-model"
        pretrain(arguments(places, places[f"{name} model"], tokenizer=name))
    return places


def arguments(places: dict[str, Path], output: Path, tokenizer: str = "compiled", **changes):
    changes = {"masking": "base", "neighbour_steps": 0, **changes}
    return pretrain_arguments(places["corpus"], places[tokenizer], output, **changes)


@pytest.fixture
def no_network(monkeypatch):
    """Codes that are computed, in float32 or in float64, fail the test."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network ran")

    for owner, name in (
        (VQDNACodecModel, "_encode_by_network"),
        (VQDNACodecModel, "latents"),
        (ExactNetwork, "products"),
    ):
        monkeypatch.setattr(owner, name, refuse)


def digest_of(directory: Path) -> str:
    return VQDNATokenizer.from_pretrained(directory).codec.table.digest


# masking


def model_over(codec: VQDNACodecModel) -> VQDNAForMaskedLM:
    torch.manual_seed(0)
    model = VQDNAForMaskedLM(VQDNAConfig.from_preset("tiny", codec_config=copy.deepcopy(codec.config)))
    model.codec.copy_from(codec)
    return model.train()


def masked_batch(codec: VQDNACodecModel, corpus: Path, kind: str) -> dict[str, torch.Tensor]:
    masking = Masking(kind, 0.25, codec.config.halo, codec.config.vocab_size - 5)
    windows = MaskedWindows(Corpus.load(corpus).split("train"), 8, masking, seed=0)
    return MaskingCollator()(windows.__getitems__(list(range(8))))


@pytest.mark.parametrize("kind", MASKINGS)
def test_masked_windows_are_looked_up(compiled, places, kind, monkeypatch, request):
    batch = masked_batch(compiled, places["corpus"], kind)
    exact = ExactNetwork(compiled)

    def by_network(ids: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.from_numpy(row) for row in exact.products(list(ids.to(torch.uint8).numpy()))])

    clean = by_network(batch["nucleotide_ids"]) + 5
    masked = by_network(batch["masked_nucleotide_ids"]) + 5 if kind == "base" else clean
    request.getfixturevalue("no_network")
    inputs = mask_batch(model_over(compiled).base_model, batch)
    labelled = batch["labelled"]
    assert labelled.any() and torch.equal(inputs["labels"][labelled], clean[labelled])
    seen = inputs["input_ids"] > 4
    seen &= (batch["masked_nucleotide_ids"] < 4) if kind == "base" else (batch["replacement_ids"] == -1)
    assert seen.any() and torch.equal(inputs["input_ids"][seen], masked[seen])


def test_the_table_is_no_part_of_the_module(compiled, codec):
    """Neither what DDP broadcasts nor what is saved or cast."""
    model, without = model_over(compiled), model_over(codec)
    model.base_model.encode_nucleotides(torch.zeros(1, 9, dtype=torch.long))
    assert model.codec.table is not None and set(model.state_dict()) == set(without.state_dict())
    assert len(list(model.buffers())) == len(list(without.buffers()))


def test_wrapped_and_recorded_models_look_up(compiled, places, no_network):
    model = model_over(compiled)
    batch = masked_batch(compiled, places["corpus"], "base")
    inputs, bases = mask_batch(model.base_model, batch), batch["masked_nucleotide_ids"]
    embeds, logits, loss = model.base_model.embed(None, bases)[0], model(nucleotide_ids=bases).logits, model(**inputs)
    recorded = torch.compile(model.base_model.embed, backend="eager")
    torch.testing.assert_close(recorded(None, bases)[0], embeds)
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        wrapped = torch.nn.parallel.DistributedDataParallel(model)
        assert torch.equal(wrapped(nucleotide_ids=bases).logits, logits)
        found = wrapped(**inputs)
        found.loss.backward()
    finally:
        # subtle: what holds the group is let go of with Python's lock held, and its threads may still want that lock
        leave_processes()
    assert torch.equal(found.loss, loss.loss) and model.base_model.projection.weight.grad is not None


# pre-training


@pytest.mark.parametrize("masking", MASKINGS)
def test_pretraining_looks_up_and_keeps_the_table(places, masking, tmp_path, no_network):
    pretrain(arguments(places, tmp_path, masking=masking, neighbour_steps=2))
    model = VQDNAForMaskedLM.from_pretrained(tmp_path)
    assert (tmp_path / TABLE_FILE).is_file() and model.config.codec_config.compiled
    assert model.codec.table.digest == digest_of(tmp_path) == digest_of(places["compiled"])


def test_the_table_changes_no_weight(places):
    first, second = (load_file(places[f"{name} model"] / "model.safetensors") for name in ("plain", "compiled"))
    assert all(torch.equal(values, second[name]) for name, values in first.items())
    assert not (places["plain model"] / TABLE_FILE).exists()


def test_a_resumed_run_looks_up(places, tmp_path, monkeypatch, no_network):
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, 2, PretrainTrainer)
        pretrain(arguments(places, tmp_path, save_steps=2))
    pretrain(arguments(places, tmp_path, save_steps=2, resume=True))
    first, second = (load_file(place / "model.safetensors") for place in (places["compiled model"], tmp_path))
    assert all(torch.equal(values, second[name]) for name, values in first.items())
    assert digest_of(tmp_path) == digest_of(places["compiled"])


def test_adapters_keep_the_table(places, tmp_path, no_network):
    pretrain(arguments(places, tmp_path, model=str(places["compiled model"]), lora=True, max_steps=1))
    for place in (tmp_path, tmp_path / "adapter"):
        assert digest_of(place) == digest_of(places["compiled"])
    assert VQDNAForMaskedLM.from_pretrained(tmp_path).codec.table is not None


def test_a_model_made_before_gets_the_table_of_its_tokenizer(places, tmp_path, no_network):
    pretrain(arguments(places, tmp_path, model=str(places["plain model"]), max_steps=1))
    assert VQDNAForMaskedLM.from_pretrained(tmp_path).codec.table.digest == digest_of(places["compiled"])


# fine-tuning


def test_a_tokenizer_saved_before_gets_the_table_of_the_model(places, tmp_path, no_network):
    pretrain(arguments(places, tmp_path, tokenizer="plain", model=str(places["compiled model"]), max_steps=1))
    assert VQDNATokenizer.from_pretrained(tmp_path).codec.table is not None
    assert VQDNAForMaskedLM.from_pretrained(tmp_path).codec.table is not None


def tuned(places, task_dir, output: Path, **changes) -> dict:
    changes = {"learning_rate": 1e-2, "cache_dir": str(output / "cache"), **changes}
    return finetune(finetune_arguments(task_dir, places["compiled model"], output, **changes))


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_finetuning_looks_up_both_strands(places, task_dir, tmp_path, mode, no_network):
    tuned(places, task_dir, tmp_path, mode=mode, strand_average=True, rc_augment=True)
    assert digest_of(tmp_path) == digest_of(places["compiled"])
    assert (tmp_path / TABLE_FILE).is_file() and not (tmp_path / "cache").exists()
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert model.codec.table.digest == digest_of(places["compiled"])
    with torch.no_grad():
        assert model.eval()(nucleotide_ids=torch.randint(0, 4, (2, 30))).logits.shape == (2, 2)


def test_a_probe_keeps_the_table(places, task_dir, tmp_path, no_network):
    tuned(places, task_dir, tmp_path, mode="linear")
    assert digest_of(tmp_path) == digest_of(places["compiled"])
    assert LinearProbe.from_pretrained(tmp_path).codec.table is not None


def test_end_to_end_training_drops_the_table_of_what_moved(places, task_dir, tmp_path):
    tuned(places, task_dir, tmp_path, mode="end-to-end", strand_average=True)
    model, tokenizer = (one.from_pretrained(tmp_path) for one in (AutoModelForSequenceClassification, AutoTokenizer))
    assert not (tmp_path / TABLE_FILE).exists()
    assert model.codec.table is None and not model.config.codec_config.compiled
    assert tokenizer.codec.table is None and tokenizer.vocabulary_fingerprint == model.fingerprint()
    assert digest_of(places["compiled model"]) == digest_of(places["compiled"])  # what it started from


def test_codes_kept_of_a_network_are_not_those_of_a_table(places, tmp_path, monkeypatch):
    """The fingerprint is the same, but a near-tie may have been settled otherwise."""
    plain, compiled = (VQDNATokenizer.from_pretrained(places[name]) for name in ("plain", "compiled"))
    sequences = [np.random.default_rng(n).integers(0, 5, n).astype(np.uint8) for n in (30, 3, 50)]
    with monkeypatch.context() as patch:
        patch.setattr(VQDNATokenizer, "encode_joined", lambda self, joined, lengths: np.full(len(joined), 7))
        cached_codes(plain, sequences, tmp_path)
    found = cached_codes(compiled, sequences, tmp_path)
    for row, sequence in zip(found, sequences):
        assert row.dtype == np.int32 and row.tolist() == compiled(ids_to_bases(sequence))["input_ids"]
    assert len(list(tmp_path.rglob("*.arrow"))) == 1
