"""The one-hot control: a vocabulary of four codes, one per base, in the form of a codec.

It goes through every command as a learned vocabulary does, so that "one-hot, same encoder, same training" needs no
second code path. Nothing in it is learned.
"""

import logging
from pathlib import Path

import torch

from ..arguments.data import OneHotTokenizerArguments
from ..modeling.configuration_vqdna import VQDNACodecConfig
from ..modeling.modeling_vqdna_codec import VQDNACodecModel
from ..modeling.tokenization_vqdna import VQDNATokenizer
from ..runs.files import adding_to_directory
from ..runs.resume import find_checkpoint


logger = logging.getLogger(__name__)


@torch.no_grad()
def one_hot_codec() -> VQDNACodecModel:
    """A codec whose code is the base itself: A 0, C 1, G 2, T 3, from a receptive field of one base.

    The four code vectors are equally long and equally far apart, that is one-hot vectors up to an affine map.
    """
    config = VQDNACodecConfig(
        quantizer="vq",
        codebook_sizes=[4],
        hidden_size=4,
        stem_channels=4,
        stem_kernel_size=1,
        num_hidden_layers=0,
        restart_threshold=0.0,
    )
    codec = VQDNACodecModel(config)
    identity = torch.eye(4)
    codec.encoder.stem.weight.copy_(identity.unsqueeze(-1))
    for module in (codec.encoder.stem_projection, codec.decoder.head_projection, codec.decoder.head):
        module.weight.copy_(identity)
        module.bias.zero_()
    codec.encoder.stem.bias.zero_()
    latents = codec.latents(torch.arange(4).unsqueeze(0))[0][0]  # [4, 4], the vector of each base
    codec.quantizer.codebooks[0].set_codes_(latents, torch.ones(4))
    codec.quantizer.freeze()
    return codec.eval()


def write_one_hot_tokenizer(arguments: OneHotTokenizerArguments) -> VQDNATokenizer:
    """Save the one-hot control as a tokenizer directory, which every later stage takes.

    Raises:
        ValueError: the directory holds something else already.
    """
    find_checkpoint(Path(arguments.output), resume=True, result="tokenizer_config.json")  # refuses a finished run
    tokenizer = VQDNATokenizer(codec=one_hot_codec())
    with adding_to_directory(Path(arguments.output), "tokenizer_config.json") as partial:
        tokenizer.save_pretrained(partial)
    logger.info("The one-hot tokenizer is in %s", arguments.output)
    return tokenizer
