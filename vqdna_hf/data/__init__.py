"""Sequences on disk and in memory: FASTA files, training windows, tasks and their catalogue, the corpus."""

from .benchmark import load_task
from .catalogue import Species, Task, get_task, list_species, list_tasks
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
    "Species",
    "Task",
    "TaskDataError",
    "TaskInfo",
    "WindowDataset",
    "get_task",
    "iter_windows",
    "list_species",
    "list_tasks",
    "load_task",
    "load_task_files",
    "read_fasta",
    "write_corpus",
]
