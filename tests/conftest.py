"""What every test gets: no network, one thread, fixed seeds, and deprecations that fail."""

import os
import shutil
import tempfile


# before the libraries are imported: they read these once. Downloaded code and caches go to a folder of this process.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="vqdna-tests-")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import logging
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch


CACHE = os.environ["HF_HOME"]
collect_ignore = ["upstream"]  # the tests of another project, with a configuration of their own: `make test-upstream`
torch.set_num_threads(1)


class DeprecationsWarn(logging.Handler):
    """transformers announces most of its API changes in its log: here as warnings, which pytest's filters judge."""

    def emit(self, record: logging.LogRecord):
        message = record.getMessage()
        if record.levelno >= logging.WARNING and "deprecat" in message.lower():
            warnings.warn_explicit(message, FutureWarning, record.pathname, record.lineno, module="transformers")


def pytest_configure():
    logging.getLogger("transformers").addHandler(DeprecationsWarn())


def pytest_unconfigure():
    shutil.rmtree(CACHE, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]):
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def seeded():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data, which is not part of the project."""
    if not os.environ.get("VQDNA_DATA"):
        pytest.skip("set VQDNA_DATA to the folder of real data to run this test")
    return Path(os.environ["VQDNA_DATA"])
