"""A masked pre-training step (forward and backward) beside the encoder alone, and beside one over 32,768 tokens.

The step is that of `vqdna pretrain` on windows whose codes are stored (`token` masking): masking, code vectors,
projection, encoder, heads on the labelled quarter of the positions, losses of all levels and of the base, backward. No
side has an optimizer. Beside it, with the very same encoder configuration and as many positions:

    the encoder     the model of transformers, from ids of its own small table; the gradient of its output is given
    a 32k model     `ModernBertForMaskedLM` with 32,768 ids and the same positions labelled: by its default
                    configuration, logits at every position, and with `sparse_prediction`

`base` masking, which tokenizes the masked windows again, is reported, too: its codec runs twice over each window.

    python benchmarks/pretraining_step.py                      # 12 layers of 768, 4 windows of 512
    python benchmarks/pretraining_step.py --preset small       # a minute
    python benchmarks/pretraining_step.py --device cuda

On a GPU, and on a CPU with instructions for it, the default is bf16 autocast, otherwise float32: a CPU without them
computes bf16 several times slower than float32, on each side in another measure.
"""

import argparse

import numpy as np
import torch
from measuring import Figure, add_arguments, has_bf16_instructions, median_seconds, report
from transformers import AutoModel, ModernBertConfig, ModernBertForMaskedLM

from vqdna_hf import VQDNACodecConfig, VQDNAConfig, VQDNAForMaskedLM
from vqdna_hf.modeling.configuration_vqdna import NUM_SPECIAL_TOKENS
from vqdna_hf.training.masking import Masking, MaskingCollator, mask_batch


VOCABULARY = 32_768
SHARE = 0.25


def batches(model: VQDNAForMaskedLM, kind: str, windows: int, length: int, device: str) -> dict[str, torch.Tensor]:
    """A collated batch of random windows, with the codes that a corpus stores; `length` includes [CLS] and [SEP]."""
    rng = np.random.default_rng(0)
    config = model.config.codec_config
    masking = Masking(kind, SHARE, config.halo, model.config.vocab_size - NUM_SPECIAL_TOKENS)
    items = []
    for _ in range(windows):
        bases = rng.integers(0, 4, length - 2)
        codes = None if kind == "base" else rng.integers(NUM_SPECIAL_TOKENS, model.config.vocab_size, length - 2)
        items.append(masking.item(bases, rng, codes))
    return {name: value.to(device) for name, value in MaskingCollator()(items).items()}


def contestants(options: argparse.Namespace) -> tuple[dict, dict[str, int]]:
    """The functions to time, and the parameters behind each."""
    torch.manual_seed(0)
    codec = VQDNACodecConfig.from_preset(options.codec)
    model = VQDNAForMaskedLM(VQDNAConfig.from_preset(options.preset, codec_config=codec)).train().to(options.device)
    encoder = AutoModel.from_config(model.config.encoder_config).train().to(options.device)
    known = model.config.encoder_config.to_dict() | {"vocab_size": VOCABULARY}
    for name in ("model_type", "architectures", "transformers_version"):
        known.pop(name, None)
    large, sparse = (
        ModernBertForMaskedLM(ModernBertConfig(**{**known, "sparse_prediction": sparsely})).train().to(options.device)
        for sparsely in (False, True)
    )
    stored, bare = (
        batches(model, kind, options.windows, options.length, options.device) for kind in ("token", "base")
    )
    shape = (options.windows, options.length)
    gradient = torch.randn(*shape, model.config.hidden_size, device=options.device)
    few = torch.randint(0, NUM_SPECIAL_TOKENS, shape, device=options.device)
    ids = torch.randint(NUM_SPECIAL_TOKENS, VOCABULARY, shape, device=options.device)
    labels = torch.where(stored["labelled"], ids, -100)
    seen = torch.ones(shape, dtype=torch.long, device=options.device)

    def step(network, loss):
        network.zero_grad(set_to_none=True)
        with torch.autocast(options.device.split(":")[0], torch.bfloat16, enabled=options.dtype == "bf16"):
            value = loss()
        value.backward(gradient.to(value.dtype) if value.ndim else None)

    def ours(batch):
        return lambda: model(**mask_batch(model.base_model, batch), masked_positions_only=True).loss

    def theirs(network):
        return lambda: network(input_ids=ids, attention_mask=seen, labels=labels).loss

    functions = {
        "encoder": lambda: step(encoder, lambda: encoder(input_ids=few, attention_mask=seen).last_hidden_state),
        "step": lambda: step(model, ours(stored)),
        "32k": lambda: step(large, theirs(large)),
        "32k, sparse": lambda: step(sparse, theirs(sparse)),
        "base masking": lambda: step(model, ours(bare)),
    }
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return functions, {
        "encoder": sum(p.numel() for p in encoder.parameters()),
        "step": trained,
        "32k": sum(p.numel() for p in large.parameters()),
    }


def figures(times: dict[str, float]) -> list[Figure]:
    def figure(name: str, first: str, second: str, bar: str = "") -> Figure:
        return Figure(name, times[first] / times[second], bar, f"{times[first]:.3f} s / {times[second]:.3f} s")

    return [
        figure("step on stored codes / the encoder alone", "step", "encoder", "<= 1.10"),
        figure("step on stored codes / ModernBertForMaskedLM, 32k", "step", "32k", "<= 0.80"),
        figure("step on stored codes / the same with sparse_prediction", "step", "32k, sparse"),
        figure("ModernBertForMaskedLM, 32k / the encoder alone", "32k", "encoder"),
        figure("the same with sparse_prediction / the encoder alone", "32k, sparse", "encoder"),
        figure("step of `base` masking / the encoder alone", "base masking", "encoder"),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.set_defaults(rounds=3)
    parser.add_argument("--preset", choices=["paper", "small"], default="paper", help="the encoder")
    parser.add_argument("--codec", default="paper-hrq", help="preset of the vocabulary")
    parser.add_argument("--windows", type=int, default=4, help="windows a batch")
    parser.add_argument("--length", type=int, default=512, help="positions a window")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], help="bf16 is autocast")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    native = options.device.startswith("cuda") or has_bf16_instructions()
    options.dtype = options.dtype or ("bf16" if native else "fp32")
    functions, sizes = contestants(options)
    times = median_seconds(functions, options.rounds, device=options.device)
    notes = [
        f"Encoder `{options.preset}`, vocabulary `{options.codec}`, batch {options.windows} x {options.length}, "
        f"{options.dtype}, {SHARE:.0%} labelled, {options.device}; medians of {options.rounds}. Trained parameters: "
        + ", ".join(f"{size / 1e6:.1f} M ({name})" for name, size in sizes.items())
        + "."
    ]
    if not native:
        notes.append(
            "This processor has no bf16 instructions" + (": bf16 is slow." if options.dtype == "bf16" else ".")
        )
    report(f"A masked pre-training step ({options.preset})", figures(times), options, notes)


if __name__ == "__main__":
    main()
