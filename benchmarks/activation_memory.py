"""What end-to-end training holds for the backward pass, with and without activation checkpointing.

A codec that trains along (`freeze_codec=False`), the encoder and the classifier, from nucleotide ids, in float32.
Counted are the bytes of the tensors that autograd keeps, weights aside: the same on every machine and device.

    python benchmarks/activation_memory.py                     # seconds
    python benchmarks/activation_memory.py --preset paper --length 512 --batch 4
"""

import argparse

import torch
from measuring import Figure, add_arguments, report

from vqdna_hf import VQDNAConfig, VQDNAForSequenceClassification


def held(model, ids: torch.Tensor, part: str | None = None) -> float:
    """MiB that a forward pass of a model keeps for its backward pass, of all or of its codec alone."""
    seen, total, within = {parameter.data_ptr() for parameter in model.parameters()}, 0, [part is None]

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal total
        storage = tensor.untyped_storage()
        if within[0] and storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            total += storage.nbytes()
        return tensor

    hooks = []
    if part is not None:
        network = model.get_submodule(part)
        hooks = [
            network.register_forward_pre_hook(lambda *_: within.__setitem__(0, True)),
            network.register_forward_hook(lambda *_: within.__setitem__(0, False)),
        ]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(nucleotide_ids=ids).logits.sum()  # its graph keeps the tensors alive, so that no address recurs
    for hook in hooks:
        hook.remove()
    loss.backward()
    return total / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--length", type=int, default=512, help="bases of a sequence")
    parser.add_argument("--batch", type=int, default=8, help="sequences")
    options = add_arguments(parser).parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = VQDNAForSequenceClassification(VQDNAConfig.from_preset(options.preset, freeze_codec=False)).train()
    ids = torch.randint(4, (options.batch, options.length))
    parts = {"codec": "vqdna.codec.encoder", "whole model": None}
    plain = {name: held(model, ids, part) for name, part in parts.items()}
    model.gradient_checkpointing_enable()
    saving = {name: held(model, ids, part) for name, part in parts.items()}
    figures = [
        Figure(
            f"{name}: held with checkpointing / without",
            saving[name] / plain[name],
            "<= 0.5",
            f"{saving[name]:.0f} / {plain[name]:.0f} MiB",
        )
        for name in parts
    ]
    title = f"Activations of end-to-end training, {options.preset}, {options.batch} x {options.length} bases"
    report(title, figures, options)


if __name__ == "__main__":
    main()
