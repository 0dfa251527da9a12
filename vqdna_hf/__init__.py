"""VQDNA: a learned vocabulary for DNA, native to Hugging Face (https://huggingface.co/papers/2405.10812).

Importing the package registers its classes, so that `AutoTokenizer`, `AutoModel` and their like load VQDNA directories
and repositories without `trust_remote_code`.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedConfig,
)

from .modeling.configuration_vqdna import VQDNACodecConfig, VQDNAConfig
from .modeling.modeling_vqdna import (
    VQDNAForMaskedLM,
    VQDNAForSequenceClassification,
    VQDNAForTokenClassification,
    VQDNAModel,
)
from .modeling.modeling_vqdna_codec import VQDNACodecModel
from .modeling.tokenization_vqdna import VQDNATokenizer
from .pipelines import register_pipelines


__version__ = "0.1.0"

AutoConfig.register("vqdna_codec", VQDNACodecConfig, exist_ok=True)
AutoConfig.register("vqdna", VQDNAConfig, exist_ok=True)
AutoModel.register(VQDNACodecConfig, VQDNACodecModel, exist_ok=True)
AutoModel.register(VQDNAConfig, VQDNAModel, exist_ok=True)
AutoModelForMaskedLM.register(VQDNAConfig, VQDNAForMaskedLM, exist_ok=True)
AutoModelForSequenceClassification.register(VQDNAConfig, VQDNAForSequenceClassification, exist_ok=True)
AutoModelForTokenClassification.register(VQDNAConfig, VQDNAForTokenClassification, exist_ok=True)


class _NoModelConfig(PreTrainedConfig):
    """What the tokenizer is registered with, so that it is found by its class name and by nothing else."""


# subtle: a tokenizer registered with a model's own configuration would lose to the remote copy whenever a user passes
# trust_remote_code=True, and its class would not be the one of this package
AutoTokenizer.register(_NoModelConfig, VQDNATokenizer, exist_ok=True)
register_pipelines()


def __getattr__(name: str):
    # PEFT takes seconds to import, and only adapters need it
    if name == "lora_config":
        from .training.lora import lora_config

        return lora_config
    if name == "checkpoint":
        from .checkpoints import checkpoint

        return checkpoint
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
