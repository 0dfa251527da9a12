"""Commands started in several processes, by `torchrun` or `accelerate launch`."""

import logging
import os
import time

import torch
from accelerate import PartialState
from torch import nn
from torch.distributed.fsdp import FSDPModule
from transformers import Trainer

from ..modeling.modeling_vqdna import VQDNAPreTrainedModel
from .files import share_weights


logger = logging.getLogger(__name__)


def start_processes() -> PartialState:
    """Let the processes of a launch know of each other.

    The trainers do this when they are made; what comes before them (checks, settings, files) needs it earlier. Called
    again, and in a command that was started alone, it changes nothing.
    """
    # every process needs a whole codec from the start, whose weights it checks
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    # subtle: without `cpu`, processes on a machine without a GPU would not find each other
    return PartialState(cpu=not torch.cuda.is_available())


def leave_processes(patience: float = 0.5):
    """End what connects the processes of a launch, as the last thing of work that went well.

    A thread of gloo lets go of the tensors of the last exchange when it next gets hold of Python. If the interpreter
    has begun to end by then, the process is aborted or hangs, after all its results were written: `patience` seconds
    are left to that thread. In a command that was started alone, this changes nothing.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        time.sleep(patience)


def rank_and_world_size() -> tuple[int, int]:
    """The number of this process and how many were launched, `(0, 1)` for one; waits for nobody."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def fsdp_asked_for() -> bool:
    """Whether `accelerate launch` was told to shard the models (`--use_fsdp`, or a configuration that says so)."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in ("true", "1", "yes", "y", "on", "t")


def refuse_fsdp(work: str):
    """Stop before a model that cannot be sharded is.

    Args:
        work: what cannot run so; the message begins with it.

    Raises:
        ValueError: FSDP is asked for.
    """
    if fsdp_asked_for():
        raise ValueError(
            f"{work} cannot run under FSDP: every process moves its own whole copy of the codebooks, and the network "
            "is small enough for each. Launch it with `--multi_gpu` in place of `--use_fsdp`."
        )


def shard_encoder_only(trainer):
    """Where a trainer is going to shard its model (FSDP), keep the codec whole, and cut between the encoder's layers.

    The codec is frozen, small, and called apart from the model (bases are tokenized before the forward pass), which no
    shard survives. To be called before training; without FSDP it changes nothing.

    Args:
        trainer ([`~transformers.Trainer`]): of a VQDNA model, with or without adapters.

    Raises:
        ValueError: FSDP in its first version, or a codec that is trained along.
    """
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    model = next((part for part in trainer.model.modules() if isinstance(part, VQDNAPreTrainedModel)), None)
    if plugin is None:
        if fsdp_asked_for() and trainer.is_world_process_zero():
            logger.warning("Accelerate shards models on GPUs only: every process here holds the whole model (DDP).")
        return
    if model is None:
        return
    if plugin.fsdp_version != 2:
        raise ValueError("FSDP is supported in its second version: add `--fsdp_version 2`.")
    if any(parameter.requires_grad for parameter in model.codec.parameters()):
        raise ValueError(
            "The codec is trained along (end-to-end), which FSDP would do on every process apart. Launch this with "
            "`--multi_gpu` in place of `--use_fsdp`."
        )
    plugin.cpu_ram_efficient_loading = False  # which cannot leave a module whole
    plugin.ignored_modules = [model.codec.to(trainer.accelerator.device)]
    if plugin.transformer_cls_names_to_wrap is None:
        # embeddings are called by themselves, too, and get a unit of their own from accelerate
        layers = [name for name in model.base_model.encoder._no_split_modules if not name.endswith("Embeddings")]
        plugin.transformer_cls_names_to_wrap = layers


@torch.no_grad()
def gather_weights(model: nn.Module):
    """Make an ordinary model again of one that FSDP has sharded, whole on every process, which all have to call this.

    A model that was not sharded stays as it is.
    """
    sharded = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in sharded:
        module.reshard()
    for module in model.modules() if sharded else ():
        for name, parameter in module._parameters.items():
            if hasattr(parameter, "full_tensor"):
                module._parameters[name] = nn.Parameter(parameter.full_tensor(), parameter.requires_grad)
    for module in sharded:
        state = module._get_fsdp_state()
        for handle in (state._pre_forward_hook_handle, state._post_forward_hook_handle):
            handle.remove()  # of what gathers and drops the shards
        # subtle: FSDP has put a class of its own before the module's, whose name would be saved as the architecture
        module.__class__ = type(module).__bases__[1]


class LaunchedTrainer(Trainer):
    """A `Trainer` whose model may be sharded while it trains; before and after it is whole on every process.

    Raises:
        ValueError: see `shard_encoder_only`.
    """

    def __init__(self, *args, optimizers: tuple = (None, None), **kwargs):
        # subtle: the base class refuses an optimizer beside FSDP, whose first version needed one made afterwards
        super().__init__(*args, optimizers=(None, None) if fsdp_asked_for() else optimizers, **kwargs)
        if fsdp_asked_for():
            self.optimizer, self.lr_scheduler = optimizers
        shard_encoder_only(self)

    def _save(self, output_dir: str | None = None, state_dict=None):
        """Save as the base class does, readable by whoever the umask lets read files."""
        super()._save(output_dir, state_dict)
        share_weights(output_dir or self.args.output_dir)

    def train(self, *args, **kwargs):
        """Train as the base class does, then gather the weights."""
        result = super().train(*args, **kwargs)
        gather_weights(self.model)
        return result
