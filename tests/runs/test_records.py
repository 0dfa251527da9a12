"""What the record of a run says: settings that a resumed run must have, too."""

import json

from vqdna_hf.runs.records import different_settings


def test_settings_that_differ_are_named_and_others_are_not():
    now = {"window": 60, "sizes": (4, 8), "fingerprint": None, "versions": "2"}
    before = json.loads(json.dumps(now)) | {"versions": "1"}
    assert different_settings(before, now, ("window", "sizes", "fingerprint")) == ""
    assert different_settings(before, now) == "versions: '1' then, '2' now"
    before |= {"window": 50, "sizes": [4]}
    expected = "window: 50 then, 60 now; sizes: [4] then, [4, 8] now"
    assert different_settings(before, now, ("window", "sizes")) == expected


def test_a_setting_that_one_side_lacks_had_its_default():
    assert different_settings({}, {"cut": None}) == different_settings({"cut": None}, {}) == ""
    assert different_settings({}, {"window": 60}) == "window: its default then, 60 now"
    assert different_settings({"window": 60}, {}) == "window: 60 then, its default now"
    assert different_settings({"window": 60}, {}, []) == ""


def test_long_settings_are_cut():
    details = different_settings({"contigs": ["a" * 300]}, {"contigs": ["b" * 300]})
    assert details == f"contigs: ['{'a' * 198}... then, ['{'b' * 198}... now"
