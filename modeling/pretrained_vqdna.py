"""What every VQDNA model shares: weight initialization, loading and saving, and the vocabulary's fingerprint."""

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from .adapters_vqdna import VQDNAAdapterMixin
from .configuration_vqdna import VQDNAConfig
from .files_vqdna import share_weights
from .heads_vqdna import VQDNAProjection
from .initialization_vqdna import VQDNAInitializationMixin
from .modeling_vqdna_codec import VQDNACodecModel
from .repository_vqdna import register_downloaded


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
        super().save_pretrained(save_directory, *args, **kwargs)
        share_weights(save_directory)

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


__all__ = ["VQDNAPreTrainedModel"]
