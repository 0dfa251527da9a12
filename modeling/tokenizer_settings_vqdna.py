"""What may be set on a VQDNA tokenizer: its settings within their ranges, and of special tokens none but its own.

transformers accepts any special token, and any value of a setting, at any time. Here the vocabulary is learned: a
token that is added has no code, and a tokenizer saved with one would never load again. So each is refused where it is
given, to the constructor, to `from_pretrained` or by an assignment, and nothing is changed by a refusal.
"""

import os
from collections.abc import Callable, Mapping

from transformers import PreTrainedTokenizer
from transformers.utils import logging

from .configuration_vqdna import NUM_SPECIAL_TOKENS, SPECIAL_TOKENS


logger = logging.get_logger(__name__)

INPUT_NAMES = ("input_ids", "nucleotide_ids")
# the special tokens by the names that transformers gives them; a BERT has no others
SPECIAL_ROLES = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL_TOKENS))
_FURTHER = ("extra_special_tokens", "additional_special_tokens", "model_specific_special_tokens")


def is_whole(value) -> bool:
    """Whether something is a whole number, NumPy's included."""
    return not isinstance(value, bool) and hasattr(value, "__index__")


# settings, and what each may be
_SETTINGS: dict[str, tuple[Callable, str]] = {
    "batch_bases": (lambda value: value is None or (is_whole(value) and value > 0), "a number of bases, or None"),
    "chunk_length": (lambda value: is_whole(value) and value > 0, "a number of bases"),
    "compile": (lambda value: isinstance(value, bool), "True or False"),
    "model_max_length": (
        # transformers' own "no limit" is also written as a float
        lambda value: (is_whole(value) and value > 0) or value == 1e30,
        "a whole number of ids (leave it out for no limit)",
    ),
    "padding_side": (lambda value: value in ("left", "right"), "'left' or 'right'"),
    "return_nucleotide_ids": (lambda value: isinstance(value, bool), "True or False"),
    "special_tokens_pattern": (lambda value: value == "cls_sep", "'cls_sep'"),
    "truncation_side": (lambda value: value in ("left", "right"), "'left' or 'right'"),
}


def is_other_special_token(name: str, value) -> bool:
    """Whether a setting would change a special token or add one.

    Args:
        name: as transformers has it, for example `pad_token` or `extra_special_tokens`.
        value: a token, several, or `None`.
    """
    if name in SPECIAL_ROLES:
        return str(value) != SPECIAL_ROLES[name]
    if name == "added_tokens_decoder":
        return any(str(token) not in SPECIAL_TOKENS for token in (value or {}).values())
    if name in _FURTHER:
        values = value.values() if isinstance(value, Mapping) else value or ()
        return any(str(token) not in SPECIAL_TOKENS for token in values)
    return name.endswith("_token") and value is not None and not isinstance(value, bool)


def refuse_special_token(name: str, value):
    """Raise the error for a special token that cannot be.

    Raises:
        ValueError: always; names the token and what there is instead.
    """
    if name in SPECIAL_ROLES:
        what = f"{name} cannot become {value!r}: it is {SPECIAL_ROLES[name]!r}"
    elif name in ("bos_token", "eos_token", *_FURTHER):
        what = f"{name} cannot become {value!r}: there is none"
    else:  # whatever it is, it may be a secret
        what = f"{name} cannot be given: it would be a special token"
    raise ValueError(
        f"{what}. The special tokens are {', '.join(SPECIAL_TOKENS)}, and no other can be had: the vocabulary is "
        "learned, one id per combination of codes. Leave them as they are ([PAD] pads, [CLS] begins and [SEP] ends)."
    )


def own_special_tokens(settings: dict) -> dict:
    """A tokenizer's settings with its own special tokens and no others.

    Settings that were loaded from files are put right, with a warning: files can hold what could once be assigned.

    Raises:
        ValueError: the settings come from a caller, and change or add a special token.
    """
    others = [name for name, value in settings.items() if is_other_special_token(name, value)]
    if others and "name_or_path" not in settings:
        refuse_special_token(others[0], settings[others[0]])
    if others:
        logger.warning(
            f"tokenizer_config.json of {settings['name_or_path']} changes {', '.join(others)}, which cannot be: the "
            f"special tokens are {', '.join(SPECIAL_TOKENS)}. They are used; save the tokenizer again to be rid of "
            "this warning."
        )
    kept = {name: value for name, value in settings.items() if name not in others and name != "added_tokens_decoder"}
    return kept | SPECIAL_ROLES


class GuardedTokenizer(PreTrainedTokenizer):
    """A tokenizer that gives `input_ids` or `nucleotide_ids`, with its own special tokens alone."""

    _nucleotides = False

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *init_inputs, **kwargs):
        """As `PreTrainedTokenizer.from_pretrained`; special tokens that a file has otherwise are put right.

        Raises:
            ValueError: as the class, or another special token is asked for.
        """
        for name, value in kwargs.items():
            if is_other_special_token(name, value):
                refuse_special_token(name, value)
        return super().from_pretrained(pretrained_model_name_or_path, *init_inputs, **kwargs)

    def __setattr__(self, name: str, value):
        role = name.removesuffix("s").removesuffix("_id") if name.endswith(("_id", "_ids")) else name
        if role in (*self.SPECIAL_TOKENS_ATTRIBUTES, *_FURTHER, "added_tokens_decoder"):
            token = SPECIAL_TOKENS[value] if role != name and value in range(NUM_SPECIAL_TOKENS) else value
            if is_other_special_token(role, token):
                refuse_special_token(role, value)
            return  # as it is already
        allowed, what = _SETTINGS.get(name, (None, None))
        if allowed is not None and not allowed(value):
            raise ValueError(f"{name}={value!r} cannot be: it is {what}.")
        if name == "model_input_names":
            value = self._input_names(value)
        super().__setattr__(name, value)

    def __getattr__(self, name: str):
        if name.removesuffix("_id") in SPECIAL_ROLES and name.endswith("_id"):
            # subtle: the codes' ids also beside nucleotide ids: Trainer writes them into the model's configuration
            return SPECIAL_TOKENS.index(SPECIAL_ROLES[name.removesuffix("_id")])
        return super().__getattr__(name)

    def add_special_tokens(self, special_tokens_dict: dict, replace_extra_special_tokens: bool = True) -> int:
        """Accept the special tokens there are, which adds none.

        Raises:
            ValueError: any other; nothing is changed.
        """
        for name, value in (special_tokens_dict or {}).items():
            if name not in self.SPECIAL_TOKENS_ATTRIBUTES or is_other_special_token(name, value):
                if name not in ("extra_special_tokens", "additional_special_tokens") or value:
                    refuse_special_token(name, value)
        return 0

    def _input_names(self, names: list[str]) -> list[str]:
        """The model's inputs, of which the ids come first."""
        names = list(names)
        if names[:1] not in ([INPUT_NAMES[0]], [INPUT_NAMES[1]]):
            raise ValueError(
                f"model_input_names={names!r} must begin with {' or '.join(INPUT_NAMES)}, which return_nucleotide_ids "
                "chooses."
            )
        return [INPUT_NAMES[self._nucleotides], *names[1:]]


__all__ = ["INPUT_NAMES", "SPECIAL_ROLES", "GuardedTokenizer", "is_whole", "own_special_tokens"]
