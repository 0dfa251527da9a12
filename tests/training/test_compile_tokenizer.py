"""`vqdna compile-tokenizer`, and vocabularies that are compiled as they are learned."""

import json
import shutil

import pytest
from tiny_runs import tokenizer_arguments

from vqdna_hf import VQDNACodecModel, VQDNAForMaskedLM, VQDNATokenizer
from vqdna_hf.arguments.training import CompileTokenizerArguments, TrainTokenizerArguments
from vqdna_hf.hub.staging import files_to_publish
from vqdna_hf.modeling.compiled_vqdna import TABLE_FILE
from vqdna_hf.modeling.configuration_vqdna import CODEC_PRESETS, VQDNAConfig
from vqdna_hf.runs.records import check_digests
from vqdna_hf.training.compile_tokenizer import compile_tokenizer
from vqdna_hf.training.train_tokenizer import codec_config, train_tokenizer


STRINGS = ["ACGTTGCANNACGTACG", "AC", "ACGT[MASK]ACGTTT"]


@pytest.fixture(scope="module")
def narrow_dir(genome_fasta, tmp_path_factory):
    """A vocabulary of windows of 7 bases, not compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CODEC_PRESETS, "tiny", CODEC_PRESETS["tiny"] | {"stem_kernel_size": 3, "kernel_size": 3})
        directory = tmp_path_factory.mktemp("narrow") / "tokenizer"
        train_tokenizer(tokenizer_arguments(genome_fasta, directory, table=False))
    return directory


def compiled(directory) -> dict:
    return compile_tokenizer(CompileTokenizerArguments(directory=str(directory)))


def test_a_directory_is_compiled_in_place(narrow_dir, tmp_path):
    directory = shutil.copytree(narrow_dir, tmp_path / "tokenizer")
    before = VQDNATokenizer.from_pretrained(directory)
    assert before.codec.table is None and not (directory / TABLE_FILE).exists()
    result = compiled(directory)
    tokenizer = VQDNATokenizer.from_pretrained(directory)
    assert tokenizer.codec.table.digest == VQDNACodecModel.from_pretrained(directory).table.digest == result["digest"]
    assert (result["receptive_field"], result["letters"], result["codes"]) == (7, 5, 116_875)
    assert tokenizer.vocabulary_fingerprint == before.vocabulary_fingerprint
    assert tokenizer(STRINGS)["input_ids"] == before(STRINGS)["input_ids"]
    assert TABLE_FILE in files_to_publish(directory, "vocabulary")
    check_digests(directory)
    assert compiled(directory)["digest"] == result["digest"]


def test_a_model_over_the_vocabulary_speaks_of_the_table(narrow_dir, tmp_path):
    tokenizer = VQDNATokenizer.from_pretrained(narrow_dir)
    model = VQDNAForMaskedLM(VQDNAConfig.from_preset("tiny", codec_config=tokenizer.codec.config))
    model.codec.copy_from(tokenizer.codec)
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path)
    compiled(tmp_path)
    assert VQDNAForMaskedLM.from_pretrained(tmp_path).codec.table is not None
    assert json.loads((tmp_path / "config.json").read_text())["format_version"] == 1
    model.codec.encoder.stem.bias.data += 1  # trained end to end: another vocabulary than the tokenizer's
    model.save_pretrained(tmp_path)
    compiled(tmp_path)
    assert VQDNAForMaskedLM.from_pretrained(tmp_path).codec.table is None


def test_a_lost_table_is_made_again(narrow_dir, tmp_path):
    directory = shutil.copytree(narrow_dir, tmp_path / "tokenizer")
    digest = compiled(directory)["digest"]
    (directory / TABLE_FILE).unlink()
    with pytest.raises(ValueError, match="vqdna compile-tokenizer"):
        VQDNATokenizer.from_pretrained(directory)
    with pytest.raises(ValueError, match=TABLE_FILE):
        files_to_publish(directory, "vocabulary")
    assert compiled(directory)["digest"] == digest


def test_what_cannot_be_compiled_is_refused(tokenizer_dir, tmp_path):
    with pytest.raises(ValueError, match=r"R = 17 bases.*--preset compact"):
        compiled(tokenizer_dir)
    assert not (tokenizer_dir / TABLE_FILE).exists()
    with pytest.raises(ValueError, match="holds no VQDNA tokenizer"):
        compiled(tmp_path)
    with pytest.raises(ValueError, match="vqdna-hrq-compact comes with the package"):
        compiled("vqdna-hrq-compact")


def test_narrow_vocabularies_are_compiled_as_they_are_learned(genome_fasta, tmp_path, monkeypatch, narrow_dir):
    small = {"stem_kernel_size": 3, "kernel_size": 3, "num_hidden_layers": 1, "quantizer": "rq"}
    monkeypatch.setitem(CODEC_PRESETS, "tiny", CODEC_PRESETS["tiny"] | small)
    train_tokenizer(tokenizer_arguments(genome_fasta, tmp_path / "out", max_steps=1))
    assert VQDNATokenizer.from_pretrained(tmp_path / "out").codec.table.width == 5
    check_digests(tmp_path / "out")
    assert "table" not in json.loads((tmp_path / "out" / "training.json").read_text())["arguments"]


def test_the_default_vocabulary_is_narrow():
    arguments = TrainTokenizerArguments(output="out")
    config = codec_config(arguments)
    assert (config.receptive_field, config.word_radius, config.mask_ratio) == (9, 3, 0.0)
    assert codec_config(TrainTokenizerArguments(output="out", recipe="paper")).word_radius == 0
    assert codec_config(TrainTokenizerArguments(output="out", word_radius=1)).word_radius == 1
