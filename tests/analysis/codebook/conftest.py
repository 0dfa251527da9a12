"""A tiny vocabulary, and a task whose classes differ by a planted word; each is made once, and only read."""

import os
from pathlib import Path

import pytest
from planted_words import planted_rows
from tiny_exports import make_codec, saved

from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases


# to compile UMAP takes ten seconds; interpreted, it has the few codes here in two
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")


@pytest.fixture(scope="session")
def codec():
    return make_codec()


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory, codec) -> Path:
    return saved(tmp_path_factory.mktemp("codebook") / "tokenizer", codec)


@pytest.fixture(scope="session")
def task_dir(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("codebook") / "planted"
    directory.mkdir()
    for seed, (split, count) in enumerate((("train", 60), ("dev", 30), ("test", 30))):
        rows, labels = planted_rows(count, 48, seed)
        lines = [f"{ids_to_bases(row)},{label}" for row, label in zip(rows, labels)]
        (directory / f"{split}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")
    return directory
