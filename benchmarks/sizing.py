"""What the paper's recipe takes: bases, FLOPs, core-hours of this machine, GPU-hours, storage.

    OMP_NUM_THREADS=1 python benchmarks/sizing.py
    python benchmarks/sizing.py --stage1-rate 2e6 --tokenize-rate 2e7 --stage2-rate 4e5    # measured on your GPU

Counted or measured here: the FLOPs of a training step and of tokenization at paper size, how long they take on this
machine, and how long it takes to look codes up in the table of `vqdna-hrq-compact`, which has no FLOPs. GPU-hours are
FLOPs / (peak x utilization), and peak and utilization are *assumptions*, unless the bases a second of one GPU are
given, as the training log of a short run gives them.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measuring import machine
from torch.utils.flop_counter import FlopCounterMode
from transformers.utils import logging as transformers_logging

from vqdna_hf import VQDNATokenizer
from vqdna_hf.analysis.info import codec_info
from vqdna_hf.checkpoints import checkpoint
from vqdna_hf.data import GenomeBases, write_corpus
from vqdna_hf.modeling.configuration_vqdna import VQDNACodecConfig, VQDNAConfig
from vqdna_hf.modeling.modeling_vqdna import VQDNAForMaskedLM
from vqdna_hf.modeling.modeling_vqdna_codec import VQDNACodecModel


# Appendix A and C: the human genome and 135 species
CORPUS = 2.75e9 + 32.49e9
BATCH_1, WARMUP_1, STEPS_1 = 1024, 50_000, 1_000_000  # "around 1M steps"; 128 bases, after the warm-up 256
BATCH_2, STEPS_2, LENGTH_2 = 2048, 500_000, 512


@dataclass
class Work:
    """One stage: what a base of it costs.

    Attributes:
        flops: FLOPs a base, counted.
        seconds: seconds a base on this machine, measured.
        peak: FLOP/s of a GPU at this stage's precision, assumed.
        rate: bases a second of one GPU, measured by the user; None where it is not known.
    """

    flops: float
    seconds: float
    peak: float
    rate: float | None


def cost_of(step, bases: int, rounds: int) -> tuple[float, float]:
    """FLOPs and seconds a base of `step()`, which works on that many bases; the fastest round counts."""
    with FlopCounterMode(display=False) as counter:
        step()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return counter.get_total_flops() / bases, min(seconds) / bases


def measure(options: argparse.Namespace) -> tuple[dict[str, Work], int, int]:
    """The cost of each stage, and the parameters of codec and encoder that are saved."""
    config = VQDNACodecConfig.from_preset("paper-hrq")
    codec = VQDNACodecModel(config).train()
    windows = torch.randint(4, (2, 256))

    def codec_step():
        codec.zero_grad()
        codec(windows).loss.backward()

    stage_1 = cost_of(codec_step, windows.numel(), options.rounds)
    codec.eval()
    sequences = torch.randint(4, (4, LENGTH_2))
    _, seconds = cost_of(lambda: codec.encode(sequences), sequences.numel(), options.rounds)
    tokenize = codec_info(config, LENGTH_2)["flops"] / LENGTH_2, seconds
    compact = VQDNATokenizer.from_pretrained(checkpoint("vqdna-hrq-compact")).codec
    corpus = torch.randint(4, (2000, LENGTH_2)).numpy().astype(np.uint8)
    joined, lengths = corpus.reshape(-1), np.full(len(corpus), LENGTH_2)
    look_up = cost_of(lambda: compact.encode_joined(joined, lengths), len(joined), options.rounds)
    encoder = VQDNAForMaskedLM(VQDNAConfig.from_preset("paper", codec_config=config)).train()
    encoder.set_attn_implementation("eager")  # the only one whose products are counted on every device
    ids = encoder.base_model.encode_nucleotides(torch.randint(4, (1, LENGTH_2)))
    labels = torch.where(torch.rand(ids.shape) < 0.25, ids, -100)

    def encoder_step():
        encoder.zero_grad()
        encoder(input_ids=ids, labels=labels).loss.backward()

    stage_2 = cost_of(encoder_step, ids.numel(), options.rounds)
    rates = {"stage 1": options.stage1_rate, "tokenize": options.tokenize_rate, "stage 2": options.stage2_rate}
    rates["look-up"] = None
    peaks = {"stage 1": options.peak_float32, "tokenize": options.peak_float32, "stage 2": options.peak}
    peaks["look-up"] = options.peak_float32
    costs = {"stage 1": stage_1, "tokenize": tokenize, "stage 2": stage_2, "look-up": look_up}
    works = {name: Work(*costs[name], peaks[name], rates[name]) for name in costs}
    codebooks = sum(size * config.codebook_dim for size in config.codebook_sizes)
    saved = sum(p.numel() for p in codec.parameters()) + 2 * codebooks
    return works, saved, sum(p.numel() for p in encoder.parameters() if p.requires_grad)


def stored_bytes() -> float:
    """Bytes a base of a corpus on disk takes, measured on a million simulated bases."""
    bases = np.random.default_rng(0).integers(0, 4, 1_000_000).astype(np.uint8)
    with tempfile.TemporaryDirectory() as name:
        fasta = Path(name, "random.fa")
        fasta.write_text(">random\n" + "".join(np.array(list("ACGT"))[bases]) + "\n", encoding="utf-8")
        genome = GenomeBases.from_fasta([str(fasta)])
        write_corpus(genome, None, Path(name, "corpus"), LENGTH_2, 64, progress=False)
        return sum(path.stat().st_size for path in Path(name, "corpus").rglob("*.parquet")) / len(bases)


def gpu_hours(work: Work, bases: float, utilization: float) -> float:
    """Hours of one GPU."""
    seconds = work.flops * bases / (work.peak * utilization) if work.rate is None else bases / work.rate
    return seconds / 3600


def main() -> None:
    """Measure, and print the note."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each measurement; the fastest counts")
    parser.add_argument("--threads", type=int, default=1, help="threads; core-hours are of this many together")
    parser.add_argument("--gpus", type=int, default=8, help="GPUs the days are given for, at ideal scaling")
    parser.add_argument("--peak", type=float, default=312e12, help="assumed FLOP/s in bf16 (an A100's)")
    parser.add_argument("--peak-float32", type=float, default=19.5e12, help="assumed FLOP/s in float32 (an A100's)")
    parser.add_argument("--utilization", type=float, default=0.35, help="assumed part of the peak that is reached")
    for name, text in (("stage1", "stage 1"), ("tokenize", "tokenization"), ("stage2", "stage 2")):
        parser.add_argument(f"--{name}-rate", type=float, help=f"bases a second of one GPU in {text}, measured")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers_logging.set_verbosity_error()
    torch.manual_seed(0)
    works, codec_parameters, encoder_parameters = measure(options)
    warm, rest = BATCH_1 * WARMUP_1 * 128, BATCH_1 * (STEPS_1 - WARMUP_1) * 256
    rows = [
        ("stage 1, one pass over the corpus", "stage 1", CORPUS),
        ("stage 1, the 1M steps of Appendix A", "stage 1", float(warm + rest)),
        ("tokenize the corpus once", "tokenize", CORPUS),
        ("the same, looked up in a table", "look-up", CORPUS),
        ("stage 2, 500k steps", "stage 2", float(BATCH_2 * STEPS_2 * LENGTH_2)),
        ("stage 2, codes computed while training", "tokenize", 2.0 * BATCH_2 * STEPS_2 * LENGTH_2),
        ("stage 2, codes looked up while training", "look-up", 2.0 * BATCH_2 * STEPS_2 * LENGTH_2),
    ]
    info = machine()
    print(f"Measured on: {info['processor']}, {options.threads} of {info['cores']} cores, torch {info['torch']}")
    for name, work in works.items():
        if not work.flops:
            print(f"  {name}: {1 / work.seconds:,.0f} bases a second (measured)")
            continue
        print(
            f"  {name}: {work.flops / 1e6:.0f} MFLOP a base (counted), {1 / work.seconds:.0f} bases a second, "
            f"{work.flops / work.seconds / 1e9:.1f} GFLOP/s (measured)"
        )
    known = [name for name, work in works.items() if work.rate is not None]
    print(f"Assumed: {options.utilization:.0%} of {options.peak / 1e12:g} TFLOP/s in bf16 (stage 2), and of")
    print(f"  {options.peak_float32 / 1e12:g} TFLOP/s in float32 (stage 1, tokenization)")
    print(f"Given, not assumed: the rates of {', '.join(known) or 'nothing'}\n")
    print(f"| | bases | passes | FLOPs | core-hours here | GPU-hours | days on {options.gpus} GPUs |")
    print("|---|---|---|---|---|---|---|")
    for text, name, bases in rows:
        hours = gpu_hours(works[name], bases, options.utilization)
        cells = [text, f"{bases / 1e9:.1f} G", f"{bases / CORPUS:.1f}", f"{works[name].flops * bases:.2g}"]
        core_hours = works[name].seconds * bases / 3600
        cells.append(f"{core_hours:,.0f}" if core_hours >= 10 else f"{core_hours:.2g}")
        cells += [f"{hours:,.0f}", f"{hours / options.gpus / 24:.1f}"] if hours else ["none", "none"]
        print(f"| {' | '.join(cells)} |")
    per_base = stored_bytes()
    print("\n| storage | |\n|---|---|")
    print(f"| bases in memory, 1 byte each | {CORPUS / 1e9:.0f} GB |")
    print(f"| corpus of windows, {per_base:.2f} bytes a base (measured) | {per_base * CORPUS / 1e9:.0f} GB |")
    print(f"| stored codes, on top, at most (8 bytes, before compression) | {8 * CORPUS / 1e9:.0f} GB |")
    print(f"| a checkpoint of stage 1 (weights, codebooks, AdamW) | {12 * codec_parameters / 1e9:.2f} GB |")
    print(f"| a checkpoint of stage 2 (weights, AdamW; the codec aside) | {12 * encoder_parameters / 1e9:.2f} GB |")


if __name__ == "__main__":
    main()
