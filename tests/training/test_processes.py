"""The commands in two processes on a CPU (gloo), as `torchrun` and `accelerate launch` start them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import pretrain_arguments, tokenizer_arguments

from vqdna_hf.cli import main
from vqdna_hf.training.pretrain import pretrain
from vqdna_hf.training.train_tokenizer import train_tokenizer


pytestmark = pytest.mark.slow

TOKENIZER = ["--preset", "tiny", "--eval-contigs", "c3", "--max-steps", "6", "--warmup-steps", "3"]
TOKENIZER += ["--warmup-length", "32", "--length", "48", "--logging-steps", "1", "--eval-steps", "3"]
TOKENIZER += ["--eval-windows", "8", "--learning-rate", "2e-3", "--restart-threshold", "0"]
PRETRAIN = ["--preset", "tiny", "--max-steps", "4", "--warmup-steps", "1", "--logging-steps", "1"]
PRETRAIN += ["--eval-steps", "1000", "--eval-windows", "16", "--neighbour-steps", "2", "--batch-size", "4"]
FSDP = ["--use_fsdp", "--fsdp_version", "2", "--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"]
FSDP += ["--fsdp_state_dict_type", "FULL_STATE_DICT"]
# accelerate shards on GPUs only; told that these CPU processes are GPU processes, it shards here as well
SHARDING = """
import sys

from accelerate.state import PartialState
from accelerate.utils import DistributedType


def start(state, *args, **kwargs):
    original(state, *args, **kwargs)
    if state._shared_state.get("distributed_type") == DistributedType.MULTI_CPU:
        state._shared_state["distributed_type"] = DistributedType.MULTI_GPU


original, PartialState.__init__ = PartialState.__init__, start

from vqdna_hf.cli import main
from vqdna_hf.runs import processes

whole = processes.gather_weights


def gather(model):
    shards = [name for name, parameter in model.named_parameters() if hasattr(parameter, "full_tensor")]
    print("SHARDED", len(shards), sum("codec" in name for name in shards), flush=True)
    whole(model)


processes.gather_weights = gather
sys.exit(main())
"""


def launch(*command, launcher: tuple = (), script: str | None = None) -> tuple[int, str]:
    """Run a command in two processes; returns the exit status and all that was printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    if launcher:
        start = ["accelerate.commands.launch", *launcher, "--num_processes", "2", "--main_process_port", port]
    else:
        start = ["torch.distributed.run", "--nproc-per-node", "2", "--master-port", port]
    target = ["-m", "vqdna_hf.cli"] if script is None else [script]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    finished = subprocess.run(
        [sys.executable, "-m", *start, *target, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=400,
        env=environment,
    )
    return finished.returncode, finished.stdout + finished.stderr


def record(directory: Path, name: str = "training.json") -> dict:
    return json.loads((directory / name).read_text())


def assert_like(one: Path, other: Path, tolerance: float, part: str = "", name: str = "model.safetensors"):
    """The same tensors, of the same shapes and types, and those named like `part` with (nearly) the same values."""
    left, right = load_file(one / name), load_file(other / name)
    assert {key: (value.shape, value.dtype) for key, value in left.items()} == {
        key: (value.shape, value.dtype) for key, value in right.items()
    }
    for key in left:
        if part in key and left[key].is_floating_point():
            torch.testing.assert_close(left[key], right[key], rtol=0, atol=tolerance, msg=lambda m, k=key: f"{k}: {m}")


def assert_written_once(output: Path, log: str):
    assert not list(output.rglob("*.partial")) and not list(output.glob("checkpoint-*"))
    assert log.count(f"{output}") >= 1 and log.count("The result is in") + log.count("results.json are in") == 1


def test_stage_1_gives_the_vocabulary_of_one_process(genome_fasta, tmp_path):
    """On the union of both batches, up to rounding; and a finished run is not begun again."""
    output, one = tmp_path / "two", tmp_path / "one"
    command = ["train-tokenizer", "--fasta", genome_fasta, "--output", output, *TOKENIZER, "--batch-size", "4"]
    status, log = launch(*command, launcher=("--multi_gpu",))
    assert status == 0, log
    assert_written_once(output, log)
    assert log.count("'train_runtime'") == 1  # one process logs
    train_tokenizer(tokenizer_arguments(genome_fasta, one, restart_threshold=0.0))
    assert record(output)["processes"] == 2 and record(one)["processes"] == 1
    for name in ("reconstruction_loss", "commitment_loss", "denoising_reconstruction_loss"):
        assert record(output)["eval"][name] == pytest.approx(record(one)["eval"][name], abs=2e-3), name
    # a last bit of a float32 gradient moves AdamW's first steps; benchmarks/processes.py measures float64
    assert_like(output, one, 2e-4, part="embedding")
    status, log = launch(*command)
    assert status != 0 and "holds a finished run (training.json)" in log


def test_stage_1_refuses_fsdp(genome_fasta, tmp_path):
    command = ["train-tokenizer", "--fasta", genome_fasta, "--output", tmp_path / "out", *TOKENIZER]
    status, log = launch(*command, launcher=FSDP)
    assert status != 0 and "cannot run under FSDP" in log and not (tmp_path / "out").exists()


def test_stage_2_resumes_in_two_processes(corpus_dir, tokenizer_dir, tmp_path):
    command = ["pretrain", "--corpus", corpus_dir, "--tokenizer", tokenizer_dir, *PRETRAIN, "--save-steps", "2"]
    status, log = launch(*command, "--output", tmp_path / "whole")
    assert status == 0, log
    assert_written_once(tmp_path / "whole", log)
    stopped = tmp_path / "stopped.py"
    stopped.write_text(
        "import sys\nfrom transformers import Trainer\nsave = Trainer._save_checkpoint\n\n"
        "def stop(trainer, *args, **kwargs):\n    save(trainer, *args, **kwargs)\n"
        "    raise ValueError('stopped')\n\nTrainer._save_checkpoint = stop\n"
        "from vqdna_hf.cli import main\nsys.exit(main())\n"
    )
    status, log = launch(*command, "--output", tmp_path / "parts", script=str(stopped))
    assert status != 0 and "stopped" in log and (tmp_path / "parts/checkpoint-2").is_dir()
    status, log = launch(*command, "--output", tmp_path / "parts", "--resume")
    assert status == 0, log
    assert_like(tmp_path / "whole", tmp_path / "parts", 1e-6)


def test_stage_2_under_fsdp_writes_what_ddp_writes(corpus_dir, tokenizer_dir, tmp_path):
    script = tmp_path / "sharding.py"
    script.write_text(SHARDING)
    command = ["pretrain", "--corpus", corpus_dir, "--tokenizer", tokenizer_dir, *PRETRAIN, "--save-steps", "2"]
    status, log = launch(*command, "--output", tmp_path / "sharded", launcher=FSDP, script=str(script))
    assert status == 0, log
    counts = [line.split()[1:] for line in log.splitlines() if line.startswith("SHARDED")]
    assert len(counts) == 2 and all(int(shards) > 10 and codec == "0" for shards, codec in counts)
    assert_written_once(tmp_path / "sharded", log)
    # one process on the union of both batches
    one = pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, tmp_path / "one"))
    assert record(tmp_path / "sharded")["fingerprint"] == one["fingerprint"]
    assert record(tmp_path / "sharded" / "", "config.json")["architectures"] == ["VQDNAForMaskedLM"]
    assert_like(tmp_path / "sharded", tmp_path / "one", 0.0, part="codec")
    for name, value in one["eval"].items():
        if name.startswith("loss"):
            assert record(tmp_path / "sharded")["eval"][name] == pytest.approx(value, abs=0.05), name


@pytest.mark.parametrize("mode", ["lora", "full", "linear"])
def test_stage_3_in_two_processes(task_dir, model_dir, tmp_path, mode):
    command = ["finetune", "--data", task_dir, "--model", model_dir, "--output", tmp_path / "out", "--mode", mode]
    status, log = launch(*command, "--epochs", "1", "--batch-size", "12")
    assert status == 0, log
    assert_written_once(tmp_path / "out", log)
    results = record(tmp_path / "out", "results.json")
    assert results["counts"] == {"train": 36, "dev": 12, "test": 14}
    assert {"mcc", "accuracy"} <= set(results["test"])


@pytest.mark.parametrize("what", ["--codes", "--contigs"])
def test_tokenization_in_two_processes(genome_fasta, tokenizer_dir, other_tokenizer_dir, tmp_path, what):
    """The files are those of one process; what cannot be made ends all processes, with one message."""
    command = ["tokenize", what, *(["--window", "64", "--shard-windows", "50"] if what == "--codes" else [])]
    made = ["--fasta", genome_fasta, "--tokenizer", tokenizer_dir, "--output"]
    status, log = launch(*command, *made, tmp_path / "two")
    assert status == 0 and log.count(f"in {tmp_path / 'two'}") == 1, log
    assert main([str(word) for word in [*command, *made, tmp_path / "one"]]) == 0
    files = [
        {path.relative_to(top): path for path in top.rglob("*.*")} for top in (tmp_path / "one", tmp_path / "two")
    ]
    assert list(files[0]) and {name: path.read_bytes() for name, path in files[0].items()} == {
        name: path.read_bytes() for name, path in files[1].items()
    }
    # what an earlier run left there is no process's result
    other = ["--fasta", genome_fasta, "--tokenizer", other_tokenizer_dir, "--output", tmp_path / "two"]
    status, log = launch(*command, *other)
    assert status != 0 and log.count("made differently: fingerprint:") == 1, log
    # the other process waits for a manifest that never comes
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    status, log = launch(*command, *made, tmp_path / "mine")
    assert status != 0 and log.count("is not empty and holds no") == 1, log


def test_an_error_before_training_ends_all_processes(task_dir, tmp_path):
    command = ["finetune", "--data", task_dir, "--model", tmp_path / "nothing", "--output", tmp_path / "out"]
    status, log = launch(*command)
    assert status != 0 and "vqdna finetune:" in log and str(tmp_path / "nothing") in log
