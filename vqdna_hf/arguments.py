"""Arguments of the commands; `training/arguments.py` has those of the three stages. Each field is an option."""

from dataclasses import asdict, dataclass
from pathlib import Path

from .checkpoints import DEFAULT_CHECKPOINT
from .options import Arguments, option, required
from .training.arguments import LARGEST_SEED, POOLINGS


OPSETS = range(18, 23)

_SEED = {"at_least": 0, "at_most": LARGEST_SEED}


@dataclass(kw_only=True)
class CardArguments(Arguments):
    """Write the model card of a directory that a command wrote."""

    POSITIONAL = ("directory",)

    directory: str = required(
        "directory of a vocabulary, a model, an adapter or a linear probe, or a checkpoint of the package"
    )
    output: str | None = option(None, "file to write; README.md in the directory when not given")
    results: list[str] = option([], "further results.json, or a directory with one: other tasks and seeds")
    renew_digests: bool = option(False, "record the weights that are there now, because you changed them on purpose")


@dataclass(kw_only=True)
class PublishArguments(Arguments):
    """Verify a model, vocabulary or adapter directory and upload it."""

    POSITIONAL = ("directory", "repo_id")

    directory: str = required("directory of a model, a vocabulary or an adapter, or a checkpoint of the package")
    repo_id: str = required("repository to upload to: owner/name")
    private: bool = option(False, "make the repository private; without it, a new one is what its owner's default is")
    dry_run: bool = option(False, "verify and list the files, but upload nothing")
    base_model: str | None = option(None, "repository of the model that an adapter was trained on: owner/name")
    message: str | None = option(None, "title of the commit")
    revision: str = option("main", "branch to upload to; it is made if there is none")


@dataclass(kw_only=True)
class ExportArguments(Arguments):
    """Write what a directory holds as ONNX files: `tokenizer.onnx`, and `model.onnx` of a model or adapter.

    Both are read by onnxruntime and numpy alone (`model.onnx` gives `logits` in the same three lines):

        import numpy, onnxruntime
        bases = numpy.array([[6, *map("ACGTN".index, "GATTACA"), 7]])
        codes, input_ids = onnxruntime.InferenceSession("DIR/onnx/tokenizer.onnx").run(None, {"nucleotide_ids": bases})
    """

    POSITIONAL = ("directory",)

    directory: str = required("tokenizer, model or adapter directory, or a checkpoint of the package")
    output: str | None = option(None, "directory to write; DIR/onnx when not given")
    format: str = option("onnx", "file format", choices=("onnx",))
    model_input: str = option(
        "nucleotide_ids",
        "what model.onnx takes: bases, or tokens (input_ids and attention_mask)",
        choices=("nucleotide_ids", "input_ids"),
    )
    opset: int = option(20, "version of the ONNX operators", at_least=OPSETS[0], at_most=OPSETS[-1])
    check_bases: int = option(
        1_000_000, "bases whose codes are compared with PyTorch's; 0 compares a few batches", at_least=0
    )
    check_fasta: str | None = option(None, "FASTA file to take those bases from; random ones when not given")
    seed: int = option(0, "seed of the random bases", **_SEED)

    def settings(self) -> dict:
        """What decides the files and their check; no path, because the record is published with the files."""
        values = {key: value for key, value in asdict(self).items() if key not in ("directory", "output")}
        return values | {"check_fasta": self.check_fasta and Path(self.check_fasta).name}


@dataclass(kw_only=True)
class TasksArguments(Arguments):
    """The datasets of the paper."""

    family: str | None = option(None, "only one family: EMP, TFP-H, TFP-M, PD, CPD, SSP, CVC, EEP or SC")
    json: bool = option(False, "print everything the catalogue knows, as JSON")


@dataclass(kw_only=True)
class SpeciesTaskArguments(Arguments):
    """Species classification from genomes: windows, and the species as their class."""

    fasta: list[str] = option([], "SPECIES=PATH, a FASTA file or a folder of them; give it once per species or file")
    directory: str | None = option(None, "directory with a FASTA file or folder per species, instead of --fasta")
    output: str = required("directory to write")
    length: int = option(1000, "window, in bases", at_least=1, at_most=1_000_000)
    train_rows: int = option(1000, "windows of each species to train on", at_least=1)
    dev_rows: int = option(100, "windows of each species in dev", at_least=1)
    test_rows: int = option(100, "windows of each species in test", at_least=1)
    dev_contigs: list[str] = option([], "contigs of dev: NAME for every species, or SPECIES=NAME")
    test_contigs: list[str] = option([], "contigs of test: NAME for every species, or SPECIES=NAME")
    random_strand: bool = option(False, "read half of the windows backward")
    max_unknown: float = option(0.05, "share of unknown bases up to which a window is taken", at_least=0, below=1)
    format: str = option("auto", "auto is csv up to 10,000 bases, parquet above", choices=("auto", "csv", "parquet"))
    seed: int = option(0, "seed of the windows and strands; the contigs of a split do not depend on it", **_SEED)


@dataclass(kw_only=True)
class AuditArguments(Arguments):
    """Check datasets for copies across splits, contradictory labels, overlap and shortcuts."""

    POSITIONAL = ("task",)

    task: list[str] = option(
        [], "name of the catalogue (`vqdna tasks`) or directory; all in --data-dir when not given"
    )
    data_dir: str | None = option(None, "folder in GUE's layout; the Hub when not given")
    kmer: int = option(
        31, "length of the shared k-mers that count as overlap, in bases", at_least=1, at_most=1_000_000
    )
    output: str | None = option(None, "JSON file to write, with the row numbers of the clean test rows")


@dataclass(kw_only=True)
class CodebookArguments(Arguments):
    """Look at a codebook: usage, relevance to classes, logos, and what a changed base and the other strand do."""

    POSITIONAL = ("directory",)

    directory: str = option(DEFAULT_CHECKPOINT, "tokenizer or model directory, or a checkpoint of the package")
    data: str = required(
        "classification: a name of the catalogue (`vqdna tasks`), a directory of train, dev and test files, or a "
        "FASTA of SARS-CoV-2 genomes named by Pango lineage (.fa, .fa.gz, .fa.zst)"
    )
    output: str = required("directory to write")
    data_dir: str | None = option(None, "folder in GUE's layout; the Hub when not given")
    hold_out: str = option(
        "positions", "what the splits of lineage genomes do not share", choices=("positions", "lineages")
    )
    max_rows: int = option(2000, "most rows of a split, each class keeping its share", at_least=1)
    logos: int = option(12, "codes of each level to draw the logo of, the most used first", at_least=1)
    substitutions: int = option(1000, "single-base changes to try", at_least=1)
    repeats: int = option(10, "times that the rows are halved, and that their classes are permuted", at_least=1)
    seed: int = option(0, "seed of everything drawn at random", **_SEED)
    overwrite: bool = option(False, "replace the result of another run in --output")

    def settings(self) -> dict:
        """What decides the numbers; no path, because the record may be published."""
        values = {key: value for key, value in asdict(self).items() if key not in ("output", "overwrite", "data_dir")}
        data = Path(self.data).name if Path(self.data).exists() else self.data
        return values | {"directory": Path(self.directory).resolve().name, "data": data}


@dataclass(kw_only=True)
class BenchmarkArguments(Arguments):
    """Compare models on tasks, as a YAML file says."""

    POSITIONAL = ("file",)

    file: str = required("YAML file: tasks, models, modes and seeds")
    output: str = required("directory to write; what is finished there is not run again")
    part: str = option("1/1", "run every n-th cell only, as in 1/2 and 2/2, for several processes side by side")
    tables_only: bool = option(False, "write the tables of the cells that are there, and run nothing")


@dataclass(kw_only=True)
class InfoArguments(Arguments):
    """Parameters and FLOPs of the presets, or of one directory."""

    model: str | None = option(
        None, "tokenizer or model directory, or a checkpoint of the package; the presets otherwise"
    )
    length: int = option(512, "bases of the forward pass whose FLOPs are counted", at_least=1, at_most=100_000)


@dataclass(kw_only=True)
class DemoArguments(Arguments):
    """Show the checkpoint of the package at work, beside controls; or run all stages on simulated data."""

    output: str = option("demo-output", "directory to write")
    data: list[str] = option(
        [], "further task: directory with train, dev and test files, such as one of GUE; give it once per directory"
    )
    max_rows: int = option(
        2000, "most rows of a --data directory's train, and of its dev; 0 takes all, which takes longer", at_least=0
    )
    pooling: str = option(
        "mean+max",
        "of the networks, as for `vqdna finetune`: bins suits tasks aligned to a position",
        choices=POOLINGS,
    )
    epochs: int | None = option(
        None,
        "passes over the training data; when not given 4, of the CNN 10, and 6 with --from-scratch",
        at_least=1,
        at_most=1_000_000,
    )
    seed: int = option(0, "seed of the simulation and of everything that trains", **_SEED)
    from_scratch: bool = option(False, "learn a vocabulary and pre-train an encoder on a simulated genome instead")
    steps: int = option(200, "training steps of each of the first two stages, with --from-scratch", at_least=1)
    overwrite: bool = option(True, "replace the results of an earlier demo")


@dataclass(kw_only=True)
class OneHotArguments(Arguments):
    """Write the one-hot control."""

    output: str = required("directory to write")


@dataclass(kw_only=True)
class BaselineTokenizerArguments(Arguments):
    """Write a hand-made vocabulary."""

    kind: str = required("kind of tokens", choices=("character", "kmer", "bpe"))
    output: str = required("directory to write")
    k: int = option(6, "bases of a k-mer", at_least=2, at_most=8)
    overlapping: bool = option(True, "a k-mer at every base, as DNABERT; otherwise side by side")
    vocab_size: int = option(4096, "tokens of a BPE, the special ones included", at_least=9, at_most=2**24)
    file: str | None = option(None, "tokenizer.json of a BPE to take instead of learning one")
    fasta: list[str] = option([], "FASTA file to learn a BPE from, plain or compressed; give it once per file")
    corpus: str | None = option(None, "directory that `vqdna tokenize` wrote, to learn a BPE from its train windows")
    max_bases: int = option(20_000_000, "bases to learn a BPE from, drawn at random where there are more", at_least=2)
    length: int = option(1000, "windows that FASTA files are cut into, in bases", at_least=2, at_most=1_000_000)
    eval_contigs: list[str] = option([], "contig not to learn from; about --eval-fraction when none is named")
    eval_fraction: float = option(
        0.01, "part of the bases not to learn from when no contig is named", at_least=0, at_most=0.5
    )
    seed: int = option(42, "seed of the choice of windows", **_SEED)
