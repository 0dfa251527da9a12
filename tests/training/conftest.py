"""One genome, task, vocabulary, corpus and encoder for all tests of this folder; each is made once, and only read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import (
    pretrain_arguments,
    tokenize_arguments,
    tokenizer_arguments,
    write_fasta,
    write_task,
)

from vqdna_hf.baselines import TokenEncoderConfig, TokenEncoderForMaskedLM, character_tokenizer
from vqdna_hf.demo.simulation import simulate_contig
from vqdna_hf.training.pretrain import pretrain
from vqdna_hf.training.tokenize import tokenize
from vqdna_hf.training.train_tokenizer import train_tokenizer


@pytest.fixture(scope="session")
def shared_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def genome_fasta(shared_dir) -> Path:
    """20,000 simulated bases in the contigs c1, c2 and c3."""
    rng = np.random.default_rng(0)
    return write_fasta(shared_dir / "genome.fa", [simulate_contig(rng, length) for length in (9000, 7000, 4000)])


@pytest.fixture(scope="session")
def task_dir(shared_dir) -> Path:
    """36, 12 and 14 sequences of 40 bases; the label says whether TATAAA is in them."""
    return write_task(shared_dir / "planted", lambda planted, rng: planted)


@pytest.fixture(scope="session")
def tokenizer_dir(shared_dir, genome_fasta) -> Path:
    train_tokenizer(tokenizer_arguments(genome_fasta, shared_dir / "tokenizer"))
    return shared_dir / "tokenizer"


@pytest.fixture(scope="session")
def other_tokenizer_dir(shared_dir, genome_fasta) -> Path:
    """Another vocabulary of the same sizes."""
    train_tokenizer(tokenizer_arguments(genome_fasta, shared_dir / "other-tokenizer", max_steps=1, seed=1))
    return shared_dir / "other-tokenizer"


@pytest.fixture(scope="session")
def corpus_dir(shared_dir, genome_fasta, tokenizer_dir) -> Path:
    """Windows of 64 bases with the codes of `tokenizer_dir`."""
    tokenize(tokenize_arguments(genome_fasta, shared_dir / "corpus", tokenizer=str(tokenizer_dir), codes=True))
    return shared_dir / "corpus"


@pytest.fixture(scope="session")
def model_dir(shared_dir, corpus_dir, tokenizer_dir) -> Path:
    pretrain(pretrain_arguments(corpus_dir, tokenizer_dir, shared_dir / "model"))
    return shared_dir / "model"


@pytest.fixture(scope="session")
def letters_dir(shared_dir) -> Path:
    """A tokenizer of letters, and an encoder over it as it was initialized."""
    directory, tokenizer = shared_dir / "letters", character_tokenizer()
    torch.manual_seed(0)
    TokenEncoderForMaskedLM(TokenEncoderConfig.from_preset("tiny", tokenizer=tokenizer)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
