"""ONNX files of a tokenizer or model directory, each checked against PyTorch before it is kept.

`vqdna export DIR` writes `DIR/onnx/tokenizer.onnx` and, where DIR holds a model, `DIR/onnx/model.onnx`. They take
bases as nucleotide ids: A, C, G, T are 0-3, N is 4, a masked base ([MASK]) 5, [CLS] 6, [SEP] 7 and padding 8. For
onnxruntime and numpy alone, without PyTorch and without this package:

```python
import numpy, onnxruntime
bases = numpy.array([[6, *map("ACGTN".index, "GATTACA"), 7]])
codes, input_ids = onnxruntime.InferenceSession("DIR/onnx/tokenizer.onnx").run(None, {"nucleotide_ids": bases})
```

What a model predicts comes from the same bases, codec included, and of both strands if the model averages them:

```python
[logits] = onnxruntime.InferenceSession("DIR/onnx/model.onnx").run(None, {"nucleotide_ids": bases})
```

A compiled vocabulary (`vqdna train-tokenizer --preset compact`, `vqdna compile-tokenizer`) is written as its table and
integer arithmetic, without the network, and every id equals the tokenizer's, of sequences of every length. A table of
four letters (R = 11) holds no window with an unknown or a masked base: within R // 2 bases of one, codes and ids
are -1, and a `model.onnx` that takes bases gives NaN for the whole sequence (`--model-input input_ids` does not).

Batch and length are free; shorter rows are padded with 8. A graph does not check its input: an id that is not listed
here is no error.

Not handled: half precision (graphs are float32), the codec's decoder, and pieces with a halo: a position costs as many
floats of memory as the largest codebook has codes, so that a chromosome is passed in pieces (`halo` in the metadata).
"""

import importlib.util
import json
import logging
import os
import time
from importlib.metadata import version
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from transformers import AutoConfig

from ..arguments.publishing import ExportArguments
from ..checkpoints import resolve_with_output
from ..checkpoints.loading import load_tokenizer, share_table
from ..modeling import modeling_vqdna
from ..modeling.configuration_vqdna import SPECIAL_TOKENS, VQDNAConfig
from ..modeling.modeling_vqdna import VQDNAForSequenceClassification, VQDNAPreTrainedModel
from ..modeling.modeling_vqdna_codec import VQDNACodecModel
from ..modeling.nucleotides_vqdna import UNKNOWN_ID
from ..runs.directories import check_foreign_files, read_directory
from ..runs.files import read_record, replacing_directory, restore_directory, write_json
from ..runs.records import package_versions
from ..training.finite_weights import check_finite
from .checks import check_model, check_table, check_tokenizer, comparison_bases, open_session, random_rows
from .graphs import OUTPUTS, ModelGraph, exportable, tokenizer_graph, write_graph


logger = logging.getLogger(__name__)

_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_RECORD = "export.json"
# PEFT's task types; an adapter of masked pre-training has none
_ADAPTED = {
    "SEQ_CLS": VQDNAForSequenceClassification,
    "TOKEN_CLS": modeling_vqdna.VQDNAForTokenClassification,
    "FEATURE_EXTRACTION": modeling_vqdna.VQDNAModel,
    None: modeling_vqdna.VQDNAForMaskedLM,
}


def export(arguments: ExportArguments) -> dict:
    """Write the ONNX files of a directory, and compare each with PyTorch.

    Three lines of Python read them, without this package: see `ExportArguments`.

    Returns:
        The content of `export.json`: the files, their vocabulary, and what the checks found.

    Raises:
        ValueError: wrong options, missing packages, a directory without tokenizer or model, an output directory of
            something else, or a graph that does not give what PyTorch gives. Nothing is written then.
    """
    started, place = time.time(), resolve_with_output(arguments.directory, arguments.output)
    directory = Path(place)
    _check_arguments(arguments, directory)
    output = Path(os.path.abspath(directory / "onnx" if arguments.output is None else arguments.output))
    # the record of a checkpoint's export names it; that of a directory's says where it is from there
    source = os.path.relpath(directory, output) if place == os.fspath(arguments.directory) else arguments.directory
    _check_output(output, source)
    codec, model = load_source(directory)
    if _averages_strands(model) and arguments.model_input == "input_ids":
        raise ValueError(
            f"The model in {directory} averages both strands, and a code id does not say what the other strand reads: "
            "leave --model-input at nucleotide_ids."
        )
    with replacing_directory(output) as partial:
        record = {"source": source, **_export_all(codec, model, partial, arguments), "arguments": arguments.settings()}
        record["seconds"] = round(time.time() - started, 1)
        record["versions"] = package_versions() | {name: version(name) for name in _PACKAGES}
        write_json(partial / _RECORD, record)
    logger.info("%s: %s", output, ", ".join(record["files"]))
    return record


def _check_arguments(arguments: ExportArguments, directory: Path):
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f'ONNX export needs {", ".join(missing)}: run `pip install "vqdna-hf[onnx]"`.')
    if not directory.is_dir():
        raise ValueError(f"There is no directory {directory}. Give one that a vqdna command wrote, or download one.")


def _check_output(output: Path, source: str):
    """Make sure that the output is new, or what the same command wrote."""
    restore_directory(output)
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / _RECORD).is_file():
        raise ValueError(f"{output} exists and was not written by `vqdna export`. Choose another --output.")
    record = read_record(output / _RECORD, {"files": list})
    if record.get("source") != source:
        raise ValueError(
            f"{output} holds the export of another directory ({record.get('source')!r} from there, not {source!r}). "
            "Remove it, or choose another --output."
        )
    check_foreign_files(output, {_RECORD, *record["files"]})


def load_source(directory: Path) -> tuple[VQDNACodecModel, VQDNAPreTrainedModel | None]:
    """The codec of a directory and, if it holds one, the model; an adapter is merged into its model.

    Raises:
        ValueError: the directory holds neither, a tokenizer of another vocabulary beside its model, or weights that
            are not finite.
    """
    held = read_directory(directory)
    has_tokenizer = "tokenizer_config.json" in held.names
    if held.kind == "adapter":
        model = _merged(directory)
    elif held.model_type == VQDNAConfig.model_type:
        name = (AutoConfig.from_pretrained(directory).architectures or ["no architecture"])[0]
        if name not in OUTPUTS:
            raise ValueError(
                f"{directory / 'config.json'} names {name}; what is exported is one of {', '.join(OUTPUTS)}."
            )
        model = getattr(modeling_vqdna, name).from_pretrained(directory, dtype=torch.float32)
    elif has_tokenizer:
        if held.kind == "probe":
            logger.warning("%s holds a linear probe, which has no ONNX form: only its tokenizer is written", directory)
        return load_tokenizer(str(directory)).codec, None
    elif held.model_type == VQDNACodecModel.config_class.model_type:
        codec = VQDNACodecModel.from_pretrained(directory, dtype=torch.float32).eval()
        check_finite(codec, str(directory))
        return codec, None
    else:
        raise ValueError(f"{directory} holds no VQDNA tokenizer or model (no config.json, no tokenizer_config.json).")
    check_finite(model, str(directory))
    if has_tokenizer:
        tokenizer = load_tokenizer(str(directory))
        model.check_tokenizer(tokenizer)
        share_table(model, tokenizer)
    return model.codec, model.eval()


def _merged(directory: Path) -> VQDNAPreTrainedModel:
    """The model an adapter was trained on, with the adapter in it."""
    peft = PeftConfig.from_pretrained(directory)
    base = peft.base_model_name_or_path
    if peft.task_type not in _ADAPTED:
        raise ValueError(f"{directory} is an adapter for {peft.task_type}, which no VQDNA model is made for.")
    try:
        config = AutoConfig.from_pretrained(directory if (directory / "config.json").is_file() else base)
        model = _ADAPTED[peft.task_type].from_pretrained(base, config=config, dtype=torch.float32)
    except OSError as error:
        raise ValueError(
            f"{directory} is an adapter of the model {base}, which cannot be loaded ({error}). Put that model there, "
            "or merge the adapter (`merge_and_unload` of peft) and export what that saves."
        ) from error
    return PeftModel.from_pretrained(model, directory).merge_and_unload()


def _averages_strands(model: VQDNAPreTrainedModel | None) -> bool:
    return isinstance(model, VQDNAForSequenceClassification) and model.config.strand_average


def _export_all(codec: VQDNACodecModel, model, directory: Path, arguments: ExportArguments) -> dict:
    """Write and check the graphs; returns what the record says of them."""
    metadata, opset, seed = _metadata(codec, model), arguments.opset, arguments.seed
    compared = comparison_bases(arguments.check_bases, arguments.check_fasta, seed)
    bases = {"nucleotide_ids": torch.from_numpy(random_rows(2, 37, seed=1))}
    path = directory / "tokenizer.onnx"
    graph, table = tokenizer_graph(codec), codec.table
    write_graph(graph, bases, ["codes", "input_ids"], path, opset, metadata)
    tokenizer = open_session(path)
    check = check_tokenizer if table is None else check_table
    checks = {path.name: check(tokenizer, codec, compared, seed)}
    if model is not None:
        path, inputs = directory / "model.onnx", bases
        if arguments.model_input == "input_ids":
            ids = model.base_model.encode_nucleotides(**bases)
            inputs = {"input_ids": ids, "attention_mask": (ids != model.config.pad_token_id).long()}
        graph = ModelGraph(model, _averages_strands(model), graph)
        with exportable(model):
            write_graph(graph, inputs, graph.names, path, opset, metadata)
        checks[path.name] = check_model(open_session(path), tokenizer, model, seed)
    files = sorted(path.name for path in directory.iterdir())
    record = {"files": files, "metadata": metadata, "compiled": table is not None, "opset": opset, "checks": checks}
    if table is not None and table.letters == UNKNOWN_ID:
        logger.warning(
            "The table of this vocabulary holds no window with an unknown or masked base: within %d bases of one, "
            "codes and ids are -1, and a model that takes bases gives NaN. One of `--preset compact` has all.",
            table.radius,
        )
    return record


def _metadata(codec: VQDNACodecModel, model: VQDNAPreTrainedModel | None) -> dict[str, str]:
    """What the files say of themselves, for `session.get_modelmeta().custom_metadata_map`; JSON but for names."""
    values = {
        "vocabulary_fingerprint": codec.fingerprint(),
        "codebook_sizes": json.dumps(codec.config.codebook_sizes),
        "special_tokens": json.dumps(SPECIAL_TOKENS),
        "halo": json.dumps(codec.config.halo),
    }
    if (table := codec.table) is not None:
        values |= {"table_digest": table.digest, "receptive_field": json.dumps(table.width)}
        values["table_letters"] = json.dumps(table.letters)
    if model is None:
        return values
    values |= {"architecture": type(model).__name__, "strand_average": json.dumps(_averages_strands(model))}
    if "Classification" in type(model).__name__:
        values |= {key: json.dumps(getattr(model.config, key)) for key in ("problem_type", "id2label")}
    return values
