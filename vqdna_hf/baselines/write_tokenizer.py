"""`vqdna baseline-tokenizer`: write a hand-made vocabulary as a tokenizer directory; a BPE is learned from genomes."""

import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from ..arguments.data import BaselineTokenizerArguments
from ..data import Corpus, GenomeBases, WindowDataset, iter_windows
from ..data.windows import check_windows
from ..modeling.nucleotides_vqdna import ids_to_bases
from ..runs.files import adding_to_directory, write_json
from ..runs.records import package_versions
from ..runs.resume import find_checkpoint
from .tokenizers import build_tokenizer, tokenizer_kind


logger = logging.getLogger(__name__)


def write_baseline_tokenizer(arguments: BaselineTokenizerArguments) -> PreTrainedTokenizerFast:
    """Save a character, k-mer or BPE tokenizer, with `training.json`, which says what it was made from.

    Raises:
        ValueError: options that do not fit together, nothing to learn from, or a directory that holds something else.
    """
    output = Path(arguments.output)
    sources = [name for name in ("file", "fasta", "corpus") if getattr(arguments, name)]
    if arguments.kind == "bpe" and len(sources) != 1:
        raise ValueError(
            "A BPE needs one source, --fasta, --corpus or --file, and "
            f"{' and '.join(f'--{name}' for name in sources) or 'none'} was given."
        )
    if arguments.kind != "bpe" and sources:
        raise ValueError(f"--{sources[0]} is what a BPE is learned from; --kind {arguments.kind} takes none.")
    find_checkpoint(output, resume=True, result="tokenizer_config.json")  # refuses a finished run
    inputs = []
    if arguments.kind != "bpe":
        tokenizer = build_tokenizer(arguments.kind, arguments.k, arguments.overlapping)
    elif arguments.file:
        tokenizer = build_tokenizer("bpe", file=arguments.file)
    else:
        windows, inputs = training_windows(arguments)
        logger.info("Learning %d tokens from up to %d bases", arguments.vocab_size, arguments.max_bases)
        tokenizer = build_tokenizer(
            "bpe", sequences=windows, vocab_size=arguments.vocab_size, show_progress=logger.isEnabledFor(logging.INFO)
        )
    record = {
        "tokenizer": tokenizer_kind(tokenizer) | {"vocab_size": len(tokenizer)},
        "inputs": inputs,
        "arguments": {key: value for key, value in asdict(arguments).items() if key != "output"},
        "versions": package_versions(),
    }
    # its record comes last, when the tokenizer is there
    with adding_to_directory(output, "training.json") as partial:
        tokenizer.save_pretrained(partial)
        write_json(partial / "training.json", record)
    logger.info("The tokenizer of %d tokens is in %s", len(tokenizer), output)
    return tokenizer


def training_windows(arguments: BaselineTokenizerArguments) -> tuple[Iterator[str], list[dict] | None]:
    """What a BPE is learned from, up to `max_bases`, and the record of the files it comes from.

    Of FASTA files all windows, or, where there are more bases, random windows of either strand; of a corpus its train
    windows in random order.

    Raises:
        ValueError: fewer bases than one window; see `GenomeBases` and `Corpus` for what they refuse.
    """
    if not 1 < arguments.length <= arguments.max_bases:
        raise ValueError(
            f"--length {arguments.length} and --max-bases {arguments.max_bases} give no window: both must be at "
            "least 2, and the length no more than the bases."
        )
    if arguments.corpus:
        corpus = Corpus.load(arguments.corpus)
        return _corpus_windows(corpus, arguments.max_bases, arguments.seed), corpus.manifest.get("inputs")
    genome = GenomeBases.from_fasta(arguments.fasta)
    train, _ = genome.split(arguments.eval_contigs or None, arguments.eval_fraction)
    check_windows(train, arguments.length, 1, "train", "Give FASTA files with known bases.")
    if train.total_bases <= arguments.max_bases:
        return (ids_to_bases(ids) for *_, ids in iter_windows(train, arguments.length)), train.inputs
    schedule = [(0, arguments.length)]
    windows = WindowDataset(train, arguments.max_bases // arguments.length, schedule, arguments.seed)
    return (ids_to_bases(windows[i]["nucleotide_ids"]) for i in range(len(windows))), train.inputs


def _corpus_windows(corpus: Corpus, max_bases: int, seed: int) -> Iterator[str]:
    rows = corpus.split("train").select_columns(["bases"]).with_format("numpy")
    left = max_bases
    for row in np.random.default_rng(seed).permutation(len(rows)):
        ids = rows[int(row)]["bases"][:left]
        yield ids_to_bases(ids)
        left -= len(ids)
        if not left:
            return
