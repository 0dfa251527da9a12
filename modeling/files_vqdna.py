"""Files that are there whole or not at all, and that are readable by whoever the umask lets read them."""

import contextlib
import errno
import glob
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path


# beside NAME: NAME.PID.partial, which a process is writing or was killed over, and NAME.PID.old, which it replaces;
# earlier versions wrote NAME.partial and .NAME.tmp. A user's NAME.old and NAME.20241130.old (no PID) are none.
_LEFTOVER = re.compile(
    r"(?P<name>.+?)\.(?P<pid>[1-9]\d{0,6})\.(partial|old)|(?P<bare>.+)\.partial|\.(?P<hidden>.+)\.tmp"
)
# what a disk says that takes no more
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
# after this many seconds nobody is still writing, whatever process has the number by now
_ABANDONED = 86_400


def partial_path(path: Path, kind: str = "partial") -> Path:
    """The name under which this process writes what is to be `path`; of the kind `old`, what it takes away for it."""
    return path.with_name(f"{path.name}.{os.getpid()}.{kind}")


def leftover_of(name: str) -> str | None:
    """The name of the file or directory that one in the middle of its writing is to become; `None` for another."""
    match = _LEFTOVER.fullmatch(name)
    return match and (match["name"] or match["bare"] or match["hidden"])


def leftovers(path: Path) -> list[Path]:
    """What processes that are gone left beside a file or directory that they were writing, or replacing."""
    found = [Path(one) for one in glob.glob(f"{glob.escape(os.fspath(path))}.*") if leftover_of(one) is not None]
    return [one for one in found if leftover_of(one.name) == path.name and _is_abandoned(one)]


def remove_leftovers(path: Path):
    """Remove what processes that are gone left beside a file or directory."""
    for one in leftovers(path):
        remove(one)


def remove(path: Path):
    """Remove a file or a directory; what cannot be removed, or is gone, stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file: the block is given another name to write to, which becomes the file's own when it ends well.

    The file is on the disk by then, has the mode that the umask gives, and stands in the place of an older one. When
    the block fails, what it wrote is removed. A pipe or a device is written to as it is; a symbolic link stays one.

    Example:

    ```python
    with replacing(path) as partial:
        partial.write_text("whole or not at all")
    ```

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    # `/dev/stdout` is a regular file where a shell has redirected it, and still no file to put another in place of
    device = os.fspath(path).startswith(("/dev/", "/proc/")) and not os.fspath(path).startswith("/dev/shm/")
    if device or (path.exists() and not path.is_file()):
        yield path
        return
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    partial = partial_path(path)
    try:
        partial.write_bytes(b"")
        mode = partial.stat().st_mode
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        partial.chmod(mode)
        os.replace(partial, path)
    except OSError as error:
        if error.filename is None and error.errno in _FULL:
            error.filename = os.fspath(path)  # which `write` does not know
        raise
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def share_weights(directory: str | os.PathLike):
    """Give weights the mode that the umask gives other files: `safetensors` lets nobody but their owner read them.

    Args:
        directory: whose `*.safetensors` were just written.
    """
    weights = [path for path in Path(directory).glob("*.safetensors") if path.stat().st_mode & 0o777 == 0o600]
    if not weights:
        return
    # asked of a file of its own: reading the umask would change it for other threads
    probe = partial_path(Path(directory) / "mode")
    try:
        probe.write_bytes(b"")
        for path in weights:
            path.chmod(probe.stat().st_mode & 0o777)
    finally:
        probe.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    pid = _LEFTOVER.fullmatch(path.name)["pid"]
    if pid is not None and (int(pid) == os.getpid() or _is_running(int(pid))):
        with contextlib.suppress(OSError):
            return time.time() - path.lstat().st_mtime > _ABANDONED
    return True


def _is_running(pid: int) -> bool:
    """Whether a process of this machine has a number; on Windows, where asking this way would end it, all are."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        pass
    return True


__all__ = ["leftover_of", "leftovers", "partial_path", "remove", "remove_leftovers", "replacing", "share_weights"]
