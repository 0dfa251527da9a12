"""The models of a benchmark: vocabularies learned, encoders pre-trained, or found where the file says they are.

Everything made here is in the output directory: `corpus`, `models/NAME/tokenizer` and `models/NAME/encoder`. What is
finished there is not made again, and what was interrupted resumes, both only with the settings it was begun with.
"""

import contextlib
import hashlib
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate import PartialState
from filelock import FileLock
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoConfig, AutoTokenizer, set_seed
from transformers.utils.hub import cached_file, extract_commit_hash

from ...arguments.training import PretrainArguments, TokenizeArguments, TrainTokenizerArguments
from ...baselines.tokenizers import character_tokenizer
from ...baselines.write_tokenizer import BaselineTokenizerArguments, write_baseline_tokenizer
from ...checkpoints import resolve_checkpoint
from ...checkpoints.loading import with_codes
from ...modeling.tokenization_vqdna import VQDNATokenizer
from ...runs.files import read_json, replacing_directory, write_json
from ...training.objectives import objective_of
from ...training.pretrain import pretrain
from ...training.tokenize import tokenize
from ...training.train_tokenizer import train_tokenizer
from ..spec.command_options import EncoderArguments
from ..spec.schema import ModelEntry, Specification
from .finished import UNTRAINED, check_encoder, check_inputs, encoder_directory, is_finished, tokenizer_directory


logger = logging.getLogger(__name__)

# steps that only look at a run on its way: once, at its end
_QUIET = {"eval_steps": 1_000_000, "save_steps": 500, "logging_steps": 100}
# what decides an encoder that is not trained
_INITIALIZING = ("seed", "preset", "base_loss_weight")


@dataclass(frozen=True)
class PreparedModel:
    """A model that is ready to be fine-tuned.

    Attributes:
        entry: what the file says of it.
        kind: "learned vocabulary", "hand-made vocabulary", "other" or "control".
        source: directory or Hub repository of the model; None for a control.
        tokenizer: its tokenizer; None for a control without one.
        weights: a digest of the weights, or the commit of a Hub repository, so that cells of other weights are not
            taken for its own.
        pretraining_bases: bases that its encoder was shown, if it was made here.
    """

    entry: ModelEntry
    kind: str
    source: str | None
    tokenizer: object | None
    weights: str | None
    pretraining_bases: int | None

    @property
    def is_vqdna(self) -> bool:
        """Whether its vocabulary is learned, so that bases can be given instead of token ids."""
        return isinstance(self.tokenizer, VQDNATokenizer)


@contextlib.contextmanager
def one_at_a_time(output: Path):
    """Let no other benchmark make models in the same output directory: it waits, and then finds them."""
    state = PartialState()
    lock = FileLock(output / ".models.lock")
    if state.is_main_process:
        output.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    state.wait_for_everyone()
    try:
        yield
        state.wait_for_everyone()
    finally:
        lock.release()


def prepare_model(entry: ModelEntry, specification: Specification, output: Path) -> PreparedModel:
    """Make a model, or find it.

    Raises:
        ValueError: a finished or interrupted step in `output` has other settings; or as the commands behind each step.
        OSError: there is no such model on the Hub, or the Hub cannot be reached.
    """
    if entry.control is not None:
        tokenizer = character_tokenizer() if entry.control == "cnn" else None
        return PreparedModel(entry, "control", None, tokenizer, None, None)
    if entry.path is not None:
        return find_model(entry)
    vocabulary, directory = tokenizer_directory(entry, output), encoder_directory(entry, output)
    if entry.vocabulary is not None:
        # another model's may be needed before that model's turn, or in another part of the cells
        owner = specification.owner_of(entry)
        if owner.learns_vocabulary:
            learn_vocabulary(owner.vocabulary, specification, vocabulary)
    else:
        _make_tokenizer(entry, specification, output, vocabulary)
    options, finished = {**_QUIET, **entry.encoder}, check_encoder(entry, specification, output)
    made = EncoderArguments(corpus="", tokenizer="", output="", **entry.encoder)
    if made.max_steps == 0 and not finished:
        _untrained(made, vocabulary, directory)
    elif not finished:
        arguments = PretrainArguments(
            corpus=str(make_corpus(specification, output)),
            tokenizer=entry.vocabulary_path or str(vocabulary),  # a name stays one, wherever the package is
            output=str(directory),
            resume=True,
            **options,
        )
        arguments.batch_size = batch_per_process(arguments.batch_size)
        logger.info("Pre-training %s", entry.name)
        pretrain(arguments)
        PartialState().wait_for_everyone()
    kind = "learned vocabulary" if entry.vocabulary is not None else "hand-made vocabulary"
    shown = made.max_steps * made.batch_size * made.gradient_accumulation_steps * specification.window
    tokenizer = AutoTokenizer.from_pretrained(directory)
    return PreparedModel(entry, kind, str(directory), tokenizer, weights_digest(directory), shown)


def find_model(entry: ModelEntry) -> PreparedModel:
    """The model of a directory, of the package or of the Hub, which any tokenizer of transformers may go with.

    Raises:
        ValueError: there is no such directory, or what is there is no model that can classify sequences.
        OSError: there is no such model on the Hub, or the Hub cannot be reached.
    """
    where = f"models.{entry.name}"
    options = {"revision": entry.revision, "trust_remote_code": entry.trust_remote_code}
    place = resolve_checkpoint(entry.path)
    local = Path(place).is_dir()
    if not local and (entry.path.count("/") > 1 or entry.path.startswith((".", "/", "~"))):
        raise ValueError(f"{where}: there is no directory {entry.path}.")
    config = AutoConfig.from_pretrained(place, **options)
    own = "AutoModelForSequenceClassification" in (getattr(config, "auto_map", None) or {})
    if not own and type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise ValueError(
            f"{where}: {entry.path} holds a {config.model_type}, which cannot classify sequences. Name a directory "
            "that `vqdna pretrain` wrote, or any model of transformers for sequence classification."
        )
    if local and not any(part for form in ("*.safetensors*", "*.bin*") for part in Path(place).glob(form)):
        raise ValueError(f"{where}: {entry.path} holds no weights.")
    tokenizer = AutoTokenizer.from_pretrained(place, **options)
    kind = "other"
    if isinstance(tokenizer, VQDNATokenizer):
        kind, tokenizer = "learned vocabulary", with_codes(tokenizer)
    if local:
        weights = weights_digest(Path(place))
    else:  # the commit, so that every cell is of the same one however long the benchmark takes
        file = cached_file(entry.path, "config.json", revision=entry.revision)
        weights = extract_commit_hash(file, None)
        entry = replace(entry, revision=weights or entry.revision)
    return PreparedModel(entry, kind, place, tokenizer, weights, None)


def make_corpus(specification: Specification, output: Path) -> Path:
    """The windows that every encoder is pre-trained on, and every BPE learned from."""
    directory = output / "corpus"
    if PartialState().is_main_process and not (directory / "corpus.json").is_file():
        lengths = {"window": specification.window, "min_length": min(specification.window, 64)}
        tokenize(TokenizeArguments(fasta=list(specification.fasta), output=str(directory), **lengths))
    PartialState().wait_for_everyone()
    check_inputs(directory, read_json(directory / "corpus.json"), specification)
    return directory


def learn_vocabulary(options: dict, specification: Specification, directory: Path):
    """Run stage 1, unless it is finished."""
    options = {**_QUIET, **options}
    if is_finished(directory, options, TrainTokenizerArguments, specification):
        return
    logger.info("Learning the vocabulary %s", directory.parent.name)
    arguments = TrainTokenizerArguments(fasta=specification.fasta, output=str(directory), resume=True, **options)
    arguments.batch_size = batch_per_process(arguments.batch_size)
    train_tokenizer(arguments)
    PartialState().wait_for_everyone()


def batch_per_process(batch: int) -> int:
    """The same batches on any number of processes: a file's batch is that of all of them together.

    Raises:
        ValueError: it cannot be shared by them.
    """
    processes = PartialState().num_processes
    if batch % processes:
        raise ValueError(f"A batch of {batch} cannot be shared by {processes} processes; change one of them.")
    return batch // processes


def _make_tokenizer(entry: ModelEntry, specification: Specification, output: Path, directory: Path):
    if is_finished(directory, entry.tokenizer, BaselineTokenizerArguments, specification):
        return
    options = dict(entry.tokenizer)
    if options["kind"] == "bpe" and not options.get("file"):
        options["corpus"] = str(make_corpus(specification, output))
    if PartialState().is_main_process:
        with replacing_directory(directory) as partial:
            write_baseline_tokenizer(BaselineTokenizerArguments(output=str(partial), **options))
    PartialState().wait_for_everyone()


def _untrained(made: EncoderArguments, vocabulary: Path, directory: Path):
    """An encoder as it was initialized, in the form of a pre-trained one."""
    if PartialState().is_main_process:
        settings = {name: getattr(made, name) for name in _INITIALIZING}
        objective = objective_of(PretrainArguments(corpus="", tokenizer=str(vocabulary), output="", **settings))
        set_seed(settings["seed"])
        model = objective.build_model()
        with replacing_directory(directory) as partial:
            model.save_pretrained(partial)
            objective.tokenizer.save_pretrained(partial)
            write_json(partial / UNTRAINED, {**settings, "max_steps": 0})
    PartialState().wait_for_everyone()


def weights_digest(directory: Path) -> str | None:
    """Sixteen hexadecimal digits of the hash of a directory's weights and configuration."""
    digest = hashlib.sha256()
    files = sorted([*directory.glob("*.safetensors"), *directory.glob("config.json")])
    for path in files:
        digest.update(path.name.encode())
        digest.update(path.read_bytes() if path.suffix != ".json" else _stable(path))
    return digest.hexdigest()[:16] if files else None


def _stable(path: Path) -> bytes:
    content = read_json(path)
    return json.dumps({k: v for k, v in content.items() if k != "transformers_version"}, sort_keys=True).encode()
