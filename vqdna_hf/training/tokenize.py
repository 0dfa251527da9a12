"""Stage 2, first part, as a function: FASTA files in, a corpus of windows or the codes of whole contigs out."""

import logging
import os
from pathlib import Path

from ..checkpoints import DEFAULT_CHECKPOINT, list_checkpoints, resolve_checkpoint
from ..data import Corpus, GenomeBases, GenomeCodes, write_corpus, write_genome_codes
from ..data.code_workers import check_workers
from ..data.windows import check_windows
from ..files import read_json
from ..modeling.configuration_vqdna import VQDNACodecConfig, VQDNAConfig
from ..modeling.tokenization_vqdna import VQDNATokenizer
from .arguments import TokenizeArguments
from .launched import process_place
from .train_tokenizer import check_held_out


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
    place = process_place()
    genome = GenomeBases.from_fasta(arguments.fasta, progress=place[0] == 0)
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
        place=place,
    )
    if place[0] == 0:
        logger.info("The corpus is in %s", arguments.output)
    return corpus


def _tokenize_contigs(arguments: TokenizeArguments) -> GenomeCodes:
    defaults = TokenizeArguments(output=arguments.output)
    for name in _ONLY_WINDOWS:
        if getattr(arguments, name) != getattr(defaults, name):
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is about windows, and --contigs stores none: leave it out.")
    rank, processes = process_place()
    # the main process of a launch has workers of its own, as many as were launched beside it
    workers = 1 if rank else max(arguments.workers, int(os.environ.get("LOCAL_WORLD_SIZE", processes)))
    tokenizer = load_tokenizer(arguments.tokenizer or DEFAULT_CHECKPOINT)
    genome = write_genome_codes(arguments.fasta, arguments.output, tokenizer, workers=workers, place=(rank, processes))
    if rank == 0:
        logger.info("The codes of %s contigs are in %s", f"{len(genome.contigs):,}", arguments.output)
    return genome


def is_vocabulary(directory: str) -> bool:
    """Whether a directory, or a checkpoint of the package, holds a vocabulary and no encoder."""
    place = Path(resolve_checkpoint(directory))
    kind = _model_type(place)
    if kind is None:  # adapters and probes have a vocabulary beside them
        alone = not any((place / name).is_file() for name in ("adapter_config.json", "probe.json"))
        return alone and (place / "codec_config.json").is_file()
    return kind == VQDNACodecConfig.model_type


def check_model_directory(directory: str):
    """Make sure that a directory, or a checkpoint of the package, holds an encoder and not only a vocabulary.

    Raises:
        ValueError: says what it holds and what to do.
        StrictDataclassError: a field of its configuration that no model can have.
    """
    place = Path(resolve_checkpoint(directory))
    kind = _model_type(place)
    if kind != VQDNAConfig.model_type or not any(place.glob("model*.safetensors*")):
        found = "a configuration without weights" if kind == VQDNAConfig.model_type else "no model"
        if is_vocabulary(directory):
            found = "a vocabulary"
        if (place / "adapter_config.json").is_file():
            found = "an adapter"
        raise ValueError(
            f"{directory} holds {found}, but a pre-trained encoder is needed: {DEFAULT_CHECKPOINT}, which comes with "
            "the package, or the directory that `vqdna pretrain` wrote."
        )
    # as it stands: a task's own fields are put over it when a model is built, and adapters read it again when saved
    VQDNAConfig.from_pretrained(place)


def _model_type(place: Path) -> str | None:
    path = place / "config.json"
    return read_json(path).get("model_type") if path.is_file() else None


def load_tokenizer(directory: str) -> VQDNATokenizer:
    """Load a tokenizer directory, or the tokenizer of a checkpoint of the package, as one that gives codes.

    What fine-tuning with `--strand-average` wrote has a tokenizer that gives bases; its vocabulary is taken.

    Raises:
        ValueError: there is no such directory, or it holds no VQDNA tokenizer.
    """
    place = resolve_checkpoint(directory)
    if not (Path(place) / "tokenizer_config.json").is_file():
        raise ValueError(
            f"{directory} holds no tokenizer (no tokenizer_config.json). Learn one with `vqdna train-tokenizer` and "
            f"give the directory it wrote, or name one that comes with the package: {', '.join(list_checkpoints())}."
        )
    if not (Path(place) / "codec_config.json").is_file():
        raise ValueError(
            f"{directory} holds a tokenizer, but no learned vocabulary (no codec_config.json). Hand-made tokens go to "
            "`vqdna pretrain --tokenizer`, and in a benchmark file under `tokenizer`."
        )
    return with_codes(VQDNATokenizer.from_pretrained(place))


def with_codes(tokenizer: VQDNATokenizer) -> VQDNATokenizer:
    """The tokenizer, or one of the same vocabulary where it gives bases and not codes."""
    return remade(tokenizer, return_nucleotide_ids=False) if tokenizer.return_nucleotide_ids else tokenizer


def remade(tokenizer: VQDNATokenizer, **changes) -> VQDNATokenizer:
    """A tokenizer like another one: its codec, its largest length, its sides and its sizes, but for `changes`."""
    kept = ("codec", "batch_bases", "chunk_length", "model_max_length", "padding_side", "truncation_side")
    kept += ("return_nucleotide_ids",)
    return VQDNATokenizer(**{**{name: getattr(tokenizer, name) for name in kept}, **changes})
