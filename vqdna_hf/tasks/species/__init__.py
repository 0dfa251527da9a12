"""Species classification, and the genomes of the paper's species: drawn from FASTA files."""

from .draw import SpeciesPlan, plan_species_task, species_task
from .genome_files import GenomeSourceError
from .genomes import genome_of, multi_species_genomes


__all__ = [
    "GenomeSourceError",
    "SpeciesPlan",
    "genome_of",
    "multi_species_genomes",
    "plan_species_task",
    "species_task",
]
