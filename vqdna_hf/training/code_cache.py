"""The codes of a data set's sequences, computed once and kept on disk: a frozen vocabulary gives the same ones again.

A file is named by the vocabulary's fingerprint and by a hash of the sequences, so that a changed row, another cut or
another vocabulary is another file. It holds one row a sequence, with a checksum of each, and is memory-mapped.

`Dataset.map` with a cache file does not do: of 20,000 rows it gave wrong codes without a word where 64 bytes had
changed, an Arrow error where a file was cut, and two processes that asked at once both encoded every row.
"""

import hashlib
import logging
import os
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import config as datasets_config
from filelock import FileLock
from tqdm.auto import tqdm

from ..modeling.nucleotides_vqdna import check_nucleotides
from ..modeling.tokenization_vqdna import VQDNATokenizer
from ..runs.files import replacing


logger = logging.getLogger(__name__)

_FORMAT = "1"
_SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("checksum", pa.uint32())])
# bases that are encoded and written at a time: a few seconds of a small network, a few MB of codes
_PART = 1 << 20


def cache_directory(cache_dir: str | os.PathLike | None = None) -> Path:
    """Where codes are kept: the folder given, or `vqdna-codes` in the cache of `datasets`. It may be removed."""
    return Path(datasets_config.HF_DATASETS_CACHE, "vqdna-codes") if cache_dir is None else Path(cache_dir)


def sequences_hash(sequences: list[np.ndarray]) -> str:
    """32 hexadecimal digits that name a list of nucleotide ids, in its order."""
    digest = hashlib.sha256()
    digest.update(np.array([len(ids) for ids in sequences], dtype=np.int64).tobytes())
    for ids in sequences:
        digest.update(np.ascontiguousarray(ids, dtype=np.uint8).tobytes())
    return digest.hexdigest()[:32]


def cached_codes(
    tokenizer: VQDNATokenizer, sequences: list[np.ndarray], cache_dir: str | os.PathLike | None = None
) -> list[np.ndarray]:
    """The `input_ids` of sequences, [CLS] and [SEP] included: those of an earlier call, or new ones, which are kept.

    Of several processes that ask for the same codes one computes them, and the others wait. A file that is damaged or
    of another kind is written again. Where nothing can be written, the codes are computed for this process alone. Of a
    compiled vocabulary nothing is kept: to look codes up is quick, and they are the table's, whatever a network gave
    under the same fingerprint.

    Args:
        tokenizer: its network runs where it is. A CPU and a GPU may settle a near-tie between two codes differently;
            the codes that were kept first count.
        sequences: nucleotide ids 0-4, each of shape `(length,)`, encoded alone.
        cache_dir: see `cache_directory`.

    Returns:
        One read-only `int32` array of shape `(length + 2,)` per sequence.
    """
    if tokenizer.codec.table is not None:
        return _encode_in_parts(tokenizer, sequences)
    fingerprint, name = tokenizer.vocabulary_fingerprint, sequences_hash(sequences)
    path = cache_directory(cache_dir) / fingerprint / f"{name}.arrow"
    header = {"format": _FORMAT, "vocabulary_fingerprint": fingerprint, "sequences": name}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            rows = _read(path, header, sequences)
            if rows is None:
                _write(path, header, tokenizer, sequences)
                logger.info("Codes of %d sequences are kept in %s", len(sequences), path)
                rows = _read(path, header, sequences)
    except OSError as error:
        logger.warning("Codes cannot be kept in %s (%s): they are computed for this run alone.", path.parent, error)
        return _encode_in_parts(tokenizer, sequences)
    if rows is None:
        raise OSError(
            f"{path} cannot be read back right after it was written. Check the disk, or name another folder."
        )
    return rows


def _encode_in_parts(tokenizer: VQDNATokenizer, sequences: list[np.ndarray]) -> list[np.ndarray]:
    return [row for part in _parts(sequences) for row in _encode(tokenizer, part)]


def _encode(tokenizer: VQDNATokenizer, sequences: list[np.ndarray]) -> list[np.ndarray]:
    """Ids with [CLS] and [SEP]: slices of one array, which is filled at once."""
    lengths = np.array([len(ids) for ids in sequences])
    joined = check_nucleotides(np.concatenate(sequences), "the sequences, end to end,").astype(np.uint8)
    stops = np.cumsum(lengths + 2)
    rows, inside = np.empty(stops[-1], dtype=np.int32), np.ones(stops[-1], dtype=bool)
    for places, token in ((stops - lengths - 2, tokenizer.cls_token_id), (stops - 1, tokenizer.sep_token_id)):
        rows[places], inside[places] = token, False
    rows[inside] = tokenizer.encode_joined(joined, lengths)
    return np.split(rows, stops[:-1])


def _parts(sequences: list[np.ndarray]):
    """Runs of sequences of some `_PART` bases, with a bar that counts them."""
    lengths = np.array([len(ids) for ids in sequences])
    number = (np.cumsum(lengths) - 1) // _PART
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1), len(sequences)]
    # `disable=None`: no bar where nobody looks at it
    with tqdm(total=int(lengths.sum()), desc="encoding", unit="base", unit_scale=True, disable=None) as bar:
        for start, end in zip(edges[:-1], edges[1:]):
            yield sequences[start:end]
            bar.update(int(lengths[start:end].sum()))


def _write(path: Path, header: dict[str, str], tokenizer: VQDNATokenizer, sequences: list[np.ndarray]):
    with replacing(path) as partial:
        with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA.with_metadata(header)) as writer:
            for part in _parts(sequences):
                rows = _encode(tokenizer, part)
                offsets = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int32)
                ids = pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(rows)))
                checksums = pa.array([zlib.crc32(row) for row in rows], pa.uint32())
                writer.write_batch(pa.record_batch([ids, checksums], schema=_SCHEMA.with_metadata(header)))


def _read(path: Path, header: dict[str, str], sequences: list[np.ndarray]) -> list[np.ndarray] | None:
    """The rows of a file; None if there is none, or if it is not what it should be."""
    if not path.is_file():
        return None
    try:
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            found = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
            if found != header or not reader.schema.equals(_SCHEMA):
                raise pa.ArrowInvalid("it is of another vocabulary, data set or version")
            rows, checksums = [], []
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                batch.validate(full=True)
                ids, offsets = batch.column(0).values.to_numpy(), batch.column(0).offsets.to_numpy()
                rows.extend(ids[start:end] for start, end in zip(offsets[:-1], offsets[1:]))
                checksums.extend(batch.column(1).to_pylist())
        whole = [len(row) for row in rows] == [len(ids) + 2 for ids in sequences]
        if not whole or any(zlib.crc32(row) != checksum for row, checksum in zip(rows, checksums)):
            raise pa.ArrowInvalid("its checksums do not fit its rows")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        logger.warning("%s is damaged (%s): its codes are computed again.", path, error)
        return None
    return rows
