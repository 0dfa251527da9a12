"""What the scripts here share: interleaved timing, the machine's peak, and a table of ratios.

A ratio is taken in one run, of two things that took turns: a machine that is busy for a while slows both. Each script
prints its table; `--json FILE` writes it too, from which `run_all.py` makes RESULTS.md.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from vqdna_hf.runs.files import write_json


@dataclass
class Figure:
    """One line of a table.

    Attributes:
        figure: what is divided by what.
        value: the ratio, or a share.
        bar: what was asked for, for example `">= 0.75"`; empty where nothing was.
        detail: both sides in their units.
    """

    figure: str
    value: float
    bar: str = ""
    detail: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None without one."""
        if not self.bar:
            return None
        sign, limit = self.bar.split()
        limit = float(limit.rstrip("%")) / (100 if limit.endswith("%") else 1)
        return {">=": self.value >= limit, "<=": self.value <= limit, "=": self.value == limit}[sign]


def median_seconds(
    functions: dict[str, Callable[[], object]], rounds: int = 7, warm: int = 1, device: str = "cpu", clock=None
) -> dict[str, float]:
    """The median time of each function, in seconds; they take turns, in another order every round.

    `clock` is `time.perf_counter` unless another is given: `time.process_time`, for what runs in this process alone,
    does not count what the machine did for others.
    """
    names, times = list(functions), {name: [] for name in functions}
    clock = clock or time.perf_counter
    for number in range(warm + rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            synchronize(device)
            start = clock()
            functions[name]()
            synchronize(device)
            if number >= warm:
                times[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def synchronize(device: str):
    """Wait for a GPU; nothing to wait for on a CPU."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def matmul_of(dtype: torch.dtype, device: str = "cpu", size: int | None = None) -> tuple[Callable[[], object], float]:
    """A square matrix product and its FLOPs: the peak, to be timed beside what is compared with it."""
    size = size or (8192 if device.startswith("cuda") else 1024)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out), 2.0 * size**3


def has_bf16_instructions() -> bool:
    """Whether this processor says (on Linux) that it multiplies bf16; others are taken not to.

    Without such instructions a bf16 product takes longer than a float32 one. Torch cannot be asked: the capability it
    names says at most AVX512, and its oneDNN also takes bf16 on AVX-512 processors that only emulate it.
    """
    cpuinfo = Path("/proc/cpuinfo")
    words = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.is_file() else set()
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})


def add_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of every script."""
    parser.add_argument("--json", type=Path, help="also write the table here")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant; the median counts")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    return parser


def parse_with_data(parser: argparse.ArgumentParser, holds: str = "GUE/") -> argparse.Namespace:
    """The options of a script that cannot do without real data: `--data`, else VQDNA_DATA, is the folder.

    Args:
        holds: what the script reads in it, for the error message.
    """
    parser.add_argument("--data", default=os.environ.get("VQDNA_DATA"), help="folder of real data (VQDNA_DATA)")
    options = parser.parse_args()
    if options.data is None:
        parser.error(f"set VQDNA_DATA, or give --data: the folder that holds {holds}")
    return options


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": name,
        "cores": str(os.cpu_count()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": gpu,
        "torch": torch.__version__,
    }


def report(title: str, figures: list[Figure], options: argparse.Namespace, notes: list[str] | None = None):
    """Print a table and, on request, write it as JSON under another name first."""
    print(f"\n{title}\n")
    print(markdown(figures))
    for note in notes or []:
        print(f"\n{note}")
    if options.json:
        content = {"title": title, "machine": machine(), "notes": notes or [], "figures": [asdict(f) for f in figures]}
        write_json(options.json, content)


def markdown(figures: list[Figure]) -> str:
    """The table."""
    lines = ["| figure | value | bar | |", "|---|---|---|---|"]
    for figure in figures:
        bar = "" if figure.met is None else f"{figure.bar}{'' if figure.met else ' (missed)'}"
        lines.append(f"| {figure.figure} | {figure.value:.4g} | {bar} | {figure.detail} |")
    return "\n".join(lines)
