"""Vocabularies and models of directories and of the checkpoints that come with the package."""

from pathlib import Path

from ..modeling.configuration_vqdna import VQDNAConfig
from ..modeling.tokenization_vqdna import VQDNATokenizer
from ..runs.directories import check_model_files, read_directory
from . import DEFAULT_CHECKPOINT, list_checkpoints, resolve_checkpoint


def is_vocabulary(directory: str) -> bool:
    """Whether a directory, or a checkpoint of the package, holds a vocabulary and no encoder."""
    return read_directory(resolve_checkpoint(directory)).kind == "vocabulary"


def is_other_model(source: str) -> bool:
    """Whether a directory, or else a repository of the Hub, holds a model that is none of ours."""
    check_model_files(source)
    if not Path(source).is_dir():
        return "/" in source and not source.startswith(("/", "."))
    return read_directory(source).is_foreign


def check_model_directory(directory: str):
    """Make sure that a directory, or a checkpoint of the package, holds an encoder and not only a vocabulary.

    Raises:
        ValueError: says what it holds and what to do.
        StrictDataclassError: a field of its configuration that no model can have.
    """
    place = Path(resolve_checkpoint(directory))
    held = read_directory(place)
    if held.model_type != VQDNAConfig.model_type or not any(place.glob("model*.safetensors*")):
        found = {"vocabulary": "a vocabulary", "adapter": "an adapter", "model": "a configuration without weights"}
        found = found.get(held.kind, "no model")
        raise ValueError(
            f"{directory} holds {found}, but a pre-trained encoder is needed: {DEFAULT_CHECKPOINT}, which comes with "
            "the package, or the directory that `vqdna pretrain` wrote."
        )
    # as it stands: a task's own fields are put over it when a model is built, and adapters read it again when saved
    VQDNAConfig.from_pretrained(place)


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


def share_table(model, tokenizer: VQDNATokenizer):
    """Let a model and its tokenizer both have the table of their vocabulary, where one of them has it.

    The other may have been saved before the vocabulary was compiled, and would make its codes by the network.

    Args:
        model: has a `codec` of the tokenizer's vocabulary.
    """
    codecs = (model.codec, tokenizer.codec)
    for codec, other in (codecs, codecs[::-1]):
        if codec.table is None:
            codec.table = other.table


def remade(tokenizer: VQDNATokenizer, **changes) -> VQDNATokenizer:
    """A tokenizer like another one: its codec, its largest length, its sides and its sizes, but for `changes`."""
    kept = ("codec", "batch_bases", "chunk_length", "model_max_length", "padding_side", "truncation_side")
    kept += ("return_nucleotide_ids",)
    return VQDNATokenizer(**{**{name: getattr(tokenizer, name) for name in kept}, **changes})
