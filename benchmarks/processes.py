"""Is the codebook of two processes that of one process on both batches? And what a second process brings.

    OMP_NUM_THREADS=1 python benchmarks/processes.py

Stage 1 on simulated bases with the Trainer of `vqdna train-tokenizer`: k-means before the first step and after the
warm-up, denoising, AdamW. One process sees at each step what two see together. Part of the bases is unknown, so that
the processes' parts of a step hold unequal numbers of bases. gloo, CPU.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measuring import Figure, add_arguments, report
from safetensors.torch import load_file, save_file
from transformers import PrinterCallback, set_seed
from transformers.utils import logging as transformers_logging

from vqdna_hf.arguments.training import TrainTokenizerArguments
from vqdna_hf.data import GenomeBases, WindowDataset
from vqdna_hf.modeling.configuration_vqdna import VQDNACodecConfig
from vqdna_hf.modeling.modeling_vqdna_codec import VQDNACodecModel
from vqdna_hf.runs.processes import leave_processes
from vqdna_hf.training.codec_trainer import VQDNACodecTrainer
from vqdna_hf.training.recipes import training_arguments


LENGTH = 64  # of a window, in bases


def simulated_fasta(folder: Path) -> Path:
    """Write 400,000 random bases, a tenth of them unknown, in runs; returns the file."""
    rng = np.random.default_rng(0)
    letters = rng.choice(list("ACGT"), 400_000)
    for start in rng.integers(0, len(letters) - 50, 800):
        letters[start : start + 50] = "N"
    text = "".join(letters)
    path = folder / "simulated.fa"
    path.write_text(
        "\n".join([">random", *(text[i : i + 80] for i in range(0, len(text), 80))]) + "\n", encoding="utf-8"
    )
    return path


def train(case: dict, fasta: str, output: str) -> None:
    """One process of one run: trains, and the first process saves the codebooks and how fast it was.

    Args:
        case: `preset`, `dtype`, `restart_threshold`, `kmeans`, `steps`, `batch` (windows per process and step),
            `length` (bases), `threads`.
    """
    torch.set_num_threads(case["threads"])
    transformers_logging.set_verbosity_error()
    arguments = TrainTokenizerArguments(
        output=output, max_steps=case["steps"], batch_size=case["batch"], warmup_steps=case["steps"] // 2
    )
    quiet = {"eval_strategy": "no", "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True}
    training = training_arguments(arguments, **quiet)
    set_seed(0)
    config = VQDNACodecConfig.from_preset(case["preset"], restart_threshold=case["restart_threshold"], mask_ratio=0.25)
    model = VQDNACodecModel(config).to(getattr(torch, case["dtype"]))
    windows = case["steps"] * case["batch"] * training.world_size
    dataset = WindowDataset(GenomeBases.from_fasta([fasta]), windows, [(0, case["length"])], 0, mask_ratio=0.25)
    kmeans = (0, case["steps"] // 2) if case["kmeans"] else ()
    trainer = VQDNACodecTrainer(model=model, args=training, train_dataset=dataset, kmeans_steps=kmeans)
    trainer.remove_callback(PrinterCallback)
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    if trainer.is_world_process_zero():
        codebooks = {f"{n}": book.embedding for n, book in enumerate(model.quantizer.codebooks)}
        save_file(codebooks, Path(output) / "codebooks.safetensors")
        (Path(output) / "record.json").write_text(
            json.dumps({"seconds": seconds, "processes": training.world_size}), encoding="utf-8"
        )
    leave_processes()


def launch(case: dict, processes: int, fasta: Path, output: Path) -> tuple[dict[str, torch.Tensor], float]:
    """Run a case in new processes; returns the codebooks by level and the seconds of the training."""
    output.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = []
    for rank in range(processes):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
        environment = {**os.environ, **{name: str(value) for name, value in place.items()}, "CUDA_VISIBLE_DEVICES": ""}
        if processes == 1:
            environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, __file__, "--child", json.dumps(case), str(fasta), str(output)]
        children.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [child.communicate()[1] for child in children]
    if any(child.returncode for child in children):
        raise RuntimeError("\n".join(errors))
    record = json.loads((output / "record.json").read_text(encoding="utf-8"))
    if record["processes"] != processes:
        raise RuntimeError(f"{record['processes']} processes took part, not {processes}.")
    return load_file(output / "codebooks.safetensors"), record["seconds"]


def difference(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> tuple[float, float, int, int]:
    """Largest absolute difference, the same in units of the largest value, codes 1e-6 of it apart, and codes."""
    gaps = {level: (one[level] - two[level]).abs() for level in one}
    largest = max(float(gap.max()) for gap in gaps.values())
    scale = max(float(codes.abs().max()) for codes in one.values())
    moved = sum(int((gap.amax(dim=1) > 1e-6 * scale).sum()) for gap in gaps.values())
    return largest, largest / scale, moved, sum(len(codes) for codes in one.values())


def main() -> None:
    """Measure, and print the table."""
    parser = add_arguments(argparse.ArgumentParser(description=__doc__))
    parser.add_argument("--steps", type=int, default=50, help="training steps of the comparison")
    parser.add_argument("--batch", type=int, default=16, help="windows per process and step of two processes")
    parser.add_argument("--dtypes", nargs="+", default=["float64", "float32"], help="precisions of the comparison")
    parser.add_argument("--no-speed", action="store_true", help="leave out the throughput")
    options = parser.parse_args()
    figures = []
    common = {"preset": "tiny", "steps": options.steps, "length": LENGTH, "kmeans": True, "threads": options.threads}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fasta = simulated_fasta(folder)
        cases = [("float64", 0.0, "<= 1e-8"), ("float64", 0.05, ""), ("float32", 0.0, ""), ("float32", 0.05, "")]
        for number, (dtype, restart, bar) in enumerate(cases):
            if dtype not in options.dtypes:
                continue
            case = {**common, "dtype": dtype, "restart_threshold": restart}
            one, _ = launch({**case, "batch": 2 * options.batch}, 1, fasta, folder / f"{number}-1")
            two, _ = launch({**case, "batch": options.batch}, 2, fasta, folder / f"{number}-2")
            absolute, relative, moved, codes = difference(one, two)
            figures.append(
                Figure(
                    f"codebooks, 2 processes against 1, {dtype}, restart {'on' if restart else 'off'}",
                    absolute,
                    bar,
                    f"largest difference; {relative:.1e} of the largest value; {moved} of {codes} codes differ by "
                    "more than 1e-6 of it",
                )
            )
        speed = {**common, "preset": "small", "kmeans": False, "dtype": "float32", "restart_threshold": 0.05}
        speed |= {"steps": 12, "length": 128, "batch": 16}
        rates: dict[int, list[float]] = {1: [], 2: []}
        for turn in range(0 if options.no_speed else max(1, options.rounds // 3)):
            for processes in (1, 2):
                _, seconds = launch(speed, processes, fasta, folder / f"speed-{turn}-{processes}")
                rates[processes].append(speed["steps"] * speed["batch"] * speed["length"] * processes / seconds)
        if not options.no_speed:
            one, two = (sorted(rates[processes])[len(rates[processes]) // 2] for processes in (1, 2))
            detail = f"{two / 1e3:.1f} and {one / 1e3:.1f} thousand bases a second; preset small, 16 windows a process"
            figures.append(Figure("stage 1, bases a second, 2 processes / 1 process", two / one, "", detail))
    notes = [f"{options.steps} steps, k-means before the first and after half of them, gloo, one machine."]
    report("Many processes", figures, options, notes)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        train(json.loads(sys.argv[2]), *sys.argv[3:])
    else:
        main()
