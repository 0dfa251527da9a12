"""Rows in memory as `datasets.Dataset`."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, LargeList, List, Value

from ..arguments.training import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from .rows import Split


_MOST_BASES = 2**31 - 1
_LABEL_TYPES = {SINGLE_LABEL: Value("int64"), REGRESSION: Value("float32"), MULTI_LABEL: List(Value("float32"))}


def ids_datasets(splits: dict[str, Split], problem_type: str) -> DatasetDict:
    """Splits of nucleotide ids as columns `nucleotide_ids` and `labels`."""
    kind = list_feature(max(sum(ids.size for ids in part.sequences) for part in splits.values()))
    features = Features({"nucleotide_ids": kind, "labels": _LABEL_TYPES[problem_type]})
    return DatasetDict({split: _ids_dataset(part, features) for split, part in splits.items()})


def text_datasets(splits: dict[str, Split], classes: tuple[str, ...]) -> DatasetDict:
    """Splits of strings as columns `sequence` and `label`; without classes, labels are measurements."""
    kind = string_feature(max(sum(map(len, part.sequences)) for part in splits.values()))
    label = ClassLabel(names=list(classes)) if classes else Value("float32")
    features, found = Features({"sequence": kind, "label": label}), {}
    for split, part in splits.items():
        labels = part.labels if classes else part.labels.astype(np.float32)
        table = pa.table({"sequence": pa.array(part.sequences, features["sequence"].pa_type), "label": labels})
        content = (*(sequence.encode() + b"\n" for sequence in part.sequences), labels)
        found[split] = _named_dataset(table, features, content)
    return DatasetDict(found)


def _ids_dataset(part: Split, features: Features) -> Dataset:
    kind = features.arrow_schema.field("nucleotide_ids").type
    table = pa.table({"nucleotide_ids": pa.array(part.sequences, kind), "labels": pa.array(part.labels.tolist())})
    lengths = np.array([ids.size for ids in part.sequences])
    return _named_dataset(table, features, (*part.sequences, lengths, part.labels))


def _named_dataset(table: pa.Table, features: Features, content: Iterable[np.ndarray | bytes]) -> Dataset:
    """A table in memory as a `Dataset`, whose fingerprint follows from `content`."""
    # subtle: without a name of its own, the table would be copied, several times over, to make one
    name = hashlib.blake2b(digest_size=8)
    for part in content:
        name.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return Dataset(table.cast(features.arrow_schema), DatasetInfo(features=features), fingerprint=name.hexdigest())


def list_feature(bases: int) -> List | LargeList:
    """The type of a column of nucleotide ids: lists count in 32 bits as long as that does for all rows together."""
    return (List if bases <= _MOST_BASES else LargeList)(Value("uint8"))


def string_feature(bases: int) -> Value:
    """The same for a column of strings."""
    return Value("string" if bases <= _MOST_BASES else "large_string")
