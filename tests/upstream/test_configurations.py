"""transformers' common tests of configurations, over ours."""

import unittest
from unittest import mock

import pytest
import transformers

from vqdna_hf import VQDNACodecConfig, VQDNAConfig
from vqdna_hf.modeling.configuration_vqdna import VQDNAConvEncoderConfig


with mock.patch("transformers.utils.direct_transformers_import", return_value=transformers):  # it has been imported
    from tests.test_configuration_common import ConfigTester

ENCODER_SIZES = ["hidden_size", "num_attention_heads", "num_hidden_layers"]
# what each has to offer, and values other than its own
CONFIGURATIONS = {
    VQDNACodecConfig: (["hidden_size", "num_hidden_layers", "vocab_size"], {"hidden_size": 16, "quantizer": "vq"}),
    VQDNAConfig: ([*ENCODER_SIZES, "vocab_size"], {"pooling": "mean", "base_loss_weight": 0.5}),
    VQDNAConvEncoderConfig: ([*ENCODER_SIZES, "vocab_size"], {"conv_kernel_size": 3, "conv_dilations": [1, 2]}),
}
CHECKS = [name for name in vars(ConfigTester) if name.startswith(("check_", "create_and_test_"))]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("config_class", CONFIGURATIONS)
def test_configuration(config_class, check):
    properties, values = CONFIGURATIONS[config_class]
    tester = ConfigTester(
        unittest.TestCase(), config_class, has_text_modality=False, common_properties=properties, **values
    )
    getattr(tester, check)()
