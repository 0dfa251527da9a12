"""The small control: a convolutional network on one-hot bases, about 100,000 parameters, no pre-training.

A learned vocabulary under a large encoder has to beat it to have earned its size. It reads the ids of a tokenizer that
gives one id per base, and has the pooling and the head of the VQDNA models, so that the two differ in what is below.

Notation used for tensor shapes: b: batch, l: length (special tokens included), h: hidden size.
"""

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import can_return_tuple

from ..modeling.configuration_vqdna import NUM_SPECIAL_TOKENS, POOLINGS, SPECIAL_TOKENS
from ..modeling.fields_vqdna import (
    MAX_BINS,
    MAX_LAYERS,
    MAX_WIDTH,
    PROBLEM_TYPES,
    LabelledConfigMixin,
    choice,
    fraction,
    integer,
    odd,
    positive,
)
from ..modeling.modeling_vqdna import VQDNAClassificationHead, VQDNAPooling
from ..modeling.nucleotides_vqdna import BASES, base_mask


# there is no [CLS] to pool: special tokens are outside the sequence here
CNN_POOLINGS = tuple(kind for kind in POOLINGS if kind != "cls")

# the best on dev of both sets tried: of five settings on mouse/3 and two on prom/prom_core_tata, one seed each, with
# rates of 1e-3 to 1e-2, decays of 0.01 and 0.1, and batches of 32 and 64
CNN_TRAINING = {"learning_rate": 1e-3, "weight_decay": 0.1, "batch_size": 32, "epochs": 20}

# every pair of neighbours at least once: a tokenizer that merges or looks around gives itself away on it
_PROBE = "AACAGATCCGCTGGTTA"


@strict
class OneHotCNNConfig(LabelledConfigMixin, PreTrainedConfig):
    r"""
    Configuration of [`OneHotCNNForSequenceClassification`].

    Args:
        base_token_ids (`list[int]`, *optional*, defaults to `[5, 6, 7, 8]`):
            Ids of A, C, G and T. [PAD], [CLS] and [SEP] are 0, 2 and 3; every other id is a base that is not known.
        hidden_size (`int`, *optional*, defaults to 64): Channels.
        stem_kernel_size, kernel_size (`int`): Odd widths, in bases, of the first and of the residual convolutions.
        dilations (`list[int]`, *optional*, defaults to `[1, 2, 4]`): One residual convolution per entry.
        pooling, pooling_bins, classifier_dropout: As in [`VQDNAConfig`], without `cls`.

    Example:

    ```python
    >>> from vqdna_hf.baselines.cnn import OneHotCNNConfig, OneHotCNNForSequenceClassification

    >>> config = OneHotCNNConfig(num_labels=2, pooling="bins")
    >>> config.receptive_field
    53
    >>> model = OneHotCNNForSequenceClassification(config)
    ```
    """

    model_type = "vqdna_one_hot_cnn"

    base_token_ids: list[int] | tuple[int, ...] = (5, 6, 7, 8)
    hidden_size: int = integer("hidden_size", 64, 1, MAX_WIDTH)
    stem_kernel_size: int = odd("stem_kernel_size", 11)
    kernel_size: int = odd("kernel_size", 7)
    dilations: list[int] | tuple[int, ...] = (1, 2, 4)
    layer_norm_eps: float = positive("layer_norm_eps", 1e-5)
    pooling: str = choice("pooling", "mean+max", CNN_POOLINGS)
    pooling_bins: int = integer("pooling_bins", 8, 1, MAX_BINS)
    classifier_dropout: float | int = fraction("classifier_dropout", 0.1)
    problem_type: str | None = choice("problem_type", None, PROBLEM_TYPES)
    pad_token_id: int | None = choice("pad_token_id", 0, (0,))

    def __post_init__(self, **kwargs):
        self.base_token_ids, self.dilations = list(self.base_token_ids), list(self.dilations)
        super().__post_init__(**kwargs)

    @classmethod
    def from_tokenizer(cls, tokenizer, **overrides) -> "OneHotCNNConfig":
        """A configuration that reads the ids of a tokenizer.

        Raises:
            ValueError: the tokenizer does not give one id per base, whatever its neighbours, or its special tokens
                have other ids than [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4.
        """
        ids = [tokenizer(base, add_special_tokens=False)["input_ids"] for base in BASES]
        found = tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
        if any(len(own) != 1 for own in ids) or found != [ids[BASES.index(base)][0] for base in _PROBE]:
            raise ValueError(
                f"{type(tokenizer).__name__} is not a character tokenizer: it gives {ids} for the bases A, C, G, T "
                f"and {found} for {_PROBE}. A one-hot network needs one id per base, whatever its neighbours."
            )
        for place, token in enumerate(SPECIAL_TOKENS):
            name = f"{token.strip('[]').lower()}_token_id"
            if getattr(tokenizer, name, None) not in (None, place):
                raise ValueError(
                    f"The tokenizer's {name} is {getattr(tokenizer, name)}, but the network takes {place} as {token}. "
                    f"Build the tokenizer with the first ids {', '.join(SPECIAL_TOKENS)}."
                )
        return cls(**{"base_token_ids": [own[0] for own in ids], **overrides})

    def validate_architecture(self):
        """Check the rules of single fields and between them.

        Raises:
            ValueError (inside `StrictDataclassClassValidationError`): names the value and what it must be.
        """
        ids = self.base_token_ids
        if len(ids) != len(BASES) or len(set(ids)) != len(ids) or min(ids) < NUM_SPECIAL_TOKENS:
            raise ValueError(
                f"base_token_ids={ids} must be four different ids, of A, C, G and T, from {NUM_SPECIAL_TOKENS} on: "
                f"0-{NUM_SPECIAL_TOKENS - 1} are {', '.join(SPECIAL_TOKENS)}."
            )
        if any(dilation < 1 for dilation in self.dilations) or len(self.dilations) > MAX_LAYERS:
            raise ValueError(f"dilations={self.dilations!r:.100} must all be at least 1, and at most {MAX_LAYERS}.")
        self.check_labels()

    @property
    def receptive_field(self) -> int:
        """Bases that decide the state of one position, before pooling."""
        return self.stem_kernel_size + (self.kernel_size - 1) * sum(self.dilations)


class OneHotCNNConvolution(nn.Conv1d):
    """A convolution that keeps the length and sees zeros outside the sequence, padding or not."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1):
        super().__init__(
            in_channels, out_channels, kernel_size, dilation=dilation, padding=dilation * (kernel_size // 2)
        )

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """
        Args:
            hidden_states (`torch.FloatTensor` of shape `(b, l, channels)`), mask (`torch.BoolTensor` of shape
                `(b, l)`): true for the bases.
        """
        inside = hidden_states.masked_fill(~mask.unsqueeze(-1), 0.0)
        return super().forward(inside.transpose(1, 2)).transpose(1, 2)


class OneHotCNNBlock(nn.Module):
    """Normalization of each position by itself, activation, dilated convolution, and the way around them."""

    def __init__(self, hidden_size: int, kernel_size: int, dilation: int, eps: float):
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size, eps=eps)
        self.convolution = OneHotCNNConvolution(hidden_size, hidden_size, kernel_size, dilation)

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return hidden_states + self.convolution(F.gelu(self.norm(hidden_states)), mask)


class OneHotCNNForSequenceClassification(PreTrainedModel):
    """One prediction per sequence: single-label, multi-label or regression, as `config.problem_type` says.

    Special tokens count as outside the sequence, so that the prediction is the same with and without them. To average
    both strands, predict each and average the logits.
    """

    config_class = OneHotCNNConfig
    base_model_prefix = "one_hot_cnn"
    main_input_name = "input_ids"
    accepts_loss_kwargs = False

    def __init__(self, config: OneHotCNNConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        width, eps = config.hidden_size, config.layer_norm_eps
        self.stem = OneHotCNNConvolution(len(BASES), width, config.stem_kernel_size)
        self.blocks = nn.ModuleList(OneHotCNNBlock(width, config.kernel_size, d, eps) for d in config.dilations)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.pooling = VQDNAPooling(config.pooling, config.pooling_bins)
        pooled = self.pooling.output_size(width)
        self.classifier = VQDNAClassificationHead(pooled, width, config.num_labels, config.classifier_dropout)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, (nn.Conv1d, nn.Linear)):
            # as much variance out as in: 0.02, made for wide layers, would leave these almost silent
            init.normal_(module.weight, mean=0.0, std=module.weight[0].numel() ** -0.5)

    def one_hot(self, input_ids: torch.LongTensor) -> torch.FloatTensor:
        """Ids of shape `(b, l)` to one-hot vectors of shape `(b, l, 4)`; zeros for whatever is not a base."""
        channels = [input_ids == token_id for token_id in self.config.base_token_ids]
        return torch.stack(channels, dim=-1).to(self.stem.weight.dtype)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput:
        """Classify, or predict values.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch_size, length)`): ids of a character tokenizer.
            attention_mask (`torch.Tensor` of shape `(batch_size, length)`, *optional*): 0 at padding; taken from the
                [PAD] ids when not given.
            labels (`torch.Tensor`, *optional*): `(batch_size,)` of classes or values, or `(batch_size, num_labels)`.
            kwargs: what else a tokenizer or pipeline passes along, such as `token_type_ids`; ignored.

        Returns:
            `SequenceClassifierOutput` with `loss` and `logits` of shape `(batch_size, num_labels)`, or a tuple if
            `return_dict=False`.
        """
        mask = base_mask(input_ids, None, attention_mask)
        hidden_states = self.stem(self.one_hot(input_ids), mask)  # [b, l, h]
        for block in self.blocks:
            hidden_states = block(hidden_states, mask)
        logits = self.classifier(self.pooling(F.gelu(self.norm(hidden_states)), mask))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss, logits)


AutoConfig.register(OneHotCNNConfig.model_type, OneHotCNNConfig, exist_ok=True)
AutoModelForSequenceClassification.register(OneHotCNNConfig, OneHotCNNForSequenceClassification, exist_ok=True)

__all__ = ["CNN_POOLINGS", "CNN_TRAINING", "OneHotCNNConfig", "OneHotCNNForSequenceClassification"]
