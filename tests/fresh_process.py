"""Python in a process of its own, which inherits no module of the tests'."""

import subprocess
import sys
from pathlib import Path


def run_python(*arguments: str, cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Run Python with arguments; it has to end well, or the end of what it said is in the failure."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done
