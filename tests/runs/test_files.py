"""Files are there whole or not at all, JSON is valid, and what cannot be read or written is said in one line."""

import errno
import json
import math
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from no_json import NO_OBJECTS
from safetensors.numpy import save_file

from vqdna_hf.runs import files
from vqdna_hf.runs.files import (
    adding_to_directory,
    check_fields,
    check_output,
    holds_files,
    read_json,
    replacing,
    replacing_directory,
    restore_directory,
    share_weights,
    write_file,
    write_json,
)


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture(params=[0o022, 0o007, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# one file


def test_a_file_is_whole_or_the_one_before(tmp_path):
    path = tmp_path / "folder" / "file"
    write_file(path, b"first")
    with pytest.raises(OSError, match="No space left"), replacing(path) as partial:
        partial.write_bytes(b"sec")
        assert path.read_bytes() == b"first"
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_bytes() == b"first" and names(path.parent) == ["file"]
    write_file(path, b"second")
    assert path.read_bytes() == b"second" and names(path.parent) == ["file"]


def test_leftovers_of_killed_runs_go_and_those_of_running_ones_stay(tmp_path, gone):
    path, running = tmp_path / "results.json", os.getppid()
    for name in (f"results.json.{gone}.partial", "results.json.partial", f"results.json.{running}.partial"):
        (tmp_path / name).write_text("{")
    (tmp_path / f"other.json.{gone}.partial").write_text("{")
    write_json(path, {"a": 1})
    kept = [f"other.json.{gone}.partial", "results.json", f"results.json.{running}.partial"]
    assert names(tmp_path) == sorted(kept)
    # nobody writes a file for days: the number belongs to another process by now
    os.utime(tmp_path / f"results.json.{running}.partial", (0, 0))
    write_json(path, {"a": 2})
    assert f"results.json.{running}.partial" not in names(tmp_path)


def test_a_pipe_is_written_to_as_it_is(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        write_file(pipe, b"text")
        assert read.result(timeout=10) == b"text"
    assert pipe.is_fifo() and names(tmp_path) == ["pipe"]
    with replacing("/dev/stdout") as partial:
        assert partial == Path("/dev/stdout")


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("first")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    write_file(tmp_path / "link", b"second")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "elsewhere" / "file").read_text() == "second"


def test_files_have_the_mode_of_the_umask(tmp_path, umask):
    with replacing(tmp_path / "file.safetensors") as partial:
        save_file({"a": np.zeros(3)}, partial)
    save_file({"a": np.zeros(3)}, tmp_path / "theirs.safetensors")
    share_weights(tmp_path)
    write_json(tmp_path / "a.json", {})
    assert {mode(path) for path in tmp_path.iterdir()} == {0o666 & ~umask}
    assert names(tmp_path) == ["a.json", "file.safetensors", "theirs.safetensors"]


def test_a_mode_that_somebody_chose_stays(tmp_path):
    for chosen in (0o640, 0o604, 0o600):
        save_file({"a": np.zeros(3)}, tmp_path / "a.safetensors")
        (tmp_path / "a.safetensors").chmod(chosen)
        share_weights(tmp_path)
        assert mode(tmp_path / "a.safetensors") == (chosen if chosen != 0o600 else 0o644)


# JSON


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_is_always_valid(tmp_path, value):
    write_json(tmp_path / "a.json", {"eval": {"loss": value, "log": [1.0, (value,)]}, "fine": 0.5})

    def refuse(constant: str):
        raise AssertionError(constant)

    content = json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)
    assert content == {"eval": {"loss": None, "log": [1.0, [None]]}, "fine": 0.5}
    assert np.isnan(np.asarray([content["eval"]["loss"]], dtype=float)).all()


def test_nan_that_earlier_versions_wrote_is_read(tmp_path):
    (tmp_path / "training.json").write_text('{"eval": {"loss": NaN}}')
    assert math.isnan(read_json(tmp_path / "training.json")["eval"]["loss"])


@pytest.mark.parametrize("content", NO_OBJECTS.values(), ids=NO_OBJECTS)
def test_what_is_no_json_object_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_json(path, advice="Do that.")
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith("Do that.") and "\n" not in message
    assert len(message) < 300 + len(str(path))


def test_brackets_in_text_are_no_nesting(tmp_path):
    content = {"a": "[" * 1000 + '"', "b": [[]] * 200, "c\\": "{"}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content


def test_a_file_without_end_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_LARGEST_JSON", 10)
    (tmp_path / "a.json").write_text('{"a": 1234567}')
    with pytest.raises(ValueError, match="a.json holds no JSON object: it has 14 bytes, and 10 at most are read"):
        read_json(tmp_path / "a.json")


def test_what_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    write_json(tmp_path / "a.json", {})
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ValueError, match="a.json cannot be read: permission denied. Ask its owner"):
        read_json(tmp_path / "a.json")


def test_fields_are_of_the_kind_that_is_needed():
    kinds = {"name": str, "rows": int, "score": (float, type(None)), "more": dict}
    check_fields({"name": "a", "rows": 1, "score": 1, "more": {}}, kinds, "x.json")
    check_fields({"name": "a"}, kinds, "x.json", needed=False)
    for wrong, message in (
        ({"name": 3}, "x.json: name is 3, but text is needed"),
        ({"rows": True}, "rows is True, but a whole number is needed"),
        ({"rows": 1.5}, "rows is 1.5, but a whole number"),
        ({"score": "1"}, "score is '1', but a number or null is needed"),
        ({"more": ["x" * 200]}, r"more is \['xxx.*\.\.\., but an object"),
    ):
        with pytest.raises(ValueError, match=message):
            check_fields({"name": "a", "rows": 1, "score": 1.0, "more": {}} | wrong, kinds, "x.json")
    with pytest.raises(ValueError, match="x.json has no rows"):
        check_fields({"name": "a"}, kinds, "x.json")


# directories


def test_a_directory_is_the_new_one_or_the_one_before(tmp_path):
    output = tmp_path / "out"
    for content in ("first", "second"):
        with replacing_directory(output) as partial:
            (partial / "inner").mkdir()
            (partial / "inner" / "a").write_text(content)
            save_file({"a": np.zeros(3)}, partial / "a.safetensors")
        assert (output / "inner" / "a").read_text() == content and names(tmp_path) == ["out"]
        assert mode(output / "a.safetensors") == mode(output / "inner" / "a")
    with pytest.raises(OSError, match="No space left"), replacing_directory(output) as partial:
        (partial / "b").write_text("third")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (output / "inner" / "a").read_text() == "second" and names(tmp_path) == ["out"]


def test_the_working_directory_can_be_the_one_that_is_written(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with replacing_directory(Path(".")) as partial:
        (partial / "part").write_text("new")
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["here", "part"]


def test_a_directory_that_was_taken_away_by_a_killed_run_comes_back(tmp_path, gone):
    for name in (f"out.{gone}.old", f"out.{gone}.partial", "outer.1.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    restore_directory(tmp_path / "out")
    assert names(tmp_path) == ["out", "outer.1.old"] and (tmp_path / "out" / "file").read_text() == f"out.{gone}.old"
    (tmp_path / f"out.{gone}.old").mkdir()
    restore_directory(tmp_path / "out")
    assert names(tmp_path) == ["out", "outer.1.old"]


def test_files_are_added_together(tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "mine.txt").write_text("mine")
    with pytest.raises(OSError, match="No space left"), adding_to_directory(output, "z.json") as partial:
        (partial / "a.json").write_text("{")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names(output) == ["mine.txt"]
    with adding_to_directory(output, "a.json") as partial:
        for name in ("a.json", "b.json"):
            write_json(partial / name, {})
    assert names(output) == ["a.json", "b.json", "mine.txt"] and names(tmp_path) == ["out"]


def test_leftovers_of_ones_own_are_not_foreign(tmp_path):
    for name in ("corpus.json.123.partial", ".shard-00000.parquet.tmp"):
        (tmp_path / name).write_text("")
    assert not holds_files(tmp_path, ("corpus.json", "shard-00000.parquet"))
    assert holds_files(tmp_path, ("corpus.json",))
    (tmp_path / "thesis.txt").write_text("mine")
    assert holds_files(tmp_path, ("corpus.json", "shard-00000.parquet"))


def test_paths_that_lead_nowhere_are_named(tmp_path):
    loop, dangling, file = tmp_path / "loop", tmp_path / "dangling", tmp_path / "file"
    loop.symlink_to(loop)
    dangling.symlink_to(tmp_path / "gone")
    file.write_text("")
    for path, message in (
        (loop, "loop cannot be written to: it leads through symbolic links that lead back"),
        (loop / "inner", "inner cannot be written to: it leads through symbolic links"),
        (dangling, "dangling is a symbolic link to .*gone, which is not there"),
        (file / "inner", "inner cannot be written to: Not a directory"),
        (tmp_path / ("x" * 300), "cannot be written to: File name too long"),
    ):
        with pytest.raises(ValueError, match=message):
            check_output(path)
    for path in (tmp_path, tmp_path / "new", tmp_path / "new" / "newer"):
        check_output(path)
