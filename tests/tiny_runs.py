"""Small data and the arguments of runs that take seconds."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from vqdna_hf.arguments.training import (
    FinetuneArguments,
    PretrainArguments,
    TokenizeArguments,
    TrainTokenizerArguments,
)
from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids, ids_to_bases


FINETUNE_KEYS = {"task", "mode", "seed", "metric", "dev", "test", "counts", "seconds", "versions", "fingerprint"}
FINETUNE_KEYS |= {"arguments", "encoder", "digests"}


def write_fasta(path: Path, contigs: list[np.ndarray], line_end: str = "\n") -> Path:
    """Write nucleotide ids as contigs `c1`, `c2`, ... in lines of 80 bases."""
    lines = []
    for number, ids in enumerate(contigs, start=1):
        letters = ids_to_bases(ids)
        lines += [f">c{number}", *(letters[start : start + 80] for start in range(0, len(letters), 80))]
    path.write_bytes((line_end.join(lines) + line_end).encode())
    return path


def write_task(directory: Path, label_of, rows: tuple[int, int, int] = (36, 12, 14), length: int = 40) -> Path:
    """Write a task of random sequences; every other one has TATAAA planted, and `label_of(planted, rng)` its label."""
    directory.mkdir(parents=True)
    rng = np.random.default_rng(5)
    for split, count in zip(("train", "dev", "test"), rows):
        lines = ["sequence,label"]
        for row in range(count):
            bases = rng.integers(0, 4, length).astype(np.uint8)
            if row % 2:
                bases[10:16] = bases_to_ids("TATAAA")
            lines.append(f"{ids_to_bases(bases)},{label_of(row % 2, rng)}")
        (directory / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return directory


def tokenizer_arguments(fasta: Path, output: Path, /, **changes) -> TrainTokenizerArguments:
    """A vocabulary in six steps: warm-up of three at 32 bases, then windows of 48."""
    values = {"fasta": [str(fasta)], "output": str(output), "preset": "tiny", "eval_contigs": ["c3"]}
    values |= {"max_steps": 6, "batch_size": 8, "warmup_steps": 3, "warmup_length": 32, "length": 48}
    values |= {"logging_steps": 1, "eval_steps": 3, "save_steps": 1000, "eval_windows": 8, "learning_rate": 2e-3}
    return TrainTokenizerArguments(**values | changes)


def tokenize_arguments(fasta: Path, output: Path, /, **changes) -> TokenizeArguments:
    """A corpus of windows of 64 bases."""
    values = {"fasta": [str(fasta)], "output": str(output), "window": 64, "min_length": 32, "eval_contigs": ["c3"]}
    return TokenizeArguments(**values | changes)


def pretrain_arguments(corpus: Path, tokenizer: Path, output: Path, /, **changes) -> PretrainArguments:
    """An encoder in four steps."""
    values = {"corpus": str(corpus), "tokenizer": str(tokenizer), "output": str(output), "preset": "tiny"}
    values |= {"max_steps": 4, "batch_size": 8, "warmup_steps": 1, "logging_steps": 1, "eval_steps": 1000}
    values |= {"save_steps": 1000, "eval_windows": 16, "neighbour_steps": 2}
    return PretrainArguments(**values | changes)


def finetune_arguments(data: Path, model: Path, output: Path, /, **changes) -> FinetuneArguments:
    """One pass over 36 sequences."""
    values = {"data": str(data), "model": str(model), "output": str(output), "epochs": 1, "batch_size": 12}
    return FinetuneArguments(**values | changes)


class Stopped(Exception):
    """What the tests end a run with, where a user would press Ctrl-C."""


def stop_after(monkeypatch, step: int, trainer_class: type):
    """Let the next runs end in `Stopped` once they have made `step` steps and saved them."""
    original = trainer_class._save_checkpoint

    def save_and_stop(trainer, *args, **kwargs):
        original(trainer, *args, **kwargs)
        if trainer.state.global_step == step:
            raise Stopped

    monkeypatch.setattr(trainer_class, "_save_checkpoint", save_and_stop)


def write_checkpoint(output: Path, step: int, best: str | None = None) -> Path:
    """A checkpoint with every file that a run resumes from, and next to nothing in them."""
    place = output / f"checkpoint-{step}"
    place.mkdir(parents=True)
    save_file({"weight": np.zeros(4, dtype=np.float32)}, place / "model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"step": step}, place / name)
    state = {"global_step": step, "best_model_checkpoint": best}
    (place / "trainer_state.json").write_text(json.dumps(state))
    return place
