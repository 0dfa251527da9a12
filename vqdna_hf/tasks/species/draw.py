"""Species classification (Table 6 of the paper, HyenaDNA's task): of which genome is this window?

Windows are drawn as coordinates first, which is cheap, and their bases are read in a second pass over the FASTA files,
one contig at a time, straight into an Arrow file on disk: neither a genome nor the windows (a thousand of a million
bases are a gigabyte) have to fit into memory. The coordinates stay beside the sequences.

Splits are by contig: no contig gives windows to two of them. Positions are 0-based and half-open, in bases.
"""

import json
import logging
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from tqdm.auto import tqdm

from ...data.fasta import FastaError, read_fasta
from ...data.input_files import PACKED_SUFFIXES, check_file
from ...modeling.nucleotides_vqdna import ids_to_bases, reverse_complement
from ..split_files import SPLITS, TaskDataError
from .windows import Stretch, assign_splits, count_room, draw_windows, scan_genome


logger = logging.getLogger(__name__)

# HyenaDNA's split of human, lemur, mouse, pig and hippo; the other chromosomes are train's
HYENADNA_DEV_CONTIGS = ("1", "3", "12", "13")
HYENADNA_TEST_CONTIGS = ("5", "7", "9", "10", "11")
MAX_LENGTH = 1_000_000
FASTA_NAMES = ".fa, .fasta, .fna, also compressed"
FASTA_SUFFIXES = tuple(name + packed for name in (".fa", ".fasta", ".fna") for packed in ("", *PACKED_SUFFIXES))
# bases held at a time when sequences are written
_BATCH_BASES = 2**25


@dataclass(frozen=True)
class SpeciesPlan:
    """The windows of a task before their bases are read.

    Attributes:
        windows: a row each, in the order of the files: `split`, `species`, `label`, `contig`, `start`, `end`,
            `strand`, `path` and `record`.
        info: plain values, which `task.json` holds: `classes` (the names of labels 0, 1, ...), how the windows were
            drawn, and for every species `split_by` ("contig" or "stretch"), `contigs` (those that give windows to each
            split), `coverage` (bases of the windows over those of the disjoint windows that fit) and `overlapping`
            (held-out splits whose windows overlap).
    """

    windows: pd.DataFrame
    info: dict


def species_task(
    genomes: str | PathLike | Mapping[str, str | PathLike | Sequence[str | PathLike]],
    length: int,
    *arguments: object,
    cache_dir: str | PathLike | None = None,
    **settings: object,
) -> DatasetDict:
    """Draw windows from genomes, as many of each, with the species as the class.

    Args:
        genomes, length, arguments, settings: as for `plan_species_task`.
        cache_dir: where the Arrow file is kept; the Hugging Face cache by default.

    Returns:
        `DatasetDict` of train, dev and test, on disk and in random order, with `sequence` (upper case; IUPAC letters
        as N), `label`, `species`, `contig`, `start`, `end` and `strand` ("-": `sequence` is the reverse complement).
        `info.description` of each is `SpeciesPlan.info` as JSON.

    Raises:
        TaskDataError, FastaError, ValueError: as `plan_species_task`.
    """
    return read_windows(plan_species_task(genomes, length, *arguments, **settings), cache_dir)


def plan_species_task(
    genomes: str | PathLike | Mapping[str, str | PathLike | Sequence[str | PathLike]],
    length: int,
    rows_per_class: int | Mapping[str, int] = 1000,
    seed: int = 0,
    dev_contigs: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    test_contigs: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    random_strand: bool = False,
    max_unknown: float = 0.05,
    max_coverage: float = 4.0,
    progress: bool = True,
) -> SpeciesPlan:
    """The windows that `species_task` reads: their coordinates and how they were drawn.

    Every species' contigs are split among train, dev and test (`assign_splits`). A species with too few contigs that
    hold a window, for example a bacterium's one chromosome, is cut into stretches at least `length` bases apart; a
    warning says so. Windows of dev and test do not overlap unless too few fit; those of train may.

    Args:
        genomes: FASTA files or folders of them by class name; or a directory that has a file or a folder per species.
        length: bases of a window, up to 1,000,000.
        rows_per_class: windows of each species, for each split; one number is train's, with a tenth for dev and test.
        seed: of the windows and strands. The contigs of a split do not depend on it.
        dev_contigs, test_contigs: names of contigs, for all species or by species; `HYENADNA_TEST_CONTIGS`, for one.
            `"1"` also finds `"chr1"`, and a file `chr1.fna` with one record.
        random_strand: read half of the windows backward.
        max_unknown: share of unknown bases (N) up to which a window is taken.
        max_coverage: an error where dev or test asks for more than this many times the disjoint windows that fit.

    Raises:
        TaskDataError: a genome too short for what is asked (names the species and the numbers), or no FASTA files.
        FastaError: as `read_fasta`.
        ValueError: an argument out of range.
    """
    rows = _check(length, rows_per_class, max_unknown, max_coverage)
    files = find_genomes(genomes)
    named = {"dev": _by_species(dev_contigs, files), "test": _by_species(test_contigs, files)}
    info = {
        "task": "species",
        "classes": list(files),
        "length": length,
        "rows_per_class": rows,
        "seed": seed,
        "random_strand": random_strand,
        "max_unknown": max_unknown,
        "max_coverage": max_coverage,
        "named_contigs": {
            split: {species: list(names) for species, names in of.items()} for split, of in named.items()
        },
        "files": {species: [path.name for path in paths] for species, paths in files.items()},
        **{key: {} for key in ("checksums", "split_by", "contigs", "coverage", "overlapping")},
    }
    windows = []
    with tqdm(desc="Reading genomes", unit="base", unit_scale=True, disable=not progress) as bar:
        for label, (species, paths) in enumerate(files.items()):
            contigs, info["checksums"][species] = scan_genome(paths, bar)
            mine = {split: of.get(species) for split, of in named.items()}
            splits, info["split_by"][species] = assign_splits(species, contigs, length, rows, mine, max_unknown)
            order = {id(contig): number for number, contig in enumerate(contigs)}
            drawn = _draw(species, splits, info)
            drawn.sort(key=lambda window: (order[id(window[1])], window[2], window[0]))
            windows += [
                (split, species, label, one.name, start, start + length, strand, one.path, one.record)
                for split, one, start, strand in drawn
            ]
    _warn(info)
    columns = ["split", "species", "label", "contig", "start", "end", "strand", "path", "record"]
    return SpeciesPlan(pd.DataFrame(windows, columns=columns), info)


def _check(length: int, rows_per_class: int | Mapping[str, int], max_unknown: float, max_coverage: float) -> dict:
    if not 1 <= length <= MAX_LENGTH:
        raise ValueError(f"length is {length}, but it must be 1 to {MAX_LENGTH} bases.")
    if not 0 <= max_unknown < 1:
        raise ValueError(f"max_unknown is {max_unknown}, but it must be at least 0 and below 1.")
    if max_coverage < 1:
        raise ValueError(f"max_coverage is {max_coverage}, but it must be at least 1.")
    if isinstance(rows_per_class, Mapping):
        rows = {split: rows_per_class.get(split, 0) for split in SPLITS}
    else:
        rows = {"train": rows_per_class, "dev": rows_per_class // 10 or 1, "test": rows_per_class // 10 or 1}
    if min(rows.values()) < 1 or (isinstance(rows_per_class, Mapping) and set(rows_per_class) - set(SPLITS)):
        raise ValueError(
            f"rows_per_class is {rows_per_class}, but it must be a number from 1 up, or one for each of "
            f"{', '.join(SPLITS)}."
        )
    return rows


def find_genomes(
    genomes: str | PathLike | Mapping[str, str | PathLike | Sequence[str | PathLike]],
) -> dict[str, list[Path]]:
    """The FASTA files of every species; of a directory, those of each folder or file in it, by its name.

    Raises:
        TaskDataError: fewer than two species, no FASTA files for one, or one file for two.
    """
    if not isinstance(genomes, Mapping):
        directory = Path(genomes)
        if not directory.is_dir():
            raise TaskDataError(
                f"There is no directory {directory}. It should hold a FASTA file or folder per species."
            )
        places = [path for path in sorted(directory.iterdir()) if is_fasta(path) or find_fasta(path)]
        genomes = {}
        for path in places:
            genomes.setdefault(bare_name(path), []).append(path)
    files = {}
    for species, places in genomes.items():
        places = [places] if isinstance(places, (str, PathLike)) else places
        files[species] = [file for place in places for file in _files_of(species, Path(place))]
    if len(files) < 2:
        raise TaskDataError(f"Only {', '.join(files) or 'no species'} was given or found, but two species are needed.")
    owners = {}
    for species, paths in files.items():
        for path in paths:
            place = os.path.realpath(path)
            if place in owners:
                raise TaskDataError(
                    f"{path} is given for {owners[place]} and again for {species}. Name every file once."
                )
            owners[place] = species
    return files


def is_fasta(path: Path) -> bool:
    """Whether a file is named like a FASTA file."""
    return path.name.lower().endswith(FASTA_SUFFIXES) and not path.name.startswith(".") and path.is_file()


def find_fasta(directory: Path) -> list[Path]:
    """The FASTA files below a folder, in the order of their names."""
    return sorted(path for path in directory.rglob("*") if is_fasta(path)) if directory.is_dir() else []


def bare_name(path: Path) -> str:
    """The name of a folder, or of a FASTA file without its suffixes."""
    return next((path.name[: -len(s)] for s in FASTA_SUFFIXES if path.name.lower().endswith(s)), path.name)


def _files_of(species: str, place: Path) -> list[Path]:
    files = find_fasta(place) if place.is_dir() else [check_file(place, "FASTA file", FastaError)]
    if not files:
        raise TaskDataError(f"{place}, given for {species}, holds no FASTA files ({FASTA_NAMES}).")
    return files


def _by_species(names, files: dict) -> dict[str, tuple[str, ...]]:
    if names is None:
        return {}
    of = dict(names) if isinstance(names, Mapping) else dict.fromkeys(files, names)
    unknown = [species for species in of if species not in files]
    if unknown:
        raise TaskDataError(f"Contigs are named for {unknown[0]!r}, which is none of {', '.join(files)}.")
    return {species: (found,) if isinstance(found, str) else tuple(found) for species, found in of.items()}


def _draw(species: str, splits: dict[str, list[Stretch]], info: dict) -> list[tuple]:
    """Windows of one species, `(split, contig, start, strand)`; what is to be known of them goes to `info`."""
    length, max_unknown, drawn = info["length"], info["max_unknown"], []
    for report in ("contigs", "coverage"):
        info[report][species] = {}
    info["overlapping"][species] = []
    for number, split in enumerate(SPLITS):
        # a species' windows do not depend on which other species there are
        rng = np.random.default_rng([info["seed"], number, zlib.crc32(species.encode())])
        rows, limit = info["rows_per_class"][split], None if split == "train" else info["max_coverage"]
        where = f"{split} of {species}"
        places, overlap = draw_windows(where, splits[split], length, rows, rng, max_unknown, limit)
        backward = rng.random(rows) < 0.5 if info["random_strand"] else np.zeros(rows, dtype=bool)
        drawn += [(split, one.contig, start, "+-"[int(back)]) for (one, start), back in zip(places, backward)]
        info["contigs"][species][split] = list(dict.fromkeys(sorted(one.name for one, _ in places)))
        info["coverage"][species][split] = round(rows / count_room(splits[split], length, max_unknown), 3)
        if overlap and split != "train":
            info["overlapping"][species].append(split)
    return drawn


def _warn(info: dict):
    cut = [species for species, kind in info["split_by"].items() if kind == "stretch"]
    if cut:
        logger.warning(
            "Too few contigs of %s hold %d bases: the longest was cut into train, dev and test, %d bases apart. Parts "
            "of one contig resemble each other more than contigs do.",
            *(", ".join(cut), info["length"], info["length"]),
        )
    for species, splits in info["overlapping"].items():
        for split in splits:
            logger.warning(
                "Windows overlap in %s of %s: %d were asked for, %.2g times as many as fit without overlap.",
                *(split, species, info["rows_per_class"][split], info["coverage"][species][split]),
            )


def read_windows(plan: SpeciesPlan, cache_dir: str | PathLike | None = None) -> DatasetDict:
    """Read the bases of planned windows; see `species_task`.

    Raises:
        TaskDataError: a genome's files have changed since the windows were planned.
    """
    columns = ["path", "record", "contig", "start", "end", "strand", "species", "label"]
    features = Features(
        {
            "sequence": Value("string"),
            "label": ClassLabel(names=plan.info["classes"]),
            **{name: Value("string") for name in ("species", "contig")},
            **{name: Value("int64") for name in ("start", "end")},
            "strand": Value("string"),
        }
    )
    # tuples: datasets takes lists for shards. The checksums make the cache notice genomes that have changed
    given = {
        "windows": tuple(plan.windows[columns].itertuples(index=False, name=None)),
        "checksums": tuple(plan.info["checksums"].values()),
    }
    rows = Dataset.from_generator(
        _read_rows,
        features=features,
        cache_dir=None if cache_dir is None else str(cache_dir),
        gen_kwargs=given,
        writer_batch_size=batch_rows(plan.info["length"]),
    )
    found, rng = {}, np.random.default_rng(plan.info["seed"])
    for split in SPLITS:
        numbers = np.flatnonzero((plan.windows["split"] == split).to_numpy())
        found[split] = rows.select(rng.permutation(numbers))
        found[split].info.description = json.dumps(plan.info)
    return DatasetDict(found)


def batch_rows(length: int) -> int:
    """Rows to write at a time, so that memory does not grow with the length of the windows."""
    return max(1, min(1000, _BATCH_BASES // length))


def _read_rows(windows: tuple[tuple, ...], checksums: tuple[int, ...]) -> Iterator[dict]:
    """The rows of windows that are in the order of the files and their contigs."""
    at = 0
    while at < len(windows):
        path = windows[at][0]
        for record, ids in read_fasta(path):
            while at < len(windows) and windows[at][:2] == (path, record):
                _, _, contig, start, end, strand, species, label = windows[at]
                if end > ids.size:
                    raise TaskDataError(f"{path} has changed: {record} has {ids.size} bases, {end} are needed.")
                bases = ids[start:end] if strand == "+" else reverse_complement(ids[start:end])
                place = {"species": species, "contig": contig, "start": start, "end": end, "strand": strand}
                yield {"sequence": ids_to_bases(bases), "label": label, **place}
                at += 1
            if at == len(windows) or windows[at][0] != path:
                break
        else:
            raise TaskDataError(f"{path} has changed: it has no record {windows[at][1]} any more.")
