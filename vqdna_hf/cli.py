"""The `vqdna` command: one sub-command per stage, thin over the functions of the package."""

import difflib
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module

from .options import Arguments
from .parsing import OneLineParser, OptionParser
from .runs.files import check_output
from .version import __version__


# command -> (module in `arguments`, function, one line of help); the function's module is imported when it runs
COMMANDS = {
    "train-tokenizer": ("training", "training.train_tokenizer.train_tokenizer", "stage 1: learn a DNA vocabulary"),
    "compile-tokenizer": (
        "training",
        "training.compile_tokenizer.compile_tokenizer",
        "write the codes of a narrow vocabulary into a table",
    ),
    "tokenize": ("training", "training.tokenize.tokenize", "stage 2: store windows of genomes"),
    "pretrain": ("training", "training.pretrain.pretrain", "stage 2: masked pre-training"),
    "finetune": ("training", "training.finetune.finetune", "stage 3: adapt a model to a task and score it"),
    "one-hot-tokenizer": (
        "data",
        "baselines.one_hot.write_one_hot_tokenizer",
        "write the one-hot control as a tokenizer directory",
    ),
    "baseline-tokenizer": (
        "data",
        "baselines.write_tokenizer.write_baseline_tokenizer",
        "write a character, k-mer or BPE tokenizer",
    ),
    "publish": ("publishing", "hub.publish.publish", "verify a directory and upload it to the Hub"),
    "card": ("publishing", "cards.card.card", "write the model card of a directory"),
    "export": ("publishing", "export.export.export", "write a model or tokenizer directory as ONNX files"),
    "tasks": ("data", "tasks.table.tasks", "the datasets of the paper: metric, classes, counts"),
    "species-task": (
        "data",
        "tasks.species.write.species_task_command",
        "draw windows of genomes for species classification",
    ),
    "audit": ("data", "tasks.audit.audit", "check datasets for copies, overlap and shortcuts"),
    "codebook": (
        "analysis",
        "analysis.codebook.codebook.codebook",
        "see a codebook: usage, relevance to classes, logos",
    ),
    "benchmark": (
        "analysis",
        "benchmark.benchmark.benchmark",
        "compare models on tasks, as a YAML file says, and print the tables",
    ),
    "info": ("analysis", "analysis.info.info", "parameters and FLOPs of the paper's presets"),
    "demo": ("analysis", "demo.demo.demo", "see the checkpoint of the package at work; or all stages, from scratch"),
}


def arguments_of(command: str) -> type[Arguments]:
    """The argument class of a command, `SpeciesTaskArguments` of `species-task`, without what the command imports."""
    name = command.title().replace("-", "")
    return getattr(import_module(f".arguments.{COMMANDS[command][0]}", __package__), f"{name}Arguments")


def _function_of(command: str) -> Callable:
    module, _, name = COMMANDS[command][1].rpartition(".")
    return getattr(import_module(f".{module}", __package__), name)


def _input_errors() -> tuple[type[Exception], ...]:
    """What is raised for input that cannot be used; imported only when something was raised."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    return ValueError, OSError, SafetensorError, StrictDataclassError


def say_error(text: str, patience: float = 10.0):
    """Print what went wrong to the standard error, once where all processes of a launch stumble over the same.

    The main process prints at once; its end makes the launcher end the others. One that is still there after
    `patience` seconds has an error of its own, and says so.
    """
    if rank := int(os.environ.get("RANK", 0)):
        time.sleep(patience)
        text = f"{text} (process {rank})"
    print(text, file=sys.stderr, flush=True)


def _refuse(command: str, error: Exception) -> int:
    # a strict configuration's own words stand behind the error that says which check raised them
    reason = error.__cause__ if type(error).__name__.startswith("StrictDataclass") else error
    say_error(f"vqdna {command}: {reason}")
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
    for name, (_, _, text) in COMMANDS.items():
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
        arguments = OptionParser(arguments_class, command, COMMANDS[command][2]).read(argv[1:])
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
