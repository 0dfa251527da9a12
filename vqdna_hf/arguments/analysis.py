"""Arguments of the commands that measure and show what there is."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ..checkpoints import DEFAULT_CHECKPOINT
from ..options import SEED, Arguments, option, required
from .training import Pooling


HoldOut = Literal["positions", "lineages"]


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
    hold_out: HoldOut = option("positions", "what the splits of lineage genomes do not share")
    max_rows: int = option(2000, "most rows of a split, each class keeping its share", at_least=1)
    logos: int = option(12, "codes of each level to draw the logo of, the most used first", at_least=1)
    substitutions: int = option(1000, "single-base changes to try", at_least=1)
    repeats: int = option(10, "times that the rows are halved, and that their classes are permuted", at_least=1)
    seed: int = option(0, "seed of everything drawn at random", **SEED)
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

    POSITIONAL = ("model",)

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
    pooling: Pooling = option(
        "mean+max", "of the networks, as for `vqdna finetune`: bins suits tasks aligned to a position"
    )
    epochs: int | None = option(
        None,
        "passes over the training data; when not given 4, of the CNN 10, and 6 with --from-scratch",
        at_least=1,
        at_most=1_000_000,
    )
    seed: int = option(0, "seed of the simulation and of everything that trains", **SEED)
    from_scratch: bool = option(False, "learn a vocabulary and pre-train an encoder on a simulated genome instead")
    steps: int = option(200, "training steps of each of the first two stages, with --from-scratch", at_least=1)
    overwrite: bool = option(True, "replace the results of an earlier demo")
