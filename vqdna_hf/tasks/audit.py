"""What is wrong with a dataset before a model sees it: copies, contradictions, overlap and shortcuts.

Two sequences are the same if their letters are, in upper case and with every IUPAC letter but A, C, G, T as N. A
reverse complement is always counted apart from an exact copy.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..arguments.data import AuditArguments
from ..arguments.training import REGRESSION
from ..data.strands import other_strand
from ..metrics import compute_scores
from ..modeling.nucleotides_vqdna import bases_to_ids, ids_to_bases
from ..runs.files import write_json
from .catalogue import list_tasks
from .kmers import share_kmers
from .load import find_directory, find_task, read_task
from .rows import Split
from .split_files import SPLITS


logger = logging.getLogger(__name__)

# which split's rows are looked for in which
_PAIRS = (("test", "train"), ("dev", "train"), ("test", "dev"))


def read_splits(splits: Mapping[str, Mapping]) -> dict[str, Split]:
    """The rows of a `DatasetDict` of `sequence` and `label`, in upper case.

    Raises:
        ValueError: a split but `train`, `dev` and `test`; no rows; several labels a row.
    """
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise ValueError(f"The splits are {', '.join(splits) or 'none'}, but they must be among {', '.join(SPLITS)}.")
    found = {}
    for split in SPLITS:
        if split in splits:
            sequences = [ids_to_bases(bases_to_ids(sequence)) for sequence in splits[split]["sequence"]]
            labels = np.asarray(list(splits[split]["label"]))
            if not sequences or labels.shape != (len(sequences),):
                raise ValueError(
                    f"{split} has {len(sequences)} sequences and labels of shape {labels.shape}, but one label a row "
                    "is needed."
                )
            found[split] = Split(sequences, labels)
    return found


def _either_strand(sequence: str) -> str:
    """One name for a sequence and its reverse complement."""
    return min(sequence, other_strand(sequence))


# copies


def count_copies(rows: dict[str, Split]) -> dict[str, dict[str, dict[str, int]]]:
    """Copies within each split and across splits.

    Returns:
        `within`, for each split: `exact`, the rows beyond the first of their sequence; `reverse_complement`, the
        further sequences that are the reverse complement of another one. `across`, for each pair as in "test in
        train": rows whose sequence is in the other split (`exact`), and rows of which only the reverse complement is.
    """
    within = {}
    for split, part in rows.items():
        sequences = set(part.sequences)
        merged = {_either_strand(sequence) for sequence in sequences}
        within[split] = {
            "exact": len(part.sequences) - len(sequences),
            "reverse_complement": len(sequences) - len(merged),
        }
    across = {}
    for split, other in _PAIRS:
        if split in rows and other in rows:
            known = set(rows[other].sequences)
            exact = [sequence in known for sequence in rows[split].sequences]
            reverse = [not same and other_strand(s) in known for s, same in zip(rows[split].sequences, exact)]
            across[f"{split} in {other}"] = {"exact": sum(exact), "reverse_complement": sum(reverse)}
    return {"within": within, "across": across}


def count_contradictions(rows: dict[str, Split]) -> dict:
    """Sequences that occur with different labels.

    Returns:
        `within`, the number of such sequences in each split; `sequences` and `rows`, over all splits together;
        `reverse_complement`, the sequences whose labels differ only if their reverse complement counts as the same.
    """
    within = {split: len(_contradictory({split: part}, str)) for split, part in rows.items()}
    exact, merged = _contradictory(rows, str), _contradictory(rows, _either_strand)
    total = sum(sequence in exact for part in rows.values() for sequence in part.sequences)
    by_strand = merged - {_either_strand(sequence) for sequence in exact}
    return {"within": within, "sequences": len(exact), "rows": total, "reverse_complement": len(by_strand)}


def _contradictory(rows: dict[str, Split], name) -> set[str]:
    """The names of sequences (as `name` gives them) that have more than one label."""
    labels: dict[str, float] = {}
    found = set()
    for part in rows.values():
        for sequence, label in zip(map(name, part.sequences), part.labels.tolist()):
            if labels.setdefault(sequence, label) != label:
                found.add(sequence)
    return found


def clean_test_rows(splits: Mapping[str, Mapping], kmer: int | None = None) -> np.ndarray:
    """Which rows of test a model can be scored on as if the splits had been made with care.

    A clean row's sequence, on either strand, is not in train or dev, is the first of its copies in test, and has one
    label in test.

    Args:
        splits: `DatasetDict` of `sequence` and `label`, as `load_task` gives it.
        kmer: with a length, a clean row has no k-mer in common with train either.

    Returns:
        `np.ndarray` of `bool`, shape `(test rows,)`.

    Raises:
        ValueError: there is no test split, or as `read_splits`.
    """
    rows = read_splits(splits)
    if "test" not in rows:
        raise ValueError(f"There is no test split, only {', '.join(rows)}.")
    clean = _deduplicated(rows)
    if kmer is not None and "train" in rows:
        clean &= ~share_kmers(rows["test"].sequences, rows["train"].sequences, kmer)
    return clean


def _deduplicated(rows: dict[str, Split]) -> np.ndarray:
    seen = {_either_strand(s) for split in ("train", "dev") if split in rows for s in rows[split].sequences}
    seen |= _contradictory({"test": rows["test"]}, _either_strand)
    clean = np.zeros(len(rows["test"].sequences), dtype=bool)
    for row, sequence in enumerate(map(_either_strand, rows["test"].sequences)):
        clean[row] = sequence not in seen
        seen.add(sequence)
    return clean


# overlap and shortcuts


def shortcut_scores(rows: dict[str, Split], metric: str, problem_type: str) -> dict[str, float]:
    """Scores on test of predictors that cannot read a sequence, fitted on train; `{}` without either split.

    `majority` gives every row the same answer. `length` and `composition` are a logistic regression (ridge, for a
    regression) on the length and its logarithm, and on the shares of A, C, G and T and the square of G and C's.
    """
    if not {"train", "test"} <= set(rows):
        return {}
    train, test = rows["train"], rows["test"]
    regression = problem_type == REGRESSION
    constant = DummyRegressor() if regression else DummyClassifier(strategy="most_frequent")
    scores = {}
    for name, features in (("majority", None), ("length", _length), ("composition", _composition)):
        model = constant
        if features is not None and np.unique(train.labels).size > 1:
            model = make_pipeline(StandardScaler(), Ridge() if regression else LogisticRegression(max_iter=1000))
        inputs = [(features or _length)(part.sequences) for part in (train, test)]
        predictions = model.fit(inputs[0], train.labels).predict(inputs[1])
        scores[name] = compute_scores(predictions, test.labels, metric, problem_type)[metric]
    return scores


def _length(sequences: list[str]) -> np.ndarray:
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.float64)
    return np.stack([lengths, np.log(lengths)], axis=1)


def _composition(sequences: list[str]) -> np.ndarray:
    counts = np.array([[sequence.count(base) for base in "ACGT"] for sequence in sequences], dtype=np.float64)
    shares = counts / np.array([len(sequence) for sequence in sequences])[:, None]
    return np.column_stack([shares, (shares[:, 1] + shares[:, 2]) ** 2])


# the report


def audit_task(
    splits: Mapping[str, Mapping], metric: str, problem_type: str, kmer: int = 31, name: str = "the dataset"
) -> dict:
    """Everything above for one dataset, as plain values.

    Returns:
        `task`, `metric`, `rows` and `lengths` (the shortest and longest sequence) of each split, `copies`,
        `contradictions`, `overlap`, `shortcuts`, and `clean_test_rows`: 0-based row numbers, `deduplicated` and, of
        those, `without_shared_kmers`.

    Raises:
        ValueError: as `read_splits`.
    """
    rows = read_splits(splits)
    lengths = {split: [len(sequence) for sequence in part.sequences] for split, part in rows.items()}
    splits = [split for split in ("dev", "test") if split in rows and "train" in rows]
    overlap = {split: share_kmers(rows[split].sequences, rows["train"].sequences, kmer) for split in splits}
    clean = {"deduplicated": _deduplicated(rows)} if "test" in rows else {}
    if "test" in overlap:
        clean["without_shared_kmers"] = clean["deduplicated"] & ~overlap["test"]
    return {
        "task": name,
        "metric": metric,
        "rows": {split: len(part.sequences) for split, part in rows.items()},
        "lengths": {split: [min(values), max(values)] for split, values in lengths.items()},
        "classes": {
            split: {str(label): count for label, count in sorted(Counter(part.labels.tolist()).items())}
            for split, part in rows.items()
            if problem_type != REGRESSION
        },
        "copies": count_copies(rows),
        "contradictions": count_contradictions(rows),
        "kmer": kmer,
        "overlap": {
            split: {
                "rows": int(found.sum()),
                "share": float(found.mean()),
                "shorter_than_k": sum(length < kmer for length in lengths[split]),
            }
            for split, found in overlap.items()
        },
        "shortcuts": shortcut_scores(rows, metric, problem_type),
        "clean_test_rows": {kind: np.flatnonzero(kept).tolist() for kind, kept in clean.items()},
    }


def format_report(report: dict) -> str:
    """The report in words, one finding a line."""
    missing = [split for split in SPLITS if split not in report["rows"]]
    lines = [f"{report['task']}: " + ", ".join(f"{count} {split}" for split, count in report["rows"].items())]
    lines[0] += f" (no {' and no '.join(missing)})" if missing else ""
    copies, contradictions, test = report["copies"], report["contradictions"], report["rows"].get("test")
    for split, count in copies["within"].items():
        lines.append(f"  copies within {split}: {_both(count)}")
    for pair, count in copies["across"].items():
        lines.append(f"  rows of {pair}: {_both(count)}")
    lines.append(
        f"  sequences with different labels: {contradictions['sequences']} in {contradictions['rows']} rows, and "
        f"{contradictions['reverse_complement']} by the other strand"
    )
    for split, shared in report["overlap"].items():
        short = f"; {shared['shorter_than_k']} rows are shorter" if shared["shorter_than_k"] else ""
        share = f"{shared['rows']} ({shared['share']:.1%})"
        lines.append(f"  {split} rows with a {report['kmer']}-mer of train: {share}{short}")
    if report["shortcuts"]:
        scores = ", ".join(f"{name} {score:.3f}" for name, score in report["shortcuts"].items())
        lines.append(f"  {report['metric']} on test without reading it: {scores}")
    for kind, kept in report["clean_test_rows"].items():
        lines.append(f"  clean test rows, {kind.replace('_', ' ')}: {len(kept)} of {test}")
    return "\n".join(lines)


def _both(count: dict[str, int]) -> str:
    return f"{count['exact']}, and {count['reverse_complement']} as the reverse complement"


def audit(arguments: AuditArguments) -> list[dict]:
    """Print and return the report of each dataset, and write them to `--output`.

    Raises:
        ValueError: no dataset is named or found, or one cannot be read (`TaskDataError`).
    """
    names = list(arguments.task)
    if not names and arguments.data_dir:
        names = [task.name for task in list_tasks() if find_directory(task, arguments.data_dir)]
    if not names:
        raise ValueError(
            f"There is nothing to audit in {arguments.data_dir}: no dataset of the catalogue is there."
            if arguments.data_dir
            else "Name a dataset (`vqdna tasks` lists them), a directory, or a --data-dir."
        )
    reports = []
    for name in names:
        task = read_task(find_task(name, arguments.data_dir), arguments.data_dir, check="warn")
        splits = {
            split: {"sequence": rows.sequences, "label": rows.labels.tolist()} for split, rows in task.splits.items()
        }
        reports.append(audit_task(splits, task.metric, task.problem_type, arguments.kmer, name))
        print(format_report(reports[-1]))
    if arguments.output:
        write_json(Path(arguments.output), reports, indent=1)
        logger.info("The reports, with the numbers of the clean test rows, are in %s", arguments.output)
    return reports
