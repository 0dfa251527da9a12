"""Manifests of directories written shard by shard: nothing half-written, nothing foreign."""

import pytest

from vqdna_hf.data import manifests
from vqdna_hf.data.manifests import holds_manifest, wait_until
from vqdna_hf.runs.files import read_json, write_json


class OwnError(ValueError):
    """What a caller wants raised."""


def read(path):
    return read_json(path, OwnError, "is no manifest", "Write it again.")


def test_a_manifest_comes_back_and_nothing_else_is_left(tmp_path):
    for content in ({"window": 50, "inputs": [{"file": "é.fa"}], "fingerprint": None}, {"complete": True}):
        write_json(tmp_path / "one.json", content)
        assert read(tmp_path / "one.json") == content
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


def test_a_manifest_that_cannot_be_written_leaves_the_one_before(tmp_path):
    write_json(tmp_path / "one.json", {"complete": False})
    with pytest.raises(TypeError):
        write_json(tmp_path / "one.json", {"complete": True, "path": tmp_path})
    assert read(tmp_path / "one.json") == {"complete": False}


@pytest.mark.parametrize(("content", "reason"), [("{", "Expecting"), ("[]", "it is a list")])
def test_another_file_is_refused_in_the_callers_words(tmp_path, content, reason):
    (tmp_path / "one.json").write_text(content)
    with pytest.raises(OwnError, match=rf"one.json is no manifest: {reason}.*\. Write it again\.$"):
        read(tmp_path / "one.json")


def test_a_run_begins_in_a_directory_of_its_own(tmp_path):
    def held(directory):
        return holds_manifest(directory, "one.json", OwnError, "Take another.")

    assert not held(tmp_path / "new") and not held(tmp_path)
    (tmp_path / "one.json.4194305.partial").write_text("{")  # a run was killed before its first rename
    assert not held(tmp_path)
    (tmp_path / "thesis.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(OwnError, match=r"is not empty and holds no one.json. Take another\.$"):
            held(place)
    write_json(tmp_path / "one.json", {})
    assert held(tmp_path)


def test_waiting_ends_when_it_is_finished(monkeypatch):
    waits, answers = [], iter([False, None, 0, "finished", False])
    monkeypatch.setattr(manifests.time, "sleep", waits.append)
    wait_until(lambda: next(answers))
    assert len(waits) == 3 and next(answers) is False
