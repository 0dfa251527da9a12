"""FASTA files with nothing to learn from, or nothing to evaluate on, are refused before anything is computed."""

import numpy as np
import pytest

from vqdna_hf import cli
from vqdna_hf.modeling.modeling_vqdna_codec import VQDNACodecModel
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases


def bases(count: int) -> str:
    return ids_to_bases(np.random.default_rng(0).integers(0, 4, count))


GENOMES = {
    "unknown bases alone": (f">a\n{'N' * 5000}\n>b\n{'N' * 400}\n", "No train contig"),
    "forty bases": (f">a\n{bases(40)}\n", "No train contig"),
    "many short contigs": ("".join(f">c{number}\n{bases(30)}\n" for number in range(100)), "No train contig"),
    "mostly unknown": (f">a\n{(bases(10) + 'N' * 90) * 50}\n", "No train contig"),
    "nothing known is held out": (f">a\n{bases(5000)}{'N' * 5000}\n", "No held-out contig"),
}
COMMANDS = {
    "train-tokenizer": ["--preset", "tiny", "--max-steps", "2", "--warmup-steps", "0"],
    "tokenize": [],
    "baseline-tokenizer": ["--kind", "bpe", "--vocab-size", "20"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", GENOMES)
def test_every_command_refuses_them(tmp_path, monkeypatch, capsys, command, kind):
    content, message = GENOMES[kind]
    if command == "baseline-tokenizer" and kind != "unknown bases alone":
        pytest.skip("words of short sequences are words, and nothing is evaluated")
    monkeypatch.setattr(VQDNACodecModel, "__init__", None)
    (tmp_path / "a.fa").write_text(content)
    output = tmp_path / "output"
    options = [*COMMANDS[command], "--fasta", str(tmp_path / "a.fa"), "--output", str(output)]
    assert cli.main([command, *options]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"vqdna {command}: {message}") and "half of them known" in error
    assert not output.exists()


def test_short_windows_take_short_contigs(tmp_path):
    (tmp_path / "a.fa").write_text("".join(f">c{number}\n{bases(40)}\n" for number in range(50)))
    options = ["--fasta", str(tmp_path / "a.fa"), "--output", str(tmp_path / "corpus")]
    assert cli.main(["tokenize", "--window", "32", "--min-length", "32", *options]) == 0
