"""A callback that leaves a model card in every directory a `Trainer` saves."""

import json
from pathlib import Path

from peft import PeftModel
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from .card import write_card_of_run


class ModelCardCallback(TrainerCallback):
    """Writes a README.md into every checkpoint and, at the end of training, into the output directory.

    For any `Trainer` with a VQDNA model; the commands use it for their checkpoints too. With
    `processing_class=tokenizer` the cards also say how to use what was saved.

        trainer = Trainer(model=model, processing_class=tokenizer, callbacks=[ModelCardCallback()], ...)
        trainer.train()
        trainer.save_model()

    At the end of training it also writes the trainer's state (steps, evaluations) beside the card, as
    `trainer.save_state()` does. Adapters are an exception: `save_model` lets peft write over the card. Call
    `write_model_card(output_dir)` behind it, which is also how to bring test scores into a card.

    Args:
        at_end: whether the end of training writes into the output directory.
    """

    def __init__(self, at_end: bool = True):
        self.at_end = at_end

    def on_save(self, args, state, control, **kwargs):
        checkpoint = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        if state.is_world_process_zero and checkpoint.is_dir():
            write_card_of_run(checkpoint, {})

    def on_train_end(self, args, state, control, model=None, processing_class=None, **kwargs):
        if not self.at_end or not state.is_world_process_zero or isinstance(model, PeftModel):
            return
        output = Path(args.output_dir)
        output.mkdir(parents=True, exist_ok=True)
        state.save_to_json(str(output / "trainer_state.json"))
        # what `trainer.save_model()` is going to write
        config = json.loads(model.config.to_json_string()) | {"architectures": [type(model).__name__]}
        records = {"config.json": config}
        if hasattr(processing_class, "vocabulary_fingerprint"):
            records["tokenizer_config.json"] = {"vocabulary_fingerprint": processing_class.vocabulary_fingerprint}
        write_card_of_run(output, records)
