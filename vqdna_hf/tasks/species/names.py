"""Which species of Table A1 a file, a folder or a FASTA header belongs to.

Names are compared word by word, in lower case and without punctuation: `Saccharomyces_cerevisiae`, `saccharomyces
cerevisiae S288C` and `NC_001133.9 Saccharomyces cerevisiae S288C chromosome I` are all Saccharomyces Cerevisiae. A
name of one word is a species of that genus without a name of its own (`Vibrio sp. 1180_3`), not any other (`Vibrio
cholerae`).
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import PurePosixPath

from ..catalogue import list_species


# what stands between the genus and a strain, in folders of the NCBI and headers of its files
_FILLERS = {"sp", "spp", "cf", "strain", "str", "isolate"}
# words of Table A1 for which the files use others
_OTHER_NAMES = {"homo sapiens": "Human"}
_ACCESSION = re.compile(r"(GC[AF]_\d+|[A-Z]{1,6}_?\d{5,})", re.IGNORECASE)
# folders and ends of file names that name no species
_NO_NAMES = {
    "archaea", "bacteria", "dna", "fa", "fasta", "fna", "fungi", "genbank", "genome", "genomes", "genomic", "gz",
    "invertebrate", "latest_assembly_versions", "protozoa", "refseq", "test", "toplevel", "train", "validation",
    "vertebrate_mammalian", "vertebrate_other",
}  # fmt: skip


def words(name: str) -> tuple[str, ...]:
    """The words of a name: lower case letters and digits, without `sp.` and its like."""
    found = re.findall(r"[a-z0-9]+", name.lower())
    return tuple(word for word in found if word not in _FILLERS)


def some(names: Sequence[str], most: int = 10, separator: str = ", ") -> str:
    """Names for a message: the first of them, and how many there are more."""
    return separator.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def match_species(name: str, names: Iterable[str] | None = None) -> str | None:
    """The species whose name a text begins with, or None; the longest, where several fit.

    Args:
        name: for example a folder's name, or a FASTA header without its first word.
        names: to look among; those of Table A1 by default.
    """
    table = _table(tuple(one.name for one in list_species()) if names is None else tuple(names))
    text = words(name)
    for size in range(len(text), 0, -1):
        found = table.get(text[:size])
        if found is not None and (size > 1 or _is_unnamed(name, text)):
            return found
    return None


@cache
def _table(names: tuple[str, ...]) -> dict[tuple[str, ...], str]:
    table = {words(name): name for name in names}
    return table | {words(other): name for other, name in _OTHER_NAMES.items() if name in names}


def _is_unnamed(name: str, text: tuple[str, ...]) -> bool:
    """Whether what follows the first word is no epithet: nothing, `sp.`, or a strain, which has digits."""
    rest = re.findall(r"[a-z0-9]+", name.lower())[1:]
    return not rest or rest[0] in _FILLERS or any(letter.isdigit() for letter in rest[0])


def names_in_path(path: str) -> list[str]:
    """The parts of a path that may name a species, the last one first; none for a path of accessions.

    Example: `refseq/fungi/Mucor_saturninus/GCA_016758965.1_ASM1675896v1_genomic.fna.gz` -> `["Mucor_saturninus"]`
    """
    parts = list(PurePosixPath(path).parts) or [""]
    while "." in parts[-1] and parts[-1].rsplit(".", 1)[1].lower() in _NO_NAMES | {"bgz", "parquet"}:
        parts[-1] = parts[-1].rsplit(".", 1)[0]
    return [part for part in reversed(parts) if part and not _ACCESSION.match(part) and part.lower() not in _NO_NAMES]


def species_of_path(path: str, names: Iterable[str] | None = None) -> str | None:
    """The species that a part of the path names, or None."""
    return next((found for part in names_in_path(path) if (found := match_species(part, names))), None)


def species_of_header(header: str, names: Iterable[str] | None = None) -> str | None:
    """The species that a FASTA header names after the record's own name, or None."""
    return match_species(header.partition(" ")[2], names)


def own_name(path: str, header: str = "") -> str:
    """What to call the species of a file that is in no table: by its path, or else by its first header."""
    parts = names_in_path(path)
    if parts:
        return parts[0].replace("_", " ")
    return " ".join(header.partition(" ")[2].split()[:2]) or path
