"""Files that no command can use, by kind, and the word that the answer has to say beside the file's name."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import numpy as np


BASES = "".join(np.random.default_rng(0).choice(list("ACGT"), 6000))
FASTA = f">c1\n{BASES[:3000]}\n>c2\n{BASES[3000:]}\n".encode()

# kind -> (name, content, a word of the answer)
FASTA_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.fa", b"", "empty"),
    "line breaks": ("a.fa", b"\n\n\n", ""),
    "no header": ("a.fa", b"ACGT\nACGT\n", ">"),
    "headers alone": ("a.fa", b">c1\n>c2\n", "c1"),
    "second without bases": ("a.fa", FASTA + b">c3\n", "c3"),
    "twice": ("a.fa", FASTA + FASTA, "c1"),
    "protein": ("a.fa", b">p\n" + b"MKLVEERSTQ" * 300, ""),
    "digits": ("a.fa", b">c1\n" + b"1 ACGTACGT 11\n" * 300, ""),
    "fastq": ("a.fa", b"@r1\nACGT\n+\nIIII\n", ""),
    "genbank": ("a.fa", b"LOCUS       X\nORIGIN\n        1 acgtacgt\n//\n", ""),
    "all unknown": ("a.fa", b">c1\n" + b"N" * 5000 + b"\n", ""),
    "forty bases": ("a.fa", b">c1\n" + b"ACGT" * 10 + b"\n", ""),
    "UTF-16": ("a.fa", FASTA.decode().encode("utf-16"), ""),
    "zeros": ("a.fa", b"\0" * 4096, ""),
    "picture": ("a.fa", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, ""),
    "html": ("a.fa", b"<!DOCTYPE html><html><body>404</body></html>\n", ""),
    "gzip, cut": ("a.fa.gz", gzip.compress(FASTA)[:-300], "gzip"),
    "gzip, garbage inside": ("a.fa.gz", gzip.compress(FASTA)[:200] + b"\xff" * 400, "gzip"),
    "gzip in name alone": ("a.fa.gz", b"\x00\x01\x02\x03" * 100, ""),
    "bzip2, cut": ("a.fa.bz2", bz2.compress(FASTA)[:-200], "bzip2"),
    "xz, cut": ("a.fa.xz", lzma.compress(FASTA)[:-200], "xz"),
    "zip": ("a.fa.zip", b"PK\x03\x04" + b"\0" * 100, ""),
}

# what is read without complaint, and then does not suffice: what all files have together is said
FASTA_CONTENT = ("all unknown", "forty bases")

# commands that read FASTA, with the file in the place of {bad}
FASTA_COMMANDS = {
    "train-tokenizer": "train-tokenizer --fasta {bad} --preset tiny --max-steps 1 --warmup-steps 0 --output {out}",
    "tokenize": "tokenize --fasta {bad} --output {out}",
    "tokenize --contigs": "tokenize --contigs --fasta {bad} --tokenizer {tokenizer} --output {out}",
    "baseline-tokenizer": "baseline-tokenizer --kind bpe --vocab-size 64 --fasta {bad} --output {out}",
    "species-task": "species-task --fasta a={bad} --fasta b={genome} --train-rows 8 --test-rows 4 --output {out}",
}
# what each of them may well do with files that are bad for others
FASTA_FINE = {
    ("tokenize --contigs", "forty bases"),
    ("tokenize --contigs", "all unknown"),
    ("baseline-tokenizer", "forty bases"),
}


def rows(*lines: str, header: str = "sequence,label") -> bytes:
    return "\n".join([header, *lines, ""]).encode()


GOOD = rows(*(f"{BASES[40 * row : 40 * row + 40]},{row % 2}" for row in range(12)))
# kind -> (name of the split, content, words of the answer)
TASK_FILES: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "empty": ("train.csv", b"", ("train.csv",)),
    "header alone": ("train.csv", rows(), ("train.csv",)),
    "no header": ("train.csv", b"ACGT,0\nTTGA,1\n", ("train.csv", "sequence")),
    "other columns": ("train.csv", rows("ACGT,0", header="dna,y"), ("train.csv", "'sequence'")),
    "labels missing": ("test.csv", rows("ACGT", header="sequence"), ("test.csv", "'label'")),
    "two label columns": (
        "train.csv",
        rows("ACGT,0,1", "TTGA,1,0", header="sequence,label,label"),
        ("train.csv", "label"),
    ),
    "labels without quotes": ("train.csv", rows("ACGT,0,0,1", "TTGA,1,0,1"), ("train.csv", "row 1")),
    "labels without quotes, later": ("train.csv", GOOD + b"ACGT,0,1\n", ("train.csv", "row 13")),
    "decimal comma": ("train.csv", rows("ACGT,0,53", "TTGA,1,27"), ("train.csv", "row 1")),
    "a row too short": ("train.csv", GOOD + b"ACGT\n", ("train.csv", "row 13")),
    "semicolons": ("train.csv", rows("ACGT;0", "TTGA;1", header="sequence;label"), ("train.csv",)),
    "tabs": ("train.csv", rows("ACGT\t0", "TTGA\t1", header="sequence\tlabel"), ("train.csv",)),
    "text labels": ("train.csv", rows("ACGT,promoter", "TTGA,none"), ("train.csv", "row 1", "promoter")),
    "underscore": ("train.csv", rows("ACGT,0", "TTGA,0_1"), ("train.csv", "row 2", "0_1")),
    "huge label": ("train.csv", rows("ACGT,0", "TTGA,1e30"), ("train.csv", "1e+30")),
    "infinite label": ("train.csv", rows("ACGT,0", "TTGA,inf"), ("train.csv", "row 2", "inf")),
    "nan label": ("train.csv", rows("ACGT,0", "TTGA,nan"), ("train.csv", "row 2")),
    "empty label": ("train.csv", rows("ACGT,0", "TTGA,"), ("train.csv", "row 2")),
    "negative class": ("train.csv", rows("ACGT,0", "TTGA,-1"), ("train.csv", "row 2", "-1")),
    "a gap": ("train.csv", rows("ACGT,0", "TTGA,2"), ("train.csv", "1")),
    "one class": ("train.csv", rows("ACGT,1", "TTGA,1"), ("train.csv",)),
    "unknown class in test": ("test.csv", rows("ACGT,0", "TTGA,7"), ("test.csv", "row 2", "7")),
    "ragged multi-label": ("train.csv", rows("ACGT,0;1", "TTGA,1"), ("train.csv", "row 2")),
    "empty sequence": ("train.csv", rows("ACGT,0", ",1"), ("train.csv", "row 2")),
    "protein": ("train.csv", rows("ACGT,0", "MKLV,1"), ("train.csv", "row 2")),
    "space": ("train.csv", rows("ACGT,0", "AC GT,1"), ("train.csv", "row 2")),
    "k-mers": ("train.csv", rows("ACG CGT GTT,0", "TTG TGA GAC,1"), ("train.csv", "row 1", "3-mers")),
    "digits": ("train.csv", rows("ACGT,0", "0123,1"), ("train.csv", "row 2")),
    "UTF-16": ("train.csv", GOOD.decode().encode("utf-16"), ("train.csv",)),
    "zeros": ("train.csv", b"\0" * 500, ("train.csv",)),
    "an open quote": ("train.csv", GOOD + b'"ACGT,0\n', ("train.csv",)),
    "Parquet as CSV": ("train.csv", b"PAR1" + bytes(range(256)), ("train.csv",)),
    "CSV as Parquet": ("train.parquet", GOOD, ("train.parquet",)),
    "gzip, cut": ("train.csv.gz", gzip.compress(GOOD)[:-30], ("train.csv.gz",)),
    "gzip in name alone": ("train.csv.gz", GOOD, ("train.csv.gz",)),
    "html": ("train.csv", b"<!DOCTYPE html><html>404</html>\n", ("train.csv",)),
    "json": ("train.csv", b'[{"sequence": "ACGT", "label": 0}]\n', ("train.csv",)),
}

YAML_TEXTS: dict[str, tuple[str, str]] = {
    "empty": ("", "mapping"),
    "a list": ("- 1\n- 2\n", "mapping"),
    "no YAML": ("tasks: [a\nmodels: {", "YAML"),
    "tabs": ("tasks:\n\t- a\n", "YAML"),
    "twice": ("seeds: [1]\nseeds: [2]\n", "twice"),
    "unknown key": ("task: [a]\nmodels: {}\nseeds: [1]\n", "task"),
    "no seeds": ("tasks: [mouse/0]\nmodels: {a: {control: cnn}}\n", "seeds"),
    "unknown task": ("tasks: [mouse/99]\nmodels: {a: {control: cnn}}\nseeds: [1]\n", "mouse/99"),
    "unknown control": ("tasks: [mouse/0]\nmodels: {a: {control: cnnn}}\nseeds: [1]\n", "cnnn"),
    "unknown mode": ("tasks: [mouse/0]\nmodels: {a: {control: cnn}}\nmodes: {fullest: {}}\nseeds: [1]\n", "fullest"),
    "negative seed": ("tasks: [mouse/0]\nmodels: {a: {control: cnn}}\nseeds: [-1]\n", "-1"),
    "a seed twice": ("tasks: [mouse/0]\nmodels: {a: {control: cnn}}\nseeds: [1, 1]\n", "twice"),
    "true as a seed": ("tasks: [mouse/0]\nmodels: {a: {control: cnn}}\nseeds: [true]\n", "True"),
    "two origins": ("tasks: [mouse/0]\nmodels: {a: {control: cnn, path: x}}\nseeds: [1]\n", "exactly one"),
    "a bad name": ("tasks: [mouse/0]\nmodels: {a/b: {control: cnn}}\nseeds: [1]\n", "a/b"),
    "no variable": ("tasks: [mouse/0]\nmodels: {a: {path: '${NO_SUCH_VARIABLE}'}}\nseeds: [1]\n", "NO_SUCH_VARIABLE"),
    "epochs of 0": (
        "tasks: [mouse/0]\nmodels: {a: {control: cnn}}\nmodes: {full: {epochs: 0}}\nseeds: [1]\n",
        "epochs",
    ),
    "a rate below 0": (
        "tasks: [mouse/0]\nmodels: {a: {control: cnn}}\nmodes: {full: {learning_rate: -1}}\nseeds: [1]\n",
        "learning_rate",
    ),
    "rows of 0": ("tasks: [mouse/0]\nmodels: {a: {control: cnn}}\ntrain_rows: 0\nseeds: [1]\n", "train_rows"),
    "an object": ("!!python/object/apply:os.system [echo]\n", "YAML"),
    "itself": ("tasks: &a [*a]\nmodels: {a: {control: cnn}}\nseeds: [1]\n", ""),
    "deep": ("tasks: " + "[" * 5000 + "]" * 5000 + "\n", ""),
    "bomb": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)),
        "",
    ),
}

# file -> commands that read it, with {bad} in the place of the directory
JSON_READERS: list[tuple[str, str, str]] = [
    ("encoder", "config.json", "finetune --data {task} --model {bad} --output {out}"),
    ("encoder", "tokenizer_config.json", "finetune --data {task} --model {bad} --output {out}"),
    ("encoder", "codec_config.json", "finetune --data {task} --model {bad} --output {out}"),
    ("encoder", "training.json", "card {bad}"),
    ("encoder", "config.json", "export {bad} --output {out}"),
    ("encoder", "config.json", "publish {bad} owner/name --dry-run"),
    ("encoder", "config.json", "info --model {bad}"),
    ("tokenizer", "codec_config.json", "tokenize --fasta {genome} --codes --tokenizer {bad} --output {out}"),
    ("tokenizer", "tokenizer_config.json", "pretrain --corpus {corpus} --tokenizer {bad} --output {out}"),
    ("tokenizer", "codec_config.json", "codebook {bad} --data {task} --output {out}"),
    ("corpus", "corpus.json", "pretrain --corpus {bad} --tokenizer {tokenizer} --output {out}"),
    ("full", "results.json", "card {bad}"),
    ("full", "results.json", "publish {bad} owner/name --dry-run"),
    ("adapter", "adapter_config.json", "card {bad}"),
    ("adapter", "adapter_config.json", "publish {bad} owner/name --dry-run --base-model owner/base"),
    ("probe", "probe.json", "card {bad}"),
]


def with_nan(path: Path):
    """Put a nan into the numbers of a file of weights."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    for value in tensors.values():
        if value.is_floating_point():
            value.view(-1)[:1] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})


def edited(path: Path, **changes):
    """Change fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
