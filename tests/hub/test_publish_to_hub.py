"""`vqdna publish` against a Hub on the loopback, and loading by name what it uploaded, by strangers and colleagues.

Each fixture is one process of the genuine client; the tests look at what its steps gave.
"""

import json
from pathlib import Path

import hub_client
import pytest
from hub_client import run_client
from loopback_hub import TOKEN

from vqdna_hf.hub.staging import license_text, stage


MODEL, ADAPTER = "tester/model", "tester/adapter"
NOTHING = "Nothing was uploaded"


def masked(name: str, **options) -> dict:
    return {"do": "load", "auto": "AutoModelForMaskedLM", "repo_id": f"tester/{name}", **options}


@pytest.fixture(scope="module")
def staged(directories, tmp_path_factory) -> dict[str, Path]:
    """What publishing `model`, `newer` and `compiled` uploads."""
    root = tmp_path_factory.mktemp("staged")
    names = ("model", "newer", "compiled")
    for name in names:
        stage(directories / name, root / name, "model", MODEL)
    return {name: root / name for name in names}


@pytest.fixture(scope="module")
def expected(directories) -> dict[str, dict]:
    """What the saved models are and predict, read here and not from a Hub."""
    names = ("model", "newer", "compiled")
    return {name: hub_client.load("AutoModelForMaskedLM", str(directories / name)) for name in names}


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


# uploading


def break_the_hub(hub):
    """Repositories with something in them, each with what will go wrong there."""
    old = {"adapter_config.json": b"{}", "results.json": b"{}", "notes.txt": b"mine", "model.safetensors": b"old"}
    old |= {"heads_vqdna.py": b"old", "heads.py": b"mine"}
    for name in ("info-500", "commit-cut", "commit-lost", "unknown", "stale", "moved"):
        hub.seed(f"tester/{name}", old if name == "stale" else {".gitattributes": b""})
    hub.seed("tester/edited", {"README.md": b"---\nlicense: mit\n---\nMy own words\n"})
    hub.fail("info", "tester/info-500", 500)
    hub.fail("commit", "tester/commit-500", 500)
    hub.cut("commit", "tester/commit-cut", after=1000)
    hub.lose_answer("commit", "tester/commit-lost")
    hub.cut("commit", "tester/unknown", after=1000)
    hub.fail("info", "tester/unknown", 503, skip=1)
    hub.fail("commit", "tester/moved", 412)


@pytest.fixture(scope="module")
def uploads(hub, directories, staged, tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("uploads")
    break_the_hub(hub)

    def publish(name: str, repo_id: str, *options: str, token: str | None = None) -> dict:
        return {"do": "command", "argv": ["publish", str(directories / name), repo_id, *options], "token": token}

    def upload(name: str, repo_id: str, **options) -> dict:
        return {"do": "upload", "directory": str(staged[name]), "repo_id": repo_id, **options}

    before = {name: contents(directories / name) for name in ("model", "vocabulary", "adapter")}
    steps = {
        "dry-run": publish("vocabulary", "tester/vocabulary", "--dry-run"),
        "wrong-token": publish("model", MODEL, token="hf_wrong"),
        "model": publish("model", MODEL),
        "make-tag": {"do": "tag", "repo_id": MODEL, "name": "v1"},
        "adapter": publish("adapter", ADAPTER, "--base-model", MODEL, "--private"),
        "branch": upload("newer", MODEL, revision="next"),
        "newer": upload("newer", MODEL),
        "unchanged": upload("newer", MODEL),
        "public": upload("model", MODEL, private=True),
        "foreign": upload("model", "somebody/model"),
        "compiled": upload("compiled", "tester/compiled"),
        "edited": upload("model", "tester/edited"),
        **{name: upload("model", f"tester/{name}") for name in ("stale", "info-500", "commit-500", "commit-cut")},
        **{name: upload("model", f"tester/{name}") for name in ("commit-lost", "unknown", "moved")},
        "log-out": {"do": "unset_token"},
        "nobody": upload("model", "tester/nobodys"),
        "elsewhere": {"do": "use_endpoint", "url": "http://127.0.0.1:9"},
        "no-connection": publish("model", MODEL, token=TOKEN),
    }
    results = run_client(hub.environment(root / "home"), root / "work", steps)
    hub.faults.clear()
    assert {name: contents(directories / name) for name in before} == before
    return results


def test_a_dry_run_lists_the_files_and_asks_the_hub_for_nothing(uploads, hub):
    result = uploads["dry-run"]
    assert result["status"] == 0, result["err"]
    assert sum(hub.counts("dry-run").values()) == 0
    listed = [line.split()[-1] for line in result["out"].splitlines()[:-1]]
    assert {"README.md", "LICENSE", "config.json", "model.safetensors", "codec.safetensors"} <= set(listed)
    assert f"in {len(listed)} files. {NOTHING}" in result["out"].splitlines()[-1]


def test_publishing_is_one_commit_of_exactly_the_staged_files(uploads, hub, staged):
    result = uploads["model"]
    assert result["status"] == 0, result["err"]
    assert result["out"] == f"{hub.url}/{MODEL}\n"
    assert hub.counts("model")["commit"] == 1
    assert not hub.repositories[MODEL].private
    stored = dict(hub.files(MODEL, "v1"))
    assert stored.pop(".gitattributes")
    assert stored == contents(staged["model"])
    assert stored["LICENSE"].decode() == license_text()
    assert stored["README.md"].startswith(b"---\n") and MODEL.encode() in stored["README.md"]


def test_an_adapter_is_published_with_the_name_of_its_base(uploads, hub, directories):
    result = uploads["adapter"]
    assert result["status"] == 0, result["err"]
    assert hub.repositories[ADAPTER].private
    stored = hub.files(ADAPTER)
    assert json.loads(stored["adapter_config.json"])["base_model_name_or_path"] == MODEL
    assert not [name for name, content in stored.items() if str(directories).encode() in content]
    assert "model.safetensors" not in stored


def test_files_that_would_be_read_instead_of_the_new_ones_are_removed(uploads, hub):
    assert "url" in uploads["stale"]
    stored = hub.files("tester/stale")
    assert stored["notes.txt"] == stored["heads.py"] == b"mine"
    assert stored["model.safetensors"] != b"old"
    assert not {"adapter_config.json", "results.json", "heads_vqdna.py"} & set(stored)
    shards = [name for name in hub.files(MODEL) if name.endswith(".safetensors") and name.startswith("model")]
    assert len(shards) > 1 and "model.safetensors" not in shards


def test_a_card_edited_on_the_hub_is_kept(uploads, hub):
    stored = hub.files("tester/edited")
    assert stored["README.md"] == b"---\nlicense: mit\n---\nMy own words\n" and "model.safetensors" in stored


def test_publishing_again_without_changes_makes_no_commit(uploads, hub):
    assert uploads["unchanged"] == uploads["newer"]
    assert hub.counts("unchanged")["commit"] == 0


def test_a_branch_is_made_and_main_stays(uploads, hub):
    repository = hub.repositories[MODEL]
    assert uploads["branch"]["commit"] == repository.branches["next"] != repository.branches["main"]
    assert repository.commits[repository.branches["next"]].parent == repository.tags["v1"]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("public", ["exists and is public", NOTHING]),
        ("foreign", ["403", "rights to create", NOTHING]),
        ("nobody", ["hf auth login", NOTHING]),
        ("info-500", ["500", "later", NOTHING]),
        ("commit-500", ["500", NOTHING, "as it was"]),
        ("commit-cut", ["connection to http://127.0.0.1", NOTHING, "as it was"]),
        ("commit-lost", ["connection to http://127.0.0.1", "has a new commit", "seems to be complete"]),
        ("unknown", ["connection to http://127.0.0.1", "not known whether", "/tester/unknown"]),
        ("moved", ["412", "try again", NOTHING]),
    ],
)
def test_a_failed_upload_says_why_and_whether_anything_arrived(uploads, hub, step, words):
    assert uploads[step]["error"] in ("OSError", "ValueError")
    assert [word for word in words if word not in uploads[step]["message"]] == []
    arrived = len(hub.repositories[f"tester/{step}"].commits) == 2 if f"tester/{step}" in hub.repositories else False
    assert arrived == (step == "commit-lost")


def test_a_wrong_token_is_refused_before_anything_is_loaded(uploads, hub):
    result = uploads["wrong-token"]
    assert result["status"] == 2 and result["out"] == ""
    assert result["err"].startswith("vqdna publish: The Hub does not know you")
    assert "Loading" not in result["err"] and hub.counts("wrong-token") == {"whoami": 1}


def test_without_a_connection_nothing_is_tried(uploads):
    result = uploads["no-connection"]
    assert result["status"] == 2 and "Loading" not in result["err"]
    assert "The connection to http://127.0.0.1:9 failed" in result["err"] and NOTHING in result["err"]


# loading


@pytest.fixture(scope="module")
def homes(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(scope="module")
def stranger(uploads, hub, staged, homes) -> dict:
    """Who has no package, and passes `trust_remote_code=True`."""
    files = contents(staged["model"])
    hub.seed("tester/no-code", {name: files[name] for name in files if name != "attention_vqdna.py"})
    compiled = contents(staged["compiled"])
    code = {name: content for name, content in compiled.items() if name.endswith(".py")}
    hub.seed("tester/inner", code | {f"inner/{name}": content for name, content in compiled.items()})
    hub.seed("tester/no-table", {name: content for name, content in compiled.items() if "table" not in name})
    hub.seed("tester/secret", files, private=True)
    hub.seed("tester/gated", files, gated=True)
    first = hub.repositories[MODEL].tags["v1"]
    others = ("AutoModel", "AutoModelForSequenceClassification", "AutoModelForTokenClassification")
    steps = {
        "tag": masked("model", revision="v1"),
        "tag-again": masked("model", revision="v1"),
        "sha": masked("model", revision=first),
        "next": masked("model", revision="next"),
        "main": masked("model"),
        **{auto: {"do": "load", "auto": auto, "repo_id": MODEL} for auto in others},
        "adapter": {"do": "load_adapter", "repo_id": ADAPTER},
        "no-revision": masked("model", revision="v9"),
        "no-code": masked("no-code"),
        "compiled": masked("compiled", cache_dir="cache"),
        "compiled-offline": masked("compiled", cache_dir="cache", local_files_only=True),
        "compiled-inner": masked("inner", subfolder="inner"),
        "compiled-no-table": masked("no-table"),
        "secret": masked("secret"),
        "log-out": {"do": "unset_token"},
        "secret-logged-out": masked("secret", force_download=True),
        "gated": masked("gated"),
    }
    return run_client(hub.environment(homes / "stranger"), homes / "work-1", steps, installed=False)


@pytest.fixture(scope="module")
def colleague(uploads, hub, staged, directories, homes) -> dict:
    """Who has the package, and passes nothing; on a bad day of the Hub."""
    files = contents(staged["model"])
    names = ("401", "404", "500", "blip", "cut", "cut-once")
    for name in names:
        hub.seed(f"tester/{name}", files)
    hub.seed("tester/other", contents(directories / "other"))
    hub.seed("tester/no-code", {name: files[name] for name in files if name != "attention_vqdna.py"})
    hub.seed("tester/tampered", files | {"model.safetensors": flipped(files["model.safetensors"])})
    for status in (401, 404):
        for kind in ("info", "head", "get"):
            hub.fail(kind, f"tester/{status}/", status)
    hub.fail("get", "tester/500/.*/model.safetensors", 500)
    hub.fail("head", "tester/blip/.*/config.json", 500, times=1)
    hub.cut("get", "tester/cut/.*/model.safetensors", after=50_000, times=1)
    hub.cut("get", "tester/cut-once/.*/model.safetensors", after=50_000, times=1, reset=False)
    steps = {
        "main": masked("model"),
        "compiled": masked("compiled"),
        "adapter": {"do": "load_adapter", "repo_id": ADAPTER},
        "no-code": masked("no-code"),
        "tampered": masked("tampered"),
        "other-tokenizer": {"do": "load_other_tokenizer", "repo_id": MODEL, "other": "tester/other"},
        "commit-cut": masked("commit-cut"),
        **{name: masked(name) for name in names},
        "cut-offline": masked("cut", local_files_only=True),
        "cut-again": masked("cut"),
    }
    results = run_client(hub.environment(homes / "colleague"), homes / "work-2", steps)
    hub.faults.clear()
    return results


def flipped(weights: bytes) -> bytes:
    """Weights with one bit of the codebook changed."""
    start = 8 + int.from_bytes(weights[:8], "little")
    place = start + json.loads(weights[8:start])["vqdna.codec.quantizer.codebooks.0.embedding"]["data_offsets"][0]
    return weights[:place] + bytes([weights[place] ^ 1]) + weights[place + 1 :]


def same(result: dict, expected: dict) -> bool:
    close = result.get("numbers") == pytest.approx(expected["numbers"], abs=1e-5)
    return close and all(result[key] == expected[key] for key in ("digest", "ids", "class"))


def test_strangers_and_colleagues_get_the_uploaded_model(stranger, colleague, expected):
    assert same(stranger["main"], expected["newer"]), stranger["main"]
    assert same(colleague["main"], expected["newer"]), colleague["main"]
    for key in ("module", "tokenizer_module"):
        assert stranger["main"][key].startswith("transformers_modules.tester.model.")
        assert colleague["main"][key].startswith("vqdna_hf.")


def test_a_compiled_vocabulary_comes_with_its_table(stranger, colleague, expected):
    assert expected["compiled"]["tables"][0] and not expected["model"]["tables"][0]
    loaded = [stranger[name] for name in ("compiled", "compiled-offline", "compiled-inner")]
    for result in (*loaded, colleague["compiled"]):
        assert same(result, expected["compiled"]) and result["tables"] == expected["compiled"]["tables"]
    assert stranger["compiled-no-table"]["error"] == "ValueError"
    assert "codec_table.safetensors was not found" in stranger["compiled-no-table"]["message"]


def test_every_head_opens_the_repository(stranger):
    for auto in ("AutoModel", "AutoModelForSequenceClassification", "AutoModelForTokenClassification"):
        assert stranger[auto]["class"] == auto.replace("AutoModel", "VQDNAModel" if auto == "AutoModel" else "VQDNA")


def test_an_older_revision_gives_the_older_weights(stranger, expected):
    assert same(stranger["tag"], expected["model"]) and same(stranger["sha"], expected["model"])
    assert same(stranger["next"], expected["newer"])
    assert expected["model"]["digest"] != expected["newer"]["digest"]
    assert stranger["no-revision"]["error"] == "OSError" and "v9" in stranger["no-revision"]["message"]


def test_an_adapter_loads_on_its_base(stranger, colleague, directories):
    for result in (stranger["adapter"], colleague["adapter"]):
        assert result["base"] == MODEL
        assert len(result["numbers"]) == 3
    assert stranger["adapter"]["numbers"] == pytest.approx(colleague["adapter"]["numbers"], abs=1e-5)


def test_what_is_cached_is_not_downloaded_again(stranger, hub, expected):
    assert same(stranger["tag-again"], expected["model"])
    assert hub.counts("tag")["get"] >= 12
    assert hub.counts("tag-again")["get"] == hub.counts("sha")["get"] == 0


def test_what_is_cached_loads_offline(stranger, hub, homes, expected):
    steps = {"main": masked("model"), "adapter": {"do": "load_adapter", "repo_id": ADAPTER}, "new": masked("500")}
    before = len(hub.requests)
    environment = hub.environment(homes / "stranger", offline=True)
    results = run_client(environment, homes / "work-3", steps, installed=False)
    assert {kind for kind, _, _ in hub.requests[before:]} == {"mark"}
    assert same(results["main"], expected["newer"])
    assert results["adapter"] == stranger["adapter"]
    assert results["new"]["error"] == "OSError"


def test_a_private_repository_needs_the_token(stranger):
    assert stranger["secret"]["class"] == "VQDNAForMaskedLM"
    assert stranger["secret-logged-out"]["error"] == "OSError"
    assert "private repository" in stranger["secret-logged-out"]["message"]
    assert "gated" in stranger["gated"]["message"]


def test_missing_code_is_named_and_the_package_does_without(stranger, colleague, expected):
    assert stranger["no-code"]["error"] == "OSError" and "attention_vqdna.py" in stranger["no-code"]["message"]
    assert same(colleague["no-code"], expected["model"])


def test_damaged_weights_and_foreign_tokenizers_are_refused(colleague, directories):
    own, other = (
        json.loads((directories / name / "config.json").read_text())["vocabulary_fingerprint"]
        for name in ("model", "other")
    )
    assert colleague["tampered"]["error"] == colleague["other-tokenizer"]["error"] == "ValueError"
    assert own in colleague["tampered"]["message"] and "damaged" in colleague["tampered"]["message"]
    assert own in colleague["other-tokenizer"]["message"] and other in colleague["other-tokenizer"]["message"]


@pytest.mark.parametrize("status", ["401", "404", "500"])
def test_a_refusing_hub_is_an_error_of_one_kind(colleague, status):
    assert colleague[status]["error"] == "OSError"
    assert "127.0.0.1" in colleague[status]["message"]


def test_a_short_failure_is_survived(colleague, expected):
    assert same(colleague["blip"], expected["model"])
    assert same(colleague["cut-once"], expected["model"])


def test_a_download_cut_short_leaves_nothing_that_loads(colleague, expected):
    assert colleague["cut"]["error"] == colleague["cut-offline"]["error"] == "OSError"
    assert "model.safetensors" in colleague["cut-offline"]["message"]
    assert same(colleague["cut-again"], expected["model"])


def test_a_repository_whose_upload_was_cut_is_no_model(colleague):
    assert colleague["commit-cut"]["error"] == "ValueError"
    assert "tester/commit-cut" in colleague["commit-cut"]["message"]
