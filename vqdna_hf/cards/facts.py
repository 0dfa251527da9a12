"""What the files of a directory say about what it holds: the only source of a model card."""

import json
import os
import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from ..checkpoints.lineage import without_paths
from ..modeling.adapters_vqdna import recorded_head
from ..modeling.configuration_vqdna import VQDNACodecConfig
from ..runs.directories import Holding
from ..runs.files import read_json
from .benchmarks import CardBenchmark, read_benchmark
from .record_shapes import check_record


# what an author says about a directory beside what its runs recorded; see model_cards/README.md
NOTES = (
    *("repo_id", "published", "made_with", "training_data", "compute", "datasets", "limitations"),
    *("benchmarks", "codebook"),
)

# what a card is made from
FACTS = (
    *("config.json", "codec_config.json", "tokenizer_config.json", "adapter_config.json", "probe.json"),
    *("training.json", "results.json", "trainer_state.json", "card.json"),
)
_CODEC = VQDNACodecConfig.model_type
_CLASSIFIERS = ("VQDNAForSequenceClassification", "VQDNAForTokenClassification")
_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """The facts of one directory; what its files do not say is empty or None.

    Attributes:
        local_name: the directory's name.
        repo_id: the repository it is, or will be, on the Hub.
        kind: `vocabulary`, `encoder`, `classifier`, `adapter` or `probe`.
        config, adapter, probe, state: `config.json`, `adapter_config.json`, `probe.json`, `trainer_state.json`. An
            adapter has no `config.json`; in its place stands what the adapter says of its head.
        tokenizer: `tokenizer_config.json`; None where there is no tokenizer.
        codec: the vocabulary's architecture.
        fingerprint: the vocabulary's.
        vocabulary, encoder: the records of the runs that learned the vocabulary and pre-trained the encoder.
        result: the `results.json` of the run that made the directory.
        results: that one and further ones.
        base_model: the repository an adapter was trained on.
        benchmarks: the benchmarks that `card.json` names.
        notes: `card.json`, what the author adds.
    """

    local_name: str
    repo_id: str | None
    kind: str
    config: dict
    adapter: dict
    probe: dict
    state: dict
    tokenizer: dict | None
    codec: VQDNACodecConfig | None
    fingerprint: str | None
    vocabulary: dict
    encoder: dict
    result: dict
    results: list[dict]
    base_model: str | None
    benchmarks: list[CardBenchmark]
    notes: dict

    @property
    def name(self) -> str:
        """What `from_pretrained` is given."""
        return self.repo_id or self.local_name

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that the directory was made with."""
        return (self.result or (self.vocabulary if self.kind == "vocabulary" else self.encoder)).get("versions", {})

    @property
    def simulated(self) -> bool:
        """Whether the vocabulary or the encoder saw DNA that `vqdna demo` made up."""
        inputs = [*(self.vocabulary.get("inputs") or []), *(self.encoder.get("corpus", {}).get("inputs") or [])]
        return any(part["file"].startswith("simulated") for part in inputs)

    @property
    def one_hot(self) -> bool:
        """Whether the vocabulary is the one-hot control, in which nothing is learned."""
        return self.codec is not None and self.codec.receptive_field == 1

    @property
    def own_codec(self) -> bool:
        """Whether fine-tuning changed the vocabulary, so that its record is that of the one it started from."""
        return self.result.get("mode") == "end-to-end"


def read_facts(
    directory: str | PathLike,
    results: list[str] | tuple[str, ...] = (),
    repo_id: str | None = None,
    records: dict[str, dict] | None = None,
) -> CardFacts:
    """Read what a directory's own files, and further result files, say about it.

    Args:
        directory: holds a vocabulary, an encoder, a classifier, an adapter or a linear probe.
        results: further `results.json` files, or directories that hold them.
        repo_id: the repository the directory will be.
        records: contents of files that are not written yet, by name; a run writes its record last.

    Raises:
        ValueError: there is no such directory, it holds nothing of these kinds, a file is not valid JSON, or a result
            is of another vocabulary.
    """
    directory = Path(os.path.realpath(directory))
    if not directory.is_dir():
        raise ValueError(f"There is no directory {directory} to write a card for.")
    read = {name: _content(directory / name, records or {}) for name in FACTS}
    files = {name.removesuffix(".json"): without_paths(content) for name, content in read.items()}
    for name, content in files.items():
        if content:
            check_record(content, name, directory / f"{name}.json")
    kind, tokenizer, result = _kind_of(files, directory), files["tokenizer_config"], files["results"]
    notes = files["card"]
    if unknown := [name for name in notes if name not in NOTES]:
        raise ValueError(
            f"{directory / 'card.json'} has {', '.join(unknown)}, but a card knows only {', '.join(NOTES)}."
        )
    further = [_read_result(path) for path in _result_files(results, directory)]
    joined = [each for each in (result, *further) if each]
    vocabulary, encoder = _lineage(kind, files["training"], joined)
    fingerprint = tokenizer.get("vocabulary_fingerprint") or files["config"].get("vocabulary_fingerprint")
    fingerprint = fingerprint or files["training"].get("fingerprint")
    for each in further:
        _check_vocabulary(each, fingerprint, directory)
    return CardFacts(
        local_name=_local_name(directory),
        repo_id=repo_id or notes.get("repo_id"),
        kind=kind,
        config=files["config"] or recorded_head(files["adapter_config"]),
        adapter=files["adapter_config"],
        probe=files["probe"],
        state=files["trainer_state"],
        tokenizer=tokenizer or None,
        codec=_codec(files),
        fingerprint=fingerprint,
        vocabulary=vocabulary,
        encoder=encoder,
        result=result,
        results=joined,
        base_model=_base_model(read["adapter_config.json"]),
        benchmarks=[read_benchmark(directory, entry) for entry in notes.get("benchmarks", [])],
        notes=notes,
    )


def _content(path: Path, records: dict[str, dict]) -> dict:
    """What a file says; nothing where there is none."""
    if path.name in records:
        return json.loads(json.dumps(records[path.name]))
    return read_json(path) if path.is_file() else {}


def _lineage(kind: str, training: dict, results: list[dict]) -> tuple[dict, dict]:
    """The records of the vocabulary and of the encoder: the directory's own, or what its results carry along."""
    if kind == "vocabulary":
        return training, {}
    carried = next((result["encoder"] for result in results if "encoder" in result), {})
    encoder = training if "corpus" in training else carried
    alone = next((result["vocabulary"] for result in results if "vocabulary" in result), {})  # of a linear probe
    return encoder.get("vocabulary", alone), encoder


def _kind_of(files: dict[str, dict], directory: Path) -> str:
    """The kind of a directory; see `CardFacts`.

    Args:
        files: contents of `config.json` and so on, without the suffix; empty where there is no such file.

    Raises:
        ValueError: none of them.
    """
    config = files["config"]
    kind = Holding(frozenset(f"{name}.json" for name, content in files.items() if content), config).kind
    if kind == "model":
        return "classifier" if set(config.get("architectures") or []) & set(_CLASSIFIERS) else "encoder"
    if kind is not None:
        return kind
    raise ValueError(
        f"{directory} holds nothing that a card can be written for: its config.json has the model_type "
        f"{config.get('model_type')!r}. Give the directory of a VQDNA vocabulary, model, adapter or linear probe."
    )


def _read_result(path: Path) -> dict:
    result = without_paths(read_json(path))
    check_record(result, "results", path)
    return result


def _result_files(results, directory: Path) -> list[Path]:
    """The further result files: those named, and those in the `results` folder of the directory."""
    files = []
    for place in [directory / "results", *map(Path, results)]:
        found = sorted(place.glob("results*.json")) if place.is_dir() else [place] if place.is_file() else []
        if not found and place != directory / "results":
            raise ValueError(f"{place} is no result file and no directory with results.json in it.")
        files += [path.resolve() for path in found if path.resolve() != directory / "results.json"]
    return list(dict.fromkeys(files))


def _check_vocabulary(result: dict, fingerprint: str | None, directory: Path):
    """End-to-end fine-tuning makes a vocabulary of its own, but knows which one it began with."""
    encoder = result.get("encoder", {}).get("fingerprint")
    theirs = encoder if result["mode"] == "end-to-end" and encoder else result.get("fingerprint")
    if None not in (theirs, fingerprint) and theirs != fingerprint:
        raise ValueError(
            f"The result of {result['task']} (seed {result['seed']}) is of the vocabulary {theirs}, but {directory} "
            f"has {fingerprint}: it belongs on another card."
        )


def _codec(files: dict[str, dict]) -> VQDNACodecConfig | None:
    config = files["config"]
    fields = config if config.get("model_type") == _CODEC else config.get("codec_config") or files["codec_config"]
    return VQDNACodecConfig(**{name: v for name, v in fields.items() if name != "model_type"}) if fields else None


def _base_model(adapter: dict) -> str | None:
    """The repository that an adapter names as its base; a directory on the machine is nobody else's business."""
    base = adapter.get("base_model_name_or_path")
    return base if base and _REPO_ID.fullmatch(base) and not Path(base).exists() else None


def _local_name(directory: Path) -> str:
    """A directory's name; with its parent's where it alone says nothing."""
    if directory.name == "adapter" or directory.name.startswith("checkpoint-"):
        return f"{directory.parent.name}/{directory.name}"
    return directory.name
