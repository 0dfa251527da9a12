"""A benchmark that is killed while a result is being written goes on, and ends like one that was not."""

import json

import pytest
import transformers
from tiny_benchmark import MODELS, write_benchmark

import vqdna_hf.training.pretrain as pretrain
import vqdna_hf.training.pretrain_tokens as pretrain_tokens
import vqdna_hf.training.train_tokenizer as train_tokenizer
from vqdna_hf.benchmark.command import BenchmarkArguments, benchmark


def run(path, output, **options):
    return benchmark(BenchmarkArguments(file=str(path), output=str(output), **options))


def without_times(cells):
    return [{name: value for name, value in cell.items() if name != "seconds"} for cell in cells]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The file of a benchmark of two models, and its cells."""
    home = tmp_path_factory.mktemp("restart")
    path = write_benchmark(
        home,
        models={name: MODELS[name] for name in ("learned", "letters")},
        modes={"full": {"learning_rate": 0.003, "epochs": 2, "batch_size": 16}},
        seeds=[1],
    )
    return path, run(path, home / "whole")


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (train_tokenizer, "finish_run", 1),  # the vocabulary is there, but not its record
        (pretrain, "finish_run", 1),
        (pretrain_tokens, "write_json", 1),
        (transformers.Trainer, "_save_optimizer_and_scheduler", 2),  # half a checkpoint of an encoder,
        (transformers.Trainer, "_save_optimizer_and_scheduler", 5),  # ... and of a cell
    ],
)
def test_half_a_result_is_written_again(finished, tmp_path, monkeypatch, owner, name, call):
    plain, calls = getattr(owner, name), 0

    def killed(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return plain(*args, **kwargs)

    monkeypatch.setattr(owner, name, killed)
    with pytest.raises(KeyboardInterrupt):
        run(finished[0], tmp_path)
    monkeypatch.setattr(owner, name, plain)

    assert without_times(run(finished[0], tmp_path)) == without_times(finished[1])
    assert json.loads((tmp_path / "tables.json").read_text())["tables"]
