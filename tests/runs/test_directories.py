"""What a directory holds, as its JSON files say, without a library that would load it."""

import pytest

from vqdna_hf import VQDNACodecConfig, VQDNAConfig
from vqdna_hf.runs.directories import read_directory
from vqdna_hf.runs.files import write_json


MODEL, VOCABULARY = ({"model_type": one.model_type} for one in (VQDNAConfig, VQDNACodecConfig))


@pytest.mark.parametrize(
    ("files", "kind", "is_foreign"),
    [
        ({}, None, False),
        ({"config": {}}, None, False),
        ({"config": MODEL, "codec_config": VOCABULARY}, "model", False),
        ({"config": VOCABULARY}, "vocabulary", False),
        ({"codec_config": VOCABULARY, "tokenizer_config": {}}, "vocabulary", False),
        ({"codec_config": VOCABULARY, "adapter_config": {}}, "adapter", False),
        ({"codec_config": VOCABULARY, "probe": {}}, "probe", False),
        ({"config": {"model_type": "bert"}, "tokenizer": {}}, None, True),
    ],
)
def test_what_a_directory_holds(tmp_path, files, kind, is_foreign):
    for name, content in files.items():
        write_json(tmp_path / f"{name}.json", content)
    held = read_directory(tmp_path)
    assert (held.kind, held.is_foreign) == (kind, is_foreign)
    assert held.names == {f"{name}.json" for name in files}
    assert held.config == files.get("config", {})


def test_a_name_of_the_hub_holds_nothing_here():
    held = read_directory("owner/name")
    assert not held.names and held.kind is None and held.model_type is None
