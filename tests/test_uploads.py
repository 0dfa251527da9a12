"""The client that transformers uploads with: what is not of VQDNA passes through it unchanged."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from transformers.utils.hub import hf_api

from vqdna_hf.uploads import VQDNAUploads, register_uploads


class StockClient:
    """Remembers what it was asked to upload."""

    def __init__(self):
        self.asked, self.modules = [], ()
        self.run_as_future = ThreadPoolExecutor(1).submit

    def create_commit(self, repo_id, operations, **options):
        self.asked.append(("commit", repo_id, [entry.path_in_repo for entry in operations], options))
        self.deleted = [entry.path_in_repo for entry in operations if isinstance(entry, CommitOperationDelete)]

    def upload_folder(self, **options):
        self.asked.append(("folder", options))

    def list_repo_files(self, **place):
        return ["README.md", "LICENSE", *self.modules]

    def hf_hub_download(self, filename, local_dir, **place):
        path = Path(local_dir, filename)
        path.write_text("My own words")
        return path


@pytest.fixture
def client() -> StockClient:
    client = StockClient()
    register_uploads(client)
    return client


def operation(name: str, **values) -> CommitOperationAdd:
    return CommitOperationAdd(name, json.dumps(values).encode())


def test_the_client_of_transformers_is_told_once():
    client = hf_api()
    before = type(client)
    assert isinstance(client, VQDNAUploads) and client.library_name == "transformers"
    register_uploads(client)
    assert type(client) is before


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"model_type": "bert"}',
        b"{",
        b'["vqdna"]',
        b'{"model_type": ["vqdna"]}',
        b'{"note": "not vqdna"}',
        b'{"vqdna":' + b"[" * 100_000,
    ],
    ids=["nothing", "bert", "cut", "a list", "no text", "a note", "nested without end"],
)
def test_a_model_of_another_kind_is_sent_as_it_is(client, tmp_path, content):
    operations = [CommitOperationAdd("config.json", content), operation("README.md")]
    client.create_commit("me/bert", operations, commit_message="m", token="t")
    expected = ("commit", "me/bert", ["config.json", "README.md"], {"commit_message": "m", "token": "t"})
    assert client.asked == [expected]


def test_a_folder_that_is_called_as_a_configuration_is_no_file(client, tmp_path):
    (tmp_path / "my-config.json").mkdir()
    client.upload_folder(repo_id="me/x", folder_path=tmp_path)
    assert client.asked[0][0] == "folder"


def test_a_folder_of_another_kind_is_the_stock_clients_business(client, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    client.upload_folder(repo_id="me/bert", folder_path=tmp_path, run_as_future=True)
    options = {"repo_id": "me/bert", "folder_path": tmp_path, "path_in_repo": None, "run_as_future": True}
    assert client.asked == [("folder", options)]


@pytest.mark.parametrize("options", [{"repo_type": "dataset"}, {"delete_patterns": "*"}])
def test_so_is_what_a_trainer_never_asks_for(client, tmp_path, options):
    (tmp_path / "config.json").write_text('{"model_type": "vqdna"}')
    client.upload_folder(repo_id="me/model", folder_path=tmp_path, **options)
    assert [kind for kind, *_ in client.asked] == ["folder"]


def test_a_folder_is_one_commit_without_what_is_ignored(client, tmp_path):
    for name in ("config.json", "checkpoint-1/config.json", "_private", "runs/log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"model_type": "vqdna"}')
    ignored = ["_*", "checkpoint-*"]
    future = client.upload_folder(
        repo_id="me/model", folder_path=tmp_path, ignore_patterns=ignored, run_as_future=True, commit_message="m"
    )
    future.result()
    ((kind, repo_id, names, options),) = client.asked
    assert (kind, repo_id, options) == ("commit", "me/model", {"commit_message": "m"})
    assert {"config.json", "runs/log", "modeling_vqdna.py"} <= set(names)
    assert not {"README.md", "LICENSE", "_private", "checkpoint-1/config.json"} & set(names)


def test_a_checkpoints_folder_gets_the_map_and_no_card(client, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vqdna"}')
    client.upload_folder(repo_id="me/model", folder_path=tmp_path, path_in_repo="last-checkpoint")
    ((_, _, names, _),) = client.asked
    assert "last-checkpoint/config.json" in names and "modeling_vqdna.py" in names and "README.md" not in names


@pytest.mark.parametrize("base", [None, "", "no-owner", "/somewhere/base", "./base", 7])
def test_an_adapter_of_a_base_that_nobody_finds_is_not_sent(client, base):
    adapter = operation("adapter_config.json", auto_mapping={"vqdna": {}}, base_model_name_or_path=base)
    with pytest.raises(ValueError, match="only this machine could find.*peft_config"):
        client.create_commit("me/adapter", [adapter], commit_message="m")
    assert client.asked == []


@pytest.mark.parametrize(
    ("text", "warned"), [("Other words", True), ("<!-- Rendered by `vqdna card` from the files", True), ("", False)]
)
def test_the_card_that_the_repository_has_is_kept(client, caplog, text, warned):
    model = operation("config.json", model_type="vqdna")
    weights = CommitOperationAdd("model.safetensors", b"x")
    client.create_commit("me/model", [model, weights, CommitOperationAdd("README.md", text.encode())])
    ((_, _, names, _),) = client.asked
    assert "README.md" not in names and "LICENSE" not in names and "modeling_vqdna.py" in names
    assert ("README.md of me/model was edited there and is kept" in caplog.text) == warned


@pytest.mark.parametrize("deleted", [(), ("heads_vqdna.py",)])
def test_modules_of_an_earlier_layout_are_removed(client, deleted):
    client.modules = ("codebook_vqdna.py", "heads_vqdna.py", "heads.py", "modeling_vqdna.py")
    sent = [operation("config.json", model_type="vqdna"), CommitOperationAdd("outputs_vqdna.py", b"old")]
    client.create_commit("me/model", [*sent, *map(CommitOperationDelete, deleted)])
    assert sorted(client.deleted) == ["codebook_vqdna.py", "heads_vqdna.py"]
    assert "outputs_vqdna.py" not in client.asked[0][2]


def test_they_stay_where_no_code_is_sent(client):
    client.modules = ("heads_vqdna.py",)
    client.create_commit(
        "me/x", [operation("adapter_config.json", auto_mapping={"vqdna": {}}, base_model_name_or_path="me/base")]
    )
    assert client.deleted == []
