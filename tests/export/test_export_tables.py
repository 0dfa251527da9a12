"""ONNX export of compiled vocabularies: no network in the graph, and every id is the tokenizer's."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tiny_exports import arguments, make_codec, make_model, saved

from vqdna_hf import VQDNAForMaskedLM, VQDNAForSequenceClassification, VQDNATokenizer
from vqdna_hf.export import export
from vqdna_hf.export.checks import check_table, open_session, random_rows, short_rows
from vqdna_hf.export.graphs import ModelGraph
from vqdna_hf.export.tables import NO_CODE, TableGraph, short_codes
from vqdna_hf.hub.staging import files_to_publish
from vqdna_hf.modeling import compiled_vqdna
from vqdna_hf.modeling.compiled_vqdna import TABLE_FILE, ExactNetwork


for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package, reason=f'ONNX export needs {package}: pip install "vqdna-hf[onnx]"')

# a network's weights, of which a graph of a table has none
NETWORK = ("stem", "blocks", "latent_projection", "embedding")


def narrow_codec(blocks: int = 1):
    """A codec whose codes are functions of 3 + 2 * blocks bases, with its table."""
    codec = make_codec(stem_kernel_size=3, kernel_size=3, num_hidden_layers=blocks, quantizer="rq")
    codec.compile_vocabulary(verify=False)
    return codec


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory) -> Path:
    """A classifier over a compiled vocabulary, exported."""
    codec = narrow_codec()
    model = make_model(VQDNAForSequenceClassification, codec=codec)
    model.codec.copy_from(codec)
    directory = saved(tmp_path_factory.mktemp("model"), model)
    export.export(arguments(directory, check_bases=20_000))
    return directory


def digest_of(directory: Path) -> str:
    with safe_open(directory / TABLE_FILE, "np") as file:
        return file.metadata()["digest"]


def any_rows(batch: int, length: int, seed: int = 0) -> np.ndarray:
    """Nucleotide ids 0-8 in any order: several sequences in a row, between special tokens and padding."""
    rng = np.random.default_rng(seed)
    return rng.choice(9, (batch, length), p=[0.2, 0.2, 0.2, 0.2, 0.05, 0.05, 0.04, 0.03, 0.03])


def test_every_id_is_the_tokenizers(model_dir):
    tokenizer, session = VQDNATokenizer.from_pretrained(model_dir), open_session(model_dir / "onnx" / "tokenizer.onnx")
    assert tokenizer.codec.table is not None
    for ids in (any_rows(1, 1), any_rows(5, 4), any_rows(30, 200), short_rows(5, 0), np.full((1, 3), 8)):
        codes, input_ids = session.run(None, {"nucleotide_ids": ids})
        expected = tokenizer.codec.encode(torch.from_numpy(ids)).numpy()
        assert (codes == expected).all()
        known = ids < 4
        assert (input_ids[known] == tokenizer.vocabulary.ids(expected)[known]).all()
    texts = ["A", "AC", "ACGTN", "NNNN", "GATTACA", "acgunACGTN" * 9, "AC[MASK]GT" * 30]
    bases = VQDNATokenizer(codec=tokenizer.codec, return_nucleotide_ids=True)
    for side in ("left", "right"):
        ids = bases(texts, padding=True, padding_side=side, return_tensors="np")["nucleotide_ids"]
        expected = tokenizer(texts, padding=True, padding_side=side, return_tensors="np")["input_ids"]
        assert (session.run(["input_ids"], {"nucleotide_ids": ids})[0] == expected).all()


def test_the_graph_is_a_table_and_the_record_says_so(model_dir):
    import onnx

    graph = onnx.load(model_dir / "onnx" / "tokenizer.onnx").graph
    assert not {"Conv", "MatMul", "Gemm", "LayerNormalization"} & {node.op_type for node in graph.node}
    [table] = [value for value in graph.initializer if value.name == "table"]
    assert table.data_type == onnx.TensorProto.INT16 and not [
        value.name for value in graph.initializer if any(part in value.name for part in NETWORK)
    ]
    model = onnx.load(model_dir / "onnx" / "model.onnx").graph
    assert not [value.name for value in model.initializer if "codec.encoder" in value.name]
    record = json.loads((model_dir / "onnx" / "export.json").read_text())
    checked = record["checks"]["tokenizer.onnx"]
    assert record["compiled"] is True and record["metadata"]["table_digest"] == digest_of(model_dir)
    assert checked["bases"] > 20_000 and checked["differing"] == checked["near_ties"] == checked["without_code"] == 0
    assert record["checks"]["model.onnx"]["largest_difference"] < 1e-4


class EagerSession:
    """A graph run by PyTorch, which takes no seconds to trace."""

    def __init__(self, graph):
        self.graph = graph

    def run(self, names, inputs):
        with torch.no_grad():
            return [value.numpy() for value in self.graph(torch.from_numpy(inputs["nucleotide_ids"]))]


def test_a_table_of_four_letters_says_where_it_has_no_code(monkeypatch):
    monkeypatch.setattr(compiled_vqdna, "WIDEST", {4: 9})
    codec = narrow_codec()
    model = make_model(VQDNAForMaskedLM, codec=codec)
    model.codec.copy_from(codec)
    graph = TableGraph(codec)
    checked = check_table(EagerSession(graph), codec, np.arange(1000) % 6, 0)
    assert checked["without_code"] > 0 == checked["differing"]
    ids = np.array([[6, *[0, 1, 2, 3] * 5, 7], [6, *[0, 1, 2, 3] * 2, 4, *[3, 2, 1] * 3, 0, 2, 7]])
    codes, input_ids = EagerSession(graph).run(None, {"nucleotide_ids": ids})
    assert np.flatnonzero((codes == NO_CODE).all(axis=-1)).tolist() == [22 + place for place in range(7, 12)]
    assert np.flatnonzero(input_ids == NO_CODE).tolist() == [22 + place for place in (7, 8, 10, 11)]
    outputs = EagerSession(ModelGraph(model, False, graph)).run(None, {"nucleotide_ids": ids})
    expected = model(nucleotide_ids=torch.from_numpy(ids))
    for name, found in zip(("logits", "base_logits"), outputs):
        assert np.isnan(found[1]).all()
        np.testing.assert_allclose(found[0], expected[name][0].detach().numpy(), atol=1e-4)


@pytest.mark.parametrize("letters", [4, 5])
def test_short_sequences_have_the_networks_codes(monkeypatch, letters):
    monkeypatch.setattr(compiled_vqdna, "WIDEST", {letters: 9})
    codec = narrow_codec(blocks=2)
    network, graph = ExactNetwork(codec), TableGraph(codec)
    assert len(short_codes(network, letters, 3)[0]) == letters * (1 + letters + letters**2) ** 2
    rng = np.random.default_rng(0)
    for length in range(1, 10):
        ids = rng.integers(0, letters, (20, length))
        codes, _ = graph(torch.from_numpy(ids))
        found = network.products(list(ids.astype(np.uint8)))
        inside = codes[..., 0] >= 0
        wanted = torch.from_numpy(np.stack(found))
        assert inside.all() and (codes[..., 0] * codec.config.codebook_sizes[1] + codes[..., 1] == wanted).all()


def test_one_wrong_code_is_an_error(model_dir):
    codec = VQDNATokenizer.from_pretrained(model_dir).codec
    session = open_session(model_dir / "onnx" / "tokenizer.onnx")
    ids = random_rows(4, 150, 0)
    place = np.flatnonzero(ids[0] < 4)[40]
    codec.table.codes[int("".join(map(str, np.minimum(ids[0, place - 2 : place + 3], 4))), 5)] ^= 1
    with pytest.raises(ValueError, match=r"other codes than the table at [\d,]+ positions"):
        check_table(session, codec, np.zeros(0, np.uint8), 0)


def test_what_was_exported_before_the_vocabulary_was_compiled_is_not_published(model_dir, tmp_path):
    assert {TABLE_FILE, "onnx/export.json", "onnx/tokenizer.onnx"} <= set(files_to_publish(model_dir, "model"))
    record = model_dir / "onnx" / "export.json"
    before = record.read_text()
    values = json.loads(before)
    del values["metadata"]["table_digest"]
    try:
        record.write_text(json.dumps(values))
        with pytest.raises(ValueError, match=r"exported with the table None.*vqdna export"):
            files_to_publish(model_dir, "model")
    finally:
        record.write_text(before)
