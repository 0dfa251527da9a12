"""LoRA with targets that exist: the linear layers of the encoder, whatever its architecture; never the codec."""

import re

from peft import LoraConfig, TaskType
from torch import nn

from ..modeling.adapters_vqdna import vocabulary_comment


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
        ValueError: the encoder has no linear layer.
    """
    encoder = model.base_model.encoder
    names = sorted({name.split(".")[-1] for name, module in encoder.named_modules() if isinstance(module, nn.Linear)})
    if not names:
        raise ValueError(f"{type(encoder).__name__} has no linear layer for LoRA to adapt; name target_modules.")
    task_type, heads = _HEADS[type(model).__name__]
    # subtle: "dense" alone would also match the classifier's layer, and "encoder" alone the codec's; the codec's
    # encoder is called `codec.encoder`
    comment = "" if task_type else vocabulary_comment(model.fingerprint())
    targets = comment + rf"(?!.*\bcodec\b)(?:.*\.)?encoder\.(?:.*\.)?(?:{'|'.join(map(re.escape, names))})"
    values = {
        "r": 8,
        "lora_alpha": 16,
        "lora_dropout": 0.0,
        "target_modules": targets,
        "modules_to_save": heads,
        "task_type": task_type,
    }
    return LoraConfig(**{**values, **overrides})
