"""The same encoder and heads as VQDNA's, over an ordinary vocabulary: an embedding table in place of the code vectors.

A comparison of vocabularies with these models differs in the vocabulary alone. Importing `vqdna_hf.baselines`
registers them, so that `AutoModel` and its like load them.

Notation used for tensor shapes: b: batch, l: length in tokens (special ones included), v: vocabulary, h: hidden size.
"""

import copy

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput, SequenceClassifierOutput
from transformers.utils import can_return_tuple

from ..modeling.checks_vqdna import check_length, wanted_outputs
from ..modeling.configuration_vqdna import POOLINGS, EncoderSizesMixin, config_of_encoder, encoder_config_from_preset
from ..modeling.fields_vqdna import (
    MAX_BINS,
    PROBLEM_TYPES,
    LabelledConfigMixin,
    check_encoder_fields,
    choice,
    fraction,
    integer,
    positive,
)
from ..modeling.initialization_vqdna import VQDNAInitializationMixin
from ..modeling.modeling_conv_vqdna import encoder_of
from ..modeling.modeling_vqdna import (
    VQDNAClassificationHead,
    VQDNAPooling,
    VQDNAPredictionHead,
    masked_cross_entropy,
    renamed_argument,
    whole_blocks,
)


@strict
class TokenEncoderConfig(EncoderSizesMixin, LabelledConfigMixin, PreTrainedConfig):
    r"""
    Configuration of [`TokenEncoderModel`] and its heads.

    Args:
        encoder_config (`dict` or `PreTrainedConfig`, *optional*):
            Any encoder; its own embedding table is the vocabulary's. The `small` preset when not given.
        vocab_size (`int`, *optional*, defaults to 9): Tokens, the special ones included.
        pad_token_id, unk_token_id, cls_token_id, sep_token_id, mask_token_id (`int`): Ids of the special tokens.
        pooling, pooling_bins, classifier_dropout: See [`VQDNAConfig`].

    The encoder's configuration takes the vocabulary's size and special ids from here.
    """

    model_type = "vqdna_token_encoder"
    sub_configs = {"encoder_config": AutoConfig}

    encoder_config: dict | PreTrainedConfig | None = None
    vocab_size: int = integer("vocab_size", 9, 1, 2**31)
    pad_token_id: int | None = 0
    unk_token_id: int | None = 1
    cls_token_id: int | None = 2
    sep_token_id: int | None = 3
    mask_token_id: int | None = 4
    pooling: str = choice("pooling", "mean+max", POOLINGS)
    pooling_bins: int = integer("pooling_bins", 8, 1, MAX_BINS)
    classifier_dropout: float | int = fraction("classifier_dropout", 0.1)
    problem_type: str | None = choice("problem_type", None, PROBLEM_TYPES)
    initializer_range: float = positive("initializer_range", 0.02)
    # through a function of the model and not through transformers' list of tied weights
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        if self.encoder_config is None:
            self.encoder_config = encoder_config_from_preset("small")
        elif isinstance(self.encoder_config, dict):
            self.encoder_config = config_of_encoder(self.encoder_config)
        else:
            self.encoder_config = copy.deepcopy(self.encoder_config)  # the caller's stays as it is
        ids = {"bos_token_id": self.cls_token_id, "eos_token_id": self.sep_token_id}
        ids |= {name: getattr(self, name) for name in ("pad_token_id", "cls_token_id", "sep_token_id")}
        for name, value in {"vocab_size": self.vocab_size, **ids}.items():
            setattr(self.encoder_config, name, value)
        super().__post_init__(**kwargs)

    @classmethod
    def from_preset(cls, name: str, tokenizer, **overrides) -> "TokenEncoderConfig":
        """One of VQDNA's encoders (`paper`, `paper-bert`, `small`, `tiny`) over a tokenizer's vocabulary.

        Raises:
            ValueError: no preset has that name, or the tokenizer lacks a special token.
        """
        roles = ("pad", "unk", "cls", "sep", "mask")
        ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in roles}
        missing = [f"[{role.upper()}]" for role in roles if ids[f"{role}_token_id"] is None]
        if missing:
            raise ValueError(f"The tokenizer has no {', '.join(missing)}: set `pad_token`, `mask_token` and so on.")
        values = {"encoder_config": encoder_config_from_preset(name), "vocab_size": len(tokenizer), **ids}
        return cls(**values | overrides)

    def validate_architecture(self):
        """Check the rules that tie fields together.

        Raises:
            ValueError (inside `StrictDataclassClassValidationError`): names the value and the remedy.
        """
        self.check_labels()
        check_encoder_fields(vars(self.encoder_config))
        for name in ("pad_token_id", "unk_token_id", "cls_token_id", "sep_token_id", "mask_token_id"):
            value = getattr(self, name)
            if value is None or not 0 <= value < self.vocab_size:
                raise ValueError(f"{name}={value} is no id of a vocabulary of {self.vocab_size} tokens.")


class TokenEncoderPreTrainedModel(VQDNAInitializationMixin, PreTrainedModel):
    """Weight initialization, loading and the capability sheet."""

    config_class = TokenEncoderConfig
    base_model_prefix = "token_encoder"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _no_split_modules = ["ModernBertEncoderLayer", "BertLayer"]

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, TokenEncoderForMaskedLM):
            init.zeros_(module.decoder_bias)


class TokenEncoderModel(TokenEncoderPreTrainedModel):
    """Token ids in, one vector per token out."""

    # weights of a head, which a model opened without it leaves in the file without a word
    _keys_to_ignore_on_load_unexpected = [r"^head\.", r"^decoder_bias$", r"^classifier\."]

    def __init__(self, config: TokenEncoderConfig):
        super().__init__(config)
        self.encoder = encoder_of(config.encoder_config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The table of the vocabulary, which is the encoder's own."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module):
        self.encoder.set_input_embeddings(value)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        **kwargs,
    ) -> BaseModelOutput:
        """Run the encoder.

        Args:
            input_ids (`torch.LongTensor` of shape `(b, l)`, *optional*): ids of the tokenizer.
            attention_mask (`torch.Tensor` of shape `(b, l)`, *optional*): 0 at padding; taken from the [PAD] ids when
                not given.
            inputs_embeds (`torch.FloatTensor` of shape `(b, l, h)`, *optional*): vectors instead of ids.

        Returns:
            `BaseModelOutput` with `last_hidden_state` of shape `(b, l, h)`.

        Raises:
            ValueError: not exactly one of the two inputs is given, the sequences are longer than the encoder's learned
                positions, or attentions are asked of an implementation that does not give them.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give exactly one of input_ids and inputs_embeds.")
        if attention_mask is None and input_ids is not None:
            attention_mask = (input_ids != self.config.pad_token_id).long()
        check_length(self.encoder, (inputs_embeds if input_ids is None else input_ids).shape[1])
        inputs = {"input_ids": input_ids, "inputs_embeds": inputs_embeds, "attention_mask": attention_mask}
        kwargs |= wanted_outputs(self.config, self.encoder, kwargs)
        outputs = self.encoder(**inputs, return_dict=True, **kwargs)
        return BaseModelOutput(outputs.last_hidden_state, outputs.hidden_states, outputs.attentions)


class TokenEncoderForMaskedLM(TokenEncoderPreTrainedModel):
    """Predicts the masked tokens; the output layer's weights are the embedding table."""

    _keys_to_ignore_on_load_unexpected = [r"^classifier\."]

    def __init__(self, config: TokenEncoderConfig):
        super().__init__(config)
        self.token_encoder = TokenEncoderModel(config)
        self.head = VQDNAPredictionHead(config.hidden_size)
        self.decoder_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        masked_positions_only: bool = False,
        **kwargs,
    ) -> MaskedLMOutput:
        """Predict a token at every position.

        Args:
            input_ids, attention_mask, inputs_embeds: see [`TokenEncoderModel`].
            labels (`torch.LongTensor` of shape `(b, l)`, *optional*): ids at masked positions, -100 elsewhere.
            masked_positions_only: give logits of the labelled positions alone, in their order, `(labelled, v)`: at
                `(b, l, v)` they are most of a training step's memory.
            kwargs: `only_labelled` is the older name of `masked_positions_only`.

        Returns:
            `MaskedLMOutput`, `logits` of shape `(b, l, v)`, or a tuple if `return_dict=False`.
        """
        masked_positions_only = renamed_argument(
            kwargs, "only_labelled", "masked_positions_only", masked_positions_only
        )
        outputs = self.token_encoder(input_ids, attention_mask, inputs_embeds, return_dict=True, **kwargs)
        hidden_states = outputs.last_hidden_state
        sparse = masked_positions_only and labels is not None
        if sparse:
            chosen = labels >= 0
            hidden_states, labels = whole_blocks(hidden_states[chosen]), labels[chosen]
        table = self.get_input_embeddings().weight
        logits = F.linear(self.head(hidden_states), table, self.decoder_bias)
        if sparse:
            logits = logits[: len(labels)]
        loss = None if labels is None else masked_cross_entropy(logits, labels)
        return MaskedLMOutput(loss, logits, outputs.hidden_states, outputs.attentions)


class TokenEncoderForSequenceClassification(TokenEncoderPreTrainedModel):
    """One prediction per sequence: single-label, multi-label or regression, as `config.problem_type` says."""

    _keys_to_ignore_on_load_unexpected = [r"^head\.", r"^decoder_bias$"]

    def __init__(self, config: TokenEncoderConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.token_encoder = TokenEncoderModel(config)
        self.pooling = VQDNAPooling(config.pooling, config.pooling_bins)
        width = self.pooling.output_size(config.hidden_size)
        self.classifier = VQDNAClassificationHead(
            width, config.hidden_size, config.num_labels, config.classifier_dropout
        )
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput:
        """Classify, or predict values.

        Args:
            input_ids, attention_mask, inputs_embeds: see [`TokenEncoderModel`].
            labels (`torch.Tensor`, *optional*): `(b,)` of classes or values, or `(b, num_labels)`.

        Returns:
            `SequenceClassifierOutput`, or a tuple if `return_dict=False`.
        """
        outputs = self.token_encoder(input_ids, attention_mask, inputs_embeds, return_dict=True, **kwargs)
        hidden_states = outputs.last_hidden_state
        mask = torch.ones(hidden_states.shape[:2], dtype=torch.bool, device=hidden_states.device)
        if attention_mask is not None:
            mask &= attention_mask.bool()
        if input_ids is not None:  # [PAD], [CLS] and [SEP] are no part of the sequence
            for name in ("pad_token_id", "cls_token_id", "sep_token_id"):
                mask &= input_ids != getattr(self.config, name)
        logits = self.classifier(self.pooling(hidden_states, mask))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss, logits, outputs.hidden_states, outputs.attentions)
