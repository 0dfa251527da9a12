"""Fields of configurations that check what is put into them: in a constructor, from a file, or by assignment.

Bounds from above are there for what would otherwise not end: a model of a billion layers is built layer by layer.
"""

import math
from collections.abc import Callable

from huggingface_hub.dataclasses import validated_field
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN


MAX_LAYERS, MAX_WIDTH = 1_000, 1_000_000
MAX_BINS, MAX_LABELS = 10_000, 1_000_000
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


def check_integer(name: str, value, low: int, high: int):
    """Refuse what is no whole number from `low` to `high`, with a `ValueError` that names the field and the bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name}={value!r} must be a whole number.")
    if value < low:
        raise ValueError(f"{name}={value} must {'not be negative' if low == 0 else f'be at least {low}'}.")
    if value > high:
        raise ValueError(f"{name}={value} must be at most {high}.")


def check_odd(name: str, value, high: int):
    """Refuse what is no odd number from 1 to `high`, with a `ValueError` that names the field."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or value % 2 == 0:
        raise ValueError(f"{name}={value!r} must be odd and positive, to be centred on a position.")
    check_integer(name, value, 1, high)


def check_fraction(name: str, value):
    """Refuse what does not lie in [0, 1), with a `ValueError` that names the field."""
    if not 0 <= value < 1:  # nan does not either
        raise ValueError(f"{name}={value} must lie in [0, 1).")


def check_positive(name: str, value):
    """Refuse what is not finite and above 0, with a `ValueError` that names the field."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name}={value} must be positive and finite.")


def check_not_negative(name: str, value):
    """Refuse what is not finite or below 0, with a `ValueError` that names the field."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name}={value} must be finite and must not be negative; 0 does without it.")


def check_choice(name: str, value, choices: tuple):
    """Refuse what is none of the choices, with a `ValueError` that names them."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(map(str, choices))}.")


def checked(default, check: Callable, name: str, *bounds):
    """A field whose values pass `check(name, value, *bounds)`; `None` passes where it is the default."""

    def validate(value):
        if value is not None or default is not None:
            check(name, value, *bounds)

    return validated_field(validate, default=default)


def integer(name: str, default: int | None, low: int, high: int):
    """A field of a whole number."""
    return checked(default, check_integer, name, low, high)


def odd(name: str, default: int, high: int = 10_001):
    """A field of the width of a convolution."""
    return checked(default, check_odd, name, high)


def fraction(name: str, default: float):
    """A field of a number in [0, 1)."""
    return checked(default, check_fraction, name)


def positive(name: str, default: float):
    """A field of a finite number above 0."""
    return checked(default, check_positive, name)


def not_negative(name: str, default: float | None):
    """A field of a finite number from 0 on."""
    return checked(default, check_not_negative, name)


def choice(name: str, default, choices: tuple):
    """A field of one of some values."""
    return checked(default, check_choice, name, choices)


class LabelledConfigMixin:
    """Checks the labels of a configuration, which transformers keeps as their names."""

    # subtle: the getter itself, and not a call of it, which would break a compiled graph
    @PreTrainedConfig.num_labels.setter
    def num_labels(self, value: int):
        """How many labels a head predicts."""
        check_integer("num_labels", value, 1, MAX_LABELS)
        PreTrainedConfig.num_labels.fset(self, value)

    def check_labels(self):
        """Check that the labels are numbered from 0.

        Raises:
            ValueError: names the labels and the remedy.
        """
        if set(self.id2label or ()) != set(range(max(len(self.id2label or ()), 1))):
            raise ValueError(
                f"id2label={self.id2label!r:.200} must name the labels 0, 1, ... (numbers, not text) without a gap, "
                "one at least: set num_labels, or name them all."
            )


# fields of stock encoders by their names in transformers, and what they must be
_ENCODER_FIELDS: dict[str, tuple] = {
    "num_hidden_layers": (check_integer, 0, MAX_LAYERS),
    "num_attention_heads": (check_integer, 1, MAX_WIDTH),
    "vocab_size": (check_integer, 1, 2**31),
    "local_attention": (check_integer, 1, 2**31),
    "global_attn_every_n_layers": (check_integer, 1, MAX_LAYERS),
    **{name: (check_integer, 1, MAX_WIDTH) for name in ("hidden_size", "intermediate_size")},
    **{name: (check_integer, 1, 2**31) for name in ("max_position_embeddings", "type_vocab_size")},
    **{
        name: (check_fraction,)
        for name in ("attention_dropout", "embedding_dropout", "mlp_dropout", "classifier_dropout")
    },
    **{name: (check_fraction,) for name in ("hidden_dropout_prob", "attention_probs_dropout_prob")},
    **{
        name: (check_positive,)
        for name in ("norm_eps", "layer_norm_eps", "initializer_range", "initializer_cutoff_factor")
    },
}


def check_encoder_fields(values: dict, where: str = "encoder_config."):
    """Check the fields of an encoder's configuration that transformers does not; unknown ones are left alone.

    Args:
        values: by name. Before the configuration is made of them: that of a billion layers lists them all.
        where: what stands before their names in a message.

    Raises:
        ValueError: names the field, its value and what it must be.
    """
    for name, (check, *bounds) in _ENCODER_FIELDS.items():
        value = values.get(name)
        # what is no number at all, the configuration's own types refuse
        if isinstance(value, (int, float)):
            check(where + name, value, *bounds)
    for name in ("hidden_act", "hidden_activation", "classifier_activation"):
        if isinstance(values.get(name), str):
            check_choice(where + name, values[name], tuple(ACT2FN))
    width, heads = values.get("hidden_size"), values.get("num_attention_heads")
    shared = values.get("head_dim") is None and isinstance(width, int) and isinstance(heads, int)
    if shared and width % heads:
        raise ValueError(
            f"{where}hidden_size={width} must be a multiple of num_attention_heads={heads}: the heads share it."
        )


__all__ = [
    "MAX_BINS",
    "MAX_LABELS",
    "MAX_LAYERS",
    "MAX_WIDTH",
    "PROBLEM_TYPES",
    "LabelledConfigMixin",
    "check_choice",
    "check_encoder_fields",
    "check_fraction",
    "check_integer",
    "check_not_negative",
    "check_odd",
    "check_positive",
    "choice",
    "fraction",
    "integer",
    "not_negative",
    "odd",
    "positive",
]
