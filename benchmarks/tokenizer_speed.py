"""How fast a learned vocabulary tokenizes: FLOP/s beside the machine's peak, and bases/s beside DNABERT-2's BPE.

    VQDNA_DATA=/path/to/data python benchmarks/tokenizer_speed.py

The last rows are of a compiled vocabulary, whose codes are looked up, beside the same BPE with the same arguments.

One thread; everything takes turns in one process, and the time is the process's own, so that other work on the
machine counts little. Weights are random: the time does not depend on them. FLOPs are those of the encoder's products
(without the search of the nearest code, which is timed apart, and without norms and activations). Without VQDNA_DATA
strings are simulated, with lengths as GUE's, and the BPE is one of DNABERT-2's size trained on them.
"""

import argparse
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measuring import Figure, add_arguments, has_bf16_instructions, matmul_of, median_seconds, report

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.analysis.info import codec_info
from vqdna_hf.checkpoints import checkpoint
from vqdna_hf.modeling.encoding_vqdna import PackedEncoder, pack_pieces
from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids
from vqdna_hf.modeling.quantization_vqdna import nearest_codes


# what the profiler calls the parts of the network
_OPERATIONS = {
    "matrix products": {"addmm", "mm"},
    "GELU": {"gelu"},
    "depth-wise convolution": {"addcmul"},
    "LayerNorm": {"native_layer_norm"},
    "sums and copies": {"add", "copy", "index_fill", "fill", "clone"},
}


def gue_strings(count: int) -> tuple[list[str], str]:
    """Strings of GUE's lengths (70 to 300 bases), and where they are from."""
    random.seed(0)
    data = os.environ.get("VQDNA_DATA")
    if data:
        from vqdna_hf.tasks import load_task

        strings = []
        for task in ("prom/prom_core_tata", "prom/prom_300_tata", "mouse/3", "tf/0"):
            strings += load_task(task, Path(data) / "GUE")["train"]["sequence"]
        return random.sample(strings, count), "GUE"
    return ["".join(random.choices("ACGT", k=random.choice((70, 101, 300)))) for _ in range(count)], "simulated"


def bpe(strings: list[str]) -> tuple[Callable[[list[str]], object], str]:
    """A BPE tokenizer of transformers, and its name."""
    from transformers import PreTrainedTokenizerFast

    from vqdna_hf.baselines import bpe_tokenizer

    data = os.environ.get("VQDNA_DATA")
    if data:
        file = Path(data) / "baselines" / "dnabert2_bpe_tokenizer.json"
        return PreTrainedTokenizerFast(tokenizer_file=str(file)), "DNABERT-2's BPE"
    return bpe_tokenizer(strings, vocab_size=4096), "BPE-4096"


def encoder_flops(preset: str) -> float:
    """FLOPs per base of the encoder's products."""
    config = VQDNACodecConfig.from_preset(preset)
    search = 2 * sum(config.codebook_sizes) * config.codebook_dim
    return codec_info(config, 512)["flops"] / 512 - search


def make_tokenizer(preset: str, **options) -> VQDNATokenizer:
    """A tokenizer with random weights."""
    torch.manual_seed(0)
    return VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset(preset)).eval(), **options)


def one_by_one(codec: VQDNACodecModel, string: str) -> torch.Tensor:
    """The plain loop: one string, its network, its nearest codes."""
    ids = torch.from_numpy(bases_to_ids(string)).long().unsqueeze(0)
    with torch.no_grad():
        latents = codec.encoder(ids, torch.ones(*ids.shape, 1, dtype=torch.bool))
        return codec.quantizer.quantize(latents)[0]


def flop_figures(preset: str, options, variants: dict[str, dict], bars: dict[str, str]) -> list[Figure]:
    """Achieved FLOP/s inside `tokenizer(strings)`, in units of the matrix-product peak."""
    strings, source = gue_strings(options.strings if preset == "small" else max(8, options.strings // 20))
    bases = sum(map(len, strings))
    figures, flops = [], encoder_flops(preset)
    for name, settings in variants.items():
        tokenizer = make_tokenizer(preset, **settings)
        codec = tokenizer.codec
        product, product_flops = matmul_of(getattr(torch, settings.get("precision", "float32")))
        latents = [torch.randn(bases, codec.config.codebook_dim) for _ in codec.quantizer.codebooks]

        def search(codec=codec, latents=latents):
            for level, book in zip(latents, codec.quantizer.codebooks):
                nearest_codes(level, book.embedding)

        seconds = median_seconds(
            {"product": product, "tokenizer": lambda t=tokenizer: t(strings), "search": search},
            rounds=options.rounds,
            clock=time.process_time,
        )
        peak = product_flops / seconds["product"]
        rest = seconds["tokenizer"] - seconds["search"]
        speed, share = bases / seconds["tokenizer"] / 1e3, seconds["search"] / seconds["tokenizer"]
        figures.append(
            Figure(
                f"`{preset}`, {name}: encoder's FLOP/s inside `tokenizer(strings)` / matrix-product peak",
                flops * bases / rest / peak,
                bars.get(name, ""),
                f"{flops * bases / rest / 1e9:.1f} of {peak / 1e9:.1f} GFLOP/s; {speed:.1f} kb/s with the search "
                f"({share:.1%} of the time); {source} strings",
            )
        )
    return figures


def speed_figures(options) -> list[Figure]:
    """Bases per second of `small`, beside BPE and beside a plain loop."""
    strings, source = gue_strings(options.strings)
    bases = sum(map(len, strings))
    tokenizer, (other, name) = make_tokenizer("small"), bpe(strings)
    seconds = median_seconds(
        {
            "ours": lambda: tokenizer(strings),
            "bpe": lambda: other(strings),
            "loop": lambda: [one_by_one(tokenizer.codec, string) for string in strings],
        },
        rounds=options.rounds,
        clock=time.process_time,
    )
    speed = {name: bases / value / 1e3 for name, value in seconds.items()}
    return [
        Figure(
            f"`small`: bases/s / {name}",
            speed["ours"] / speed["bpe"],
            ">= 0.10",
            f"{speed['ours']:.1f} and {speed['bpe']:.0f} kb/s, {source} strings",
        ),
        Figure(
            "`small`: bases/s / a plain loop over strings of 70-300 bases",
            speed["ours"] / speed["loop"],
            ">= 8",
            f"{speed['ours']:.1f} and {speed['loop']:.1f} kb/s",
        ),
    ]


def table_figures(options) -> list[Figure]:
    """Bases per second of `vqdna-hrq-compact`, whose codes are looked up, beside BPE on the same strings.

    Ten times as many strings as of the network: contestants take turns, and each finds its table out of the cache.
    """
    strings, source = gue_strings(10 * options.strings)
    bases = sum(map(len, strings))
    tokenizer, (other, name) = VQDNATokenizer.from_pretrained(checkpoint("vqdna-hrq-compact")), bpe(strings)
    if other.pad_token is None:
        other.pad_token = "[PAD]"
    arrays = [bases_to_ids(string) for string in strings]
    long = [np.concatenate(arrays * max(1, 2_000_000 // bases))]
    padded = {"return_tensors": "np", "padding": True}
    seconds = median_seconds(
        {
            "bpe": lambda: other(strings),
            "bpe, padded": lambda: other(strings, **padded),
            "arrays": lambda: tokenizer.encode_nucleotides(arrays),
            "long": lambda: tokenizer.encode_nucleotides(long),
            "lists": lambda: tokenizer(strings),
            "padded": lambda: tokenizer(strings, **padded),
        },
        rounds=max(options.rounds, 9),
        clock=time.process_time,
    )
    speed = {what: bases / value / 1e6 for what, value in seconds.items()}
    speed["long"] = len(long[0]) / seconds["long"] / 1e6

    def figure(what: str, own: str, theirs: str, bar: str) -> Figure:
        detail = f"{speed[own]:.1f} and {speed[theirs]:.2f} Mb/s, {source} strings"
        return Figure(f"`vqdna-hrq-compact`: {what} / {name}", speed[own] / speed[theirs], bar, detail)

    return [
        figure("`encode_nucleotides(arrays)`", "arrays", "bpe", ">= 15"),
        figure("`encode_nucleotides` of one array of 2 Mb", "long", "bpe", ""),
        figure("`tokenizer(strings)`, Python lists", "lists", "bpe", ">= 2"),
        figure('`tokenizer(strings, return_tensors="np", padding=True)`', "padded", "bpe, padded", ">= 4"),
    ]


def profile_note(options) -> str:
    """Where the time of a call goes, by PyTorch's profiler: why the ratios above are what they are."""
    strings, tokenizer = gue_strings(options.strings)[0], make_tokenizer("small")
    tokenizer(strings)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        tokenizer(strings)
    events = profiler.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    shares = dict.fromkeys(_OPERATIONS, 0.0)
    for event in events:
        for name, operations in _OPERATIONS.items():
            if event.key.removeprefix("aten::").rstrip("_") in operations:
                shares[name] += event.self_cpu_time_total / total
    shares["the rest"] = 1 - sum(shares.values())
    return (
        "PyTorch's part of a call of `small`: " + ", ".join(f"{name} {one:.0%}" for name, one in shares.items()) + "."
    )


def padding_figure() -> Figure:
    """Positions that the network computes in vain, on a mixture of lengths."""
    random.seed(0)
    lengths = [random.randint(63, 1000) for _ in range(2000)]
    encoder = PackedEncoder(make_tokenizer("small").codec)
    halo = encoder.codec.config.halo
    pieces = list(pack_pieces(lengths, halo, encoder.gap, encoder.capacity, encoder.capacity - 2 * halo))
    positions = sum(batch[-1].place + batch[-1].right - batch[-1].left for batch in pieces)
    return Figure(
        "positions of a pass that are no base, strings of 63-1000 bases",
        1 - sum(lengths) / positions,
        "<= 5%",
        f"{positions:,} positions for {sum(lengths):,} bases in {len(pieces)} passes",
    )


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser).add_argument("--strings", type=int, default=400, help="strings of a call")
    parser.add_argument("--presets", nargs="+", default=["paper-vq", "small"])
    parser.add_argument("--compiled", action="store_true", help="the compiled network, too (minutes of compilation)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    variants = {"float32": {}}
    # without instructions for it a 16-bit product takes longer than a 32-bit one: the ratio says nothing there
    if has_bf16_instructions():
        variants["bfloat16"] = {"precision": "bfloat16"}
    if options.compiled:
        variants |= {f"{name}, compiled": {**settings, "compile": True} for name, settings in variants.items()}
    bars = {"float32": ">= 0.75", "bfloat16": ">= 0.60", "bfloat16, compiled": ">= 0.75"}
    figures = []
    for preset in options.presets:
        figures += flop_figures(preset, options, variants, bars if preset == "paper-vq" else {})
    figures += [*speed_figures(options), padding_figure(), *table_figures(options)]
    notes = [profile_note(options)]
    if "bfloat16" not in variants:
        notes.append("This processor has no 16-bit products, so that bfloat16 is not measured.")
    report("Tokenizing strings, one thread", figures, options, notes)


if __name__ == "__main__":
    main()
