"""The VQDNA codec (https://huggingface.co/papers/2405.10812, Section 3): bases -> latents -> codes -> bases.

Notation used for tensor shapes: b: batch, l: length in bases, d: hidden_size, c: codebook_dim, n: levels.

A code is a function of `config.receptive_field` bases (41 for the paper's sizes), so that a long sequence may be
encoded in pieces with `config.halo` more bases on either side, and gives exactly the codes of the whole.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import ModelOutput, can_return_tuple, logging

from .checks_vqdna import check_label_shape, check_nucleotide_ids, is_recorded
from .compiled_vqdna import (
    CodeTable,
    ExactNetwork,
    compute_table,
    load_table_beside,
    passes_of,
    refuse_wide,
    save_table_beside,
    verify_table,
)
from .configuration_vqdna import VQDNACodecConfig
from .encoding_vqdna import PackedEncoder, encode_sequences
from .files_vqdna import share_weights
from .initialization_vqdna import VQDNAInitializationMixin, float32_weights
from .nucleotides_vqdna import (
    CLS_NUCLEOTIDE_ID,
    MASK_NUCLEOTIDE_ID,
    PAD_NUCLEOTIDE_ID,
    UNKNOWN_ID,
    check_nucleotides,
    context_keys,
    mask_bases,
    sequence_mask,
)
from .quantization_vqdna import (
    QUANTIZERS,
    EMACodebook,
    exact_float32,
    full_precision,
    level_codes,
    product_codes,
)
from .repository_vqdna import COMPILED_FORMAT_VERSION, FORMAT_VERSION, register_downloaded


# bases of a piece of a long sequence
CHUNK_LENGTH = 8_192
# bases of a batch, and of a row at the least, that the modules encode at a time
PIECE, MIN_PIECE = 32_768, 1_024

# what decides a code; the rest of the configuration is about training and the decoder
_CODE_FIELDS = (
    "quantizer",
    "codebook_sizes",
    "codebook_dim",
    "hidden_size",
    "stem_channels",
    "stem_kernel_size",
    "kernel_size",
    "num_hidden_layers",
    "expansion",
    "quantized_layers",
    "layer_norm_eps",
)


@dataclass
class VQDNACodecOutput(ModelOutput):
    """
    Args:
        loss (`torch.FloatTensor` of shape `()`): Eq. 3 or 8 with EMA codebooks: reconstruction + beta * commitment.
        reconstruction_loss (`torch.FloatTensor` of shape `()`): Cross-entropy over the known bases, in nats.
        commitment_loss (`torch.FloatTensor` of shape `()`): Before beta; a mean over positions and dimensions.
        accuracy (`torch.FloatTensor` of shape `()`): Fraction of the known bases reconstructed.
        hidden_accuracy (`torch.FloatTensor` of shape `()`): The same over the masked bases of the input; nan if none.
        word_loss (`torch.FloatTensor` of shape `()`): Cross-entropy of the bases that each code names by itself, in
            nats a base, before its weight; `None` where `config.word_radius` is 0.
        codes (`torch.LongTensor` of shape `(batch_size, length, levels)`): One code per base and level.
        logits (`torch.FloatTensor` of shape `(batch_size, length, 4)`): Reconstruction, in the order A, C, G, T.
        counts (`list[torch.FloatTensor]`): How often each code of each level was used.
        perplexity, usage (`torch.FloatTensor` of shape `(levels,)`): exp entropy and fraction of the codes used.
    """

    loss: torch.FloatTensor | None = None
    reconstruction_loss: torch.FloatTensor | None = None
    commitment_loss: torch.FloatTensor | None = None
    accuracy: torch.FloatTensor | None = None
    hidden_accuracy: torch.FloatTensor | None = None
    word_loss: torch.FloatTensor | None = None
    codes: torch.LongTensor | None = None
    logits: torch.FloatTensor | None = None
    counts: list[torch.FloatTensor] | None = None
    perplexity: torch.FloatTensor | None = None
    usage: torch.FloatTensor | None = None


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
        self.quantized_layers = list(config.quantized_layers)
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
            nn.Linear(config.hidden_size, config.codebook_dim) if narrow else nn.Identity()
            for _ in self.quantized_layers
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
        return [
            projection(outputs[layer]) for layer, projection in zip(self.quantized_layers, self.latent_projections)
        ]


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


class VQDNACodecPreTrainedModel(VQDNAInitializationMixin, PreTrainedModel):
    """Weight initialization and the capability sheet of the codec."""

    config_class = VQDNACodecConfig
    base_model_prefix = "codec"
    main_input_name = "nucleotide_ids"
    supports_gradient_checkpointing = True
    _no_split_modules = ["VQDNACodecBlock"]
    # it has no attention, and must not be what refuses an implementation to the encoder beside it
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # float32 codes are the same for every batch size, thread count and layout; bf16 flips some
    # subtle: models that hold a codec inherit these patterns, so that none may fit a part of theirs; and one for the
    # whole codebook would turn its counter of steps into float32 as well
    _keep_in_fp32_modules_strict = [
        *("codebooks.*.embedding", "codebooks.*.embedding_sum", "codebooks.*.cluster_size"),
        *("encoder.stem", "encoder.stem_norm", "encoder.stem_projection"),
        *("encoder.blocks", "encoder.latent_projections"),
        *("decoder.latent_projection", "decoder.blocks"),
        *("decoder.head", "decoder.head_norm", "decoder.head_projection", "word_head"),
    ]
    # a forward that swallowed `num_items_in_batch` would make a Trainer scale the loss by the accumulation steps
    accepts_loss_kwargs = False

    def __init__(self, config: VQDNACodecConfig):
        config.validate_architecture()  # `from_pretrained` sets fields after the configuration was checked
        super().__init__(config)

    def save_pretrained(self, save_directory, *args, **kwargs):
        """As `PreTrainedModel.save_pretrained`; a table of codes is saved beside the weights."""
        register_downloaded(self)
        self.describe_table()
        super().save_pretrained(save_directory, *args, **kwargs)
        save_table_beside(self, save_directory, kwargs)
        share_weights(save_directory)

    def _upload_modified_files(self, working_dir, *args, **kwargs):
        save_table_beside(self, working_dir, {})  # in time to be uploaded with the rest
        return super()._upload_modified_files(working_dir, *args, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As `PreTrainedModel.from_pretrained`, with the table of codes where there is one.

        Raises:
            ValueError: the table is missing, was edited or cut short, or belongs to other weights.
        """
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        load_table_beside(loaded[0] if isinstance(loaded, tuple) else loaded, pretrained_model_name_or_path, kwargs)
        return loaded

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, VQDNACodecDepthwiseConv):
            init.normal_(module.weight, mean=0.0, std=module.weight.shape[-1] ** -0.5)
            init.zeros_(module.bias)
        elif isinstance(module, (nn.Linear, nn.Conv1d)):
            fan_in = module.weight[0].numel()
            init.normal_(module.weight, mean=0.0, std=fan_in**-0.5)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, EMACodebook):
            init.normal_(module.embedding, mean=0.0, std=1.0)
            init.copy_(module.embedding_sum, module.embedding)  # with sizes of 1, S / N' is e
            init.ones_(module.cluster_size)
            init.zeros_(module.num_updates)


class VQDNACodecModel(VQDNACodecPreTrainedModel):
    """The VQ-VAE whose codebooks are the vocabulary: `encode` gives codes, `decode` gives bases back.

    Example:

    ```python
    >>> import torch
    >>> from vqdna_hf import VQDNACodecConfig, VQDNACodecModel

    >>> model = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")).eval()
    >>> model.encode(torch.tensor([[0, 1, 2, 3]])).shape
    torch.Size([1, 4, 2])
    ```
    """

    def __init__(self, config: VQDNACodecConfig):
        super().__init__(config)
        with float32_weights():
            self.encoder = VQDNACodecEncoder(config)
            self.quantizer = QUANTIZERS[config.quantizer](
                config.codebook_sizes,
                config.codebook_dim,
                config.ema_decay,
                config.ema_epsilon,
                config.restart_threshold,
            )
            self.decoder = VQDNACodecDecoder(config)
            self.word_head = VQDNACodecWordHead(config) if config.word_radius else None
        self._forget_table()
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        nucleotide_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        **kwargs,
    ) -> VQDNACodecOutput:
        """Encode, quantize, decode, and (in training mode) let the codebooks follow.

        Args:
            nucleotide_ids (`torch.LongTensor` of shape `(batch_size, length)`): 0-3 A, C, G, T; 4 unknown; 5 masked;
                6 [CLS], 7 [SEP], 8 [PAD]: outside the sequence.
            attention_mask (`torch.Tensor` of shape `(batch_size, length)`, *optional*): 0 for positions outside.
            labels (`torch.LongTensor` of shape `(batch_size, length)`, *optional*): the bases to reconstruct, anything
                but 0-3 ignored; `nucleotide_ids` when not given, of which training masks `config.mask_ratio`.

        Returns:
            [`VQDNACodecOutput`], or a tuple if `return_dict=False`.

        Raises:
            ValueError: an id that means nothing, or shapes that do not fit.
        """
        check_nucleotide_ids(self, nucleotide_ids, attention_mask)
        check_label_shape("labels", nucleotide_ids if labels is None else labels, nucleotide_ids.shape)
        if labels is None:
            labels = nucleotide_ids
            if self.training and self.config.mask_ratio > 0:
                nucleotide_ids = mask_bases(nucleotide_ids, self.config.mask_ratio)
        mask = sequence_mask(nucleotide_ids, attention_mask)
        latents = self.encoder(nucleotide_ids, mask.unsqueeze(-1))
        keys = context_keys(nucleotide_ids, mask, self.config.halo) if self.training else None
        # the codes of unknown bases are never used ([UNK] stands in their place), so that they must not train any
        quantized = self.quantizer(latents, mask & (nucleotide_ids != UNKNOWN_ID), keys)
        logits = full_precision(self.decoder(quantized.quantized, mask.unsqueeze(-1)))
        known = mask & (labels >= 0) & (labels < 4)
        # subtle: ignored, not picked out: how many there are is no number that an exported graph may hold
        targets = labels.long().masked_fill(~known, -100)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum") / known.sum().clamp(min=1)
        right = logits.argmax(dim=-1) == labels
        masked = known & (nucleotide_ids == MASK_NUCLEOTIDE_ID)
        total = loss + self.config.commitment_weight * quantized.commitment_loss
        word_loss = None
        if self.word_head is not None:
            word_loss = self.word_head.loss(quantized.quantized, targets)
            total = total + self.config.word_weight * word_loss
        return VQDNACodecOutput(
            loss=total,
            reconstruction_loss=loss.detach(),
            commitment_loss=quantized.commitment_loss.detach(),
            accuracy=(right & known).sum() / known.sum(),
            hidden_accuracy=(right & masked).sum() / masked.sum(),
            word_loss=None if word_loss is None else word_loss.detach(),
            codes=quantized.codes,
            logits=logits,
            counts=quantized.counts,
            perplexity=quantized.perplexity,
            usage=quantized.usage,
        )

    @torch.compiler.disable  # a compiled network adds up in another order, and a last bit decides a code
    def latents(
        self, nucleotide_ids: torch.LongTensor, attention_mask: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """Z of every quantized layer, each of shape `(batch_size, length, codebook_dim)`, in true float32.

        Args:
            nucleotide_ids, attention_mask: as for `forward`.

        Raises:
            ValueError: an id that means nothing, or shapes that do not fit.
        """
        check_nucleotide_ids(self, nucleotide_ids, attention_mask)
        return self._latents(nucleotide_ids, sequence_mask(nucleotide_ids, attention_mask))

    def _latents(self, nucleotide_ids: torch.LongTensor, mask: torch.BoolTensor) -> list[torch.Tensor]:
        with exact_float32(nucleotide_ids.device.type):
            return self.encoder(nucleotide_ids, mask.unsqueeze(-1))

    @torch.compiler.disable
    @torch.no_grad()
    def encode(self, nucleotide_ids: torch.LongTensor, attention_mask: torch.Tensor | None = None) -> torch.LongTensor:
        """The code of every base and level, looked up, or in true float32, so that they do not depend on the batch.

        Args:
            nucleotide_ids, attention_mask: as for `forward`.

        Returns:
            `torch.LongTensor` of shape `(batch_size, length, levels)`; 0 at positions outside the sequence.

        Raises:
            ValueError: an id that means nothing, or shapes that do not fit.
        """
        check_nucleotide_ids(self, nucleotide_ids, attention_mask)
        mask = sequence_mask(nucleotide_ids, attention_mask)
        if (table := self.table) is not None and not is_recorded():
            return level_codes(self._look_up(table, nucleotide_ids, mask), self.config.codebook_sizes)
        return self._encode_by_network(nucleotide_ids, mask) * mask.unsqueeze(-1)

    @torch.compiler.disable
    @torch.no_grad()
    def encode_products(
        self, nucleotide_ids: torch.LongTensor, attention_mask: torch.Tensor | None = None
    ) -> torch.LongTensor:
        """As `encode`, but one number for each base: the codes of its levels as a mixed-radix number; `(b, l)`."""
        check_nucleotide_ids(self, nucleotide_ids, attention_mask)
        mask = sequence_mask(nucleotide_ids, attention_mask)
        if (table := self.table) is not None and not is_recorded():
            return self._look_up(table, nucleotide_ids, mask)
        return product_codes(self._encode_by_network(nucleotide_ids, mask), self.config.codebook_sizes) * mask

    def _encode_by_network(self, nucleotide_ids: torch.LongTensor, mask: torch.BoolTensor) -> torch.LongTensor:
        """Codes by the network; whatever stands outside the sequences."""
        if is_recorded():  # the whole at once: a graph would hold the number of pieces
            return self.quantizer.quantize(self._latents(nucleotide_ids, mask))[0]
        if not mask.numel():
            return torch.zeros(*mask.shape, self.config.num_levels, dtype=torch.long, device=mask.device)
        if nucleotide_ids.device.type == "cpu" and (encoder := PackedEncoder(self)).in_tiles:
            rows = nucleotide_ids.masked_fill(~mask, PAD_NUCLEOTIDE_ID).to(torch.uint8).numpy()
            return torch.from_numpy(np.stack(encode_sequences(encoder, list(rows), self.device, CHUNK_LENGTH)))
        return self._encode_in_pieces(nucleotide_ids, mask)

    def _encode_in_pieces(self, nucleotide_ids: torch.LongTensor, mask: torch.BoolTensor) -> torch.LongTensor:
        """Codes by the network's own modules; memory grows with a piece, not with the length of a row."""
        rows, length = mask.shape
        halo, size, pieces = self.config.halo, max(PIECE // max(rows, 1), MIN_PIECE), []
        for start in range(0, length, size):
            left, stop = max(0, start - halo), start + size
            latents = self._latents(nucleotide_ids[:, left : stop + halo], mask[:, left : stop + halo])
            found, _, _ = self.quantizer.quantize(latents)
            pieces.append(found[:, start - left : stop - left])
        return torch.cat(pieces, dim=1)

    @torch.no_grad()
    def decode(self, codes: torch.LongTensor, mask: torch.Tensor | None = None) -> torch.FloatTensor:
        """The de-tokenizer: codes back to the logits of bases (Eq. 2); their argmax is the sequence.

        Args:
            codes (`torch.LongTensor` of shape `(batch_size, length, levels)`).
            mask (`torch.BoolTensor` of shape `(batch_size, length)`, *optional*): false outside the sequence.

        Returns:
            `torch.FloatTensor` of shape `(batch_size, length, 4)`.
        """
        mask = torch.ones(codes.shape[:2], dtype=torch.bool, device=codes.device) if mask is None else mask.bool()
        with exact_float32(codes.device.type):
            return self.decoder(self.quantizer.lookup(codes), mask.unsqueeze(-1))

    @torch.compiler.disable
    @torch.no_grad()
    def encode_sequences(
        self,
        sequences: list[np.ndarray],
        batch_bases: int | None = None,
        chunk_length: int = CHUNK_LENGTH,
        precision: str = "float32",
        network=None,
    ) -> list[np.ndarray]:
        """Encode sequences of any lengths: in packed batches, without padding, the long ones in pieces with a halo.

        Args:
            sequences: nucleotide ids 0-5 (6-8 are outside), each of shape `(length,)`.
            batch_bases: bases of one network pass; chosen from the device if `None`.
            chunk_length: bases of a piece before its halo; pieces give exactly the codes of the whole.
            precision: see [`PackedEncoder`]; `bfloat16` gives some other codes.
            network: see [`PackedEncoder`].

        Returns:
            One `np.ndarray` of `int64` and shape `(length, levels)` per sequence.

        Raises:
            ValueError: no such precision, pieces of no base, or an id that means nothing; names it and its place.
        """
        _check_chunk_length(chunk_length)
        # other values would be turned into bytes, 256 into the base A
        sequences = [
            check_nucleotides(ids, f"sequence {number}", PAD_NUCLEOTIDE_ID) for number, ids in enumerate(sequences)
        ]
        if self.table is not None and sequences:
            lengths = np.array([len(ids) for ids in sequences])
            joined = np.concatenate(sequences, dtype=np.uint8, casting="unsafe")
            codes = level_codes(self.encode_joined(joined, lengths), self.config.codebook_sizes)
            return np.split(codes, np.cumsum(lengths)[:-1])
        encoder = PackedEncoder(self, precision, network, batch_bases)
        return encode_sequences(encoder, sequences, self.device, chunk_length)

    @torch.compiler.disable
    def encode_joined(self, joined: np.ndarray, lengths: np.ndarray, **options) -> np.ndarray:
        """Product codes (see `encode_products`) of sequences that stand end to end.

        Args:
            joined (`np.ndarray` of `uint8`, shape `(bases,)`): nucleotide ids 0-5 (6-8 are outside); not checked.
            lengths (`np.ndarray` of integers, shape `(sequences,)`): bases of each sequence.
            options: of `encode_sequences`, for a codec without a table.

        Returns:
            `np.ndarray` of `int64`, shape `(bases,)`; of a codec with a table 0 outside the sequences.
        """
        table = self.table
        if table is None:
            codes = self.encode_sequences(np.split(joined, np.cumsum(lengths)[:-1]), **options)
            return product_codes(np.concatenate(codes), self.config.codebook_sizes)
        inside = joined < CLS_NUCLEOTIDE_ID
        if inside.all():
            return self._look_up_joined(table, joined, lengths)
        places = np.flatnonzero(inside)
        rows = np.repeat(np.arange(len(lengths)), lengths)[places]
        firsts = np.flatnonzero((np.diff(places, prepend=-2) != 1) | (np.diff(rows, prepend=-1) != 0))
        products = np.zeros(len(joined), dtype=np.int64)
        products[places] = self._look_up_joined(table, joined[places], np.diff(firsts, append=len(places)))
        return products

    def decode_sequence(self, codes: np.ndarray, inside: np.ndarray, chunk_length: int = CHUNK_LENGTH) -> np.ndarray:
        """Decode one sequence of any length, in pieces with a halo.

        Args:
            codes (`np.ndarray` of `int64`, shape `(length, levels)`), inside (`np.ndarray` of `bool`, shape
                `(length,)`): false where there is no code.

        Returns:
            `np.ndarray` of `uint8`, shape `(length,)`: the bases, 0-3.

        Raises:
            ValueError: pieces of no base.
        """
        _check_chunk_length(chunk_length)
        halo, bases = self.config.halo, np.zeros(len(codes), dtype=np.uint8)
        for start in range(0, len(codes), chunk_length):
            left, end = max(0, start - halo), min(start + chunk_length, len(codes))
            piece = torch.from_numpy(codes[left : end + halo]).to(self.device).unsqueeze(0)
            mask = torch.from_numpy(inside[left : end + halo]).to(self.device).unsqueeze(0)
            decoded = self.decode(piece, mask).argmax(dim=-1)[0].cpu().numpy()
            bases[start:end] = decoded[start - left : end - left]
        return bases

    # the table of codes

    def compile_vocabulary(self, verify: bool = True, progress: bool = False) -> CodeTable:
        """Write down the codes of all windows in a table, from which codes are looked up from now on.

        The network passes over every window once in float64, which takes about a minute for a receptive field of 9.

        Args:
            verify: pass over all of them once more, in other batches, and compare.
            progress: show a progress bar.

        Raises:
            ValueError: there are too many windows: says how many, and what narrows the receptive field.
            RuntimeError: the network has given two codes for one window, which rounding in float64 does not explain.
        """
        refuse_wide(self.config)
        self._forget_table()
        network, fingerprint, total = ExactNetwork(self), self.fingerprint(), passes_of(self.config)
        options = {"unit": "base", "unit_scale": True, "disable": not progress}
        with logging.tqdm(total=total, desc="Compiling the vocabulary", **options) as bar:
            table = compute_table(network, fingerprint, bar.update)
        if verify:
            with logging.tqdm(total=total, desc="Verifying the table", **options) as bar:
                wrong = verify_table(table, network, bar.update)
            if wrong:
                raise RuntimeError(
                    f"{wrong:,} of {len(table.codes):,} windows got another code when they were computed again: two "
                    "codes are equally near up to rounding. Are codes of a codebook the same?"
                )
        self._set_table(table, network)
        return table

    @property
    def table(self) -> CodeTable | None:
        """The table of codes; `None` without one, while the codec or its encoder trains, and once its weights are no
        longer those that the table was made from.
        """
        return None if self.training or self.encoder.training else self._valid_table()

    @table.setter
    def table(self, table: CodeTable | None):
        if table is None:
            self._forget_table()
            return
        if (found := self.fingerprint()) != table.fingerprint:
            raise ValueError(f"The table is of the vocabulary {table.fingerprint}, but the codec is {found}.")
        self._set_table(table)

    def copy_from(self, other: "VQDNACodecModel"):
        """Take over weights and table of a codec of the same sizes.

        Raises:
            RuntimeError: the sizes differ.
        """
        self.load_state_dict(other.state_dict())
        self.table = other._valid_table()

    def describe_table(self) -> VQDNACodecConfig:
        """Let the configuration say whether there is a table; returns it."""
        self.config.compiled = self._valid_table() is not None
        version = COMPILED_FORMAT_VERSION if self.config.compiled else FORMAT_VERSION
        self.config.format_version = version
        return self.config

    def _set_table(self, table: CodeTable, network: ExactNetwork | None = None):
        self._forget_table()
        # subtle: not by assignment, which would make a part of this module of the network
        self.__dict__.update(_table=table, _exact=network, _checked=(self._content(), True))

    def _forget_table(self):
        self.__dict__.update(_table=None, _exact=None, _checked=(None, False))

    def __getstate__(self) -> dict:
        """Without the network in float64, which every process makes where it needs it."""
        return {**self.__dict__, "_exact": None}

    def _valid_table(self) -> CodeTable | None:
        """The table, unless the weights have moved since it was made."""
        if self._table is None:
            return None
        content = self._content()
        if content is None:  # of weights that are not there, none can have moved
            return self._table
        if content != self._checked[0]:
            self._checked = (content, self.fingerprint() == self._table.fingerprint)
        return self._table if self._checked[1] else None

    @torch.no_grad()
    def _content(self) -> int | None:
        """A number that changes with any value that decides a code: exact integer sums, the same on every device.

        Cheap enough to be asked for at every call: what changes weights leaves no other trace that could be relied on
        (an adapter is merged through `.data`, which counts no version). `None` of weights that are not there, but are
        brought in for each call.
        """
        tensors, modules = [book.embedding for book in self.quantizer.codebooks], [self.encoder]
        while modules:  # three times as fast as `parameters()`
            module = modules.pop()
            tensors += [value for value in module._parameters.values() if value is not None]
            modules += module._modules.values()
        if any(value.device.type == "meta" for value in tensors):
            return None
        if hasattr(tensors[-1], "full_tensor"):  # of a sharded model
            tensors = [value.full_tensor() if hasattr(value, "full_tensor") else value for value in tensors]
        values = torch.cat([value.flatten() for value in tensors])
        bits = F.pad(values, (0, -len(values) % 2)).view(torch.int64)
        numbers = _odd_numbers(len(bits), bits.device)
        # subtle: mixed before they are summed, or signs of two weights that change together could cancel
        bits = bits * numbers
        bits = bits ^ ((bits >> 32) & 0xFFFFFFFF)
        return int((bits * numbers).sum())

    def _look_up(self, table: CodeTable, nucleotide_ids: torch.Tensor, mask: torch.BoolTensor) -> torch.LongTensor:
        """Product codes of a batch, `(b, l)`; 0 outside the sequences."""
        products, missing = table.look_up_batch(nucleotide_ids, mask)
        rows = missing.any(dim=1).nonzero().squeeze(1)
        if len(rows):
            inputs = nucleotide_ids.masked_fill(~mask, PAD_NUCLEOTIDE_ID)[rows].to("cpu", torch.uint8).numpy()
            found = self.encode_joined(inputs.reshape(-1), np.full(len(inputs), inputs.shape[1]))
            products[rows] = torch.from_numpy(found.reshape(inputs.shape)).to(products.device)
        return products

    def _look_up_joined(self, table: CodeTable, joined: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        products, missing = table.look_up_joined(joined, lengths)
        products = products.astype(np.int64)
        if missing is not None:
            if self._exact is None:
                self.__dict__["_exact"] = ExactNetwork(self)
            self._exact.fill(products, missing, joined, lengths)
        return products

    def _apply(self, fn, recurse: bool = True):
        """Move as every module does, but stay in float32: 16-bit weights would be another vocabulary."""

        def move(tensor: torch.Tensor) -> torch.Tensor:
            moved = fn(tensor)
            half = moved.dtype in (torch.float16, torch.bfloat16)
            return tensor.to(moved.device) if half else moved

        return super()._apply(move, recurse)

    def fingerprint(self) -> str:
        """A hash of everything that decides a code: the encoder's and codebooks' float32 values, and the sizes.

        Returns:
            32 hexadecimal digits, the same for the same vocabulary on any machine.
        """
        digest = hashlib.sha256(json.dumps([getattr(self.config, field) for field in _CODE_FIELDS]).encode())
        tensors = {f"encoder.{name}": value for name, value in self.encoder.state_dict().items()}
        tensors |= {f"codebook.{n}": book.embedding for n, book in enumerate(self.quantizer.codebooks)}
        for name in sorted(tensors):
            digest.update(name.encode())
            values = tensors[name].detach()
            values = values.full_tensor() if hasattr(values, "full_tensor") else values  # of a sharded model
            values = values.to("cpu", torch.float32).contiguous().numpy()
            digest.update(values.astype("<f4", copy=False).tobytes())
        return digest.hexdigest()[:32]


@lru_cache(maxsize=4)
def _odd_numbers(count: int, device: torch.device) -> torch.Tensor:
    """Fixed odd weights, by which no changed bit is lost, in no order, so that swapped values show."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randint(2**62, (count,), generator=generator) * 2 + 1).to(device)


def _check_chunk_length(chunk_length: int):
    # a negative one would cut a sequence into no pieces at all, and leave every code 0
    if chunk_length < 1:
        raise ValueError(f"chunk_length={chunk_length} must be at least 1 base; leave it out for the default.")


__all__ = ["VQDNACodecModel", "VQDNACodecOutput", "VQDNACodecPreTrainedModel"]
