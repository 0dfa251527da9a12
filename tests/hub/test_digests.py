"""Weights that are not those the run wrote, or not finite, are not published, and no card is written for them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import vqdna_hf
from vqdna_hf.cli import main
from vqdna_hf.hub import verification
from vqdna_hf.hub.staging import files_to_publish
from vqdna_hf.runs.records import check_digests, renew_digests, weight_digests, with_digests


RECORDS = {"model": "training.json", "newer": "results.json", "vocabulary": "training.json", "adapter": "results.json"}
KINDS = {"newer": "model"}


@pytest.fixture(params=RECORDS)
def finished(request, copy) -> Path:
    """A directory with the digests that a run records."""
    directory = copy(request.param)
    (directory / RECORDS[request.param]).write_text(json.dumps(with_digests({"made": "here"}, directory)))
    return directory


def publishable(directory: Path) -> list[str]:
    return files_to_publish(directory, KINDS.get(directory.name, directory.name))


def flip(path: Path, place: int = -3):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_what_the_run_wrote_is_published(finished):
    assert publishable(finished)
    assert set(weight_digests(finished)) == {path.name for path in finished.glob("*.safetensors")}
    assert with_digests({}, finished)["digests"] == weight_digests(finished)


def test_a_flipped_bit_anywhere_is_named(finished):
    for path in finished.glob("*.safetensors"):
        flip(path)
        with pytest.raises(ValueError) as error:
            publishable(finished)
        assert str(path) in str(error.value) and RECORDS[finished.name] in str(error.value)
        flip(path)
    publishable(finished)


def test_weights_changed_on_purpose_are_recorded_anew(finished):
    for path in finished.glob("*.safetensors"):
        flip(path)
    with pytest.raises(ValueError, match="--renew-digests"):
        publishable(finished)
    renew_digests(finished)
    publishable(finished)
    assert json.loads((finished / RECORDS[finished.name]).read_text())["made"] == "here"


def test_a_file_that_no_run_wrote_is_named(finished):
    record = finished / RECORDS[finished.name]
    digests = json.loads(record.read_text())["digests"]
    gone = next(name for name in digests if "model" in name)
    record.write_text(json.dumps({"digests": {name: value for name, value in digests.items() if name != gone}}))
    with pytest.raises(ValueError, match=f"{gone} is not in the record"):
        publishable(finished)
    shutil.copy(finished / gone, finished / "notes.safetensors")  # is not published, and nobody's business
    renew_digests(finished)
    flip(finished / "notes.safetensors")
    publishable(finished)


def test_records_of_earlier_versions_are_taken_with_a_word(finished, caplog):
    (finished / RECORDS[finished.name]).write_text('{"made": "before"}')
    with caplog.at_level("INFO"):
        publishable(finished)
    assert "has no digests of the weights" in caplog.text and len(caplog.records) == 1


def test_digests_of_another_kind_are_refused(finished):
    (finished / RECORDS[finished.name]).write_text('{"digests": ["x"]}')
    with pytest.raises(ValueError, match="digests is \\['x'\\]"):
        check_digests(finished)


def test_the_card_command_checks_and_renews(copy, capsys):
    directory = copy("model")
    assert main(["card", str(directory), "--renew-digests"]) == 2
    assert "has no record of a run" in capsys.readouterr().err
    record = {"corpus": {"window": 32}}
    (directory / "training.json").write_text(json.dumps(with_digests(record, directory)))
    flip(directory / "codec.safetensors")
    assert main(["card", str(directory)]) == 2
    assert "codec.safetensors has the digest" in capsys.readouterr().err
    assert not (directory / "README.md").exists()
    assert main(["card", str(directory), "--renew-digests"]) == 0
    assert main(["card", str(directory)]) == 0


@pytest.mark.parametrize("part", ["vqdna.codec.encoder", "vqdna.codec.decoder", "vqdna.encoder"])
def test_weights_that_are_not_finite_do_not_pass(copy, part):
    directory = copy("model")
    tensors = load_file(directory / "model.safetensors")
    name = next(name for name in tensors if name.startswith(part) and tensors[name].numel() > 1)
    tensors[name].flatten()[1] = torch.inf
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="not finite|damaged"):
        verification.check_model(str(directory), {})


def test_the_record_of_a_checkpoint_of_the_package_is_not_renewed(tmp_path, capsys):
    record = Path(vqdna_hf.checkpoint()) / "training.json"
    before = record.read_bytes()
    try:
        words = ["card", "vqdna-hrq-small", "--output", str(tmp_path / "card.md"), "--renew-digests"]
        assert main(words) == 2
        assert "comes with the package" in capsys.readouterr().err
        assert record.read_bytes() == before
    finally:
        record.write_bytes(before)
