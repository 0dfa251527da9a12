"""Species classification as files: what `vqdna species-task` writes, and `load_task_files` and `load_task` read.

    DIR/train.csv, dev.csv, test.csv     sequence, label, species, contig, start, end, strand; or .parquet
    DIR/task.json                        the classes, how the windows were drawn and how the contigs were split

Positions are 0-based and half-open, in bases.
"""

import logging
from os import PathLike
from pathlib import Path
from typing import get_args

from ...arguments.data import SpeciesTaskArguments, TaskFormat
from ...data.manifests import holds_manifest
from ...runs.files import read_json, remove, replacing_directory, restore_directory, write_json
from ...runs.records import different_settings
from ..catalogue import TASK_FILE
from ..split_files import SPLITS, TaskDataError
from .draw import SpeciesPlan, batch_rows, plan_species_task, read_windows
from .names import some


logger = logging.getLogger(__name__)

FORMATS = get_args(TaskFormat)
# a CSV file has no parts that can be read alone
_LONGEST_CSV = 10_000


def write_species_task(plan: SpeciesPlan, output: str | PathLike, file_format: str = "auto") -> Path:
    """Read the bases of planned windows and write the task; nothing if it is there already.

    The directory appears when all is written; what an interrupted call leaves is removed.

    Raises:
        TaskDataError: the directory holds something else, or a genome has changed.
        ValueError: an unknown format.
    """
    if file_format not in FORMATS:
        raise ValueError(f"There is no format {file_format!r}; choose one of {', '.join(FORMATS)}.")
    output, length = Path(output), plan.info["length"]
    restore_directory(output)
    if file_format == "auto":
        file_format = "csv" if length <= _LONGEST_CSV else "parquet"
    info = plan.info | {"format": file_format}
    if holds_manifest(output, TASK_FILE, TaskDataError, "Give the task a directory of its own."):
        path, advice = output / TASK_FILE, "Write the task to another directory."
        if changes := different_settings(read_json(path, TaskDataError, "cannot be read", advice), info, info):
            raise TaskDataError(
                f"{output} holds a task made with other settings ({changes}). Remove it, or write to another "
                "directory."
            )
        return output
    with replacing_directory(output) as task:
        cache = task / ".cache"
        splits = read_windows(plan, cache)
        for split in SPLITS:
            write = splits[split].to_csv if file_format == "csv" else splits[split].to_parquet
            write(str(task / f"{split}.{file_format}"), batch_size=batch_rows(length))
        write_json(task / TASK_FILE, info, indent=1)
        del splits
        remove(cache)
    return output


def species_task_command(arguments: SpeciesTaskArguments) -> dict:
    """Write a task and return what its `task.json` says.

    Raises:
        ValueError: as `species_task` and `write_species_task`.
    """
    if bool(arguments.fasta) == bool(arguments.directory):
        raise ValueError("Name the genomes: --fasta SPECIES=PATH, once per species or file, or --directory DIR.")
    genomes = arguments.directory or {}
    for value in arguments.fasta:
        species, equals, path = value.partition("=")
        if not (species and equals and path):
            raise ValueError(f"--fasta is {value!r}, but it must be SPECIES=PATH, as in human=hg38.fa.gz.")
        genomes.setdefault(species, []).append(path)
    plan = plan_species_task(
        genomes,
        arguments.length,
        {"train": arguments.train_rows, "dev": arguments.dev_rows, "test": arguments.test_rows},
        arguments.seed,
        _contigs(arguments.dev_contigs, "--dev-contigs"),
        _contigs(arguments.test_contigs, "--test-contigs"),
        arguments.random_strand,
        arguments.max_unknown,
    )
    output = write_species_task(plan, arguments.output, arguments.format)
    for species in plan.info["classes"]:
        held_out = (f"{split} {some(plan.info['contigs'][species][split], 5, ' ')}" for split in ("dev", "test"))
        logger.info("%s, split by %s: %s", species, plan.info["split_by"][species], ", ".join(held_out))
    logger.info("The task is in %s; adapt a model to it with `vqdna finetune --data %s`", output, output)
    return plan.info


def _contigs(values: list[str], flag: str) -> list[str] | dict[str, list[str]] | None:
    if not values:
        return None
    pairs = [value.partition("=") for value in values]
    if len({equals for _, equals, _ in pairs}) > 1:
        raise ValueError(f"{flag} is {' '.join(values)}: give SPECIES=NAME for all of them, or NAME for all.")
    if not pairs[0][1]:
        return values
    of = {}
    for species, _, name in pairs:
        of.setdefault(species, []).append(name)
    return of
