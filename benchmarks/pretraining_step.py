"""A masked pre-training step (forward and backward) by kind of masking, beside the encoder alone, and beside one over
32,768 tokens.

The step is that of `vqdna pretrain`: masking, code vectors, projection, encoder, heads on the labelled quarter of the
positions, losses of all levels and of the base, backward. On stored codes (`token` masking of windows whose codes are
in the corpus) nothing is tokenized; `base` masking tokenizes each window twice, clean and masked, and `span` masking
once, from the table of a compiled vocabulary. No side has an optimizer. Beside it, with the very same encoder
configuration and as many positions, where that is one of transformers':

    the encoder     the model of transformers, from ids of its own small table; the gradient of its output is given
    a 32k model     `ModernBertForMaskedLM` with 32,768 ids and the same positions labelled: by its default
                    configuration, logits at every position, and with `sparse_prediction`

What the kinds of masking hand to the model has the same shapes, and what they do before is timed by itself: of whole
steps, which vary by several hundredths from turn to turn, the difference would not be seen.

The vocabulary has random weights and, where it is narrow enough for one, a table of random codes of the size that
compiling it gives: to look a code up takes as long whatever it says, and compiling takes minutes. With `--no-table`
its network tokenizes.

    python benchmarks/pretraining_step.py                          # the paper's 12 layers of 768, and `small-conv`
    python benchmarks/pretraining_step.py --preset small-conv      # a minute
    python benchmarks/pretraining_step.py --codec paper-hrq        # a wide vocabulary
    python benchmarks/pretraining_step.py --device cuda

On a GPU, and on a CPU with instructions for it, the default is bf16 autocast, otherwise float32: a CPU without them
computes bf16 several times slower than float32, on each side in another measure. On a CPU the time is that of this
process alone, which does not count what the machine did for others.
"""

import argparse
import time

import numpy as np
import torch
from measuring import Figure, add_arguments, has_bf16_instructions, median_seconds, report
from transformers import AutoModel, ModernBertConfig, ModernBertForMaskedLM

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNAConfig, VQDNAForMaskedLM
from vqdna_hf.modeling.compiled_vqdna import CodeTable, is_narrow, letters_for
from vqdna_hf.modeling.configuration_vqdna import NUM_SPECIAL_TOKENS
from vqdna_hf.training.masking import Masking, MaskingCollator, mask_batch


VOCABULARY = 32_768
SHARE = 0.25
# what a step may take with `base` masking, of one on stored codes
BARS = {"paper": "<= 1.03", "small-conv": "<= 1.10"}
# contestant -> kind of masking
STEPS = {"step": "token", "base masking": "base", "span masking": "span"}


def random_table(codec: VQDNACodecModel) -> CodeTable:
    """Codes drawn at random, as many as compiling the codec would give."""
    config = codec.config
    letters, ids = letters_for(config.receptive_field, config.vocab_size), config.vocab_size - NUM_SPECIAL_TOKENS
    dtype = np.uint16 if ids <= 1 << 16 else np.uint32
    codes = np.random.default_rng(0).integers(0, ids, CodeTable.size(letters, config.halo), dtype=dtype)
    return CodeTable(codes, letters, config.halo, codec.fingerprint())


def batches(model: VQDNAForMaskedLM, kind: str, options: argparse.Namespace) -> dict[str, torch.Tensor]:
    """A collated batch of random windows, for `token` masking with the codes that a corpus stores."""
    rng, length = np.random.default_rng(0), options.length - 2  # without [CLS] and [SEP]
    config = model.config.codec_config
    masking = Masking(kind, SHARE, config.halo, model.config.vocab_size - NUM_SPECIAL_TOKENS)
    items = []
    for _ in range(options.windows):
        bases = rng.integers(0, 4, length)
        codes = rng.integers(NUM_SPECIAL_TOKENS, model.config.vocab_size, length) if kind == "token" else None
        items.append(masking.item(bases, rng, codes))
    return {name: value.to(options.device) for name, value in MaskingCollator()(items).items()}


def step(network, loss, options: argparse.Namespace, gradient: torch.Tensor | None = None):
    """Forward and backward; `gradient` is that of an output which is no loss."""
    network.zero_grad(set_to_none=True)
    with torch.autocast(options.device.split(":")[0], torch.bfloat16, enabled=options.dtype == "bf16"):
        value = loss()
    value.backward(None if gradient is None else gradient.to(value.dtype))


def our_steps(model: VQDNAForMaskedLM, options: argparse.Namespace) -> dict:
    """A step of `vqdna pretrain` by each kind of masking, and what `base` masking does before the model runs."""

    def ours(batch):
        return lambda: model(**mask_batch(model.base_model, batch), masked_positions_only=True).loss

    collated = {name: batches(model, kind, options) for name, kind in STEPS.items()}
    losses = {name: ours(batch) for name, batch in collated.items()}
    functions = {name: lambda loss=loss: step(model, loss, options) for name, loss in losses.items()}
    return functions | {"codes": lambda: mask_batch(model.base_model, collated["base masking"])}


def their_steps(model: VQDNAForMaskedLM, options: argparse.Namespace) -> tuple[dict, dict[str, int]]:
    """Steps of transformers' own models with our encoder's configuration, and their parameters."""
    encoder = AutoModel.from_config(model.config.encoder_config).train().to(options.device)
    known = model.config.encoder_config.to_dict() | {"vocab_size": VOCABULARY}
    for name in ("model_type", "architectures", "transformers_version"):
        known.pop(name, None)
    large, sparse = (
        ModernBertForMaskedLM(ModernBertConfig(**{**known, "sparse_prediction": sparsely})).train().to(options.device)
        for sparsely in (False, True)
    )
    shape = (options.windows, options.length)
    gradient = torch.randn(*shape, model.config.hidden_size, device=options.device)
    few = torch.randint(0, NUM_SPECIAL_TOKENS, shape, device=options.device)
    ids = torch.randint(NUM_SPECIAL_TOKENS, VOCABULARY, shape, device=options.device)
    labels = torch.where(batches(model, "token", options)["labelled"], ids, -100)
    seen = torch.ones(shape, dtype=torch.long, device=options.device)

    def theirs(network):
        return lambda: step(network, lambda: network(input_ids=ids, attention_mask=seen, labels=labels).loss, options)

    def states():
        return encoder(input_ids=few, attention_mask=seen).last_hidden_state

    functions = {"encoder": lambda: step(encoder, states, options, gradient)}
    functions |= {"32k": theirs(large), "32k, sparse": theirs(sparse)}
    return functions, {
        name: sum(p.numel() for p in net.parameters()) for name, net in (("encoder", encoder), ("32k", large))
    }


def contestants(options: argparse.Namespace) -> tuple[dict, dict[str, int]]:
    """The functions to time, and the parameters behind each."""
    torch.manual_seed(0)
    codec = VQDNACodecConfig.from_preset(options.codec)
    model = VQDNAForMaskedLM(VQDNAConfig.from_preset(options.preset, codec_config=codec))
    if options.table:
        model.codec.table = random_table(model.codec)
    model = model.train().to(options.device)
    sizes = {"step": sum(p.numel() for p in model.parameters() if p.requires_grad)}
    functions = our_steps(model, options)
    if model.config.encoder_config.model_type == "modernbert":
        theirs, their_sizes = their_steps(model, options)
        functions, sizes = functions | theirs, sizes | their_sizes
    return functions, sizes


def figures(times: dict[str, float], options: argparse.Namespace) -> list[Figure]:
    """The lines of an encoder; the bar of `base` masking is that of a compiled vocabulary."""

    def figure(name: str, first: str, second: str, bar: str = "") -> Figure:
        detail = f"{times[first]:.4g} s / {times[second]:.4g} s"
        return Figure(f"`{options.preset}`: {name}", times[first] / times[second], bar, detail)

    bar = BARS.get(options.preset, "") if options.table else ""
    found = [
        Figure(
            f"`{options.preset}`: step on stored codes, with `base` masking before it / step on stored codes",
            (times["step"] + times["codes"]) / times["step"],
            bar,
            f"{times['codes'] * 1e3:.2f} ms more than {times['step']:.4g} s",
        ),
        figure("step of `base` masking / step on stored codes", "base masking", "step"),
        figure("step of `span` masking / step on stored codes", "span masking", "step"),
    ]
    if "encoder" not in times:
        return found
    return [
        *found,
        figure("step on stored codes / the encoder alone", "step", "encoder", "<= 1.10"),
        figure("step on stored codes / ModernBertForMaskedLM, 32k", "step", "32k", "<= 0.80"),
        figure("step on stored codes / the same with sparse_prediction", "step", "32k, sparse"),
        figure("ModernBertForMaskedLM, 32k / the encoder alone", "32k", "encoder"),
        figure("the same with sparse_prediction / the encoder alone", "32k, sparse", "encoder"),
        figure("step of `base` masking / the encoder alone", "base masking", "encoder"),
    ]


def measured(options: argparse.Namespace) -> tuple[list[Figure], str]:
    """The lines of one encoder, `options.preset`, and what they are of."""
    functions, sizes = contestants(options)
    # steps of a small encoder are short
    rounds = options.rounds or (5 if options.preset == "paper" else 21)
    clock = time.process_time if options.device == "cpu" else None
    times = median_seconds(functions, rounds, device=options.device, clock=clock)
    codes = "with a table of codes" if options.table else "by its network"
    note = (
        f"Encoder `{options.preset}`, vocabulary `{options.codec}` {codes}, batch {options.windows} x "
        f"{options.length}, {options.dtype}, {SHARE:.0%} labelled, {options.device}; medians of {rounds}. "
        "Trained parameters: " + ", ".join(f"{size / 1e6:.1f} M ({name})" for name, size in sizes.items()) + "."
    )
    return figures(times, options), note


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.set_defaults(rounds=None)
    presets = ["paper", "small", "small-conv"]
    parser.add_argument("--preset", nargs="+", choices=presets, default=["paper", "small-conv"], help="the encoders")
    parser.add_argument("--codec", default="compact", help="preset of the vocabulary")
    parser.add_argument("--no-table", dest="table", action="store_false", help="tokenize by the network")
    parser.add_argument("--windows", type=int, default=4, help="windows a batch")
    parser.add_argument("--length", type=int, default=512, help="positions a window")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], help="bf16 is autocast")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    native = options.device.startswith("cuda") or has_bf16_instructions()
    options.dtype = options.dtype or ("bf16" if native else "fp32")
    options.table &= is_narrow(VQDNACodecConfig.from_preset(options.codec))
    found, notes = [], []
    for preset in options.preset:
        lines, note = measured(argparse.Namespace(**{**vars(options), "preset": preset}))
        found += lines
        notes.append(note)
    if not native:
        notes.append(
            "This processor has no bf16 instructions" + (": bf16 is slow." if options.dtype == "bf16" else ".")
        )
    report("A masked pre-training step", found, options, notes)


if __name__ == "__main__":
    main()
