"""One cell of a benchmark: a model, adapted to a task with one seed at every point of a grid, chosen on dev."""

import logging
import shutil
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accelerate import PartialState
from datasets import Dataset
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from ...arguments.training import FinetuneArguments
from ...baselines.cnn import CNN_TRAINING
from ...baselines.kmer_regression import KmerRegression
from ...baselines.linear_probe import LinearProbe
from ...data.strands import other_strand
from ...metrics import compute_scores
from ...modeling.nucleotides_vqdna import bases_to_ids
from ...runs.files import read_record, write_json
from ...runs.records import Cut, cut_records, note_cut
from ...runs.resume import last_checkpoint
from ...tasks import TaskInfo
from ...tasks.rows import REGRESSION, Split
from ...tasks.split_files import SPLITS
from ...training.classifier import average_strands, average_strands_metrics, classifier_trainer, scores_of
from ...training.encoded_sequences import EncodedCollator, EncodedSequences, encode_sequences
from ...training.positions import limit_tokenizer
from ...training.task_data import EpochCallback, TaskCollator, TaskSequences
from .classifiers import build_classifier, count_flops, count_parameters
from .prepare import PreparedModel
from .scoring import predictions_of, rounded
from .tasks import TaskData


logger = logging.getLogger(__name__)

_STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)  # inverse regularization of the probe on token frequencies, tried on dev


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

    def __init__(self, limit: int = 1 << 30):
        self.limit, self._kept, self._cuts = limit, OrderedDict(), {}

    def get(
        self,
        prepared: PreparedModel,
        task: TaskData,
        split: str,
        strand: int,
        max_length: int | None,
        cuts: list[Cut] | None = None,
    ) -> list[np.ndarray]:
        """Ids of a split, of the given strand (0) or the other one (1).

        Args:
            max_length: bases to keep of each sequence; all when None.
            cuts: takes what the tokenizer cuts further.
        """
        sequences = getattr(task, split).sequences
        if max_length is not None and max(map(len, sequences)) <= max_length:
            max_length = None  # which cuts nothing: the same ids as without it
        key = (prepared.entry.name, task.name, split, strand, max_length, prepared.tokenizer.model_max_length)
        if key not in self._kept:
            found: list[Cut] = []
            if max_length is not None:  # cut first: both strands are of the same bases
                sequences = [sequence[:max_length] for sequence in sequences]
            if strand:
                sequences = [other_strand(sequence) for sequence in sequences]
            self._kept[key] = encode_sequences(prepared.tokenizer, sequences, split=split, cuts=found)
            self._cuts[key] = found
            while self._size() > self.limit and len(self._kept) > 1:
                del self._cuts[self._kept.popitem(last=False)[0]]
        self._kept.move_to_end(key)
        if cuts is not None:
            cuts += self._cuts[key]
        return self._kept[key]

    def _size(self) -> int:
        return sum(ids.nbytes for rows in self._kept.values() for ids in rows)


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
    known = {name: value for name, value in {**defaults, **options}.items() if name not in ("kmers", "strands")}
    arguments = FinetuneArguments(data=task.name, model="", output=str(work), mode=mode, seed=seed, **known)
    if mode == "linear":
        return _probe(task, prepared, arguments, encodings)
    return _train(task, prepared, arguments, work, encodings)


def _train(task: TaskData, prepared: PreparedModel, arguments: FinetuneArguments, work: Path, encodings) -> Outcome:
    processes = PartialState().num_processes
    if arguments.batch_size % processes:
        raise ValueError(f"A batch of {arguments.batch_size} cannot be shared by {processes} processes; change one.")
    arguments.batch_size //= processes
    model = build_classifier(prepared, task, arguments)
    sizes = {"parameters": count_parameters(model), "flops": count_flops(model, prepared)}
    seed = arguments.seed if arguments.rc_augment else None
    strands = 2 if arguments.strand_average else 1
    cuts: list[Cut] = []
    note_cut(cuts, "train", map(len, task.train.sequences), arguments.max_length)
    limit_tokenizer(prepared.tokenizer, model)
    if arguments.mode == "end-to-end" and prepared.is_vqdna:
        train = TaskSequences(_nucleotides(task.train), arguments.max_length, seed)
        dev, test = (TaskSequences(_nucleotides(getattr(task, name), strands)) for name in ("dev", "test"))
        collator = TaskCollator()
    else:

        def encoded(split: str, strand: int, max_length: int | None = None):
            return encodings.get(prepared, task, split, strand, max_length, None if strand else cuts)

        other = encoded("train", 1, arguments.max_length) if arguments.rc_augment else None
        train = EncodedSequences(encoded("train", 0, arguments.max_length), task.train.labels, other, seed)
        dev, test = (
            EncodedSequences(
                [ids for strand in range(strands) for ids in encoded(name, strand)],
                np.concatenate([getattr(task, name).labels] * strands),
            )
            for name in ("dev", "test")
        )
        collator = EncodedCollator(prepared.tokenizer.pad_token_id)
    trainer = classifier_trainer(
        arguments,
        model,
        work,
        task.metric,
        train=train,
        dev=dev,
        collator=collator,
        compute_metrics=average_strands_metrics(task.problem_type, strands),
        callbacks=[EpochCallback(train)],
        quiet=True,
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(work))
    dev_scores = scores_of(trainer.evaluate(), "eval_", task.problem_type)
    logits = average_strands(trainer.predict(test).predictions, strands)
    return Outcome(
        dev_scores,
        predictions_of(logits, task.problem_type),
        sizes | cut_records(cuts),
        {"epoch": _best_epoch(trainer, task.metric)},
    )


def _best_epoch(trainer, metric: str) -> float:
    evaluations = [one for one in trainer.state.log_history if f"eval_{metric}" in one]
    return max(evaluations, key=lambda one: one[f"eval_{metric}"])["epoch"]


def _nucleotides(split: Split, strands: int = 1):
    sequences = [*split.sequences, *(other_strand(s) for s in split.sequences if strands == 2)]
    rows = [bases_to_ids(sequence) for sequence in sequences]
    return Dataset.from_dict({"nucleotide_ids": rows, "labels": np.concatenate([split.labels] * strands)})


# what needs no training of a network


def _probe(task: TaskData, prepared: PreparedModel, arguments: FinetuneArguments, encodings: Encodings) -> Outcome:
    """The paper's linear probe: on the mean of the code vectors, or on the frequencies of hand-made tokens."""
    cuts: list[Cut] = []
    note_cut(cuts, "train", map(len, task.train.sequences), arguments.max_length)
    if prepared.is_vqdna:
        probe, rows = fit_probe(prepared.tokenizer.codec, task, arguments.strand_average, arguments.max_length)
        dev, predictions = (
            predictions_of(probe.logits(rows[name]["nucleotide_ids"]), task.problem_type) for name in ("dev", "test")
        )
        return _probe_outcome(task, dev, predictions, probe.weight.size + probe.bias.size, {}, cuts)
    size = len(prepared.tokenizer)
    features = {
        name: token_frequencies(
            encodings.get(prepared, task, name, 0, arguments.max_length if name == "train" else None, cuts),
            *(size, prepared.tokenizer),
        )
        for name in SPLITS
    }
    best = None
    for strength in _STRENGTHS:
        linear = (
            Ridge(alpha=1 / strength)
            if task.problem_type == REGRESSION
            else LogisticRegression(C=strength, max_iter=2000)
        )
        model = make_pipeline(MaxAbsScaler(), linear).fit(features["train"], task.train.labels)
        dev = model.predict(features["dev"])
        score = compute_scores(dev, task.dev.labels, metric=task.metric, problem_type=task.problem_type)[task.metric]
        if best is None or score > best[0]:
            best = (score, model, dev, strength, linear.coef_.size)
    return _probe_outcome(task, best[2], best[1].predict(features["test"]), best[4], {"strength": best[3]}, cuts)


def fit_probe(
    codec, task: TaskData, strand_average: bool = False, max_length: int | None = None
) -> tuple[LinearProbe, dict[str, Dataset]]:
    """The linear probe of a learned vocabulary on mean code vectors, and the rows of each split as it takes them."""
    info = TaskInfo(task.name, task.problem_type, task.num_labels, task.counts, (0, 0, 0))
    splits = {name: getattr(task, name) for name in SPLITS}
    splits["train"] = Split([sequence[:max_length] for sequence in task.train.sequences], task.train.labels)
    rows = {name: _nucleotides(split).with_format("numpy") for name, split in splits.items()}
    pooling = {"pooling": "mean", "pooling_bins": 1, "strand_average": strand_average}
    return LinearProbe.fit(codec, rows["train"], rows["dev"], info, task.metric, **pooling), rows


def _probe_outcome(task: TaskData, dev, predictions, parameters: int, chosen: dict, cuts: list[Cut]) -> Outcome:
    scores = rounded(compute_scores(dev, task.dev.labels, problem_type=task.problem_type))
    sizes = {"parameters": {"trained": parameters}, "flops": None, **cut_records(cuts)}
    return Outcome(scores, predictions, sizes, chosen)


def token_frequencies(rows: list[np.ndarray], size: int, tokenizer):
    """How often each token occurs in each row, as a share: a sparse matrix of shape `(rows, size)`."""
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    lengths = [len(row) for row in rows]
    columns = np.concatenate(rows)
    places = np.repeat(np.arange(len(rows)), lengths)
    kept = ~np.isin(columns, list(special))
    counts = csr_matrix((np.ones(kept.sum()), (places[kept], columns[kept])), shape=(len(rows), size))
    return counts.multiply(1 / np.maximum(counts.sum(axis=1), 1)).tocsr()


def _kmer_regression(task: TaskData, seed: int, options: dict) -> Outcome:
    known = {name: options[name] for name in ("kmers", "strands") if name in options}
    if "kmers" in known:
        known["kmers"] = tuple(known["kmers"])
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
    dev, predictions = model.predict(task.dev.sequences), model.predict(task.test.sequences)
    scores = rounded(compute_scores(dev, task.dev.labels, problem_type=task.problem_type))
    return Outcome(scores, predictions, {"parameters": {"trained": int(model.parameters)}, "flops": None}, {})
