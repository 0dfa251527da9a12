"""An encoder that finds short patterns by convolution and relates them by attention: dilated residual convolutions,
then a stock ModernBERT.

Notation used for tensor shapes: b: batch, l: length (special tokens included), h: hidden size.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel, ModernBertModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutput

from .configuration_vqdna import VQDNAConvEncoderConfig
from .initialization_vqdna import VQDNAInitializationMixin


class VQDNAConvBlock(GradientCheckpointingLayer):
    """Normalization of each position by itself, activation, dilated convolution, and the way around them.

    The convolution is a linear layer over the positions that it sees, laid side by side: as fast as a convolution,
    and adapters take it for what it is.
    """

    def __init__(self, hidden_size: int, kernel_size: int, dilation: int, eps: float):
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.norm = nn.LayerNorm(hidden_size, eps=eps)
        self.convolution = nn.Linear(kernel_size * hidden_size, hidden_size)

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        update = F.gelu(self.norm(hidden_states))
        if mask is not None:  # zeros outside the sequence, padding or not
            update = update * mask.unsqueeze(-1).to(update.dtype)
        length, reach = update.shape[1], self.kernel_size // 2 * self.dilation
        update = F.pad(update, (0, 0, reach, reach))  # [b, reach + l + reach, h]
        starts = range(0, 2 * reach + 1, self.dilation)
        seen = torch.cat([update[:, start : start + length] for start in starts], dim=-1)  # [b, l, kernel * h]
        return hidden_states + self.convolution(seen)


class VQDNAConvEncoderModel(VQDNAInitializationMixin, ModernBertModel):
    """Embeddings or ids in, one vector per position out."""

    config_class = VQDNAConvEncoderConfig

    def __init__(self, config: VQDNAConvEncoderConfig):
        super().__init__(config)
        width, eps = config.hidden_size, config.norm_eps
        self.conv_norm = nn.LayerNorm(width, eps=eps)
        self.conv_blocks = nn.ModuleList(
            VQDNAConvBlock(width, config.conv_kernel_size, dilation, eps) for dilation in config.conv_dilations
        )
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        if isinstance(module, VQDNAConvBlock):
            # as much variance out as in: what ModernBERT's layers take would leave these almost silent
            layer = module.convolution
            init.normal_(layer.weight, mean=0.0, std=layer.in_features**-0.5)
            init.zeros_(layer.bias)

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        **kwargs,
    ) -> BaseModelOutput:
        """Convolutions, then [`ModernBertModel`].

        Args:
            input_ids, inputs_embeds: ids of shape `(b, l)` or their vectors of shape `(b, l, h)`, one of them.
            attention_mask (`torch.Tensor` of shape `(b, l)`, *optional*): 0 at padding.
            position_ids, kwargs: as `ModernBertModel` takes them.

        Raises:
            ValueError: both inputs or none of them, or an attention mask of another shape.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give one of input_ids and inputs_embeds, not both and not none.")
        if inputs_embeds is None:
            inputs_embeds = self.embeddings.tok_embeddings(input_ids)
        if attention_mask is not None and (isinstance(attention_mask, dict) or attention_mask.ndim != 2):
            raise ValueError(
                "The convolutions need an attention_mask of shape (batch_size, length), 0 at padding, to know where a "
                "sequence ends; masks made for the attention layers do not say so."
            )
        hidden_states = self.conv_norm(inputs_embeds)
        for block in self.conv_blocks:
            hidden_states = block(hidden_states, attention_mask)
        return super().forward(None, attention_mask, position_ids, hidden_states, **kwargs)


def encoder_of(config: PreTrainedConfig) -> PreTrainedModel:
    """A new encoder of a configuration: this module's, or a stock one without its pooler."""
    if config.model_type == VQDNAConvEncoderConfig.model_type:
        return VQDNAConvEncoderModel._from_config(config)
    encoder = AutoModel.from_config(config)
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # BERT's: nothing reads it, so that no gradient would ever reach it
    return encoder


AutoModel.register(VQDNAConvEncoderConfig, VQDNAConvEncoderModel, exist_ok=True)

__all__ = ["VQDNAConvBlock", "VQDNAConvEncoderModel", "encoder_of"]
