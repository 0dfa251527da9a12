"""One world for all tests of this folder."""

import warnings

import pytest
from robust_world import World, make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    with warnings.catch_warnings(action="ignore"):  # peft 0.21 reads an attribute that transformers has renamed
        return make_world(tmp_path_factory.mktemp("world"))
