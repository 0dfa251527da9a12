"""Tokenizing genomes: what a second worker brings, what a long contig costs in memory, how long a genome takes.

    VQDNA_DATA=/path/to/data python benchmarks/genome_tokenization.py

Speed: `write_genome_codes` of some 2 Mb with the preset `small`, one worker (this process) and two in turns, each with
one thread. The workers have been started before, as they would have been after the first minute of a whole genome.
With `VQDNA_DATA` the bases are human (`pretraining/homo_sapiens_long.fa.gz`), otherwise simulated; weights are random,
as the time does not depend on them. Two workers need two cores that have nothing else to do; where there are none, the
processor time that both ways take (on Linux) still says what the second worker costs.

The same from a compressed FASTA (5 Mb of chr21 six times, or simulated) with `vqdna-hrq-compact`, of a table:
there reading and writing are what takes time, and workers write whole shards. One worker's speed is by the process's
own time, what else runs on the machine left out; reading is timed once more by itself.

Memory: a contig of 100 Mb and one of 1 Mb, each in a process of its own with two workers. The sum of the peaks of the
three processes counts, on Linux. The network is `tiny` there, so that it takes minutes: what it needs does not depend
on the length of a contig.
"""

import argparse
import gzip
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing import active_children
from pathlib import Path
from statistics import median

import numpy as np
import torch
from measuring import Figure, add_arguments, median_seconds, report

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.checkpoints import checkpoint
from vqdna_hf.data import FastaStream, write_genome_codes
from vqdna_hf.data.code_workers import CodeWorkers
from vqdna_hf.data.contig_pieces import measure_contigs
from vqdna_hf.demo.simulation import simulate_contig
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases


HUMAN = 3.1e9
LINE = 80


def random_tokenizer(preset: str) -> VQDNATokenizer:
    """A tokenizer with random weights."""
    torch.manual_seed(0)
    return VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset(preset)).eval())


def write_contig(path: Path, length: int):
    """Write one simulated contig in lines, a megabase at a time."""
    rng = np.random.default_rng(0)
    with open(path, "w", encoding="ascii") as file:
        file.write(">simulated\n")
        for start in range(0, length, 1_000_000):
            letters = ids_to_bases(simulate_contig(rng, min(1_000_000, length - start)))
            file.writelines(f"{letters[at : at + LINE]}\n" for at in range(0, len(letters), LINE))


def write_human(path: Path, length: int):
    """Write the first contigs of the human data, `length` bases of them."""
    source = Path(os.environ["VQDNA_DATA"]) / "pretraining" / "homo_sapiens_long.fa.gz"
    left, last = length, None
    with open(path, "w", encoding="ascii") as file:
        for contig, _, ids in FastaStream(source, 1_000_000):
            if contig != last:
                file.write(f">{contig}\n")
                last = contig
            file.write(f"{ids_to_bases(ids[:left])}\n")
            left -= min(left, ids.size)
            if not left:
                return


class Timed:
    """A function whose time, in seconds, adds up."""

    def __init__(self, function):
        self.function, self.seconds = function, 0.0

    def __call__(self, *arguments, **options):
        start = time.perf_counter()
        try:
            return self.function(*arguments, **options)
        finally:
            self.seconds += time.perf_counter() - start


def measure_speed(options: argparse.Namespace, folder: Path) -> list[Figure]:
    """The first figures: a second worker, the time outside the network, the time for a genome."""
    torch.set_num_threads(1)
    fasta, bases = folder / "genome.fa", round(options.megabases * 1e6)
    human = bool(os.environ.get("VQDNA_DATA"))
    (write_human if human else write_contig)(fasta, bases)
    tokenizer, number, shares = random_tokenizer(options.preset), itertools.count(), []
    used = {"one": [], "two": []}  # processor seconds of each run

    def run(workers):
        write_genome_codes([fasta], folder / f"run-{next(number)}", tokenizer, workers, progress=False)

    def run_alone():
        timed = tokenizer.codec.encode_sequences = Timed(tokenizer.codec.encode_sequences)
        start = time.perf_counter()
        try:
            run(1)
        finally:
            tokenizer.codec.encode_sequences = timed.function
        shares.append(1 - timed.seconds / (time.perf_counter() - start))

    def counted(name, function, *arguments):
        before = processor_seconds()
        function(*arguments)
        used[name].append(processor_seconds() - before)

    with CodeWorkers(tokenizer, 2) as pool:
        contestants = {"one": lambda: counted("one", run_alone), "two": lambda: counted("two", run, pool)}
        seconds = median_seconds(contestants, options.rounds)
    # subtle: without the round in which the workers start
    processor = {name: median(values[1:]) for name, values in used.items()}
    one, two = (bases / seconds[name] for name in ("one", "two"))
    what = f"{options.preset}, {bases / 1e6:.3g} Mb {'of human DNA' if human else 'simulated'}, one thread each"
    hours = HUMAN / one / 3600
    return [
        Figure("two workers / one worker", two / one, ">= 1.8", f"{two:,.0f} / {one:,.0f} bases/s; {what}"),
        Figure(
            "processor time, two workers and the first process / one worker",
            processor["two"] / processor["one"],
            "",
            f"{processor['two']:.1f} / {processor['one']:.1f} s",
        ),
        Figure("part of one worker's time outside the network", median(shares), "", "checksum, FASTA twice, Parquet"),
        Figure(
            "hours for 3.1 Gb, one worker", hours, "", f"{HUMAN / two / 3600:.2f} hours with two; from the first line"
        ),
    ]


def measure_table(options: argparse.Namespace, folder: Path) -> list[Figure]:
    """The figures of a compiled vocabulary: compressed FASTA to Parquet."""
    torch.set_num_threads(1)
    tokenizer, number = VQDNATokenizer.from_pretrained(checkpoint("vqdna-hrq-compact")), itertools.count()
    fasta = folder / "genome.fa.gz"
    if data := os.environ.get("VQDNA_DATA"):
        source = Path(data) / "genomes" / "homo_sapiens_chr21_5mb.fa.gz"
        lines = gzip.decompress(source.read_bytes()).partition(b"\n")[2]
        content = b"".join(b">contig_%d\n" % n + lines for n in range(6))
    else:
        write_contig(folder / "long.fa", 30_000_000)
        content = (folder / "long.fa").read_bytes()
    fasta.write_bytes(gzip.compress(content, 6))
    lengths = measure_contigs([fasta], progress=False)
    bases = sum(lengths.values())

    def run(workers):
        write_genome_codes([fasta], folder / f"table-{next(number)}", tokenizer, workers, progress=False)

    alone = {
        "all": lambda: run(1),
        "reading": lambda: measure_contigs([fasta], progress=False),
    }
    own = median_seconds(alone, options.rounds, clock=time.process_time)
    with CodeWorkers(tokenizer, 2) as pool:
        wall = median_seconds({"one": lambda: run(1), "two": lambda: run(pool)}, options.rounds)
    speed, reading = bases / own["all"] / 1e6, 2 * own["reading"] / own["all"]
    what = f"{bases / 1e6:.1f} Mb {'of human DNA' if os.environ.get('VQDNA_DATA') else 'simulated'}, one thread"
    return [
        Figure("`vqdna-hrq-compact`, FASTA.gz to Parquet, Mb/s, one worker", speed, ">= 15", what),
        Figure("minutes for 3.1 Gb, one worker", HUMAN / speed / 6e7, "", "processor time"),
        Figure("part of it that is reading, twice", reading, "", "look-up, Parquet and checksums are the rest"),
        Figure(
            "two workers / one worker, looked up",
            wall["one"] / wall["two"],
            "",
            f"{wall['two']:.2f} / {wall['one']:.2f} s",
        ),
    ]


def processor_seconds() -> float:
    """Processor time of this process and, on Linux, of its workers so far."""
    seconds = time.process_time()
    for child in active_children():
        path = Path(f"/proc/{child.pid}/stat")
        if path.exists():
            # the 14th and 15th fields, behind a name in brackets
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def peak_of(pid: int) -> int:
    """The peak of a process's resident memory, in KiB; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def peak_child(fasta: Path, output: Path):
    """In a process of its own: tokenize, and print the sum of the peaks of this process and its workers, in MiB."""
    torch.set_num_threads(1)
    peaks, done = {}, threading.Event()

    def watch():
        while not done.wait(0.1):
            for child in active_children():
                peaks[child.pid] = max(peaks.get(child.pid, 0), peak_of(child.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        write_genome_codes([fasta], output, random_tokenizer("tiny"), workers=2, progress=False)
    finally:
        done.set()
        watcher.join()
    seconds = time.perf_counter() - start
    own = peak_of(os.getpid()) / 1024
    print(json.dumps({"own": own, "workers": [peak / 1024 for peak in peaks.values()], "seconds": seconds}))


def measure_memory(options: argparse.Namespace, folder: Path) -> list[Figure]:
    """The figure of memory: a long contig over one of a megabase."""
    results = {}
    for megabases in (1, options.mega):
        fasta = folder / f"contig-{megabases}.fa"
        write_contig(fasta, megabases * 1_000_000)
        command = [sys.executable, __file__, "--peak-of", str(fasta), str(folder / f"codes-{megabases}")]
        finished = subprocess.run(command, check=True, capture_output=True, text=True)
        results[megabases] = json.loads(finished.stdout.splitlines()[-1])
        fasta.unlink()
    total = {size: result["own"] + sum(result["workers"]) for size, result in results.items()}
    long = results[options.mega]
    detail = (
        f"{total[options.mega]:,.0f} / {total[1]:,.0f} MiB, of which the first process {long['own']:,.0f} / "
        f"{results[1]['own']:,.0f}; two workers, `tiny`, {long['seconds']:,.0f} s for the long one"
    )
    return [
        Figure(f"peak memory, contig of {options.mega} Mb / of 1 Mb", total[options.mega] / total[1], "<= 1.2", detail)
    ]


def main():
    parser = add_arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]))
    parser.set_defaults(rounds=3)
    parser.add_argument("--preset", default="small", help="architecture for the figures of speed")
    parser.add_argument("--megabases", type=float, default=2.0, help="length of what is tokenized for speed, in Mb")
    parser.add_argument("--mega", type=int, default=100, help="length of the long contig, in Mb; 0 leaves memory out")
    parser.add_argument("--peak-of", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak_of:
        peak_child(*options.peak_of)
        return
    figures, notes = [], []
    with tempfile.TemporaryDirectory() as folder:
        if options.megabases:
            figures += measure_speed(options, Path(folder)) + measure_table(options, Path(folder))
        if options.mega and Path("/proc/self/status").exists():
            figures += measure_memory(options, Path(folder))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    notes.append(f"{os.cpu_count()} cores, load {load:.1f} at the end, of which this script's share is up to 3.")
    report("Tokenizing genomes", figures, options, notes)


if __name__ == "__main__":
    main()
