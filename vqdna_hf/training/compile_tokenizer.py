"""A vocabulary compiled in place: the table of its codes, written into the directory of a tokenizer."""

import logging
import time
from os import fspath
from pathlib import Path

from ..arguments.training import CompileTokenizerArguments
from ..checkpoints import resolve_checkpoint
from ..modeling.compiled_vqdna import TABLE_FILE, refuse_wide, save_table
from ..modeling.configuration_vqdna import VQDNACodecConfig
from ..modeling.repository_vqdna import COMPILED_FORMAT_VERSION
from ..modeling.tokenization_vqdna import VOCAB_FILES_NAMES, load_codec
from ..runs.directories import read_directory
from ..runs.files import read_json, write_json
from ..runs.records import renew_digest


logger = logging.getLogger(__name__)


def compile_tokenizer(arguments: CompileTokenizerArguments) -> dict:
    """Compute the codes of all windows of a narrow vocabulary, and write them beside its weights.

    Where the directory holds a model over the vocabulary, its configuration speaks of the table, too. The fingerprint
    stays: corpora and models that were made with the vocabulary remain its own.

    Returns:
        `receptive_field`, `letters`, `codes`, `bytes`, `digest` of the table and the `seconds` it took.

    Raises:
        ValueError: a checkpoint of the package is named; the directory holds no tokenizer, or one whose windows are
            too many: says how many, and what narrows them.
    """
    directory, started = Path(arguments.directory), time.time()
    weights, config_file = (directory / VOCAB_FILES_NAMES[name] for name in ("codec_file", "codec_config_file"))
    if resolve_checkpoint(arguments.directory) != fspath(arguments.directory):
        raise ValueError(
            f"{directory} comes with the package, where nothing is written; what is narrow enough there has its table "
            "already. Give a directory of your own."
        )
    if not config_file.is_file():
        raise ValueError(
            f"{directory} holds no VQDNA tokenizer (no {config_file.name}): give the directory that "
            "`vqdna train-tokenizer` wrote."
        )
    codec = load_codec(str(weights), str(config_file), use_table=False)
    refuse_wide(codec.config)
    table = codec.compile_vocabulary(verify=arguments.verify, progress=True)
    # subtle: the configuration last: one that speaks of a table that is not there could not be loaded
    save_table(table, directory / TABLE_FILE)
    renew_digest(directory, TABLE_FILE)
    _speak_of_table(config_file)
    if read_directory(directory).model_type == VQDNACodecConfig.model_type:
        _speak_of_table(directory / "config.json")
    elif read_directory(directory).config.get("vocabulary_fingerprint") == table.fingerprint:
        _speak_of_table(directory / "config.json", "codec_config")
    if (directory / "onnx").is_dir():
        logger.warning("%s was exported before: run `vqdna export` again.", directory / "onnx")
    result = {
        "receptive_field": table.width,
        "letters": table.letters,
        "codes": len(table.codes),
        "bytes": (directory / TABLE_FILE).stat().st_size,
        "digest": table.digest,
        "seconds": round(time.time() - started, 1),
    }
    logger.info(
        "%s codes of windows of %s bases in %s letters (%.1f MB, digest %s) are in %s",
        *(f"{len(table.codes):,}", table.width, table.letters, result["bytes"] / 1e6, table.digest[:12]),
        directory / TABLE_FILE,
    )
    return result


def _speak_of_table(path: Path, field: str | None = None):
    """Let a configuration, or the one in a field of it, say that there is a table."""
    fields = read_json(path)
    (fields if field is None else fields[field]).update(compiled=True, format_version=COMPILED_FORMAT_VERSION)
    write_json(path, fields)
