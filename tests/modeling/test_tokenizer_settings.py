"""Special tokens are those of the vocabulary, and settings within their ranges, whichever way somebody sets them."""

import json
import logging
import shutil

import pytest
import torch
from datasets import Dataset
from test_modeling_common import tiny_model
from transformers import AddedToken, AutoTokenizer, Trainer, TrainingArguments

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNAForSequenceClassification, VQDNATokenizer


SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> str:
    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("tokenizer")
    VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset("tiny"))).save_pretrained(directory)
    return str(directory)


def load(saved, **options) -> VQDNATokenizer:
    return AutoTokenizer.from_pretrained(saved, **options)


def state(tokenizer) -> dict:
    plain = tokenizer(["ACGTN[MASK]", "A"], padding=True, return_special_tokens_mask=True)
    return {
        **plain,
        "special": tokenizer.special_tokens_map,
        "ids": tokenizer.all_special_ids,
        "added": {index: str(token) for index, token in tokenizer.added_tokens_decoder.items()},
        "pad": (tokenizer.pad_token, tokenizer.pad_token_id, tokenizer.bos_token, tokenizer.eos_token_id),
        "extra": tokenizer.extra_special_tokens,
        "length": len(tokenizer),
    }


CHANGES = [
    "tok.pad_token = tok.eos_token",
    "tok.pad_token = '<pad>'",
    "tok.pad_token = tok.sep_token",
    "tok.pad_token = None",
    "tok.pad_token_id = 3",
    "tok.pad_token_id = None",
    "tok.eos_token = '</s>'",
    "tok.eos_token = tok.sep_token",
    "tok.bos_token_id = 2",
    "tok.mask_token = AddedToken('<mask>', lstrip=True)",
    "tok.cls_token = 'c0.0'",
    "tok.extra_special_tokens = ['<species>']",
    "tok.extra_special_tokens_ids = [7]",
    "tok.additional_special_tokens = ['<species>']",
    "tok.added_tokens_decoder = {133: AddedToken('<s>')}",
    "tok.add_special_tokens({'bos_token': '<s>'})",
    "tok.add_special_tokens({'pad_token': '[PAD]', 'eos_token': '</s>'})",
    "tok.add_special_tokens({'pad_token': '[SEP]'})",
    "tok.add_special_tokens({'additional_special_tokens': ['<species>']})",
    "tok.add_special_tokens({'extra_special_tokens': ['c0.0']})",
    "tok.add_special_tokens({'species_token': '<species>'})",
    "tok.add_tokens('ACGT')",
    "tok.add_tokens(['c0.0', '<species>'])",
    "tok.add_tokens([AddedToken('<species>')], special_tokens=True)",
    "tok.add_tokens(['c0.0'], special_tokens=True)",
]


@pytest.mark.parametrize("change", CHANGES)
def test_other_special_tokens_are_refused_where_they_are_set(saved, tmp_path, change):
    tok = load(saved)
    before = state(tok)
    with pytest.raises(ValueError, match="learned"):
        exec(change, {"tok": tok, "AddedToken": AddedToken})
    assert state(tok) == before
    tok.save_pretrained(tmp_path)
    assert state(load(tmp_path)) == before


SAME = [
    "tok.pad_token = '[PAD]'",
    "tok.pad_token = tok.pad_token",
    "tok.pad_token_id = 0",
    "tok.mask_token = AddedToken('[MASK]', lstrip=True)",
    "tok.bos_token = None",
    "tok.eos_token_id = None",
    "tok.extra_special_tokens = []",
    "assert tok.add_special_tokens({'pad_token': '[PAD]', 'mask_token': AddedToken('[MASK]')}) == 0",
    "assert tok.add_special_tokens({'additional_special_tokens': []}) == 0",
    "assert tok.add_tokens(['c0.0', '[MASK]']) == 0",
    "assert tok.add_tokens([]) == 0",
]


@pytest.mark.parametrize("change", SAME)
def test_what_is_so_already_can_be_set(saved, tmp_path, change):
    tok = load(saved)
    before = state(tok)
    exec(change, {"tok": tok, "AddedToken": AddedToken})
    assert state(tok) == before
    tok.save_pretrained(tmp_path)
    assert state(load(tmp_path)) == before


GIVEN = [
    {"pad_token": "[SEP]"},
    {"pad_token": None},
    {"bos_token": "<s>"},
    {"eos_token": AddedToken("</s>")},
    {"extra_special_tokens": ["<species>"]},
    {"additional_special_tokens": ["<species>"]},
    {"species_token": "<species>"},
    {"added_tokens_decoder": {133: AddedToken("<s>")}},
]


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: next(iter(given)))
def test_other_special_tokens_are_refused_when_loading_and_making(saved, given):
    for make in (load, VQDNATokenizer.from_pretrained):
        with pytest.raises(ValueError, match="learned"):
            make(saved, **given)
    with pytest.raises(ValueError, match="learned"):
        VQDNATokenizer(codec=load(saved).codec, **given)
    load(saved, pad_token="[PAD]", mask_token=AddedToken("[MASK]"), bos_token=None, extra_special_tokens=[])


def test_a_secret_is_not_shown(saved):
    with pytest.raises(ValueError, match="use_auth_token") as error:
        load(saved, use_auth_token="hf_secret")
    assert "hf_secret" not in str(error.value)


# what earlier versions saved after `tok.pad_token = tok.eos_token`, `tok.eos_token = "</s>"` and the like
FILES = [
    {"pad_token": None},
    {"pad_token": "[SEP]"},
    {"eos_token": "</s>"},
    {"bos_token": "[CLS]", "eos_token": "[SEP]"},
    {"extra_special_tokens": ["<species>"]},
    {"additional_special_tokens": ["<species>"]},
    {"added_tokens_decoder": {"133": {"content": "<s>", "special": True}}},
]


@pytest.mark.parametrize("changes", FILES, ids=lambda changes: next(iter(changes)))
def test_files_with_other_special_tokens_load_with_their_own(saved, tmp_path, caplog, changes):
    shutil.copytree(saved, tmp_path / "old")
    path = tmp_path / "old" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    try:
        loaded = load(tmp_path / "old")
    finally:
        logger.removeHandler(caplog.handler)
    assert state(loaded) == state(load(saved))
    if "added_tokens_decoder" not in changes:
        assert all(name.removeprefix("additional_") in caplog.text for name in changes)
    loaded.save_pretrained(tmp_path / "new")
    assert json.loads((tmp_path / "new" / "tokenizer_config.json").read_text()) == json.loads(
        open(f"{saved}/tokenizer_config.json").read()
    )


@pytest.mark.parametrize("options", [{}, {"return_nucleotide_ids": True}])
def test_trainer_takes_over_no_other_pad_id(saved, tmp_path, options):
    tok = load(saved, **options)
    with pytest.raises(ValueError, match="pad_token"):
        tok.pad_token = tok.eos_token
    model = tiny_model(VQDNAForSequenceClassification)
    rows = Dataset.from_list([{**tok("ACGT"), "label": label} for label in (0, 1)])
    arguments = TrainingArguments(tmp_path, max_steps=1, report_to=[], use_cpu=True, save_strategy="no")
    Trainer(model, arguments, train_dataset=rows, processing_class=tok).train()
    assert (model.config.pad_token_id, tok.pad_token_id) == (0, 0)


# settings


@pytest.mark.parametrize(
    "name, wrong, right",
    [
        ("batch_bases", [0, -1, 1.5, "8", True], 4096),
        ("chunk_length", [0, -1, 1.5, "8", None, True], 64),
        ("compile", ["no", 1], False),
        ("model_max_length", [0, -1, 1.5, float("inf"), "8"], 512),
        ("padding_side", ["middle"], "left"),
        ("return_nucleotide_ids", ["yes", 1], True),
        ("special_tokens_pattern", ["none", "eos"], "cls_sep"),
        ("truncation_side", ["middle"], "left"),
    ],
)
def test_settings_have_their_ranges(saved, tmp_path, name, wrong, right):
    tok = load(saved)
    for value in wrong:
        with pytest.raises(ValueError, match=name.replace("_", ".")):
            load(saved, **{name: value})
        before = getattr(tok, name)
        with pytest.raises(ValueError, match=f"{name}="):
            setattr(tok, name, value)
        assert getattr(tok, name) == before
        if name != "compile":  # which is not saved
            shutil.copytree(saved, tmp_path / "edited", dirs_exist_ok=True)
            path = tmp_path / "edited" / "tokenizer_config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
            with pytest.raises(ValueError, match=name.replace("_", ".")):
                load(tmp_path / "edited")
    setattr(tok, name, right)
    assert getattr(tok, name) == right


def test_settings_assigned_later_are_saved(saved, tmp_path):
    tok = load(saved)
    tok.model_max_length, tok.padding_side, tok.truncation_side, tok.batch_bases = 9, "left", "left", 77
    tok.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert (loaded.model_max_length, loaded.padding_side, loaded.truncation_side, loaded.batch_bases) == (
        *(9, "left", "left"),
        77,
    )
    assert loaded(["ACGTACGTACGT", "A"], truncation=True, padding=True) == tok(
        ["ACGTACGTACGT", "A"], truncation=True, padding=True
    )


def test_the_kind_of_ids_can_be_changed_later(saved, tmp_path):
    tok = load(saved)
    tok.return_nucleotide_ids = True
    assert tok.model_input_names == ["nucleotide_ids", "attention_mask"]
    assert tok("ACGT")["nucleotide_ids"] == [6, 0, 1, 2, 3, 7]
    tok.save_pretrained(tmp_path)
    assert load(tmp_path)("ACGT") == tok("ACGT")
    tok.return_nucleotide_ids = False
    assert tok("ACGT") == load(saved)("ACGT")


def test_names_of_inputs(saved, tmp_path):
    names = ["input_ids", "token_type_ids", "attention_mask"]
    tok = load(saved, model_input_names=names)
    assert list(tok("ACGT")) == names
    tok.save_pretrained(tmp_path)
    assert list(load(tmp_path)("ACGT")) == names
    # the ids are called what they are, whatever somebody calls them
    assert load(saved, model_input_names=["nucleotide_ids", "attention_mask"]).model_input_names[0] == "input_ids"
    for wrong in (["ids"], ["attention_mask", "input_ids"], []):
        with pytest.raises(ValueError, match="must begin with input_ids"):
            load(saved, model_input_names=wrong)
        with pytest.raises(ValueError, match="must begin with input_ids"):
            tok.model_input_names = wrong


def test_special_tokens_map_of_every_kind(saved):
    assert load(saved).special_tokens_map == SPECIAL
