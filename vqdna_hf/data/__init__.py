"""Sequences on disk and in memory: FASTA files, windows, corpora, codes of genomes."""

from .base_labels import align_labels
from .corpus import Corpus, CorpusError
from .corpus_writing import write_corpus
from .fasta import FastaError, FastaStream, read_fasta
from .genome_bases import GenomeBases
from .genome_codes import GenomeCodes, GenomeCodesError
from .genome_writing import write_genome_codes
from .windows import NucleotideCollator, WindowDataset, iter_windows


__all__ = [
    "Corpus",
    "CorpusError",
    "FastaError",
    "FastaStream",
    "GenomeBases",
    "GenomeCodes",
    "GenomeCodesError",
    "NucleotideCollator",
    "WindowDataset",
    "align_labels",
    "iter_windows",
    "read_fasta",
    "write_corpus",
    "write_genome_codes",
]
