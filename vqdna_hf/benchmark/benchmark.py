"""`vqdna benchmark`: tasks x models x modes x seeds from one file; cells, tables and one Parquet file of all cells."""

import logging
import os
import time
from importlib.util import find_spec
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm
from transformers.utils import logging as transformers_logging

from ..arguments.analysis import BenchmarkArguments
from ..arguments.training import MULTI_LABEL
from ..baselines.tokenizers import bpe_tokenizer_from_file
from ..runs.files import write_json
from ..runs.processes import start_processes
from ..runs.records import different_settings
from ..training.encoding import encode_sequences
from ..training.finetune import run_results
from .run.ablations import (
    RECORD_FIELDS,
    ablation_tables,
    check_ablations,
    find_ablations,
    record_name,
    run_ablations,
)
from .run.archive import archive_path, is_packed, pack, unpack
from .run.cells import CELL_FIELDS, Cell, cell_name, cell_path, cell_settings, find_cells, list_cells, read_cell
from .run.classifiers import describe_tokens
from .run.finished import check_made
from .run.points import Encodings, run_points
from .run.prepare import PreparedModel, find_model, one_at_a_time, prepare_model
from .run.scoring import score_test
from .run.tasks import TaskData, load_tasks
from .run.work_directory import remove_work, work_directory
from .spec.schema import ModelEntry, Specification
from .spec.specification import read_specification
from .tables.aggregate import FORMAT
from .tables.write import write_tables


logger = logging.getLogger(__name__)


def benchmark(arguments: BenchmarkArguments) -> list[dict]:
    """Run what is not finished, and write the tables.

    Returns:
        The finished cells, in the order of the file.

    Raises:
        SpecificationError: the file cannot be run (see `read_specification`).
        ValueError: wrong task files, a tokenizer that gives no tokens, or cells of other settings in the output
            directory; all before anything is trained.
    """
    start_processes()
    part, parts = _part(arguments.part)
    specification = read_specification(arguments.file, to_run=not arguments.tables_only)
    output, cells = Path(os.path.realpath(arguments.output)), list_cells(specification)
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file, but a directory is written there. Choose another --output.")
    if not arguments.tables_only:
        _unpack(output)
        tasks = load_tasks(specification)
        _check_named_models(specification, tasks, output)
        if any(not cell_path(output, cell).is_file() for cell in cells) or specification.ablations:
            _check_genomes(specification)
        _check_several_labels(cells, tasks)
        _check_cells(specification, cells, tasks, output)
        check_made(specification, output)
        check_ablations(specification, tasks, output)
        mine = [cell for number, cell in enumerate(cells) if number % parts == part - 1]
        _run_cells(specification, mine, tasks, output)
        if part == 1:
            run_ablations(specification, tasks, output)
    found = find_cells(output, cells)
    if PartialState().is_main_process:
        studies = ablation_tables(specification, found, output)
        if not found and not studies:
            logger.info("No cell is finished in %s: there is nothing to make a table of.", output)
            return found
        # a part of the cells, or an unfinished benchmark, may have none of the reference
        reference = next((cell["model"] for cell in found if cell["model"] == specification.reference), None)
        markdown = write_tables(found, output, reference=reference, ablations=studies, title=specification.title)
        if len(found) < len(cells):
            logger.info("%d of %d cells are finished; the tables are of those.", len(found), len(cells))
        print(markdown)
        if find_spec("matplotlib") is None:
            logger.info('There is no figure of the scores without matplotlib: `pip install "vqdna-hf[viz]"`.')
        else:
            # imported here: a package of the `viz` extra
            from .tables.figure import write_score_figure

            write_score_figure(found, output)
        # another part may have finished some while the tables were written
        pack(output / "cells", find_cells(output, cells))
        pack(output / "ablations", list(find_ablations(specification, output).values()))
        logger.info("Tables: %s; cells: %s", output / "tables.md", archive_path(output / "cells"))
    return found


def _unpack(output: Path):
    """Write what Parquet files alone hold as the files that a run resumes from."""
    cells, records = output / "cells", output / "ablations"
    if broadcast_object_list([is_packed(cells) or is_packed(records)])[0]:
        with one_at_a_time(output):
            if PartialState().is_main_process:
                unpack(cells, CELL_FIELDS, cell_name)
                unpack(records, RECORD_FIELDS, record_name)


def _part(text: str) -> tuple[int, int]:
    try:
        part, parts = (int(number) for number in text.split("/"))
    except ValueError:
        part, parts = 0, 0
    if not 1 <= part <= parts:
        raise ValueError(f"--part is {text!r}, but it must be as 1/2: the first of two parts.")
    return part, parts


def _check_named_models(specification: Specification, tasks: dict[str, TaskData], output: Path):
    """Look at everything that is not made here, and encode a few rows with it, before anything is trained."""
    for entry in specification.models:
        where = f"models.{entry.name}"
        if entry.path is not None:
            prepared = find_model(entry)
            if "end-to-end" in specification.modes_of(entry) and not prepared.is_vqdna:
                raise ValueError(
                    f"{where}: the mode end-to-end trains a learned vocabulary along, and {entry.path} has none. Name "
                    "its other modes (`modes: [full]`)."
                )
            _check_weights(specification, {entry.name: prepared}, output)
            tokenizer = prepared.tokenizer
        elif (entry.tokenizer or {}).get("file"):
            tokenizer = bpe_tokenizer_from_file(entry.tokenizer["file"])
        else:
            continue
        for task in tasks.values():
            encode_sequences(tokenizer, task.train.sequences[:8])


def _check_several_labels(cells: list[Cell], tasks: dict[str, TaskData]):
    """Refuse what reads one label a row, where a task has several."""
    for cell in (cell for cell in cells if tasks[cell.task.name].problem_type == MULTI_LABEL):
        entry = cell.model
        if entry.control == "kmer-regression" or (cell.mode == "linear" and not _is_learned(entry)):
            raise ValueError(
                f"{cell.task.name} has several labels a row, and models.{entry.name} ({cell.mode}) takes one. Leave "
                "the task, the model or the mode out."
            )


def _is_learned(entry: ModelEntry) -> bool:
    return entry.vocabulary is not None or (entry.path is not None and find_model(entry).is_vqdna)


def _check_genomes(specification: Specification):
    for path in specification.fasta:
        if not Path(path).is_file():
            raise ValueError(f"fasta: there is no file {path}.")


def _check_cells(specification, cells: list[Cell], tasks: dict[str, TaskData], output: Path):
    for cell in cells:
        path = cell_path(output, cell)
        if path.is_file():
            before, now = read_cell(path)["settings"], cell_settings(specification, cell, tasks[cell.task.name])
            if changes := different_settings(before, now):
                raise ValueError(
                    f"{path} was run with other settings ({changes}). Remove it to run it again, or choose "
                    "another output."
                )


def _run_cells(specification: Specification, cells: list[Cell], tasks: dict[str, TaskData], output: Path):
    state, prepared, encodings = PartialState(), {}, Encodings()
    waiting = []
    for cell in cells:
        if not cell_path(output, cell).is_file():
            waiting.append(cell)
        elif state.is_main_process:
            remove_work(output, cell.name)  # of a process that was killed between the two
    # of one decision for all processes: another one may see a file that the first has just written
    waiting = broadcast_object_list([waiting])[0]
    if not waiting:
        return
    for cell in waiting:  # every model before the first cell: what cannot be made should not be found out late
        if cell.model.name not in prepared:
            with one_at_a_time(output):
                prepared[cell.model.name] = prepare_model(cell.model, specification, output)
    _check_weights(specification, prepared, output)
    progress = tqdm(waiting, desc="Cells", disable=None if state.is_main_process else True)
    transformers_logging.disable_progress_bar()  # of every checkpoint that is written
    for cell in progress:
        progress.set_postfix_str(cell.name)
        content = _run_cell(specification, cell, tasks[cell.task.name], prepared[cell.model.name], output, encodings)
        if state.is_main_process:
            write_json(cell_path(output, cell), content)
            remove_work(output, cell.name)
        state.wait_for_everyone()
    transformers_logging.enable_progress_bar()


def _check_weights(specification: Specification, prepared: dict[str, PreparedModel], output: Path):
    """Make sure that finished cells are of the weights that are about to be used."""
    for cell in list_cells(specification):
        path, model = cell_path(output, cell), prepared.get(cell.model.name)
        if model is not None and path.is_file() and (before := read_cell(path)["weights"]) != model.weights:
            raise ValueError(
                f"{path} is of other weights of {cell.model.name} ({before}) than those there now ({model.weights}). "
                f"Remove the cells of {cell.model.name} to run them again, or choose another output."
            )


def _run_cell(specification, cell: Cell, task: TaskData, prepared: PreparedModel, output: Path, encodings) -> dict:
    started, points = time.time(), specification.points(cell.task, cell.model, cell.mode)
    settings = cell_settings(specification, cell, task)
    work = work_directory(output, cell.name, {**settings, "weights": prepared.weights})
    best, outcomes = run_points(task, prepared, cell.mode, cell.seed, points, work, encodings)
    chosen, scores = outcomes[best], score_test(task, outcomes[best].predictions)
    tokens = describe_tokens(prepared, task, encodings)
    return {
        "format": FORMAT,
        **run_results(task, cell.mode, cell.seed, task.metric, chosen.dev, scores["test"], started),
        "family": task.family,
        "problem_type": task.problem_type,
        "model": cell.model.name,
        "kind": prepared.kind,
        "settings": settings,
        "weights": prepared.weights,
        "points": [{"settings": options, "dev": outcome.dev} for options, outcome in zip(points, outcomes)],
        "chosen": {**points[best], **chosen.chosen},
        **scores,
        "whole_counts": task.whole,
        "tokenizer": tokens,
        **chosen.sizes,
        "pretraining_bases": prepared.pretraining_bases,
        "processes": PartialState().num_processes,
    }
