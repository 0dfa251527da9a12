"""Windows of genomes for species classification: which contigs go to which split, and where the windows are drawn.

Nothing here holds sequences. `scan_genome` reads a genome once, one contig at a time, and keeps names, lengths and
where the unknown bases are; `assign_splits` and `draw_windows` work on those. All coordinates are 0-based and
half-open, in bases.
"""

import hashlib
import logging
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data.fasta import read_fasta
from ...data.genome_bases import contig_names, file_labels
from ...modeling.nucleotides_vqdna import UNKNOWN_ID
from ..split_files import TaskDataError
from .names import some


logger = logging.getLogger(__name__)

HELD_OUT = ("test", "dev")
# a held-out split takes about this share of a genome; contigs are added for more rows up to the second share
_SHARE, _LARGEST_SHARE = 0.1, 0.25
# grids of disjoint windows that are tried along a stretch
_PHASES = 8
# rounds of drawing random starts, of which those on unknown bases are thrown away
_ROUNDS = 50


@dataclass(frozen=True, eq=False)
class Contig:
    """What is known of a contig without its bases.

    Attributes:
        name: as the user sees it: the record's name, after the file's where several files have such a record.
        path, record: where its bases are.
        length: in bases.
        unknown: starts and ends of the runs of unknown bases, `int64` of shape `(runs, 2)`.
    """

    name: str
    path: Path
    record: str
    length: int
    unknown: np.ndarray

    def count_unknown(self, positions: np.ndarray) -> np.ndarray:
        """Unknown bases before each position."""
        if not len(self.unknown):
            return np.zeros_like(positions)
        starts, ends = self.unknown.T
        before = np.concatenate([[0], np.cumsum(ends - starts)])
        run = np.searchsorted(starts, positions, side="right")
        inside = np.maximum(ends[run - 1] - positions, 0) * (run > 0)
        return before[run] - inside


@dataclass(frozen=True, eq=False)
class Stretch:
    """Part of a contig that windows are drawn from; usually all of it."""

    contig: Contig
    start: int
    end: int

    @property
    def name(self) -> str:
        whole = (self.start, self.end) == (0, self.contig.length)
        return self.contig.name if whole else f"{self.contig.name}:{self.start}-{self.end}"

    def is_known(self, starts: np.ndarray, length: int, max_unknown: float) -> np.ndarray:
        """Whether the windows at these starts have few enough unknown bases, `bool` of the same shape."""
        unknown = self.contig.count_unknown(starts + length) - self.contig.count_unknown(starts)
        return unknown <= max_unknown * length

    def disjoint_starts(self, length: int, max_unknown: float, rng: np.random.Generator | None = None) -> np.ndarray:
        """Starts of windows that do not overlap, as many as one of several grids has; `rng` chooses among equals."""
        slack = self.end - self.start - length
        if slack < 0:
            return np.zeros(0, dtype=np.int64)
        grids = []
        for phase in np.unique(np.linspace(0, slack % length, _PHASES).astype(np.int64)):
            starts = np.arange(self.start + phase, self.end - length + 1, length)
            grids.append(starts[self.is_known(starts, length, max_unknown)])
        most = max(grid.size for grid in grids)
        best = [grid for grid in grids if grid.size == most]
        return best[0 if rng is None else rng.integers(len(best))]


def scan_genome(paths: list[Path], bar=None) -> tuple[list[Contig], int]:
    """Read FASTA files, one contig at a time.

    A contig with the bases of one before it, as where a file lies beside its packed copy, is left out, with a warning:
    under two names it could be in two splits.

    Args:
        bar: a progress bar to update by bases.

    Returns:
        The contigs in the order of the files, and a CRC-32 of all names and bases.

    Raises:
        FastaError: as `read_fasta`.
    """
    found, checksum, first, copies = [], 0, {}, []
    for path, label in zip(paths, file_labels(paths)):
        for record, ids in read_fasta(path):
            checksum = zlib.crc32(ids, zlib.crc32(f"{record}\n".encode(), checksum))
            if bar is not None:
                bar.update(ids.size)
            name = f"{path.name}:{record}"
            known = first.setdefault(hashlib.blake2b(ids, digest_size=16).digest(), name)
            if known is not name:
                copies.append(f"{name} is {known}")
                continue
            edges = np.flatnonzero(np.diff(ids == UNKNOWN_ID, prepend=False, append=False))
            found.append((label, path, record, ids.size, edges.reshape(-1, 2)))
    if copies:
        logger.warning("%d contigs hold the bases of others and are left out: %s", len(copies), some(copies))
    names = contig_names([(label, record) for label, _, record, *_ in found])
    return [Contig(name, *facts) for name, (_, *facts) in zip(names, found)], checksum


def assign_splits(
    species: str,
    contigs: list[Contig],
    length: int,
    rows: dict[str, int],
    named: dict[str, tuple[str, ...] | None],
    max_unknown: float,
) -> tuple[dict[str, list[Stretch]], str]:
    """Give whole contigs to train, dev and test; where there are too few, cut the longest one.

    Contigs that are not named are held out in the order of a fixed hash of their names, about a tenth of the bases for
    each split and more, up to a quarter, if the rows asked for need the room. That does not depend on a seed, so that
    runs with different seeds are tested on the same contigs. A contig that has to be cut gives its last part to test,
    the one before to dev and the rest to train, with gaps of `length` bases between them.

    Args:
        named: contigs of `dev` and `test` that the user chose, or None. `"1"` also finds `"chr1"`.

    Returns:
        The stretches of each split, and `"contig"` or `"stretch"`.

    Raises:
        TaskDataError: an unknown contig, or too little room; names the species and the numbers.
    """
    wholes = [Stretch(contig, 0, contig.length) for contig in contigs]
    pool = [one for one in wholes if one.disjoint_starts(length, max_unknown).size]
    if not pool:
        longest = max(contig.length for contig in contigs)
        raise TaskDataError(
            f"{species} has no window of {length} bases with at most {max_unknown:.0%} of them unknown: its longest "
            f"contig has {longest} bases. Ask for shorter windows, or leave the species out."
        )
    chosen = {split: _named(species, wholes, names) for split, names in named.items() if names is not None}
    both = {one.contig.name for one in chosen.get("dev", [])} & {one.contig.name for one in chosen.get("test", [])}
    if both:
        raise TaskDataError(f"{species}: {', '.join(sorted(both))} is named for dev and for test. Name it once.")
    pool.sort(key=lambda one: hashlib.blake2b(one.contig.name.encode(), digest_size=8).digest())
    splits, total = dict(chosen), sum(one.contig.length for one in pool)
    taken = {one.contig.name for stretches in chosen.values() for one in stretches}
    for split in HELD_OUT:
        if split not in splits:
            rest = [one for one in pool if one.contig.name not in taken]
            splits[split] = _take(rest, total, length, rows[split], max_unknown)
            taken |= {one.contig.name for one in splits[split]}
    splits["train"] = [one for one in pool if one.contig.name not in taken]
    room = {split: count_room(stretches, length, max_unknown) for split, stretches in splits.items()}
    if all(room.values()):
        return splits, "contig"
    if chosen:
        empty = [split for split, windows in room.items() if not windows]
        raise TaskDataError(
            f"{species}: no window of {length} bases is left for {' and '.join(empty)} with the contigs named. It has "
            f"{len(pool)} contigs that long: {some([one.contig.name for one in pool])}."
        )
    return _cut(species, pool, length, rows, max_unknown), "stretch"


def count_room(stretches: list[Stretch], length: int, max_unknown: float) -> int:
    """How many windows fit without overlap."""
    return sum(one.disjoint_starts(length, max_unknown).size for one in stretches)


def _named(species: str, wholes: list[Stretch], names: tuple[str, ...]) -> list[Stretch]:
    index = {}
    for one in wholes:
        for key in (one.contig.name, one.contig.record, one.contig.path.name.split(".")[0]):
            # the name of a file stands for a contig only if the file holds that one
            index.setdefault(_bare(key), []).append(one)
    found = {}
    for name in names:
        matches = {one.contig.name: one for one in index.get(_bare(name), [])}
        if len(matches) != 1:
            known = some(list(matches) or [one.contig.name for one in wholes])
            problem = f"{len(matches)} contigs called" if matches else "no contig"
            raise TaskDataError(f"{species} has {problem} {name!r}; it has {known}.")
        found |= matches
    return list(found.values())


def _bare(name: str) -> str:
    name = name.lower()
    return name.removeprefix("chromosome").removeprefix("chr") or name


def _take(pool: list[Stretch], total: int, length: int, rows: int, max_unknown: float) -> list[Stretch]:
    """Contigs for a held-out split, in the order of the pool."""
    taken, bases, room = [], 0, 0
    for one in pool:
        if bases >= _SHARE * total and room >= rows:
            break
        if bases + one.contig.length <= _LARGEST_SHARE * total:
            taken.append(one)
            bases += one.contig.length
            room += one.disjoint_starts(length, max_unknown).size
    # three long contigs are a split each, though each is a third of the genome
    return taken or sorted(pool, key=lambda one: one.contig.length)[:1]


def _cut(species: str, pool: list[Stretch], length: int, rows: dict[str, int], max_unknown: float) -> dict:
    """Cut the longest contig in three; the other contigs are train's."""
    longest = max(pool, key=lambda one: one.contig.length)
    contig, splits, end = longest.contig, {}, longest.contig.length
    # boundaries are placed by the number of known bases before them, so that no split is all assembly gap
    marks = np.unique(np.concatenate([[0], contig.unknown.ravel(), [contig.length]]))
    known = marks - contig.count_unknown(marks)
    for split in HELD_OUT:
        wanted = min(max(_SHARE * known[-1], rows[split] * length), _LARGEST_SHARE * known[-1])
        left = np.interp(end, marks, known) - max(wanted, length)
        start = int(np.interp(left, known, marks)) if left > 0 else 0
        splits[split] = [Stretch(contig, start, end)]
        end = start - length
    splits["train"] = [Stretch(contig, 0, max(end, 0)), *(one for one in pool if one is not longest)]
    room = {split: count_room(stretches, length, max_unknown) for split, stretches in splits.items()}
    if end < 0 or not all(room.values()):
        raise TaskDataError(
            f"{species} is too short for windows of {length} bases: only {len(pool)} of its contigs hold one, the "
            f"longest has {contig.length} bases, and train, dev and test need three such contigs or, with the gaps "
            f"between them, {5 * length} known bases in one. Ask for shorter windows, or leave the species out."
        )
    return splits


def draw_windows(
    where: str,
    stretches: list[Stretch],
    length: int,
    rows: int,
    rng: np.random.Generator,
    max_unknown: float,
    max_coverage: float | None,
) -> tuple[list[tuple[Stretch, int]], bool]:
    """Draw windows from a split of a genome.

    Args:
        where: how an error message names the split, for example `"test of human"`.
        rows: how many.
        max_coverage: None: windows may overlap. Otherwise they are disjoint if so many fit; if not, they overlap, but
            their bases are at most this many times those of the windows that fit.

    Returns:
        Pairs of a stretch and a start in its contig, and whether windows may overlap.

    Raises:
        TaskDataError: there is no room for so many.
    """
    if max_coverage is not None:
        places = [(one, int(start)) for one in stretches for start in one.disjoint_starts(length, max_unknown, rng)]
        if len(places) >= rows:
            return [places[i] for i in rng.choice(len(places), rows, replace=False)], False
        if rows > max_coverage * len(places):
            raise TaskDataError(
                f"{where} has room for {len(places)} windows of {length} bases that do not overlap, and {rows} are "
                f"asked for, more than {max_coverage:g} times as many. Ask for at most "
                f"{int(max_coverage * len(places))} rows, or for shorter windows."
            )
    # a window is known by its place among all starts of all stretches
    ends = np.cumsum([max(one.end - one.start - length + 1, 0) for one in stretches])
    found = np.zeros(0, dtype=np.int64)
    for _ in range(_ROUNDS):
        drawn = rng.integers(ends[-1], size=2 * (rows - found.size) + 16)
        drawn = drawn[_are_known(drawn, ends, stretches, length, max_unknown)]
        found = np.concatenate([found, drawn])
        found = found[np.sort(np.unique(found, return_index=True)[1])][:rows]
        if found.size == rows:
            return [_place(one, ends, stretches, length) for one in found.tolist()], True
    raise TaskDataError(
        f"{where} gives only {found.size} different windows of {length} bases with at most {max_unknown:.0%} of them "
        f"unknown, and {rows} are asked for. Ask for fewer rows, or for shorter windows."
    )


def _place(number: int, ends: np.ndarray, stretches: list[Stretch], length: int) -> tuple[Stretch, int]:
    owner = int(np.searchsorted(ends, number, side="right"))
    one = stretches[owner]
    return one, one.end - length + 1 - int(ends[owner]) + number


def _are_known(
    numbers: np.ndarray, ends: np.ndarray, stretches: list[Stretch], length: int, max_unknown: float
) -> np.ndarray:
    owners, known = np.searchsorted(ends, numbers, side="right"), np.ones(numbers.size, dtype=bool)
    for owner in np.unique(owners):
        mine, one = owners == owner, stretches[owner]
        if len(one.contig.unknown):
            known[mine] = one.is_known(one.end - length + 1 - ends[owner] + numbers[mine], length, max_unknown)
    return known
