"""Sequences on disk and in memory: FASTA files, training windows, downstream tasks, and the pre-training corpus."""

from .corpus import Corpus, CorpusError, write_corpus
from .fasta import FastaError, GenomeBases, read_fasta
from .tasks import TaskDataError, TaskInfo, load_task_files
from .windows import NucleotideCollator, WindowDataset, iter_windows


__all__ = [
    "Corpus",
    "CorpusError",
    "FastaError",
    "GenomeBases",
    "NucleotideCollator",
    "TaskDataError",
    "TaskInfo",
    "WindowDataset",
    "iter_windows",
    "load_task_files",
    "read_fasta",
    "write_corpus",
]
