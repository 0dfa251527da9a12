"""Variants of SARS-CoV-2 as a classification, from the consensus genomes of Pango lineages: the subject of Figure 5.

The paper's own data set comes from GISAID and may not be passed on. Here the classes are made of public consensus
genomes, one per lineage, aligned to the reference ('-' where bases are deleted).

Genomes of one virus are nearly copies of each other, so a split of rows at random would ask for what was seen. Two
things are kept apart instead:

* **Positions.** The alignment is cut into ten blocks, six for train and two each for dev and test, and a window lies
  in one block. No position of the genome is in two splits.
* **Lineages.** A lineage is in one split only where its class has three or more. A class of two shares one between dev
  and test. A class of one (Eta, Iota, Kappa, Zeta) has nothing to keep apart: its test rows are other positions of the
  genome that is in train.

A class's mutations sit at positions, so those of test are never in train, whatever the lineage. What can be learned is
what *all* positions of a genome share, such as a drift of its composition, and that is next to nothing: scores near
chance are the expected result, and a higher one would be news.

`hold_out="lineages"` lets positions be shared, which is closer to the paper's task, where the same positions of other
isolates are in train. A class of one lineage then has train rows only, and many a test row is the copy of a train row,
which is counted (`test_rows_in_train`).

Most windows hold no mutation that tells their class, so that windows of different classes are equal base for base.
`best_possible_scores` says how far that holds every classifier down.

All coordinates are columns of the alignment, 0-based and half-open.
"""

import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import get_args

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from ..arguments.analysis import HoldOut
from ..arguments.training import SINGLE_LABEL
from ..data.fasta import FastaError, fasta_records, open_fasta
from .load import LoadedTask
from .rows import Split
from .split_files import SPLITS


# class -> the lineages it stands for, each with all below it; Q and AY are aliases of the long names before them
CLASSES = {
    "Alpha": ("B.1.1.7", "Q"),
    "Beta": ("B.1.351",),
    "Delta": ("B.1.617.2", "AY"),
    "Eta": ("B.1.525",),
    "Gamma": ("P.1",),
    "Iota": ("B.1.526",),
    "Kappa": ("B.1.617.1",),
    "Lambda": ("C.37",),
    "Zeta": ("P.2",),
}
HOLD_OUT = get_args(HoldOut)
_NOTES = {
    "positions": "No position of the genome is in two splits, and no lineage where its class has three or more. "
    "Mutations sit at positions, so that a class's mutations in test are never those in train; a class of one "
    "lineage even has the same genome in all splits, at other positions. What can be learned is what all positions "
    "of a genome share, which is next to nothing: a score near chance is what is expected here.",
    "lineages": "No lineage is in two splits, but positions are: the mutations of a class can be learned.",
}
# which split each tenth of the alignment belongs to
_BLOCKS = ("train", "dev", "train", "test", "train", "train", "dev", "train", "test", "train")
_STEPS = 9  # windows overlap: one starts every ninth of a window


def class_of(lineage: str) -> str | None:
    """The class of a Pango lineage, or None. Example: `"AY.4.2"` -> `"Delta"`, `"P.10"` -> `None`"""
    for name, roots in CLASSES.items():
        if any(lineage == root or lineage.startswith(f"{root}.") for root in roots):
            return name
    return None


def read_lineages(path: str | PathLike) -> dict[str, dict[str, str]]:
    """The aligned genomes of each class.

    Args:
        path: FASTA named by lineage (first word of a header), plain or compressed, as `read_fasta` takes it.

    Returns:
        class -> lineage -> aligned letters, upper case, all of one length; classes in the order of `CLASSES`, only
        those that occur.

    Raises:
        FastaError: as `read_fasta`, but for '-', which is a gap; genomes of different lengths, which are not aligned;
            a genome of gaps alone; genomes of fewer than two classes.
    """
    path, found, first = Path(path), {name: {} for name in CLASSES}, None
    with open_fasta(path) as content:
        records = [
            (name, lineage, letters.upper())
            for lineage, letters in fasta_records(content, path)
            if (name := class_of(lineage))
        ]
    for name, lineage, sequence in records:
        first = first or (lineage, len(sequence))
        if len(sequence) != first[1]:
            raise FastaError(
                f"{path} is no alignment: {lineage} has {len(sequence)} columns and {first[0]} has {first[1]}. Align "
                "the genomes to the reference, with '-' for deleted bases."
            )
        wrong = re.search("[^ACGTUNRYSWKMBDHV-]", sequence)
        if wrong:
            raise FastaError(
                f"Record {lineage} of {path} has {wrong[0]!r} at column {wrong.start()} (0-based), which is neither a "
                "nucleotide nor a gap ('-')."
            )
        if not sequence.strip("-"):
            raise FastaError(f"Record {lineage} of {path} has no base, only gaps ('-'). Leave it out.")
        found[name][lineage] = sequence
    found = {name: genomes for name, genomes in found.items() if genomes}
    if len(found) < 2:
        raise FastaError(
            f"{path} has lineages of {' and '.join(found) or 'no class'}, but two classes or more are needed. Its "
            "records should be named by Pango lineage: B.1.1.7, B.1.351, AY.4, P.1, ..."
        )
    return found


def load_sarscov2(
    path: str | PathLike,
    window: int = 999,
    per_class: int | None = None,
    hold_out: str = "positions",
    seed: int = 0,
) -> tuple[DatasetDict, dict]:
    """Windows of genomes, labelled by class, in splits that share no position (see above).

    Args:
        path: as for `read_lineages`.
        window: columns of a window; its deleted bases are left out, so that a row may be shorter.
        per_class: most windows of a class in one split, drawn at random; as many as the smallest class has there when
            not given, which balances the classes.
        hold_out: "positions" (and lineages, where the class has several), or "lineages" alone.
        seed: of the lineages' splits and of the windows drawn.

    Returns:
        `DatasetDict` of `train`, `dev` and `test` with `sequence`, `label` (`ClassLabel`), `lineage` and `start` (the
        window's first column), and what was done: `columns`, `window`, `hold_out`, `note` (what can be learned then),
        `blocks` (columns of each split), `lineages` and `rows` (of each split and class), `missing` (classes without
        rows in test), `deleted` (columns left out because their base is deleted), and `test_rows_in_train` (rows whose
        sequence is in train).

    Raises:
        FastaError: as `read_lineages`; an alignment too short for windows in ten blocks; with `hold_out="lineages"`,
            no class of three lineages or more, so that nothing is left for dev.
        ValueError: a window or a number of rows below 1, or another `hold_out`.
    """
    if hold_out not in HOLD_OUT:
        raise ValueError(f"hold_out is {hold_out!r}, but it must be {' or '.join(map(repr, HOLD_OUT))}.")
    if window < 1 or (per_class is not None and per_class < 1):
        raise ValueError(f"window is {window} and per_class is {per_class}, but neither can be below 1.")
    genomes, rng = read_lineages(path), np.random.default_rng(seed)
    columns = len(next(iter(next(iter(genomes.values())).values())))
    blocks = _blocks(columns, window, Path(path))
    places = {split: blocks[split] if hold_out == "positions" else sum(blocks.values(), []) for split in SPLITS}
    shares = {name: _split_lineages(list(lineages), hold_out, rng) for name, lineages in genomes.items()}
    if not any(share["dev"] for share in shares.values()):
        raise FastaError(
            f"{path} has no class of three lineages or more, and with hold_out={hold_out!r} nothing would be left for "
            "dev. Give genomes of more lineages, or hold out positions."
        )
    rows: dict[str, list] = {split: [] for split in SPLITS}
    for split in SPLITS:
        starts = [s for start, end in places[split] for s in _starts(start, end, window)]
        pairs = {
            name: [(lineage, start) for lineage in share[split] for start in starts] for name, share in shares.items()
        }
        limit = per_class or min(len(all_of) for all_of in pairs.values() if all_of)
        for label, (name, all_of) in enumerate(pairs.items()):
            drawn = rng.permutation(len(all_of))[:limit]
            rows[split] += [(*all_of[i], label, genomes[name][all_of[i][0]]) for i in sorted(drawn)]
    dataset = DatasetDict({split: _to_dataset(rows[split], window, list(genomes)) for split in SPLITS})
    known = set(dataset["train"]["sequence"])
    report = {
        "columns": columns,
        "window": window,
        "hold_out": hold_out,
        "note": _NOTES[hold_out],
        "blocks": {split: [list(block) for block in places[split]] for split in SPLITS},
        "lineages": {name: {split: len(share[split]) for split in SPLITS} for name, share in shares.items()},
        "missing": [name for name, share in shares.items() if not share["test"]],
        "rows": {split: _count(dataset[split]["label"], list(genomes)) for split in SPLITS},
        "deleted": sum(row[3][row[1] : row[1] + window].count("-") for part in rows.values() for row in part),
        "test_rows_in_train": sum(sequence in known for sequence in dataset["test"]["sequence"]),
    }
    return dataset, report


def read_sarscov2(path: str | PathLike, **settings) -> tuple[LoadedTask, dict]:
    """As `load_sarscov2`, the rows as those of any other task."""
    dataset, report = load_sarscov2(path, **settings)
    splits = {split: Split(list(part["sequence"]), np.asarray(part["label"])) for split, part in dataset.items()}
    classes = tuple(report["rows"]["train"])
    name, facts = "SARS-CoV-2 lineages", {"metric": "f1", "classes": classes}
    return LoadedTask.of(splits, name, SINGLE_LABEL, len(classes), **facts), report


def _blocks(columns: int, window: int, path: Path) -> dict[str, list[tuple[int, int]]]:
    edges = [columns * i // len(_BLOCKS) for i in range(len(_BLOCKS) + 1)]
    if columns // len(_BLOCKS) < window:
        raise FastaError(
            f"{path} has {columns} columns, and a tenth of them holds no window of {window}. Give whole genomes, or "
            f"windows of {columns // len(_BLOCKS)} at most."
        )
    spans = list(zip(edges, edges[1:]))
    return {split: [span for span, owner in zip(spans, _BLOCKS) if owner == split] for split in SPLITS}


def _starts(start: int, end: int, window: int) -> range:
    return range(start, end - window + 1, max(1, window // _STEPS))


def _count(labels: Sequence[int], classes: list[str]) -> dict[str, int]:
    return dict(zip(classes, np.bincount(np.asarray(labels), minlength=len(classes)).tolist()))


def _split_lineages(lineages: list[str], hold_out: str, rng: np.random.Generator) -> dict[str, list[str]]:
    """The lineages of each split; a class that has too few shares one where positions keep its rows apart."""
    order = [lineages[i] for i in rng.permutation(len(lineages))]
    apart = hold_out == "positions"
    if len(order) == 1:
        return {"train": order, "dev": order if apart else [], "test": order if apart else []}
    if len(order) == 2:
        return {"train": order[:1], "dev": order[1:] if apart else [], "test": order[1:]}
    few = max(1, len(order) // 5)
    return {"dev": order[:few], "test": order[few : 2 * few], "train": order[2 * few :]}


def _to_dataset(rows: list, window: int, classes: list[str]) -> Dataset:
    """Rows of lineage, start, label and genome as a data set; gaps are taken out, and rows of gaps alone left out."""
    columns = {
        "sequence": [genome[start : start + window].replace("-", "") for _, start, _, genome in rows],
        "label": [label for _, _, label, _ in rows],
        "lineage": [lineage for lineage, _, _, _ in rows],
        "start": [start for _, start, _, _ in rows],
    }
    kept = [i for i, sequence in enumerate(columns["sequence"]) if sequence]
    kinds = {"sequence": Value("string"), "label": ClassLabel(names=classes)}
    features = Features(kinds | {"lineage": Value("string"), "start": Value("int64")})
    return Dataset.from_dict({name: [values[i] for i in kept] for name, values in columns.items()}, features=features)


def best_possible_scores(sequences: Sequence[str], labels: Sequence[int]) -> dict:
    """What a classifier can reach at best on rows of which some are equal but for their label.

    A classifier gives equal sequences one answer. The best accuracy follows at once: the most frequent label of every
    sequence. The best macro-F1 is bracketed: `macro_f1_at_most` takes the best answers for each class by itself, which
    no single set of answers need reach; `macro_f1_reached` is that of answers found by changing one at a time.

    Args:
        sequences, labels: the rows of a split, or anything hashable and its classes.

    Returns:
        `rows`, `shared_rows` (rows whose sequence also has another label), `copies` (rows beyond the first of their
        sequence and label), `accuracy`, `macro_f1_at_most`, `macro_f1_reached`.

    Example: sequences A, A, B, C with labels 0, 1, 0, 1 have an accuracy of 0.75 at best.
    """
    classes, labels = np.unique(np.asarray(labels), return_inverse=True)
    names: dict = {}
    group = np.array([names.setdefault(sequence, len(names)) for sequence in sequences])
    counts = np.zeros((len(names), len(classes)), dtype=np.int64)
    np.add.at(counts, (group, labels), 1)
    shared = (counts > 0).sum(axis=1) > 1
    return {
        "rows": len(labels),
        "shared_rows": int(counts[shared].sum()),
        "copies": int(len(labels) - np.count_nonzero(counts)),
        "accuracy": float(counts.max(axis=1).sum() / len(labels)),
        "macro_f1_at_most": float(np.mean([_best_f1(counts, c) for c in range(len(classes))])),
        "macro_f1_reached": _reached_f1(counts, shared),
    }


def _best_f1(counts: np.ndarray, c: int) -> float:
    """The best F1 of one class: its sequences are answered in the order of the class's share, down to some share."""
    sizes = counts.sum(axis=1)
    order = np.argsort(-counts[:, c] / sizes, kind="stable")
    hits, answered = np.cumsum(counts[order, c]), np.cumsum(sizes[order])
    return float((2 * hits / (answered + counts[:, c].sum())).max())


def _reached_f1(counts: np.ndarray, shared: np.ndarray) -> float:
    """The macro-F1 of the most frequent answers, improved by changing one answer at a time until none helps."""
    answers, sizes, totals = counts.argmax(axis=1), counts.sum(axis=1), counts.sum(axis=0)
    hits, answered = np.zeros_like(totals), np.zeros_like(totals)
    np.add.at(hits, answers, counts.max(axis=1))
    np.add.at(answered, answers, sizes)

    def move(i: int, c: int) -> float:
        old, answers[i] = answers[i], c
        hits[old], answered[old] = hits[old] - counts[i, old], answered[old] - sizes[i]
        hits[c], answered[c] = hits[c] + counts[i, c], answered[c] + sizes[i]
        return float(np.mean(2 * hits / (answered + totals)))

    best, improved = float(np.mean(2 * hits / (answered + totals))), True
    while improved:
        improved = False
        for i in np.flatnonzero(shared):
            for c in np.flatnonzero(counts[i]):
                before = answers[i]
                score = move(i, c)
                if score > best + 1e-12:
                    best, improved = score, True
                else:
                    move(i, before)
    return best
