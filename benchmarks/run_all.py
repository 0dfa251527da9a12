"""Run every script that prints ratios, one after the other, and write RESULTS.md.

    VQDNA_DATA=/path/to/data python benchmarks/run_all.py          # `make bench` does this

A script that was measured already (its JSON lies in --work) is not run again, so that an interrupted run resumes; a
fresh --work measures everything. Scripts that want real sequences use simulated ones where VQDNA_DATA is not set,
and say so.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from measuring import Figure, markdown

from vqdna_hf.runs.files import write_file


HERE = Path(__file__).parent
# script -> further arguments
SCRIPTS = {
    "tokenizer_speed.py": [],
    "code_agreement.py": [],
    "quantizer_step.py": [],
    "genome_tokenization.py": [],
    "pretraining_step.py": [],
    "finetuning_epoch.py": [],
    "long_sequences.py": ["--rounds", "1"],
    "activation_memory.py": [],
    "processes.py": [],
}


def run(script: str, arguments: list[str], work: Path) -> dict | None:
    """The table of one script; None, after a word, if it failed."""
    result = work / f"{Path(script).stem}.json"
    if not result.is_file():
        command = [sys.executable, str(HERE / script), "--json", str(result), *arguments]
        print(f"\n$ {' '.join(command[1:])}", flush=True)
        environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **os.environ}
        code = subprocess.run(command, env=environment, check=False).returncode
        if code:
            print(f"{script} failed with status {code}: it is left out of the results", file=sys.stderr)
            return None
    return json.loads(result.read_text(encoding="utf-8"))


def results(tables: dict[str, dict]) -> str:
    """The page."""
    lines = ["# Measured", "", "Made by `make bench`; each ratio is of things that took turns in one run.", ""]
    first = next(iter(tables.values()))
    lines += ["| " + " | ".join(first["machine"]) + " |", "|" + "---|" * len(first["machine"])]
    lines += ["| " + " | ".join(first["machine"].values()) + " |", ""]
    for script, table in tables.items():
        figures = [Figure(**figure) for figure in table["figures"]]
        lines += [f"## {table['title']}", "", f"`python benchmarks/{script}`", "", markdown(figures), ""]
        for note in table["notes"]:
            lines += [note, ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Run what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/bench"), help="directory of the scripts' results")
    parser.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    parser.add_argument("--tokenizer", help="directory of a trained vocabulary, for code_agreement.py")
    parser.add_argument("scripts", nargs="*", help="measure these only; the page keeps what was measured before")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    chosen = [Path(name).name for name in options.scripts] or list(SCRIPTS)
    if unknown := sorted(set(chosen) - set(SCRIPTS)):
        parser.error(f"no script {', '.join(unknown)}; there are {', '.join(SCRIPTS)}")
    arguments = {name: list(values) for name, values in SCRIPTS.items()}
    if options.tokenizer:
        arguments["code_agreement.py"] += ["--tokenizer", options.tokenizer]
    wanted = [name for name in SCRIPTS if name in chosen or (options.work / f"{Path(name).stem}.json").is_file()]
    tables = {script: run(script, arguments[script], options.work) for script in wanted}
    failed = [script for script, table in tables.items() if table is None]
    if tables := {script: table for script, table in tables.items() if table}:
        write_file(options.output, results(tables).encode())
        print(f"\nThe results are in {options.output}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
