"""What the models refuse: ids that mean nothing, labels at positions that are no base, lengths, and outputs that are
not to be had.

Looking at the values of a tensor is free on a CPU. On another device it means waiting for it, so that each model looks
there at the first batch alone, where a mistake of principle shows; and never while a graph is recorded.
"""

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from .nucleotides_vqdna import CLS_NUCLEOTIDE_ID, NUM_NUCLEOTIDE_IDS, PAD_NUCLEOTIDE_ID, SEP_NUCLEOTIDE_ID


_SPECIAL = {"nucleotide_ids": {CLS_NUCLEOTIDE_ID: "[CLS]", SEP_NUCLEOTIDE_ID: "[SEP]", PAD_NUCLEOTIDE_ID: "[PAD]"}}
_SPECIAL["input_ids"] = {2: "[CLS]", 3: "[SEP]", 0: "[PAD]"}


def is_recorded() -> bool:
    """Whether a graph is recorded: it may neither hold what is true of its example alone, nor be stopped by it."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def may_look(module: nn.Module, what: str, values: torch.Tensor) -> bool:
    """Whether to look at the values of an input: on a CPU always, elsewhere once for each `what` of a module."""
    if is_recorded() or values.device.type == "meta" or not values.numel():
        return False
    if values.device.type == "cpu":
        return True
    seen = module.__dict__.setdefault("_looked_at", set())
    first = what not in seen
    seen.add(what)
    return first


def check_whole_numbers(name: str, ids: torch.Tensor):
    """Refuse ids that are no whole numbers.

    Raises:
        ValueError: names the kind of numbers.
    """
    if ids.dtype.is_floating_point or ids.dtype.is_complex or ids.dtype == torch.bool:
        raise ValueError(f"{name} are {ids.dtype}, but ids are whole numbers: give a tensor of torch.long.")


def check_nucleotide_ids(module: nn.Module, ids: torch.Tensor, attention_mask: torch.Tensor | None = None):
    """Refuse nucleotide ids that are no batch, or that mean nothing: they would be read as unknown, or as outside.

    Args:
        module: whose input it is.
        ids (`torch.Tensor` of shape `(b, l)`), attention_mask (the same, *optional*): where it is 0, anything may
            stand.

    Raises:
        ValueError: names the id and what there is, or the shapes.
    """
    check_whole_numbers("nucleotide_ids", ids)
    check_layout(ids, attention_mask)
    if not may_look(module, "nucleotide_ids", ids):
        return
    if attention_mask is not None:
        ids = ids.masked_fill(attention_mask == 0, PAD_NUCLEOTIDE_ID)
    if (wrong := _outside(ids, NUM_NUCLEOTIDE_IDS)) is not None:
        raise ValueError(
            f"nucleotide_ids hold {wrong}, but they are 0-3 for A, C, G, T; 4 unknown; 5 masked; 6 [CLS]; 7 [SEP]; 8 "
            "[PAD]. Make them of letters with the tokenizer (return_nucleotide_ids=True); ids of tokens are input_ids."
        )


def check_input_ids(module: nn.Module, ids: torch.Tensor, vocab_size: int):
    """Refuse ids outside the vocabulary: the lookup, which takes them modulo the codebook sizes, would fold them in.

    Raises:
        ValueError: names the id and the size.
    """
    check_whole_numbers("input_ids", ids)
    if not may_look(module, "input_ids", ids):
        return
    if (wrong := _outside(ids, vocab_size)) is not None:
        raise ValueError(
            f"input_ids hold {wrong}, outside the vocabulary of {vocab_size} ids. Use the tokenizer that was saved "
            "with the model (see `check_tokenizer`)."
        )


def _outside(ids: torch.Tensor, size: int) -> int | None:
    """An id that is none of `size`; `None` where all are."""
    low, high = (int(value) for value in torch.aminmax(ids))
    return low if low < 0 else high if high >= size else None


def check_layout(ids: torch.Tensor, attention_mask: torch.Tensor | None):
    """Refuse ids that are no batch of rows, and a mask of other rows: both would be spread over each other.

    Raises:
        ValueError: names the shapes.
    """
    if is_recorded():
        return
    if ids.ndim != 2:
        raise ValueError(
            f"The ids have the shape {tuple(ids.shape)}, but models take (batch_size, length): one row a sequence."
        )
    if isinstance(attention_mask, torch.Tensor) and attention_mask.ndim <= 2 and attention_mask.shape != ids.shape:
        raise ValueError(
            f"attention_mask has the shape {tuple(attention_mask.shape)}, but the ids {tuple(ids.shape)}: give one "
            "value per position, 0 at padding."
        )


def check_code_labels(module: nn.Module, labels: torch.Tensor, vocab_size: int):
    """Refuse labels that are no ids: taken modulo the codebook sizes, they would be those of other codes.

    Args:
        labels (`torch.LongTensor` of shape `(b, l)`): ids of the vocabulary, -100 where there is nothing to predict.

    Raises:
        ValueError: names the label and the size.
    """
    if (wrong := _wrong_target(module, "labels", labels, vocab_size)) is not None:
        raise ValueError(
            f"labels hold {wrong}, but labels are ids of the vocabulary of {vocab_size}, or -100 where there "
            "is nothing to predict. Take them from the tokenizer that was saved with the model."
        )


def check_base_targets(module: nn.Module, targets: torch.Tensor):
    """Refuse targets that are no bases.

    Args:
        targets (`torch.LongTensor` of shape `(b, l)`): 0-3, -100 where there is nothing to predict.

    Raises:
        ValueError: names the target.
    """
    if (wrong := _wrong_target(module, "base_targets", targets, 4)) is not None:
        raise ValueError(
            f"base_targets hold {wrong}, but they are 0-3 for A, C, G, T, or -100 where there is nothing to predict."
        )


def _wrong_target(module: nn.Module, name: str, targets: torch.Tensor, size: int) -> int | None:
    """The first target that is neither one of `size` ids nor -100; `None` where there is none, or nobody looks."""
    check_whole_numbers(name, targets)
    if not may_look(module, f"{name}, training={module.training}", targets):
        return None
    wrong = targets[(targets != -100) & ((targets < 0) | (targets >= size))]
    return int(wrong[0]) if wrong.numel() else None


def check_label_shape(name: str, labels: torch.Tensor, shape: torch.Size):
    """Refuse labels of another shape than the batch: they would fall on other positions.

    Raises:
        ValueError: names both shapes.
    """
    if labels.shape != shape:
        raise ValueError(
            f"{name} have the shape {tuple(labels.shape)}, but the inputs {tuple(shape)}: give one label per "
            "position, -100 where there is nothing to predict."
        )


def check_token_labels(module: nn.Module, labels: torch.Tensor, inside: torch.Tensor | None, **ids):
    """Refuse labels at positions that are no base: a list of labels of the bases alone falls one base too early.

    Args:
        labels (`torch.LongTensor` of shape `(b, l)`).
        inside (`torch.BoolTensor` of shape `(b, l)`): true for the bases; `None` when nothing tells.
        ids: `input_ids` and `nucleotide_ids`, one of them or none, to say what stands there.

    Raises:
        ValueError: names the label, its place, what stands there, and what to do.
    """
    if inside is None or not may_look(module, f"labels, training={module.training}", labels):
        return
    wrong = (labels != -100) & ~inside
    if not bool(wrong.any()):
        return
    row, place = wrong.nonzero()[0].tolist()
    name, given = next(((name, value) for name, value in ids.items() if value is not None), ("", None))
    token = "no base" if given is None else _SPECIAL[name].get(int(given[row, place]), "outside the attention_mask")
    raise ValueError(
        f"labels hold {int(labels[row, place])} at position {place} (0-based) of row {row}, which is {token}: the "
        "label of a base belongs to its own id, and [CLS], [SEP] and [PAD] have -100. Labels of the bases alone, one "
        "fewer than ids at the start, fall one base too early; vqdna_hf.data.align_labels(encoded, labels) puts them "
        "in their places."
    )


def usable_positions(table: nn.Embedding) -> int:
    """How many positions a table of learned ones has; what lies before the first (RoBERTa, BART) does not count."""
    return table.num_embeddings - getattr(table, "offset", 0 if table.padding_idx is None else table.padding_idx + 1)


def check_length(encoder: PreTrainedModel, length: int):
    """Refuse sequences that are longer than an encoder's learned positions.

    Raises:
        ValueError: names both lengths and the remedy.
    """
    # subtle: only learned positions end somewhere; rotary ones, as ModernBERT's, do not
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    if not isinstance(table, nn.Embedding):
        return
    places = usable_positions(table)
    if length > places:
        raise ValueError(
            f"A sequence of {length} positions ([CLS] and [SEP] included) is longer than the {places} that this "
            f"{encoder.config.model_type} encoder has learned positions for. Cut it (the tokenizer: "
            f"truncation=True, max_length={places}), or use an encoder with rotary positions (presets `paper` and "
            "`small`)."
        )


def wanted_outputs(config: PreTrainedConfig, encoder: PreTrainedModel, kwargs: dict) -> dict:
    """Which further outputs the call, or else the configuration, asks for.

    Args:
        kwargs: of the call; `output_hidden_states` may name layers, as the encoder takes it.

    Raises:
        ValueError: attentions are asked of an implementation that does not give them.
    """
    wanted = {}
    for name in ("output_hidden_states", "output_attentions"):
        value = kwargs.get(name)
        wanted[name] = getattr(config, name, False) if value is None else value
    implementation = encoder.config._attn_implementation
    if wanted["output_attentions"] and implementation != "eager":  # which would give an empty tuple
        raise ValueError(
            f"output_attentions=True needs attn_implementation='eager', but the encoder's is {implementation!r}, "
            "which never holds the attention weights. Load the model with attn_implementation='eager', or call "
            "model.set_attn_implementation('eager')."
        )
    return wanted


__all__ = [
    "check_base_targets",
    "check_code_labels",
    "check_input_ids",
    "check_label_shape",
    "check_layout",
    "check_length",
    "check_nucleotide_ids",
    "check_token_labels",
    "check_whole_numbers",
    "is_recorded",
    "may_look",
    "usable_positions",
    "wanted_outputs",
]
