"""Ablations (Tables 7 to 9 of the paper): vocabularies that differ in one thing, and encoders that do.

A study varies options of `vqdna train-tokenizer` (codebook sizes, width, quantizer, quantized layers, denoising
ratio) or of the masking of stage 2 (`masking`, `masked_share`, `span_length`), and looks at the vocabulary alone:
reconstruction and use of the codes on held-out windows, a linear probe on a task, and how much of a masked position a
predictor gets that sees nothing but the codes around it. A study of `models` puts the scores of the file's own cells
into a table of that shape.
"""

import hashlib
import itertools
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm

from ...arguments.training import PretrainArguments
from ...checkpoints.loading import load_tokenizer
from ...data import Corpus
from ...runs.files import read_record, write_json
from ...runs.records import different_settings, package_versions
from ...training.masking import MaskedWindows
from ...training.neighbours import batches_of, neighbours_accuracy
from ...training.objectives import CodeObjective
from ..spec.command_options import MASKING
from ..spec.schema import Specification, Study
from ..tables.ablations import ablation_table
from ..tables.aggregate import Spread
from ..tables.layout import Table
from .archive import find_records
from .points import fit_probe, task_sequences
from .prepare import learn_vocabulary, make_corpus, one_at_a_time
from .tasks import TaskData


logger = logging.getLogger(__name__)

_BATCH = 32
# what is read of the figures of a codec
RECORD_FIELDS = {"settings": dict, "linear_probe": dict}
# what a table has the means of, over the seeds of stage 1
_AVERAGED = ("reconstruction", "usage", "perplexity", "bits_per_base", "seconds")
_AVERAGED += ("neighbours_accuracy", "neighbours_base_accuracy")


@dataclass(frozen=True)
class Variant:
    """One codec of a study.

    Attributes:
        name: its options in words.
        vocabulary: options of stage 1, the seed among them.
        masking: options of the masking.
        varied: the options that the study varies, and their values here.
    """

    name: str
    vocabulary: dict
    masking: dict
    varied: dict


def _digest(*parts: dict) -> str:
    """A name for what options make."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def list_variants(study: Study, seeds: list[int]) -> list[Variant]:
    """The codecs of a study, with each of its seeds of stage 1, which are the first of the file's."""
    varied = list(dict.fromkeys(name for variant in study.variants for name in variant))
    # the quantizer has a column of its own
    shown = [name for name in varied if name != "quantizer"] or varied
    found = []
    for seed, options in itertools.product(seeds[: study.seeds], study.variants):
        merged = {**study.vocabulary, **options}
        vocabulary = {name: value for name, value in merged.items() if name not in MASKING} | {"seed": seed}
        masking = {name: value for name, value in merged.items() if name in MASKING}
        name = ", ".join(f"{key} {_text(value)}" for key, value in options.items()) or "as shared"
        found.append(Variant(name, vocabulary, masking, {name: merged.get(name) for name in shown}))
    return found


def _all_variants(specification: Specification) -> Iterator[tuple[Study, Variant]]:
    for study in specification.ablations:
        for variant in list_variants(study, specification.seeds):
            yield study, variant


def _text(value) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def run_ablations(specification: Specification, tasks: dict[str, TaskData], output: Path):
    """Train and measure what is not finished: one JSON file for each codec and seed, in `ablations/`."""
    state, waiting = PartialState(), {}  # by path: two studies may share a codec
    for study, variant in _all_variants(specification):
        path = record_path(output, study, variant)
        if not path.is_file():
            waiting[path] = (study, variant)
    waiting = broadcast_object_list([list(waiting.items())])[0]
    for path, (study, variant) in tqdm(waiting, desc="Ablations", disable=None if state.is_main_process else True):
        started = time.time()
        home = output / "ablations" / "vocabularies" / _digest(variant.vocabulary)
        with one_at_a_time(output):
            learn_vocabulary(variant.vocabulary, specification, home / "tokenizer")
            corpus = make_corpus(specification, output)
        if state.is_main_process:
            content = measure_vocabulary(home / "tokenizer", variant, study, corpus, tasks[study.task])
            content |= {"study": study.name, "name": variant.name, "varied": variant.varied}
            content |= {"settings": _settings(specification, study, variant, tasks[study.task])}
            content |= {"seed": variant.vocabulary["seed"], "versions": package_versions()}
            write_json(path, {**content, "measuring_seconds": round(time.time() - started, 1)})
        state.wait_for_everyone()


def check_ablations(specification: Specification, tasks: dict[str, TaskData], output: Path):
    """Make sure that finished records are of what the file says.

    Raises:
        ValueError: names the record and what differs.
    """
    for study, variant in _all_variants(specification):
        path = record_path(output, study, variant)
        if path.is_file():
            before = read_record(path, {"settings": dict})["settings"]
            now = _settings(specification, study, variant, tasks[study.task])
            # a record without it is of a dev split that was taken otherwise
            compared = [name for name in now if name in before or name == "dev_split"]
            if changes := different_settings(before, now, compared):
                raise ValueError(
                    f"{path} was measured with other settings ({changes}). Remove it to measure it again, or choose "
                    "another output."
                )


def _settings(specification: Specification, study: Study, variant: Variant, task: TaskData) -> dict:
    """What decides the figures of a codec, as far as the file says it."""
    return {
        "vocabulary": variant.vocabulary,
        "masking": variant.masking,
        "task": study.task,
        "neighbour_steps": study.neighbour_steps,
        "rows": task.counts,
        "window": specification.window,
        "fasta": [Path(path).name for path in specification.fasta],
        **({"dev_split": task.dev_split} if task.dev_split else {}),
    }


def record_path(output: Path, study: Study, variant: Variant) -> Path:
    """Where the figures of a codec are."""
    settings = {"vocabulary": variant.vocabulary, "masking": variant.masking, "task": study.task}
    name = record_name({"settings": {**settings, "neighbour_steps": study.neighbour_steps}})
    return output / "ablations" / f"{name}.json"


def record_name(record: dict) -> str:
    """The name of the file of a codec's figures, without the suffix."""
    settings, measured = record["settings"], {"task": record["settings"]["task"]}
    if (steps := settings.get("neighbour_steps", Study.neighbour_steps)) != Study.neighbour_steps:
        measured["neighbour_steps"] = steps
    return _digest(settings["vocabulary"], settings["masking"], measured)


def find_ablations(specification: Specification, output: Path) -> dict[str, dict]:
    """The figures of the codecs of all studies that are measured, by `record_name`."""
    names = [record_path(output, study, variant).stem for study, variant in _all_variants(specification)]
    return find_records(output / "ablations", dict.fromkeys(names), RECORD_FIELDS, record_name)


def measure_vocabulary(directory: Path, variant: Variant, study: Study, corpus: Path, task: TaskData) -> dict:
    """The figures of a learned vocabulary, as `ablation_table` takes them."""
    record, tokenizer = read_record(directory / "training.json", {"eval": dict}), load_tokenizer(str(directory))
    held_out, levels = record["eval"], len(tokenizer.codec.config.codebook_sizes)
    perplexities = [held_out[f"perplexity_{level}"] for level in range(1, levels + 1)]
    return {
        "quantizer": tokenizer.codec.config.quantizer,
        "fingerprint": tokenizer.vocabulary_fingerprint,
        "reconstruction": held_out["accuracy"],
        "denoising_accuracy": held_out.get("denoising_hidden_accuracy"),
        "usage": [held_out[f"usage_{level}"] for level in range(1, levels + 1)],
        "perplexity": perplexities,
        # levels are not independent of each other, so that their entropies add up to no less than the code's
        "bits_per_base": round(float(np.log2(np.maximum(perplexities, 1)).sum()), 4),
        "linear_probe": _probe(tokenizer, task),
        **_neighbours(directory, variant, study, Corpus.load(corpus)),
        "seconds": record["seconds"],
    }


def _probe(tokenizer, task: TaskData) -> dict[str, float]:
    test = {"nucleotide_ids": task_sequences(task)["test"], "labels": task.test.labels}
    return {"metric": task.metric, "test": fit_probe(tokenizer.codec, task).score(test)[task.metric]}


def _neighbours(directory: Path, variant: Variant, study: Study, corpus: Corpus) -> dict:
    """What the codes around a masked position tell of it, with the variant's masking."""
    masking = {"mask_ratio" if name == "masked_share" else name: value for name, value in variant.masking.items()}
    objective = CodeObjective(
        PretrainArguments(corpus="", tokenizer=str(directory), output="", preset="tiny", **masking)
    )
    objective.read(corpus)
    train = MaskedWindows(corpus.split("train"), study.neighbour_steps * _BATCH, objective.masking, 0, True)
    held_out = MaskedWindows(corpus.split("validation"), 8 * _BATCH, objective.masking, 0, False)
    with torch.random.fork_rng(devices=[]):
        model = objective.build_model()
    found = neighbours_accuracy(model, batches_of(train, _BATCH), batches_of(held_out, _BATCH))
    return {
        "neighbours_accuracy": [found[f"neighbours_accuracy_{level + 1}"] for level in range(len(objective.sizes))],
        "neighbours_base_accuracy": found["neighbours_base_accuracy"],
    }


def ablation_tables(specification: Specification, cells: list[dict], output: Path) -> list[Table]:
    """One table for each study, of what is finished."""
    tables, records = [], find_ablations(specification, output)
    for study in specification.ablations:
        rows = _model_rows(study, cells) if study.models else _vocabulary_rows(study, specification, records)
        if rows:
            title = f"Ablation: {study.name}" + (f" (linear probe on {study.task})" if study.task else "")
            published = study.published if study.published is not None else bool(study.variants)
            tables.append(ablation_table(rows, title, published))
    return tables


def _vocabulary_rows(study: Study, specification: Specification, records: dict[str, dict]) -> list[dict]:
    """The means over the seeds of stage 1."""
    found: dict[str, list[dict]] = {}
    for variant in list_variants(study, specification.seeds):
        if (content := records.get(record_path(Path(), study, variant).stem)) is not None:
            # the figures of a codec that two studies share, under the names of this one
            found.setdefault(variant.name, []).append({**content, "name": variant.name, "varied": variant.varied})
    rows = []
    for parts in found.values():
        means = {name: np.mean([part[name] for part in parts], axis=0).tolist() for name in _AVERAGED}
        probe = Spread.of([part["linear_probe"]["test"] for part in parts])
        rows.append({**parts[0], **means, "linear_probe": probe})
    return rows


def _model_rows(study: Study, cells: list[dict]) -> list[dict]:
    """Scores of models of the file: what varies is said in the study."""
    rows = []
    for name, varied in study.models.items():
        scores, kinds = {}, set()
        for cell in cells:
            if cell["model"] == name and cell["mode"] == study.mode:
                scores.setdefault(cell["task"], []).append(cell["test"][cell["metric"]])
                kinds.add(cell["tokenizer"]["kind"])
        if scores:
            spreads = {task: Spread.of(values) for task, values in scores.items()}
            rows.append({"name": name, "varied": varied, "quantizer": "/".join(sorted(kinds)), "scores": spreads})
    return rows
