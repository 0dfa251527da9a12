"""A run that is killed anywhere in its ending resumes with `--resume` and ends like one that was not."""

import json
import os
import shutil
import sys

import pytest
from tiny_runs import Stopped, finetune_arguments, pretrain_arguments, tokenizer_arguments

from vqdna_hf.training.classifier_trainer import ClassifierTrainer
from vqdna_hf.training.finetune import finetune
from vqdna_hf.training.guarded_trainer import GuardedTrainer
from vqdna_hf.training.pretrain import pretrain
from vqdna_hf.training.train_tokenizer import train_tokenizer


# PEFT asks models by the older name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

FINETUNING = ("lora", "full", "end-to-end", "linear", "tokens")
STAGES = (*FINETUNING, "train-tokenizer", "pretrain", "pretrain lora", "pretrain tokens")


class Killer:
    """Ends what runs at its n-th change to a directory; like a process that is gone, it changes nothing afterwards."""

    changes = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod")

    def __init__(self):
        self.place, self.left, self.seen = None, 0, []

    def __call__(self, event: str, args: tuple):
        if self.place is None:
            return
        if event == "open":
            path, mode, flags = args
            if not (isinstance(mode, str) and set(mode) & set("wax+")) and not flags & (os.O_WRONLY | os.O_RDWR):
                return
        elif event not in self.changes:
            return
        path = os.fsdecode(args[0]) if isinstance(args[0], (str, bytes, os.PathLike)) else ""
        # relative names are those within a directory that is being removed
        if path and (not os.path.isabs(path) or path.startswith(self.place)):
            self.seen.append(f"{event} {os.path.basename(path)}")
            self.left -= 1
            if self.left < 0:
                raise Stopped

    def during(self, place, left: int, run) -> bool:
        """Whether `run` was ended, as it was about to make one change more than `left`."""
        self.place, self.left, self.seen = str(place), left, []
        try:
            run()
        except Stopped:
            return True
        finally:
            self.place = None
        return False


KILLER = Killer()


@pytest.fixture(scope="module", autouse=True)
def audited():
    sys.addaudithook(KILLER)  # which cannot be taken away again, and does nothing without a place


@pytest.fixture
def first_epoch_is_best(monkeypatch):
    plain = ClassifierTrainer._determine_best_metric

    def worse_and_worse(trainer, metrics, trial):
        return plain(trainer, {**metrics, "eval_mcc": -trainer.state.epoch}, trial)

    monkeypatch.setattr(ClassifierTrainer, "_determine_best_metric", worse_and_worse)


def run(stage: str, output, request, **changes):
    place = request.getfixturevalue
    if stage in FINETUNING:
        model = place("letters_dir") if stage == "tokens" else place("model_dir")
        changes = {"mode": "full" if stage == "tokens" else stage, "epochs": 3, **changes}
        return finetune(finetune_arguments(place("task_dir"), model, output, **changes))
    if stage == "train-tokenizer":
        return train_tokenizer(tokenizer_arguments(place("genome_fasta"), output, save_steps=2, **changes))
    tokenizer = place("letters_dir" if stage == "pretrain tokens" else "tokenizer_dir")
    changes |= {"neighbour_steps": 0, "save_steps": 2, "max_steps": 4}
    if stage == "pretrain lora":
        changes |= {"lora": True, "model": str(place("model_dir"))}
    return pretrain(pretrain_arguments(place("corpus_dir"), tokenizer, output, **changes))


def contents(output) -> dict:
    """Every file of a finished run, without what says how long it took and where it is."""
    found = {}
    for path in sorted(path for path in output.rglob("*") if path.is_file()):
        name, content = str(path.relative_to(output)), path.read_bytes()
        if name.endswith(("results.json", "training.json")):
            content = json.loads(content)
            for part in (content, content.get("eval", {})):
                for key in [key for key in part if key.endswith(("seconds", "runtime", "per_second"))]:
                    del part[key]
        found[name] = content if name.endswith((".json", ".safetensors")) else None
    return found


def at_its_end(stage, output, request, monkeypatch):
    """A run that was stopped after its last step; of the linear probe, which has none, nothing."""
    if stage == "linear":
        return
    with monkeypatch.context() as patch:
        patch.setattr(GuardedTrainer, "_finalize_training", lambda *args, **kwargs: (_ for _ in ()).throw(Stopped))
        with pytest.raises(Stopped):
            run(stage, output, request)


def check_endings(stage, tmp_path, request, monkeypatch, choose):
    run(stage, tmp_path / "whole", request)
    wanted = contents(tmp_path / "whole")
    assert not list((tmp_path / "whole").glob("checkpoint-*"))
    at_its_end(stage, tmp_path / "start", request, monkeypatch)

    def fresh(name):
        output = tmp_path / name
        shutil.rmtree(output, ignore_errors=True)
        if (tmp_path / "start").exists():
            shutil.copytree(tmp_path / "start", output)
        return output

    output = fresh("out")
    assert not KILLER.during(output, 10_000, lambda: run(stage, output, request, resume=True))
    assert contents(output) == wanted
    changes = KILLER.seen
    for left in choose(len(changes)):
        output = fresh("out")
        assert KILLER.during(output, left, lambda: run(stage, output, request, resume=True)), changes[left]
        try:
            run(stage, output, request, resume=True)
        except ValueError as error:
            # only a run whose record is there is finished
            assert "finished run" in str(error), changes[left]
        assert contents(output) == wanted, changes[left]


@pytest.mark.parametrize("stage", ["full", "linear", "tokens", "train-tokenizer", "pretrain lora"])
def test_a_run_that_is_killed_in_its_ending_ends_like_another(
    stage, tmp_path, request, monkeypatch, first_epoch_is_best
):
    check_endings(stage, tmp_path, request, monkeypatch, lambda count: (count // 3, count - 1))


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_run_may_be_killed_anywhere_in_its_ending(stage, tmp_path, request, monkeypatch, first_epoch_is_best):
    check_endings(stage, tmp_path, request, monkeypatch, lambda count: range(0, count, 3))


def test_a_finished_run_loses_the_checkpoints_that_it_was_killed_over(tmp_path, request, first_epoch_is_best):
    run("full", tmp_path, request)
    (tmp_path / "checkpoint-3").mkdir()
    with pytest.raises(ValueError, match="finished run"):
        run("full", tmp_path, request)
    assert (tmp_path / "checkpoint-3").exists()
    with pytest.raises(ValueError, match="finished run"):
        run("full", tmp_path, request, resume=True)
    assert not (tmp_path / "checkpoint-3").exists()


def test_a_run_that_was_moved_keeps_its_best_epoch(tmp_path, request, monkeypatch, first_epoch_is_best):
    run("full", tmp_path / "whole", request)
    at_its_end("full", tmp_path / "here", request, monkeypatch)
    shutil.move(tmp_path / "here", tmp_path / "there")
    run("full", tmp_path / "there", request, resume=True)
    assert contents(tmp_path / "there") == contents(tmp_path / "whole")
