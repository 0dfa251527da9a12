"""Sizes and costs: parameters, and FLOPs counted while a forward pass runs."""

from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..arguments.analysis import InfoArguments
from ..baselines.modeling_tokens import TokenEncoderConfig, TokenEncoderModel
from ..checkpoints import resolve_checkpoint
from ..modeling.configuration_vqdna import VQDNACodecConfig, VQDNAConfig
from ..modeling.modeling_vqdna import VQDNAModel
from ..modeling.modeling_vqdna_codec import VQDNACodecModel
from ..runs.directories import read_directory


CODECS = ("paper-vq", "paper-hrq", "small", "compact", "compact-vq", "compact-rq", "compact-11")
ENCODERS = ("paper", "paper-bert", "small", "small-conv")


def codec_info(config: VQDNACodecConfig, length: int) -> dict[str, float]:
    """Parameters of a codec (codebooks included), FLOPs of encoding `length` bases, and the bases that decide a code.

    A FLOP is one addition or multiplication: a product of matrices `(m, k)` and `(k, n)` has `2 m k n`.
    """
    codec = VQDNACodecModel(config).eval()
    codebooks = sum(book.embedding.numel() for book in codec.quantizer.codebooks)
    ids = torch.zeros(1, length, dtype=torch.long)
    # subtle: by the modules, because in-place products, which encoding uses on a CPU, are not counted
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        codec.quantizer.quantize(codec.latents(ids))
    return {
        "parameters": codec.num_parameters() + codebooks,
        "flops": counter.get_total_flops(),
        "receptive_field": config.receptive_field,
    }


def encoder_info(config: VQDNAConfig | TokenEncoderConfig, length: int) -> dict[str, float]:
    """Parameters of an encoder with its projection or its table of tokens (a codec not counted), and FLOPs of `length`
    positions.
    """
    # without contents: attention in plain products holds the square of `length` numbers
    model = (TokenEncoderModel if isinstance(config, TokenEncoderConfig) else VQDNAModel)(config).eval().to("meta")
    # subtle: only plain matrix products are counted on every device, not the fused attention kernels
    model.set_attn_implementation("eager")
    parts = [part.numel() for name, part in model.named_parameters() if not name.startswith("codec.")]
    embeds = torch.zeros(1, length, config.hidden_size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(inputs_embeds=embeds)
    return {"parameters": sum(parts), "flops": counter.get_total_flops()}


def _preset_info(name: str, length: int) -> dict:
    try:
        return encoder_info(VQDNAConfig.from_preset(name), length)
    except ValueError as error:  # its learned positions end before
        return {"refused": str(error)}


def _rows(model: str, length: int) -> list[dict]:
    """What a directory holds: a tokenizer, one with its encoder, or an encoder of hand-made tokens."""
    directory = Path(resolve_checkpoint(model))
    held = read_directory(directory)
    if held.model_type == TokenEncoderConfig.model_type:
        config = TokenEncoderConfig.from_pretrained(directory)
        return [{"what": "encoder of tokens", **encoder_info(config, length)}]
    if held.is_foreign:
        raise ValueError(f"{model} holds no VQDNA tokenizer or model, but one of {held.model_type}.")
    if held.model_type == VQDNAConfig.model_type:
        config = VQDNAConfig.from_pretrained(directory)
        codec, encoder = config.codec_config, [{"what": "encoder", **encoder_info(config, length)}]
    elif held.model_type or "codec_config.json" in held.names:
        name = "config.json" if held.model_type else "codec_config.json"
        codec, encoder = VQDNACodecConfig.from_json_file(directory / name), []
    else:
        raise ValueError(f"{model} holds no VQDNA tokenizer or model (no config.json, no codec_config.json).")
    return [{"what": "tokenizer", **codec_info(codec, length)}, *encoder]


def info(arguments: InfoArguments) -> list[dict]:
    """Print and return one row per preset, or the rows of a directory.

    A preset whose learned positions end before `length` has the reason in its row (`refused`) in place of numbers.

    Raises:
        ValueError: the directory holds no VQDNA tokenizer or model and no encoder of hand-made tokens, or the learned
            positions of its encoder end before.
    """
    length = arguments.length
    if arguments.model is not None:
        rows = _rows(arguments.model, length)
    else:
        rows = [
            {"what": f"tokenizer {name}", **codec_info(VQDNACodecConfig.from_preset(name), length)} for name in CODECS
        ]
        rows += [{"what": f"encoder {name}", **_preset_info(name, length)} for name in ENCODERS]
    unit = "tokens" if rows[0]["what"] == "encoder of tokens" else "bases"
    print(f"{'':24s} {'parameters':>12s} {f'FLOPs, {length} {unit}':>20s} {'R':>4s}")
    for row in rows:
        if "refused" in row:
            print(f"{row['what']:24s} {row['refused']}")
            continue
        size, flops = row["parameters"] / 1e6, row["flops"] / 1e9
        print(f"{row['what']:24s} {size:>10.2f} M {flops:>18.2f} G {row.get('receptive_field', ''):>4}")
    if any("receptive_field" in row for row in rows):
        print("R: the bases that decide a code. Up to 11 the codes can stand in a table (`vqdna compile-tokenizer`).")
    return rows
