"""What the common tests ask for each of our models: a tiny configuration, and inputs for it."""

import copy

import torch
from transformers import PreTrainedConfig

from vqdna_hf import VQDNACodecConfig, VQDNAConfig
from vqdna_hf.modeling.configuration_vqdna import ENCODER_PRESETS, NUM_SPECIAL_TOKENS


BATCH, LENGTH = 3, 12
TINY = ENCODER_PRESETS["tiny"]
ENCODERS = {
    "modernbert": TINY,
    "bert": {**TINY, "model_type": "bert"},
    "conv": {**TINY, "model_type": "vqdna_conv_encoder", "conv_dilations": [1, 2], "conv_kernel_size": 3},
    "local": {**TINY, "layer_types": ["sliding_attention"] * 2},
}
CODECS = {"vq": [16], "rq": [8, 16], "hrq": [8, 16]}


class Tester:
    """Sizes, a configuration and inputs, under the names the mixins look for."""

    batch_size, seq_length, is_training = BATCH, LENGTH, True
    config: PreTrainedConfig

    def get_config(self) -> PreTrainedConfig:
        """A copy, which a test may change."""
        return copy.deepcopy(self.config)

    def prepare_config_and_inputs_for_common(self) -> tuple[PreTrainedConfig, dict[str, torch.Tensor]]:
        """A configuration, and inputs of shape `(BATCH, LENGTH)`."""
        inputs = {"attention_mask": torch.ones(BATCH, LENGTH, dtype=torch.long)}
        return self.get_config(), self.random_ids() | inputs


class EncoderTester(Tester):
    """Code ids in; or, if `end_to_end`, bases, and a codec that trains."""

    end_to_end = False

    def __init__(self, encoder: str):
        codec = VQDNACodecConfig.from_preset("tiny", word_radius=1)
        self.config = VQDNAConfig(codec_config=codec, encoder_config=ENCODERS[encoder])
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
            setattr(self, name, getattr(self.config, name))

    def get_config(self) -> VQDNAConfig:
        config = super().get_config()
        config.freeze_codec = not self.end_to_end
        return config

    def random_ids(self) -> dict[str, torch.Tensor]:
        """The main input, of shape `(BATCH, LENGTH)`."""
        if self.end_to_end:
            return random_bases()
        ids = torch.randint(NUM_SPECIAL_TOKENS, self.config.vocab_size, (BATCH, LENGTH))
        ids[:, 0], ids[:, -1] = self.config.cls_token_id, self.config.sep_token_id
        return {"input_ids": ids}


class CodecTester(Tester):
    """Bases in."""

    def __init__(self, quantizer: str):
        sizes = CODECS[quantizer]
        self.config = VQDNACodecConfig.from_preset("tiny", quantizer=quantizer, codebook_sizes=sizes, word_radius=1)

    def random_ids(self) -> dict[str, torch.Tensor]:
        """The main input, of shape `(BATCH, LENGTH)`."""
        return random_bases()


def random_bases() -> dict[str, torch.Tensor]:
    return {"nucleotide_ids": torch.randint(4, (BATCH, LENGTH))}
