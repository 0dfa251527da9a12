"""The list of what does not apply names tests that there are."""

import fnmatch
import unittest

import test_models
import test_tokenizer
from not_applicable import NOT_APPLICABLE


def test_every_entry_names_a_test():
    classes = {**vars(test_models), **vars(test_tokenizer)}
    tests = [
        f"{name}.{test}"
        for name, value in classes.items()
        if isinstance(value, type) and issubclass(value, unittest.TestCase)
        for test in dir(value)
    ]
    entries = [entry for _, entries in NOT_APPLICABLE.values() for entry in entries]
    assert not [entry for entry in entries if not fnmatch.filter(tests, entry)]
