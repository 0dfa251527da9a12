"""The `vqdna` command: one sub-command per stage, thin over the functions of the package."""

import argparse
import logging
import os
import sys
from dataclasses import MISSING, fields
from importlib import import_module

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import HfArgumentParser
from transformers.utils import logging as transformers_logging

from . import __version__


# command -> (module, arguments class, function, one line of help)
COMMANDS = {
    "train-tokenizer": (
        "training.train_tokenizer",
        "TrainTokenizerArguments",
        "train_tokenizer",
        "stage 1: learn a DNA vocabulary",
    ),
    "tokenize": ("training.tokenize", "TokenizeArguments", "tokenize", "stage 2: store windows of genomes"),
    "pretrain": ("training.pretrain", "PretrainArguments", "pretrain", "stage 2: masked pre-training"),
    "finetune": (
        "training.finetune",
        "FinetuneArguments",
        "finetune",
        "stage 3: adapt a model to a task and score it",
    ),
    "one-hot-tokenizer": (
        "baselines.one_hot",
        "OneHotArguments",
        "write_one_hot_tokenizer",
        "write the one-hot control as a tokenizer directory",
    ),
    "baseline-tokenizer": (
        "baselines.write_tokenizer",
        "BaselineTokenizerArguments",
        "write_baseline_tokenizer",
        "write a character, k-mer or BPE tokenizer",
    ),
    "publish": ("hub.publish", "PublishArguments", "publish", "verify a directory and upload it to the Hub"),
    "card": ("hub.model_card", "CardArguments", "card", "write the model card of a directory"),
    "export": ("export", "ExportArguments", "export", "write a model or tokenizer directory as ONNX files"),
    "tasks": ("analysis.task_table", "TasksArguments", "tasks", "the datasets of the paper: metric, classes, counts"),
    "species-task": (
        "data.species_files",
        "SpeciesTaskArguments",
        "species_task_command",
        "draw windows of genomes for species classification",
    ),
    "audit": ("analysis.audit", "AuditArguments", "audit", "check datasets for copies, overlap and shortcuts"),
    "codebook": (
        "analysis.codebook.command",
        "CodebookArguments",
        "codebook",
        "see a codebook: usage, relevance to classes, logos",
    ),
    "benchmark": (
        "benchmark.command",
        "BenchmarkArguments",
        "benchmark",
        "compare models on tasks, as a YAML file says, and print the tables",
    ),
    "info": ("analysis.info", "InfoArguments", "info", "parameters and FLOPs of the paper's presets"),
    "demo": (
        "demo",
        "DemoArguments",
        "demo",
        "see the checkpoint of the package at work; or all stages, from scratch",
    ),
}


def _load(command: str):
    """The argument class and the function of a command, imported only when it runs."""
    module, arguments, function, _ = COMMANDS[command]
    loaded = import_module(f".{module}", __package__)
    return getattr(loaded, arguments), getattr(loaded, function)


def _with_names(arguments_class: type, argv: list[str]) -> list[str]:
    """Name the values that stand alone, as the class's POSITIONAL says: `DIR` -> `--directory DIR`."""
    names, named, argv = list(getattr(arguments_class, "POSITIONAL", ())), [], list(argv)
    flags = {f"--{field.name.replace('_', '-')}" for field in fields(arguments_class) if field.type is bool}
    while names and argv:
        word = argv.pop(0)
        if not word.startswith("-"):
            named += [f"--{names.pop(0).replace('_', '-')}", word]
        elif word.replace("_", "-") in flags or "=" in word:
            named.append(word)
        else:  # an option with values of its own: which of what follows stands alone cannot be told
            return [*named, word, *argv]
    return named + argv


def _places(arguments_class: type) -> str:
    """The values that stand alone, for the usage line; in brackets those that have a default."""
    optional = {field.name for field in fields(arguments_class) if field.default is not MISSING}
    names = getattr(arguments_class, "POSITIONAL", ())
    return " ".join(f"[{name.upper()}]" if name in optional else name.upper() for name in names)


def _say_error(text: str):
    """Print what went wrong; where several processes were launched, once for all that stumble over the same."""
    if "RANK" not in os.environ:  # started alone: nothing need be imported to say so
        print(text, file=sys.stderr, flush=True)
        return
    from .training.launched import say_error

    say_error(text)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 2 for input that cannot be used."""
    argv = sys.argv[1:] if argv is None else argv
    # subtle: oneDNN keeps up to 1024 compiled products, 2 MB for every new number of rows: gigabytes where it varies
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    parser = argparse.ArgumentParser(prog="vqdna", description="Learned vocabularies for DNA (VQDNA).")
    parser.add_argument("--version", action="version", version=f"vqdna-hf {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, _, _, text) in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    command = parser.parse_args(argv[:1]).command
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for noisy in ("httpx", "httpx2", "datasets", "filelock"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    transformers_logging.set_verbosity_warning()
    arguments_class, function = _load(command)
    places = _places(arguments_class)
    options = HfArgumentParser(
        arguments_class,
        prog=f"vqdna {command}",
        usage=f"vqdna {command} {places} [options]" if places else None,
        description=COMMANDS[command][3],
    )
    arguments, unknown = options.parse_args_into_dataclasses(
        _with_names(arguments_class, argv[1:]), return_remaining_strings=True
    )
    if unknown:
        options.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        function(arguments)
    except (ValueError, OSError, SafetensorError, StrictDataclassError) as error:
        # a configuration's own words stand behind the error that says which check raised them
        reason = error.__cause__ if isinstance(error, StrictDataclassError) else error
        _say_error(f"vqdna {command}: {reason}")
        return 2
    except KeyboardInterrupt:
        again = "with --resume " if hasattr(arguments, "resume") else ""
        print(f"\nvqdna {command}: interrupted; the same command {again}goes on from what is saved.", file=sys.stderr)
        return 130
    if "RANK" in os.environ:  # started alone: nothing need be imported to leave
        from .training.launched import leave_processes

        leave_processes()
    return 0


if __name__ == "__main__":
    sys.exit(main())
