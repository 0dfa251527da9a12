"""The house keeps its shape: imports fall downwards, and files and functions stay as long as one can read."""

import pytest
import structure


@pytest.fixture(scope="module")
def found():
    return structure.measure()


def test_no_module_or_room_imports_itself_through_others(found):
    assert found.module_circles == [] and found.room_circles == []


def test_imports_fall_downwards(found):
    assert found.upward == []


def test_circles_and_upward_imports_would_be_found(monkeypatch):
    assert structure.circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    monkeypatch.setattr(structure, "FLOORS", tuple(reversed(structure.FLOORS)))
    assert len(structure.measure().upward) > 100
