"""VQDNA models (https://huggingface.co/papers/2405.10812, Sections 3 and 4): the frozen vocabulary, a projection, a
stock transformers encoder, and heads for masked language modelling and downstream tasks.

Notation used for tensor shapes: b: batch, l: length (special tokens included), n: levels, h: hidden size.
"""

from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import ModernBertConfig
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput, TokenClassifierOutput
from transformers.utils import can_return_tuple, logging

from .attention_vqdna import BLOCK_LOCAL  # noqa: F401 (the import makes it known to transformers)
from .checks_vqdna import (
    check_base_targets,
    check_code_labels,
    check_input_ids,
    check_label_shape,
    check_layout,
    check_length,
    check_token_labels,
    wanted_outputs,
)
from .configuration_vqdna import NUM_SPECIAL_TOKENS, VQDNAConfig
from .heads_vqdna import (
    VQDNAClassificationHead,
    VQDNAPooling,
    VQDNAPredictionHead,
    VQDNAProjection,
    base_mask,
    labelled_positions,
    nucleotides_to_special_ids,
    pack_codes,
    renamed_argument,
    reverse_complement_batch,
    row_cross_entropy,
    unpack_codes,
    whole_blocks,
)
from .modeling_conv_vqdna import encoder_of
from .modeling_vqdna_codec import VQDNACodecModel
from .nucleotides_vqdna import hide_padding, sequence_mask
from .outputs_vqdna import VQDNAMaskedLMOutput
from .pretrained_vqdna import VQDNAPreTrainedModel


if TYPE_CHECKING:
    # subtle: transformers collects the files of a repository by looking for such lines, and takes the pipelines along
    from .pipelines_vqdna import VQDNAFillMaskPipeline  # noqa: F401

logger = logging.get_logger(__name__)

# positions of a row that an encoder of local layers only reads at a time, without gradients
ENCODER_PIECE = 32_768

# weights of the other heads, which a model opened with one head leaves in the file without a word
_MASKED_HEAD = [r"^head\.", r"^level_decoder\.", r"^base_decoder\."]
_CLASSIFIER = [r"^classifier\."]


class VQDNAModel(VQDNAPreTrainedModel):
    """Codes or bases in, one vector per position out: frozen code vectors -> projection -> a transformers encoder."""

    _keys_to_ignore_on_load_unexpected = [*_MASKED_HEAD, *_CLASSIFIER]

    def __init__(self, config: VQDNAConfig):
        super().__init__(config)
        self.codec = VQDNACodecModel(config.codec_config)
        self.codec.quantizer.freeze()
        self.input_norm = nn.LayerNorm(config.codec_config.codebook_dim)
        self.projection = VQDNAProjection(config.codec_config.codebook_dim, config.hidden_size)
        self.encoder = encoder_of(config.encoder_config)
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None  # BERT's: nothing reads it, so that no gradient would ever reach it
        self.set_codec_frozen(config.freeze_codec)
        self.post_init()

    def set_codec_frozen(self, frozen: bool):
        """Freeze the codec, or let gradients reach its encoder; codebooks and decoder never train here."""
        self.config.freeze_codec = frozen
        self._set_codec_mode()
        self.codec.requires_grad_(False)
        self.codec.encoder.requires_grad_(not frozen)
        # only the last level's latents carry the straight-through gradient
        for projection in self.codec.encoder.latent_projections[:-1]:
            projection.requires_grad_(False)

    def train(self, mode: bool = True):
        """Set training mode everywhere but in the codec, of which end-to-end training trains the encoder alone."""
        super().train(mode)
        self._set_codec_mode()
        return self

    def _set_codec_mode(self):
        self.codec.eval()  # the codebooks must not move
        # activation checkpointing asks each block whether it trains
        self.codec.encoder.train(self.training and not self.config.freeze_codec)

    def get_input_embeddings(self) -> nn.Module:
        """The table of the special tokens: the encoder's own. Code vectors are no table of the encoder."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module):
        self.encoder.set_input_embeddings(value)

    def encode_nucleotides(self, nucleotide_ids: torch.LongTensor) -> torch.LongTensor:
        """The `input_ids` of nucleotide ids (with or without [CLS], [SEP], [PAD]), both of shape `(b, l)`."""
        codes = self.codec.encode(nucleotide_ids)
        special = nucleotides_to_special_ids(nucleotide_ids)
        return torch.where(special >= 0, special, pack_codes(codes, self.config.codec_config.codebook_sizes))

    def code_vectors(self, codes: torch.LongTensor) -> torch.FloatTensor:
        """The frozen vectors of codes of shape `(b, l, n)`, levels combined as the quantizer does; `(b, l, c)`."""
        return self.codec.quantizer.lookup(codes)

    def embed(
        self, input_ids: torch.LongTensor | None, nucleotide_ids: torch.LongTensor | None
    ) -> tuple[torch.FloatTensor, torch.LongTensor]:
        """Inputs of the encoder, `(b, l, h)`, and the special token at each position or -1, `(b, l)`."""
        if nucleotide_ids is not None and not self.config.freeze_codec:
            special = nucleotides_to_special_ids(nucleotide_ids)
            vectors = self._straight_through_vectors(nucleotide_ids)
        else:
            if input_ids is None:
                input_ids = self.encode_nucleotides(nucleotide_ids)
            check_input_ids(self, input_ids, self.config.vocab_size)
            special = torch.where(input_ids < NUM_SPECIAL_TOKENS, input_ids, -1)
            vectors = self.code_vectors(unpack_codes(input_ids, self.config.codec_config.codebook_sizes))
        embeds = self.projection(self.input_norm(vectors.to(self.projection.weight.dtype)))
        table = self.get_input_embeddings()(special.clamp(min=0))
        return torch.where(special.unsqueeze(-1) >= 0, table.to(embeds.dtype), embeds), special

    def _straight_through_vectors(self, nucleotide_ids: torch.LongTensor) -> torch.FloatTensor:
        latents = self.codec.latents(nucleotide_ids)
        return self.codec.quantizer(latents, sequence_mask(nucleotide_ids, None)).quantized

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        nucleotide_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        **kwargs,
    ) -> BaseModelOutput:
        """Run the encoder.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch_size, length)`, *optional*): ids of the tokenizer.
            attention_mask (`torch.Tensor` of shape `(batch_size, length)`, *optional*): 0 at padding; taken from the
                [PAD] ids when not given.
            nucleotide_ids (`torch.LongTensor` of shape `(batch_size, length)`, *optional*): bases instead of ids:
                0-3 A, C, G, T; 4 unknown; 5 hidden; 6 [CLS]; 7 [SEP]; 8 [PAD]. The codec runs on the model's device.
            inputs_embeds (`torch.FloatTensor` of shape `(batch_size, length, hidden_size)`, *optional*): inputs of the
                encoder.
            kwargs: the encoder's. `output_hidden_states` may name layers, as an index or a list of them, where the
                encoder's own class takes that; the others are `None`.

        Returns:
            `BaseModelOutput` with `last_hidden_state` of shape `(batch_size, length, hidden_size)`.

        Raises:
            ValueError: not exactly one of the three inputs is given, ids or mask are of another shape, an id means
                nothing, the sequences are longer than the encoder's learned positions, or attentions are asked of an
                implementation that does not give them.
        """
        inputs = {"input_ids": input_ids, "nucleotide_ids": nucleotide_ids, "inputs_embeds": inputs_embeds}
        given = [name for name, value in inputs.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"Give exactly one of {', '.join(inputs)}, not {' and '.join(given) or 'none'}.")
        if inputs_embeds is None:
            check_layout(input_ids if nucleotide_ids is None else nucleotide_ids, attention_mask)
        nucleotide_ids = hide_padding(nucleotide_ids, attention_mask)
        if nucleotide_ids is not None and self.config.freeze_codec:
            input_ids, nucleotide_ids = self.encode_nucleotides(nucleotide_ids), None
        length = next(value.shape[1] for value in (input_ids, nucleotide_ids, inputs_embeds) if value is not None)
        check_length(self.encoder, length)
        kwargs |= wanted_outputs(self.config, self.encoder, kwargs)
        reach = self._reach(kwargs)
        if nucleotide_ids is not None or reach is None or length <= ENCODER_PIECE:
            return self._encode(input_ids, attention_mask, nucleotide_ids, inputs_embeds, **kwargs)
        states = []
        for start in range(0, length, ENCODER_PIECE):
            left, stop = max(0, start - reach), min(start + ENCODER_PIECE, length)
            given = (input_ids, attention_mask, None, inputs_embeds)
            given = (None if value is None else value[:, left : stop + reach] for value in given)
            places = torch.arange(left, min(stop + reach, length), device=self.projection.weight.device)
            piece = self._encode(*given, position_ids=places.unsqueeze(0), **kwargs).last_hidden_state
            states.append(piece[:, start - left : stop - left].clone())  # or the whole piece would stay in memory
        return BaseModelOutput(torch.cat(states, dim=1))

    def _encode(self, input_ids, attention_mask, nucleotide_ids, inputs_embeds, **kwargs) -> BaseModelOutput:
        if inputs_embeds is None:
            inputs_embeds, special = self.embed(input_ids, nucleotide_ids)
            if attention_mask is None:
                attention_mask = (special != self.config.pad_token_id).long()
        outputs = self.encoder(inputs_embeds=inputs_embeds, attention_mask=attention_mask, return_dict=True, **kwargs)
        return BaseModelOutput(outputs.last_hidden_state, outputs.hidden_states, outputs.attentions)

    def _reach(self, kwargs: dict) -> int | None:
        """How far, in positions, anything reaches through the encoder; `None` if it cannot run in pieces."""
        config = self.encoder.config
        if not isinstance(config, ModernBertConfig) or set(config.layer_types) != {"sliding_attention"}:
            return None
        if torch.is_grad_enabled() or self.training or torch.compiler.is_compiling():
            return None
        if kwargs["output_hidden_states"] or kwargs["output_attentions"] or "position_ids" in kwargs:
            return None
        return getattr(config, "halo", 0) + config.num_hidden_layers * config.sliding_window


class VQDNAForMaskedLM(VQDNAPreTrainedModel):
    """Predicts the hidden codes, one head per level, and the hidden bases.

    The levels' heads are independent, so that they give no probability of a base: the base head does.
    """

    _keys_to_ignore_on_load_unexpected = _CLASSIFIER

    def __init__(self, config: VQDNAConfig):
        super().__init__(config)
        self.vqdna = VQDNAModel(config)
        self.head = VQDNAPredictionHead(config.hidden_size)
        self.level_decoder = nn.Linear(config.hidden_size, sum(config.codec_config.codebook_sizes))
        self.base_decoder = nn.Linear(config.hidden_size, 4)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        nucleotide_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        base_targets: torch.LongTensor | None = None,
        masked_positions_only: bool = False,
        **kwargs,
    ) -> VQDNAMaskedLMOutput:
        """Predict codes and bases, at every position or where there is something to learn.

        Args:
            input_ids, attention_mask, nucleotide_ids, inputs_embeds: see [`VQDNAModel`].
            labels (`torch.LongTensor` of shape `(batch_size, length)`, *optional*): the code ids of the *clean* window
                at hidden positions, -100 elsewhere (special tokens are ignored too).
            base_targets (`torch.LongTensor` of shape `(batch_size, length)`, *optional*): its bases, 0-3, there.
            masked_positions_only (`bool`, *optional*, defaults to `False`): run the heads on those positions alone
                that have a label in `labels` or in `base_targets`. The losses are the same; `logits` and `base_logits`
                have one row for each such position, row by row of the batch and from left to right in each, the order
                of `logits[(labels >= 5) | (base_targets >= 0)]`. Without any labels it changes nothing.
            kwargs: `base_labels` and `only_labelled` are older names of `base_targets` and `masked_positions_only`.

        Returns:
            [`VQDNAMaskedLMOutput`], or a tuple if `return_dict=False`.

        Raises:
            ValueError: as [`VQDNAModel`], labels of another shape than the inputs, or that are no ids.
        """
        base_targets = renamed_argument(kwargs, "base_labels", "base_targets", base_targets)
        masked_positions_only = renamed_argument(
            kwargs, "only_labelled", "masked_positions_only", masked_positions_only
        )
        outputs = self.vqdna(input_ids, attention_mask, nucleotide_ids, inputs_embeds, return_dict=True, **kwargs)
        hidden_states = outputs.last_hidden_state
        chosen = labelled_positions(labels, base_targets, hidden_states.shape[:2])
        sparse = masked_positions_only and chosen is not None
        if sparse:
            hidden_states = whole_blocks(hidden_states.flatten(0, 1).index_select(0, chosen))  # [labelled and more, h]
        hidden_states = self.head(hidden_states)
        logits, base_logits = self.level_decoder(hidden_states), self.base_decoder(hidden_states)
        if sparse:
            logits, base_logits = logits[: chosen.numel()], base_logits[: chosen.numel()]
        level_losses = base_loss = None
        if labels is not None:
            check_code_labels(self, labels, self.config.vocab_size)
            level_losses = self.level_losses(_rows(logits, chosen), labels.flatten().index_select(0, chosen))
        if base_targets is not None:
            check_base_targets(self, base_targets)
            base_loss = row_cross_entropy(_rows(base_logits, chosen), base_targets.flatten().index_select(0, chosen))
        loss = None if level_losses is None else level_losses.mean()
        if base_loss is not None:
            weighted = self.config.base_loss_weight * base_loss
            loss = weighted if loss is None else loss + weighted
        return VQDNAMaskedLMOutput(
            loss=loss,
            logits=logits,
            base_logits=base_logits,
            level_losses=level_losses,
            base_loss=base_loss,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def level_losses(self, logits: torch.FloatTensor, labels: torch.LongTensor) -> torch.FloatTensor:
        """Cross-entropy of each level, of shape `(levels,)`.

        Args:
            logits (`torch.FloatTensor` of shape `(..., sum of codebook_sizes)`), labels (`torch.LongTensor` of shape
                `(...)`): special ids and -100 are ignored.
        """
        sizes = self.config.codec_config.codebook_sizes
        codes = unpack_codes(labels, sizes).masked_fill((labels < NUM_SPECIAL_TOKENS).unsqueeze(-1), -100)
        parts = logits.split(sizes, dim=-1)
        return torch.stack([row_cross_entropy(part, codes[..., n]) for n, part in enumerate(parts)])


def _rows(logits: torch.FloatTensor, chosen: torch.LongTensor) -> torch.FloatTensor:
    """The logits of the labelled positions, `(labelled, classes)`, of all positions' or of theirs alone."""
    return logits if logits.ndim == 2 else logits.flatten(0, 1).index_select(0, chosen)


class VQDNAForSequenceClassification(VQDNAPreTrainedModel):
    """One prediction per sequence: single-label, multi-label or regression, as `config.problem_type` says."""

    _keys_to_ignore_on_load_unexpected = _MASKED_HEAD
    adapter_fields = (
        "id2label",
        "label2id",
        "problem_type",
        "pooling",
        "pooling_bins",
        "classifier_dropout",
        "strand_average",
    )

    def __init__(self, config: VQDNAConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.vqdna = VQDNAModel(config)
        self.build_head()
        self.post_init()

    def build_head(self):
        """Make pooling and classifier as the configuration says."""
        config = self.config
        self.pooling = VQDNAPooling(config.pooling, config.pooling_bins)
        width = self.pooling.output_size(config.hidden_size)
        self.classifier = VQDNAClassificationHead(
            width, config.hidden_size, config.num_labels, config.classifier_dropout
        )

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        nucleotide_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput:
        """Classify, or predict values.

        Args:
            input_ids, attention_mask, nucleotide_ids, inputs_embeds: see [`VQDNAModel`].
            labels (`torch.Tensor`, *optional*): `(batch_size,)` of classes or values, or `(batch_size, num_labels)`.

        Returns:
            `SequenceClassifierOutput`, or a tuple if `return_dict=False`.
        """
        logits, outputs = self._logits(input_ids, attention_mask, nucleotide_ids, inputs_embeds, **kwargs)
        if self.config.strand_average and not self.training:
            if nucleotide_ids is None:
                logger.warning_once(
                    "strand_average needs `nucleotide_ids` (a code id does not say what the other strand reads); "
                    "predictions from other inputs are of one strand."
                )
            else:
                other = reverse_complement_batch(hide_padding(nucleotide_ids, attention_mask))
                logits = (logits + self._logits(None, attention_mask, other, None)[0]) / 2
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss, logits, outputs.hidden_states, outputs.attentions)

    def _logits(self, input_ids, attention_mask, nucleotide_ids, inputs_embeds, **kwargs):
        outputs = self.vqdna(input_ids, attention_mask, nucleotide_ids, inputs_embeds, return_dict=True, **kwargs)
        hidden_states = outputs.last_hidden_state
        mask = base_mask(input_ids, nucleotide_ids, attention_mask)
        if mask is None:
            mask = torch.ones(hidden_states.shape[:2], dtype=torch.bool, device=hidden_states.device)
        return self.classifier(self.pooling(hidden_states, mask)), outputs


class VQDNAForTokenClassification(VQDNAPreTrainedModel):
    """One prediction per base (and per special token, whose labels have to be -100)."""

    _keys_to_ignore_on_load_unexpected = _MASKED_HEAD
    adapter_fields = ("id2label", "label2id", "classifier_dropout")

    def __init__(self, config: VQDNAConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.vqdna = VQDNAModel(config)
        self.build_head()
        self.post_init()

    def build_head(self):
        """Make the classifier as the configuration says."""
        self.dropout = nn.Dropout(self.config.classifier_dropout)
        self.classifier = nn.Linear(self.config.hidden_size, self.config.num_labels)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        nucleotide_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        **kwargs,
    ) -> TokenClassifierOutput:
        """Classify every position.

        Args:
            input_ids, attention_mask, nucleotide_ids, inputs_embeds: see [`VQDNAModel`].
            labels (`torch.LongTensor` of shape `(batch_size, length)`, *optional*): classes; -100 is ignored, and has
                to stand at [CLS], [SEP] and [PAD]. `vqdna_hf.data.align_labels` makes them of labels of the bases.

        Returns:
            `TokenClassifierOutput`, or a tuple if `return_dict=False`.

        Raises:
            ValueError: as [`VQDNAModel`], labels of another shape than the inputs, or labels where there is no base.
        """
        outputs = self.vqdna(input_ids, attention_mask, nucleotide_ids, inputs_embeds, return_dict=True, **kwargs)
        logits = self.classifier(self.dropout(outputs.last_hidden_state))
        loss = None
        if labels is not None:
            check_label_shape("labels", labels, logits.shape[:2])
            inside = base_mask(input_ids, nucleotide_ids, attention_mask)
            check_token_labels(self, labels, inside, input_ids=input_ids, nucleotide_ids=nucleotide_ids)
            loss = self.loss_function(logits, labels, self.config)
        return TokenClassifierOutput(loss, logits, outputs.hidden_states, outputs.attentions)


__all__ = [
    "VQDNAForMaskedLM",
    "VQDNAForSequenceClassification",
    "VQDNAForTokenClassification",
    "VQDNAMaskedLMOutput",
    "VQDNAModel",
    "VQDNAPreTrainedModel",
]
