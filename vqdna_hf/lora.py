"""LoRA with targets that exist: the linear layers of the encoder, whatever its architecture; never the codec."""

import re

from peft import LoraConfig, TaskType
from torch import nn

from .modeling.adapters_vqdna import vocabulary_comment


# subtle: PEFT takes every module whose name ends like this, and "head" alone would be the codec's decoder.head as well
_HEADS = {
    "VQDNAForSequenceClassification": (TaskType.SEQ_CLS, ["classifier"]),
    "VQDNAForTokenClassification": (TaskType.TOKEN_CLS, ["classifier"]),
    "VQDNAForMaskedLM": (None, ["head.dense", "head.norm", "level_decoder", "base_decoder"]),
    "VQDNAModel": (TaskType.FEATURE_EXTRACTION, None),
}


def lora_config(model, **overrides) -> LoraConfig:
    """A `LoraConfig` with the paper's defaults (r = 8, alpha = 16) for any VQDNA model.

    Args:
        model ([`VQDNAPreTrainedModel`]): its encoder's linear layers become the targets, its heads stay trainable.
        overrides: fields of `LoraConfig` to set otherwise.

    Raises:
        ValueError: the encoder has no linear layer, or the model is none of ours.
    """
    kind = next((name for name in (cls.__name__ for cls in type(model).__mro__) if name in _HEADS), None)
    if kind is None:
        raise ValueError(
            f"lora_config takes a VQDNA model, not {type(model).__name__}. Of one with adapters, give the model "
            "inside: model.get_base_model()."
        )
    encoder = model.base_model.encoder
    # adapters that are there already have put each layer into a wrapper of theirs, as `base_layer`
    linear = {
        name for name, module in encoder.named_modules() if isinstance(module, nn.Linear) and "lora_" not in name
    }
    names = sorted({name.removesuffix(".base_layer").split(".")[-1] for name in linear})
    if not names:
        raise ValueError(f"{type(encoder).__name__} has no linear layer for LoRA to adapt; name target_modules.")
    task_type, heads = _HEADS[kind]
    # subtle: "dense" alone would also match the classifier's layer, and "encoder" alone the codec's; the codec's
    # encoder is called `codec.encoder`
    comment = "" if task_type else vocabulary_comment(model.fingerprint())
    targets = comment + rf"(?!.*\bcodec\b)(?:.*\.)?encoder\.(?:.*\.)?(?:{'|'.join(map(re.escape, names))})"
    values = {
        "r": 8,
        "lora_alpha": 16,
        "lora_dropout": 0.0,
        "target_modules": targets,
        "modules_to_save": heads and list(heads),  # which PEFT extends
        "task_type": task_type,
    }
    return LoraConfig(**{**values, **overrides})
