"""A quantizer's forward pass and EMA step, beside `vector-quantize-pytorch` at the same size.

    pip install vector-quantize-pytorch
    python benchmarks/quantizer_step.py

K = 512 codes of D = 384 over 65,536 vectors, in training mode with gradients to the latents; both move their codebooks
by exponential moving average and revive dead codes. The time is the process's own.
"""

import argparse
import time

import torch
from measuring import Figure, add_arguments, median_seconds, report

from vqdna_hf.modeling.quantization_vqdna import VectorQuantizer


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser).add_argument("--device", default="cpu")
    options = parser.parse_args()
    try:
        from vector_quantize_pytorch import VectorQuantize
    except ImportError:
        parser.error("this needs the library it compares with: pip install vector-quantize-pytorch")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    codes, dim = 512, 384
    latents = torch.randn(128, 512, dim, device=options.device)
    ours = VectorQuantizer([codes], dim).to(options.device).train()
    ours.codebooks[0].set_codes_(latents.reshape(-1, dim)[:codes], torch.full((codes,), 128.0))
    theirs = (
        VectorQuantize(dim=dim, codebook_size=codes, decay=0.99, threshold_ema_dead_code=2).to(options.device).train()
    )

    def step(function):
        inputs = latents.clone().requires_grad_()
        quantized, loss = function(inputs)
        (quantized.sum() + loss.sum()).backward()

    def run_ours(inputs):
        output = ours([inputs])
        return output.quantized, output.commitment_loss

    def run_theirs(inputs):
        quantized, _, loss = theirs(inputs)
        return quantized, loss

    clock = time.process_time if options.device == "cpu" else None
    seconds = median_seconds(
        {"ours": lambda: step(run_ours), "theirs": lambda: step(run_theirs)},
        rounds=options.rounds,
        device=options.device,
        clock=clock,
    )
    figure = Figure(
        "quantizer forward, backward and EMA step, speed / `vector-quantize-pytorch`",
        seconds["theirs"] / seconds["ours"],
        ">= 1.5",
        f"{seconds['ours'] * 1e3:.0f} and {seconds['theirs'] * 1e3:.0f} ms for 65,536 vectors, K=512, D=384",
    )
    report("The quantizer's step", [figure], options)


if __name__ == "__main__":
    main()
