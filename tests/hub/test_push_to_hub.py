"""`push_to_hub` in all its forms, against a Hub on the loopback: each repository loads without the package.

Two processes push, a colleague's with the package and a stranger's with downloaded code; a stranger loads it all. The
ways that share their code with another one are tried in the slow tests.
"""

import json
from pathlib import Path

import pytest
from hub_client import run_client

from vqdna_hf import VQDNATokenizer
from vqdna_hf.cards.card import is_nobodys_words
from vqdna_hf.cards.generated import is_generated
from vqdna_hf.hub.staging import stage


BASE = "tester/base"
EDITED = "---\nlicense: mit\n# mine\n---\n\n# My own words\n"
MODULES = {path.name for path in (Path(__file__).resolve().parents[2] / "modeling").glob("*.py")} - {"__init__.py"}
STRATEGIES = ("end", "checkpoint", "all_checkpoints")
# repository -> how it is loaded
PUSHED = {"model": "AutoModelForMaskedLM", "every_save": "AutoModelForSequenceClassification", "peft": None}
MORE = {
    "saved": "AutoModelForMaskedLM",
    "codec": "AutoModel",
    "compiled": "AutoModelForMaskedLM",
    "compiled-codec": "AutoModel",
    "late": "AutoModelForSequenceClassification",
    **{strategy: "AutoModelForSequenceClassification" for strategy in STRATEGIES},
    "trained-peft": None,
}
FOREIGN = {f"foreign-{name}": auto for name, auto in PUSHED.items()}


@pytest.fixture(scope="module")
def base(hub, directories, tmp_path_factory) -> str:
    """A published model."""
    staged = tmp_path_factory.mktemp("base") / "base"
    stage(directories / "model", staged, "model", BASE)
    hub.seed(BASE, {path.name: path.read_bytes() for path in staged.iterdir()})
    return BASE


def pushes(place: str, prefix: str = "") -> dict[str, dict]:
    """The ways that everyone publishes, of a model in `place`."""

    def push(auto: str, name: str, **options) -> dict:
        return {"do": "push", "auto": auto, "place": place, "repo_id": f"tester/{prefix}{name}", **options}

    def train(name: str, **settings) -> dict:
        return {"do": "train", "place": place, "repo_id": f"tester/{prefix}{name}", **settings}

    return {
        "model": push("AutoModelForMaskedLM", "model", tags=["asked-for"]),
        "model-tokenizer": push("AutoTokenizer", "model"),
        "every_save": train("every_save", hub_strategy="every_save"),
        "peft": {"do": "push_adapter", "place": BASE, "repo_id": f"tester/{prefix}peft"},
    }


def more_pushes(local: str) -> dict[str, dict]:
    """What only the package is tried with."""

    def train(name: str, place: str = local, **settings) -> dict:
        return {"do": "train", "place": place, "repo_id": f"tester/{name}", **settings}

    masked = {"do": "push", "auto": "AutoModelForMaskedLM", "place": local}
    codec, tokenizer = ({"do": "push", "auto": auto} for auto in ("AutoModel", "AutoTokenizer"))
    tokenizer["place"] = f"{local}/../compiled"
    return {
        "saved": masked | {"repo_id": "tester/saved", "saved": "folder"},
        "saved-tokenizer": masked | {"auto": "AutoTokenizer", "repo_id": "tester/saved", "saved": "folder"},
        "vocabulary": {"do": "push", "auto": "AutoTokenizer", "place": local, "repo_id": "tester/vocabulary"},
        "codec": {"do": "push", "auto": "AutoModel", "place": f"{local}/../vocabulary", "repo_id": "tester/codec"},
        "codec-tokenizer": {"do": "push", "auto": "AutoTokenizer", "place": local, "repo_id": "tester/codec"},
        "compiled": masked | {"place": f"{local}/../compiled", "repo_id": "tester/compiled"},
        "compiled-tokenizer": tokenizer | {"repo_id": "tester/compiled"},
        "compiled-codec": codec | {"place": f"{local}/../compiled-vocabulary", "repo_id": "tester/compiled-codec"},
        "compiled-codec-tokenizer": tokenizer | {"repo_id": "tester/compiled-codec"},
        "compiled-vocabulary": tokenizer | {"repo_id": "tester/compiled-vocabulary"},
        "config": {"do": "push", "auto": "AutoConfig", "place": local, "repo_id": "tester/config"},
        "late": train("late", late=True, save_strategy="no"),
        **{name: train(name, hub_strategy=name) for name in STRATEGIES},
        "trained-peft": train("trained-peft", place=BASE, lora=True),
        "edited": masked | {"repo_id": "tester/edited", "edited": True},
        "edited-tags": masked | {"repo_id": "tester/edited-tags", "tags": ["asked-for"]},
        "branch": masked | {"repo_id": "tester/model", "edited": True, "revision": "next"},
        "trained-local-base": train("trained-local-base", lora=True, steps=1),
    }


@pytest.fixture(scope="module")
def pushed(hub, base, directories, tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("pushed")
    local, edited = str(directories / "model"), "tester/edited-by-trainer"
    hub.seed(edited, {"README.md": EDITED.encode(), "LICENSE": b"My terms"})
    steps = pushes(local) | {
        "edited-by-trainer": {"do": "train", "place": local, "repo_id": edited, "steps": 1},
        "local-base": {"do": "push_adapter", "place": local, "repo_id": "tester/local-base"},
        "again": {
            "do": "push",
            "auto": "AutoTokenizer",
            "place": local,
            "repo_id": "tester/model",
            "tags": ["another"],
        },
    }
    return run_client(hub.environment(root / "home"), root / "work", steps)


@pytest.fixture(scope="module")
def pushed_more(hub, pushed, directories, tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("pushed-more")
    for name in ("edited", "edited-tags"):
        hub.seed(f"tester/{name}", {"README.md": EDITED.encode(), "LICENSE": b"My terms"})
    results = run_client(hub.environment(root / "home"), root / "work", more_pushes(str(directories / "model")))
    results["left"] = [path.name for path in (root / "work" / "folder").iterdir()]
    return results


@pytest.fixture(scope="module")
def pushed_by_strangers(hub, base, tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("pushed-by-strangers")
    steps = pushes(BASE, "foreign-")
    return run_client(hub.environment(root / "home"), root / "work", steps, installed=False)


def load(name: str, auto: str | None, **options) -> dict:
    how = {"do": "load_adapter"} if auto is None else {"do": "load", "auto": auto}
    return {**how, "repo_id": f"tester/{name}", **options}


@pytest.fixture(scope="module")
def stranger(hub, pushed, tmp_path_factory) -> dict:
    """Who has no package, and loads what was pushed."""
    root = tmp_path_factory.mktemp("stranger")
    steps = {name: load(name, auto) for name, auto in PUSHED.items()}
    steps["base"] = load("base", "AutoModelForMaskedLM")
    steps["heads"] = load("model", "AutoModelForSequenceClassification")
    return run_client(hub.environment(root / "home"), root / "work", steps, installed=False)


@pytest.fixture(scope="module")
def stranger_more(hub, pushed_more, pushed_by_strangers, tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("stranger-more")
    steps = {name: load(name, auto) for name, auto in (MORE | FOREIGN).items()}
    steps["checkpoint-folder"] = load("checkpoint", MORE["late"], subfolder="last-checkpoint")
    for name in ("vocabulary", "compiled-vocabulary"):
        steps[name] = {"do": "encode", "repo_id": f"tester/{name}"}
    steps["config"] = {"do": "encode", "repo_id": "tester/config", "auto": "AutoConfig"}
    return run_client(hub.environment(root / "home"), root / "work", steps, installed=False)


def check_loaded(result: dict):
    assert "error" not in result, result
    if "class" in result:
        assert result["module"].startswith("transformers_modules.")
        assert result["tokenizer_module"].startswith("transformers_modules.")
    assert result.get("class") == "VQDNACodecModel" or len(result["numbers"]) in (2, 3, 20)


@pytest.mark.parametrize("name", PUSHED)
def test_what_was_pushed_loads_without_the_package(stranger, name):
    check_loaded(stranger[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MORE, *FOREIGN])
def test_what_was_pushed_in_other_ways_loads_without_the_package(stranger_more, name):
    check_loaded(stranger_more[name])


def test_what_was_pushed_is_the_model(stranger):
    assert all(stranger["model"][key] == stranger["base"][key] for key in ("digest", "ids", "numbers"))
    assert stranger["heads"]["class"] == "VQDNAForSequenceClassification"


@pytest.mark.slow
def test_what_was_pushed_in_other_ways_is_the_model(stranger, stranger_more):
    for name in ("saved", "foreign-model"):
        assert all(stranger_more[name][key] == stranger["base"][key] for key in ("digest", "ids", "numbers"))
    assert stranger_more["checkpoint-folder"]["digest"] == stranger_more["checkpoint"]["digest"]


@pytest.mark.slow
def test_a_compiled_vocabulary_is_pushed_with_its_table(stranger_more, directories):
    table = VQDNATokenizer.from_pretrained(directories / "compiled").codec.table.digest
    for name in ("compiled", "compiled-codec", "compiled-vocabulary"):
        assert set(stranger_more[name]["tables"]) == {table}


@pytest.mark.slow
def test_a_tokenizer_or_a_configuration_alone_loads(stranger, stranger_more, hub):
    assert stranger_more["vocabulary"]["ids"] == stranger["base"]["ids"]
    assert stranger_more["config"]["module"].startswith("transformers_modules.tester.config.")
    assert is_generated(hub.files("tester/config")["README.md"].decode())  # there is nothing to say of it


def check_pushed(hub, name: str):
    files = hub.files(f"tester/{name}")
    card = files["README.md"].decode()
    assert "vqdna card" in card and is_nobodys_words(card) and f"tester/{name}" in card and files["LICENSE"]
    assert MODULES <= set(files) and "trust_remote_code=True" in card


@pytest.mark.parametrize("name", PUSHED)
def test_a_pushed_repository_has_the_card_the_licence_and_the_code(pushed, hub, name):
    check_pushed(hub, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MORE, "vocabulary"])
def test_a_repository_pushed_in_other_ways_has_them_too(pushed_more, hub, name):
    check_pushed(hub, name)


def test_tags_that_were_asked_for_reach_the_card(pushed, hub):
    card = hub.files("tester/model")["README.md"].decode()
    assert "- asked-for" in card and "- another" in card and is_nobodys_words(card)


@pytest.mark.slow
def test_tags_reach_an_edited_card_and_that_of_a_trainer(pushed_more, hub):
    for name in ("late", "edited-tags"):
        assert "- asked-for" in hub.files(f"tester/{name}")["README.md"].decode()
    assert "My own words" in hub.files("tester/edited-tags")["README.md"].decode()


def test_directories_on_the_machine_stay_without_code(pushed):
    assert "model.safetensors" in pushed["every_save"]
    assert not [name for name in pushed["every_save"] if name.endswith(".py")]


@pytest.mark.slow
def test_no_other_way_leaves_code_on_the_machine(pushed_more):
    left = [*pushed_more["left"], *pushed_more["late"], *pushed_more["trained-peft"]]
    assert "model.safetensors" in left and not [name for name in left if name.endswith(".py")]


def check_kept(hub, name: str):
    files = hub.files(f"tester/{name}")
    assert files["README.md"].decode() == EDITED and files["LICENSE"] == b"My terms"
    assert MODULES | {"config.json", "model.safetensors"} <= set(files)


def test_a_card_edited_on_the_hub_is_not_overwritten_by_a_trainer(pushed, hub):
    check_kept(hub, "edited-by-trainer")


@pytest.mark.slow
def test_a_card_edited_on_the_hub_is_not_overwritten_by_a_model(pushed_more, hub):
    check_kept(hub, "edited")


@pytest.mark.slow
def test_a_branch_gets_its_own_weights_and_card(pushed_more, hub):
    main, branch = (hub.files("tester/model", revision) for revision in ("main", "next"))
    assert branch["model.safetensors"] != main["model.safetensors"]
    assert MODULES | {"README.md"} <= set(branch)


def check_refused(result: dict, hub, name: str, base: Path):
    assert result["error"] == "ValueError"
    assert str(base) in result["message"] and "base_model_name_or_path" in result["message"]
    assert "adapter_model.safetensors" not in hub.files(f"tester/{name}")


def test_an_adapter_of_a_base_that_only_this_machine_has_is_refused(pushed, hub, directories):
    check_refused(pushed["local-base"], hub, "local-base", directories / "model")


@pytest.mark.slow
def test_a_training_goes_on_while_its_adapter_is_refused(pushed_more, hub, directories):
    check_refused(pushed_more["trained-local-base"], hub, "trained-local-base", directories / "model")
    assert "Nothing was uploaded to tester/trained-local-base" in pushed_more["stderr"]


@pytest.mark.slow
def test_strangers_push_a_card_too(pushed_by_strangers, hub):
    for name in FOREIGN:
        files = hub.files(f"tester/{name}")
        assert files["README.md"]
        assert ("config.json" not in files) or "auto_map" in json.loads(files["config.json"])


@pytest.mark.slow
def test_generated_cards_are_known_until_somebody_writes_in_them(pushed_by_strangers, hub):
    cards = [hub.files(f"tester/{name}")["README.md"].decode() for name in FOREIGN]
    assert any("Trainer had access to" in card for card in cards) and any("Model ID" in card for card in cards)
    for card in cards:
        assert is_generated(card), card
        head, body = card.split("---\n", 2)[1:]
        assert not is_generated(f"---\nlicense: mit\n{head}---\n{body}")
        place = body.index("\n## ")
        assert not is_generated(f"---\n{head}---\n{body[:place]}\nMy sentence.\n{body[place:]}")
        assert not is_generated(f"{card}\nMy sentence.\n")
        assert not is_generated(card.replace("More information needed", "Promoters", 1).replace("[More I", "[I", 1))


@pytest.mark.slow
def test_another_model_is_uploaded_as_ever(hub, tmp_path):
    steps = {"bert": {"do": "push_bert", "repo_id": "tester/bert"}}
    run_client(hub.environment(tmp_path / "home"), tmp_path / "work", steps)
    assert set(hub.files("tester/bert")) == {".gitattributes", "README.md", "config.json", "model.safetensors"}
