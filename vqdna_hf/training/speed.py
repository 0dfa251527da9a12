"""Options that make a run faster or smaller, and change its results by no more than rounding."""

from transformers import PreTrainedModel, TrainingArguments


# the name since transformers 5.23, which deprecates the older one
CHECKPOINTING = (
    "activation_checkpointing" if hasattr(TrainingArguments, "activation_checkpointing") else "gradient_checkpointing"
)


def speed_arguments(arguments) -> dict[str, bool]:
    """The fields of `TrainingArguments` that `--gradient-checkpointing` and `--compile` stand for."""
    return {CHECKPOINTING: arguments.gradient_checkpointing, "torch_compile": arguments.compile}


def set_attention(model: PreTrainedModel, implementation: str | None):
    """Choose how a model computes its attention; None leaves the model's own choice.

    Args:
        implementation: what transformers knows by that name: `sdpa`, `eager`, `flash_attention_2` and so on, or
            what has been registered with its `AttentionInterface`.

    Raises:
        ValueError: there is no such implementation, the model cannot use it, or a package for it is missing.
    """
    if implementation is None:
        return
    try:
        model.set_attn_implementation(implementation)
    except (ImportError, ValueError) as error:
        raise ValueError(f"--attn-implementation {implementation} cannot be used here: {error}") from error
