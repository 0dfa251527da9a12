"""Labels of bases in their places, as `Dataset.map`, collators and the model take them."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import DataCollatorForTokenClassification

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNAConfig, VQDNAForTokenClassification, VQDNATokenizer
from vqdna_hf.baselines import character_tokenizer
from vqdna_hf.data import align_labels


SEQUENCES = ["ACGT", "AC[MASK]GNTA", "G"]
OF_BASES = [[0, 1, 2, 3], [0, 1, -100, 2, 1, 3, 0], [2]]


@pytest.fixture(scope="module")
def tokenizer() -> VQDNATokenizer:
    torch.manual_seed(0)
    return VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")).eval())


def test_each_base_has_its_label(tokenizer):
    encoded = align_labels(tokenizer(SEQUENCES), OF_BASES)
    assert encoded["labels"] == [[-100, *labels, -100] for labels in OF_BASES]
    assert align_labels(tokenizer(SEQUENCES[0]), OF_BASES[0])["labels"] == [-100, 0, 1, 2, 3, -100]
    bare = align_labels(tokenizer(SEQUENCES, add_special_tokens=False), OF_BASES)
    assert bare["labels"] == OF_BASES
    assert align_labels(tokenizer([""]), [[]])["labels"] == [[-100, -100]]
    assert align_labels(character_tokenizer()("ACGT"), [1, 1, 0, 1])["labels"] == [-100, 1, 1, 0, 1, -100]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["pt", "np"])
def test_padded_tensors(tokenizer, side, kind):
    encoded = align_labels(tokenizer(SEQUENCES, padding=True, padding_side=side, return_tensors=kind), OF_BASES)
    assert type(encoded["labels"]) is type(encoded["input_ids"])
    assert encoded["labels"].shape == encoded["input_ids"].shape
    for row, of_bases in zip(np.asarray(encoded["labels"]), OF_BASES):
        row = row[1:-1] if len(of_bases) == 7 else row
        assert [label for label in row.tolist() if label != -100] == [label for label in of_bases if label != -100]
    one = align_labels(tokenizer("ACGT", return_tensors=kind), [OF_BASES[0]])
    assert one["labels"].tolist() == [[-100, 0, 1, 2, 3, -100]]


def test_nucleotide_ids_tell_where_the_bases_are():
    encoded = align_labels({"nucleotide_ids": [[6, 0, 5, 4, 7, 8]]}, [np.array([1, 0, 2])])
    assert encoded["labels"] == [[-100, 1, 0, 2, -100, -100]]


@pytest.mark.parametrize("batched", [False, True])
def test_a_data_set_a_collator_and_the_model(tokenizer, batched):
    rows = Dataset.from_dict({"sequence": SEQUENCES, "of_bases": OF_BASES})

    def encode(rows: dict) -> dict:
        return align_labels(tokenizer(rows["sequence"]), rows["of_bases"])

    rows = rows.map(encode, batched=batched, remove_columns=rows.column_names)
    batch = DataCollatorForTokenClassification(tokenizer)([rows[n] for n in range(3)])
    model = VQDNAForTokenClassification(VQDNAConfig.from_preset("tiny", num_labels=4)).eval()
    with torch.no_grad():
        outputs = model(**batch)
    kept = batch["labels"] >= 0
    assert int(kept.sum()) == 11
    torch.testing.assert_close(
        outputs.loss, torch.nn.functional.cross_entropy(outputs.logits[kept], batch["labels"][kept])
    )


@pytest.mark.parametrize(
    ("sequences", "labels", "message"),
    [
        (["ACGT", "ACG"], [[0, 1, 2, 3], [0, 1]], r"Row 1 \(0-based\) has 3 bases, but 2 labels"),
        (["ACGT"], [[-100, 0, 1, 2, 3, -100]], "has 4 bases, but 6 labels.*none for .CLS. and .SEP."),
        (["ACGT", "ACG"], [[0, 1, 2, 3]], "There are 2 sequences, but labels for 1"),
        (
            ["ACGT"],
            [[0.0, 1.0, 0.5, 1.0]],
            r"labels of row 0 \(0-based\) are \[0.0, 1.0, 0.5, 1.0\], but a list of whole",
        ),
        (["ACGT"], ["0110"], "are '0110', but a list of whole numbers"),
        (["ACGT"], [3], "are 3, but a list"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tokenizer, sequences, labels, message):
    with pytest.raises(ValueError, match=message):
        align_labels(tokenizer(sequences), labels)


def test_what_was_cut_is_refused_with_advice(tokenizer):
    with pytest.raises(ValueError, match="has 2 bases, but 4 labels.*cut the sequence, cut its labels"):
        align_labels(tokenizer("ACGT", truncation=True, max_length=4), [0, 1, 2, 3])
    with pytest.raises(ValueError, match="no input_ids and no nucleotide_ids in .'sequence'."):
        align_labels({"sequence": "ACGT"}, [0, 1, 2, 3])
