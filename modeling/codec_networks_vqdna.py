"""The networks of the VQDNA codec: blocks, encoder, decoder, and the head that reads words from single codes.

Notation used for tensor shapes: b: batch, l: length in bases, d: hidden_size, c: codebook_dim.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_vqdna import VQDNACodecConfig
from .quantization_vqdna import full_precision


class VQDNACodecDepthwiseConv(nn.Module):
    """Depth-wise convolution of one base stride over `(b, l, d)`; `transposed` for the decoder's de-convolutions."""

    def __init__(self, channels: int, kernel_size: int, transposed: bool = False):
        super().__init__()
        self.transposed = transposed
        self.weight = nn.Parameter(torch.zeros(channels, 1, kernel_size))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        # at stride 1 a transposed convolution is a convolution with the kernel reversed
        weight = self.weight.flip(-1) if self.transposed else self.weight
        # subtle: a 2D convolution of height 1 keeps the channels last, several times faster than conv1d on CPU
        x = hidden_states.transpose(1, 2).unsqueeze(2)  # [b, d, 1, l]
        padding = (0, weight.shape[-1] // 2)
        x = F.conv2d(x, weight.unsqueeze(2), self.bias, padding=padding, groups=weight.shape[0])
        return x.squeeze(2).transpose(1, 2)


class VQDNACodecBlock(GradientCheckpointingLayer):
    """ConvNeXt block: depth-wise convolution, LayerNorm, two linear layers around a GELU, residual."""

    def __init__(self, dim: int, kernel_size: int, expansion: int, eps: float, transposed: bool = False):
        super().__init__()
        self.depthwise = VQDNACodecDepthwiseConv(dim, kernel_size, transposed)
        self.norm = nn.LayerNorm(dim, eps=eps)
        self.expand = nn.Linear(dim, expansion * dim)
        self.contract = nn.Linear(expansion * dim, dim)

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        # what lies outside the sequence must be zero before every convolution, or padding would change codes
        update = self.depthwise(hidden_states * mask)
        return hidden_states + self.contract(F.gelu(self.expand(self.norm(update))))


class VQDNACodecEncoder(nn.Module):
    """One-hot bases -> stem -> residual blocks; gives the latents of every quantized layer."""

    def __init__(self, config: VQDNACodecConfig):
        super().__init__()
        self.taps = list(config.quantized_layers)
        self.stem = nn.Conv1d(4, config.stem_channels, config.stem_kernel_size, padding=config.stem_kernel_size // 2)
        self.stem_norm = nn.LayerNorm(config.stem_channels, eps=config.layer_norm_eps)
        # the paper's stem has 256 channels and its blocks 384: a point-wise projection follows
        self.stem_projection = nn.Linear(config.stem_channels, config.hidden_size)
        self.blocks = nn.ModuleList(
            VQDNACodecBlock(config.hidden_size, config.kernel_size, config.expansion, config.layer_norm_eps)
            for _ in range(config.num_hidden_layers)
        )
        narrow = config.codebook_dim != config.hidden_size
        self.latent_projections = nn.ModuleList(
            nn.Linear(config.hidden_size, config.codebook_dim) if narrow else nn.Identity() for _ in self.taps
        )

    def forward(self, nucleotide_ids: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        dtype = self.stem_projection.weight.dtype
        bases = torch.arange(4, device=nucleotide_ids.device)
        one_hot = (nucleotide_ids.unsqueeze(-1) == bases).to(dtype) * mask.to(dtype)  # [b, l, 4]
        hidden_states = self.stem(one_hot.transpose(1, 2)).transpose(1, 2)  # [b, l, stem_channels]
        hidden_states = self.stem_projection(F.gelu(self.stem_norm(hidden_states)))  # [b, l, d]
        mask = mask.to(hidden_states.dtype)
        outputs = {0: hidden_states}
        for layer, block in enumerate(self.blocks, start=1):
            hidden_states = outputs[layer] = block(hidden_states, mask)
        return [projection(outputs[tap]) for tap, projection in zip(self.taps, self.latent_projections)]


class VQDNACodecDecoder(nn.Module):
    """The de-tokenizer, symmetrical to the encoder: quantized latents -> blocks -> logits of the four bases."""

    def __init__(self, config: VQDNACodecConfig):
        super().__init__()
        narrow = config.codebook_dim != config.hidden_size
        self.latent_projection = nn.Linear(config.codebook_dim, config.hidden_size) if narrow else nn.Identity()
        self.blocks = nn.ModuleList(
            VQDNACodecBlock(config.hidden_size, config.kernel_size, config.expansion, config.layer_norm_eps, True)
            for _ in range(config.num_hidden_layers)
        )
        self.head_projection = nn.Linear(config.hidden_size, config.stem_channels)
        self.head_norm = nn.LayerNorm(config.stem_channels, eps=config.layer_norm_eps)
        self.head = nn.Linear(config.stem_channels, 4)

    def forward(self, quantized: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden_states = self.latent_projection(quantized.to(self.head.weight.dtype))
        mask = mask.to(hidden_states.dtype)
        for block in self.blocks:
            hidden_states = block(hidden_states, mask)
        return self.head(F.gelu(self.head_norm(self.head_projection(hidden_states))))  # [b, l, 4]


class VQDNACodecWordHead(nn.Linear):
    """The vector of one code to the bases of the word around it: what the code knows without its neighbours."""

    def __init__(self, config: VQDNACodecConfig):
        self.radius = config.word_radius
        super().__init__(config.codebook_dim, 4 * (2 * config.word_radius + 1))

    def loss(self, quantized: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the places of a word, a mean over them and over the words around known bases.

        Args:
            quantized (`torch.FloatTensor` of shape `(b, l, c)`), labels (`torch.LongTensor` of shape `(b, l)`):
                anything but 0-3 is unknown, or outside the sequence; such places of a word count as 0.
        """
        width, length = 2 * self.radius + 1, labels.shape[1]
        padded = F.pad(labels.masked_fill((labels < 0) | (labels > 3), -1), (self.radius, self.radius), value=-1)
        words = torch.stack([padded[:, start : start + length] for start in range(width)], dim=-1)  # [b, l, width]
        known = words[..., self.radius] >= 0
        words = words.masked_fill(~known.unsqueeze(-1), -1)
        logits = full_precision(self(quantized.to(self.weight.dtype))).unflatten(-1, (width, 4))
        total = F.cross_entropy(logits.flatten(0, 2), words.flatten(), ignore_index=-1, reduction="sum")
        return total / (width * known.sum()).clamp(min=1)
