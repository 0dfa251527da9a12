"""Stage 1: the `Trainer` that learns a vocabulary. It overrides hooks only."""

import numpy as np
import torch
from transformers import TrainerCallback

from ..data.windows import NucleotideCollator
from ..metrics.codebook import codebook_usage, perplexity
from ..runs.processes import refuse_fsdp
from .recording import RecordingTrainer, windows_per_step


class CodecCollator(NucleotideCollator):
    """Pads windows, and makes the bases themselves the labels where none were given."""

    def __call__(self, items: list[dict]) -> dict[str, torch.Tensor]:
        batch = super().__call__(items)
        if "labels" not in batch:
            ids = batch["nucleotide_ids"]
            batch["labels"] = torch.where(ids < 4, ids, -100)
        return batch


class CodebookCallback(TrainerCallback):
    """Moves the codebooks: one EMA step per optimizer step, k-means before the first step and after the warm-up.

    Args:
        kmeans_steps: optimizer steps after which the codebooks are re-seeded ("Repeated K-means once after warm-up").
        dataset: the training windows, of which k-means sees some.
        windows_per_step: windows of an optimizer step, whose bases the cluster sizes will sum to.
        kmeans_positions: latents k-means sees at least, as far as there are that many.
    """

    def __init__(self, dataset, kmeans_steps: tuple[int, ...], windows_per_step: int, kmeans_positions: int = 65_536):
        self.dataset, self.kmeans_steps = dataset, kmeans_steps
        self.windows_per_step, self.kmeans_positions = windows_per_step, kmeans_positions

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        model.quantizer.defer_updates = True
        if state.global_step == 0 and 0 in self.kmeans_steps:
            self._kmeans(model, 0, args.seed)

    def on_optimizer_step(self, args, state, control, model=None, **kwargs):
        model.quantizer.update()

    def on_train_end(self, args, state, control, model=None, **kwargs):
        model.quantizer.defer_updates = False  # from here on a plain training loop moves the codebooks itself

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step in self.kmeans_steps:
            self._kmeans(model, state.global_step, args.seed)

    @torch.no_grad()
    def _kmeans(self, model, step: int, seed: int):
        first = min(step * self.windows_per_step, len(self.dataset) - 1)
        length = len(self.dataset[first]["nucleotide_ids"])
        # at least 16 latents a code, as far as the data reach; near the end of a short run, windows before this step
        wanted = max(self.kmeans_positions, 16 * max(model.config.codebook_sizes))
        windows = min(-(-wanted // length), len(self.dataset))
        first = min(first, len(self.dataset) - windows)
        rows = range(first, first + windows)
        latents: list[list[torch.Tensor]] = [[] for _ in model.config.quantized_layers]
        for start in range(rows.start, rows.stop, 64):
            batch = CodecCollator()(self.dataset.__getitems__(list(range(start, min(start + 64, rows.stop)))))
            inside = batch["attention_mask"].bool()
            for kept, latent in zip(latents, model.latents(batch["nucleotide_ids"].to(model.device))):
                kept.append(latent[inside.to(latent.device)])
        sample = [torch.cat(kept).unsqueeze(0) for kept in latents]
        # every process reads the same windows; the first one's codes are taken
        model.quantizer.kmeans_(sample, total_size=float(self.windows_per_step * length), seed=seed)


class VQDNACodecTrainer(RecordingTrainer):
    """Learns a vocabulary, logging every part of the loss, and usage and perplexity per level.

    The codebooks make one EMA step per optimizer step, of all its micro-batches and processes together, and the loss
    is a mean over all bases of that step: how its windows are spread over processes and micro-batches changes nothing.

    Raises:
        ValueError: FSDP is asked for.
    """

    def __init__(self, *args, kmeans_steps: tuple[int, ...] = (), **kwargs):
        refuse_fsdp("Learning a vocabulary")
        super().__init__(*args, data_collator=CodecCollator(), **kwargs)
        # what makes the base class count the labels of a whole step; the model itself is not given the count
        self.model_accepts_loss_kwargs = True
        self.add_callback(CodebookCallback(self.train_dataset, kmeans_steps, windows_per_step(self.args)))

    def compute_loss(self, model, inputs, return_outputs: bool = False, num_items_in_batch=None):
        outputs = model(**inputs)
        labels, loss = inputs["labels"], outputs.loss
        known = (labels >= 0).sum()
        if num_items_in_batch is not None and self.model.training:
            # subtle: unknown bases count for nothing, so that a mean of means would weigh the parts of a step wrongly
            share = known.to(loss.dtype) / torch.as_tensor(num_items_in_batch).to(loss)
            loss = loss * share * self.args.world_size
        masked = ((inputs["nucleotide_ids"] == 5) & (labels >= 0)).sum()
        for name in ("reconstruction_loss", "commitment_loss", "accuracy"):
            self.record(name, getattr(outputs, name), known)
        self.record("hidden_accuracy", outputs.hidden_accuracy, masked)
        if outputs.word_loss is not None:
            self.record("word_loss", outputs.word_loss, known)
        for level, counts in enumerate(outputs.counts, start=1):
            self.record_counts(f"level_{level}", counts)
        return (loss, outputs) if return_outputs else loss

    def summarize(self, name: str, sums: torch.Tensor) -> dict[str, float]:
        if not name.startswith("level_"):
            return super().summarize(name, sums)
        counts, level = np.asarray(sums.cpu()), name.removeprefix("level_")
        return {f"usage_{level}": codebook_usage(counts), f"perplexity_{level}": perplexity(counts)}
