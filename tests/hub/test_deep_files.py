"""Files that are nested without end: named in one line, wherever the Hub's side of the package reads them."""

import pytest

from vqdna_hf.cards.card import save_card
from vqdna_hf.hub.pushing import _as_vqdna
from vqdna_hf.hub.remote_code import write_remote_code


DEEP = '{"a":' * 200_000 + "1" + "}" * 200_000


def test_a_deep_configuration_gets_no_code(tmp_path):
    (tmp_path / "config.json").write_text(DEEP)
    with pytest.raises(ValueError, match="config.json holds no JSON object: it is nested.*Save the model again"):
        write_remote_code(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_deep_configuration_on_the_hub_is_none_of_ours():
    assert _as_vqdna("config.json", DEEP.encode()) is None


def test_a_card_that_was_cut_off_by_a_kill_leaves_nothing_once_it_is_written(tmp_path):
    (tmp_path / "README.md.4194305.partial").write_text("---\nlic")
    save_card(tmp_path / "README.md", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
