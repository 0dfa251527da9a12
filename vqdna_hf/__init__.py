"""VQDNA: a learned vocabulary for DNA, native to Hugging Face (https://huggingface.co/papers/2405.10812).

Importing the package registers its classes, so that `AutoTokenizer`, `AutoModel` and their like load VQDNA directories
and repositories without `trust_remote_code`, and lets what transformers uploads of them load for those without it. It
imports neither torch nor transformers; the classes do.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .registration import CLASSES, register_classes
from .version import __version__


if TYPE_CHECKING:
    from .checkpoints import checkpoint
    from .lora import lora_config
    from .modeling.configuration_vqdna import VQDNACodecConfig, VQDNAConfig
    from .modeling.modeling_vqdna import (
        VQDNAForMaskedLM,
        VQDNAForSequenceClassification,
        VQDNAForTokenClassification,
        VQDNAModel,
    )
    from .modeling.modeling_vqdna_codec import VQDNACodecModel
    from .modeling.tokenization_vqdna import VQDNATokenizer


__all__ = [
    "VQDNACodecConfig",
    "VQDNACodecModel",
    "VQDNAConfig",
    "VQDNAForMaskedLM",
    "VQDNAForSequenceClassification",
    "VQDNAForTokenClassification",
    "VQDNAModel",
    "VQDNATokenizer",
    "__version__",
    "checkpoint",
    "lora_config",
]

_MODULES = {name: f".modeling.{module}" for name, module in CLASSES.items()}
_MODULES |= {"checkpoint": ".checkpoints", "lora_config": ".lora"}


def __getattr__(name: str):
    if name not in __all__:
        if not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
            return import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_classes()
