"""The neighbours-only predictor: how much of a masked position the codes around it give away.

A convolution over the codes within a halo of a position, the centre left out, is trained on the very inputs the
encoder gets. What it predicts needs no understanding of DNA, only looking next door: the encoder's accuracy is worth
reading as far as it lies above this.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from ..modeling.modeling_vqdna import unpack_codes
from .masking import MaskedWindows, MaskingCollator, mask_batch


class NeighboursPredictor(nn.Module):
    """Code vectors of `2 * halo` neighbours -> the codes and the base at the centre.

    Args:
        dim: width of a code vector.
        halo: neighbours on either side.
        num_logits: level sizes summed, and four more for the bases.
        hidden_size: width of the hidden layer.
    """

    def __init__(self, dim: int, halo: int, num_logits: int, hidden_size: int = 128):
        super().__init__()
        self.halo = max(1, halo)
        # one more channel tells a neighbour that is masked itself (or lies outside) from one that is seen
        self.convolution = nn.Conv1d(dim + 1, hidden_size, 2 * self.halo + 1, padding=self.halo)
        self.output = nn.Linear(hidden_size, num_logits)

    def forward(self, vectors: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """`(b, l, dim)` vectors and `(b, l)` visibility to logits `(b, l, num_logits)`."""
        visible = visible.unsqueeze(-1).to(vectors.dtype)
        inputs = torch.cat([vectors * visible, visible], dim=-1).transpose(1, 2)
        centre = torch.ones_like(self.convolution.weight)
        centre[..., self.halo] = 0
        hidden = F.conv1d(inputs, self.convolution.weight * centre, self.convolution.bias, padding=self.halo)
        return self.output(F.gelu(hidden.transpose(1, 2)))


def batches_of(windows: MaskedWindows, batch_size: int) -> DataLoader:
    """The windows in batches, in order; the state of torch's random numbers stays as it is."""
    return DataLoader(windows, batch_size, collate_fn=MaskingCollator(), generator=torch.Generator())


def neighbours_accuracy(model, train_batches, eval_batches, seed: int = 0) -> dict[str, float]:
    """Train the predictor on some batches and score it on others.

    Args:
        model ([`VQDNAForMaskedLM`]): gives code vectors and sizes; it is not changed.
        train_batches, eval_batches: iterables of collated batches (see `MaskingCollator`) on any device.

    Returns:
        `neighbours_accuracy_1`, ... per level and `neighbours_base_accuracy`, each in [0, 1].
    """
    encoder, sizes = model.base_model, list(model.config.codec_config.codebook_sizes)
    device = encoder.codec.device
    scale = torch.cat([book.embedding.flatten() for book in encoder.codec.quantizer.codebooks]).std().clamp(min=1e-6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        dim, halo = encoder.config.codec_config.codebook_dim, encoder.codec.config.halo
        predictor = NeighboursPredictor(dim, halo, sum(sizes) + 4).to(device)
    optimizer = torch.optim.AdamW(predictor.parameters(), lr=3e-3)

    def predict(batch: dict[str, torch.Tensor]):
        inputs = mask_batch(encoder, {name: value.to(device) for name, value in batch.items()})
        vectors = encoder.code_vectors(unpack_codes(inputs["input_ids"], sizes)) / scale
        chosen = inputs["base_targets"] >= 0
        logits = predictor(vectors, inputs["input_ids"] > 4)[chosen].split([*sizes, 4], dim=-1)
        codes = unpack_codes(inputs["labels"][chosen], sizes)
        return logits, [*codes.unbind(dim=-1), inputs["base_targets"][chosen]]

    for batch in train_batches:
        optimizer.zero_grad()
        loss = sum(F.cross_entropy(part, target) for part, target in zip(*predict(batch)))
        loss.backward()
        optimizer.step()
    right, total = torch.zeros(len(sizes) + 1), 0
    with torch.no_grad():
        for batch in eval_batches:
            parts = list(zip(*predict(batch)))
            right += torch.tensor([float((part.argmax(-1) == target).sum()) for part, target in parts])
            total += len(parts[0][1])
    values = [round(float(value) / max(total, 1), 6) for value in right]
    named = {f"neighbours_accuracy_{level}": value for level, value in enumerate(values[:-1], start=1)}
    return {**named, "neighbours_base_accuracy": values[-1]}
