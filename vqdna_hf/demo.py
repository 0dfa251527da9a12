"""`vqdna demo`: the checkpoint that comes with the package, on a simulated task and on tasks of one's own.

It shows the codes of a sequence and their decoding, adapts the encoder with LoRA, and compares it with controls. With
`--from-scratch` a vocabulary is learned and an encoder pre-trained first, on a simulated genome.
"""

from dataclasses import dataclass

from .demo_simulation import simulate_contig, simulate_sequence, write_genome, write_simulation, write_task
from .demo_steps import run
from .training.arguments import option


@dataclass(kw_only=True)
class DemoArguments:
    """Show the checkpoint of the package at work, beside controls; or run all stages on simulated data."""

    output: str = option("demo-output", "directory to write")
    data: list[str] = option(
        [], "further task: directory with train, dev and test files, such as one of GUE; give it once per directory"
    )
    max_rows: int = option(
        2000, "most rows of a --data directory's train, and of its dev; 0 takes all, which takes longer"
    )
    pooling: str = option(
        "mean+max", "of the networks, as for `vqdna finetune`: bins suits tasks aligned to a position"
    )
    epochs: int | None = option(
        None, "passes over the training data; when not given 4, of the CNN 10, and 6 with --from-scratch"
    )
    seed: int = option(0, "seed of the simulation and of everything that trains")
    from_scratch: bool = option(False, "learn a vocabulary and pre-train an encoder on a simulated genome instead")
    steps: int = option(200, "training steps of each of the first two stages, with --from-scratch")
    overwrite: bool = option(True, "replace the results of an earlier demo")


def demo(arguments: DemoArguments) -> list[dict]:
    """Run the demo that is asked for, print its table and write it to `table.txt`.

    Returns:
        The rows of the table.

    Raises:
        ValueError: options that do not go together, a `--data` directory without a task (`TaskDataError`), with
            several labels a row or inside the output, or an output directory that no demo wrote; nothing is touched
            then.
        RuntimeError: a command of the demo failed.
    """
    if arguments.from_scratch:
        from .demo_from_scratch import demo_from_scratch

        if arguments.data:
            raise ValueError(
                f"--data {arguments.data[0]} is for the demo of the checkpoint: leave --from-scratch out."
            )
        return demo_from_scratch(arguments)
    from .demo_checkpoint import demo_checkpoint

    return demo_checkpoint(arguments)


__all__ = [
    "DemoArguments",
    "demo",
    "run",
    "simulate_contig",
    "simulate_sequence",
    "write_genome",
    "write_simulation",
    "write_task",
]
