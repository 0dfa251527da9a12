"""What fine-tuning saves beside its model: the tokenizer as it was, and of a linear probe nothing by itself."""

import pytest
from tiny_runs import Stopped, finetune_arguments
from transformers import AutoTokenizer

from vqdna_hf.checkpoints.loading import load_tokenizer, remade
from vqdna_hf.training import finetune as finetune_module
from vqdna_hf.training.finetune import finetune


SETTINGS = {"model_max_length": 64, "padding_side": "left", "truncation_side": "left", "chunk_length": 4096}


def settings_of(tokenizer) -> dict:
    return {name: getattr(tokenizer, name) for name in SETTINGS}


def test_a_tokenizer_made_again_differs_in_nothing_else(tmp_path, tokenizer_dir):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir, **SETTINGS)
    other = remade(tokenizer, return_nucleotide_ids=True)
    assert other.return_nucleotide_ids and settings_of(other) == SETTINGS
    other.save_pretrained(tmp_path)
    again = load_tokenizer(str(tmp_path))
    assert not again.return_nucleotide_ids and settings_of(again) == SETTINGS
    assert again("ACGTNA")["input_ids"] == tokenizer("ACGTNA")["input_ids"]


def test_a_linear_probe_never_stands_without_its_tokenizer(tmp_path, task_dir, model_dir, monkeypatch):
    def stop(*args, **kwargs):
        raise Stopped

    arguments = finetune_arguments(task_dir, model_dir, tmp_path, mode="linear", strand_average=True)
    with monkeypatch.context() as patch:
        patch.setattr(finetune_module, "save_pretrained", stop)
        with pytest.raises(Stopped):
            finetune(arguments)
    assert not (tmp_path / "probe.json").exists()
    finetune(arguments)  # without --resume: nothing was finished, and nothing of it is there
    assert (tmp_path / "probe.json").is_file() and AutoTokenizer.from_pretrained(tmp_path).return_nucleotide_ids


def test_a_run_that_lacks_its_record_is_called_unfinished(tmp_path, task_dir, model_dir, monkeypatch):
    def stop(*args, **kwargs):
        raise Stopped

    arguments = finetune_arguments(task_dir, model_dir, tmp_path, mode="linear")
    with monkeypatch.context() as patch:
        patch.setattr(finetune_module, "write_card_of_run", stop)
        with pytest.raises(Stopped):
            finetune(arguments)
    with pytest.raises(ValueError, match="unfinished run.*Add --resume"):
        finetune(arguments)
    arguments.resume = True
    assert finetune(arguments)["mode"] == "linear" and (tmp_path / "results.json").is_file()
