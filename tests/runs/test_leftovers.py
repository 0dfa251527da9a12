"""What a user keeps beside an output stays: only what the package itself leaves under its own names is removed."""

import errno
import os

import pytest

from vqdna_hf.runs import files
from vqdna_hf.runs.files import (
    leftover_of,
    read_json,
    remove_leftovers,
    replacing,
    replacing_directory,
    restore_directory,
)


@pytest.mark.parametrize("name", ["run.old", "run.tmp", ".run.old", "run.20241130.old", "run.20241130.partial"])
def test_backup_of_a_user_is_neither_removed_nor_put_back(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "precious.txt").write_text("mine")
    restore_directory(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with replacing_directory(tmp_path / "run") as partial:
        (partial / "new").write_text("new")
    remove_leftovers(tmp_path / "run")
    assert (tmp_path / name / "precious.txt").read_text() == "mine" and (tmp_path / "run" / "new").is_file()


@pytest.mark.parametrize("name", ["result.json.old", "result.json.tmp", "result.json.20241130.old"])
def test_backup_file_of_a_user_stays(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with replacing(tmp_path / "result.json") as partial:
        partial.write_text("{}")
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["probe.safetensors.partial", "probe.safetensors.4194303.partial"])
def test_what_killed_runs_leave_is_known(name):
    assert leftover_of(name) == "probe.safetensors"
    assert leftover_of(".shard-00000.parquet.tmp") == "shard-00000.parquet"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no file system in memory here")
def test_file_in_memory_is_whole_or_not_there():
    directory = f"/dev/shm/vqdna-test-{os.getpid()}"
    try:
        with pytest.raises(RuntimeError), replacing(f"{directory}/file") as partial:
            partial.write_text("half")
            raise RuntimeError
        assert os.listdir(directory) == []
    finally:
        os.rmdir(directory)


def test_unfinished_strings_are_read_once(tmp_path):
    """Quotes behind backslashes, and no end: to try again at each of them would take hours for a file of megabytes."""
    text = "[" * 101 + '"' + '\\"' * 1000 + "\\"
    assert [len(token) for token in files._TOKEN.findall(text)[101:]] == [2001]
    path = tmp_path / "hostile.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="hostile.json"):
        read_json(path)


def test_a_full_disk_names_the_file_that_was_to_be(tmp_path):
    with (
        pytest.raises(OSError, match="No space left on device.*shard.parquet'$"),
        replacing(tmp_path / "shard.parquet"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())
