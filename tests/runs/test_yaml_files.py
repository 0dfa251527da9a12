"""YAML: what would grow or nest without end is refused in one line, at once, and ordinary files are read."""

import pytest

from vqdna_hf.benchmark.spec.specification import SpecificationError, read_specification
from vqdna_hf.runs import yaml_files
from vqdna_hf.runs.yaml_files import check_yaml, read_yaml


LETTERS = "abcdefghi"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip(LETTERS, LETTERS[1:])
)
MERGED = "a: &a {k0: x}\n" + "".join(
    f"{name}: &{name} {{{', '.join(f'{name}{n}: *{before}' for n in range(9))}}}\n"
    for before, name in zip(LETTERS, LETTERS[1:])
)

REFUSED = {
    "aliases": (BOMB, "line 6: more than 100,000 values, with all aliases written out"),
    "aliases in mappings": (MERGED, "more than 100,000 values"),
    "itself": ("a: &a [*a]\n", r"line 1: the alias \*a stands within what it stands for"),
    "itself in a mapping": ("&top\ntasks: {a: {b: *top}}\n", r"line 2: the alias \*top stands within"),
    "merged itself": ("a: &a\n  <<: *a\n", r"line 2: the alias \*a stands within"),
    "brackets": ("[" * 100_000 + "]" * 100_000, "line 1: nested more than 50 deep"),
    "open brackets": ("a: " + "{a: [" * 10_000, "nested more than 50 deep"),
    "dashes": ("- " * 1000 + "x", "nested more than 50 deep"),
    "indents": ("\n".join(" " * n + f"k{n}:" for n in range(100)), "line 51: nested more than 50 deep"),
    "values": ("[" + "1," * 100_001 + "]", "more than 100,000 values"),
    "bytes": ("a: " + "x" * (1 << 20), "has 1,048,579 bytes, but a YAML file of 1,048,576 at most is read"),
    "twice": ("a: 1\na: 2\n", "'a' is there twice line 2, column 1"),
    "unknown alias": ("a: *b\n", "found undefined alias 'b' line 1"),
    "cut": ("a: [1, 2\n", "is not YAML: while parsing a flow sequence line 1"),
    "python": ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
    "date": ("a: 2001-99-99\n", "has a value that cannot be read: month must be in"),
    "truth": ("a: !!bool maybe\n", "has a value that cannot be read: 'maybe'"),
    "number": ("a: !!int abc\n", "has a value that cannot be read: invalid literal"),
    "digits": ("a: " + "9" * 5000 + "\n", "has a value that cannot be read: Exceeds the limit"),
    "time": ("a: !!timestamp abc\n", "has a value that cannot be read"),
    "unhashable key": ("? [a]\n: b\n", "found unhashable key"),
    "no text": ("a: \x00\n", "unacceptable character"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "benchmark.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    with pytest.raises(SpecificationError, match=message):
        read_specification(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match="a.yaml is not YAML: 'utf-8' codec"):
        read_yaml(tmp_path / "a.yaml")


def test_aliases_within_reason_are_read(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "base: &base {lr: 1e-4, k: [1, 2]}\na: {<<: *base, lr: 2}\nb: [*base, *base, &three 3, *three]\nempty:\n"
    )
    base = {"lr": "1e-4", "k": [1, 2]}
    expected = {"base": base, "a": {"lr": 2, "k": [1, 2]}, "b": [base, base, 3, 3], "empty": None}
    assert read_yaml(tmp_path / "a.yaml") == expected


def test_written_out_values_are_counted(monkeypatch):
    monkeypatch.setattr(yaml_files, "_MOST_VALUES", 9)
    check_yaml("a: &a [x, x]\nb: *a\n")  # the mapping, two keys, and two lists of two
    with pytest.raises(ValueError, match="line 3: more than 9 values"):
        check_yaml("a: &a [x, x]\nb: *a\nc: 1\n")
