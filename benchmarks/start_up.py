"""CPU seconds (user and system) of what starts: `vqdna --help`, every command's, and the import of the package.

    python benchmarks/start_up.py            takes about a minute

Each line is the least of three new processes; the import is also given in units of `import torch, transformers`.
"""

import argparse
import resource
import subprocess
import sys

from vqdna_hf.cli import COMMANDS


REFERENCE = "import torch, transformers"


def cpu_seconds(code: str, repeats: int) -> float:
    """The least CPU time of a process that runs `code`."""
    times = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="processes of which the fastest counts")
    repeats = parser.parse_args().repeats
    reference = cpu_seconds(REFERENCE, repeats)
    print(f"{REFERENCE:60s} {reference:6.2f} s")
    loading = "import vqdna_hf; from transformers import AutoTokenizer; "
    loading += "AutoTokenizer.from_pretrained(vqdna_hf.checkpoint())"
    for code in ("import vqdna_hf", loading):
        seconds = cpu_seconds(code, repeats)
        print(f"{code[:60]:60s} {seconds:6.2f} s, {seconds / reference:.2f} times that")
    for words in (["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)):
        seconds = cpu_seconds(f"from vqdna_hf.cli import main; main({words})", repeats)
        print(f"{'vqdna ' + ' '.join(words):60s} {seconds:6.2f} s")


if __name__ == "__main__":
    main()
