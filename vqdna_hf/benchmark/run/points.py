"""One cell of a benchmark: a model, adapted to a task with one seed at every point of a grid, chosen on dev."""

import logging
import shutil
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accelerate import PartialState

from ...arguments.training import FinetuneArguments
from ...baselines.cnn import CNN_TRAINING
from ...baselines.kmer_regression import KmerRegression
from ...baselines.linear_probe import LinearProbe
from ...baselines.token_probe import TokenProbe, token_frequencies
from ...data.strands import other_strand
from ...metrics import predictions_of, rounded_scores
from ...modeling.nucleotides_vqdna import bases_to_ids
from ...runs.files import read_record, write_json
from ...runs.records import Cut, cut_records, note_cut
from ...runs.resume import last_checkpoint
from ...training.classifier_trainer import adapt_classifier
from ...training.encoding import encode_sequences
from ...training.positions import limit_tokenizer
from ...training.task_inputs import task_inputs
from .classifiers import build_classifier, count_flops, count_parameters
from .prepare import PreparedModel, batch_per_process
from .tasks import TaskData


logger = logging.getLogger(__name__)

# bytes of token ids that are kept
_KEPT = 1 << 30


@dataclass
class Outcome:
    """What one point of the grid gave.

    Attributes:
        dev: scores by which the point is chosen.
        predictions: of the test rows: classes or values, `(rows,)`, or labels, `(rows, num_labels)`.
        sizes: `parameters` and `flops`, and `cut` where sequences were cut.
        chosen: settings that the run itself chose on dev.
    """

    dev: dict[str, float]
    predictions: np.ndarray
    sizes: dict
    chosen: dict


class Encodings:
    """Token ids of the tasks' sequences, kept as long as they fit, so that no seed encodes them again."""

    def __init__(self):
        self._kept: OrderedDict[tuple, tuple[list[np.ndarray], list[Cut]]] = OrderedDict()

    def get(
        self,
        prepared: PreparedModel,
        task: TaskData,
        split: str,
        other: bool,
        max_length: int | None,
        cuts: list[Cut] | None = None,
    ) -> list[np.ndarray]:
        """Ids of a split, of the given strand or the other one.

        Args:
            max_length: bases to keep of each sequence; all when None.
            cuts: takes what the tokenizer cuts further.
        """
        sequences = getattr(task, split).sequences
        if max_length is not None and max(map(len, sequences)) <= max_length:
            max_length = None  # which cuts nothing: the same ids as without it
        key = (prepared.entry.name, task.name, split, other, max_length, prepared.tokenizer.model_max_length)
        if key not in self._kept:
            found: list[Cut] = []
            sequences = [sequence[:max_length] for sequence in sequences]  # first: both strands are of the same bases
            if other:
                sequences = [other_strand(sequence) for sequence in sequences]
            self._kept[key] = encode_sequences(prepared.tokenizer, sequences, split=split, cuts=found), found
            while self._size() > _KEPT and len(self._kept) > 1:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        rows, found = self._kept[key]
        if cuts is not None:
            cuts += found
        return rows

    def _size(self) -> int:
        return sum(ids.nbytes for rows, _ in self._kept.values() for ids in rows)


def run_points(
    task: TaskData, prepared: PreparedModel, mode: str, seed: int, points: list[dict], work: Path, encodings: Encodings
) -> tuple[int, list[Outcome]]:
    """Run every point of a cell's grid; finished ones are kept in `work`.

    Returns:
        The number of the point with the best score on dev (the first of them), and the outcomes.
    """
    outcomes = []
    for number, options in enumerate(points):
        record = work / f"point-{number}.json"
        if not record.is_file():
            outcome = _run(task, prepared, mode, seed, options, work / f"point-{number}", encodings)
            if PartialState().is_main_process:
                write_json(record, {**vars(outcome), "predictions": outcome.predictions.tolist()})
                shutil.rmtree(work / f"point-{number}", ignore_errors=True)
            PartialState().wait_for_everyone()
        content = read_record(record, {"dev": dict, "predictions": list})
        outcomes.append(Outcome(**{**content, "predictions": np.asarray(content["predictions"])}))
    scores = [outcome.dev[task.metric] for outcome in outcomes]
    return int(np.argmax(scores)), outcomes


def _run(task, prepared, mode, seed, options: dict, work: Path, encodings: Encodings) -> Outcome:
    if prepared.entry.control == "kmer-regression":
        return _kmer_regression(task, seed, options)
    defaults = {}
    if prepared.entry.control == "cnn":
        defaults, mode = CNN_TRAINING, "full"
    cuts: list[Cut] = []
    known = {name: value for name, value in {**defaults, **options}.items() if name not in ("kmers", "strands")}
    # in random batches whatever their lengths, as all cells there are
    known |= {"group_by_length": False, "seed": seed}
    arguments = FinetuneArguments(data=task.name, model="", output=str(work), mode=mode, **known)
    note_cut(cuts, "train", map(len, task.train.sequences), arguments.max_length)
    adapt = _probe if mode == "linear" else _train
    outcome = adapt(task, prepared, arguments, encodings, cuts)
    outcome.sizes |= cut_records(cuts)
    return outcome


def _train(
    task: TaskData, prepared: PreparedModel, arguments: FinetuneArguments, encodings: Encodings, cuts: list[Cut]
) -> Outcome:
    arguments.batch_size = batch_per_process(arguments.batch_size)
    model = build_classifier(prepared, task, arguments)
    sizes = {"parameters": count_parameters(model), "flops": count_flops(model, prepared)}
    limit_tokenizer(prepared.tokenizer, model)

    def encode(split: str, other: bool) -> list[np.ndarray]:
        longest = arguments.max_length if split == "train" else None
        return encodings.get(prepared, task, split, other, longest, None if other else cuts)

    reads_bases = arguments.mode == "end-to-end" and prepared.is_vqdna
    letters = {name: split.sequences for name, split in task.splits.items()}
    sequences = task_sequences(task, arguments.max_length) if reads_bases else letters
    labels = {name: split.labels for name, split in task.splits.items()}
    pad_token_id = prepared.tokenizer.pad_token_id
    inputs = task_inputs(arguments, sequences, labels, None if reads_bases else encode, pad_token_id)
    work = Path(arguments.output)
    adapted = adapt_classifier(
        arguments, model, inputs, task.problem_type, task.metric, work, last_checkpoint(work), quiet=True
    )
    return Outcome(adapted.dev, predictions_of(adapted.logits, task.problem_type), sizes, {"epoch": adapted.epoch})


# what needs no training of a network


def _probe(
    task: TaskData, prepared: PreparedModel, arguments: FinetuneArguments, encodings: Encodings, cuts: list[Cut]
) -> Outcome:
    """The paper's linear probe: on the mean of the code vectors, or on the frequencies of hand-made tokens."""
    if prepared.is_vqdna:
        probe = fit_probe(prepared.tokenizer.codec, task, arguments.strand_average, arguments.max_length)
        rows = task_sequences(task)
        return _outcome(task, probe, rows["dev"], rows["test"], {})
    longest = {"train": arguments.max_length, "dev": None, "test": None}
    train, dev, test = (
        token_frequencies(encodings.get(prepared, task, name, False, end, cuts), prepared.tokenizer)
        for name, end in longest.items()
    )
    probe = TokenProbe.fit(train, task.train.labels, dev, task.dev.labels, task.problem_type, task.metric)
    return _outcome(task, probe, dev, test, {"strength": probe.strength})


def fit_probe(codec, task: TaskData, strand_average: bool = False, max_length: int | None = None) -> LinearProbe:
    """The linear probe of a learned vocabulary on mean code vectors."""
    rows = task_sequences(task, max_length)
    train, dev = ({"nucleotide_ids": rows[name], "labels": task.splits[name].labels} for name in ("train", "dev"))
    pooling = {"pooling": "mean", "pooling_bins": 1, "strand_average": strand_average}
    return LinearProbe.fit(codec, train, dev, task, task.metric, **pooling)


def task_sequences(task: TaskData, max_length: int | None = None) -> dict[str, list[np.ndarray]]:
    """Nucleotide ids of each split, the training ones cut."""
    sequences = {name: list(map(bases_to_ids, split.sequences)) for name, split in task.splits.items()}
    return sequences | {"train": [ids[:max_length] for ids in sequences["train"]]}


def _outcome(task: TaskData, model: LinearProbe | TokenProbe | KmerRegression, dev, test, chosen: dict) -> Outcome:
    """That of a model that was fitted; `dev` and `test` are rows as it takes them."""
    scores = rounded_scores(model.predict(dev), task.dev.labels, task.problem_type)
    sizes = {"parameters": {"trained": int(model.parameters)}, "flops": None}
    return Outcome(scores, model.predict(test), sizes, chosen)


def _kmer_regression(task: TaskData, seed: int, options: dict) -> Outcome:
    known = {name: options[name] for name in ("kmers", "strands") if name in options}
    if options.get("strand_average"):
        known.setdefault("strands", "both")
    model = KmerRegression.fit(
        task.train.sequences,
        task.train.labels,
        task.dev.sequences,
        task.dev.labels,
        task.problem_type,
        task.metric,
        seed=seed,
        **known,
    )
    return _outcome(task, model, task.dev.sequences, task.test.sequences, {})
