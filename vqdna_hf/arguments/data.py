"""Arguments of the commands that make and check data and hand-made vocabularies."""

from dataclasses import dataclass
from typing import Literal

from ..options import SEED, Arguments, option, required


TaskFormat = Literal["auto", "csv", "parquet"]
TokenizerKind = Literal["character", "kmer", "bpe"]


@dataclass(kw_only=True)
class TasksArguments(Arguments):
    """The datasets of the paper."""

    family: str | None = option(None, "only one family: EMP, TFP-H, TFP-M, PD, CPD, SSP, CVC, EEP or SC")
    json: bool = option(False, "print everything the catalogue knows, as JSON")


@dataclass(kw_only=True)
class SpeciesTaskArguments(Arguments):
    """Species classification from genomes: windows, and the species as their class."""

    fasta: list[str] = option([], "SPECIES=PATH, a FASTA file or a folder of them; give it once per species or file")
    directory: str | None = option(None, "directory with a FASTA file or folder per species, instead of --fasta")
    output: str = required("directory to write")
    length: int = option(1000, "window, in bases", at_least=1, at_most=1_000_000)
    train_rows: int = option(1000, "windows of each species to train on", at_least=1)
    dev_rows: int = option(100, "windows of each species in dev", at_least=1)
    test_rows: int = option(100, "windows of each species in test", at_least=1)
    dev_contigs: list[str] = option([], "contigs of dev: NAME for every species, or SPECIES=NAME")
    test_contigs: list[str] = option([], "contigs of test: NAME for every species, or SPECIES=NAME")
    random_strand: bool = option(False, "read half of the windows backward")
    max_unknown: float = option(0.05, "share of unknown bases up to which a window is taken", at_least=0, below=1)
    format: TaskFormat = option("auto", "auto is csv up to 10,000 bases, parquet above")
    seed: int = option(0, "seed of the windows and strands; the contigs of a split do not depend on it", **SEED)


@dataclass(kw_only=True)
class AuditArguments(Arguments):
    """Check datasets for copies across splits, contradictory labels, overlap and shortcuts."""

    POSITIONAL = ("task",)

    task: list[str] = option(
        [], "name of the catalogue (`vqdna tasks`) or directory; all in --data-dir when not given"
    )
    data_dir: str | None = option(None, "folder in GUE's layout; the Hub when not given")
    kmer: int = option(
        31, "length of the shared k-mers that count as overlap, in bases", at_least=1, at_most=1_000_000
    )
    output: str | None = option(None, "JSON file to write, with the row numbers of the clean test rows")


@dataclass(kw_only=True)
class OneHotTokenizerArguments(Arguments):
    """Write the one-hot control."""

    output: str = required("directory to write")


@dataclass(kw_only=True)
class BaselineTokenizerArguments(Arguments):
    """Write a hand-made vocabulary."""

    kind: TokenizerKind = required("kind of tokens")
    output: str = required("directory to write")
    k: int = option(6, "bases of a k-mer", at_least=2, at_most=8)
    overlapping: bool = option(True, "a k-mer at every base, as DNABERT; otherwise side by side")
    vocab_size: int = option(4096, "tokens of a BPE, the special ones included", at_least=9, at_most=2**24)
    file: str | None = option(None, "tokenizer.json of a BPE to take instead of learning one")
    fasta: list[str] = option([], "FASTA file to learn a BPE from, plain or compressed; give it once per file")
    corpus: str | None = option(None, "directory that `vqdna tokenize` wrote, to learn a BPE from its train windows")
    max_bases: int = option(20_000_000, "bases to learn a BPE from, drawn at random where there are more", at_least=2)
    length: int = option(1000, "windows that FASTA files are cut into, in bases", at_least=2, at_most=1_000_000)
    eval_contigs: list[str] = option([], "contig not to learn from; about --eval-fraction when none is named")
    eval_fraction: float = option(
        0.01, "part of the bases not to learn from when no contig is named", at_least=0, at_most=0.5
    )
    seed: int = option(42, "seed of the choice of windows", **SEED)
