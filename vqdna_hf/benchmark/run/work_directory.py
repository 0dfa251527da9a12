"""Where a cell is worked on until it is finished: checkpoints, and the grid points that are done."""

import os
import shutil
from pathlib import Path

from accelerate import PartialState

from ...runs.files import read_json, write_json


_SETTINGS = "settings.json"


def work_directory(output: Path, name: str, settings: dict) -> Path:
    """The directory of a cell that is being run, emptied if what is there was begun with other settings."""
    directory = output / "work" / name
    if PartialState().is_main_process:
        path = directory / _SETTINGS
        if directory.exists() and (not path.is_file() or read_json(path) != settings):
            shutil.rmtree(directory)
        write_json(path, settings)
    PartialState().wait_for_everyone()
    return directory


def remove_work(output: Path, name: str):
    """Remove what a finished cell leaves behind."""
    shutil.rmtree(output / "work" / name, ignore_errors=True)
    try:
        os.rmdir(output / "work")
    except OSError:  # other cells are there, or it is gone already
        pass
