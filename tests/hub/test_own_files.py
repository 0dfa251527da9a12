"""What `publish` and `card` read and copy lies in the directory they are given, whatever names and links say."""

import json
import os
import shutil
from pathlib import Path

import pytest

from vqdna_hf import VQDNATokenizer
from vqdna_hf.cards.card import CardArguments, card
from vqdna_hf.hub.publish import PublishArguments, publish
from vqdna_hf.hub.staging import files_to_publish, stage, stage_base
from vqdna_hf.runs.directories import check_inside


def refused(directory: Path, **options) -> str:
    """Publish what must be refused; the message."""
    with pytest.raises(ValueError) as error:
        publish(PublishArguments(directory=str(directory), repo_id="me/model", dry_run=True, **options))
    return str(error.value)


def edit(path: Path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/passwd", "..", "", "a/b.safetensors", "..\\outside.safetensors", "C:x", 7]
)
def test_an_index_names_files_beside_it(copy, name):
    directory = copy("newer")
    (directory / "model.safetensors.index.json").chmod(0o644)
    index = json.loads((directory / "model.safetensors.index.json").read_text())
    shutil.copy(next(directory.glob("model-*.safetensors")), directory.parent / "outside.safetensors")
    index["weight_map"] |= {next(iter(index["weight_map"])): name}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    message = refused(directory)
    assert f"weight_map names the file {name!r}" in message and "model.safetensors.index.json" in message


@pytest.mark.parametrize("weight_map", [None, [], {}, "model.safetensors"])
def test_an_index_without_a_map_is_refused(copy, weight_map):
    directory = copy("newer")
    edit(directory / "model.safetensors.index.json", weight_map=weight_map)
    assert f"weight_map is {weight_map!r}" in refused(directory)


FILES = ["results.json", "LICENSE", "special_tokens_map.json", "README.md", "training.json", "model.safetensors"]
FILES += ["codec_config.json", "onnx/model.onnx", "results/results-2.json", "card.json", "trainer_state.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["a link", "a relative link", "a link to a link", "a linked directory"])
def test_links_that_lead_outside_are_refused(copy, tmp_path, name, how):
    directory = copy("model")
    secret = tmp_path / "secret" / Path(name).name
    secret.parent.mkdir()
    secret.write_bytes((directory / name).read_bytes() if (directory / name).exists() else b'{"secret": 1}')
    path = directory / name
    path.unlink(missing_ok=True)
    if how == "a linked directory":
        if path.parent == directory:
            return
        path.parent.symlink_to(secret.parent)
    else:
        path.parent.mkdir(exist_ok=True)
        if how == "a link to a link":
            (directory / "between").symlink_to(secret)
            secret = directory / "between"
        path.symlink_to(os.path.relpath(secret, path.parent) if how == "a relative link" else secret)
    with pytest.raises(ValueError, match="outside of") as error:
        stage(directory, tmp_path / "staged", "model", "me/model")
    assert name.split("/")[how != "a linked directory" and -1] in str(error.value) and "published" in str(error.value)
    staged = [file.read_bytes() for file in tmp_path.glob("staged/**/*") if file.is_file()]
    assert b'{"secret": 1}' not in staged


@pytest.mark.parametrize("name", ["codec_config.json", "config.json", "probe.json"])
def test_a_card_reads_nothing_from_outside_either(copy, tmp_path, name):
    directory = copy("adapter")
    for own in ("tokenizer_config.json", "codec_config.json", "codec.safetensors", "README.md"):
        (directory / own).unlink(missing_ok=True)
    (tmp_path / "secret.json").write_text('{"hidden_size": 77}')
    (directory / name).symlink_to(tmp_path / "secret.json")
    with pytest.raises(ValueError, match=f"{name} leads to .*outside of"):
        stage(directory, tmp_path / "staged", "adapter", "me/adapter", "me/base")


def test_the_base_of_an_adapter_is_checked_too(copy, tmp_path):
    directory = copy("model")
    (directory / "onnx").mkdir()
    (directory / "onnx" / "model.onnx").write_text("graph")
    staged = stage_base(str(directory), tmp_path / "with-onnx")
    assert Path(staged, "onnx", "model.onnx").read_text() == "graph" and Path(staged, "modeling_vqdna.py").is_file()
    shutil.move(directory / "model.safetensors", tmp_path / "elsewhere.safetensors")
    (directory / "model.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(ValueError, match="outside of"):
        stage_base(str(directory), tmp_path / "staged")


def test_links_within_the_directory_and_to_it_are_fine(copy, tmp_path):
    directory = copy("model")
    (directory / "files").mkdir()
    shutil.move(directory / "model.safetensors", directory / "files" / "weights")
    (directory / "model.safetensors").symlink_to("files/weights")
    (tmp_path / "link").symlink_to(directory)
    expected = {"config.json", "model.safetensors", "tokenizer_config.json", "codec.safetensors", "codec_config.json"}
    assert expected <= set(files_to_publish(tmp_path / "link", "model"))
    stage(tmp_path / "link", tmp_path / "staged", "model", "me/model")
    assert not [path for path in (tmp_path / "staged").iterdir() if path.is_symlink()]


@pytest.mark.parametrize("target", ["LICENSE", "nowhere", "../nowhere", "/nowhere"])
def test_a_link_to_nothing_is_named(copy, target):
    directory = copy("model")
    (directory / "LICENSE").symlink_to(target)
    with pytest.raises(ValueError, match="LICENSE is a symbolic link that leads nowhere"):
        check_inside(directory, "LICENSE")
    assert "LICENSE" in refused(directory)


@pytest.mark.parametrize("name", ["onnx/export.json", "onnx/model.onnx"])
def test_a_folder_that_links_to_nothing_is_named(copy, name):
    directory = copy("model")
    (directory / "onnx").symlink_to("onnx")
    with pytest.raises(ValueError, match="onnx is a symbolic link that leads nowhere"):
        check_inside(directory, name)


def test_a_benchmark_outside_the_directory_is_refused(copy):
    directory = copy("model")
    entry = {"file": "benchmarks/../../tables.json", "title": "T", "model": "m", "text": ""}
    (directory.parent / "tables.json").write_text("{}")
    (directory / "card.json").write_text(json.dumps({"benchmarks": [entry]}))
    with pytest.raises(ValueError, match="tables.json leads to .*outside of"):
        card(CardArguments(directory=str(directory)))


@pytest.mark.parametrize("field", ["codec_file", "codec_config_file"])
def test_a_tokenizer_reads_the_files_beside_it(copy, directories, field):
    directory = copy("model")
    before = VQDNATokenizer.from_pretrained(directory)
    name = {"codec_file": "codec.safetensors", "codec_config_file": "codec_config.json"}[field]
    other = directories / "other" / name
    edit(directory / "tokenizer_config.json", **{field: str(other)})
    assert VQDNATokenizer.from_pretrained(directory)("ACGTTGCA") == before("ACGTTGCA")
    message = refused(directory)
    assert f"tokenizer_config.json: {field} is {str(other)!r}" in message


def test_code_that_a_configuration_names_is_not_kept(copy, tmp_path):
    for name, kind in (("model", "model"), ("vocabulary", "vocabulary")):
        directory = copy(name)
        edit(directory / "config.json", auto_map={"AutoModel": "../../x.Y"}, custom_pipelines={"x": {"impl": "/x.Y"}})
        edit(directory / "tokenizer_config.json", auto_map={"AutoTokenizer": ["/x.Y", None]})
        stage(directory, tmp_path / kind, kind, "me/model")
        for file in ("config.json", "tokenizer_config.json"):
            assert "x.Y" not in (tmp_path / kind / file).read_text()
