"""Every option has its range or its choices, and keeps to them: typed, in the Python API, and set later."""

import copy
import math
import re
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Literal

import pytest

from vqdna_hf.arguments import analysis, data, publishing, training
from vqdna_hf.arguments.training import FinetuneArguments, PretrainArguments, TrainTokenizerArguments
from vqdna_hf.baselines.tokenizers import LARGEST_K
from vqdna_hf.cards.scores import MODE_WORDS
from vqdna_hf.cli import COMMANDS, arguments_of, main
from vqdna_hf.metrics import metric_names
from vqdna_hf.modeling.configuration_vqdna import (
    CODEC_PRESETS,
    ENCODER_PRESETS,
    NUM_SPECIAL_TOKENS,
    POOLINGS,
    QUANTIZERS,
)
from vqdna_hf.options import LARGEST, Arguments, Range, option, option_name, value_type
from vqdna_hf.parsing import OptionParser
from vqdna_hf.tasks.species.draw import MAX_LENGTH
from vqdna_hf.training.recipes import VOCABULARY, apply_recipe


CLASSES = {command: arguments_of(command) for command in COMMANDS}
OPTIONS = [(command, one) for command, cls in CLASSES.items() for one in fields(cls)]
NUMBERS = [(command, one) for command, one in OPTIONS if value_type(one.type).kind in (int, float)]
CHOICES = [(command, one) for command, one in OPTIONS if value_type(one.type).choices]

each_number = pytest.mark.parametrize(("command", "one"), NUMBERS, ids=[f"{c}-{one.name}" for c, one in NUMBERS])
each_choice = pytest.mark.parametrize(("command", "one"), CHOICES, ids=[f"{c}-{one.name}" for c, one in CHOICES])


def make(command: str, **values):
    """The arguments of a command, with something for what is required."""
    needed = {one.name: anything(one) for one in fields(CLASSES[command]) if required(one)}
    return CLASSES[command](**needed | values)


def required(one) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def anything(one) -> str:
    return (value_type(one.type).choices or ("x",))[0]


def typed(command: str, one, value) -> list[str]:
    """The words of a command with one option, and what is required."""
    words = [command]
    for other in fields(CLASSES[command]):
        if required(other) and other.name != one.name:
            words += [option_name(other.name), anything(other)]
    return [*words, option_name(one.name), str(value)]


def inside(one) -> list[float]:
    """The numbers at the bounds of a range, and a little within where the bound itself is out."""
    limits, whole = one.metadata["range"], value_type(one.type).kind is int
    step = 1 if whole else 1e-9
    low = limits.at_least if limits.above is None else limits.above + step
    high = limits.at_most if limits.below is None else limits.below - step
    if high is None:
        high = LARGEST if whole else 1e30
    return [low, high]


def outside(one) -> list[float]:
    limits, whole = one.metadata["range"], value_type(one.type).kind is int
    step = 1 if whole else 1e-9
    values = [limits.at_least - step if limits.above is None else limits.above, -(10**30), 10**30]
    if limits.at_most is not None or limits.below is not None:
        values.append(limits.at_most + step if limits.below is None else limits.below)
    elif not whole:
        values.remove(10**30)
    return values if whole else [*values, math.inf, -math.inf, math.nan]


@each_number
def test_every_number_has_a_range_from_below(command, one):
    limits = one.metadata["range"]
    assert isinstance(limits, Range) and (limits.at_least is None) != (limits.above is None)
    said = " ".join(OptionParser(CLASSES[command], command, "").format_help().split())
    assert str(limits) in said


@each_number
def test_numbers_within_are_taken_and_others_refused_by_name(command, one):
    kind, several, _, _ = value_type(one.type)
    for value in inside(one):
        value = kind(value)
        assert getattr(make(command, **{one.name: [value] if several else value}), one.name) in (value, [value])
    for value in [*outside(one), "7", True, None if several else [7]]:
        with pytest.raises(ValueError, match=f"^{option_name(one.name)} .*must be"):
            make(command, **{one.name: [value] if several and value is not None else value})


@each_number
def test_typed_numbers_outside_are_one_line(command, one, capsys, monkeypatch):
    monkeypatch.setattr("vqdna_hf.cli._function_of", lambda command: pytest.fail("the command ran"))
    for value in outside(one):
        assert main(typed(command, one, value)) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"vqdna {command}: {option_name(one.name)} ") and said.count("\n") == 1
    for value in ("", "many", "1_0", "1,5", "0x10"):
        with pytest.raises(SystemExit) as left:
            main(typed(command, one, value))
        said = capsys.readouterr().err
        assert left.value.code == 2 and option_name(one.name) in said and said.count("\n") == 1


@each_choice
def test_every_choice_is_kept_to(command, one):
    for value in value_type(one.type).choices:
        assert getattr(make(command, **{one.name: value}), one.name) == value
        with pytest.raises(ValueError, match=f"^{option_name(one.name)} {re.escape(value)}x: must be one of"):
            make(command, **{one.name: f"{value}x"})


def test_choices_may_be_of_a_list_and_left_out():
    @dataclass
    class Chosen(Arguments):
        several: list[Literal["a", "b"]] = option([], "")
        one: Literal["a", "b"] | None = option(None, "")

    assert [value_type(one.type) for one in fields(Chosen)] == [
        (str, True, False, ("a", "b")),
        (str, False, True, ("a", "b")),
    ]
    assert Chosen(several=["b", "a"], one="b") != Chosen()
    for value in ({"several": ["a", "c"]}, {"one": "c"}, {"one": ["a"]}, {"several": "a"}, {"several": None}):
        with pytest.raises(ValueError, match=r"^--(one|several) .*: must be (one of a, b|a list)$"):
            Chosen(**value)


def test_the_choices_and_bounds_are_those_of_the_code():
    def choices(cls, name):
        return value_type(cls.__dataclass_fields__[name].type).choices

    def limits(cls, name):
        return cls.__dataclass_fields__[name].metadata["range"]

    assert set(choices(TrainTokenizerArguments, "preset")) == set(CODEC_PRESETS)
    assert set(choices(PretrainArguments, "preset")) == set(ENCODER_PRESETS)
    assert choices(TrainTokenizerArguments, "quantizer") == QUANTIZERS
    assert choices(FinetuneArguments, "pooling") == choices(analysis.DemoArguments, "pooling") == POOLINGS
    assert set(choices(FinetuneArguments, "mode")) == set(MODE_WORDS)
    problems = choices(FinetuneArguments, "problem")
    assert set(choices(FinetuneArguments, "metric")) == {name for one in problems for name in metric_names(one)}
    assert limits(data.BaselineTokenizerArguments, "k").at_most == LARGEST_K
    assert limits(data.BaselineTokenizerArguments, "vocab_size").at_least == NUM_SPECIAL_TOKENS + 4
    assert limits(data.SpeciesTaskArguments, "length").at_most == MAX_LENGTH


def test_every_class_of_arguments_belongs_to_a_command():
    found = {
        cls
        for module in (analysis, data, publishing, training)
        for name, cls in vars(module).items()
        if name.endswith("Arguments") and name not in ("Arguments", "RunArguments")
    }
    assert found == set(CLASSES.values())


def test_what_is_set_later_is_checked_too():
    arguments = make("finetune")
    for name, value in (("epochs", 0), ("max_length", -1), ("dropout", 1.0), ("pooling", "Mean"), ("bf16", "yes")):
        before = getattr(arguments, name)
        with pytest.raises(ValueError, match=option_name(name)):
            setattr(arguments, name, value)
        assert getattr(arguments, name) == before
    arguments.epochs, arguments.max_length = 0.5, None
    assert copy.deepcopy(arguments) == arguments


def test_a_recipe_sets_what_is_within_the_ranges():
    arguments = make("train-tokenizer", recipe="paper")
    apply_recipe(arguments, VOCABULARY)
    assert arguments.learning_rate == VOCABULARY["learning_rate"]
    with pytest.raises(ValueError, match="--learning-rate -1"):
        apply_recipe(make("train-tokenizer", recipe="paper"), {"learning_rate": -1})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["finetune", "--epoch", "3"], "there is no option --epoch; did you mean --epochs?"),
        (["finetune", "--batch_sizes=3"], "there is no option --batch-sizes; did you mean --batch-size or"),
        (["finetune", "--entirely-unknown"], "there is no option --entirely-unknown"),
        (["finetune", "--seed", "1", "--seed", "2"], "--seed is given twice"),
        (["train-tokenizer", "--kmeans", "--no-kmeans"], "--kmeans is given twice"),
        (["finetune", "--output="], "--output= has no value"),
        (["finetune", "--output", ""], "--output: it has no value"),
        (["finetune", "--output"], "--output: expected one argument"),
        (["finetune", "--data", "d"], "the following arguments are required: --output"),
        (["finetune", "--data", "d", "--output", "o", "left", "over"], "unrecognized arguments: left over"),
        (["finetune", "--"], "there is no option -- ("),
        (["codebook", "--logos", "5", "here", "--data", "d", "--output", "o"], "here; [DIRECTORY] come first"),
        (["publish", "--dry-run", "true", "here", "me/x"], "me/x; DIRECTORY REPO_ID come first, before the options"),
        (["finetune", "--bf16", "maybe"], "'maybe' must be true or false"),
        (["tokenise"], "there is no command 'tokenise'; did you mean tokenize or"),
        (["--help-me"], "the command comes first, and --help-me is none"),
        ([], "required: COMMAND"),
    ],
)
def test_wrong_words_are_one_line(capsys, words, said):
    with pytest.raises(SystemExit) as left:
        main(words)
    printed = capsys.readouterr().err
    assert left.value.code == 2 and said in printed and printed.count("\n") == 1 and "--help` says more" in printed


@pytest.mark.parametrize(
    "value", [10**400, -(10**400), float("inf"), float("nan")], ids=["1e400", "-1e400", "inf", "nan"]
)
def test_a_number_that_no_float_holds_is_refused(value):
    with pytest.raises(ValueError, match="--learning-rate .*: must be a finite number"):
        make("finetune", learning_rate=value)


def test_what_may_be_typed_in_several_ways():
    def read(command, *words):
        return OptionParser(CLASSES[command], command, "").read(list(words))

    one = read("finetune", "--data", "d", "--output=o", "--batch_size=3")
    assert one == read("finetune", "--batch-size", "3", "--data=d", "--output", "o") and one.batch_size == 3
    training = read("train-tokenizer", "--output", "o", "--fasta", "a", "b", "--fasta", "c", "--no-kmeans", "--bf16")
    assert (training.fasta, training.kmeans, training.bf16) == (["a", "b", "c"], False, True)
    assert read("train-tokenizer", "--output", "o", "--kmeans", "false").kmeans is False
    with pytest.raises(ValueError, match="--learning-rate -0.001: must be at least 0"):
        read("train-tokenizer", "--output", "o", "--learning-rate", "-1e-3")


def test_paths_are_kept_as_text():
    """A run's settings are written as JSON."""
    arguments = TrainTokenizerArguments(output=Path("out"), fasta=[Path("a.fa"), "b.fa"])
    arguments.output = Path("other")
    assert (arguments.output, arguments.fasta) == ("other", ["a.fa", "b.fa"])
