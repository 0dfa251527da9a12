"""VQDNA models (https://huggingface.co/papers/2405.10812, Sections 3 and 4): the frozen vocabulary, a projection, a
stock transformers encoder, and heads for masked language modelling and downstream tasks.

Notation used for tensor shapes: b: batch, l: length (special tokens included), n: levels, h: hidden size.
"""

import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import ModernBertConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput, TokenClassifierOutput
from transformers.utils import ModelOutput, can_return_tuple, logging

from .adapters_vqdna import VQDNAAdapterMixin
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
from .compiled_vqdna import load_table_beside, save_table_beside
from .configuration_vqdna import NUM_SPECIAL_TOKENS, VQDNAConfig
from .files_vqdna import share_weights
from .initialization_vqdna import VQDNAInitializationMixin
from .modeling_conv_vqdna import encoder_of
from .modeling_vqdna_codec import VQDNACodecModel
from .nucleotides_vqdna import (
    base_mask,
    fill_padding,
    nucleotides_to_special_ids,
    reverse_complement_batch,
    sequence_mask,
)
from .quantization_vqdna import level_codes, product_codes
from .repository_vqdna import register_downloaded


if TYPE_CHECKING:
    # subtle: transformers collects the files of a repository by looking for such lines, and takes the pipelines along
    from .pipelines_vqdna import VQDNAFillMaskPipeline  # noqa: F401

logger = logging.get_logger(__name__)

# positions of a row that an encoder of local layers only reads at a time, without gradients
ENCODER_PIECE = 32_768

# weights of the other heads, which a model opened with one head leaves in the file without a word
_MASKED_HEAD = [r"^head\.", r"^level_decoder\.", r"^base_decoder\."]
_CLASSIFIER = [r"^classifier\."]

POOLING_PIECE = 16_384  # positions that are pooled at a time
HEAD_ROWS = 128  # the heads run on a multiple of so many positions


@dataclass
class VQDNAMaskedLMOutput(ModelOutput):
    """
    Args:
        loss (`torch.FloatTensor` of shape `()`): Mean over levels of the cross-entropy, plus the weighted base loss.
        logits (`torch.FloatTensor` of shape `(batch_size, length, sum of codebook_sizes)`): The levels, concatenated:
            `vqdna_hf.metrics.MaskedLMMetrics` makes ids of them. With `masked_positions_only`, of shape `(labelled,
            sum of codebook_sizes)`: see [`VQDNAForMaskedLM.forward`].
        base_logits (`torch.FloatTensor` of shape `(batch_size, length, 4)`): In the order A, C, G, T. With
            `masked_positions_only`, of shape `(labelled, 4)`: the same positions as `logits`.
        level_losses (`torch.FloatTensor` of shape `(levels,)`): Cross-entropy of each level, in nats.
        base_loss (`torch.FloatTensor` of shape `()`): Cross-entropy of the base head, in nats.
        hidden_states, attentions: As the encoder returns them.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    base_logits: torch.FloatTensor | None = None
    level_losses: torch.FloatTensor | None = None
    base_loss: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None

    def __setitem__(self, key: str, value):
        # transformers' own fill-mask pipeline sets them, and then takes `logits` for those of token ids
        if key == "input_ids":
            raise ValueError(
                "transformers' FillMaskPipeline cannot read a VQDNA model, whose logits are of level codes: take "
                'pipeline("fill-mask", model=..., tokenizer=...) with vqdna_hf imported, or VQDNAFillMaskPipeline, '
                "which answer in bases."
            )
        super().__setitem__(key, value)

    def __getitem__(self, key):
        # subtle: a Trainer that smooths labels takes them away from the model, and reads these logits as if there were
        # one for each id; that it is about to do so shows nowhere but here
        if key == "logits" and not torch.compiler.is_compiling():
            reader = sys._getframe(1).f_locals.get("self")
            if type(reader).__name__ == "LabelSmoother":
                raise ValueError(
                    f"label_smoothing_factor={getattr(reader, 'epsilon', '?')} needs one logit for each id, but a "
                    "VQDNA masked language model predicts the codes of each level (`logits` holds the levels side by "
                    "side). Train with label_smoothing_factor=0."
                )
        return super().__getitem__(key)


def pack_codes(codes: torch.Tensor, codebook_sizes: list[int]) -> torch.Tensor:
    """Level codes of shape `(..., n)` to code ids of shape `(...)`: a mixed-radix number behind the special tokens.

    Example: codes (3, 5) of levels of 8 and 16 -> `5 + 3 * 16 + 5` = 58
    """
    return product_codes(codes, codebook_sizes) + NUM_SPECIAL_TOKENS


def unpack_codes(ids: torch.Tensor, codebook_sizes: list[int]) -> torch.Tensor:
    """The inverse of `pack_codes`; special tokens give codes of 0."""
    return level_codes((ids - NUM_SPECIAL_TOKENS).clamp(min=0), codebook_sizes)


class VQDNAProjection(nn.Linear):
    """Code vectors to the width of the encoder: a linear layer with an initialization of its own."""


class VQDNAPredictionHead(nn.Module):
    """Dense layer, activation, LayerNorm: what BERT puts before its output layer."""

    def __init__(self, hidden_size: int, eps: float = 1e-5):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=eps)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.norm(F.gelu(self.dense(hidden_states)))


def masked_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the labelled positions; 0, not nan, when there is none."""
    chosen = labels >= 0
    return F.cross_entropy(logits[chosen].float(), labels[chosen], reduction="sum") / chosen.sum().clamp(min=1)


def row_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """`masked_cross_entropy` of logits most of which count: it picks none out, and waits for no device.

    Args:
        logits (`torch.FloatTensor` of shape `(..., classes)`), labels (`torch.LongTensor` of shape `(...)`): negative
            ones are ignored.
    """
    labels = labels.flatten().clamp(min=-1)
    total = F.cross_entropy(logits.flatten(0, -2).float(), labels, ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)


def renamed_argument(kwargs: dict, old: str, new: str, value):
    """What an argument is: `value`, or what came under its older name, which is taken out of `kwargs`, with a warning.

    No argument of a `forward` but `labels` may have "label" in its name: a `Trainer` waits for every such argument
    before it evaluates.

    Raises:
        ValueError: both names were given.
    """
    if old not in kwargs:
        return value
    if value is not None and value is not False:
        raise ValueError(f"`{old}` is the older name of `{new}`: give one of them, not both.")
    warnings.warn(f"`{old}` is called `{new}` now, and its older name will be removed.", FutureWarning, stacklevel=3)
    return kwargs.pop(old)


def labelled_positions(
    labels: torch.Tensor | None, base_targets: torch.Tensor | None, shape: torch.Size | None = None
) -> torch.Tensor | None:
    """Where a batch has a label of either kind: places in the flattened `(b, l)`, rising; `None` without labels.

    Raises:
        ValueError: labels of another shape than the batch's `shape`, which would fall on other positions.
    """
    for name, value in (("labels", labels), ("base_targets", base_targets)):
        if value is not None and shape is not None:
            check_label_shape(name, value, shape)
    chosen = None if labels is None else labels >= NUM_SPECIAL_TOKENS
    if base_targets is not None:
        chosen = base_targets >= 0 if chosen is None else chosen | (base_targets >= 0)
    return None if chosen is None else chosen.flatten().nonzero().squeeze(-1)


def whole_blocks(rows: torch.Tensor) -> torch.Tensor:
    """Rows `(n, d)` with zeros below them, up to a whole number of blocks of `HEAD_ROWS`.

    Every batch has another number of labels, and a CPU's library keeps kernels for each shape that it has met: without
    this they grow to gigabytes under bfloat16.
    """
    return F.pad(rows, (0, 0, 0, -len(rows) % HEAD_ROWS))


class VQDNAPooling(nn.Module):
    """One vector per sequence of the hidden states of its bases."""

    def __init__(self, kind: str, bins: int):
        super().__init__()
        self.kind, self.bins = kind, bins

    def output_size(self, hidden_size: int) -> int:
        """Width of the pooled vector."""
        return hidden_size * {"mean+max": 2, "bins": self.bins}.get(self.kind, 1)

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """
        Args:
            hidden_states (`torch.FloatTensor` of shape `(b, l, h)`), mask (`torch.BoolTensor` of shape `(b, l)`): true
                for the bases, which excludes padding, [CLS] and [SEP].
        """
        if self.kind == "cls":  # before the first base, which padding on the left moves
            first = (mask.long().argmax(dim=1) - 1).clamp(min=0)
            return hidden_states[torch.arange(first.shape[0], device=first.device), first]
        pooled = []
        if self.kind in ("mean", "mean+max"):
            pooled.append(_mean(hidden_states, mask))
        if self.kind in ("max", "mean+max"):
            pooled.append(_maxima(hidden_states, torch.where(mask, 0, -1), 1))
        if self.kind == "bins":
            places = (mask.cumsum(dim=1) - 1).clamp(min=0)
            bins = places * self.bins // mask.sum(dim=1, keepdim=True).clamp(min=1)
            pooled.append(_maxima(hidden_states, bins.masked_fill(~mask, -1), self.bins))
        return torch.cat(pooled, dim=-1)


def _mean(hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over the positions where the mask is true; `(b, h)`."""
    # subtle: split, not sliced: the gradient of every slice would be as long as the whole. And not as booleans, which
    # a graph in ONNX does not split everywhere
    inside = mask.unsqueeze(-1).to(hidden_states.dtype)
    pieces = zip(hidden_states.split(POOLING_PIECE, dim=1), inside.split(POOLING_PIECE, dim=1))
    wide = torch.promote_types(hidden_states.dtype, torch.float32)  # bfloat16 cannot count to a thousand
    total = sum((states * kept).sum(dim=1, dtype=wide) for states, kept in pieces)
    return (total / mask.sum(dim=1, keepdim=True).clamp(min=1)).to(hidden_states.dtype)


def _maxima(hidden_states: torch.Tensor, groups: torch.Tensor, number: int) -> torch.Tensor:
    """The maximum of each group of positions, concatenated; `(b, number * h)`. An empty group gives 0.

    Args:
        groups (`torch.LongTensor` of shape `(b, l)`): the group of each position, -1 for none.
    """
    if number > 1 and groups.shape[1] <= POOLING_PIECE:
        return _maxima_at_once(hidden_states, groups, number)
    pieces = list(zip(hidden_states.split(POOLING_PIECE, dim=1), groups.split(POOLING_PIECE, dim=1)))
    found = []
    for part in range(number):
        # a group is a run of positions: most pieces hold nothing of it
        maxima = [_piece_max(*piece, part, len(pieces) > 1) for piece in pieces if _holds(piece[1], part, pieces)]
        largest = torch.stack(maxima).amax(dim=0) if maxima else torch.zeros_like(hidden_states[:, 0])
        found.append(largest.masked_fill(~(groups == part).any(dim=1, keepdim=True), 0))
    return torch.cat(found, dim=-1)


def _maxima_at_once(hidden_states: torch.Tensor, groups: torch.Tensor, number: int) -> torch.Tensor:
    """As `_maxima`, in one pass over the positions however many groups there are."""
    outside = torch.where(groups >= 0, groups, number)  # one more group, for what belongs to none
    found = hidden_states.new_full((groups.shape[0], number + 1, hidden_states.shape[-1]), _lowest(hidden_states))
    index = outside.unsqueeze(-1).expand_as(hidden_states)
    found = found.scatter_reduce(1, index, hidden_states, "amax")[:, :number]
    filled = (outside.unsqueeze(-1) == torch.arange(number, device=groups.device)).any(dim=1)
    return found.masked_fill(~filled.unsqueeze(-1), 0).flatten(1)


def _lowest(hidden_states: torch.Tensor) -> float:
    return torch.finfo(hidden_states.dtype).min


def _holds(groups: torch.Tensor, part: int, pieces: list) -> bool:
    return len(pieces) == 1 or bool((groups == part).any())


def _piece_max(states: torch.Tensor, groups: torch.Tensor, part: int, again: bool) -> torch.Tensor:
    """The maximum of a group within a piece; what its gradient needs is kept, or made `again`."""
    if again and torch.is_grad_enabled():
        return checkpoint(_masked_max, states, groups == part, use_reentrant=False, preserve_rng_state=False)
    return _masked_max(states, groups == part)


def _masked_max(hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return hidden_states.masked_fill(~mask.unsqueeze(-1), _lowest(hidden_states)).amax(dim=1)


class VQDNAClassificationHead(nn.Module):
    """Dense layer, activation, dropout, output layer."""

    def __init__(self, input_size: int, hidden_size: int, num_labels: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(input_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(hidden_size, num_labels)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        return self.out_proj(self.dropout(F.gelu(self.dense(self.dropout(pooled)))))


def _rows(logits: torch.FloatTensor, chosen: torch.LongTensor) -> torch.FloatTensor:
    """The logits of the labelled positions, `(labelled, classes)`, of all positions' or of theirs alone."""
    return logits if logits.ndim == 2 else logits.flatten(0, 1).index_select(0, chosen)


class VQDNAPreTrainedModel(VQDNAAdapterMixin, VQDNAInitializationMixin, PreTrainedModel):
    """Weight initialization, loading and the capability sheet."""

    config_class = VQDNAConfig
    base_model_prefix = "vqdna"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _no_split_modules = ["VQDNACodecModel"]  # and those of the encoder, which transformers adds

    def __init__(self, config: VQDNAConfig):
        config.validate_architecture()  # `from_pretrained` sets fields after the configuration was checked
        super().__init__(config)

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, VQDNAProjection):
            # one unit of variance per code vector whatever its width
            init.normal_(module.weight, mean=0.0, std=module.in_features**-0.5)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As `PreTrainedModel.from_pretrained`; checks that the vocabulary is the one the model was saved with.

        Raises:
            ValueError: a file of weights cannot be read, or the loaded codec does not have
                `config.vocabulary_fingerprint`.
        """
        try:
            loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        except PermissionError as error:
            raise ValueError(
                f"The weights of {pretrained_model_name_or_path} cannot be read: permission denied. Ask their owner "
                "to let you read them."
            ) from error
        except SafetensorError as error:
            raise ValueError(
                f"The weights of {pretrained_model_name_or_path} cannot be read ({error}): the file is truncated or "
                "damaged. Copy or download it again."
            ) from error
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        load_table_beside(model.codec, pretrained_model_name_or_path, kwargs)
        # transformers puts new parameters, all of them trainable, in the place of those that `__init__` froze
        model.base_model.set_codec_frozen(model.config.freeze_codec)
        expected = model.config.vocabulary_fingerprint
        if expected is None or model.device.type == "meta":
            return loaded
        found = model.fingerprint()
        if found != expected:
            raise ValueError(
                f"{pretrained_model_name_or_path} was saved with the vocabulary {expected}, but its weights hold "
                f"{found}: the checkpoint is damaged or mixed from two. Save the model again from its source."
            )
        return loaded

    def save_pretrained(self, save_directory, *args, **kwargs):
        """As `PreTrainedModel.save_pretrained`; records the fingerprint of the vocabulary in the configuration."""
        self.config.vocabulary_fingerprint = self.fingerprint()
        register_downloaded(self)
        self.config.codec_config = self.codec.describe_table()
        super().save_pretrained(save_directory, *args, **kwargs)
        save_table_beside(self.codec, save_directory, kwargs)
        share_weights(save_directory)

    def _upload_modified_files(self, working_dir, *args, **kwargs):
        save_table_beside(self.codec, working_dir, {})  # in time to be uploaded with the rest
        return super()._upload_modified_files(working_dir, *args, **kwargs)

    @property
    def dtype(self) -> torch.dtype:
        """The kind of numbers the model computes with; its codec, whose parameters come first, is always float32."""
        return self.base_model.projection.weight.dtype

    @property
    def codec(self) -> VQDNACodecModel:
        """The network that makes the codes."""
        return self.base_model._modules["codec"]

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args, **kwargs) -> nn.Module:
        """The vocabulary is learned: asking for its own size changes nothing, any other size is refused.

        Raises:
            ValueError: another size than `config.vocab_size`.
        """
        if new_num_tokens not in (None, self.config.vocab_size):
            raise ValueError(
                f"The vocabulary has {self.config.vocab_size} ids, one per combination of codes, and cannot be "
                f"resized to {new_num_tokens}: train a codec with other `codebook_sizes` instead."
            )
        return self.get_input_embeddings()

    def fingerprint(self) -> str:
        """The fingerprint of the vocabulary the model holds; see `VQDNACodecModel.fingerprint`."""
        return self.codec.fingerprint()

    def check_tokenizer(self, tokenizer):
        """Make sure that a tokenizer's ids mean to this model what they mean to the tokenizer.

        `model(input_ids)` alone cannot know where its ids come from.

        Raises:
            ValueError: names both vocabularies.
        """
        theirs, ours = getattr(tokenizer, "vocabulary_fingerprint", None), self.fingerprint()
        if theirs != ours:
            raise ValueError(
                f"The tokenizer's vocabulary is {theirs}, but the model was made for {ours}: its ids would be read as "
                "other codes. Load the tokenizer that was saved with the model, or pass `nucleotide_ids`."
            )


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
        products = self.codec.encode_products(nucleotide_ids)
        special = nucleotides_to_special_ids(nucleotide_ids)
        return torch.where(special >= 0, special, products + NUM_SPECIAL_TOKENS)

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
                0-3 A, C, G, T; 4 unknown; 5 masked; 6 [CLS]; 7 [SEP]; 8 [PAD]. The codec runs on the model's device.
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
        nucleotide_ids = fill_padding(nucleotide_ids, attention_mask)
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
    """Predicts the masked codes, one head per level, and the masked bases.

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
                at masked positions, -100 elsewhere (special tokens are ignored too).
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
                other = reverse_complement_batch(fill_padding(nucleotide_ids, attention_mask))
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
