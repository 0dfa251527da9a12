"""`vqdna codebook`: the codebook of a vocabulary on the sequences of a task, as numbers, figures and a page."""

import importlib.util
import logging
import os
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ...arguments.analysis import CodebookArguments
from ...arguments.training import SINGLE_LABEL
from ...checkpoints.loading import load_tokenizer
from ...modeling.modeling_vqdna_codec import VQDNACodecModel
from ...modeling.nucleotides_vqdna import ids_to_bases
from ...runs.directories import check_foreign_files
from ...runs.files import check_fields, read_json, replacing_directory, restore_directory, write_json
from ...runs.records import package_versions
from ...tasks.audit import shortcut_scores
from ...tasks.rows import Split
from ...tasks.split_files import SPLITS
from .information import word_information
from .labels import Study, study_labels
from .logos import base_frequencies, code_logos
from .relevance import code_tables, kmer_score
from .rows import TaskRows, encode_other_strand, encode_rows, load_rows
from .statistics import base_change, code_usage, level_radius, strand_consistency


logger = logging.getLogger(__name__)

RECORD = "codebook.json"
_NEEDED = {"jinja2": "jinja2", "matplotlib": "matplotlib", "umap": "umap-learn"}
_NEIGHBOURS = 15


def codebook(arguments: CodebookArguments) -> dict:
    """Look at a codebook and write `codebook.json`, the figures (PNG and SVG) and `index.html`.

    Returns:
        The content of `codebook.json`: all numbers, and no sequence.

    Raises:
        ValueError: wrong options, missing packages, no tokenizer in the directory, data that are no classification
            (see `load_rows`), or an output directory of something else. Nothing is written then.
    """
    started, output = time.time(), Path(os.path.abspath(arguments.output))
    _check_arguments(arguments)
    _check_output(output, arguments.overwrite)
    codec = load_tokenizer(arguments.directory).codec.eval()
    rows = load_rows(arguments.data, arguments.data_dir, arguments.hold_out, arguments.max_rows, arguments.seed)
    report = inspect_codebook(codec, rows, arguments)
    settings = arguments.settings()
    if "sarscov2" not in rows.facts:
        del settings["hold_out"]
    report |= {
        "arguments": settings,
        "seconds": round(time.time() - started, 1),
        "versions": package_versions() | {name: version(name) for name in _NEEDED.values()},
    }
    with replacing_directory(output) as partial:
        _write(report, partial)
    logger.info("The codebook is in %s: open index.html", output)
    return report


def inspect_codebook(codec: VQDNACodecModel, rows: TaskRows, arguments: CodebookArguments) -> dict:
    """Every number of the report, as plain values; usage, logos and the other strand are those of the train rows."""
    sizes, levels, config = list(codec.config.codebook_sizes), range(codec.config.num_levels), codec.config
    encoded = {split: encode_rows(codec, rows.sequences[split], f"Codes of {split}") for split in SPLITS}
    train = encoded["train"]
    usage = code_usage(train, sizes)
    tables = code_tables(codec, encoded)
    study = study_labels(codec, tables, rows.labels, rows.classes, rows.metric, arguments.repeats, arguments.seed)
    study.report["classifier"]["shortcuts"] = _shortcuts(rows)
    mirrored = encode_other_strand(codec, rows.sequences["train"], "Codes of the other strand")
    rng = np.random.default_rng(arguments.seed)
    return {
        "vocabulary": {
            "name": Path(arguments.directory).resolve().name,
            "fingerprint": codec.fingerprint(),
            "quantizer": config.quantizer,
            "codebook_sizes": sizes,
            "codebook_dim": config.codebook_dim,
            "halo": config.halo,
            "radius": [level_radius(codec, level) for level in levels],
            "layers": [config.quantized_layers[min(level, len(config.quantized_layers) - 1)] for level in levels],
        },
        "data": {
            "name": rows.name,
            "metric": rows.metric,
            "classes": list(rows.classes),
            "base_frequencies": base_frequencies(train).tolist(),
            **rows.facts,
        },
        "usage": {
            "split": "train",
            "positions": int(train.known.sum()),
            "combinations": int(np.count_nonzero(tables["train"].counts.sum(axis=0))),
            "levels": usage,
        },
        "relevance": {"split": "train", **study.report},
        "map": map_codes(codec, study, arguments.seed),
        "logos": {
            "split": "train",
            "levels": [
                code_logos(train, level, usage[level]["counts"], arguments.logos, config.halo) for level in levels
            ],
        },
        "words": {"split": "train", **word_information(train, sizes)},
        "base_change": base_change(codec, rows.sequences["train"], arguments.substitutions, rng),
        "strand": {"split": "train", "levels": strand_consistency(train, mirrored, sizes, rng)},
    }


def _shortcuts(rows: TaskRows) -> dict[str, float]:
    """Scores on test of what needs no codes: see `shortcut_scores` and `kmer_score`."""
    parts = {split: Split(list(map(ids_to_bases, rows.sequences[split])), rows.labels[split]) for split in SPLITS}
    scores = shortcut_scores(parts, rows.metric, SINGLE_LABEL)
    return scores | {"3-mers": kmer_score(rows.sequences, rows.labels, rows.metric)}


def map_codes(codec: VQDNACodecModel, study: Study, seed: int) -> dict:
    """UMAP of the code vectors of all levels together, used or not.

    Returns:
        Lists with one entry per code, levels one after the other: `level` (0-based), `x`, `y`, `labels` and `support`,
        and both with permuted classes.
    """
    from umap import UMAP

    books = [book.embedding.detach().cpu().numpy() for book in codec.quantizer.codebooks]
    vectors = np.concatenate(books)
    neighbours = min(_NEIGHBOURS, len(vectors) - 1)
    # a spectral start needs more codes than it has neighbours to look at
    start = "spectral" if len(vectors) > 4 * _NEIGHBOURS else "random"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        umap = UMAP(n_neighbors=neighbours, min_dist=0.5, spread=1.5, init=start, random_state=seed, n_jobs=1)
        places = umap.fit_transform(vectors)
    return {
        "neighbours": neighbours,
        "level": np.repeat(np.arange(len(books)), [len(book) for book in books]).tolist(),
        "x": np.round(places[:, 0].astype(float), 4).tolist(),
        "y": np.round(places[:, 1].astype(float), 4).tolist(),
        "labels": study.labels.tolist(),
        "support": np.round(study.support, 4).tolist(),
        "permuted_labels": study.permuted_labels.tolist(),
        "permuted_support": np.round(study.permuted_support, 4).tolist(),
    }


def _write(report: dict, directory: Path):
    from .drawing import write_figure
    from .page import figures_of, write_page

    names = figures_of(report)
    report["files"] = sorted([RECORD, "index.html", *(f"{name}.{kind}" for name in names for kind in ("png", "svg"))])
    images = {name: write_figure(draw, report, directory / name) for name, (draw, _) in names.items()}
    write_page(report, directory / "index.html", images)
    write_json(directory / RECORD, report)


def _check_arguments(arguments: CodebookArguments):
    missing = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ValueError(f'vqdna codebook needs {", ".join(missing)}: run `pip install "vqdna-hf[viz]"`.')


def _check_output(output: Path, overwrite: bool):
    """Make sure that the output is new, or a result that may be replaced."""
    restore_directory(output)
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / RECORD).is_file():
        raise ValueError(f"{output} exists and was not written by `vqdna codebook`. Choose another --output.")
    record = read_json(output / RECORD)
    check_fields(record, {"files": list, "arguments": dict}, output / RECORD, needed=False)
    if not overwrite:
        made = record.get("arguments", {})
        raise ValueError(
            f"{output} holds the codebook of {made.get('directory')!r} on {made.get('data')!r}. Add --overwrite to "
            "replace it, or choose another --output."
        )
    check_foreign_files(output, {RECORD, *record.get("files", [])})
