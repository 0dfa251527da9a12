"""The tables of a card as rows of text, and its list of limitations. A row whose facts are missing is left out."""

import math

from ..modeling.compiled_vqdna import TABLE_FILE
from ..runs.records import read_cuts
from .facts import CardFacts
from .scores import MODE_WORDS, TaskScores, dataset_name, metric_words


_MASKINGS = {
    "base": "masked before tokenization (`base`)",
    "token": "masked after tokenization (`token`, the paper's way)",
    "span": "masked in spans, before tokenization (`span`)",
}
_QUANTIZERS = {
    "vq": "one codebook (`vq`)",
    "rq": "residual (`rq`)",
    "hrq": "hierarchical residual (`hrq`)",
}


def count(number: float) -> str:
    """`80149923` -> `80,149,923`."""
    return f"{number:,.0f}"


def bases(number: float) -> str:
    """`80149923` -> `80.1 million`."""
    return f"{number / 1e6:,.1f} million" if number >= 1e6 else count(number)


def percent(share: float) -> str:
    """`0.427552` -> `42.8 %`."""
    return f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """`941.2` -> `16 min`."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.{0 if seconds >= 10 * size else 1}f} {unit}"
    return f"{seconds:.1f} s"


def vocabulary_table(facts: CardFacts) -> list[tuple[str, str]]:
    """What the vocabulary is."""
    codec, rows = facts.codec, []
    if codec is not None:
        sizes = " and ".join(map(count, codec.codebook_sizes))
        rows += [
            ("quantizer", _QUANTIZERS[codec.quantizer]),
            ("levels", f"{codec.num_levels}, with {sizes} codes"),
            ("ids", f"{count(math.prod(codec.codebook_sizes))}, one per combination of codes, and 5 special tokens"),
            ("code vectors", f"{codec.codebook_dim} dimensions"),
            ("bases that decide a code", f"{codec.receptive_field}: its own and {codec.halo} on either side"),
            ("network", f"{codec.num_hidden_layers} residual blocks of {codec.hidden_size} channels"),
        ]
        if codec.compiled:
            rows.append(
                ("compiled", f"codes are looked up in a table of all windows, `{TABLE_FILE}`, without the network")
            )
    if facts.fingerprint:
        rows.append(("fingerprint", f"`{facts.fingerprint}`"))
    return rows


def level_table(facts: CardFacts) -> list[tuple[int, int, str, str]]:
    """Codes of each level, how many are used, and their perplexity, on held-out DNA."""
    scores, rows = facts.vocabulary.get("eval", {}), []
    for level, size in enumerate(facts.codec.codebook_sizes if facts.codec else [], start=1):
        if f"usage_{level}" in scores:
            used, perplexity = scores[f"usage_{level}"], scores[f"perplexity_{level}"]
            rows.append((level, size, f"{round(used * size)} ({percent(used)})", f"{perplexity:.1f}"))
    return rows


def vocabulary_recipe(facts: CardFacts) -> list[tuple[str, str]]:
    """How the vocabulary was learned."""
    options = facts.vocabulary.get("arguments", {})
    if not options:
        return []
    warmup, length, first = options["warmup_steps"], options["length"], options["warmup_length"]
    windows = f"{length} bases"
    if warmup and first != length:
        windows = f"{first} bases in the first {count(warmup)} steps, then {length}"
    rows = [("windows", windows)]
    if facts.codec is not None:
        masked = "none: plain reconstruction"
        if facts.codec.mask_ratio:
            masked = f"{percent(facts.codec.mask_ratio)} of the input, all of it to be reconstructed (denoising)"
            if options.get("clean_steps"):
                masked += f"; none in the last {count(options['clean_steps'])} steps"
        rows.append(("masked bases", masked))
        if facts.codec.word_radius:
            rows.append(("words", f"each code names the {2 * facts.codec.word_radius + 1} bases around it by itself"))
        rows.append(("codebooks", _codebook_care(facts, options)))
    return rows + _optimization(facts.vocabulary, length)


def _codebook_care(facts: CardFacts, options: dict) -> str:
    care = f"moving averages (decay {facts.codec.ema_decay:g})"
    care += ", seeded by k-means" if options.get("kmeans") else ""
    threshold = facts.codec.restart_threshold
    return care + (f"; codes used less than {threshold:g} times the mean restart" if threshold else "")


def encoder_recipe(facts: CardFacts) -> list[tuple[str, str]]:
    """What the encoder is, and how it was pre-trained."""
    shape, options, rows = facts.config.get("encoder_config", {}), facts.encoder.get("arguments", {}), []
    if shape.get("hidden_size"):
        layers, width = shape.get("num_hidden_layers"), shape["hidden_size"]
        heads, plural = shape.get("num_attention_heads"), "" if layers == 1 else "s"
        encoder = f"{shape['model_type']}, {layers} layer{plural} of width {width}, {heads} attention heads"
        if shape.get("conv_dilations"):
            dilations = ", ".join(map(str, shape["conv_dilations"]))
            encoder += f"; before them convolutions of {shape['conv_kernel_size']} positions, dilated by {dilations}"
        rows.append(("encoder", encoder))
    if not options:
        return rows
    if "parameters" in facts.encoder:
        rows.append(("trained parameters", count(facts.encoder["parameters"])))
    if options.get("model"):
        how = "LoRA adapters, merged afterwards" if options.get("lora") else "all parameters"
        rows.append(("started from", f"`{options['model']}` ({how})"))
    window = facts.encoder.get("corpus", {}).get("window")
    strands = "both strands" if options.get("random_strand") else "the strand given"
    rows.append(("windows", f"{window} bases, {strands}" if window else strands))
    how = _MASKINGS.get(options["masking"], options["masking"])
    rows.append(("to be predicted", f"{percent(options['mask_ratio'])} of the bases, {how}"))
    return rows + _optimization(facts.encoder, window)


def _optimization(record: dict, length: int | None) -> list[tuple[str, str]]:
    """Steps, optimizer and time of either pre-training stage."""
    options, processes = record["arguments"], record.get("processes")
    batch = options["batch_size"] * options["gradient_accumulation_steps"]
    steps = f"{count(options['max_steps'])}, each of {count(batch * (processes or 1))} windows"
    if processes is None:
        steps += " per process"
    elif length:
        steps += f" (at most {bases(options['max_steps'] * batch * processes * length)} bases in all)"
    rate = f"peak learning rate {options['learning_rate']:g}"
    rows = [
        ("steps", f"{steps}; {count(options['warmup_steps'])} of them warm-up"),
        ("optimizer", f"AdamW, {rate}, cosine decay, weight decay {options['weight_decay']:g}"),
        ("precision", "bf16 autocast, codes in float32" if options["bf16"] else "float32"),
        ("seed", str(options["seed"])),
    ]
    return rows + ([("time", duration(record["seconds"]))] if "seconds" in record else [])


def adapter_table(facts: CardFacts) -> list[tuple[str, str]]:
    """The shape of LoRA adapters, and what they are adapters of."""
    options = facts.adapter
    if "r" not in options:
        return []
    rows = [("rank", str(options["r"])), ("alpha", f"{options['lora_alpha']:g}")]
    rows.append(("dropout", f"{options['lora_dropout']:g}"))
    heads = dict.fromkeys(f"`{name}`" for name in options.get("modules_to_save") or [] if name != "score")
    if heads:
        rows.append(("trained in full", ", ".join(heads)))
    if facts.base_model:
        rows.append(("adapters of", f"[{facts.base_model}](https://huggingface.co/{facts.base_model})"))
    elif options.get("base_model_name_or_path"):
        rows.append(("adapters of", f"`{options['base_model_name_or_path']}`, a directory that is not on the Hub"))
    return rows


def task_table(scores: list[TaskScores]) -> list[tuple[str, ...]]:
    """Task, what trained, score, dev, test, seeds."""
    return [
        (
            *(dataset_name(row.task), MODE_WORDS.get(row.mode, row.mode), metric_words(row.metric)),
            *(row.spread("dev"), row.spread("test"), str(len(row.seeds))),
        )
        for row in scores
    ]


def recipe_table(scores: list[TaskScores]) -> list[tuple[str, ...]]:
    """Task, sequences of each split and what was cut of them, epochs, batch, learning rate, pooling, strands."""
    rows = []
    for row in scores:
        counts, options = row.results[0].get("counts", {}), row.results[0].get("arguments", {})
        if "pooling" not in options or not counts:
            continue
        pooling = options["pooling"] + (f" ({options['pooling_bins']})" if options["pooling"] == "bins" else "")
        strands = [("rc_augment", "either, in training"), ("strand_average", "averaged, in prediction")]
        rate = options["learning_rate"]
        cuts = [str(cut) for cut in read_cuts(row.results[0])]
        linear = row.mode == "linear"  # fitted, not trained
        cells = (
            dataset_name(row.task),
            "; ".join([" / ".join(count(counts[split]) for split in ("train", "dev", "test")), *cuts]),
            "-" if linear else f"{options['epochs']:g}",
            "-" if linear else str(options["batch_size"] * options["gradient_accumulation_steps"]),
            "-" if linear else "default" if rate is None else f"{rate:g}",
            pooling,
            "; ".join(text for name, text in strands if options[name]) or "as given",
        )
        rows.append(cells)
    return rows


def training_state(facts: CardFacts) -> list[tuple[str, str]]:
    """How far a `Trainer` was when it saved a checkpoint, and its last evaluation."""
    state = facts.state
    if not state:
        return []
    rows = [("steps", f"{count(state['global_step'])} of {count(state['max_steps'])}")]
    if state.get("epoch") is not None:
        rows.append(("passes over the data", f"{state['epoch']:.4g}"))
    scores = next((log for log in reversed(state.get("log_history", [])) if "eval_loss" in log), {})
    speed = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
    for name, value in scores.items():
        if name.startswith("eval_") and name not in speed and isinstance(value, (int, float)):
            rows.append((f"last `{name}`", f"{value:.4g}"))
    return rows


def limitations(facts: CardFacts, scores: list[TaskScores]) -> list[str]:
    """What the directory is not good for, as far as its files tell."""
    points = []
    if facts.simulated:
        points.append(
            "**Trained on simulated DNA**, random bases with planted motifs: it has learned nothing about any genome, "
            "and its scores say nothing about real DNA."
        )
    elif facts.vocabulary.get("inputs"):
        points.append(
            f"{'It has' if facts.kind == 'vocabulary' else 'Vocabulary and encoder have'} seen the DNA above and no "
            "other; that of other organisms and regions may be represented worse."
        )
    points.append("One code per base: unlike byte pairs, codes do not make a sequence shorter, or cheaper to encode.")
    if facts.codec is not None and not facts.one_hot:
        points.append(
            f"A code depends on the {facts.codec.receptive_field} bases around it and on nothing else. The codes of a "
            "sequence and of its reverse complement differ."
        )
    window = facts.encoder.get("corpus", {}).get("window")
    if window and facts.kind != "probe":
        points.append(f"The encoder was pre-trained on windows of {window} bases, and has seen no longer range there.")
    if facts.kind in ("vocabulary", "encoder") and facts.vocabulary.get("eval"):
        points.append("Reconstruction is learned early and easily, and is no evidence of a good vocabulary.")
    if any(len(row.seeds) == 1 for row in scores):
        points.append("A score of one seed may be off by several points.")
    points.append(
        "Lower case is read as upper case and U as T. N and the other IUPAC letters become [UNK], and the network "
        "does not see them. White space, gaps and any other character are refused."
    )
    points += facts.notes.get("limitations", [])
    return [*points, "Research only, **not for clinical use**: nothing here was validated for diagnosis or treatment."]
