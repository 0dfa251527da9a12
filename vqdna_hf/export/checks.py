"""Whether an exported graph gives what PyTorch gives: the checks of `vqdna export`.

Codes of a compiled vocabulary must be the same, all of them. Those of a network must be, except where two code vectors
are so nearly equally far that the last bits of a sum decide: a *near-tie* is a gap of the squared distances under 1e-5
(|z|^2 + |c|^2). What a level quantizes depends on the level before it, so that a near-tie excuses the levels behind it
too. Near-ties are counted; anything else is an error.
"""

import logging
import math
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from ..data import GenomeBases
from ..modeling.compiled_vqdna import CodeTable
from ..modeling.modeling_vqdna_codec import VQDNACodecModel
from ..modeling.nucleotides_vqdna import (
    CLS_NUCLEOTIDE_ID,
    MASK_NUCLEOTIDE_ID,
    PAD_NUCLEOTIDE_ID,
    SEP_NUCLEOTIDE_ID,
    UNKNOWN_ID,
    reverse_complement_batch,
)
from ..modeling.tokenization_vqdna import CodeVocabulary
from .tables import NO_CODE


logger = logging.getLogger(__name__)

NEAR_TIE = 1e-5
# largest difference of an output, in units of 1 + the largest absolute value PyTorch gives
TOLERANCE = 1e-4
SHAPES = ((1, 1), (1, 2), (2, 17), (3, 64), (4, 150), (2, 333))
_BATCH = (4, 4096)
# the token id of nucleotide ids 4-8: [UNK], [MASK], [CLS], [SEP], [PAD]
_SPECIAL_IDS = np.array([1, 4, 2, 3, 0])
_DIFFERENT = (
    "Nothing was written. Other versions of torch, onnxscript or onnxruntime, or another --opset, may do better; "
    "please report it with the versions you have."
)


def open_session(path: Path):
    """An onnxruntime session on the CPU, with as many threads as PyTorch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _run(session, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of a graph; what onnxruntime raises has no common type of its own."""
    try:
        return session.run(names, inputs)
    except Exception as error:
        shapes = ", ".join(f"{name} of shape {value.shape}" for name, value in inputs.items())
        raise ValueError(f"onnxruntime cannot run the graph on {shapes}: {error}. {_DIFFERENT}") from error


def random_rows(batch: int, length: int, seed: int, special: float = 0.05) -> np.ndarray:
    """Random bases, some unknown and some masked, in rows of several lengths; the last of many is padded on the left.

    Args:
        special: share of the bases that are unknown, and of those that are masked.

    Returns:
        Nucleotide ids, `np.ndarray` of `int64` and shape `(batch, length)`.
    """
    rng = np.random.default_rng(seed)
    ids = _random_bases(rng, batch * length, special).reshape(batch, length)
    if length < 3:
        return ids
    for row in range(batch):
        end = max(3, length // (row + 1))
        ids[row, 0], ids[row, end - 1], ids[row, end:] = CLS_NUCLEOTIDE_ID, SEP_NUCLEOTIDE_ID, PAD_NUCLEOTIDE_ID
        if row >= 2 and row == batch - 1:
            ids[row] = np.roll(ids[row], length - end)
    return ids


def _random_bases(rng: np.random.Generator, length: int, special: float) -> np.ndarray:
    draw = rng.random(length)
    ids = rng.integers(0, 4, length)
    return np.where(draw < special, UNKNOWN_ID, np.where(draw > 1 - special, MASK_NUCLEOTIDE_ID, ids))


def comparison_bases(count: int, fasta: str | None, seed: int) -> np.ndarray:
    """Nucleotide ids to compare codes on: the first `count` of a FASTA file, or random ones; `(at most count,)`."""
    if fasta is None:
        return _random_bases(np.random.default_rng(seed), count, 0.01)
    return GenomeBases.from_fasta([fasta], progress=False).bases[:count]


@torch.no_grad()
def count_differences(codec: VQDNACodecModel, nucleotide_ids: np.ndarray, codes: np.ndarray) -> tuple[int, int]:
    """Compare codes with those the codec gives.

    Args:
        nucleotide_ids (`np.ndarray` of shape `(batch, length)`), codes (`np.ndarray` of shape `(batch, length,
            levels)`).

    Returns:
        At how many bases a level differs, and at how many of them the first level that differs is a near-tie.
    """
    expected, _, inputs = codec.quantizer.quantize(codec.latents(torch.from_numpy(nucleotide_ids)))
    codes, undecided = torch.from_numpy(codes), torch.from_numpy(nucleotide_ids < CLS_NUCLEOTIDE_ID)
    differing = near_ties = 0
    for level, (book, h) in enumerate(zip(codec.quantizer.codebooks, inputs)):
        differs = undecided & (codes[..., level] != expected[..., level])
        z = h[differs].double()
        ours, theirs = (book.embedding[values[..., level][differs]].double() for values in (expected, codes))
        gap = ((z - theirs).pow(2).sum(dim=1) - (z - ours).pow(2).sum(dim=1)).abs()
        differing += int(differs.sum())
        near_ties += int((gap < NEAR_TIE * (z.pow(2).sum(dim=1) + ours.pow(2).sum(dim=1))).sum())
        undecided = undecided & ~differs
    return differing, near_ties


def check_tokenizer(session, codec: VQDNACodecModel, bases: np.ndarray, seed: int) -> dict:
    """Compare codes on random batches of many shapes, and on more bases.

    Args:
        session: of `tokenizer.onnx`.
        bases (`np.ndarray` of shape `(length,)`): nucleotide ids 0-5, see `comparison_bases`.

    Returns:
        `{"bases": compared, "differing": count, "near_ties": count}`.

    Raises:
        ValueError: a code differs where there is no near-tie, or the ids are not those of the codes.
    """
    pieces = tqdm(_batches(bases), "Comparing codes", math.ceil(len(bases) / np.prod(_BATCH)), disable=not len(bases))
    result = dict.fromkeys(("bases", "differing", "near_ties"), 0)
    for ids in chain((random_rows(*shape, seed) for shape in SHAPES), pieces):
        codes, input_ids = _run(session, ["codes", "input_ids"], {"nucleotide_ids": ids})
        _check_ids(ids, codes, input_ids, codec)
        counts = (int((ids < CLS_NUCLEOTIDE_ID).sum()), *count_differences(codec, ids, codes))
        result = {key: result[key] + count for key, count in zip(result, counts)}
    if result["differing"] > result["near_ties"]:
        raise ValueError(
            f"tokenizer.onnx gives other codes than PyTorch at {result['differing']:,} of {result['bases']:,} bases, "
            f"of which {result['near_ties']:,} are near-ties. {_DIFFERENT}"
        )
    logger.info(
        "tokenizer.onnx: %s of %s bases have another code than in PyTorch, all of them near-ties",
        *(f"{result[key]:,}" for key in ("differing", "bases")),
    )
    return result


def check_table(session, codec: VQDNACodecModel, bases: np.ndarray, seed: int) -> dict:
    """Compare the codes and ids of a compiled vocabulary, with no tolerance; for the arguments see `check_tokenizer`.

    Returns:
        As `check_tokenizer`, with nothing that differs; and `"without_code"`, the bases of which the graph says so.

    Raises:
        ValueError: a code or an id differs, or is missing though the table holds it.
    """
    table, vocabulary = codec.table, CodeVocabulary(codec.config.codebook_sizes)
    result = dict.fromkeys(("bases", "differing", "near_ties", "without_code"), 0)
    pieces = tqdm(_batches(bases), "Comparing codes", math.ceil(len(bases) / np.prod(_BATCH)), disable=not len(bases))
    for ids in chain((random_rows(*shape, seed) for shape in SHAPES), [short_rows(table.width, seed)], pieces):
        codes, input_ids = _run(session, ["codes", "input_ids"], {"nucleotide_ids": ids})
        wanted = codec.encode(torch.from_numpy(ids)).numpy()
        wanted_ids, missing = vocabulary.ids(wanted), _without_code(ids, table)
        wanted[missing], wanted_ids[missing] = NO_CODE, NO_CODE
        wanted_ids = np.where(ids >= UNKNOWN_ID, _SPECIAL_IDS[np.maximum(ids, UNKNOWN_ID) - UNKNOWN_ID], wanted_ids)
        result["bases"] += int((ids < CLS_NUCLEOTIDE_ID).sum())
        result["differing"] += int(((codes != wanted).any(axis=-1) | (input_ids != wanted_ids)).sum())
        result["without_code"] += int(missing.sum())
    if result["differing"]:
        raise ValueError(
            f"tokenizer.onnx gives other codes than the table at {result['differing']:,} positions, of which "
            f"{result['bases']:,} are bases. {_DIFFERENT}"
        )
    logger.info("tokenizer.onnx: all codes of %s bases are those of the table", f"{result['bases']:,}")
    return result


def short_rows(width: int, seed: int) -> np.ndarray:
    """Sequences of 1 to 2 * width bases, some unknown and some masked, with padding before and behind them.

    Returns:
        Nucleotide ids, `np.ndarray` of `int64` and shape `(16 * width, 3 * width)`.
    """
    rng = np.random.default_rng(seed)
    rows = np.full((16 * width, 3 * width), PAD_NUCLEOTIDE_ID, dtype=np.int64)
    for number, row in enumerate(rows):
        length = 1 + number % (2 * width)
        start = rng.integers(0, len(row) - length + 1)
        row[start : start + length] = _random_bases(rng, length, 0.05)
    return rows


def _without_code(ids: np.ndarray, table: CodeTable) -> np.ndarray:
    """Where windows are not in a table: those with an unknown base, where it has four letters; shape of `ids`."""
    inside = ids < CLS_NUCLEOTIDE_ID
    if table.letters > UNKNOWN_ID:
        return np.zeros_like(inside)
    unknown = np.pad(inside & (ids >= UNKNOWN_ID), ((0, 0), (table.radius, table.radius)))
    return inside & np.lib.stride_tricks.sliding_window_view(unknown, table.width, axis=1).any(axis=-1)


def _check_ids(ids: np.ndarray, codes: np.ndarray, input_ids: np.ndarray, codec: VQDNACodecModel):
    """Make sure that the graph's ids are those of its codes and of the special tokens."""
    special = _SPECIAL_IDS[np.maximum(ids, UNKNOWN_ID) - UNKNOWN_ID]
    wanted = np.where(ids >= UNKNOWN_ID, special, CodeVocabulary(codec.config.codebook_sizes).ids(codes))
    if codes[ids >= CLS_NUCLEOTIDE_ID].any() or (input_ids != wanted).any():
        raise ValueError(f"tokenizer.onnx gives ids that are not those of its codes. {_DIFFERENT}")


def _batches(bases: np.ndarray):
    """Yield the bases in batches of one shape, the last one padded."""
    size = _BATCH[0] * _BATCH[1]
    for start in range(0, len(bases), size):
        piece = bases[start : start + size].astype(np.int64)
        yield np.pad(piece, (0, size - len(piece)), constant_values=PAD_NUCLEOTIDE_ID).reshape(_BATCH)


@torch.no_grad()
def check_model(session, tokenizer, model, seed: int) -> dict:
    """Compare what a model predicts on random batches of many shapes, up to beyond its attention window.

    Args:
        session, tokenizer: sessions of `model.onnx` and `tokenizer.onnx`.

    Returns:
        `{"rows": compared, "largest_difference": value, "largest_value": value}`.

    Raises:
        ValueError: an output differs by more than `TOLERANCE`.
    """
    rows, difference, largest = 0, 0.0, 0.0
    takes_tokens, table = "input_ids" in {entry.name for entry in session.get_inputs()}, model.codec.table
    # a graph that has no codes beside unknown bases predicts nothing of them
    special = 0.0 if table is not None and table.letters == UNKNOWN_ID else 0.05
    for shape in model_shapes(model.config.encoder_config):
        ids = random_rows(*shape, seed, special)
        inside, comparable = ids != PAD_NUCLEOTIDE_ID, np.ones(len(ids), dtype=bool)
        inputs = {"nucleotide_ids": torch.from_numpy(ids)}
        if takes_tokens:
            input_ids = model.base_model.encode_nucleotides(inputs["nucleotide_ids"])
            inputs = {"input_ids": input_ids, "attention_mask": torch.from_numpy(inside.astype(np.int64))}
        else:
            comparable = _without_near_ties(tokenizer, model, ids)
        rows += int(comparable.sum())
        for ours, theirs in _outputs(session, model, inputs):
            # padding has outputs too, where a model gives one per position, but nothing reads them
            counts = inside & comparable[:, None] if ours.ndim == 3 else comparable
            gaps = np.abs(ours - theirs)[counts]
            difference = max(difference, float(np.nan_to_num(gaps, nan=np.inf).max(initial=0)))
            largest = max(largest, float(np.abs(ours)[counts].max(initial=0)))
    if difference > TOLERANCE * (1 + largest):
        raise ValueError(
            f"model.onnx differs from PyTorch by up to {difference:.3g}, where values reach {largest:.3g}. "
            f"{_DIFFERENT}"
        )
    logger.info(
        "model.onnx: outputs of %d sequences differ from PyTorch's by at most %.1e, where values reach %.3g",
        *(rows, difference, largest),
    )
    return {"rows": rows, "largest_difference": difference, "largest_value": largest}


def _outputs(session, model, inputs: dict[str, torch.Tensor]):
    """Yield each output of the graph as PyTorch gives it, and as onnxruntime does."""
    expected = model(**inputs, return_dict=True)
    names = [output.name for output in session.get_outputs()]
    found = _run(session, names, {name: value.numpy() for name, value in inputs.items()})
    return ((expected[name].numpy(), value) for name, value in zip(names, found))


def model_shapes(encoder_config) -> list[tuple[int, int]]:
    """Batches and lengths to compare: beyond the local attention window, within the positions the encoder has."""
    beyond = 2 * (getattr(encoder_config, "local_attention", None) or 0) + 9
    most = getattr(encoder_config, "max_position_embeddings", None) or max(beyond, 333)
    shapes = [*SHAPES, (2, beyond)] if beyond > 333 else SHAPES
    return sorted({(batch, min(length, most)) for batch, length in shapes})


def _without_near_ties(tokenizer, model, ids: np.ndarray) -> np.ndarray:
    """The rows, `(batch,)`, whose ids are the same in both runtimes: with another code, other outputs are right."""
    same = np.ones(len(ids), dtype=bool)
    strand = torch.from_numpy(ids)
    for read in (strand, reverse_complement_batch(strand)) if model.config.strand_average else (strand,):
        [theirs] = _run(tokenizer, ["input_ids"], {"nucleotide_ids": read.numpy()})
        same &= (model.base_model.encode_nucleotides(read).numpy() == theirs).all(axis=1)
    return same
