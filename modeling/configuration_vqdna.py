"""Configurations of VQDNA (https://huggingface.co/papers/2405.10812): the codec, which learns the vocabulary, and the
encoder, which reads it. Every rule that ties two fields together is checked here, with both numbers in the message."""

import copy
import math

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, ModernBertConfig, PreTrainedConfig
from transformers.utils import logging

from .fields_vqdna import (
    MAX_BINS,
    MAX_LAYERS,
    MAX_WIDTH,
    PROBLEM_TYPES,
    LabelledConfigMixin,
    check_encoder_fields,
    choice,
    fraction,
    integer,
    not_negative,
    odd,
    positive,
)
from .repository_vqdna import FORMAT_VERSION, check_format, renew_references, without_references


logger = logging.get_logger(__name__)

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # ids 0-4; code ids start behind them
NUM_SPECIAL_TOKENS = len(SPECIAL_TOKENS)
QUANTIZERS = ("vq", "rq", "hrq")
MAX_CODES = 2**24  # of a level: of more, float32 could not count how often each is used
POOLINGS = ("mean", "max", "mean+max", "cls", "bins")

# The paper says beta = 0.5 for Eq. 3 and 0.9 for Eq. 8; `rq`, which it only draws (Fig. 4), has Eq. 3's form.
_DEFAULT_COMMITMENT = {"vq": 0.5, "rq": 0.5, "hrq": 0.9}

_COMPACT = {
    "hidden_size": 64,
    "codebook_dim": 128,
    "stem_channels": 64,
    "stem_kernel_size": 3,
    "kernel_size": 3,
    "num_hidden_layers": 3,
}
_COMPACT_LEVELS = {
    "hrq": {"quantizer": "hrq", "codebook_sizes": [128, 256]},
    "rq": {"quantizer": "rq", "codebook_sizes": [128, 256]},
    "vq": {"quantizer": "vq", "codebook_sizes": [512]},
}

CODEC_PRESETS = {
    # Section 3.3: K = 512, D = 384, 6 blocks
    "paper-vq": {},
    # "size 384" read as the base K of 2^n K: levels of 768 and 1536
    "paper-hrq": {"quantizer": "hrq", "codebook_sizes": [768, 1536]},
    # learns in minutes on a CPU; 32,768 product ids and a cheap nearest-code search
    "small": {
        "quantizer": "hrq",
        "codebook_sizes": [128, 256],
        "hidden_size": 64,
        "codebook_dim": 32,
        "stem_channels": 64,
    },
    # a receptive field of 9 bases, and of 11: few enough for a table of all windows (see compiled_vqdna)
    "compact": _COMPACT | _COMPACT_LEVELS["hrq"],
    "compact-vq": _COMPACT | _COMPACT_LEVELS["vq"],
    "compact-rq": _COMPACT | _COMPACT_LEVELS["rq"],
    "compact-11": _COMPACT | _COMPACT_LEVELS["hrq"] | {"stem_kernel_size": 5},
    "compact-11-vq": _COMPACT | _COMPACT_LEVELS["vq"] | {"stem_kernel_size": 5},
    "compact-11-rq": _COMPACT | _COMPACT_LEVELS["rq"] | {"stem_kernel_size": 5},
    # for tests
    "tiny": {
        "quantizer": "hrq",
        "codebook_sizes": [8, 16],
        "hidden_size": 16,
        "codebook_dim": 8,
        "stem_channels": 16,
        "num_hidden_layers": 2,
    },
}

ENCODER_PRESETS = {
    # BERT-base's size, 85M parameters, in ModernBERT's shape (rotary positions, any length)
    "paper": {"model_type": "modernbert"},
    # the paper's literal choice: BERT-base, learned positions for 512 bases, [CLS] and [SEP]
    "paper-bert": {"model_type": "bert", "max_position_embeddings": 514},
    # pre-trains and fine-tunes in minutes on a CPU
    "small": {
        "model_type": "modernbert",
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "local_attention": 64,
    },
    # convolutions find short patterns before one layer of attention relates them
    "small-conv": {
        "model_type": "vqdna_conv_encoder",
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "local_attention": 64,
        "conv_dilations": [1, 2, 4, 8],
        "conv_kernel_size": 7,
    },
    "tiny": {
        "model_type": "modernbert",
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "local_attention": 16,
        "max_position_embeddings": 512,
    },
}
# for long sequences: every layer sees a window only, half of `local_attention` to either side (n layers: n times
# that), where else every third layer sees the whole, in a time that grows with the square of the length
_LAYERS = {"paper": 12, "small": 2}
ENCODER_PRESETS |= {
    f"{name}-local": ENCODER_PRESETS[name] | {"layer_types": ["sliding_attention"] * layers}
    for name, layers in _LAYERS.items()
}


def _preset(presets: dict, name: str, kind: str) -> dict:
    if name not in presets:
        raise ValueError(f"There is no {kind} preset {name!r}; choose one of {', '.join(sorted(presets))}.")
    return copy.deepcopy(presets[name])


@strict
class VQDNAConvEncoderConfig(ModernBertConfig):
    r"""
    Configuration of [`VQDNAConvEncoderModel`]: a ModernBERT whose inputs pass through residual convolutions first.

    Args:
        conv_dilations (`list[int]`, *optional*, defaults to `[1, 2, 4]`): One residual convolution per entry.
        conv_kernel_size (`int`, *optional*, defaults to 7): Odd width of the convolutions, in positions.
        kwargs: those of `ModernBertConfig`.

    Example:

    ```python
    >>> from vqdna_hf import VQDNAConfig

    >>> config = VQDNAConfig.from_preset("small-conv")
    >>> config.encoder_config.halo
    45
    ```
    """

    model_type = "vqdna_conv_encoder"

    conv_dilations: list[int] | tuple[int, ...] = (1, 2, 4)
    conv_kernel_size: int = odd("conv_kernel_size", 7)

    def __post_init__(self, **kwargs):
        self.conv_dilations = list(self.conv_dilations)
        check_encoder_fields(vars(self) | kwargs, "")  # before every layer of it is listed
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Check the fields of the convolutions.

        Raises:
            ValueError (inside `StrictDataclassClassValidationError`): names the value and what it must be.
        """
        if any(dilation < 1 for dilation in self.conv_dilations):
            raise ValueError(f"conv_dilations={self.conv_dilations} must all be at least 1.")
        if len(self.conv_dilations) > MAX_LAYERS or sum(self.conv_dilations) > MAX_WIDTH:
            raise ValueError(
                f"conv_dilations={self.conv_dilations!r:.100} must be at most {MAX_LAYERS} numbers, {MAX_WIDTH} "
                "together."
            )
        check_encoder_fields(vars(self), "")
        super().validate_architecture()

    @property
    def halo(self) -> int:
        """Positions on either side of one that its convolutions see."""
        return self.conv_kernel_size // 2 * sum(self.conv_dilations)


@strict
class VQDNACodecConfig(PreTrainedConfig):
    r"""
    Configuration of [`VQDNACodecModel`], the VQ-VAE that learns the vocabulary. The defaults are the paper's `vq`.

    Args:
        quantizer (`str`, *optional*, defaults to `"vq"`):
            `"vq"` (Eq. 1-3), `"hrq"` (Eq. 5-8) or `"rq"`, the recursive baseline of Figure 4.
        codebook_sizes (`list[int]`, *optional*, defaults to `[512]`):
            Codes of each level. The paper's HRQ has 2^n K codes at level n (n = 1, 2): 768 and 1536 for K = 384.
        codebook_dim (`int`, *optional*):
            Width of a code vector; `hidden_size` (D) when not given.
        hidden_size (`int`, *optional*, defaults to 384): Width D of the residual blocks.
        stem_channels (`int`, *optional*, defaults to 256): Width of the stem, before the projection to D.
        stem_kernel_size, kernel_size (`int`): Odd widths, in bases, of the stem's and the blocks' convolutions.
        num_hidden_layers (`int`, *optional*, defaults to 6): Residual blocks of the encoder, and of the decoder.
        expansion (`int`, *optional*, defaults to 4): Width of a block's hidden layer, in units of D.
        quantized_layers (`list[int]`, *optional*):
            The encoder layers (1-based) that are quantized, the last one always among them. `hrq` spreads its levels
            evenly when not given: 3 and 6. `vq` and `rq` quantize the last layer only.
        commitment_weight (`float`, *optional*): beta of Eq. 3 and 8; 0.5 for `vq` and `rq`, 0.9 for `hrq`.
        ema_decay (`float`, *optional*, defaults to 0.99): alpha of Eq. 4. The paper gives no value.
        ema_epsilon (`float`, *optional*, defaults to 1e-5): Laplace smoothing of the cluster sizes.
        restart_threshold (`float`, *optional*, defaults to 0.05):
            A code used less than this fraction of the mean usage restarts from a latent of the batch; 0 turns it off.
        mask_ratio (`float`, *optional*, defaults to 0.0):
            Fraction of the input bases masked while training, all of them to be reconstructed ("denoising" vocabulary
            learning). The paper masks none.
        word_radius (`int`, *optional*, defaults to 0):
            If positive, the code vector of a base has to name, by a linear layer and while training, the bases up to
            this many places before and after it, itself included. The decoder sees the codes around and asks for no
            more than the base itself. Not in the paper.
        word_weight (`float`, *optional*, defaults to 1.0): Weight of that cross-entropy.
        compiled (`bool`, *optional*, defaults to `False`):
            Set on saving: whether the codes of all windows stand in a table beside the weights, which decides instead
            of the network; see [`VQDNACodecModel.compile_vocabulary`].
        format_version (`int`, *optional*): Version of the directory's format; a newer one than the code's is refused.

    Example:

    ```python
    >>> from vqdna_hf import VQDNACodecConfig, VQDNACodecModel

    >>> config = VQDNACodecConfig.from_preset("tiny")
    >>> model = VQDNACodecModel(config)
    >>> config.receptive_field
    17
    ```
    """

    model_type = "vqdna_codec"

    quantizer: str = choice("quantizer", "vq", QUANTIZERS)
    codebook_sizes: list[int] | tuple[int, ...] = (512,)
    codebook_dim: int | None = integer("codebook_dim", None, 1, MAX_WIDTH)
    hidden_size: int = integer("hidden_size", 384, 1, MAX_WIDTH)
    stem_channels: int = integer("stem_channels", 256, 1, MAX_WIDTH)
    stem_kernel_size: int = odd("stem_kernel_size", 5)
    kernel_size: int = odd("kernel_size", 7)
    num_hidden_layers: int = integer("num_hidden_layers", 6, 0, MAX_LAYERS)
    expansion: int = integer("expansion", 4, 1, 1_000)
    quantized_layers: list[int] | tuple[int, ...] | None = None
    layer_norm_eps: float = positive("layer_norm_eps", 1e-6)
    commitment_weight: float | int | None = not_negative("commitment_weight", None)
    ema_decay: float | int = fraction("ema_decay", 0.99)
    ema_epsilon: float = positive("ema_epsilon", 1e-5)
    restart_threshold: float | int = fraction("restart_threshold", 0.05)
    mask_ratio: float | int = fraction("mask_ratio", 0.0)
    word_radius: int = integer("word_radius", 0, 0, 1_000)
    word_weight: float | int = not_negative("word_weight", 1.0)
    initializer_range: float = positive("initializer_range", 0.02)
    compiled: bool = False
    format_version: int = integer("format_version", FORMAT_VERSION, 1, 2**31)

    def __post_init__(self, **kwargs):
        check_format(self.model_type, self.format_version)
        self.codebook_sizes = list(self.codebook_sizes)
        if self.codebook_dim is None:
            self.codebook_dim = self.hidden_size
        if self.commitment_weight is None:
            self.commitment_weight = _DEFAULT_COMMITMENT.get(self.quantizer, 0.5)
        if self.quantized_layers is None:
            levels = len(self.codebook_sizes) if self.quantizer == "hrq" else 1
            self.quantized_layers = [round(self.num_hidden_layers * (n + 1) / max(levels, 1)) for n in range(levels)]
        self.quantized_layers = list(self.quantized_layers)
        super().__post_init__(**without_references(type(self), kwargs))

    def save_pretrained(self, *args, **kwargs):
        """As `PreTrainedConfig.save_pretrained`; the file names the code saved beside it, or none."""
        renew_references(self)
        return super().save_pretrained(*args, **kwargs)

    @classmethod
    def from_preset(cls, name: str, **overrides) -> "VQDNACodecConfig":
        """Build one of the named configurations: `paper-vq`, `paper-hrq`, `small`, `tiny`; and those narrow enough to
        be compiled: `compact`, `compact-vq`, `compact-rq`, whose codes are functions of 9 bases, and `compact-11`,
        `compact-11-vq`, `compact-11-rq`, of 11.

        Raises:
            ValueError: no preset has that name.
        """
        return cls(**{**_preset(CODEC_PRESETS, name, "codec"), **overrides})

    def validate_architecture(self):
        """Check the rules that tie fields together.

        Raises:
            ValueError (inside `StrictDataclassClassValidationError`): names both numbers and the remedy.
        """
        self._validate_levels()

    def _validate_levels(self):
        sizes, layers = self.codebook_sizes, self.quantized_layers
        if not sizes or min(sizes) < 1:
            raise ValueError(f"codebook_sizes={sizes} must hold one positive number of codes per level.")
        if max(sizes) > MAX_CODES or len(sizes) > MAX_LAYERS:
            raise ValueError(
                f"codebook_sizes={sizes!r:.100} must be at most {MAX_LAYERS} levels of at most {MAX_CODES} codes."
            )
        if self.quantizer == "vq" and len(sizes) != 1:
            raise ValueError(
                f"quantizer='vq' has 1 codebook, but codebook_sizes={sizes} lists {len(sizes)}; use 'hrq' or 'rq'."
            )
        wanted = len(sizes) if self.quantizer == "hrq" else 1
        if len(layers) != wanted:
            raise ValueError(
                f"quantized_layers={layers} lists {len(layers)} layers, but quantizer={self.quantizer!r} with "
                f"{len(sizes)} codebooks quantizes {wanted}."
            )
        if sorted(set(layers)) != layers or (layers[0] < 1 and self.num_hidden_layers > 0):
            raise ValueError(f"quantized_layers={layers} must be increasing layer numbers, counted from 1.")
        if layers[-1] != self.num_hidden_layers:
            raise ValueError(
                f"The last of quantized_layers={layers} must be num_hidden_layers={self.num_hidden_layers}: layers "
                "behind the last quantized one would have no effect."
            )
        if math.prod(sizes) + NUM_SPECIAL_TOKENS >= 2**62:
            raise ValueError(f"codebook_sizes={sizes} give {math.prod(sizes)} product ids, more than 64 bits hold.")

    @property
    def num_levels(self) -> int:
        """Codes per base."""
        return len(self.codebook_sizes)

    @property
    def vocab_size(self) -> int:
        """Special tokens and product ids: one id per combination of level codes."""
        return NUM_SPECIAL_TOKENS + math.prod(self.codebook_sizes)

    @property
    def halo(self) -> int:
        """Bases on either side of a position that can change its code."""
        return (self.stem_kernel_size // 2) + self.num_hidden_layers * (self.kernel_size // 2)

    @property
    def receptive_field(self) -> int:
        """Bases that decide one code; 41 for the paper's sizes."""
        return 2 * self.halo + 1


class EncoderSizesMixin:
    """Sizes of a configuration whose `encoder_config` has them."""

    @property
    def hidden_size(self) -> int:
        """Width of the encoder."""
        return self.encoder_config.hidden_size

    @property
    def num_hidden_layers(self) -> int:
        """Layers of the encoder."""
        return self.encoder_config.num_hidden_layers

    @property
    def num_attention_heads(self) -> int:
        """Attention heads of the encoder."""
        return self.encoder_config.num_attention_heads


@strict
class VQDNAConfig(EncoderSizesMixin, LabelledConfigMixin, PreTrainedConfig):
    r"""
    Configuration of [`VQDNAModel`] and its heads: a frozen vocabulary, a projection, and a stock transformers encoder.

    Args:
        codec_config (`dict` or [`VQDNACodecConfig`], *optional*): The vocabulary; the paper's `vq` when not given.
        encoder_config (`dict` or `PreTrainedConfig`, *optional*):
            Any encoder that takes `inputs_embeds`; its own embedding table holds the special tokens only. A ModernBERT
            of 12 layers x 768 (85M parameters) when not given.
        freeze_codec (`bool`, *optional*, defaults to `True`):
            Whether the codec stays as it is. If `False`, gradients reach the codec's encoder straight through the
            quantizer (the code vectors themselves never move), which needs `nucleotide_ids` as input.
        base_loss_weight (`float`, *optional*, defaults to 1.0): Weight of the base head's cross-entropy.
        pooling (`str`, *optional*, defaults to `"mean+max"`):
            `mean`, `max`, `mean+max` over the bases (not padding, [CLS] or [SEP]), `cls`, or `bins`: the maximum in
            each of `pooling_bins` equal parts of the sequence, concatenated.
        pooling_bins (`int`, *optional*, defaults to 8): Parts of the sequence for `pooling="bins"`.
        classifier_dropout (`float`, *optional*, defaults to 0.1): Dropout of the classification heads.
        strand_average (`bool`, *optional*, defaults to `False`):
            Whether the sequence classifier, outside training and from `nucleotide_ids`, averages the logits of both
            strands.
        vocabulary_fingerprint (`str`, *optional*): Set on saving: names the vocabulary the model was trained with.
        format_version (`int`, *optional*): Version of the directory's format; a newer one than the code's is refused.

    Example:

    ```python
    >>> from vqdna_hf import VQDNAConfig, VQDNAForMaskedLM

    >>> model = VQDNAForMaskedLM(VQDNAConfig.from_preset("tiny"))
    ```
    """

    model_type = "vqdna"
    # what a Trainer does not take for predictions
    keys_to_ignore_at_inference = ["level_losses", "base_loss", "hidden_states", "attentions"]
    sub_configs = {"codec_config": VQDNACodecConfig, "encoder_config": AutoConfig}

    codec_config: dict | PreTrainedConfig | None = None
    encoder_config: dict | PreTrainedConfig | None = None
    freeze_codec: bool = True
    base_loss_weight: float | int = not_negative("base_loss_weight", 1.0)
    pooling: str = choice("pooling", "mean+max", POOLINGS)
    pooling_bins: int = integer("pooling_bins", 8, 1, MAX_BINS)
    classifier_dropout: float | int = fraction("classifier_dropout", 0.1)
    problem_type: str | None = choice("problem_type", None, PROBLEM_TYPES)
    strand_average: bool = False
    vocabulary_fingerprint: str | None = None
    initializer_range: float = positive("initializer_range", 0.02)
    pad_token_id: int | None = choice("pad_token_id", 0, (0,))
    unk_token_id: int | None = choice("unk_token_id", 1, (1,))
    cls_token_id: int | None = choice("cls_token_id", 2, (2,))
    sep_token_id: int | None = choice("sep_token_id", 3, (3,))
    mask_token_id: int | None = choice("mask_token_id", 4, (4,))
    tie_word_embeddings: bool = False
    format_version: int = integer("format_version", FORMAT_VERSION, 1, 2**31)

    def __post_init__(self, **kwargs):
        check_format(self.model_type, self.format_version)
        if self.codec_config is None:
            self.codec_config = VQDNACodecConfig()
        elif isinstance(self.codec_config, dict):
            self.codec_config = VQDNACodecConfig(**_without(self.codec_config, "model_type"))
        if self.encoder_config is None:
            self.encoder_config = encoder_config_from_preset("paper")
        elif isinstance(self.encoder_config, dict):
            self.encoder_config = _encoder_config(self.encoder_config)
        super().__post_init__(**without_references(type(self), kwargs))

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """As `PreTrainedConfig.from_dict`; where a file has another special token in the place of [PAD], it is put
        right: a `Trainer` writes its tokenizer's there, which could once be set to any of them.
        """
        value = config_dict.get("pad_token_id", 0)
        if value is None or value in range(1, NUM_SPECIAL_TOKENS):
            logger.warning(
                f"The configuration has pad_token_id={value}, but [PAD] is 0, which is used; save the model again to "
                "be rid of this warning."
            )
            config_dict = config_dict | {"pad_token_id": 0}
        return super().from_dict(config_dict, **kwargs)

    def save_pretrained(self, *args, **kwargs):
        """As `PreTrainedConfig.save_pretrained`; the file names the code saved beside it, or none."""
        renew_references(self)
        return super().save_pretrained(*args, **kwargs)

    @classmethod
    def from_preset(cls, name: str, codec_config=None, **overrides) -> "VQDNAConfig":
        """Build one of the named encoders over a codec configuration.

        `paper`, `paper-bert`, `small`, `tiny`; `small-conv`, which finds short patterns by convolution before its
        attention relates them ([`VQDNAConvEncoderConfig`]); and `paper-local` and `small-local`, whose layers all see
        a window only (64 and 32 bases to either side in each layer), for sequences of 32,000 bases and more: see
        `block_local`.

        Without `codec_config` the codec of the nearest name is taken (`paper-vq` for the paper's encoders).

        Raises:
            ValueError: no preset has that name.
        """
        encoder = encoder_config_from_preset(name)
        nearest = name.removesuffix("-local").removesuffix("-conv")
        codec = VQDNACodecConfig.from_preset(nearest if nearest in CODEC_PRESETS else "paper-vq")
        return cls(codec_config=codec if codec_config is None else codec_config, encoder_config=encoder, **overrides)

    def validate_architecture(self):
        """Check the rules that tie fields together.

        Raises:
            ValueError (inside `StrictDataclassClassValidationError`): names both numbers and the remedy.
        """
        self.check_labels()
        encoder = self.encoder_config
        if self.codec_config.model_type != VQDNACodecConfig.model_type:
            raise ValueError(
                f"codec_config is of the model type {self.codec_config.model_type!r}, but the vocabulary is a "
                f"{VQDNACodecConfig.model_type!r}."
            )
        check_encoder_fields(vars(encoder))
        vocab_size = getattr(encoder, "vocab_size", None)
        if vocab_size != NUM_SPECIAL_TOKENS:
            raise ValueError(
                f"encoder_config.vocab_size={vocab_size}, but the encoder's own table holds the "
                f"{NUM_SPECIAL_TOKENS} special tokens and nothing else: set vocab_size={NUM_SPECIAL_TOKENS}."
            )
        pad = getattr(encoder, "pad_token_id", None)
        if pad is not None and not 0 <= pad < vocab_size:
            raise ValueError(f"encoder_config.pad_token_id={pad} is outside its vocab_size={vocab_size}; use 0.")

    @property
    def vocab_size(self) -> int:
        """Special tokens and product ids of the vocabulary."""
        return self.codec_config.vocab_size


def config_of_encoder(values: dict) -> PreTrainedConfig:
    """The configuration that `model_type` and further values describe: this module's, or a stock one.

    Raises:
        ValueError: no encoder of transformers has that type, or a field is not what it must be.
    """
    check_encoder_fields(values)
    if not isinstance(values.get("model_type"), str):
        raise ValueError(
            f"encoder_config has the model_type {values.get('model_type')!r}: name one that takes inputs_embeds, such "
            "as 'modernbert' or 'bert'."
        )
    # subtle: of a repository that was downloaded meanwhile, AutoConfig knows that repository's class
    if values.get("model_type") == VQDNAConvEncoderConfig.model_type:
        return VQDNAConvEncoderConfig(**{name: value for name, value in values.items() if name != "model_type"})
    return AutoConfig.for_model(**values)


def _without(mapping: dict, *keys: str) -> dict:
    return {key: value for key, value in mapping.items() if key not in keys}


def _encoder_config(values: dict) -> PreTrainedConfig:
    """A stock encoder configuration whose vocabulary is our special tokens, unless the values say otherwise."""
    special = {
        "vocab_size": NUM_SPECIAL_TOKENS,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "cls_token_id": 2,
        "sep_token_id": 3,
    }
    return config_of_encoder({**special, **values})


def encoder_config_from_preset(name: str) -> PreTrainedConfig:
    """The stock configuration behind `VQDNAConfig.from_preset(name)`.

    Raises:
        ValueError: no preset has that name.
    """
    base = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
    values = _preset(ENCODER_PRESETS, name, "encoder")
    # ModernBERT's gated MLP of 2048 has the parameters of BERT's plain one of 3072
    base["intermediate_size"] = 2048 if values["model_type"] == "modernbert" else 3072
    return _encoder_config({**base, **values})


AutoConfig.register(VQDNAConvEncoderConfig.model_type, VQDNAConvEncoderConfig, exist_ok=True)


__all__ = [
    "CODEC_PRESETS",
    "ENCODER_PRESETS",
    "VQDNACodecConfig",
    "VQDNAConfig",
    "VQDNAConvEncoderConfig",
    "config_of_encoder",
    "encoder_config_from_preset",
]
