"""Labels of codes and of bases, in the order that the scores of masked language modelling take."""

import numpy as np
import pytest
from transformers import EvalPrediction

from vqdna_hf import VQDNAConfig
from vqdna_hf.metrics import MaskedLMMetrics


def test_label_names_in_the_other_order_are_refused():
    metrics = MaskedLMMetrics(VQDNAConfig.from_preset("tiny"))
    codes, bases = np.array([[-100, 7, 9]]), np.array([[-100, 1, 2]])
    right = metrics.compute_metrics(EvalPrediction((codes, bases), (codes, bases)))
    assert right["accuracy"] == right["base_accuracy"] == 1
    with pytest.raises(ValueError, match=r'label_names=\["labels", "base_targets"\]'):
        metrics.compute_metrics(EvalPrediction((codes, bases), (bases, codes)))
