"""Tiny vocabularies and models to export, in directories as the commands write them."""

from pathlib import Path

import torch

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNAConfig, VQDNATokenizer
from vqdna_hf.export.export import ExportArguments
from vqdna_hf.modeling.configuration_vqdna import ENCODER_PRESETS


def make_codec(**fields) -> VQDNACodecModel:
    """A codec whose codes are all in use."""
    torch.manual_seed(0)
    codec = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny", **fields)).eval()
    codec.quantizer.kmeans_(codec.latents(torch.randint(4, (1, 500))), total_size=500)
    return codec


def make_model(model_class: type, encoder: str = "modernbert", codec: VQDNACodecModel | None = None, **fields):
    """A tiny model whose outputs depend on everything: weights as large as trained ones."""
    codec = codec or make_codec()
    sizes = ENCODER_PRESETS["tiny"]
    if encoder == "bert":
        sizes = {**sizes, "model_type": "bert", "max_position_embeddings": 256}
        sizes.pop("local_attention")
    config = VQDNAConfig(codec_config=codec.config, encoder_config=sizes, num_labels=3, **fields)
    torch.manual_seed(1)
    model = model_class(config).eval()
    model.codec.load_state_dict(codec.state_dict())
    for name, parameter in model.named_parameters():
        if "codec" not in name and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return model


def saved(directory: Path, source) -> Path:
    """Save a codec as a tokenizer directory, or a model with its tokenizer."""
    codec = source if isinstance(source, VQDNACodecModel) else source.codec
    if codec is not source:
        source.save_pretrained(directory)
    VQDNATokenizer(codec=codec).save_pretrained(directory)
    return directory


def arguments(directory: Path, **fields) -> ExportArguments:
    """The arguments of an export that compares codes on a few batches only."""
    return ExportArguments(directory=str(directory), **{"check_bases": 0} | fields)
