"""Pipelines that answer in bases: `fill-mask`, `feature-extraction` and `text-classification` for VQDNA models.

The stock ones would answer in codes, count [CLS] and [SEP] among the bases, and never see the other strand. Every
pipeline refuses a tokenizer of another vocabulary than the model's.
"""

import copy
import re

import torch
from transformers import FeatureExtractionPipeline, FillMaskPipeline, TextClassificationPipeline

from .nucleotides_vqdna import BASES, MASK_NUCLEOTIDE_ID, MASK_TOKEN, base_mask
from .tokenization_vqdna import is_whole


class _VocabularyMixin:
    """The model's own vocabulary, and no list of supported classes, which could only name stock models."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.model.check_tokenizer(self.tokenizer)

    def check_model_type(self, supported_models):
        pass

    def preprocess(self, inputs, **kwargs) -> dict:
        if (kwargs | (kwargs.get("tokenizer_kwargs") or {})).get("return_overflowing_tokens"):
            raise ValueError(
                "A pipeline answers for whole strings, so that return_overflowing_tokens would lose all windows but "
                "the first: give the windows as strings, or call the tokenizer and the model."
            )
        return super().preprocess(inputs, **kwargs)


class VQDNAFillMaskPipeline(_VocabularyMixin, FillMaskPipeline):
    """The bases that `[MASK]` may stand for, with the base head's probabilities; the network never sees a masked base.

    Every answer has `score` (probability), `token` (0-3), `token_str` (A, C, G or T) and `sequence`, the string with
    that base in the place of that `[MASK]`. A string with several `[MASK]` gives one list of answers for each, of
    probabilities that do not know of one another.

    Args:
        top_k (`int`, *optional*, defaults to 4): Answers for each `[MASK]`.
        targets (`str` or `list[str]`, *optional*): Bases to choose among, as `"AG"` or `["A", "G"]`; U is read as T.
            Scores stay the probabilities among all four.

    Example:

    ```python
    >>> from transformers import pipeline

    >>> fill = pipeline("fill-mask", model=directory)  # doctest: +SKIP
    >>> fill("ACGT[MASK]ACG", top_k=1)  # doctest: +SKIP
    [{'score': 0.41, 'token': 0, 'token_str': 'A', 'sequence': 'ACGTAACG'}]
    ```
    """

    def _sanitize_parameters(self, top_k: int | None = None, **kwargs) -> tuple[dict, dict, dict]:
        if top_k is not None and not (is_whole(top_k) and top_k > 0):
            raise ValueError(f"top_k={top_k!r} is no number of answers; give 1 to {len(BASES)}.")
        return super()._sanitize_parameters(top_k=top_k, **kwargs)

    def get_target_ids(self, targets: str | list[str]) -> list[int]:
        """The bases to choose among, in the order given.

        Raises:
            ValueError: something that is no base, or nothing.
        """
        letters = [str(target).upper().replace("U", "T") for target in targets]
        wrong = [target for target, letter in zip(targets, letters) if len(letter) != 1 or letter not in BASES]
        if wrong or not letters:
            named = ", ".join(map(repr, wrong)) or "nothing"
            raise ValueError(f"targets hold {named}, but a masked base can only be one of A, C, G and T.")
        return list(dict.fromkeys(BASES.index(letter) for letter in letters))

    def ensure_exactly_one_mask_token(self, model_inputs):
        """Make sure that something is masked (the stock name says more than the stock check does)."""
        super().ensure_exactly_one_mask_token({"input_ids": [self._masked(model_inputs)]})

    def _masked(self, inputs) -> torch.Tensor:
        """[MASK]'s token id at the masked positions, 0 elsewhere, of shape `(b, l)`."""
        if "nucleotide_ids" in inputs:
            return (inputs["nucleotide_ids"] == MASK_NUCLEOTIDE_ID).long() * self.tokenizer.mask_token_id
        return inputs["input_ids"] * (inputs["input_ids"] == self.tokenizer.mask_token_id)

    def preprocess(self, inputs, return_tensors=None, tokenizer_kwargs=None, **kwargs) -> dict:
        kwargs |= {"return_tensors": return_tensors, "tokenizer_kwargs": tokenizer_kwargs}
        encoded = super().preprocess(inputs, **kwargs)
        return {**encoded, "text": inputs}

    def _forward(self, model_inputs: dict) -> dict:
        text = model_inputs.pop("text")
        base_logits = self.model(**model_inputs).base_logits
        return {"base_logits": base_logits, "masked": self._masked(model_inputs), "text": text}

    def postprocess(self, model_outputs: dict, top_k: int = len(BASES), target_ids: list[int] | None = None) -> list:
        text = model_outputs["text"]
        text = text[0] if isinstance(text, list) else text
        places = [found.span() for found in re.finditer(re.escape(MASK_TOKEN), text)]
        masked = model_outputs["masked"][0] > 0
        if self.tokenizer.truncation_side == "left":  # what was cut off stood before
            places = places[max(0, len(places) - int(masked.sum())) :]
        probabilities = model_outputs["base_logits"][0][masked].float().softmax(dim=-1)  # [masked, 4]
        candidates = list(range(len(BASES))) if target_ids is None else target_ids
        rows = []
        for (start, end), scores in zip(places, probabilities.tolist()):
            best = sorted(candidates, key=lambda base: -scores[base])[:top_k]
            rows.append(
                [
                    {
                        "score": scores[base],
                        "token": base,
                        "token_str": BASES[base],
                        "sequence": text[:start] + BASES[base] + text[end:],
                    }
                    for base in best
                ]
            )
        return rows[0] if len(rows) == 1 else rows


class VQDNAFeatureExtractionPipeline(_VocabularyMixin, FeatureExtractionPipeline):
    """One vector per base: `result[0][i]` belongs to base `i` of the string (0-based), [CLS] and [SEP] to none.

    Returns a nested list of shape `(1, bases, hidden size)`, or a tensor with `return_tensors=True`.
    """

    def _forward(self, model_inputs: dict) -> dict:
        inside = base_mask(
            model_inputs.get("input_ids"), model_inputs.get("nucleotide_ids"), model_inputs.get("attention_mask")
        )
        return {"features": self.model(**model_inputs).last_hidden_state, "inside": inside}

    def postprocess(self, model_outputs: dict, return_tensors: bool = False):
        features = model_outputs["features"][0][model_outputs["inside"][0]].unsqueeze(0)
        return features if return_tensors else features.tolist()


class VQDNATextClassificationPipeline(_VocabularyMixin, TextClassificationPipeline):
    """Labels of whole sequences, by the names in `config.id2label`; on both strands if the model averages them."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.model.config.strand_average and not self.tokenizer.return_nucleotide_ids:
            # a code id does not say what the other strand reads
            self.tokenizer = copy.copy(self.tokenizer)
            self.tokenizer.return_nucleotide_ids = True


__all__ = ["VQDNAFeatureExtractionPipeline", "VQDNAFillMaskPipeline", "VQDNATextClassificationPipeline"]
