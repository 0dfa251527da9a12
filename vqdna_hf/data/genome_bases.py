"""Whole genomes in one array: every contig of FASTA files in memory, and which of them are held out.

`GenomeBases` holds every contig in ONE uint8 array, so that 300,000 short contigs cost little more than their bases.

All coordinates are 0-based and half-open.
"""

import difflib
import hashlib
from collections import Counter
from collections.abc import Collection
from os import PathLike
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from .fasta import check_fasta_files, read_fasta
from .input_files import PACKED_SUFFIXES


_SUFFIXES = (*PACKED_SUFFIXES, ".fa", ".fasta", ".fna")
# a contig with more than this share of the bases is never held out whole
_LARGEST_HELD_OUT = 0.2


def file_labels(paths: list[Path]) -> list[str]:
    """Short names for the files of a genome: `hg38` for `data/hg38.fa.gz`; the path itself where that is ambiguous."""
    stems = []
    for path in paths:
        stem = path.name
        while stem.lower().endswith(_SUFFIXES) and "." in stem[1:]:
            stem = stem[: stem.rindex(".")]
        stems.append(stem)
    counts = Counter(stems)
    return [stem if counts[stem] == 1 else str(path) for stem, path in zip(stems, paths)]


def contig_names(names: Collection[tuple[str, str]]) -> list[str]:
    """Names for contigs, given as file and name: `"chr1"`, or `"hg38:chr1"` for a name that comes twice."""
    counts = Counter(name for _, name in names)
    return [name if counts[name] == 1 else f"{label}:{name}" for label, name in names]


def similar_contigs(name: str, names: Collection[str]) -> str:
    """The names most like one that is not there, for a message; some of them where none is alike."""
    near = [known for known in names if known.endswith(f":{name}")]
    return ", ".join(near or difflib.get_close_matches(str(name), names, cutoff=0.5) or list(names)[:5])


class GenomeBases:
    """Every contig of one or several FASTA files in memory.

    Attributes:
        bases: nucleotide ids 0-4 of all contigs, `uint8`, read-only. Parts of it may belong to no contig: `split`
            makes two genomes that share it.
        names: one name per contig, `"chr1"`, or `"hg38:chr1"` (file, contig) for a name that several files hold.
        starts, lengths: `int64` of shape `(contigs,)`; contig `i` is `bases[starts[i] : starts[i] + lengths[i]]`.
        inputs: `{"file": name, "bases": count}` of each file read.
    """

    def __init__(
        self,
        bases: np.ndarray,
        names: list[str],
        starts: np.ndarray,
        lengths: np.ndarray,
        inputs: list[dict] | None = None,
    ):
        self.bases = bases
        self.names = names
        self.starts = np.asarray(starts, dtype=np.int64)
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.inputs = list(inputs or [])

    @classmethod
    def from_fasta(cls, paths: list[str | PathLike], progress: bool = True) -> "GenomeBases":
        """Read FASTA files (see `read_fasta`); takes one byte of memory a base.

        Raises:
            FastaError: as `read_fasta`; also no file at all, or one file given twice.
        """
        paths = check_fasta_files(paths)
        # subtle: a bytearray grows in place, so that the peak is the genome itself and not twice its size
        buffer, names, lengths, inputs = bytearray(), [], [], []
        with tqdm(desc="Reading FASTA", unit="base", unit_scale=True, disable=not progress) as bar:
            for path, label in zip(paths, file_labels(paths)):
                before = len(buffer)
                for name, ids in read_fasta(path):
                    buffer += ids.data
                    names.append((label, name))
                    lengths.append(ids.size)
                    bar.update(ids.size)
                inputs.append({"file": path.name, "bases": len(buffer) - before})
        bases = np.frombuffer(buffer, dtype=np.uint8)
        bases.flags.writeable = False
        lengths = np.array(lengths, dtype=np.int64)
        return cls(bases, contig_names(names), np.cumsum(lengths) - lengths, lengths, inputs)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"GenomeBases({len(self):,} contigs, {self.total_bases:,} bases)"

    @property
    def total_bases(self) -> int:
        """Bases of all contigs, unknown ones included."""
        return int(self.lengths.sum())

    def contig(self, index: int) -> np.ndarray:
        """Nucleotide ids of contig `index`: a view, `uint8` of shape `(lengths[index],)`."""
        start = self.starts[index]
        return self.bases[start : start + self.lengths[index]]

    def split(
        self, eval_contigs: list[str] | None = None, eval_fraction: float = 0.01
    ) -> tuple["GenomeBases", "GenomeBases"]:
        """Hold out whole contigs, so that no window of the one part overlaps a window of the other.

        Without names, contigs are taken in the order of a fixed hash of their names until `eval_fraction` of the bases
        is held out; contigs with more than 20 % of the bases are passed over. Where the others do not suffice (a
        single contig, for one), the last bases of the largest contig are held out as a piece named `NAME:start-end`
        (0-based, half-open). Contigs that resemble each other are not kept together: name them to be sure.

        Args:
            eval_contigs: names of contigs to hold out.
            eval_fraction: share of the bases to hold out when none are named, 0 to 0.5.

        Returns:
            The genome to train on and the genome held out. Both share this one's memory.

        Raises:
            ValueError: no contig of that name (similar names are listed), nothing left to train on, or a fraction
                outside 0 to 0.5.
        """
        if eval_contigs:
            held_out = self._named(eval_contigs)
        elif not 0 <= eval_fraction <= 0.5:
            raise ValueError(f"eval_fraction is {eval_fraction}, but it must be between 0 and 0.5.")
        else:
            held_out = self._by_hash(eval_fraction)
            if held_out is None:
                return self._without_tail(max(1, round(eval_fraction * self.total_bases)))
        return self._select(~held_out), self._select(held_out)

    def _named(self, eval_contigs: list[str]) -> np.ndarray:
        index = {name: i for i, name in enumerate(self.names)}
        held_out = np.zeros(len(self), dtype=bool)
        for name in eval_contigs:
            if name not in index:
                near = similar_contigs(name, self.names)
                raise ValueError(f"There is no contig {name!r} among the {len(self)}. Similar: {near}.")
            held_out[index[name]] = True
        if held_out.all():
            raise ValueError(f"All {len(self)} contigs are held out; nothing is left to train on. Name fewer.")
        return held_out

    def _by_hash(self, eval_fraction: float) -> np.ndarray | None:
        """Mask of the contigs to hold out, shape `(contigs,)`; `None` if the small enough ones are too few."""
        held_out = np.zeros(len(self), dtype=bool)
        wanted = eval_fraction * self.total_bases
        if not wanted:
            return held_out
        small = np.flatnonzero(self.lengths <= max(_LARGEST_HELD_OUT, eval_fraction) * self.total_bases)
        if len(self) == 1 or self.lengths[small].sum() < wanted:
            return None
        keys = [hashlib.blake2b(self.names[i].encode(), digest_size=8).digest() for i in small]
        order = small[sorted(range(len(small)), key=keys.__getitem__)]
        count = int(np.searchsorted(np.cumsum(self.lengths[order]), wanted)) + 1
        held_out[order[:count]] = True
        return held_out

    def _without_tail(self, bases: int) -> tuple["GenomeBases", "GenomeBases"]:
        largest = int(self.lengths.argmax())
        end = int(self.lengths[largest])
        cut = end - bases
        if cut < 1:
            raise ValueError(
                f"The largest contig, {self.names[largest]}, has {end} bases: too few to hold out {bases} of them."
            )
        train = self._select(np.ones(len(self), dtype=bool))
        train.lengths[largest] = cut
        name, start = f"{self.names[largest]}:{cut}-{end}", self.starts[largest] + cut
        return train, GenomeBases(self.bases, [name], [start], [bases], self.inputs)

    def _select(self, mask: np.ndarray) -> "GenomeBases":
        names = [self.names[i] for i in np.flatnonzero(mask)]
        return GenomeBases(self.bases, names, self.starts[mask], self.lengths[mask], self.inputs)


def check_held_out(eval_contigs: list[str], eval_fraction: float):
    """Make sure that something is held out: every run reports on DNA it was not trained on.

    Raises:
        ValueError: no contig is named and the fraction is 0.
    """
    if not eval_contigs and eval_fraction <= 0:
        raise ValueError(f"--eval-fraction {eval_fraction} holds nothing out: give more, or name --eval-contigs.")
