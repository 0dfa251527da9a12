"""ONNX export: the files give what PyTorch gives, for every shape; a file that does not is never left behind."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_exports import arguments, make_codec, make_model, saved
from transformers import AutoModelForSequenceClassification

import vqdna_hf
from vqdna_hf import VQDNAForMaskedLM, VQDNAForSequenceClassification, VQDNATokenizer
from vqdna_hf.cli import main
from vqdna_hf.export import export
from vqdna_hf.export import graphs as export_graphs
from vqdna_hf.export.checks import check_model, open_session, random_rows
from vqdna_hf.export.export import ExportArguments
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases, parse_sequence, reverse_complement


for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package, reason=f'ONNX export needs {package}: pip install "vqdna-hf[onnx]"')

# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
SEQUENCES = ["A", "GATTACA", "acgunACGTN" * 9, "AC[MASK]GT" * 30, "T" * 211]


@pytest.fixture(scope="module")
def tokenizer_dir(tmp_path_factory) -> Path:
    directory = saved(tmp_path_factory.mktemp("tokenizer"), make_codec())
    assert main(["export", str(directory), "--format", "onnx", "--check-bases", "20000"]) == 0
    return directory


@pytest.fixture(scope="module")
def same_tokenizer(tokenizer_dir):
    """Copy the graph of the same vocabulary instead of tracing it again, which takes seconds."""
    original, known = export.write_graph, tokenizer_dir / "onnx" / "tokenizer.onnx"
    fingerprint = VQDNATokenizer.from_pretrained(tokenizer_dir).vocabulary_fingerprint

    def copy_or_write(graph, inputs, outputs, path, opset, metadata):
        if path.name == known.name and metadata["vocabulary_fingerprint"] == fingerprint:
            shutil.copy(known, path)
        else:
            original(graph, inputs, outputs, path, opset, metadata)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "write_graph", copy_or_write)
        yield


@pytest.fixture(scope="module")
def classifier_dir(tmp_path_factory, same_tokenizer) -> Path:
    """A classifier over BERT that averages both strands and reads one position."""
    model = make_model(VQDNAForSequenceClassification, "bert", strand_average=True, pooling="cls")
    model.config.id2label = {0: "none", 1: "promoter", 2: "enhancer"}
    directory = saved(tmp_path_factory.mktemp("classifier"), model)
    export.export(arguments(directory))
    return directory


@pytest.fixture(scope="module")
def masked_lm_dir(tmp_path_factory, same_tokenizer) -> Path:
    """A masked language model over ModernBERT, whose graph takes ids."""
    directory = saved(tmp_path_factory.mktemp("masked-lm"), make_model(VQDNAForMaskedLM))
    export.export(arguments(directory, model_input="input_ids"))
    return directory


def session_of(directory: Path, name: str):
    return open_session(directory / "onnx" / name)


def nucleotides(text: str) -> np.ndarray:
    """[CLS], the bases and [SEP], of shape `(1, length + 2)`."""
    return np.array([[6, *parse_sequence(text)[0], 7]])


def code_block(text: str, number: int) -> str:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)[number]


def test_the_documented_lines_need_onnxruntime_and_numpy_only(tokenizer_dir, classifier_dir):
    read_codes, read_logits = (code_block(export.__doc__, number) for number in (0, 1))
    assert len(read_codes.splitlines()) == 3 and len(read_logits.splitlines()) == 1
    assert all(line in ExportArguments.__doc__ for line in read_codes.splitlines())
    lines = read_codes.replace("DIR", str(tokenizer_dir)) + read_logits.replace("DIR", str(classifier_dir))
    lines += "import json, sys\nassert not {'torch', 'transformers', 'vqdna_hf'} & set(sys.modules)\n"
    lines += "print(json.dumps([codes.tolist(), input_ids.tolist(), logits.tolist()]))"
    run = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, cwd=tokenizer_dir)
    assert run.returncode == 0, run.stderr
    codes, input_ids, logits = json.loads(run.stdout)
    tokenizer = VQDNATokenizer.from_pretrained(tokenizer_dir)
    assert input_ids == [tokenizer("GATTACA")["input_ids"]]
    assert codes[0][1:-1] == tokenizer.vocabulary.codes(np.array(input_ids[0][1:-1])).tolist()
    model = AutoModelForSequenceClassification.from_pretrained(classifier_dir).eval()
    expected = model(nucleotide_ids=torch.from_numpy(nucleotides("GATTACA"))).logits
    assert logits == pytest.approx(expected.detach().numpy(), abs=1e-4)


def test_the_tokenizers_graph_gives_the_tokenizers_ids(tokenizer_dir):
    tokenizer, session = VQDNATokenizer.from_pretrained(tokenizer_dir), session_of(tokenizer_dir, "tokenizer.onnx")
    bases = VQDNATokenizer(codec=tokenizer.codec, return_nucleotide_ids=True)
    for texts in (SEQUENCES, SEQUENCES[:1], SEQUENCES[1:3]):
        for side in ("left", "right"):
            ids = bases(texts, padding=True, padding_side=side, return_tensors="np")["nucleotide_ids"]
            codes, input_ids = session.run(None, {"nucleotide_ids": ids})
            expected = tokenizer(texts, padding=True, padding_side=side, return_tensors="np")["input_ids"]
            assert (input_ids == expected).all()
            assert (codes == tokenizer.codec.encode(torch.from_numpy(ids)).numpy()).all()
    [codes] = session.run(["codes"], {"nucleotide_ids": random_rows(4, 150, seed=0)})
    assert len(np.unique(codes.reshape(-1, 2), axis=0)) > 20


def test_a_strand_averaging_classifier_gives_both_strands_the_same_logits(classifier_dir):
    session = session_of(classifier_dir, "model.onnx")
    model = AutoModelForSequenceClassification.from_pretrained(classifier_dir).eval()
    assert model.config.strand_average
    for length in (1, 7, 90, 180):  # 37 positions were traced
        bases = np.random.default_rng(length).integers(0, 5, length)
        rows = np.concatenate([nucleotides(ids_to_bases(ids)) for ids in (bases, reverse_complement(bases))])
        [logits] = session.run(None, {"nucleotide_ids": rows})
        np.testing.assert_allclose(logits[0], logits[1], atol=1e-5)
        padded = np.pad(rows[:1], ((0, 0), (0, 60)), constant_values=8)
        np.testing.assert_allclose(session.run(None, {"nucleotide_ids": padded})[0][0], logits[0], atol=1e-4)
        expected = model(nucleotide_ids=torch.from_numpy(rows)).logits.detach().numpy()
        np.testing.assert_allclose(logits, expected, atol=1e-4)
        assert np.abs(logits).max() > 0.05


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_masked_language_model_takes_the_tokenizers_output(masked_lm_dir, side):
    session, tokenizer = session_of(masked_lm_dir, "model.onnx"), VQDNATokenizer.from_pretrained(masked_lm_dir)
    assert [entry.name for entry in session.get_inputs()] == ["input_ids", "attention_mask"]
    assert [entry.name for entry in session.get_outputs()] == ["logits", "base_logits"]
    model = VQDNAForMaskedLM.from_pretrained(masked_lm_dir).eval()
    for texts in (SEQUENCES, SEQUENCES[1:2]):  # up to 213 positions; the local attention sees 16, 37 were traced
        batch = tokenizer(texts, padding=True, padding_side=side, return_tensors="np")
        found = session.run(None, dict(batch))
        expected = model(**{name: torch.from_numpy(value) for name, value in batch.items()})
        read = batch["attention_mask"].astype(bool)
        for name, value in zip(("logits", "base_logits"), found):
            np.testing.assert_allclose(value[read], expected[name].detach().numpy()[read], atol=1e-4)
        assert np.abs(found[0]).max() > 0.5


def test_the_files_say_what_they_are_and_nothing_of_this_machine(tokenizer_dir, classifier_dir):
    tokenizer = VQDNATokenizer.from_pretrained(tokenizer_dir)
    meta = session_of(tokenizer_dir, "tokenizer.onnx").get_modelmeta()
    assert meta.producer_name == "vqdna-hf"
    assert meta.custom_metadata_map["package"] == f"vqdna-hf {vqdna_hf.__version__}"
    assert meta.custom_metadata_map["vocabulary_fingerprint"] == tokenizer.vocabulary_fingerprint
    assert json.loads(meta.custom_metadata_map["codebook_sizes"]) == tokenizer.codec.config.codebook_sizes
    labels = session_of(classifier_dir, "model.onnx").get_modelmeta().custom_metadata_map
    assert list(json.loads(labels["id2label"]).values()) == ["none", "promoter", "enhancer"]
    assert (labels["architecture"], labels["strand_average"]) == ("VQDNAForSequenceClassification", "true")
    folders = [Path(vqdna_hf.__file__).parents[1], Path(torch.__file__).parents[1], classifier_dir]
    for path in (*(tokenizer_dir / "onnx").iterdir(), *(classifier_dir / "onnx").iterdir()):
        assert not [folder for folder in folders if str(folder).encode() in path.read_bytes()], path


def test_the_record_tells_what_was_checked(tokenizer_dir, classifier_dir):
    record = json.loads((tokenizer_dir / "onnx" / "export.json").read_text())
    codes = record["checks"]["tokenizer.onnx"]
    assert codes["bases"] > 20_000 and codes["differing"] == codes["near_ties"] < 20
    assert record["files"] == ["tokenizer.onnx"] and record["arguments"]["check_bases"] == 20_000
    checks = json.loads((classifier_dir / "onnx" / "export.json").read_text())["checks"]["model.onnx"]
    assert checks["largest_difference"] < 1e-4 and checks["rows"] > 8


class Liar:
    """A session whose codes, or other outputs, are wrong."""

    def __init__(self, session):
        self.session, self.get_inputs, self.get_outputs = session, session.get_inputs, session.get_outputs

    def run(self, names, inputs):
        outputs = self.session.run(names, inputs)
        if "codes" in names:
            inside = inputs["nucleotide_ids"] < 6
            outputs[0] = np.where(inside[..., None], 1 - np.minimum(outputs[0], 1), 0)
        else:
            outputs[0] = outputs[0] + 1
        return outputs


def test_a_wrong_graph_is_an_error_and_leaves_nothing(monkeypatch, tmp_path, tokenizer_dir, same_tokenizer):
    monkeypatch.setattr(export, "open_session", lambda path: Liar(open_session(path)))
    with pytest.raises(ValueError, match="not those of its codes"):
        export.export(arguments(tokenizer_dir, output=str(tmp_path / "out")))
    monkeypatch.setattr("vqdna_hf.export.checks._check_ids", lambda *args: None)
    with pytest.raises(ValueError, match=r"other codes than PyTorch at [\d,]+ of [\d,]+ bases"):
        export.export(arguments(tokenizer_dir, output=str(tmp_path / "out")))
    assert not list(tmp_path.iterdir())


def test_failures_of_the_libraries_are_one_sentence(monkeypatch, tmp_path, tokenizer_dir, same_tokenizer):
    def fails(*args, **kwargs):
        raise torch.onnx.OnnxExporterError("no such operator\nand a page of details")

    monkeypatch.setattr(Liar, "run", fails)
    with monkeypatch.context() as patch:
        patch.setattr(export, "open_session", lambda path: Liar(open_session(path)))
        with pytest.raises(ValueError, match=r"onnxruntime cannot run the graph on nucleotide_ids of shape \(1, 1\)"):
            export.export(arguments(tokenizer_dir, output=str(tmp_path / "out")))
    monkeypatch.setattr(export, "write_graph", export_graphs.write_graph)
    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(ValueError, match=r"cannot make tokenizer\.onnx \(no such operator\)"):
        export.export(arguments(tokenizer_dir, output=str(tmp_path / "out")))
    assert not list(tmp_path.iterdir())


def test_a_wrong_model_is_an_error(classifier_dir):
    model = AutoModelForSequenceClassification.from_pretrained(classifier_dir).eval()
    session, tokenizer = (session_of(classifier_dir, name) for name in ("model.onnx", "tokenizer.onnx"))
    assert check_model(session, tokenizer, model, seed=0)["rows"] > 8
    with pytest.raises(ValueError, match=r"model\.onnx differs from PyTorch by up to 1"):
        check_model(Liar(session), tokenizer, model, seed=0)
    # where other codes are right, other outputs are
    assert check_model(Liar(session), Liar(tokenizer), model, seed=0)["rows"] == 0


def test_stopping_leaves_the_older_export_whole(monkeypatch, tmp_path, tokenizer_dir, same_tokenizer):
    output = tmp_path / "deep" / "out"
    export.export(arguments(tokenizer_dir, output=str(output)))
    before = {path.name: path.read_bytes() for path in output.iterdir()}

    def stopped(graph, inputs, outputs, path, opset, metadata):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "write_graph", stopped)
    with pytest.raises(KeyboardInterrupt):
        export.export(arguments(tokenizer_dir, output=str(output)))
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert [path.name for path in output.parent.iterdir()] == ["out"]


def test_only_the_same_export_is_replaced(tmp_path, tokenizer_dir, same_tokenizer):
    output = tmp_path / "out"
    output.mkdir()
    first = export.export(arguments(tokenizer_dir, output=str(output)))  # an empty directory is as good as none
    again = export.export(arguments(tokenizer_dir, output=str(output), seed=1))
    assert first["arguments"]["seed"] == 0 and again["arguments"]["seed"] == 1
    (output / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"also holds notes\.txt"):
        export.export(arguments(tokenizer_dir, output=str(output)))
    (output / "notes.txt").unlink()
    other = shutil.copytree(tokenizer_dir, tmp_path / "other", ignore=shutil.ignore_patterns("onnx"))
    with pytest.raises(ValueError, match="export of another directory"):
        export.export(arguments(other, output=str(output)))
    with pytest.raises(ValueError, match="was not written by `vqdna export`"):
        export.export(arguments(tokenizer_dir, output=str(other)))
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="was not written by `vqdna export`"):
        export.export(arguments(tokenizer_dir, output=str(tmp_path / "file")))


def test_codes_are_compared_on_a_fasta_file(tmp_path, tokenizer_dir, same_tokenizer):
    fasta = tmp_path / "genome.fa"
    fasta.write_text(">c1\n" + "ACGTTGCAN" * 400 + "\n>c2\n" + "GATTACA" * 300 + "\n")
    output = str(tmp_path / "out")
    whole = export.export(arguments(tokenizer_dir, output=output, check_fasta=str(fasta), check_bases=100_000))
    none = export.export(arguments(tokenizer_dir, output=output, check_fasta=str(fasta)))
    assert whole["checks"]["tokenizer.onnx"]["bases"] - none["checks"]["tokenizer.onnx"]["bases"] == 5700
    assert whole["arguments"]["check_fasta"] == "genome.fa"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "torchscript"}, "--format torchscript: must be one of onnx"),
        ({"model_input": "text"}, "--model-input text: must be one of nucleotide_ids, input_ids"),
        ({"opset": 17}, "--opset 17: must be from 18 to 22"),
        ({"opset": 23}, "--opset 23: must be from 18 to 22"),
        ({"check_bases": -1}, "--check-bases -1: must be at least 0"),
        ({"directory": "/nowhere/at/all"}, "no directory /nowhere/at/all"),
        ({"check_fasta": "missing.fa"}, "no FASTA file missing.fa"),
    ],
)
def test_wrong_options_are_refused(tokenizer_dir, same_tokenizer, tmp_path, fields, message):
    fields = {"directory": str(tokenizer_dir), "output": str(tmp_path / "out"), **fields}
    with pytest.raises(ValueError, match=message):
        export.export(ExportArguments(**fields))
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(monkeypatch, capsys, tokenizer_dir):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else name)
    assert main(["export", str(tokenizer_dir)]) == 2
    assert 'needs onnxscript: run `pip install "vqdna-hf[onnx]"`' in capsys.readouterr().err


def test_directories_that_hold_nothing_to_export_are_refused(tmp_path, classifier_dir):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no VQDNA tokenizer or model"):
        export.load_source(tmp_path / "empty")
    with pytest.raises(ValueError, match="averages both strands"):
        export.export(arguments(classifier_dir, model_input="input_ids"))
    mixed = shutil.copytree(classifier_dir, tmp_path / "mixed")
    VQDNATokenizer(codec=make_codec(codebook_sizes=[4, 8])).save_pretrained(mixed)
    with pytest.raises(ValueError, match="its ids would be read as other codes"):
        export.load_source(mixed)
    config = json.loads((classifier_dir / "config.json").read_text())
    (tmp_path / "empty" / "config.json").write_text(json.dumps({**config, "architectures": ["SomethingElse"]}))
    with pytest.raises(ValueError, match="names SomethingElse"):
        export.load_source(tmp_path / "empty")


def test_a_codec_without_a_tokenizer_can_be_exported(tmp_path):
    codec = make_codec()
    codec.save_pretrained(tmp_path)
    found, model = export.load_source(tmp_path)
    assert model is None and found.fingerprint() == codec.fingerprint() and not found.training
