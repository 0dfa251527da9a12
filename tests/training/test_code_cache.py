"""Cached codes are those that would be computed, come back without a network, and change no result of a run."""

import json
import threading

import numpy as np
import pytest
import torch
from datasets import config as datasets_config
from tiny_runs import Stopped, finetune_arguments, stop_after
from transformers import AutoTokenizer, Trainer

from vqdna_hf import VQDNAModel
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases, reverse_complement
from vqdna_hf.tasks import load_task_files
from vqdna_hf.training import code_cache
from vqdna_hf.training.code_cache import cache_directory, cached_codes
from vqdna_hf.training.finetune import cut_splits, finetune, inputs_of
from vqdna_hf.training.length_groups import LengthGroupedSampler, is_worth_grouping, padding_share
from vqdna_hf.training.task_rows import TaskRows


# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def tokenizer(tokenizer_dir):
    return AutoTokenizer.from_pretrained(tokenizer_dir)


@pytest.fixture
def sequences() -> list[np.ndarray]:
    """Twelve sequences of 1 to 90 bases, some unknown."""
    rng = np.random.default_rng(3)
    return [
        rng.choice(5, size, p=[0.24] * 4 + [0.04]).astype(np.uint8) for size in (1, 90, 3, *rng.integers(5, 70, 9))
    ]


@pytest.fixture(scope="module")
def ragged_dir(tmp_path_factory):
    """A task of sequences of 20 to 120 bases with some N; the label says whether they are rich in A."""
    directory, rng = tmp_path_factory.mktemp("tasks") / "ragged", np.random.default_rng(8)
    directory.mkdir()
    for split, count in (("train", 40), ("dev", 11), ("test", 13)):
        lines = ["sequence,label"]
        for row in range(count):
            share = [0.4, 0.19, 0.19, 0.19, 0.03] if row % 2 else [0.2, 0.26, 0.26, 0.25, 0.03]
            lines.append(f"{ids_to_bases(rng.choice(5, rng.integers(20, 120), p=share).astype(np.uint8))},{row % 2}")
        (directory / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return directory


def same(first, second) -> bool:
    return len(first) == len(second) and all(np.array_equal(one, other) for one, other in zip(first, second))


def refuse(*args, **kwargs):
    raise AssertionError("the network ran")


# the codes


def test_codes_are_those_of_each_sequence_alone_on_each_strand(tmp_path, tokenizer, sequences):
    codes = cached_codes(tokenizer, sequences, tmp_path)
    other = cached_codes(tokenizer, [reverse_complement(ids) for ids in sequences], tmp_path)
    expected = [np.asarray(tokenizer(ids_to_bases(ids))["input_ids"]) for ids in sequences]
    assert same(codes, expected) and codes[0].dtype == np.int32
    turned = [ids_to_bases(reverse_complement(ids)) for ids in sequences]
    assert same(other, [np.asarray(tokenizer(one)["input_ids"]) for one in turned])


def test_kept_codes_need_no_network(monkeypatch, tmp_path, tokenizer, sequences):
    monkeypatch.setattr(code_cache, "_PART", 100)  # several parts in the file
    codes = cached_codes(tokenizer, sequences, tmp_path)
    monkeypatch.setattr(type(tokenizer), "encode_joined", refuse)
    assert same(cached_codes(tokenizer, sequences, tmp_path), codes)
    with pytest.raises(AssertionError, match="the network ran"):
        cached_codes(tokenizer, sequences[::-1], tmp_path)
    with pytest.raises(AssertionError, match="the network ran"):
        cached_codes(tokenizer, [*sequences[:-1], sequences[-1][:-1]], tmp_path)
    assert [path.suffix for path in sorted(tmp_path.rglob("*.*"))].count(".arrow") == 1
    assert not list(tmp_path.rglob("*.partial"))


def test_another_vocabulary_has_codes_of_its_own(tmp_path, tokenizer, other_tokenizer_dir, sequences):
    theirs = AutoTokenizer.from_pretrained(other_tokenizer_dir)
    codes, other = (cached_codes(one, sequences, tmp_path) for one in (tokenizer, theirs))
    assert not same(codes, other)
    assert len(list(tmp_path.glob("*/*.arrow"))) == 2 and same(cached_codes(tokenizer, sequences, tmp_path), codes)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "no arrow", "foreign"])
def test_a_damaged_or_foreign_file_is_written_again(monkeypatch, tmp_path, caplog, tokenizer, sequences, damage):
    codes = [row.copy() for row in cached_codes(tokenizer, sequences, tmp_path)]
    (path,) = tmp_path.glob("*/*.arrow")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[content.index(np.int32(codes[1][5]).tobytes() + np.int32(codes[1][6]).tobytes())] ^= 1
    elif damage == "foreign":  # the codes of other sequences under this name
        cached_codes(tokenizer, sequences[::-1], tmp_path)
        content = next(other for other in tmp_path.glob("*/*.arrow") if other != path).read_bytes()
    path.unlink()  # which the codes above are mapped from
    path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "no arrow": b"hello"}.get(damage, content))
    assert same(cached_codes(tokenizer, sequences, tmp_path), codes)
    assert "computed again" in caplog.text and str(path) in caplog.text
    monkeypatch.setattr(type(tokenizer), "encode_joined", refuse)
    assert same(cached_codes(tokenizer, sequences, tmp_path), codes)


def test_of_several_processes_one_computes(monkeypatch, tmp_path, tokenizer, sequences):
    calls, encode = [], type(tokenizer).encode_joined
    monkeypatch.setattr(
        type(tokenizer), "encode_joined", lambda self, *rows: calls.append(len(rows[1])) or encode(self, *rows)
    )
    found = [None] * 4

    def ask(number: int):
        found[number] = cached_codes(tokenizer, sequences, tmp_path)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(calls) == len(sequences) and all(same(rows, found[0]) for rows in found)


def test_where_nothing_can_be_written_codes_are_computed(tmp_path, caplog, tokenizer, sequences):
    (tmp_path / "file").write_text("in the way")
    codes = cached_codes(tokenizer, sequences, tmp_path / "file")
    assert same(codes, cached_codes(tokenizer, sequences, tmp_path / "folder")) and "cannot be kept" in caplog.text


def test_an_interrupted_encoding_leaves_nothing(monkeypatch, tmp_path, tokenizer, sequences):
    monkeypatch.setattr(code_cache, "_PART", 100)
    encode, calls = type(tokenizer).encode_joined, []

    def stop_at_the_second(self, *rows):
        calls.append(rows)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode(self, *rows)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(tokenizer), "encode_joined", stop_at_the_second)
        cached_codes(tokenizer, sequences, tmp_path)
    assert not [path for path in tmp_path.rglob("*.*") if path.suffix != ".lock"]
    assert len(cached_codes(tokenizer, sequences, tmp_path)) == len(sequences)


# what a run reads


@torch.no_grad()
@pytest.mark.parametrize("rc_augment, strand_average", [(False, False), (True, True)])
def test_batches_of_codes_are_the_batches_of_bases(tmp_path, ragged_dir, model_dir, rc_augment, strand_average):
    options = {"mode": "full", "rc_augment": rc_augment, "strand_average": strand_average, "max_length": 50}
    options |= {"cache_dir": str(tmp_path)}
    splits, model = load_task_files(ragged_dir)[0], VQDNAModel.from_pretrained(model_dir)
    sets = {}
    for cached in (True, False):
        arguments = finetune_arguments(ragged_dir, model_dir, tmp_path, **options, cache_codes=cached)
        sets[cached] = inputs_of(
            arguments, AutoTokenizer.from_pretrained(model_dir), *cut_splits(arguments, splits, []), []
        )
    codes, bases = sets[True].rows, sets[False].rows
    collate, lengths = sets[True].collator, sets[True].lengths
    assert lengths == sets[False].lengths == [min(50, len(ids)) + 2 for ids in splits["train"]["nucleotide_ids"]]
    for name in splits:
        for epoch in (0, 1):
            codes[name].set_epoch(epoch)
            bases[name].set_epoch(epoch)
            batch = collate([codes[name][row] for row in range(len(codes[name]))])
            expected = collate([bases[name][row] for row in range(len(bases[name]))])
            assert torch.equal(batch["input_ids"], model.encode_nucleotides(expected["nucleotide_ids"]))
            assert torch.equal(batch["attention_mask"], expected["attention_mask"])
            assert torch.equal(batch["labels"], expected["labels"])
        assert ("other_input_ids" in batch) == (strand_average and name != "train")
        assert ("other_nucleotide_ids" in expected) == ("other_input_ids" in batch)
    longest = max(len(ids) for ids in splits["test"]["nucleotide_ids"])
    assert len(codes["test"][0]["input_ids"]) == longest + 2 > 52  # at full length, the longest first
    assert max(len(codes["train"][row]["input_ids"]) for row in range(40)) == 52


class Runs:
    """The losses that runs have logged, in order, and the logits of their predictions."""

    def __init__(self, monkeypatch):
        self.losses, self.logits = [], []
        log, predict = Trainer.log, Trainer.predict

        def keep_log(trainer, logs, *args, **kwargs):
            self.losses += [value for name, value in logs.items() if name in ("loss", "eval_loss")]
            return log(trainer, logs, *args, **kwargs)

        def keep_predict(trainer, *args, **kwargs):
            output = predict(trainer, *args, **kwargs)
            self.losses.append(output.metrics["test_loss"])
            self.logits.append(output.predictions)
            return output

        monkeypatch.setattr(Trainer, "log", keep_log)
        monkeypatch.setattr(Trainer, "predict", keep_predict)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "full"},
        {"mode": "full", "rc_augment": True, "max_length": 30},
        {"mode": "lora", "rc_augment": True, "strand_average": True},
    ],
    ids=["plain", "augmented", "averaged"],
)
def test_a_cache_changes_no_result(monkeypatch, caplog, tmp_path, ragged_dir, model_dir, options):
    runs, results = [], []
    for cached in (False, True):
        with monkeypatch.context() as patch:
            runs.append(Runs(patch))
            changes = {**options, "cache_codes": cached, "cache_dir": str(tmp_path / "codes"), "learning_rate": 1e-2}
            output = tmp_path / f"out-{cached}"
            results.append(finetune(finetune_arguments(ragged_dir, model_dir, output, **changes)))
            assert (tmp_path / "codes").exists() == cached
    assert len(runs[0].losses) == 4  # of the epoch, twice on dev, on test
    np.testing.assert_allclose(runs[1].losses, runs[0].losses, rtol=0, atol=1e-6)
    np.testing.assert_allclose(runs[1].logits[0], runs[0].logits[0], rtol=0, atol=1e-5)
    for key in ("dev", "test", "arguments", "fingerprint", "counts"):
        assert results[0][key] == results[1][key], key
    files = [sorted(path.name for path in (tmp_path / f"out-{cached}").iterdir()) for cached in (False, True)]
    assert files[0] == files[1]
    # the network that reads bases is never asked for the other strand of codes
    assert "strand_average needs" not in caplog.text


def test_runs_of_a_task_share_their_codes(monkeypatch, tmp_path, task_dir, model_dir):
    assert str(cache_directory()).startswith(str(datasets_config.HF_DATASETS_CACHE))
    finetune(finetune_arguments(task_dir, model_dir, tmp_path / "first", mode="full"))
    monkeypatch.setattr(code_cache, "_encode", refuse)
    finetune(finetune_arguments(task_dir, model_dir, tmp_path / "second", mode="lora", seed=7))


def test_a_vocabulary_that_trains_has_no_codes_to_keep(tmp_path, task_dir, model_dir):
    changes = {"mode": "end-to-end", "cache_dir": str(tmp_path / "codes")}
    finetune(finetune_arguments(task_dir, model_dir, tmp_path / "out", **changes))
    assert not (tmp_path / "codes").exists()


# batches by length


def test_equal_lengths_are_left_as_they_were():
    assert padding_share([50] * 40, 8) == 0 and not is_worth_grouping([50] * 40, 8)
    assert not is_worth_grouping([*[50] * 1000, 49], 8)
    assert padding_share([10, 30], 2) == pytest.approx(1 / 3) and padding_share([10, 30], 1) == 0
    assert is_worth_grouping(np.random.default_rng(0).integers(20, 100, 300), 32)


def test_an_epoch_has_every_row_once_and_little_padding():
    lengths = np.random.default_rng(0).integers(20, 300, 1000)
    rows = TaskRows([np.zeros(length) for length in lengths], np.zeros(1000))
    orders = {}
    for epoch in (0, 1):
        for name, seed in (("first", 1), ("again", 1), ("other", 2)):
            rows.set_epoch(epoch)
            orders[name, epoch] = list(LengthGroupedSampler(rows, lengths, 16, seed))
    for order in orders.values():
        assert sorted(order) == list(range(1000))
        batches = [lengths[order[start : start + 16]] for start in range(0, 1000, 16)]
        padded = sum(len(batch) * batch.max() for batch in batches)
        assert 1 - lengths.sum() / padded < 0.1 < 0.4 < padding_share(lengths, 16)
    assert orders["first", 0] == orders["again", 0] and orders["first", 1] == orders["again", 1]
    assert len({tuple(order) for order in orders.values()}) == 4


def test_a_resumed_run_of_grouped_batches_gives_the_same_losses(monkeypatch, tmp_path, ragged_dir, model_dir):
    def arguments(name, **changes):
        changes |= {"mode": "full", "epochs": 3, "batch_size": 8, "learning_rate": 1e-2, "rc_augment": True}
        return finetune_arguments(ragged_dir, model_dir, tmp_path / name, **changes)

    with monkeypatch.context() as patch:
        whole = Runs(patch)
        finetune(arguments("whole"))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, 5, Trainer)
        finetune(arguments("parts"))
    with monkeypatch.context() as patch:
        rest = Runs(patch)
        finetune(arguments("parts", resume=True))
    assert rest.losses == whole.losses[2:] and np.array_equal(rest.logits[0], whole.logits[0])


# options that a run may have been begun without


def test_options_at_their_defaults_leave_records_as_they_were(tmp_path, task_dir, model_dir):
    arguments = finetune_arguments(task_dir, model_dir, tmp_path / "out", mode="full")
    younger = {"compile", "attn_implementation", "gradient_checkpointing", "group_by_length"}
    assert not (younger | {"cache_codes", "cache_dir"}) & set(arguments.settings())
    arguments.gradient_checkpointing, arguments.attn_implementation = True, "eager"
    assert {"gradient_checkpointing": True, "attn_implementation": "eager"}.items() <= arguments.settings().items()
    finetune(arguments)
    record = json.loads((tmp_path / "out" / "results.json").read_text())["arguments"]
    assert record["attn_implementation"] == "eager" and "compile" not in record


@pytest.mark.parametrize("mode, names", [("full", ["eager", "bf16"]), ("lora", ["checkpointing"])])
def test_options_of_speed_change_no_loss(monkeypatch, tmp_path, ragged_dir, model_dir, mode, names):
    options = {
        "plain": {},
        "checkpointing": {"gradient_checkpointing": True},
        "eager": {"attn_implementation": "eager"},
        "bf16": {"bf16": True},  # which a CPU can do, too
    }
    losses = {}
    for name, changes in [(name, options[name]) for name in ["plain", *names]]:
        with monkeypatch.context() as patch:
            runs = Runs(patch)
            changes = {**changes, "mode": mode, "learning_rate": 1e-3}
            finetune(finetune_arguments(ragged_dir, model_dir, tmp_path / name, **changes))
            losses[name] = runs.losses
    for name in names:
        tolerance = 0.02 if name == "bf16" else 1e-5
        np.testing.assert_allclose(losses[name], losses["plain"], atol=tolerance, rtol=0, err_msg=name)
        assert name != "bf16" or losses[name] != losses["plain"]


def test_an_unknown_attention_is_refused(tmp_path, task_dir, model_dir):
    arguments = finetune_arguments(task_dir, model_dir, tmp_path / "out", attn_implementation="telepathy")
    with pytest.raises(ValueError, match=r"--attn-implementation telepathy cannot be used here"):
        finetune(arguments)
    assert not (tmp_path / "out").exists()
