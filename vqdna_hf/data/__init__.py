"""Sequences on disk and in memory: FASTA files, windows, tasks and their catalogue, the corpus, codes of genomes."""

from .base_labels import align_labels
from .benchmark import load_task
from .catalogue import Species, Task, get_task, list_species, list_tasks
from .corpus import Corpus, CorpusError, write_corpus
from .fasta import FastaError, GenomeBases, read_fasta
from .fasta_stream import FastaStream
from .genome_codes import GenomeCodes, GenomeCodesError
from .genome_writing import write_genome_codes
from .multi_species import genome_of, multi_species_genomes
from .multi_species_files import GenomeSourceError
from .species import SpeciesPlan, plan_species_task, species_task
from .tasks import TaskDataError, TaskInfo, load_task_files
from .windows import NucleotideCollator, WindowDataset, iter_windows


__all__ = [
    "Corpus",
    "CorpusError",
    "FastaError",
    "FastaStream",
    "GenomeBases",
    "GenomeCodes",
    "GenomeCodesError",
    "GenomeSourceError",
    "NucleotideCollator",
    "Species",
    "SpeciesPlan",
    "Task",
    "TaskDataError",
    "TaskInfo",
    "WindowDataset",
    "align_labels",
    "genome_of",
    "get_task",
    "iter_windows",
    "list_species",
    "list_tasks",
    "load_task",
    "load_task_files",
    "multi_species_genomes",
    "plan_species_task",
    "read_fasta",
    "species_task",
    "write_corpus",
    "write_genome_codes",
]
