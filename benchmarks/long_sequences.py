"""Time and memory of classifying sequences of 1,000 to 1,000,000 bases, forward and in training.

From nucleotide ids: the codec, the encoder `small-local` with `attn_implementation="block_local"`, pooling and the
classifier; weights are random, on which neither time nor memory depend. A training step is forward, backward and AdamW
in full precision, with activation checkpointing and a frozen codec. Beside it the same model with transformers' own
`sdpa`, up to the length where its masks take gigabytes.

    python benchmarks/long_sequences.py                                 # about 20 minutes on one core, 16 GiB
    python benchmarks/long_sequences.py --lengths 1000 32000 --rounds 1
    python benchmarks/long_sequences.py --device cuda

Every measurement is a process of its own, and the lengths take turns. Memory is the growth of the process's peak over
what the loaded model takes: on Linux, or of PyTorch's allocations on CUDA.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from measuring import Figure, add_arguments, report, synchronize


LENGTHS = [1_000, 20_000, 32_000, 250_000, 450_000, 1_000_000]
BLOCK_LOCAL, STOCK = "block_local", "sdpa"
FORWARD, STEP = "forward", "training step"


def measure(length: int, implementation: str, options: argparse.Namespace) -> dict:
    """One process: seconds and MiB of a pass and, up to `--steps-up-to`, of a training step; and the logits."""
    command = [sys.executable, __file__, "--child", implementation, "--lengths", str(length)]
    command += ["--device", options.device, "--threads", str(options.threads), "--preset", options.preset]
    command += ["--seconds", str(options.seconds), "--steps-up-to", str(options.steps_up_to)]
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{length} bases with {implementation}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def child(options: argparse.Namespace):
    """Measure one length, and print the result as JSON."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from vqdna_hf import VQDNAConfig

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    length, device = options.lengths[0], options.device
    config = VQDNAConfig.from_preset(options.preset, classifier_dropout=0.0)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation=options.child).to(device)
    model.eval()
    batch = torch.randint(4, (1, length), device=device)
    batch[:, 0], batch[:, -1] = 6, 7  # [CLS] and [SEP]
    labels, found = torch.zeros(1, dtype=torch.long, device=device), {}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)

    def forward(ids: torch.Tensor):
        with torch.no_grad():
            found["logits"] = model(nucleotide_ids=ids).logits[0].tolist()

    def step(ids: torch.Tensor):
        model(nucleotide_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    forward(batch[:, :1000])
    results = {FORWARD: timed(lambda: forward(batch), options)}
    results["logits"] = found["logits"]
    if length <= options.steps_up_to:
        model.train()
        model.gradient_checkpointing_enable()
        step(batch[:, :1000])
        results[STEP] = timed(lambda: step(batch), options)
    print(json.dumps(results))


def timed(function: Callable[[], None], options: argparse.Namespace) -> dict[str, float]:
    """The median seconds of as many calls as `--seconds` hold, and the growth of the peak in MiB."""
    import torch

    cuda, times = options.device.startswith("cuda"), []
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
    elif linux := Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak counts from here on
        before = process_mib("VmRSS")
    while not times or sum(times) < options.seconds:
        synchronize(options.device)
        start = time.perf_counter()
        function()
        synchronize(options.device)
        times.append(time.perf_counter() - start)
    if cuda:
        peak = torch.cuda.max_memory_allocated() / 2**20 - before
    else:
        peak = process_mib("VmHWM") - before if linux else math.nan
    return {"seconds": statistics.median(times), "mib": peak}


def process_mib(field: str) -> float:
    """A field of the process's status, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def figures_of(found: dict[tuple[int, str], list[dict]], options: argparse.Namespace) -> list[Figure]:
    """The table: the bar, then every length beside the reference, then the stock implementation."""
    reference = min(options.lengths, key=lambda length: abs(length - 32_000))
    longest, figures = max(options.lengths), []
    for what in (FORWARD, STEP):
        for length in options.lengths:
            rounds = list(zip(found[length, BLOCK_LOCAL], found[reference, BLOCK_LOCAL]))
            if what not in rounds[0][0] or what not in rounds[0][1]:
                continue
            # of two that were measured one after the other
            per_base = [[one[what]["seconds"] / n for one, n in zip(pair, (length, reference))] for pair in rounds]
            ratio = statistics.median(first / second for first, second in per_base)
            bar = "<= 1.3" if what == FORWARD and length == longest >= 1_000_000 else ""
            name = f"{what}: time per base, {length:,} / {reference:,} bases"
            figures.append(Figure(name, ratio, bar, detail(found[length, BLOCK_LOCAL], what, length)))
    for length in options.lengths:
        ours, stock = found[length, BLOCK_LOCAL], found.get((length, STOCK))
        for what in (FORWARD, STEP):
            if stock and what in stock[0] and what in ours[0]:
                ratio = statistics.median(s[what]["seconds"] / o[what]["seconds"] for s, o in zip(stock, ours))
                difference = max(abs(a - b) for a, b in zip(stock[0]["logits"], ours[0]["logits"]))
                text = f"{detail(stock, what, length)}; logits differ by {difference:.1e}"
                figures.append(Figure(f"{what}: time of {STOCK} / {BLOCK_LOCAL}, {length:,} bases", ratio, "", text))
    return figures


def detail(runs: list[dict], what: str, length: int) -> str:
    """Seconds, microseconds per base and the peak's growth."""
    seconds, mib = (statistics.median(run[what][key] for run in runs) for key in ("seconds", "mib"))
    return f"{seconds:.3g} s, {1e6 * seconds / length:.1f} us per base, peak +{mib:,.0f} MiB"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser).set_defaults(rounds=3)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="positions, [CLS] and [SEP] included")
    parser.add_argument("--steps-up-to", type=int, default=1_000_000, help="longest sequence of a training step")
    parser.add_argument("--stock-up-to", type=int, default=20_000, help="longest sequence for sdpa")
    parser.add_argument("--preset", default="small-local", help="encoder")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=2.0, help="repeat a pass for so long; once at least")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options)
    options.lengths = sorted(options.lengths)
    found: dict[tuple[int, str], list[dict]] = {}
    for number in range(options.rounds):
        for length in options.lengths:
            for implementation in (BLOCK_LOCAL, STOCK)[: 1 + (length <= options.stock_up_to)]:
                run = measure(length, implementation, options)
                found.setdefault((length, implementation), []).append(run)
                text = detail([run], FORWARD, length)
                print(f"round {number + 1}: {length:,} bases, {implementation}: {text}", file=sys.stderr, flush=True)
    title = f"Long sequences: codec + {options.preset} + {BLOCK_LOCAL}, on {options.device}"
    note = "Training steps with activation checkpointing and a frozen codec; one sequence at a time; float32."
    report(title, figures_of(found, options), options, [note])


if __name__ == "__main__":
    main()
