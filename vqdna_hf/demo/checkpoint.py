"""`vqdna demo`: codes of the package's checkpoint, their decoding, and fine-tuning with LoRA beside controls.

Three controls are run on the same rows, each chosen on dev: the checkpoint's own network from random weights, all of
them trained; the one-hot CNN; and regression on k-mers.
"""

import logging
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoTokenizer, set_seed

from ..arguments.training import MULTI_LABEL, REGRESSION
from ..baselines import KmerRegression, OneHotCNNConfig, OneHotCNNForSequenceClassification, character_tokenizer
from ..baselines.cnn import CNN_TRAINING
from ..checkpoints import DEFAULT_CHECKPOINT, checkpoint
from ..metrics import compute_scores
from ..modeling.modeling_vqdna import VQDNAForMaskedLM, unpack_codes
from ..modeling.nucleotides_vqdna import ids_to_bases
from ..modeling.tokenization_vqdna import VQDNATokenizer
from ..runs.files import read_json
from ..tasks import TaskInfo, load_task_files
from ..tasks.split_files import SPLITS
from .simulation import write_task
from .steps import prepare_output, print_and_keep, reloaded_accuracy, run


logger = logging.getLogger(__name__)

SIMULATED = "simulated"
_SHOWN = 24  # bases of a sequence whose codes are printed
_EPOCHS = {"lora": 4, "untrained": 4, "cnn": 10}


@dataclass(frozen=True)
class DemoTask:
    """A task to show.

    Attributes:
        name: in the table and in paths.
        directory: of its files; a smaller copy where the user's has more rows than are wanted.
        splits: rows with `nucleotide_ids` and `labels`.
        info: of the rows that are used.
        of: training rows that the user's directory has.
    """

    name: str
    directory: Path
    splits: dict
    info: TaskInfo
    of: int


def demo_checkpoint(arguments) -> list[dict]:
    """Tokenize, decode, fine-tune with LoRA, compare with controls, reload; print everything.

    Args:
        arguments ([`DemoArguments`]): all but `from_scratch` and `steps`.

    Returns:
        The rows of the table: `task`, `model`, `trained`, `metric`, `dev`, `test`, `seconds`.
    """
    started, output = time.time(), Path(arguments.output)
    found = load_tasks(arguments.data)
    for task in found:
        directory, info = task.directory, task.info
        if info.problem_type != REGRESSION and 0 < arguments.max_rows < info.num_labels:
            raise ValueError(
                f"--max-rows {arguments.max_rows} is less than the {info.num_labels} classes of {directory}."
            )
        if Path(os.path.realpath(output)) in Path(os.path.realpath(directory)).parents:
            raise ValueError(
                f"--data {directory} lies in {output}, which is replaced. Move it, or name another --output."
            )
    prepare_output(output, arguments.overwrite)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint())
    simulated = write_task(output / "data", np.random.default_rng(arguments.seed))
    splits, info = load_task_files(simulated)
    tasks = [DemoTask(SIMULATED, simulated, splits, info, len(splits["train"]))]
    tasks += [take_rows(task, output / "data", arguments.max_rows, arguments.seed) for task in found]
    lines = describe_codes(tokenizer, splits["test"]["nucleotide_ids"])
    print("\n".join(lines), flush=True)
    controls = write_controls(tokenizer, output / "models", arguments.seed)
    rows = []
    for task in tasks:
        rows += _run_networks(task, controls, arguments, output) + [_run_kmers(task, arguments.seed)]
    adapted = output / "runs" / SIMULATED / "lora"
    scored = read_json(adapted / "results.json")["test"]["accuracy"]
    again = reloaded_accuracy(adapted, simulated / "test.csv")
    for task in tasks:
        lines += _table(task, [row for row in rows if row["task"] == task.name])
    lines += ["", f"Reloaded by AutoTokenizer and AutoModelForSequenceClassification in a fresh process, {adapted}"]
    lines += [f"has a test accuracy of {again:.3f}; when it was trained, it had {scored:.3f}."]
    lines += [f"Everything is in {output}; {(time.time() - started) / 60:.1f} minutes"]
    print_and_keep(lines, output)
    return rows


# tasks


def load_tasks(directories: list[str]) -> list[DemoTask]:
    """Read the users' tasks, whole.

    Raises:
        ValueError: files that hold no task (`TaskDataError`), several labels a row, or two tasks of one name.
    """
    tasks = []
    for directory in map(Path, directories):
        name = task_name(directory)
        if _folder(name) in (SIMULATED, *(_folder(task.name) for task in tasks)):
            raise ValueError(
                f"--data {directory}: there is another task called {_folder(name)!r}. Rename or copy the directory."
            )
        splits, info = load_task_files(directory, name=name)
        if info.problem_type == MULTI_LABEL:
            raise ValueError(
                f"--data {directory} has several labels a row, and the demo's k-mer regression takes one."
            )
        tasks.append(DemoTask(name, directory, splits, info, len(splits["train"])))
    return tasks


def task_name(directory: Path) -> str:
    """The name of a directory, with its parent's where it is a number alone: `GUE/mouse/0` -> `mouse/0`."""
    directory = Path(os.path.realpath(directory))
    return f"{directory.parent.name}/{directory.name}" if directory.name.isdigit() else directory.name


def _folder(name: str) -> str:
    """The name of a task's folders in the output."""
    return name.replace("/", "-")


def take_rows(task: DemoTask, data: Path, max_rows: int, seed: int) -> DemoTask:
    """A task with at most `max_rows` rows in train, and in dev; all of test.

    Where there are more, they are drawn at random, but one of each class first.
    """
    if max_rows <= 0 or max(task.of, len(task.splits["dev"])) <= max_rows:
        return task
    rng, smaller = np.random.default_rng(seed), data / "fewer-rows" / _folder(task.name)
    smaller.mkdir(parents=True)
    for split in SPLITS:
        rows = task.splits[split]
        if split != "test" and len(rows) > max_rows:
            order = rng.permutation(len(rows))
            if task.info.problem_type != REGRESSION:
                first = np.unique(np.asarray(rows["labels"])[order], return_index=True)[1]
                order = np.concatenate([order[first], np.delete(order, first)])
            rows = rows.select(np.sort(order[:max_rows]))
        lines = [f"{ids_to_bases(ids)},{label}" for ids, label in zip(rows["nucleotide_ids"], rows["labels"])]
        (smaller / f"{split}.csv").write_text("sequence,label\n" + "\n".join(lines) + "\n", encoding="ascii")
    splits, info = load_task_files(smaller, problem=task.info.problem_type, name=task.name)
    return replace(task, directory=smaller, splits=splits, info=info)


# codes


def describe_codes(tokenizer: VQDNATokenizer, sequences) -> list[str]:
    """The codes of the first sequence, how many of them one base changes, and how well all sequences decode.

    Args:
        sequences: nucleotide ids, one array or list per row, all of the same length.
    """
    bases = [ids_to_bases(np.asarray(ids)) for ids in sequences]
    sizes = list(tokenizer.codec.config.codebook_sizes)
    codes = _codes(tokenizer, bases[0])
    decoded = [tokenizer.decode(ids, skip_special_tokens=True) for ids in tokenizer(bases)["input_ids"]]
    right = np.mean([one == other for row, back in zip(bases, decoded) for one, other in zip(row, back, strict=True)])
    shown = {"base": bases[0], **{f"level {n}": codes[:, n - 1].tolist() for n in range(1, len(sizes) + 1)}}
    shown["decoded"] = decoded[0]
    quantizer = f"{tokenizer.codec.config.quantizer}, {' and '.join(map(str, sizes))} codes"
    lines = ["", f"{DEFAULT_CHECKPOINT}: {quantizer}, one code of each level per base"]
    lines += ["", f"The first {_SHOWN} bases of a simulated sequence, their codes, and what the codes decode to", ""]
    lines += [f"{name:8s}" + "".join(f"{value:>4}" for value in values[:_SHOWN]) for name, values in shown.items()]
    place = len(bases[0]) // 2
    other = "C" if bases[0][place] == "T" else "T"
    changed = _codes(tokenizer, bases[0][:place] + other + bases[0][place + 1 :]) != codes
    where = np.flatnonzero(changed.any(axis=1).numpy())
    lines += ["", f"{other} for {bases[0][place]} at base {place}: other codes at {len(where)} of {len(codes)} bases"]
    lines[-1] += f" ({where[0]} to {where[-1]})" if len(where) else ""
    lines[-1] += f"; a code sees {tokenizer.codec.config.receptive_field} bases."
    total = sum(map(len, bases))
    return [*lines, f"Decoding gives back {100 * right:.2f} % of the {total:,} bases of {len(bases)} such sequences."]


def _codes(tokenizer: VQDNATokenizer, bases: str) -> torch.Tensor:
    """Codes of each level, `(bases, levels)`."""
    ids = torch.tensor(tokenizer(bases, add_special_tokens=False)["input_ids"])
    return unpack_codes(ids, list(tokenizer.codec.config.codebook_sizes))


# fine-tuning


def write_controls(tokenizer: VQDNATokenizer, models: Path, seed: int) -> dict[str, Path]:
    """Write the untrained networks as model directories; returns them by name."""
    directories = {name: models / name for name in ("untrained", "cnn")}
    set_seed(seed)
    untrained = VQDNAForMaskedLM(AutoConfig.from_pretrained(checkpoint()))
    untrained.codec.copy_from(tokenizer.codec)
    untrained.save_pretrained(directories["untrained"])
    tokenizer.save_pretrained(directories["untrained"])
    letters = character_tokenizer()
    OneHotCNNForSequenceClassification(OneHotCNNConfig.from_tokenizer(letters)).save_pretrained(directories["cnn"])
    letters.save_pretrained(directories["cnn"])
    return directories


def _run_networks(task: DemoTask, controls: dict[str, Path], arguments, output: Path) -> list[dict]:
    epochs = {name: str(arguments.epochs or number) for name, number in _EPOCHS.items()}
    tuned = [f"--{name.replace('_', '-')}={value}" for name, value in CNN_TRAINING.items() if name != "epochs"]
    runs = {
        "lora": (DEFAULT_CHECKPOINT, "LoRA and head", DEFAULT_CHECKPOINT, ["--mode", "lora"]),
        "untrained": ("same network, random", "all", str(controls["untrained"]), ["--mode", "full"]),
        "cnn": ("one-hot CNN", "all", str(controls["cnn"]), ["--mode", "full", *tuned]),
    }
    rows = []
    for name, (model, trained, source, more) in runs.items():
        results = output / "runs" / _folder(task.name) / name
        more = [*more, "--problem", task.info.problem_type] if task.info.problem_type == REGRESSION else more
        run(
            *("finetune", "--data", str(task.directory), "--model", source, "--output", str(results)),
            *("--task", task.name, "--pooling", arguments.pooling, "--seed", str(arguments.seed)),
            *("--epochs", epochs[name], *more),
        )
        found = read_json(results / "results.json")
        scores = {split: found[split][found["metric"]] for split in ("dev", "test")}
        row = {"task": task.name, "model": model, "trained": trained, "metric": found["metric"]}
        rows.append({**row, **scores, "seconds": found["seconds"]})
    return rows


def _run_kmers(task: DemoTask, seed: int) -> dict:
    started, kind = time.time(), task.info.problem_type
    metric = "spearman" if kind == REGRESSION else "mcc"
    bases = {name: [ids_to_bases(np.asarray(ids)) for ids in task.splits[name]["nucleotide_ids"]] for name in SPLITS}
    labels = {name: np.asarray(task.splits[name]["labels"]) for name in SPLITS}
    model = KmerRegression.fit(
        *(bases["train"], labels["train"], bases["dev"], labels["dev"]), problem_type=kind, metric=metric, seed=seed
    )
    scores = {
        name: compute_scores(model.predict(bases[name]), labels[name], metric, kind)[metric]
        for name in ("dev", "test")
    }
    words = f"{min(model.settings['kmers'])}- to {max(model.settings['kmers'])}-mers"
    row = {"task": task.name, "model": words, "trained": "regression", "metric": metric}
    return {**row, **scores, "seconds": time.time() - started}


def _table(task: DemoTask, rows: list[dict]) -> list[str]:
    counts, metric = task.info.counts, {"mcc": "MCC", "spearman": "Spearman"}[rows[0]["metric"]]
    train = f"{counts['train']:,}" + (f" of {task.of:,}" if counts["train"] < task.of else "") + " training rows"
    note = "simulated data say nothing about real DNA" if task.name == SIMULATED else f"{counts['test']:,} test rows"
    lines = ["", f"{task.name}: {metric}, {train} ({note}; one seed)", ""]
    lines.append(f"{'model':24s} {'trained':14s} {'dev':>8s} {'test':>8s} {'seconds':>8s}")
    for row in rows:
        scores = f"{row['dev']:8.3f} {row['test']:8.3f} {row['seconds']:8.0f}"
        lines.append(f"{row['model']:24s} {row['trained']:14s} {scores}")
    return lines
