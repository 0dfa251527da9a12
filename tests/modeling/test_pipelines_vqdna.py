"""Pipelines answer in bases: what each promises, on tiny models with the package installed."""

import pytest
import torch
from test_modeling_common import tiny_model
from transformers import BertConfig, BertForMaskedLM, FillMaskPipeline, pipeline
from transformers.pipelines import PIPELINE_REGISTRY, PipelineException

from vqdna_hf import VQDNAForMaskedLM, VQDNAForSequenceClassification, VQDNAModel, VQDNATokenizer
from vqdna_hf.baselines.one_hot import OneHotTokenizerArguments, write_one_hot_tokenizer
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases, parse_sequence, reverse_complement
from vqdna_hf.pipelines import register_pipelines


TEXT = "ACGT[MASK]ACGTTNa[MASK]gg"


def build(task: str, model, **options):
    tokenizer = VQDNATokenizer(codec=model.codec, **options)
    return pipeline(task, model=model, tokenizer=tokenizer, device="cpu")


@pytest.fixture(scope="module")
def masked():
    return tiny_model(VQDNAForMaskedLM)


# fill-mask


@pytest.mark.parametrize("options", [{}, {"return_nucleotide_ids": True}])
def test_fill_mask_gives_the_base_heads_probabilities(masked, options):
    fill = build("fill-mask", masked, **options)
    with torch.no_grad():
        batch = fill.tokenizer(TEXT, return_tensors="pt")
        expected = masked(**batch).base_logits[0, [5, 13]].softmax(-1)  # behind [CLS]
    answers = fill(TEXT)
    assert len(answers) == 2
    for answer, probabilities in zip(answers, expected):
        assert [row["score"] for row in answer] == pytest.approx(sorted(probabilities.tolist(), reverse=True))
        assert sum(row["score"] for row in answer) == pytest.approx(1)
        for row in answer:
            assert row["token_str"] == "ACGT"[row["token"]]
            assert row["score"] == pytest.approx(float(probabilities[row["token"]]))
    assert answers[0][0]["sequence"] == f"ACGT{answers[0][0]['token_str']}ACGTTNa[MASK]gg"
    assert answers[1][3]["sequence"] == f"ACGT[MASK]ACGTTNa{answers[1][3]['token_str']}gg"


def test_fill_mask_offers_every_base_in_the_place_of_the_mask(masked):
    answers = build("fill-mask", masked)("ACGTT[MASK]ACG")
    assert sorted(row["sequence"] for row in answers) == [f"ACGTT{base}ACG" for base in "ACGT"]


def test_fill_mask_takes_targets_and_a_number_of_answers(masked):
    fill = build("fill-mask", masked)
    every = {row["token_str"]: row["score"] for row in fill("AC[MASK]GT")}
    few = fill("AC[MASK]GT", targets=["a", "U"])
    assert {row["token_str"]: row["score"] for row in few} == pytest.approx({base: every[base] for base in "AT"})
    assert len(fill("AC[MASK]GT", targets="CG", top_k=1)) == 1 and len(fill("AC[MASK]GT", top_k=9)) == 4
    for wrong in ("N", ["AC"], [], ["c3.5"]):
        with pytest.raises(ValueError, match="only be one of A, C, G and T"):
            fill("AC[MASK]GT", targets=wrong)


def test_fill_mask_wants_something_masked(masked):
    with pytest.raises(PipelineException, match="No mask_token"):
        build("fill-mask", masked)("ACGT")


def test_fill_mask_in_batches(masked):
    fill = build("fill-mask", masked)
    texts = [TEXT, "A[MASK]", "[MASK]" * 3 + "ACGTTGCA"]
    for one, many in zip([fill(text) for text in texts], fill(texts, batch_size=3)):
        one, many = (rows if isinstance(rows[0], list) else [rows] for rows in (one, many))
        for ours, theirs in zip(one, many, strict=True):
            assert [row["sequence"] for row in ours] == [row["sequence"] for row in theirs]
            assert [row["score"] for row in ours] == pytest.approx([row["score"] for row in theirs], abs=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_fill_mask_knows_which_mask_was_cut_off(masked, side):
    fill = build("fill-mask", masked)
    fill.tokenizer.truncation_side = side
    text = "AC[MASK]GT" + "ACGT" * 10 + "[MASK]ACG"
    answers = fill(text, tokenizer_kwargs={"truncation": True, "max_length": 12})
    assert len(answers) == 4
    other = {"left": "AC[MASK]GT", "right": "[MASK]ACG"}[side]  # stays as it was
    assert all(other in answer["sequence"] for answer in answers)


# feature-extraction


@pytest.mark.parametrize("side", ["left", "right"])
def test_feature_extraction_gives_a_vector_per_base(masked, side):
    body = masked.base_model
    extract = build("feature-extraction", body)
    extract.tokenizer.padding_side = side
    texts = [TEXT, "acgu", "ACGTTGCAACGTTGCA"]
    alone = [extract(text, return_tensors=True) for text in texts]
    for text, features in zip(texts, alone):
        with torch.no_grad():
            hidden = body(**extract.tokenizer(text, return_tensors="pt")).last_hidden_state
        assert features.shape == (1, len(parse_sequence(text)[0]), 32)
        assert torch.equal(features, hidden[:, 1:-1])
    for one, many in zip(alone, extract(texts, batch_size=3, return_tensors=True)):
        assert (one - many).abs().max() <= 1e-5
    nested = extract("acgu")
    assert len(nested) == 1 and len(nested[0]) == 4 and len(nested[0][0]) == 32


# text-classification


def test_text_classification_names_the_labels():
    model = tiny_model(
        VQDNAForSequenceClassification,
        id2label={0: "other", 1: "promoter", 2: "enhancer"},
        label2id={"other": 0, "promoter": 1, "enhancer": 2},
    )
    classify = build("text-classification", model)
    with torch.no_grad():
        logits = model(**classify.tokenizer("ACGTTGCA", return_tensors="pt")).logits[0]
    assert classify("ACGTTGCA")[0]["label"] == model.config.id2label[int(logits.argmax())]
    scores = {row["label"]: row["score"] for row in classify("ACGTTGCA", top_k=None)}
    assert [scores[name] for name in ("other", "promoter", "enhancer")] == pytest.approx(logits.softmax(-1).tolist())


@pytest.mark.parametrize("options", [{}, {"return_nucleotide_ids": True}])
def test_text_classification_averages_the_strands_of_models_that_do(options):
    model = tiny_model(VQDNAForSequenceClassification, strand_average=True)
    classify = build("text-classification", model, **options)
    forward = ["ACGTTGCATTGACC", "TTGAC", "ACGNNTGCA"]
    other = [ids_to_bases(reverse_complement(parse_sequence(text)[0])) for text in forward]
    for one, mirrored, batched in zip(classify(forward), classify(other), classify(forward, batch_size=3)):
        assert one["label"] == mirrored["label"] == batched["label"]
        assert one["score"] == pytest.approx(mirrored["score"], abs=1e-6)
        assert one["score"] == pytest.approx(batched["score"], abs=1e-6)


def test_text_classification_of_both_strands_keeps_the_tokenizers_settings():
    model = tiny_model(VQDNAForSequenceClassification, strand_average=True)
    tokenizer = VQDNATokenizer(codec=model.codec, model_max_length=10, truncation_side="left")
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    whole, cut = classify("ACGTTGCATTGACC"), classify("ACGTTGCATTGACC", truncation=True)
    assert cut == classify("CATTGACC") != whole
    assert not tokenizer.return_nucleotide_ids


@pytest.mark.parametrize("task", ["fill-mask", "feature-extraction", "text-classification"])
def test_windows_are_refused_by_pipelines(masked, task):
    """They would answer for the first one alone."""
    model = {"fill-mask": masked, "feature-extraction": masked.base_model}.get(task)
    model = tiny_model(VQDNAForSequenceClassification) if model is None else model
    windows = {"truncation": True, "max_length": 8, "return_overflowing_tokens": True}
    name = {"fill-mask": "tokenizer_kwargs", "feature-extraction": "tokenize_kwargs"}.get(task)
    with pytest.raises(ValueError, match="all windows but the first"):
        build(task, model)("ACGT[MASK]ACGTACGTACGT", **({name: windows} if name else windows))


@pytest.mark.parametrize("top_k", [0, -1, 1.5, "2"])
def test_fill_mask_wants_a_number_of_answers(masked, top_k):
    with pytest.raises(ValueError, match="top_k="):
        build("fill-mask", masked)("AC[MASK]GT", top_k=top_k)


# which pipeline, and which tokenizer


@pytest.mark.parametrize(
    "task, model_class",
    [
        ("fill-mask", VQDNAForMaskedLM),
        ("feature-extraction", VQDNAModel),
        ("text-classification", VQDNAForSequenceClassification),
    ],
)
def test_a_tokenizer_of_another_vocabulary_is_refused(task, model_class, tmp_path):
    write_one_hot_tokenizer(OneHotTokenizerArguments(output=str(tmp_path)))
    model, foreign = tiny_model(model_class), VQDNATokenizer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"{foreign.vocabulary_fingerprint}.*{model.fingerprint()}"):
        pipeline(task, model=model, tokenizer=foreign, device="cpu")


def test_the_stock_fill_mask_pipeline_is_refused_in_a_line(masked):
    """It would take the scores of level codes for those of token ids."""
    stock = FillMaskPipeline(model=masked, tokenizer=VQDNATokenizer(codec=masked.codec))
    with pytest.raises(ValueError, match="VQDNAFillMaskPipeline.*answer in bases"):
        stock("ACGT[MASK]ACG")


def test_other_models_keep_their_pipelines():
    small = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertForMaskedLM(BertConfig(intermediate_size=16, **small))
    tokenizer = VQDNATokenizer(codec=tiny_model(VQDNAModel).codec)  # any with a [MASK]
    assert type(pipeline("fill-mask", model=model, tokenizer=tokenizer, device="cpu")) is FillMaskPipeline


def test_registering_again_changes_nothing():
    before = {task: entry["impl"] for task, entry in PIPELINE_REGISTRY.supported_tasks.items()}
    register_pipelines()
    assert before == {task: entry["impl"] for task, entry in PIPELINE_REGISTRY.supported_tasks.items()}
