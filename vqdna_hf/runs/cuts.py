"""What a model does not read of its sequences: counted, said in numbers and recorded; nothing is cut in silence."""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass


logger = logging.getLogger(__name__)

SPLIT_WORDS = {"train": "training sequences", "dev": "dev sequences", "test": "test sequences"}


@dataclass(frozen=True)
class Cut:
    """How many sequences were cut, and to which length.

    Attributes:
        split: `train`, `dev` or `test`; empty where it is no split of a task.
        sequences, of: sequences that were cut, among how many.
        longest: what is kept of each, from its start, in `unit`: `bases`, or `tokens` with the special ones.
    """

    split: str
    sequences: int
    of: int
    longest: int
    unit: str

    def __str__(self) -> str:
        what = SPLIT_WORDS.get(self.split, "sequences")
        return f"{self.sequences:,} of {self.of:,} {what} cut to {self.longest:,} {self.unit}"


def note_cut(cuts: list[Cut], split: str, lengths: Iterable[int], longest: int | None, unit: str = "bases"):
    """Say how many sequences are longer than what is read of them, and append that to `cuts`, if there are any.

    Args:
        lengths: of the whole sequences, in `unit`.
        longest: what is read; all when None.
    """
    if longest is None:
        return
    lengths = list(lengths)
    cut = Cut(split, sum(length > longest for length in lengths), len(lengths), longest, unit)
    if cut.sequences:
        logger.warning("%s: the model does not see what lies behind.", cut)
        cuts.append(cut)


def cut_records(cuts: list[Cut]) -> dict[str, list[dict]]:
    """What a record says of cuts: `cut`, a list with the fields of each; nothing where nothing was cut."""
    return {"cut": [asdict(cut) for cut in cuts]} if cuts else {}


def read_cuts(record: dict) -> list[Cut]:
    """The cuts that a record holds."""
    return [Cut(**fields) for fields in record.get("cut", [])]
