"""The contigs of several FASTA files in pieces: blocks with the bases on either side that their codes depend on.

All coordinates are 0-based and half-open.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from .fasta import FastaError, FastaStream
from .genome_bases import contig_names, file_labels


@dataclass(frozen=True)
class Piece:
    """A block of a contig with the bases around it that its codes depend on.

    Attributes:
        contig, start, end: where the block lies.
        ids: nucleotide ids of the block and its surroundings, `uint8`; the block is `ids[left : left + end - start]`.
        left: bases before the block, fewer than the halo only at the beginning of the contig.
    """

    contig: str
    start: int
    end: int
    ids: np.ndarray
    left: int

    @property
    def block(self) -> np.ndarray:
        """Nucleotide ids of the block alone, shape `(end - start,)`: a view."""
        return self.ids[self.left : self.left + self.end - self.start]


def pieces_of(blocks: Iterable[tuple[str, int, np.ndarray]], halo: int) -> Iterator[Piece]:
    """Add `halo` bases on either side to each block, where the contig has them.

    Args:
        blocks: as `FastaStream` gives them, none but the last of a contig shorter than the halo.
        halo: bases on either side of a position that can change its code.
    """
    held, before = None, np.zeros(0, dtype=np.uint8)
    for contig, start, ids in blocks:
        if held is not None:
            same = held[0] == contig
            yield _piece(*held, before, ids[:halo] if same else ids[:0])
            # a slice from -0 would be the whole block
            before = held[2][max(0, held[2].size - halo) :] if same else ids[:0]
        held = (contig, start, ids)
    if held is not None:
        yield _piece(*held, before, held[2][:0])


def _piece(contig: str, start: int, ids: np.ndarray, before: np.ndarray, after: np.ndarray) -> Piece:
    return Piece(contig, start, start + ids.size, np.concatenate([before, ids, after]), before.size)


def measure_contigs(paths: list[Path], progress: bool = True) -> dict[str, int]:
    """Read files once, to their end, and check them: the length in bases of each contig, in order.

    A name that several files have gets the file's before it, as in `GenomeBases`: `hg38:chr1`.

    Raises:
        FastaError: as `FastaStream`.
    """
    lengths = {}
    total = sum(path.stat().st_size for path in paths if path.is_file())
    with tqdm(total=total, desc="Checking FASTA", unit="B", unit_scale=True, disable=not progress) as bar:
        for path, label in zip(paths, file_labels(paths)):
            stream, shown = FastaStream(path, block_length=1 << 20), 0
            for contig, start, ids in stream:
                lengths[label, contig] = start + ids.size
                bar.update(stream.consumed - shown)
                shown = stream.consumed
            bar.update(stream.size - shown)
    names = contig_names(lengths)
    for name, count in Counter(names).items():
        if count > 1:
            raise FastaError(f"Two contigs would be called {name!r}: rename one, or one of the files.")
    return dict(zip(names, lengths.values()))


def stream_contigs(
    paths: list[Path], contigs: Collection[str], block_length: int
) -> Iterator[tuple[str, int, np.ndarray]]:
    """The blocks of several files, as `FastaStream` gives them, under the names in `contigs` (`measure_contigs`)."""
    for path, label in zip(paths, file_labels(paths)):
        for name, start, ids in FastaStream(path, block_length):
            yield name if name in contigs else f"{label}:{name}", start, ids
