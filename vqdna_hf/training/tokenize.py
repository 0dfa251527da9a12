"""Stage 2, first part, as a function: FASTA files in, a corpus of windows or the codes of whole contigs out."""

import logging
import os

from ..arguments.training import TokenizeArguments
from ..checkpoints import DEFAULT_CHECKPOINT
from ..checkpoints.loading import load_tokenizer
from ..data import Corpus, GenomeBases, GenomeCodes, write_corpus, write_genome_codes
from ..data.code_workers import check_workers
from ..data.genome_bases import check_held_out
from ..data.windows import check_windows
from ..runs.processes import rank_and_world_size


logger = logging.getLogger(__name__)


# options that say nothing about whole contigs
_ONLY_WINDOWS = ("window", "min_length", "shard_windows", "eval_contigs", "eval_fraction")


def tokenize(arguments: TokenizeArguments) -> Corpus | GenomeCodes:
    """Cut FASTA files into windows and store their bases, and on request their codes; or store codes of whole contigs.

    Raises:
        ValueError: no FASTA file, no such tokenizer, options that do not go together, or an output directory of
            another run (`CorpusError`, `GenomeCodesError`), or no window of known bases to train or to evaluate on.
    """
    if not arguments.fasta:
        raise ValueError("Give at least one FASTA file with --fasta.")
    check_workers(arguments.workers)
    if arguments.contigs:
        return _tokenize_contigs(arguments)
    if arguments.workers > 1 and not arguments.codes:
        raise ValueError(f"--workers {arguments.workers} needs --codes or --contigs: bases alone are not tokenized.")
    check_held_out(arguments.eval_contigs, arguments.eval_fraction)
    vocabulary = arguments.tokenizer or (DEFAULT_CHECKPOINT if arguments.codes else None)
    tokenizer = None if vocabulary is None else load_tokenizer(vocabulary)
    rank, world_size = rank_and_world_size()
    genome = GenomeBases.from_fasta(arguments.fasta, progress=rank == 0)
    train, held_out = genome.split(arguments.eval_contigs or None, arguments.eval_fraction)
    remedy = "Lower --min-length, or give FASTA files with longer known sequences."
    check_windows(train, arguments.window, arguments.min_length, "train", remedy)
    remedy = "Name other --eval-contigs, raise --eval-fraction or lower --min-length."
    check_windows(held_out, arguments.window, arguments.min_length, "held-out", remedy)
    corpus = write_corpus(
        train,
        held_out,
        arguments.output,
        window=arguments.window,
        min_length=arguments.min_length,
        tokenizer=tokenizer if arguments.codes else None,
        with_codes=arguments.codes,
        shard_windows=arguments.shard_windows,
        fingerprint=None if tokenizer is None else tokenizer.vocabulary_fingerprint,
        inputs=train.inputs,
        workers=arguments.workers,
        rank=rank,
        world_size=world_size,
    )
    if rank == 0:
        logger.info("The corpus is in %s", arguments.output)
    return corpus


def _tokenize_contigs(arguments: TokenizeArguments) -> GenomeCodes:
    defaults = TokenizeArguments(output=arguments.output)
    for name in _ONLY_WINDOWS:
        if getattr(arguments, name) != getattr(defaults, name):
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is about windows, and --contigs stores none: leave it out.")
    rank, world_size = rank_and_world_size()
    # the first process of each machine has workers of its own, as many as were launched there, and the others wait
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world_size))
    number = int(os.environ.get("LOCAL_RANK", rank))
    is_first = not number
    if world_size % local or rank % local != number:
        raise ValueError(
            f"Process {rank} of {world_size} is number {number} of the {local} on its machine: to share a genome, all "
            "machines need as many processes as each other, and LOCAL_WORLD_SIZE says how many."
        )
    machine, machines = rank // local, world_size // local
    genome = write_genome_codes(
        arguments.fasta,
        arguments.output,
        load_tokenizer(arguments.tokenizer or DEFAULT_CHECKPOINT),
        workers=max(arguments.workers, local) if is_first else 1,
        rank=machine if is_first else machines,
        world_size=machines,
    )
    if rank == 0:
        logger.info("The codes of %s contigs are in %s", f"{len(genome.contigs):,}", arguments.output)
    return genome
