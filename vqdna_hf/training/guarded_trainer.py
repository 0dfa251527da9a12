"""A `Trainer` that ends with one clear error: when it diverges, or when a checkpoint cannot be written or read."""

import shutil
from pathlib import Path

from transformers.trainer import TRAINER_STATE_NAME

from ..runs.processes import LaunchedTrainer
from ..runs.resume import reading, writing
from .finite_weights import DivergedError, check_losses, diverged, first_not_finite


class GuardedTrainer(LaunchedTrainer):
    """Looks at losses and weights whenever it logs, before each checkpoint, and at the end.

    Raises:
        DivergedError: (`train`, `evaluate`) a loss or a weight is not finite; the checkpoint to resume from holds
            such weights.
        ValueError: (`train`) a file of the checkpoint to resume from is damaged.
        OSError: (`train`) a checkpoint cannot be written. What there is of it is removed; older ones stay.
    """

    def train(self, *args, **kwargs):
        """Train as the base class does; what comes back has finite weights."""
        result = super().train(*args, **kwargs)
        self._check_weights()
        return result

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log as the base class does, but no step from which there is no way back."""
        check_losses(logs, self.state.global_step, self.args.learning_rate)
        if self.is_in_train:
            self._check_weights()
        super().log(logs, start_time)

    def _check_weights(self):
        if (name := first_not_finite(self.model)) is not None:
            text = f"the weights are not finite ({name})"
            raise DivergedError(diverged(text, self.state.global_step, self.args.learning_rate))

    def _save_checkpoint(self, model, trial):
        self._check_weights()
        place = Path(self.args.output_dir, f"checkpoint-{self.state.global_step}")
        try:
            with writing(place, "Free some space and resume with --resume: an older checkpoint is whole."):
                super()._save_checkpoint(model, trial)
        except OSError:
            if self.args.should_save and not (place / TRAINER_STATE_NAME).is_file():
                shutil.rmtree(place, ignore_errors=True)
            raise

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None):
        with reading(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        if (name := first_not_finite(self.model)) is not None:
            raise DivergedError(
                f"{resume_from_checkpoint} holds weights that are not finite ({name}): its run has diverged, and "
                "cannot be resumed. Begin again with a lower --learning-rate, in another --output."
            )

    def _load_optimizer_and_scheduler(self, checkpoint: str | None):
        with reading(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None):
        with reading(checkpoint):
            super()._load_rng_state(checkpoint)

    def _load_best_model(self):
        with reading(self.state.best_model_checkpoint):
            super()._load_best_model()
