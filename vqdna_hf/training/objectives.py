"""What pre-training predicts: the codes and bases of a learned vocabulary, or the tokens of an ordinary one.

An objective says how windows are masked, which model is built, what is logged and what a run's record tells of it.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice

import torch
from peft import PeftModel
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from ..arguments.training import PretrainArguments
from ..baselines import TokenEncoderConfig, TokenEncoderForMaskedLM, token_usage, tokenizer_kind
from ..checkpoints import resolve_checkpoint
from ..checkpoints.loading import check_model_directory, load_tokenizer, share_table
from ..data import Corpus
from ..modeling.configuration_vqdna import NUM_SPECIAL_TOKENS, VQDNAConfig
from ..modeling.modeling_vqdna import VQDNAForMaskedLM, labelled_positions, unpack_codes
from ..modeling.nucleotides_vqdna import ids_to_bases
from ..runs.directories import check_model_files, read_directory
from .finite_weights import check_finite
from .masking import Masking, MaskingCollator, mask_batch
from .neighbours import batches_of, neighbours_accuracy
from .recipes import PRETRAINING
from .recording import RecordingTrainer
from .token_masking import TokenCollator, TokenMasking, WindowEncoder


logger = logging.getLogger(__name__)

# what has no meaning without a codec
_OF_CODES = ("masking", "span_length", "lora", "base_loss_weight", "neighbour_steps")
# windows that say how the vocabulary covers the corpus
_USAGE_WINDOWS = 2048


class Objective(ABC):
    """What an encoder learns to predict.

    Attributes:
        recipe: the options that `--recipe paper` decides.
        training_options: further fields of `TrainingArguments`.
        tokenizer: that of the vocabulary.
        fingerprint: of a learned vocabulary, None of an ordinary one.
        masking, collator: how windows are masked, and how they become batches, once `read` has seen the corpus.
    """

    recipe: dict = PRETRAINING
    training_options: dict = {}
    fingerprint: str | None = None

    def __init__(self, arguments: PretrainArguments):
        self.arguments = arguments

    @property
    def identity(self) -> dict[str, str]:
        """What tells the vocabulary from others, in a run's settings and its record."""
        return {"fingerprint": self.fingerprint} if self.fingerprint else {}

    @abstractmethod
    def read(self, corpus: Corpus):
        """Decide how the windows of a corpus are masked.

        Raises:
            ValueError: the corpus does not fit the vocabulary, or the options do not fit it.
        """

    @abstractmethod
    def build_model(self) -> PreTrainedModel:
        """A new encoder over the vocabulary, or the model that `--model` names.

        Raises:
            ValueError: that model is of another kind or has another vocabulary, or `--lora` without one.
        """

    def prepare(self, model, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What the model is given of a collated batch on its device."""
        return batch

    @abstractmethod
    def scores(self, inputs: dict[str, torch.Tensor], outputs) -> Iterator[tuple[str, torch.Tensor, int]]:
        """What is logged of a batch: name, mean and the number of positions it is over."""

    def further_scores(self, model, trainer: RecordingTrainer, metrics: dict[str, float]) -> dict[str, float]:
        """What is measured after training beside `metrics`, those of the evaluation."""
        return {}

    def record(self, model, trainer: RecordingTrainer) -> dict:
        """Further fields of a finished run's record."""
        return {}


class CodeObjective(Objective):
    """Codes on every level, and bases, over a learned vocabulary."""

    training_options = {"label_names": ["labelled"]}

    def __init__(self, arguments: PretrainArguments):
        super().__init__(arguments)
        self.tokenizer = load_tokenizer(arguments.tokenizer)
        self.fingerprint = self.tokenizer.vocabulary_fingerprint
        self.sizes = list(self.tokenizer.codec.config.codebook_sizes)

    def read(self, corpus: Corpus):
        arguments, window = self.arguments, corpus.manifest["window"]
        corpus.check_fingerprint(self.fingerprint)
        num_codes, halo = self.tokenizer.vocab_size - NUM_SPECIAL_TOKENS, self.tokenizer.codec.config.halo
        masking = Masking(arguments.masking, arguments.mask_ratio, halo, num_codes, arguments.span_length)
        if window < masking.min_length:
            raise ValueError(
                f"The corpus has windows of {window} bases, too short for spans of {masking.span_length}: tokenize it "
                f"with --window {masking.min_length} or more."
            )
        self.masking, self.collator = masking, MaskingCollator()

    def build_model(self) -> VQDNAForMaskedLM:
        arguments = self.arguments
        if arguments.model is not None:
            check_model_directory(arguments.model)
            model = VQDNAForMaskedLM.from_pretrained(resolve_checkpoint(arguments.model))
            model.check_tokenizer(self.tokenizer)
            check_finite(model, arguments.model)
            share_table(model, self.tokenizer)
            return model
        if arguments.lora:
            raise ValueError("--lora adapts a pre-trained model: name it with --model.")
        codec, weight = self.tokenizer.codec, arguments.base_loss_weight
        model = VQDNAForMaskedLM(
            VQDNAConfig.from_preset(arguments.preset, codec_config=codec.config, base_loss_weight=weight)
        )
        model.codec.copy_from(codec)
        return model

    def prepare(self, model, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return mask_batch(_without_adapters(model).base_model, batch)

    def scores(self, inputs: dict[str, torch.Tensor], outputs) -> Iterator[tuple[str, torch.Tensor, int]]:
        chosen = labelled_positions(inputs["labels"], inputs["base_targets"])
        # masked windows have a code and a base to predict at the same positions
        labels, base_targets = (inputs[name].flatten()[chosen] for name in ("labels", "base_targets"))
        weight, codes = chosen.numel(), unpack_codes(labels, self.sizes)
        for level, logits in enumerate(outputs.logits.split(self.sizes, dim=-1)):
            yield f"accuracy_{level + 1}", (logits.argmax(-1) == codes[:, level]).double().mean(), weight
            yield f"loss_{level + 1}", outputs.level_losses[level], weight
        yield "base_accuracy", (outputs.base_logits.argmax(-1) == base_targets).double().mean(), weight
        yield "base_loss", outputs.base_loss, weight

    def further_scores(self, model, trainer: RecordingTrainer, metrics: dict[str, float]) -> dict[str, float]:
        """How well the codes around a masked position predict it, on the windows that the run was trained with."""
        steps = self.arguments.neighbour_steps
        if not steps:
            return {}
        train, held_out = batches_of(trainer.train_dataset, 16), batches_of(trainer.eval_dataset, 16)
        found = neighbours_accuracy(_without_adapters(model), islice(train, steps), held_out)
        logger.info(
            "Held-out accuracy of the base head: %.3f; of a predictor that only looks at the codes around: %.3f",
            *(metrics["base_accuracy"], found["neighbours_base_accuracy"]),
        )
        return found


class TokenObjective(Objective):
    """Tokens of an ordinary vocabulary (k-mers, BPE, single bases): the control to [`CodeObjective`].

    A quarter of the tokens (`mask_ratio`) is masked as BERT does; of overlapping k-mers, every token that touches one
    of a quarter of the bases.
    """

    recipe = {name: value for name, value in PRETRAINING.items() if name != "masking"}
    training_options = {"include_num_input_tokens_seen": "non_padding"}

    def __init__(self, arguments: PretrainArguments):
        super().__init__(arguments)
        try:
            self.tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(arguments.tokenizer)
        except Exception as error:  # a file that is none raises whatever it stumbles over
            raise ValueError(
                f"The tokenizer in {arguments.tokenizer} cannot be loaded ({type(error).__name__}: {error}). Make one "
                "with `vqdna baseline-tokenizer`, or copy its files again."
            ) from error

    def read(self, corpus: Corpus):
        check_token_options(self.arguments)
        self.usage = self._usage(corpus)
        self.masking = TokenMasking(WindowEncoder(self.tokenizer), self.arguments.mask_ratio)
        self.collator = TokenCollator(self.masking)

    def _usage(self, corpus: Corpus) -> dict[str, float]:
        """How the tokenizer covers the first held-out windows; refuses one that does not know most of it."""
        held_out = corpus.split("validation").select_columns(["bases"]).with_format("numpy")
        known = [ids[ids < 4] for ids in held_out[: min(_USAGE_WINDOWS, len(held_out))]["bases"]]
        usage = token_usage(self.tokenizer, [ids_to_bases(ids) for ids in known if len(ids)])
        if usage["unknown"] > 0.5:
            raise ValueError(
                f"The tokenizer in {self.arguments.tokenizer} reads {usage['unknown']:.0%} of known DNA as "
                f"{self.tokenizer.unk_token}: it is no tokenizer of plain DNA letters. Make one with `vqdna "
                "baseline-tokenizer`."
            )
        return usage

    def build_model(self) -> TokenEncoderForMaskedLM:
        place = self.arguments.model
        if place is None:
            config = TokenEncoderConfig.from_preset(self.arguments.preset, tokenizer=self.tokenizer)
            return TokenEncoderForMaskedLM(config)
        check_model_files(place)
        held = read_directory(place)
        if held.model_type != TokenEncoderConfig.model_type or "tokenizer.json" not in held.names:
            raise ValueError(
                f"{place} holds no encoder over an ordinary vocabulary (its model_type is {held.model_type!r}): give "
                "the directory that `vqdna pretrain` wrote with such a tokenizer."
            )
        if AutoTokenizer.from_pretrained(place).get_vocab() != self.tokenizer.get_vocab():
            raise ValueError(
                f"{place} has another vocabulary than {self.arguments.tokenizer}: give it as --tokenizer, too."
            )
        model = TokenEncoderForMaskedLM.from_pretrained(place)
        check_finite(model, place)
        return model

    def scores(self, inputs: dict[str, torch.Tensor], outputs) -> Iterator[tuple[str, torch.Tensor, int]]:
        labels = inputs["labels"][inputs["labels"] >= 0]
        right = (outputs.logits.argmax(-1) == labels).double()
        yield "masked_token_accuracy", right.mean(), right.numel()

    def record(self, model, trainer: RecordingTrainer) -> dict:
        return {
            "tokenizer": tokenizer_kind(self.tokenizer) | {"vocab_size": len(self.tokenizer)} | self.usage,
            "embedding_parameters": model.get_input_embeddings().weight.numel(),
            "tokens_seen": int(trainer.state.num_input_tokens_seen),
            "bases_seen": trainer.train_dataset.count_bases(),
        }


def objective_of(arguments: PretrainArguments) -> Objective:
    """The objective for the vocabulary that `--tokenizer` names.

    Raises:
        ValueError: it names none, or its files cannot be read.
    """
    check_model_files(arguments.tokenizer)
    is_ordinary = "tokenizer.json" in read_directory(arguments.tokenizer).names
    return (TokenObjective if is_ordinary else CodeObjective)(arguments)


def check_token_options(arguments: PretrainArguments):
    """Raise `ValueError` for an option that has no meaning without a learned vocabulary."""
    defaults = type(arguments).__dataclass_fields__
    for name in _OF_CODES:
        value = getattr(arguments, name)
        if value != defaults[name].default and (name, value) != ("neighbour_steps", 0):
            raise ValueError(
                f"--{name.replace('_', '-')} {value} is about the codes of a learned vocabulary, and the tokenizer in "
                f"{arguments.tokenizer} has none. Leave the option out."
            )


def _without_adapters(model) -> VQDNAForMaskedLM:
    """The VQDNA model inside PEFT's wrapper, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model
