"""Nothing is cut from training sequences unless asked, and what is cut is said in numbers and recorded."""

import json

import pytest
from tiny_runs import finetune_arguments, write_task
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from vqdna_hf import VQDNAConfig, VQDNAForMaskedLM, VQDNAModel, VQDNATokenizer
from vqdna_hf.baselines import character_tokenizer
from vqdna_hf.cards.scores import join_results
from vqdna_hf.cards.tables import recipe_table
from vqdna_hf.cli import main
from vqdna_hf.runs.records import Cut, note_cut, read_cuts
from vqdna_hf.runs.resume import check_same_run
from vqdna_hf.training.encoding import encode_sequences
from vqdna_hf.training.finetune import finetune
from vqdna_hf.training.positions import learned_positions


# PEFT asks models by the older name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

TINY = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 9}


@pytest.fixture(scope="module")
def long_task(tmp_path_factory):
    """36, 12 and 14 sequences of 600 bases."""
    return write_task(tmp_path_factory.mktemp("long") / "task", lambda planted, rng: planted, length=600)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A BERT over letters with learned positions for 64 tokens, whose tokenizer states no limit."""
    directory = tmp_path_factory.mktemp("bert")
    BertForSequenceClassification(BertConfig(**TINY, max_position_embeddings=64)).save_pretrained(directory)
    character_tokenizer().save_pretrained(directory)
    return directory


@pytest.mark.parametrize("mode", ["full", "linear"])
def test_training_reads_whole_sequences_unless_told_otherwise(tmp_path, long_task, model_dir, mode, caplog):
    found = finetune(finetune_arguments(long_task, model_dir, tmp_path, mode=mode))
    assert found["arguments"]["max_length"] is None and "cut" not in found
    assert "cut to" not in caplog.text


def test_a_row_behind_base_512_changes_what_is_learned(tmp_path, long_task, model_dir):
    changed = tmp_path / "changed"
    changed.mkdir()
    for split in ("train", "dev", "test"):
        text = (long_task / f"{split}.csv").read_text()
        rows = [line.split(",") for line in text.splitlines()]
        if split == "train":
            rows = [rows[0], *([f"{row[:550]}{'ACGT' * 12}AC", label] for row, label in rows[1:])]
        (changed / f"{split}.csv").write_text("".join(f"{row},{label}\n" for row, label in rows))
    weights = []
    for task in (long_task, changed):
        output = tmp_path / task.name / "out"
        finetune(finetune_arguments(task, model_dir, output, mode="full"))
        weights.append((output / "model.safetensors").read_bytes())
    assert weights[0] != weights[1]


@pytest.mark.parametrize("options", [{"max_length": 512}, {"recipe": "paper"}], ids=["option", "recipe"])
@pytest.mark.parametrize("mode", ["lora", "linear"])
def test_what_is_cut_is_said_in_numbers_and_recorded(tmp_path, long_task, model_dir, options, mode, caplog):
    found = finetune(finetune_arguments(long_task, model_dir, tmp_path, mode=mode, **options))
    assert "36 of 36 training sequences cut to 512 bases" in caplog.text
    assert read_cuts(json.loads((tmp_path / "results.json").read_text())) == [Cut("train", 36, 36, 512, "bases")]
    assert "36 of 36 training sequences cut to 512 bases" in recipe_table(join_results([found]))[0][1]
    assert "36 of 36 training sequences cut to 512 bases" in (tmp_path / "README.md").read_text()


def test_the_linear_probe_is_fitted_on_what_is_kept(tmp_path, long_task, model_dir):
    probes = []
    for name, length in (("whole", None), ("long", 600), ("cut", 300)):
        finetune(finetune_arguments(long_task, model_dir, tmp_path / name, mode="linear", max_length=length))
        probes.append((tmp_path / name / "probe.safetensors").read_bytes())
    assert probes[0] == probes[1] != probes[2]


def test_only_sequences_that_lose_something_are_counted(caplog):
    cuts: list[Cut] = []
    note_cut(cuts, "train", [511, 512, 513], 512)
    note_cut(cuts, "train", [511, 512], 512)
    note_cut(cuts, "train", [511, 512], None)
    assert cuts == [Cut("train", 1, 3, 512, "bases")]
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 3 training sequences cut to 512 bases: the model does not see what lies behind."
    ]
    tokenizer = character_tokenizer()
    tokenizer.model_max_length = 6
    assert [len(ids) for ids in encode_sequences(tokenizer, ["ACGT", "ACGTA"], cuts=cuts)] == [6, 6]
    assert cuts[1:] == [Cut("", 1, 2, 6, "tokens")]


def test_a_record_without_cuts_has_none():
    assert read_cuts({}) == read_cuts({"cut": None}) == []  # null in cells that were read from a Parquet file


def test_an_unfinished_run_of_an_older_version_is_not_resumed_in_another_way(tmp_path):
    """Its record says 512, which was the default; what that cut must not be trained on from its middle on."""
    (tmp_path / "run.json").write_text(json.dumps({"max_length": 512, "seed": 1}))
    with pytest.raises(ValueError, match="max_length: 512 then, None now"):
        check_same_run(tmp_path, "run.json", {"max_length": None, "seed": 1}, resume=True)
    check_same_run(tmp_path, "run.json", {"max_length": 512, "seed": 1}, resume=True)


# models of transformers that end somewhere


def test_where_learned_positions_end(bert):
    assert learned_positions(BertForSequenceClassification.from_pretrained(bert)) == 64
    roberta = RobertaForSequenceClassification(RobertaConfig(**TINY, max_position_embeddings=66, pad_token_id=1))
    assert learned_positions(roberta) == 64
    assert (
        learned_positions(GPT2ForSequenceClassification(GPT2Config(n_embd=8, n_layer=1, n_head=1, n_positions=32)))
        == 32
    )


def test_rotary_positions_do_not_end(model_dir):
    assert learned_positions(VQDNAModel.from_pretrained(model_dir)) is None


def test_a_model_is_read_to_the_end_of_its_positions_in_every_split(tmp_path, long_task, bert, caplog):
    found = finetune(finetune_arguments(long_task, bert, tmp_path, mode="full", max_length=100))
    wanted = [Cut("train", 36, 36, 100, "bases"), Cut("train", 36, 36, 64, "tokens")]
    wanted += [Cut("dev", 12, 12, 64, "tokens"), Cut("test", 14, 14, 64, "tokens")]
    assert read_cuts(found) == wanted
    assert all(str(cut) in caplog.text for cut in wanted)
    # the saved tokenizer cuts where the scores were made
    assert AutoTokenizer.from_pretrained(tmp_path).model_max_length == 64


def test_a_vqdna_encoder_with_too_few_positions_is_refused_before_anything_runs(
    tmp_path, long_task, corpus_dir, tokenizer_dir, capsys
):
    tokenizer = VQDNATokenizer.from_pretrained(tokenizer_dir)
    encoder = BertConfig(**{**TINY, "vocab_size": 5}, max_position_embeddings=66)
    config = VQDNAConfig(codec_config=tokenizer.codec.config, encoder_config=encoder)
    model = VQDNAForMaskedLM(config)
    model.codec.load_state_dict(tokenizer.codec.state_dict())
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    command = ["finetune", "--data", str(long_task), "--model", str(tmp_path / "model"), "--mode", "full"]
    for options, message in (
        ([], "training sequences has 600 bases, but this encoder has learned positions for 64"),
        (["--max-length", "64"], "dev sequences has 600 bases"),
    ):
        assert main([*command, "--output", str(tmp_path / "out"), *options]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
