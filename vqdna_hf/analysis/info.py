"""Sizes and costs: parameters, and FLOPs counted while a forward pass runs."""

from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig

from ..arguments.analysis import InfoArguments
from ..checkpoints import resolve_checkpoint
from ..modeling.configuration_vqdna import VQDNACodecConfig, VQDNAConfig
from ..modeling.modeling_vqdna import VQDNAModel
from ..modeling.modeling_vqdna_codec import VQDNACodecModel
from ..runs.directories import read_directory


CODECS, ENCODERS = ("paper-vq", "paper-hrq", "small"), ("paper", "paper-bert", "small", "small-conv")


def codec_info(config: VQDNACodecConfig, length: int) -> dict[str, float]:
    """Parameters of a codec (codebooks included), and FLOPs of encoding `length` bases.

    A FLOP is one addition or multiplication: a product of matrices `(m, k)` and `(k, n)` has `2 m k n`.
    """
    codec = VQDNACodecModel(config).eval()
    codebooks = sum(book.embedding.numel() for book in codec.quantizer.codebooks)
    ids = torch.zeros(1, length, dtype=torch.long)
    # subtle: by the modules, because in-place products, which encoding uses on a CPU, are not counted
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        codec.quantizer.quantize(codec.latents(ids))
    return {"parameters": codec.num_parameters() + codebooks, "flops": counter.get_total_flops()}


def encoder_info(config: VQDNAConfig, length: int) -> dict[str, float]:
    """Parameters of an encoder with its projection (the codec not counted), and FLOPs of `length` positions."""
    # without contents: attention in plain products holds the square of `length` numbers
    model = VQDNAModel(config).eval().to("meta")
    # subtle: only plain matrix products are counted on every device, not the fused attention kernels
    model.set_attn_implementation("eager")
    inner = sum(parameter.numel() for parameter in model.codec.parameters())
    embeds = torch.zeros(1, length, config.hidden_size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(inputs_embeds=embeds)
    return {"parameters": model.num_parameters() - inner, "flops": counter.get_total_flops()}


def _preset_info(name: str, length: int) -> dict:
    try:
        return encoder_info(VQDNAConfig.from_preset(name), length)
    except ValueError as error:  # its learned positions end before
        return {"refused": str(error)}


def info(arguments: InfoArguments) -> list[dict]:
    """Print and return one row per preset, or the rows of a directory.

    A preset whose learned positions end before `length` has the reason in its row (`refused`) in place of numbers.

    Raises:
        ValueError: the directory holds no VQDNA tokenizer or model, or its encoder's learned positions end before.
    """
    length, rows = arguments.length, []
    if arguments.model is None:
        for name in CODECS:
            rows.append({"what": f"tokenizer {name}", **codec_info(VQDNACodecConfig.from_preset(name), length)})
        for name in ENCODERS:
            rows.append({"what": f"encoder {name}", **_preset_info(name, length)})
    else:
        directory = Path(resolve_checkpoint(arguments.model))
        held = read_directory(directory)
        if held.is_foreign:
            raise ValueError(f"{arguments.model} holds no VQDNA tokenizer or model, but one of {held.model_type}.")
        if "config.json" in held.names:
            config = AutoConfig.from_pretrained(directory)
        elif "codec_config.json" in held.names:
            config = VQDNACodecConfig.from_json_file(directory / "codec_config.json")
        else:
            raise ValueError(
                f"{arguments.model} holds no VQDNA tokenizer or model (no config.json, no codec_config.json)."
            )
        codec = config if config.model_type == VQDNACodecConfig.model_type else config.codec_config
        rows.append({"what": "tokenizer", **codec_info(codec, length)})
        if codec is not config:
            rows.append({"what": "encoder", **encoder_info(config, length)})
    print(f"{'':24s} {'parameters':>12s} {f'FLOPs, {length} bases':>20s}")
    for row in rows:
        if "refused" in row:
            print(f"{row['what']:24s} {row['refused']}")
            continue
        print(f"{row['what']:24s} {row['parameters'] / 1e6:>10.2f} M {row['flops'] / 1e9:>18.2f} G")
    return rows
