"""The common tests of transformers: fetched with pip as its source distribution, and unpacked outside the tree.

The source distribution holds `tests/*.py` and none of the folders below, some of which those files import from: what
they take from there is made up here: mixins without tests, values of common fields of configurations, and no text.
"""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


CACHE = Path(__file__).parents[2] / ".upstream"

# by path in the unpacked folder
STAND_INS = {
    "tests/__init__.py": "",  # or the folder of the same name in this project could come first
    "tests/exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "tests/generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "tests/utils/test_configuration_utils.py": (
        "config_common_kwargs = {'dtype': 'float16', 'id2label': {0: 'a', 1: 'b'}, 'output_hidden_states': True}\n"
    ),
    "tests/utils/tiny_model_summary.json": "{}",
    "tests/fixtures/sample_text.txt": "",
}


def unpacked(version: str) -> Path:
    """The folder that holds the `tests` of a version of transformers; fetched if it is not there yet.

    Raises:
        subprocess.CalledProcessError: pip cannot fetch that version.
    """
    folder = CACHE / f"transformers-{version}"
    if folder.is_dir():
        return folder
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        with tarfile.open(_download(version, Path(scratch))) as archive:
            members = [member for member in archive if member.name.startswith(f"{folder.name}/tests/")]
            archive.extractall(scratch, members, filter="data")
        made = Path(scratch) / folder.name
        for name, text in STAND_INS.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_text(text, encoding="utf-8")
        made.rename(folder)
    return folder


def _download(version: str, folder: Path) -> Path:
    # the environment's own setuptools serves pip, which asks every source distribution for its metadata
    options = ["--no-deps", "--no-build-isolation", "--no-binary", "transformers", "--dest", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", *options, f"transformers=={version}"], check=True)
    return next(folder.glob("*.tar.gz"))
