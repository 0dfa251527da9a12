import json

import numpy as np
import pytest
import torch
from tiny_runs import write_task
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from vqdna_hf.arguments.training import FinetuneArguments
from vqdna_hf.baselines import TokenEncoderConfig, TokenEncoderForMaskedLM, character_tokenizer, kmer_tokenizer
from vqdna_hf.checkpoints.loading import is_other_model
from vqdna_hf.data.eval_batches import take_rows
from vqdna_hf.data.strands import other_strand
from vqdna_hf.metrics import compute_scores
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.tasks import load_task_files
from vqdna_hf.training.encoding import EmptySequenceError, encode_sequences
from vqdna_hf.training.finetune import finetune
from vqdna_hf.training.task_rows import TaskCollator, TaskRows


# PEFT asks models by the older name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """An encoder over letters, as it was initialized."""
    directory = tmp_path_factory.mktemp("letters")
    torch.manual_seed(0)
    tokenizer = character_tokenizer()
    TokenEncoderForMaskedLM(TokenEncoderConfig.from_preset("tiny", tokenizer=tokenizer)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def arguments(task_dir, letters, output, **changes):
    values = {"data": str(task_dir), "model": str(letters), "output": str(output), "mode": "full", "epochs": 2}
    return FinetuneArguments(**{**values, "batch_size": 8, "learning_rate": 3e-3, "pooling": "max", **changes})


def logits_of(model, tokenizer, sequences):
    inputs = tokenizer(sequences, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits.numpy()


@pytest.mark.parametrize("mode", ["full", "lora"])
@pytest.mark.parametrize("strand_average", [False, True])
def test_a_model_of_letters_is_fine_tuned_by_the_same_command(letters, task_dir, tmp_path, mode, strand_average):
    found = finetune(
        arguments(task_dir, letters, tmp_path, mode=mode, strand_average=strand_average, rc_augment=strand_average)
    )

    assert json.loads((tmp_path / "results.json").read_text()) == found
    assert not list(tmp_path.glob("checkpoint-*"))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    splits, _ = load_task_files(task_dir)
    rows = splits["test"].with_format("numpy")
    sequences = [ids_to_bases(ids) for ids in rows["nucleotide_ids"]]
    logits = logits_of(model, tokenizer, sequences)
    if strand_average:
        logits = logits + logits_of(model, tokenizer, [other_strand(sequence) for sequence in sequences])
    scores = compute_scores(logits.argmax(-1), np.asarray(rows["labels"]))
    assert found["test"] == {name: pytest.approx(value, abs=1e-6) for name, value in scores.items()}


def test_weights_of_16_bits_train_in_32(letters, task_dir, tmp_path):
    half = tmp_path / "half"
    TokenEncoderForMaskedLM.from_pretrained(letters).to(torch.float16).save_pretrained(half)
    AutoTokenizer.from_pretrained(letters).save_pretrained(half)
    assert TokenEncoderForMaskedLM.from_pretrained(half).dtype == torch.float16
    finetune(arguments(task_dir, half, tmp_path / "out", epochs=1))
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").dtype == torch.float32


def test_values_are_predicted_too(letters, tmp_path):
    task = write_task(tmp_path / "values", lambda planted, rng: planted + rng.random() / 4)
    found = finetune(arguments(task, letters, tmp_path / "output", epochs=1))
    assert found["metric"] == "spearman" and set(found["test"]) == {"spearman", "pearson"}


@pytest.mark.parametrize("mode", ["linear", "end-to-end"])
def test_modes_of_learned_vocabularies_are_refused(letters, task_dir, tmp_path, mode):
    with pytest.raises(ValueError, match=f"'{mode}' needs a VQDNA model"):
        finetune(arguments(task_dir, letters, tmp_path / "output", mode=mode))
    assert not (tmp_path / "output").exists()


def test_a_wrong_metric_is_refused(letters, task_dir, tmp_path):
    with pytest.raises(ValueError, match="scored by mcc, f1, accuracy, not 'spearman'"):
        finetune(arguments(task_dir, letters, tmp_path / "output", metric="spearman"))


def test_which_models_are_others(letters, model_dir, tokenizer_dir):
    assert is_other_model(str(letters)) and is_other_model("someone/some-model")
    assert not is_other_model(str(model_dir)) and not is_other_model(str(tokenizer_dir))
    assert not is_other_model("./runs/model") and not is_other_model("/runs/model") and not is_other_model("model")


def test_both_strands_of_a_model_that_gives_tuples(letters, task_dir, tmp_path):
    model = TokenEncoderForMaskedLM.from_pretrained(letters)
    model.config.return_dict = False
    model.save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(letters).save_pretrained(tmp_path / "model")
    found = finetune(arguments(task_dir, tmp_path / "model", tmp_path / "output", strand_average=True, epochs=1))
    assert set(found["test"]) == {"mcc", "f1", "accuracy"}


def test_a_vqdna_model_of_the_hub_is_one_of_a_directory(model_dir, task_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("vqdna_hf.training.finetune.is_other_model", lambda source: True)  # whose name tells nothing
    output = tmp_path / "output"
    found = finetune(arguments(task_dir, model_dir, output, mode="lora", epochs=1))
    assert found["fingerprint"] == json.loads((output / "run.json").read_text())["fingerprint"]
    assert (output / "adapter_config.json").is_file() and (output / "README.md").is_file()


# sequences as token ids


def test_a_sequence_is_cut_in_bases():
    tokenizer = kmer_tokenizer(3, overlapping=False)
    short, long = encode_sequences(tokenizer, ["ACGTACGTACGT"], max_length=6), encode_sequences(tokenizer, ["ACGTAC"])
    assert short[0].tolist() == long[0].tolist()


def test_a_tokenizer_that_states_a_limit_is_obeyed(caplog):
    tokenizer = character_tokenizer()
    tokenizer.model_max_length = 6
    assert [len(ids) for ids in encode_sequences(tokenizer, ["ACGTACGT", "ACG"])] == [6, 5]
    assert "1 of 2 sequences cut to 6 tokens" in caplog.text


def test_an_empty_sequence_is_named():
    with pytest.raises(EmptySequenceError, match="gives no token for sequence 1"):
        encode_sequences(character_tokenizer(), ["ACGT", ""])


def test_a_tokenizer_that_knows_no_token_of_dna_is_named():
    """Such as one that expects spaces between its k-mers, and takes a whole sequence for one unknown word."""
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "ACGTAC": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")
    with pytest.raises(EmptySequenceError, match=r"knows no token of sequence 1 .* all become \[UNK\]"):
        encode_sequences(tokenizer, ["NNNN", "ACGTACGTACGTACGTACGT"])
    assert encode_sequences(character_tokenizer(), ["NNNN"])[0].tolist() == [2, 1, 1, 1, 1, 3]


def test_the_other_strand_reads_backwards():
    assert other_strand("AACGTURYSWKMBDHVN") == "NBDHVKMWSRYAACGTT"
    assert other_strand("acgtn") == "nacgt"


def test_strands_are_drawn_anew_each_epoch():
    ids = [np.array([1, 2]), np.array([3])] * 20
    rows = TaskRows(ids, np.zeros(40, int), [row[::-1] + 10 for row in ids], seed=3)
    first = [rows[i]["input_ids"].tolist() for i in range(40)]
    assert first == [rows[i]["input_ids"].tolist() for i in range(40)]
    assert any(row[0] > 10 for row in first) and any(row[0] < 10 for row in first)
    rows.set_epoch(1)
    assert first != [rows[i]["input_ids"].tolist() for i in range(40)]


def test_batches_are_padded_and_masked():
    batch = TaskCollator(7)(
        [{"input_ids": np.array([1, 2, 3]), "labels": 1}, {"input_ids": np.array([4]), "labels": 0}]
    )
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 7, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [1, 0]


def test_both_strands_are_padded_each_for_itself():
    first, second = {"input_ids": np.array([1, 2, 3]), "labels": 1}, {"input_ids": np.array([4]), "labels": 0}
    others = [np.array([5]), np.array([6, 7, 8, 9])]
    batch = TaskCollator(0)([{**item, "other_input_ids": other} for item, other in zip((first, second), others)])
    assert batch["other_input_ids"].tolist() == [[5, 0, 0, 0], [6, 7, 8, 9]]
    assert batch["other_attention_mask"].tolist() == [[1, 0, 0, 0], [1, 1, 1, 1]]
    one = take_rows(batch, np.array([0]))
    assert one["input_ids"].tolist() == [[1, 2, 3]] and one["other_input_ids"].tolist() == [[5]]
