"""Scores of masked language modelling for a `Trainer`: of codes, which are the ids' parts, and of bases."""

import numpy as np
import torch
from transformers import EvalPrediction

from ..modeling.configuration_vqdna import NUM_SPECIAL_TOKENS, VQDNAConfig
from ..modeling.modeling_vqdna import pack_codes
from ..modeling.tokenization_vqdna import CodeVocabulary


class MaskedLMMetrics:
    """What a `Trainer` needs to score a [`VQDNAForMaskedLM`], whose logits are of the codes of each level.

    Args:
        config: of the model.

    Example:

    ```python
    >>> metrics = MaskedLMMetrics(model.config)  # doctest: +SKIP
    >>> trainer = Trainer(  # doctest: +SKIP
    ...     model,
    ...     compute_metrics=metrics.compute_metrics,
    ...     preprocess_logits_for_metrics=metrics.preprocess_logits_for_metrics,
    ... )
    ```

    With `label_names=["labels", "base_targets"]`, for batches that hold both, bases are scored too.
    """

    def __init__(self, config: VQDNAConfig):
        self.codebook_sizes = list(config.codec_config.codebook_sizes)

    def preprocess_logits_for_metrics(
        self, logits: tuple[torch.Tensor, ...], labels: torch.Tensor | tuple[torch.Tensor, ...]
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """The predicted ids, of shape `(b, l)`: an evaluation then keeps a number a position, not all logits.

        Args:
            logits: `logits` of shape `(b, l, sum of codebook_sizes)` and `base_logits` of shape `(b, l, 4)`, as a
                `Trainer` takes them from [`VQDNAMaskedLMOutput`].
            labels: of shape `(b, l)`; with those of bases, a pair.

        Returns:
            ids, each of the likeliest code of every level; with labels of bases, also the likeliest bases.
        """
        levels = logits[0].split(self.codebook_sizes, dim=-1)
        ids = pack_codes(torch.stack([level.argmax(dim=-1) for level in levels], dim=-1), self.codebook_sizes)
        return (ids, logits[1].argmax(dim=-1)) if isinstance(labels, tuple) else ids

    def compute_metrics(self, prediction: EvalPrediction) -> dict[str, float]:
        """Fractions of the labelled positions, in [0, 1]; nan where nothing is labelled.

        Args:
            prediction: what `preprocess_logits_for_metrics` has made of the logits, and the labels.

        Returns:
            `accuracy`: all codes of a position are right; `accuracy_1`, ...: that of a level is; `base_accuracy`: the
            base is, where labels of bases were given.

        Raises:
            ValueError: the labels of bases do not come second.
        """
        predictions, labels = prediction.predictions, prediction.label_ids
        scores = {}
        if isinstance(labels, tuple):
            (predictions, bases), (labels, wanted) = predictions, labels
            if wanted.size and wanted.max() > 3:
                raise ValueError(
                    f"The labels of bases hold {wanted.max()}, but bases are 0-3: give a Trainer "
                    'label_names=["labels", "base_targets"], in this order.'
                )
            scores["base_accuracy"] = _fraction((bases == wanted)[wanted >= 0])
        chosen = labels >= NUM_SPECIAL_TOKENS
        vocabulary = CodeVocabulary(self.codebook_sizes)
        right = vocabulary.codes(predictions[chosen]) == vocabulary.codes(labels[chosen])  # [labelled, levels]
        levels = {f"accuracy_{level + 1}": _fraction(right[:, level]) for level in range(right.shape[1])}
        return {"accuracy": _fraction(right.all(axis=1)), **levels, **scores}


def _fraction(right: np.ndarray) -> float:
    return float(right.mean()) if right.size else float("nan")


__all__ = ["MaskedLMMetrics"]
