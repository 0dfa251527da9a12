"""Runs other people's tests over our classes: what does not apply is listed with a reason, and must not pass."""

import fnmatch
import os
import re
import shutil
import sys
import tempfile
import unittest
from contextlib import nullcontext
from importlib.metadata import version


# before the libraries are imported, which read it once
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="vqdna-upstream-")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RUN_TRAINING_TESTS"] = "1"

import pytest
from not_applicable import NOT_APPLICABLE, OWN_SKIPS
from source_distribution import unpacked


def pytest_addoption(parser: pytest.Parser):
    parser.addoption("--tests-of", metavar="VERSION", default=version("transformers"), help="of transformers")


def pytest_configure(config: pytest.Config):
    sys.path.insert(0, str(unpacked(config.getoption("--tests-of"))))


def pytest_unconfigure():
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


def entry_of(item: pytest.Item) -> tuple[str, str] | None:
    """The reason for which a test does not apply, and what it fails with; `None` for a test that has to pass."""
    name = f"{item.cls.__name__}.{item.name}" if item.cls else item.name
    for reason, (error, names) in NOT_APPLICABLE.items():
        if any(fnmatch.fnmatchcase(name, known) for known in names):
            return reason, error
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]):
    for item in items:
        if entry := entry_of(item):
            item.add_marker(pytest.mark.xfail(reason=entry[0], strict=True))


@pytest.fixture(scope="session", autouse=True)
def subtests_are_the_test():
    """What fails in one fails the test, with every version of pytest."""
    unittest.TestCase.subTest = lambda *args, **kwargs: nullcontext()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    if not report.skipped:
        return report
    entry, said, wrong = entry_of(item), call.excinfo.exconly(), None
    if entry and not hasattr(report, "wasxfail"):
        wrong = "It is listed, but leaves itself out: the entry is stale."
    elif entry and not re.search(entry[1], said):
        wrong = f"It is listed because {entry[0]}, but that is not what it fails with."
    elif not entry and not any(re.search(known, said) for known in OWN_SKIPS):
        wrong = "It leaves itself out for a reason that is not listed."
    if wrong:
        report.outcome, report.longrepr = "failed", f"{wrong}\n{said}"
        vars(report).pop("wasxfail", None)
    return report
