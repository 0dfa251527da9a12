"""The configuration of the encoder with convolutions before its attention."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, ModernBertConfig, PreTrainedConfig

from .fields_vqdna import MAX_LAYERS, MAX_WIDTH, check_encoder_fields, odd


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


AutoConfig.register(VQDNAConvEncoderConfig.model_type, VQDNAConvEncoderConfig, exist_ok=True)

__all__ = ["VQDNAConvEncoderConfig", "config_of_encoder"]
