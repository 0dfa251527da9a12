"""`vqdna demo --from-scratch`: a simulated genome and a simulated task through all three stages.

Nothing here is real DNA. What it shows is that the stages work together, not how good a vocabulary is.
"""

import logging
import time
from pathlib import Path

from ..runs.files import read_json
from .simulation import write_simulation
from .steps import prepare_output, print_and_keep, reloaded_accuracy, run


logger = logging.getLogger(__name__)


def demo_from_scratch(arguments) -> list[dict]:
    """Simulate data, run every stage for a learned vocabulary and for the one-hot control, print one table.

    Args:
        arguments ([`DemoArguments`]): `output`, `seed`, `steps`, `epochs` and `overwrite`.

    Returns:
        The rows of the table.
    """
    started, output = time.time(), Path(arguments.output)
    prepare_output(output, arguments.overwrite)
    fasta, task = write_simulation(output / "data", arguments.seed)
    logger.info("The genome and the task in %s are simulated: random bases with planted motifs.", output / "data")
    steps, seed = str(arguments.steps), str(arguments.seed)
    genome = ["--fasta", str(fasta)]
    training = ["--max-steps", steps, "--warmup-steps", "50", "--seed", seed, "--batch-size", "16"]
    training += ["--logging-steps", "50", "--eval-steps", steps, "--save-steps", steps, "--eval-windows", "64"]
    run(
        *("train-tokenizer", *genome, "--output", str(output / "tokenizer"), "--eval-contigs", "sim4"),
        *("--warmup-length", "48", "--length", "96", "--learning-rate", "2e-3", *training),
    )
    run("one-hot-tokenizer", "--output", str(output / "one-hot-tokenizer"))
    run("tokenize", *genome, "--output", str(output / "corpus"), "--eval-contigs", "sim4", "--window", "96")
    rows = []
    for name, modes in (("tokenizer", ("lora", "end-to-end")), ("one-hot-tokenizer", ("lora", "full"))):
        kind = "one-hot" if name.startswith("one-hot") else "learned"
        model = output / f"{kind}-encoder"
        run(
            *("pretrain", "--corpus", str(output / "corpus"), "--tokenizer", str(output / name)),
            *("--output", str(model), "--preset", "tiny", "--learning-rate", "3e-3", *training),
            *("--neighbour-steps", "100"),
        )
        for mode in modes:
            results = output / f"{kind}-{mode}"
            run(
                *("finetune", "--data", str(task), "--model", str(model), "--output", str(results)),
                *("--mode", mode, "--epochs", str(arguments.epochs or 6), "--seed", seed, "--learning-rate", "3e-3"),
                *("--pooling", "max"),
            )
            rows.append({"vocabulary": kind, **read_json(results / "results.json")})
    reloaded = reloaded_accuracy(output / "learned-end-to-end", task / "test.csv")
    print_and_keep(_table(rows, output, reloaded, time.time() - started), output)
    return rows


def _table(rows: list[dict], output: Path, reloaded: float, seconds: float) -> list[str]:
    lines = ["", "Simulated promoter-like task, MCC (one seed; simulated data say nothing about real DNA)", ""]
    lines.append(f"{'vocabulary':12s} {'mode':12s} {'dev':>8s} {'test':>8s} {'seconds':>8s}")
    for row in rows:
        dev, test = row["dev"]["mcc"], row["test"]["mcc"]
        lines.append(f"{row['vocabulary']:12s} {row['mode']:12s} {dev:8.3f} {test:8.3f} {row['seconds']:8.0f}")
    lines.append("")
    lines.append(f"Reloaded by AutoTokenizer and AutoModelForSequenceClassification: test accuracy {reloaded:.3f}")
    lines.append(f"Everything is in {output}; {seconds / 60:.1f} minutes")
    return lines
