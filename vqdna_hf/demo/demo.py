"""`vqdna demo`: the checkpoint that comes with the package, on a simulated task and on tasks of one's own.

It shows the codes of a sequence and their decoding, adapts the encoder with LoRA, and compares it with controls. With
`--from-scratch` a vocabulary is learned and an encoder pre-trained first, on a simulated genome.
"""

from ..arguments.analysis import DemoArguments
from .checkpoint import demo_checkpoint
from .from_scratch import demo_from_scratch


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
        if arguments.data:
            raise ValueError(
                f"--data {arguments.data[0]} is for the demo of the checkpoint: leave --from-scratch out."
            )
        return demo_from_scratch(arguments)
    return demo_checkpoint(arguments)
