"""Write the releases that `make` installs: `locked.txt`, the newest that setup.py allows, for Python 3.11 to 3.13 on
Linux and macOS; and `oldest.txt`, its lower bounds, for Python 3.11 on the platform this runs on."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path


FOLDER = Path(__file__).resolve().parent
# installed before, from wherever the caller has it; what else its CUDA builds need, its own metadata pins
TORCH = re.compile(r"(torch|triton|cuda-[a-z-]+|nvidia-[a-z0-9-]+)==")
HEADER = "# Written by `make lock`; not edited by hand. PyTorch is installed first (TORCH in the Makefile).\n"


def lock(name: str, extras: list[str], torch: str, options: list[str]):
    """Resolve setup.py with some of its extras, starting from the file that is there."""
    path = FOLDER / name
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraint:
        constraint.write(f"{torch}\n")
        constraint.flush()
        command = [sys.executable, "-m", "uv", "pip", "compile", "--no-config", "--quiet"]
        command += ["--python-version", "3.11", "--no-header", "--annotation-style", "line", *options]
        command += [part for extra in extras for part in ("--extra", extra)]
        command += ["--constraint", constraint.name, "--output-file", str(path), "setup.py"]
        subprocess.run(command, check=True, cwd=FOLDER.parent)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not TORCH.match(line) and not line.startswith("#")]
    path.write_text(HEADER + "".join(kept), encoding="utf-8")
    print(f"{path}: {len(kept)} releases")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", required=True, help="the release of PyTorch that is installed first: torch==X")
    parser.add_argument("--upgrade", action="store_true", help="take the newest releases, also of what is pinned")
    arguments = parser.parse_args()
    options = ["--upgrade"] if arguments.upgrade else []
    lock("locked.txt", ["dev"], arguments.torch, ["--universal", *options])
    lock("oldest.txt", ["dev", "min"], arguments.torch, options)


if __name__ == "__main__":
    main()
