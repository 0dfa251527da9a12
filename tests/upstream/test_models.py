"""transformers' common tests of models, over seven configurations and every head."""

import shutil
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
import transformers
from model_testers import CODECS, ENCODERS, CodecTester, EncoderTester
from tests.test_training_mixin import TrainingTesterMixin

from tests import test_modeling_common
from vqdna_hf import (
    VQDNACodecModel,
    VQDNAForMaskedLM,
    VQDNAForSequenceClassification,
    VQDNAForTokenClassification,
    VQDNAModel,
    VQDNATokenizer,
)
from vqdna_hf.modeling.configuration_vqdna import NUM_SPECIAL_TOKENS


with mock.patch("transformers.utils.direct_transformers_import", return_value=transformers):  # it has been imported
    from tests import test_pipeline_mixin

# the mixins choose by these tables what to ask of a class, and pass over the classes that none of them names
HEADS = {
    VQDNAModel: ("MODEL_MAPPING_NAMES", "feature-extraction", "FeatureExtraction"),
    VQDNAForMaskedLM: ("MODEL_FOR_MASKED_LM_MAPPING_NAMES", "fill-mask", "FillMask"),
    VQDNAForSequenceClassification: (
        "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
        "text-classification",
        "TextClassification",
    ),
    VQDNAForTokenClassification: (
        "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
        "token-classification",
        "TokenClassification",
    ),
}
for head, (table, task, tests_of_task) in HEADS.items():
    known = getattr(test_modeling_common, table)
    setattr(test_modeling_common, table, {**known, "vqdna": head.__name__})
    parts = {"tokenizer_classes": ["VQDNATokenizer"], "processor_classes": []}
    test_pipeline_mixin.tiny_model_summary[head.__name__] = parts
    test_pipeline_mixin.pipeline_test_mapping[task]["test"] = f"pipeline_tasks.{tests_of_task}"
test_pipeline_mixin.transformers_module = SimpleNamespace(VQDNATokenizer=VQDNATokenizer)


class CommonTests(test_modeling_common.ModelTesterMixin, TrainingTesterMixin):
    """What transformers asks of every model."""

    model_tester = None
    test_can_init_all_missing_weights_before_2023 = True  # a file without a year counts as old


class EncoderTests(CommonTests, test_pipeline_mixin.PipelineTesterMixin):
    """A subclass names its encoder and its head."""

    encoder: str

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (head,) = cls.all_model_classes
        cls.pipeline_model_mapping = {HEADS[head][1]: head}
        folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.enterClassContext(mock.patch.object(test_pipeline_mixin, "TRANSFORMERS_TINY_MODEL_PATH", folder))
        model = head(EncoderTester(cls.encoder).get_config())
        for part in (model, VQDNATokenizer(codec=model.codec)):
            part.save_pretrained(Path(folder, "vqdna", head.__name__))

    def setUp(self):
        self.model_tester = EncoderTester(self.encoder)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        if "labels" in inputs and model_class is VQDNAForMaskedLM:
            inputs["labels"] += 5  # the mixin's zeros are [PAD], which no loss counts
            inputs["base_targets"] = torch.zeros_like(inputs["labels"])  # or no gradient would reach the base head
        if "labels" in inputs and model_class is VQDNAForTokenClassification and "input_ids" in inputs:
            inputs["labels"][inputs["input_ids"] < NUM_SPECIAL_TOKENS] = -100  # [CLS] and [SEP] have no label
        return inputs

    def check_training_gradient_checkpointing(self, **kwargs):
        self.model_tester.end_to_end = True  # the first layer is the codec's, which code ids do not pass through
        super().check_training_gradient_checkpointing(**kwargs)

    def test_model_outputs_equivalence(self):
        self.model_tester.config._attn_implementation = "eager"  # others refuse to give attentions
        super().test_model_outputs_equivalence()

    def test_capture_outputs_decorator(self):
        self.model_tester.config._attn_implementation = "eager"
        super().test_capture_outputs_decorator()

    def test_attn_implementation_composite_models(self):
        self._is_composite = True  # for all the tests it would be the wrong answer: only one part has attention
        super().test_attn_implementation_composite_models()

    def test_can_set_attention_dynamically_composite_model(self):
        self._is_composite = True
        super().test_can_set_attention_dynamically_composite_model()


class CodecTests(CommonTests):
    """A subclass names its quantizer."""

    quantizer: str
    all_model_classes = (VQDNACodecModel,)
    has_attentions = False

    def setUp(self):
        self.model_tester = CodecTester(self.quantizer)


def classes_of_tests() -> dict[str, type]:
    """A class of tests for every configuration and head: a failure of one hides none of another."""
    made = {
        f"{encoder}_{head.__name__}": (EncoderTests, {"encoder": encoder, "all_model_classes": (head,)})
        for encoder in ENCODERS
        for head in HEADS
    }
    made |= {f"{quantizer}_{VQDNACodecModel.__name__}": (CodecTests, {"quantizer": quantizer}) for quantizer in CODECS}
    return {
        name: type(name, (tests, unittest.TestCase), {**fields, "__module__": __name__})
        for name, (tests, fields) in made.items()
    }


globals().update(classes_of_tests())
