"""Records that lack what a card reads, or hold something else there: refused, naming the file and the field."""

import json
from pathlib import Path

import pytest

from vqdna_hf import checkpoint
from vqdna_hf.cards.card import render_model_card
from vqdna_hf.cli import main


RESULT = {
    "task": "mouse/3",
    "mode": "full",
    "seed": 1,
    "metric": "mcc",
    "dev": {"mcc": 0.5},
    "test": {"mcc": 0.4},
    "counts": {"train": 3, "dev": 2, "test": 1},
    "arguments": {
        **{"pooling": "mean", "pooling_bins": None, "epochs": 1, "batch_size": 2, "gradient_accumulation_steps": 1},
        **{"learning_rate": None, "rc_augment": True, "strand_average": False},
    },
}
TRAINING = json.loads(Path(checkpoint("vqdna-hrq-small"), "training.json").read_text())
del TRAINING["digests"]  # of its weights, which are not there
STATE = {"global_step": 1, "max_steps": 2, "epoch": 0.5, "log_history": []}
GONE = object()


@pytest.fixture
def directory(encoder) -> Path:
    """An encoder with all the records there are."""
    for name, content in {"results": RESULT, "training": TRAINING, "trainer_state": STATE}.items():
        (encoder / f"{name}.json").write_text(json.dumps(content))
    return encoder


def changed(content, path: str, value):
    """A copy with another value at `a.b.0`."""
    first, _, rest = path.partition(".")
    content = list(content) if isinstance(content, list) else dict(content)
    key = int(first) if isinstance(content, list) else first
    if rest:
        content[key] = changed(content[key], rest, value)
    elif value is GONE:
        del content[key]
    else:
        content[key] = value
    return content


def leaves(content, path: str = "") -> list[str]:
    """The path of every value, but of long lists only the first."""
    if isinstance(content, dict):
        return [leaf for key in content for leaf in leaves(content[key], f"{path}.{key}" if path else key)]
    if isinstance(content, list) and content:
        return leaves(content[0], f"{path}.0")
    return [path]


def test_the_records_make_a_card(directory):
    text = render_model_card(directory).text
    assert "mouse/3" in text and "homo_sapiens_long" in text


MISSING = [f"results:{name}" for name in ("task", "mode", "seed", "metric", "dev", "test", "test.mcc", "counts.dev")]
MISSING += [f"results:arguments.{name}" for name in ("learning_rate", "epochs", "batch_size", "strand_average")]
MISSING += [f"training:arguments.{name}" for name in ("masking", "max_steps", "bf16", "weight_decay", "learning_rate")]
MISSING += [f"training:vocabulary.arguments.{name}" for name in ("length", "warmup_steps", "warmup_length", "seed")]
MISSING += [
    "training:corpus.inputs.0.bases",
    "training:vocabulary.inputs.0.file",
    "training:vocabulary.bases.held_out",
]
MISSING += ["trainer_state:global_step", "trainer_state:max_steps"]


def test_a_score_that_is_no_number_is_shown_as_such(directory):
    (directory / "results.json").write_text(json.dumps(changed(RESULT, "dev.mcc", None)))
    assert "| nan | 0.400 |" in render_model_card(directory).text


@pytest.mark.parametrize("place", MISSING)
def test_a_missing_field_is_named(directory, capsys, place):
    name, field = place.split(":")
    path = directory / f"{name}.json"
    path.write_text(json.dumps(changed(json.loads(path.read_text()), field, GONE)))
    assert main(["card", str(directory)]) == 2
    said = capsys.readouterr().err
    assert str(path) in said and "has no" in said and field.replace(".0.", "[0].") in said
    assert not (directory / "README.md").exists()


@pytest.mark.parametrize("value", [None, [1], "x", {"a": "b"}, True])
def test_nothing_in_a_record_gives_a_traceback(directory, value):
    for name, content in {"results": RESULT, "training": TRAINING, "trainer_state": STATE}.items():
        path = directory / f"{name}.json"
        for field in leaves(content):
            path.write_text(json.dumps(changed(content, field, value)))
            try:
                render_model_card(directory)
            except ValueError as error:
                assert str(path) in str(error), (field, str(error))
        path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("seed", "1", "results.json: seed is '1', but a whole number is needed"),
        ("dev.mcc", "0.5", "results.json: dev.mcc is '0.5', but a number or null is needed"),
        ("dev", 0.5, "results.json: dev is 0.5, but an object is needed"),
        ("metric", "f1", "results.json has no dev.f1"),
        ("arguments", [], "results.json: arguments is [], but an object is needed"),
    ],
)
def test_another_kind_of_value_is_named(directory, field, value, words):
    (directory / "results.json").write_text(json.dumps(changed(RESULT, field, value)))
    with pytest.raises(ValueError) as error:
        render_model_card(directory)
    assert words in str(error.value)


def test_publish_names_the_file_of_the_directory(copy, capsys):
    directory = copy("model")
    (directory / "results.json").write_text(json.dumps(changed(RESULT, "metric", GONE)))
    assert main(["publish", str(directory), "me/model", "--dry-run"]) == 2
    assert f"{directory / 'results.json'} has no metric" in capsys.readouterr().err


@pytest.mark.parametrize("names", [[], None])
def test_a_configuration_without_architectures_makes_a_card(directory, names):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": names}))
    assert "mouse/3" in render_model_card(directory).text


@pytest.mark.parametrize("name", ["results", "training", "card"])
def test_json_nested_without_end_is_refused(directory, name):
    path = directory / f"{name}.json"
    path.write_text('{"a":' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(ValueError, match=f"{name}.json.*nested"):
        render_model_card(directory)
