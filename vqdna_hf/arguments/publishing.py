"""Arguments of the commands that write cards, repositories and exported files."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ..options import SEED, Arguments, option, required


OPSETS = range(18, 23)


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
    format: Literal["onnx"] = option("onnx", "file format")
    model_input: Literal["nucleotide_ids", "input_ids"] = option(
        "nucleotide_ids", "what model.onnx takes: bases, or tokens (input_ids and attention_mask)"
    )
    opset: int = option(20, "version of the ONNX operators", at_least=OPSETS[0], at_most=OPSETS[-1])
    check_bases: int = option(
        1_000_000, "bases whose codes are compared with PyTorch's; 0 compares a few batches", at_least=0
    )
    check_fasta: str | None = option(None, "FASTA file to take those bases from; random ones when not given")
    seed: int = option(0, "seed of the random bases", **SEED)

    def settings(self) -> dict:
        """What decides the files and their check; no path, because the record is published with the files."""
        values = {key: value for key, value in asdict(self).items() if key not in ("directory", "output")}
        return values | {"check_fasta": self.check_fasta and Path(self.check_fasta).name}
