"""How new weights come about: in models that are made of others, and in codecs made in 16 bits."""

import contextlib

import torch
from transformers import PreTrainedModel


class VQDNAInitializationMixin:
    """Initialization of every module by the model it belongs to, modules without weights of their own included.

    Of classes that are not its own, transformers asks `_init_weights` about modules with weights of their own alone: a
    guard for code that overwrites loaded weights. It would leave out what is said of whole layers, here and in the
    stock encoders within. The VQDNA classes write through `transformers.initialization`, which keeps what is loaded.
    """

    def initialize_weights(self: PreTrainedModel):
        """As `PreTrainedModel.initialize_weights`, by the rule for transformers' own classes."""
        self.is_custom_code = lambda: False
        try:
            super().initialize_weights()
        finally:
            del self.is_custom_code


@contextlib.contextmanager
def float32_weights():
    """Make new weights in float32 where a model is made in 16 bits: of rounded ones, other codes would come."""
    before = torch.get_default_dtype()
    if before in (torch.float16, torch.bfloat16):
        torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


__all__ = ["VQDNAInitializationMixin", "float32_weights"]
