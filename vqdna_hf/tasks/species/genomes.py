"""The genomes of many species as one stream of pieces: from a directory of FASTA files, or from the Hub.

The paper pre-trains on a selection from `InstaDeepAI/multi_species_genomes`, whose 125 printed species are Table A1
(`list_species`). That repository has a loading script, which `datasets` no longer runs and which is not run here: its
FASTA files, or the Parquet files that the Hub has made of a dataset, are read as they are.

What comes out becomes a corpus by way of `GenomeBases`:

    genome = genome_of(multi_species_genomes("genomes/", species="Fungi"))
    train, held_out = genome.split()
    write_corpus(train, held_out, "corpus", window=512, min_length=64)

FASTA files on disk need no such detour: `vqdna tokenize --fasta genomes/*.fna.gz --output corpus`.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import PurePosixPath

import numpy as np
from datasets import Dataset, Features, IterableDataset, Value
from tqdm.auto import tqdm

from ...data.genome_bases import GenomeBases
from ...data.windows import iter_windows
from ...modeling.nucleotides_vqdna import UNKNOWN_ID, bases_to_ids, ids_to_bases
from ..catalogue import list_species
from .draw import FASTA_SUFFIXES, batch_rows
from .genome_files import LISTS, GenomeFile, GenomeSourceError, first_header, list_genomes, read_contigs, read_parquet
from .names import match_species, names_in_path, own_name, some, species_of_header, species_of_path


logger = logging.getLogger(__name__)

REPOSITORY = "InstaDeepAI/multi_species_genomes"
SPLITS = ("train", "validation", "test")
FEATURES = Features(
    {
        "species": Value("string"),
        "contig": Value("string"),
        "start": Value("int64"),
        "end": Value("int64"),
        "sequence": Value("string"),
    }
)
# the repository's own rule: of the genomes in its list, the last 50 are test and the 50 before them validation
_HELD_OUT = 50


def multi_species_genomes(
    source: str | PathLike = REPOSITORY,
    species: str | Sequence[str] | None = None,
    split: str | None = None,
    streaming: bool = True,
    piece_length: int = 100_000,
    min_length: int = 64,
    revision: str | None = None,
    token: str | bool | None = None,
) -> IterableDataset | Dataset:
    """The genomes of a directory or of a dataset repository, contig by contig, in consecutive pieces.

    A file belongs to the species that its name, a folder above it or its first header names, in upper or lower case,
    with or without underscores, and whatever strain follows: see `match_species`. What belongs to none of Table A1
    goes by its own name. The log says which files those are and which of the species asked for are missing;
    `info.description` has all of it as JSON (`species`, `unmatched`, `missing`).

    Args:
        source: a directory, searched with all its folders, or a dataset repository of the Hub.
        species: only these: names, as in Table A1 or of one's own, or categories of the table (`"Fungi"`).
        split: train, validation or test: a folder of that name, or else by the list of genomes in the source
            (`genomes.txt`), of which the last 50 are test and the 50 before them validation.
        streaming: read while iterating, and keep nothing; otherwise make an Arrow file first.
        piece_length: bases of a piece, at most. Pieces do not overlap, save those of Parquet files whose rows do.
        min_length: bases of the shortest piece to keep. A piece of which more than half is unknown is left out.
        revision, token: of the Hub.

    Returns:
        `IterableDataset`, a shard a file, or `Dataset`, with `species`, `contig`, `start`, `end` (bases of the contig,
        0-based, half-open) and `sequence` (A, C, G, T and N). While streaming, one contig is in memory.

    Raises:
        GenomeSourceError: no such source, nothing in it to read, or none of the species asked for.
        ValueError: an argument out of range.

    While iterating, `FastaError` (a broken file) or `ConnectionError` (one that the Hub does not deliver, after
    retries); both name the file.
    """
    if not 1 <= min_length <= piece_length:
        raise ValueError(f"min_length is {min_length}, but it must be 1 to {piece_length}, the piece_length.")
    if split not in (None, *SPLITS):
        raise ValueError(f"split is {split!r}, but it must be one of {', '.join(SPLITS)}, or None.")
    files, lists = list_genomes(source, revision, token)
    chosen = files if split is None else _of_split(files, lists, split, source)
    wanted = None if species is None else _wanted([species] if isinstance(species, str) else species)
    chosen, report = _select(chosen, wanted, source, token)
    given = {"files": chosen, "wanted": wanted and tuple(wanted), "piece_length": piece_length}
    given |= {"min_length": min_length, "token": token}
    if streaming:
        dataset = IterableDataset.from_generator(_pieces, features=FEATURES, gen_kwargs=given)
    else:
        rows = batch_rows(piece_length)
        dataset = Dataset.from_generator(_pieces, features=FEATURES, gen_kwargs=given, writer_batch_size=rows)
    dataset.info.description = json.dumps(report)
    return dataset


def genome_of(records: Iterable[dict], max_bases: int | None = None) -> GenomeBases:
    """Put pieces together again, in memory: for `write_corpus`, `WindowDataset` and their like.

    Args:
        records: as `multi_species_genomes` gives them, in that order. Pieces that were left out become unknown bases.
        max_bases: stop with the piece that reaches so many.

    Returns:
        A genome whose contigs are called `SPECIES:CONTIG`.

    Raises:
        GenomeSourceError: no pieces, or pieces out of order (a shuffled stream).
    """
    buffer, names, starts, seen, current = bytearray(), [], [], {}, None
    for record in records:
        key, start, end = (record["species"], record["contig"]), record["start"], record["end"]
        length = len(buffer) - starts[-1] if starts else 0
        if key != current or start == 0:
            if key in seen and start > 0:
                raise GenomeSourceError(f"{record['contig']} of {record['species']} comes back at {start}: {_ORDER}")
            seen[key] = seen.get(key, 0) + 1
            names.append(":".join(key) + (f":{seen[key]}" if seen[key] > 1 else ""))
            starts.append(len(buffer))
            current, length = key, 0
        elif end <= length:
            raise GenomeSourceError(f"{record['contig']} of {record['species']} goes back to {start}: {_ORDER}")
        buffer += bytes([UNKNOWN_ID]) * (start - length)
        buffer += bases_to_ids(record["sequence"])[max(0, length - start) :].data
        if max_bases is not None and len(buffer) >= max_bases:
            break
    if not names:
        raise GenomeSourceError("There are no pieces to make a genome of.")
    bases = np.frombuffer(bytes(buffer), dtype=np.uint8)
    lengths = np.diff([*starts, len(buffer)])
    inputs = {}
    for name, length in zip(names, lengths.tolist()):
        species = name.partition(":")[0]
        inputs[species] = inputs.get(species, 0) + length
    described = [{"file": species, "bases": count} for species, count in inputs.items()]
    return GenomeBases(bases, names, np.array(starts), lengths, described)


_ORDER = (
    "pieces must come in the order of their contigs, and contigs of one species need different names. Shuffle windows "
    "later, not pieces; of several genomes of a species give one."
)


def _of_split(files: list[GenomeFile], lists: list[str], split: str, source) -> list[GenomeFile]:
    other = {"dev": "validation", "valid": "validation"}
    folders = {}
    for file in files:
        parts = [part.removeprefix("partial-") for part in PurePosixPath(file.path).parts[:-1]]
        parts = [other.get(part, part) for part in parts]
        folders.setdefault(next((part for part in parts if part in SPLITS), None), []).append(file)
    if set(folders) - {None}:
        if split not in folders:
            raise GenomeSourceError(f"{source} has no folder {split}, only {', '.join(set(folders) - {None})}.")
        return folders[split]
    for text in lists:
        names = [PurePosixPath(line.split(",")[-1].strip()).name for line in text.splitlines() if line.strip()]
        names = [name for name in names if name.lower().endswith(FASTA_SUFFIXES)]
        parts = {"test": slice(-_HELD_OUT, None), "validation": slice(-2 * _HELD_OUT, -_HELD_OUT)}
        parts["train"] = slice(None, -2 * _HELD_OUT)
        mine = set(names[parts[split]])
        found = [file for file in files if PurePosixPath(file.path).name in mine]
        if found:
            return found
    raise GenomeSourceError(
        f"{source} does not say what its split {split} is: it has no folder of that name, and no file of it is in the "
        f"{split} part of a list ({', '.join(LISTS)}). Leave out the split."
    )


def _wanted(asked: Sequence[str]) -> list[str]:
    categories = {}
    for one in list_species():
        categories.setdefault(one.category.lower(), []).append(one.name)
    found = []
    for name in asked:
        found += categories.get(name.lower()) or [match_species(name) or name]
    if not found:
        raise ValueError("species is empty; leave it out for all, or name some.")
    return list(dict.fromkeys(found))


def _select(
    files: list[GenomeFile], wanted: list[str] | None, source, token
) -> tuple[list[tuple[GenomeFile, str | None]], dict]:
    """The files to read, each with its species (None: its rows or its header will say), and what there is to know."""
    table = [one.name for one in list_species()]
    names = tuple(dict.fromkeys([*table, *(wanted or [])]))
    found, unmatched, chosen = {}, [], []
    for file in tqdm(files, desc="Matching species", unit="file", disable=len(files) < 100):
        species = _species_of(file, names, look=wanted is not None, token=token)
        if species is not None:
            found.setdefault(species, []).append(file.path)
        if species not in names and not file.is_parquet:
            unmatched.append(file.path)
        if species is None or wanted is None or species in wanted:
            chosen.append((file, species))
    if not chosen:
        raise GenomeSourceError(
            f"None of {some(wanted)} is in {source}. It has {some(sorted(found))}. Check the names of its files or "
            "of their folders."
        )
    certain = all(species is not None for _, species in chosen)
    missing = [name for name in wanted or table if name not in found] if certain else []
    if unmatched:
        logger.info("%d files of %s are of no species of Table A1: %s", len(unmatched), source, some(unmatched))
    if missing and wanted:
        logger.warning("%d of %d species are not in %s: %s", len(missing), len(wanted), source, some(missing))
    elif missing:
        logger.info("%d of the %d species of Table A1 are not in %s", len(missing), len(table), source)
    taken = {name: paths for name, paths in found.items() if wanted is None or name in wanted}
    report = {"source": str(source), "files": len(chosen), "species": taken}
    return chosen, report | {"unmatched": unmatched, "missing": missing}


def _species_of(file: GenomeFile, names: tuple[str, ...], look: bool, token=None) -> str | None:
    """The species of a file, or None if only opening it would tell and that is not asked for."""
    if file.is_parquet:
        return None
    species = species_of_path(file.path, names)
    if species is None and file.repository is not None and names_in_path(file.path):
        species = own_name(file.path)
    if species is None and (look or file.repository is None):
        header = first_header(file, token)
        species = species_of_header(header, names) or own_name(file.path, header)
    return species


def _pieces(
    files: list[tuple[GenomeFile, str | None]],
    wanted: tuple[str, ...] | None,
    piece_length: int,
    min_length: int,
    token,
) -> Iterator[dict]:
    """The records of the files, one after another."""
    for file, species in files:
        for name_of_species, contig, offset, ids in _contigs(file, species, wanted, token):
            genome = GenomeBases(ids, [contig], np.zeros(1), np.array([ids.size]))
            for _, start, end, bases in iter_windows(genome, piece_length, min_length):
                place = {"contig": contig, "start": offset + start, "end": offset + end}
                yield {"species": name_of_species, **place, "sequence": ids_to_bases(bases)}


def _contigs(file: GenomeFile, species: str | None, wanted, token) -> Iterator[tuple[str, str, int, np.ndarray]]:
    """Species, contig, start and nucleotide ids of the contigs of a file, or of the rows of a Parquet file."""
    if file.is_parquet:
        yield from read_parquet(file, wanted, token)
        return
    species = species or _species_of(file, tuple(one.name for one in list_species()), True, token)
    for contig, ids in read_contigs(file, token):
        yield species, contig, 0, ids
