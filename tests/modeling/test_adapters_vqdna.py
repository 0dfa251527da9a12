"""Adapters: the codec stays, the head travels along, and an adapter of another vocabulary is refused."""

import copy
import json
import warnings

import pytest
import torch
from peft import (
    AutoPeftModel,
    AutoPeftModelForSequenceClassification,
    AutoPeftModelForTokenClassification,
    IA3Config,
    LoraConfig,
    OFTConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
)
from test_modeling_common import TINY_BERT, largest_difference, ragged_nucleotides, tiny_model
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    Trainer,
    TrainingArguments,
    pipeline,
)

import vqdna_hf
from vqdna_hf import (
    VQDNAForMaskedLM,
    VQDNAForSequenceClassification,
    VQDNAForTokenClassification,
    VQDNAModel,
    VQDNATokenizer,
    lora_config,
)


# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")

CLASSES = [VQDNAModel, VQDNAForMaskedLM, VQDNAForSequenceClassification, VQDNAForTokenClassification]
HEAD = {
    "id2label": {0: "other", 1: "promoter", 2: "enhancer"},
    "label2id": {"other": 0, "promoter": 1, "enhancer": 2},
    "pooling": "bins",
    "pooling_bins": 3,
}
ROFORMER = {**TINY_BERT, "model_type": "roformer", "embedding_size": 32}
ENCODERS = {
    "modernbert": "modernbert",
    "bert": "bert",
    "roberta": {**TINY_BERT, "model_type": "roberta"},
    "electra": {**TINY_BERT, "model_type": "electra", "embedding_size": 32},
    "roformer": ROFORMER,
    "esm": {**TINY_BERT, "model_type": "esm", "mask_token_id": 4, "position_embedding_type": "rotary"},
}


@pytest.fixture(scope="module")
def base_dir(tmp_path_factory):
    """A pre-trained model, as a directory."""
    directory = tmp_path_factory.mktemp("base")
    model = tiny_model(VQDNAForMaskedLM)
    model.save_pretrained(directory)
    VQDNATokenizer(codec=model.codec).save_pretrained(directory)
    return directory


def foreign(model_class):
    """A model of another vocabulary of the same sizes."""
    model = tiny_model(model_class)
    model.codec.quantizer.codebooks[0].embedding.add_(1)
    return model


def logits(model, **kwargs):
    with torch.no_grad():
        return model.eval()(nucleotide_ids=ragged_nucleotides())[0]


def adapted(model, config=None) -> PeftModel:
    """With adapters that do something: as they begin, they change nothing."""
    wrapped = get_peft_model(model, config or lora_config(model))
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    return wrapped


@pytest.fixture(scope="module")
def adapter(base_dir, tmp_path_factory):
    """An adapter with a head of its own, its predictions, and its directory."""
    directory = tmp_path_factory.mktemp("adapter")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = adapted(AutoModelForSequenceClassification.from_pretrained(base_dir, **HEAD))
    model.save_pretrained(directory)
    return directory, logits(model)


# targets


@pytest.mark.parametrize("model_class", CLASSES)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_targets_are_the_encoders_linear_layers_and_nothing_else(model_class, encoder):
    kind = ENCODERS[encoder]
    options = {} if isinstance(kind, str) else {"encoder_config": kind}
    model = tiny_model(model_class, kind if isinstance(kind, str) else "modernbert", **options)
    codec = {name: value.clone() for name, value in model.codec.state_dict().items()}
    wanted = {
        f"encoder.{name}"
        for name, module in model.base_model.encoder.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    before = logits(model)
    wrapped = adapted(model)
    found = {name for name, module in wrapped.named_modules() if hasattr(module, "lora_A")}
    assert {name.rpartition("base_model.model.")[2].removeprefix("vqdna.") for name in found} == wanted
    trainable = [name for name, parameter in wrapped.named_parameters() if parameter.requires_grad]
    assert trainable and not [name for name in trainable if "codec." in name]
    assert all("lora_" in name or "modules_to_save" in name for name in trainable)
    optimizer = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], lr=0.1)
    wrapped.train()
    wrapped(nucleotide_ids=ragged_nucleotides())[0].square().mean().backward()
    optimizer.step()
    after = logits(wrapped)
    assert not torch.allclose(after, before)
    merged = wrapped.merge_and_unload()
    assert (logits(merged) - after).abs().max() <= 1e-5
    for name, value in merged.codec.state_dict().items():
        assert torch.equal(value, codec[name]), name


def test_overrides_are_taken():
    model = tiny_model(VQDNAForSequenceClassification)
    config = vqdna_hf.lora_config(model, r=2, lora_alpha=4, lora_dropout=0.05)
    assert (config.r, config.lora_alpha, config.lora_dropout) == (2, 4, 0.05)


# an adapter directory is enough


def test_an_adapter_is_small_and_holds_no_codec(adapter):
    directory, _ = adapter
    assert sorted(path.name for path in directory.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    record = json.loads((directory / "adapter_config.json").read_text())["auto_mapping"]["vqdna"]
    assert record["head"]["pooling"] == "bins" and record["head"]["id2label"]["1"] == "promoter"


def ways(directory, base_dir):
    """Every way to put an adapter on its model."""
    yield AutoPeftModelForSequenceClassification.from_pretrained(directory)
    yield AutoModelForSequenceClassification.from_pretrained(directory)
    base = AutoModelForSequenceClassification.from_pretrained(base_dir)
    yield PeftModel.from_pretrained(base, directory)
    base = AutoModelForSequenceClassification.from_pretrained(base_dir)
    yield PeftModel.from_pretrained(base, directory, low_cpu_mem_usage=True)
    base = AutoModelForSequenceClassification.from_pretrained(base_dir)
    base.load_adapter(directory)
    yield base
    yield PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(base_dir, **HEAD), directory)


def test_every_way_to_load_gives_the_same_predictions(adapter, base_dir):
    directory, expected = adapter
    for model in ways(directory, base_dir):
        assert torch.equal(logits(model), expected)
        assert model.config.id2label == HEAD["id2label"] and model.config.num_labels == 3
        assert model.config.pooling == "bins"


def test_a_merged_adapter_is_a_model_like_any_other(adapter, base_dir, tmp_path):
    directory, expected = adapter
    merged = AutoPeftModelForSequenceClassification.from_pretrained(directory).merge_and_unload()
    assert not hasattr(merged, "peft_config")
    merged.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert (logits(loaded) - expected).abs().max() <= 1e-5
    assert loaded.config.id2label == HEAD["id2label"]


def test_an_adapter_is_trained_further(adapter):
    directory, _ = adapter
    model = AutoPeftModelForSequenceClassification.from_pretrained(directory, is_trainable=True).train()
    model(nucleotide_ids=ragged_nucleotides(), labels=torch.tensor([0, 1, 2])).loss.backward()
    reached = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is not None and p.grad.any()}
    assert any("lora_A" in name for name in reached) and any("classifier" in name for name in reached)


def test_a_pipeline_of_an_adapter(adapter, base_dir):
    directory, _ = adapter
    answer = pipeline("text-classification", model=str(directory), tokenizer=str(base_dir))("ACGTTGCA")
    assert answer[0]["label"] in HEAD["label2id"]


def test_adapters_of_tokens_and_of_masked_models(base_dir, tmp_path):
    model = adapted(AutoModelForTokenClassification.from_pretrained(base_dir, num_labels=4))
    model.save_pretrained(tmp_path / "token")
    loaded = AutoPeftModelForTokenClassification.from_pretrained(tmp_path / "token")
    assert torch.equal(logits(loaded), logits(model)) and loaded.config.num_labels == 4
    model = adapted(AutoModelForMaskedLM.from_pretrained(base_dir))
    model.save_pretrained(tmp_path / "masked")
    loaded = AutoPeftModel.from_pretrained(tmp_path / "masked", import_allowlist=["vqdna_hf"])
    assert torch.equal(logits(loaded), logits(model))


# vocabularies


@pytest.mark.parametrize("model_class", CLASSES)
def test_an_adapter_of_another_vocabulary_is_refused(model_class, tmp_path):
    model = adapted(tiny_model(model_class))
    model.save_pretrained(tmp_path)
    other = foreign(model_class)
    with pytest.raises(ValueError, match=f"{model.get_base_model().fingerprint()}.*{other.fingerprint()}"):
        PeftModel.from_pretrained(other, tmp_path)
    if model_class is not VQDNAModel:
        with pytest.raises(ValueError, match="means? nothing here"):
            foreign(model_class).load_adapter(tmp_path)


def test_plain_configurations_of_peft_are_completed(tmp_path):
    plain = LoraConfig(task_type="SEQ_CLS", target_modules=["Wqkv", "Wo"])
    adapted(tiny_model(VQDNAForSequenceClassification), plain).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="another|vocabulary"):
        PeftModel.from_pretrained(foreign(VQDNAForSequenceClassification), tmp_path)


def test_a_second_adapter_must_have_the_same_head(adapter, base_dir, tmp_path):
    directory, expected = adapter
    model = AutoPeftModelForSequenceClassification.from_pretrained(directory)
    model.load_adapter(directory, adapter_name="again")
    model.set_adapter("again")
    assert torch.equal(logits(model), expected)
    adapted(AutoModelForSequenceClassification.from_pretrained(base_dir)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="another head"):
        model.load_adapter(tmp_path, adapter_name="other")


def test_a_second_adapter_must_have_the_same_vocabulary(adapter, tmp_path):
    directory, _ = adapter
    adapted(foreign(VQDNAForSequenceClassification)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="'other' was trained on a model of the vocabulary"):
        AutoPeftModelForSequenceClassification.from_pretrained(directory).load_adapter(tmp_path, "other")


def test_a_second_adapter_is_recorded_too(adapter, tmp_path):
    directory, _ = adapter
    model = AutoPeftModelForSequenceClassification.from_pretrained(directory)
    model.add_adapter("new", LoraConfig(task_type="SEQ_CLS", target_modules=["Wqkv"]))
    model.save_pretrained(tmp_path)
    record = json.loads((tmp_path / "new" / "adapter_config.json").read_text())["auto_mapping"]["vqdna"]
    assert record["vocabulary_fingerprint"] == model.get_base_model().fingerprint()


def test_unloading_leaves_the_model_as_it_was():
    model = tiny_model(VQDNAForTokenClassification)
    before = logits(model)
    unloaded = adapted(model).unload()
    assert largest_difference([logits(unloaded)], [before]) == 0 and not hasattr(unloaded, "peft_config")


# training and saving


def test_saving_leaves_the_head_alone():
    """What changes in the configuration while an adapter trains is recorded, and is no reason for another head."""
    model = adapted(tiny_model(VQDNAForSequenceClassification))
    head = model.base_model.model.classifier.modules_to_save["default"].dense.weight
    model(nucleotide_ids=ragged_nucleotides(), labels=torch.tensor([1, 0, 1]))  # which sets `problem_type`
    model.config.id2label = {0: "other", 1: "promoter"}
    state = model.state_dict()
    model.load_state_dict(state)
    assert model.base_model.model.classifier.modules_to_save["default"].dense.weight is head
    record = model.peft_config["default"].auto_mapping["vqdna"]["head"]
    assert record["id2label"] == {0: "other", 1: "promoter"}
    assert record["problem_type"] == "single_label_classification"


def test_a_plain_trainer_keeps_the_head_it_trains(tmp_path):
    rows = [{"nucleotide_ids": row, "labels": number % 2} for number, row in enumerate(ragged_nucleotides([20] * 16))]
    model = adapted(tiny_model(VQDNAForSequenceClassification))
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        num_train_epochs=2,
        per_device_train_batch_size=4,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        report_to="none",
        use_cpu=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, eval_dataset=rows)
    head = model.base_model.model.classifier.modules_to_save["default"].dense.weight
    trainer.train()
    assert model.base_model.model.classifier.modules_to_save["default"].dense.weight is head
    trainer.save_model()
    expected = logits(model)
    base = tiny_model(VQDNAForSequenceClassification)
    assert torch.equal(logits(PeftModel.from_pretrained(base, tmp_path)), expected)


def test_a_copy_of_an_adapted_model_is_one_of_its_own(adapter):
    directory, expected = adapter
    model = copy.deepcopy(AutoPeftModelForSequenceClassification.from_pretrained(directory))
    assert torch.equal(logits(model), expected)
    model.load_state_dict(model.state_dict())
    assert torch.equal(logits(model), expected)


# where adapters must not be


@pytest.mark.parametrize("config_class", [LoraConfig, OFTConfig])
def test_an_adapter_in_the_codec_is_refused(config_class):
    options = {"oft_block_size": 4} if config_class is OFTConfig else {}
    config = config_class(task_type="SEQ_CLS", target_modules="all-linear", **options)
    with pytest.raises(ValueError, match="changes the codec.*lora_config.*exclude_modules"):
        get_peft_model(tiny_model(VQDNAForSequenceClassification), config)
    model = tiny_model(VQDNAForSequenceClassification)
    with pytest.raises(ValueError, match="changes the codec"):
        model.add_adapter(config)


def test_all_linear_layers_but_the_codecs(tmp_path):
    config = LoraConfig(task_type="SEQ_CLS", target_modules="all-linear", exclude_modules=r".*\bcodec\b.*")
    model = adapted(tiny_model(VQDNAForSequenceClassification), config)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_model(VQDNAForSequenceClassification), tmp_path)
    assert torch.equal(logits(loaded), logits(model))


def test_a_refused_adapter_does_not_stay(adapter, tmp_path):
    directory, expected = adapter
    adapted(foreign(VQDNAForSequenceClassification)).save_pretrained(tmp_path / "foreign")
    model = AutoPeftModelForSequenceClassification.from_pretrained(directory)
    with pytest.raises(ValueError, match="vocabulary"):
        model.load_adapter(tmp_path / "foreign", "x")
    assert list(model.peft_config) == ["default"]
    model.save_pretrained(tmp_path / "again")
    assert torch.equal(logits(AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "again")), expected)


def test_configurations_for_models_that_have_adapters_and_for_subclasses():
    class Mine(VQDNAForSequenceClassification):
        pass

    model = tiny_model(Mine)
    first = lora_config(model)
    wrapped = adapted(model, first)
    second = lora_config(model)
    assert second.target_modules == first.target_modules
    wrapped.add_adapter("second", second)
    assert lora_config(model).modules_to_save == ["classifier"]
    with pytest.raises(ValueError, match="get_base_model"):
        lora_config(wrapped)


# kinds of adapters


def ids_of(model) -> dict:
    return {"input_ids": torch.tensor([[2, 7, 8, 9, 3]]), "attention_mask": torch.ones(1, 5, dtype=torch.long)}


@pytest.mark.parametrize("kind", [PromptTuningConfig, PrefixTuningConfig, PromptEncoderConfig])
@pytest.mark.parametrize("model_class", [VQDNAForSequenceClassification, VQDNAModel])
def test_learned_prompts_are_refused_in_a_line(kind, model_class):
    task = "SEQ_CLS" if model_class is VQDNAForSequenceClassification else "FEATURE_EXTRACTION"
    sizes = {"token_dim": 32, "num_attention_heads": 2, "num_layers": 2}
    with pytest.raises(ValueError, match="Prompt tuning.*no such table.*lora_config"):
        get_peft_model(tiny_model(model_class), kind(task_type=task, num_virtual_tokens=4, **sizes))


def test_ia3_trains_and_loads(tmp_path):
    model = tiny_model(VQDNAForSequenceClassification)
    config = IA3Config(task_type="SEQ_CLS", target_modules=r".*encoder.*Wqkv", feedforward_modules=[])
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "ia3_l" in name:
                parameter.mul_(1.5)
    expected = adapted.eval()(**ids_of(model)).logits
    adapted.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_model(VQDNAForSequenceClassification), tmp_path).eval()
    assert torch.equal(loaded(**ids_of(model)).logits, expected)
