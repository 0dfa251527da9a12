"""How a command answers: run within this process, with an alarm."""

import re
import shlex
import signal
from pathlib import Path

from vqdna_hf.cli import main


SECONDS = 60  # that any of these may take; they take a fraction of one


class alarm:
    """Ends what hangs with a `TimeoutError`, where the system has alarms."""

    def __enter__(self):
        if hasattr(signal, "SIGALRM"):
            self.before = signal.signal(signal.SIGALRM, self._stop)
            signal.alarm(SECONDS)

    def _stop(self, number, frame):
        raise TimeoutError(f"no answer in {SECONDS} s")

    def __exit__(self, *error):
        if hasattr(signal, "SIGALRM"):
            signal.alarm(0)
            signal.signal(signal.SIGALRM, self.before)


def refusal(capsys, line: str, places: dict[str, str]) -> str:
    """Run a command line that must be refused, by one line and the exit status 2; returns what it said."""
    capsys.readouterr()
    words = [word.format(**places) for word in shlex.split(line)]
    with alarm():
        try:
            status = main(words)
        except SystemExit as exit:  # argparse's own
            status = exit.code
    said = capsys.readouterr().err
    assert status == 2, f"{shlex.join(words)}: exit status {status}\n{said[-2000:]}"
    assert "Traceback" not in said
    own = [part for part in said.splitlines() if re.match(r"vqdna( [a-z-]+)?: ", part)]
    assert len(own) == 1, said
    return said[said.index(own[0]) :]


def check_nothing_written(out: Path):
    """Only what says that a run was asked for may be there: no result, and no half of one."""
    found = [path.name for path in out.rglob("*") if path.is_file()] if out.exists() else []
    assert not [name for name in found if name != "run.json"], found
