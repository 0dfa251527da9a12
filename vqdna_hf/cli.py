"""The `vqdna` command: one sub-command per stage, thin over the functions of the package."""

import difflib
import logging
import os
import sys
import warnings
from collections.abc import Callable
from importlib import import_module

from .options import Arguments
from .parsing import OneLineParser, OptionParser
from .runs.files import check_output
from .version import __version__


# command -> (module, class in `arguments`, function, one line of help); the module is imported when the command runs
COMMANDS = {
    "train-tokenizer": (
        "training.train_tokenizer",
        "training.TrainTokenizerArguments",
        "train_tokenizer",
        "stage 1: learn a DNA vocabulary",
    ),
    "tokenize": ("training.tokenize", "training.TokenizeArguments", "tokenize", "stage 2: store windows of genomes"),
    "pretrain": ("training.pretrain", "training.PretrainArguments", "pretrain", "stage 2: masked pre-training"),
    "finetune": (
        "training.finetune",
        "training.FinetuneArguments",
        "finetune",
        "stage 3: adapt a model to a task and score it",
    ),
    "one-hot-tokenizer": (
        "baselines.one_hot",
        "data.OneHotArguments",
        "write_one_hot_tokenizer",
        "write the one-hot control as a tokenizer directory",
    ),
    "baseline-tokenizer": (
        "baselines.write_tokenizer",
        "data.BaselineTokenizerArguments",
        "write_baseline_tokenizer",
        "write a character, k-mer or BPE tokenizer",
    ),
    "publish": (
        "hub.publish",
        "publishing.PublishArguments",
        "publish",
        "verify a directory and upload it to the Hub",
    ),
    "card": ("cards.card", "publishing.CardArguments", "card", "write the model card of a directory"),
    "export": (
        "export.export",
        "publishing.ExportArguments",
        "export",
        "write a model or tokenizer directory as ONNX files",
    ),
    "tasks": ("tasks.table", "data.TasksArguments", "tasks", "the datasets of the paper: metric, classes, counts"),
    "species-task": (
        "tasks.species.write",
        "data.SpeciesTaskArguments",
        "species_task_command",
        "draw windows of genomes for species classification",
    ),
    "audit": ("tasks.audit", "data.AuditArguments", "audit", "check datasets for copies, overlap and shortcuts"),
    "codebook": (
        "analysis.codebook.codebook",
        "analysis.CodebookArguments",
        "codebook",
        "see a codebook: usage, relevance to classes, logos",
    ),
    "benchmark": (
        "benchmark.benchmark",
        "analysis.BenchmarkArguments",
        "benchmark",
        "compare models on tasks, as a YAML file says, and print the tables",
    ),
    "info": ("analysis.info", "analysis.InfoArguments", "info", "parameters and FLOPs of the paper's presets"),
    "demo": (
        "demo.demo",
        "analysis.DemoArguments",
        "demo",
        "see the checkpoint of the package at work; or all stages, from scratch",
    ),
}


def arguments_of(command: str) -> type[Arguments]:
    """The argument class of a command, without what the command imports."""
    module, _, name = COMMANDS[command][1].partition(".")
    return getattr(import_module(f".arguments.{module}", __package__), name)


def _function_of(command: str) -> Callable:
    module, _, name, _ = COMMANDS[command]
    return getattr(import_module(f".{module}", __package__), name)


def _input_errors() -> tuple[type[Exception], ...]:
    """What is raised for input that cannot be used; imported only when something was raised."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    return ValueError, OSError, SafetensorError, StrictDataclassError


def _say_error(text: str):
    """Print what went wrong; where several processes were launched, once for all that stumble over the same."""
    if "RANK" not in os.environ:  # started alone: nothing need be imported to say so
        print(text, file=sys.stderr, flush=True)
        return
    from .runs.processes import say_error

    say_error(text)


def _refuse(command: str, error: Exception) -> int:
    # a strict configuration's own words stand behind the error that says which check raised them
    reason = error.__cause__ if type(error).__name__.startswith("StrictDataclass") else error
    _say_error(f"vqdna {command}: {reason}")
    return 2


def _quiet():
    """Log what the commands say, and of the libraries only warnings."""
    from transformers.utils import logging as transformers_logging

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for noisy in ("httpx", "httpx2", "datasets", "filelock"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    transformers_logging.set_verbosity_warning()
    # peft 0.21 reads an attribute that transformers has renamed, which nobody who types a command can change
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    # a network that calls all rows alike, as many do at first, has the score 0
    warnings.filterwarnings("ignore", "A single label was found in 'y_true' and 'y_pred'", UserWarning)


def _read_command(argv: list[str]) -> str:
    """The command that is named; help and version are printed here."""
    parser = OneLineParser(prog="vqdna", description="Learned vocabularies for DNA (VQDNA).", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"vqdna-hf {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, _, _, text) in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    if argv and argv[0].startswith("-") and argv[0] not in ("-h", "--help", "--version"):
        parser.error(f"the command comes first, and {argv[0]} is none")
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        near = difflib.get_close_matches(argv[0], COMMANDS, n=3)
        parser.error(f"there is no command {argv[0]!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    return parser.parse_args(argv[:1]).command


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 2 for input that cannot be used."""
    argv = sys.argv[1:] if argv is None else argv
    # subtle: oneDNN keeps up to 1024 compiled products, 2 MB for every new number of rows: gigabytes where it varies
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    command = _read_command(argv)
    arguments_class = arguments_of(command)
    try:
        arguments = OptionParser(arguments_class, command, COMMANDS[command][3]).read(argv[1:])
        if getattr(arguments, "output", None):
            check_output(arguments.output)
    except ValueError as error:
        return _refuse(command, error)
    try:
        _quiet()
        _function_of(command)(arguments)
    except KeyboardInterrupt:
        again = "with --resume " if hasattr(arguments, "resume") else ""
        print(f"\nvqdna {command}: interrupted; the same command {again}resumes from what is saved.", file=sys.stderr)
        return 130
    except _input_errors() as error:
        return _refuse(command, error)
    if "RANK" in os.environ:  # started alone: nothing need be imported to leave
        from .runs.processes import leave_processes

        leave_processes()
    return 0


if __name__ == "__main__":
    sys.exit(main())
