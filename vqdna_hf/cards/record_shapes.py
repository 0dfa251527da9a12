"""What the files that a card is made from hold, as far as a card reads it: shapes for `check_fields`."""

from pathlib import Path

from ..runs.files import check_fields


_NONE, _NUMBER = type(None), float
# a score that is no number, such as a correlation with what never varies, is written as null
_SCORE = (_NUMBER, _NONE)
_INPUTS = [{"file": str, "bases": _NUMBER}]
# of either stage before fine-tuning, wherever there are any
_NUMBERS = ("max_steps", "batch_size", "gradient_accumulation_steps", "warmup_steps", "seed", "learning_rate")
_OPTIONS = dict.fromkeys((*_NUMBERS, "weight_decay"), _NUMBER) | {"bf16": bool}
_SHARES = ("accuracy", "base_accuracy", "neighbours_base_accuracy", "denoising_hidden_accuracy")
_EVAL = {f"{name}?": _NUMBER for name in _SHARES}
_RUN = {"fingerprint?": str, "eval?": _EVAL, "versions?": {"*": str}}
_RUN |= {"processes?": (int, _NONE), "seconds?": _NUMBER}
_VOCABULARY = _RUN | {
    "inputs?": (_INPUTS, _NONE),
    "bases?": {"held_out": _NUMBER},
    "arguments?": _OPTIONS | {"length": int, "warmup_length": (int, _NONE), "clean_steps?": (_NUMBER, _NONE)},
}
_ENCODER = _RUN | {
    "corpus?": {"inputs?": (_INPUTS, _NONE), "window?": (int, _NONE)},
    "arguments?": _OPTIONS | {"masking": str, "mask_ratio": _NUMBER, "model?": (str, _NONE)},
    "parameters?": _NUMBER,
    "vocabulary?": _VOCABULARY,
}
_RECIPE = dict.fromkeys(("epochs", "batch_size", "gradient_accumulation_steps"), _NUMBER)
_RECIPE |= {"learning_rate": (_NUMBER, _NONE), "pooling_bins": (int, _NONE)}
_RECIPE |= {"rc_augment": bool, "strand_average": bool}
_RESULT = {
    **{"task": str, "mode": str, "seed": int, "metric": str, "dev": {"*": _SCORE}, "test": {"*": _SCORE}},
    "fingerprint?": str,
    "arguments?": {"pooling?": str},
    "counts?": {"*": _NUMBER},
    "versions?": {"*": str},
}
_CONFIG = {"architectures?": ([str], _NONE), "encoder_config?": dict, "codec_config?": dict, "model_type?": str}
_SHAPES = {
    "config": _CONFIG | {"vocabulary_fingerprint?": (str, _NONE)},
    "tokenizer_config": {"vocabulary_fingerprint?": (str, _NONE)},
    "adapter_config": {"auto_mapping?": (dict, _NONE), "modules_to_save?": ([str], _NONE)},
    "trainer_state": {"global_step": _NUMBER, "max_steps": _NUMBER, "epoch?": (_NUMBER, _NONE)}
    | {"log_history?": [dict]},
    "card": {
        **dict.fromkeys(("repo_id?", "made_with?", "training_data?", "compute?"), str),
        **{"published?": bool, "datasets?": ([str], str), "limitations?": [str]},
        "benchmarks?": [{"file": str, "title": str, "model": str, "text": str, "published?": [str]}],
        "codebook?": {"text": str, "figures": [{"file": str, "caption": str}]},
    },
}
SCORES = {
    "scores": [
        {
            **dict.fromkeys(("task", "model", "mode", "metric"), str),
            "seeds": [int],
            "test": {"mean": _NUMBER, "sd": (_NUMBER, _NONE)},
            "test_clean": ({"mean": _NUMBER, "sd": (_NUMBER, _NONE)}, _NONE),
            "clean_rows?": (int, _NONE),
            "interval?": ([_NUMBER], _NONE),
        }
    ]
}


def check_record(content: dict, name: str, path: Path):
    """Check a file that a card is made from.

    Args:
        content: what it holds.
        name: its name, without the suffix.
        path: what to call it.

    Raises:
        ValueError: names the file and the field that is missing, or is of another kind.
    """
    shape = _SHAPES.get(name, {})
    if name == "results":
        shape = _of_a_result(content)
    elif name == "training":
        shape = _of_an_encoder(content) if "corpus" in content else _of_a_vocabulary(content)
    elif name == "adapter_config" and "r" in content:
        shape = shape | {"r": int, "lora_alpha": _NUMBER, "lora_dropout": _NUMBER}
    check_fields(content, shape, path)


def _of_a_vocabulary(content) -> dict:
    """The shape of a vocabulary's record: each level whose use was counted has all that is counted with it."""
    scores = content.get("eval") if isinstance(content, dict) else None
    scores = scores if isinstance(scores, dict) else {}
    levels = [name.removeprefix("usage_") for name in scores if name.startswith("usage_")]
    if not levels:
        return _VOCABULARY
    counted = {f"{name}_{level}": _NUMBER for level in levels for name in ("usage", "perplexity")}
    return _VOCABULARY | {"eval?": _EVAL | {"accuracy": _NUMBER} | counted}


def _of_an_encoder(content) -> dict:
    vocabulary = content.get("vocabulary") if isinstance(content, dict) else None
    return _ENCODER | {"vocabulary?": _of_a_vocabulary(vocabulary)}


def _of_a_result(content: dict) -> dict:
    """The shape of a `results.json`: its metric is among its scores, and its recipe whole or not there."""
    shape, metric = dict(_RESULT), content.get("metric")
    if isinstance(metric, str):
        shape |= {split: {metric: _SCORE, "*": _SCORE} for split in ("dev", "test")}
    shape |= {"encoder?": _of_an_encoder(content.get("encoder"))}
    shape |= {"vocabulary?": _of_a_vocabulary(content.get("vocabulary"))}
    options = content.get("arguments")
    if isinstance(options, dict) and "pooling" in options and content.get("counts"):
        shape |= {"arguments": {"pooling": str} | _RECIPE}
        shape |= {"counts": {split: _NUMBER for split in ("train", "dev", "test")}}
    return shape
