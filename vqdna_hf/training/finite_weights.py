"""Weights that are not finite: what a run that has diverged ends with, and what no command takes."""

import math
from collections.abc import Iterator

import torch
from torch import nn


class DivergedError(ValueError):
    """A run whose loss or weights are not finite; the message says at which step, and what helps."""


def first_not_finite(model: nn.Module) -> str | None:
    """The name of a parameter or a saved buffer that holds nan or infinity; None where all are finite.

    Of a model that is sharded, the shards of this process are looked at.
    """
    named = [(name, _local(tensor)) for name, tensor in _saved(model)]
    named = [(name, tensor) for name, tensor in named if tensor.numel() and tensor.is_floating_point()]
    if not named:
        return None
    # the largest value of each, in one go: to ask tensor by tensor would wait for the device as often
    largest = torch._foreach_norm([tensor for _, tensor in named], math.inf)
    wrong = ~torch.stack([value.float().cpu() for value in largest]).isfinite()
    return named[int(wrong.nonzero()[0])][0] if wrong.any() else None


def _saved(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, parameter in model.named_parameters():
        yield name, parameter.detach()
    for place, module in model.named_modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in module._non_persistent_buffers_set:
                # a mask may hold minus infinity
                yield f"{place}.{name}" if place else name, buffer.detach().clamp(min=0)


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def check_finite(model: nn.Module, source: str):
    """Make sure that a model that was loaded can be worked with.

    Args:
        source: where it was loaded from.

    Raises:
        DivergedError: names the place and the first weight that is not finite.
    """
    if (name := first_not_finite(model)) is not None:
        raise DivergedError(
            f"{source} holds weights that are not finite ({name}): the training that made it has diverged. Train it "
            "again, with a lower --learning-rate."
        )


def check_losses(logs: dict, step: int, rate: float):
    """Make sure that the losses of a log are numbers.

    Args:
        logs: as `Trainer.log` takes them.
        step, rate: optimizer steps so far, and the peak learning rate.

    Raises:
        DivergedError: names the loss.
    """
    for name, value in logs.items():
        if (name == "loss" or name.endswith("_loss")) and isinstance(value, (int, float)) and not math.isfinite(value):
            raise DivergedError(diverged(f"{name} is {value}", step, rate))


def diverged(what: str, step: int, rate: float) -> str:
    """The message of a run that has diverged."""
    return (
        f"The training has diverged: {what} after step {step}. Nothing of it is kept as a result. Begin again with a "
        f"lower --learning-rate (it was {rate:g}) or a longer warm-up, in another --output."
    )
