"""What both demos share: running commands, making room for the results, reloading a model, printing."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

from ..runs.files import check_output, holds_files, write_file


logger = logging.getLogger(__name__)

MARKER = "made_by_vqdna_demo.txt"
# folders that a demo of either kind writes, and replaces when it runs again
_FOLDERS = ("data", "models", "runs", "tokenizer", "one-hot-tokenizer", "corpus", "learned-encoder", "one-hot-encoder")
_FOLDERS += ("learned-lora", "learned-end-to-end", "one-hot-lora", "one-hot-full")

RELOAD = """
import sys
import torch
import vqdna_hf
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1]).eval()
model.check_tokenizer(tokenizer)
sequences = [line.split(",") for line in open(sys.argv[2], encoding="utf-8").read().split()[1:]]
with torch.no_grad():
    logits = model(**tokenizer([s for s, _ in sequences], padding=True, return_tensors="pt")).logits
print((logits.argmax(-1) == torch.tensor([int(label) for _, label in sequences])).float().mean().item())
"""


def run(*command: str):
    """Run one `vqdna` command in this process, as a user would type it.

    Raises:
        RuntimeError: the command failed.
    """
    from ..cli import main

    logger.info("\n$ vqdna %s", " ".join(command))
    if (status := main(list(command))) != 0:
        raise RuntimeError(f"`vqdna {' '.join(command)}` failed with status {status}.")


def prepare_output(output: Path, overwrite: bool):
    """Make room for a new demo.

    Raises:
        ValueError: the directory holds files, and no demo made it; nothing of it is touched.
    """
    marker = output / MARKER
    check_output(output)
    own = marker.is_file() or not output.exists()
    if not own and (not output.is_dir() or holds_files(output, (MARKER,))):
        raise ValueError(f"{output} holds something that no demo wrote. Choose another --output.")
    existing = [output / name for name in _FOLDERS if (output / name).exists()]
    if existing and not overwrite:
        raise ValueError(f"{output} holds an earlier demo; choose another --output.")
    for path in existing:
        shutil.rmtree(path)
    output.mkdir(parents=True, exist_ok=True)
    write_file(marker, b"Everything here was made by `vqdna demo`, which replaces it when it runs again.\n")


def reloaded_accuracy(directory: Path, test: Path) -> float:
    """Test accuracy of a saved model, loaded by the Auto classes in a fresh process.

    Raises:
        RuntimeError: it does not load there.
    """
    command = [sys.executable, "-c", RELOAD, str(directory), str(test)]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode != 0:
        raise RuntimeError(f"The saved model in {directory} does not load in a fresh process:\n{finished.stderr}")
    return float(finished.stdout.strip().splitlines()[-1])


def print_and_keep(lines: list[str], output: Path):
    """Print lines, and write them to `table.txt`."""
    text = "\n".join(lines)
    print(text, flush=True)
    write_file(output / "table.txt", f"{text.lstrip()}\n".encode())
