"""A moving average of the weights that a fine-tuning run trains, which dev and test see in place of the weights."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback

from ..runs.files import replacing
from ..runs.processes import fsdp_asked_for


# the weights as trained, in a checkpoint whose model file holds the average
TRAINED_WEIGHTS = "trained_weights.safetensors"


def check_average(decay: float):
    """Stop before anything is loaded for a run that cannot keep its average.

    Raises:
        ValueError: the decay is out of its range, or the run is launched under FSDP.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"ema_decay={decay} must lie in [0, 1).")
    if decay and fsdp_asked_for():
        raise ValueError("--ema-decay keeps whole weights, and cannot run under FSDP. Launch with --multi_gpu.")


class WeightAverage(TrainerCallback):
    """Keeps `average = d * average + (1 - d) * weights` after every optimizer step, of what a model trains.

    `d = min(decay, (1 + step) / (10 + step))`: at first the average is over about the last tenth of the steps, so that
    it soon forgets where training began; later over the last `1 / (1 - decay)` steps.

    Args:
        model: of its parameters those that train, without a codec's: its codebooks are moving averages already, of
            what its network gives.
        decay: from 0 (the weights themselves) on and less than 1.

    Raises:
        ValueError: as of `check_average`.
    """

    def __init__(self, model: nn.Module, decay: float):
        check_average(decay)
        self.model, self.decay = model, decay
        self._average: dict[str, torch.Tensor] | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        """Begin at the weights, or at the average that `load` has found."""
        if self._average is None:
            self._average = self._copy()

    @torch.no_grad()
    def on_step_end(self, args, state, control, **kwargs):
        """Take in the weights of a step."""
        decay = min(self.decay, (1 + state.global_step) / (10 + state.global_step))
        weights = self._weights()
        average = [self._average[name].to(weight.device) for name, weight in weights.items()]
        torch._foreach_lerp_(average, list(weights.values()), 1 - decay)
        self._average = dict(zip(weights, average, strict=True))

    def on_train_end(self, args, state, control, **kwargs):
        """Forget the average: the model has been loaded with the best of them."""
        self._average = None

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The model with the average for its weights; outside of training it is left as it is."""
        if self._average is None:
            yield
            return
        trained = self._copy()
        self._put(self._average)
        try:
            yield
        finally:
            self._put(trained)

    def save_trained(self, directory: str | Path):
        """Write the weights as trained beside a model file that holds their average."""
        if self._average is not None:
            with replacing(Path(directory) / TRAINED_WEIGHTS) as partial:
                save_file(self._copy(), partial)

    def load(self, checkpoint: str | Path):
        """Resume from a checkpoint, whose average the model has been loaded with."""
        self._average = self._copy()
        self._put(load_file(Path(checkpoint) / TRAINED_WEIGHTS))

    def _weights(self) -> dict[str, torch.Tensor]:
        return {
            name: one.detach()
            for name, one in self.model.named_parameters()
            if one.requires_grad and "codec." not in name
        }

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: weight.clone() for name, weight in self._weights().items()}

    def _put(self, values: dict[str, torch.Tensor]):
        for name, weight in self._weights().items():
            weight.copy_(values[name])
