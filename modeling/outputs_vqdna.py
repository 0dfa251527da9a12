"""What the masked language model returns."""

import sys
from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class VQDNAMaskedLMOutput(ModelOutput):
    """
    Args:
        loss (`torch.FloatTensor` of shape `()`): Mean over levels of the cross-entropy, plus the weighted base loss.
        logits (`torch.FloatTensor` of shape `(batch_size, length, sum of codebook_sizes)`): The levels, concatenated:
            `vqdna_hf.metrics.MaskedLMMetrics` makes ids of them. With `masked_positions_only`, of shape `(labelled,
            sum of codebook_sizes)`: see [`VQDNAForMaskedLM.forward`].
        base_logits (`torch.FloatTensor` of shape `(batch_size, length, 4)`): In the order A, C, G, T. With
            `masked_positions_only`, of shape `(labelled, 4)`: the same positions as `logits`.
        level_losses (`torch.FloatTensor` of shape `(levels,)`): Cross-entropy of each level, in nats.
        base_loss (`torch.FloatTensor` of shape `()`): Cross-entropy of the base head, in nats.
        hidden_states, attentions: As the encoder returns them.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    base_logits: torch.FloatTensor | None = None
    level_losses: torch.FloatTensor | None = None
    base_loss: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None

    def __setitem__(self, key: str, value):
        # transformers' own fill-mask pipeline sets them, and then takes `logits` for those of token ids
        if key == "input_ids":
            raise ValueError(
                "transformers' FillMaskPipeline cannot read a VQDNA model, whose logits are of level codes: take "
                'pipeline("fill-mask", model=..., tokenizer=...) with vqdna_hf imported, or VQDNAFillMaskPipeline, '
                "which answer in bases."
            )
        super().__setitem__(key, value)

    def __getitem__(self, key):
        # subtle: a Trainer that smooths labels takes them away from the model, and reads these logits as if there were
        # one for each id; that it is about to do so shows nowhere but here
        if key == "logits" and not torch.compiler.is_compiling():
            reader = sys._getframe(1).f_locals.get("self")
            if type(reader).__name__ == "LabelSmoother":
                raise ValueError(
                    f"label_smoothing_factor={getattr(reader, 'epsilon', '?')} needs one logit for each id, but a "
                    "VQDNA masked language model predicts the codes of each level (`logits` holds the levels side by "
                    "side). Train with label_smoothing_factor=0."
                )
        return super().__getitem__(key)


__all__ = ["VQDNAMaskedLMOutput"]
