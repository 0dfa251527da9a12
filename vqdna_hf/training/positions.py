"""Where the learned positions of a model end, beyond which it cannot read."""

from torch import nn

from ..modeling.checks_vqdna import usable_positions
from ..runs.records import SPLIT_WORDS


# tables of learned positions: of BERT and its like, of GPT-2, of BART
_TABLES = ("position_embeddings", "wpe", "embed_positions")


def learned_positions(model: nn.Module) -> int | None:
    """The most tokens a model can read: those it has learned positions for; None where positions have no end."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in _TABLES:
            return usable_positions(module)
    return None


def limit_tokenizer(tokenizer, model: nn.Module):
    """Let a tokenizer cut where the learned positions of its model end, if it does not cut before."""
    positions = learned_positions(model)
    if positions is not None and positions < tokenizer.model_max_length:
        tokenizer.model_max_length = positions


def check_positions(model: nn.Module, lengths: dict[str, int]):
    """Make sure that a model has positions for the sequences it is to read.

    Args:
        lengths: the longest sequence of each split, in bases; [CLS] and [SEP] come to it.

    Raises:
        ValueError: names the split and both lengths.
    """
    positions = learned_positions(model)
    for split, longest in lengths.items():
        if positions is not None and longest + 2 > positions:
            remedy = f"give --max-length {positions - 2}" if split == "train" else "cut the sequences of the file"
            raise ValueError(
                f"The longest of the {SPLIT_WORDS[split]} has {longest:,} bases, but this encoder has learned "
                f"positions for {positions - 2:,} between [CLS] and [SEP]: {remedy}, or take an encoder with rotary "
                "positions (presets `paper` and `small`)."
            )
