"""Stage 2, second part: masked pre-training over a frozen vocabulary, learned or ordinary."""

import time
from pathlib import Path

from peft import get_peft_model
from transformers import set_seed

from ..arguments.training import PretrainArguments
from ..cards.callback import ModelCardCallback
from ..checkpoints.lineage import encoder_record, vocabulary_record
from ..data import Corpus
from ..lora import lora_config
from ..runs.resume import check_same_run, find_checkpoint
from .masking import MaskedWindows
from .objectives import Objective, objective_of
from .recipes import apply_recipe, training_arguments
from .recording import RecordingTrainer, eval_scores, finish_run, windows_per_step
from .speed import set_attention, speed_arguments


class PretrainTrainer(RecordingTrainer):
    """Logs what an objective says of its predictions; the heads run on the labelled positions alone.

    Windows of a corpus are as long as one another but for the last of each contig: of windows of 512 bases in batches
    of 64, padding is 0.004 % (human), 0.03 % (yeast) and 0.6 % (1331 windows of short virus genomes) of the positions,
    so that nothing would be gained by packing them.
    """

    def __init__(self, *args, objective: Objective, **kwargs):
        self.objective = objective
        super().__init__(*args, data_collator=objective.collator, **kwargs)

    def _prepare_inputs(self, inputs):
        return self.objective.prepare(self.model, super()._prepare_inputs(inputs))

    def compute_loss(self, model, inputs, return_outputs: bool = False, num_items_in_batch=None):
        outputs = model(**inputs, masked_positions_only=True)
        for name, value, weight in self.objective.scores(inputs, outputs):
            self.record(name, value, weight)
        return (outputs.loss, outputs) if return_outputs else outputs.loss


def pretrain(arguments: PretrainArguments) -> dict:
    """Pre-train an encoder to predict masked codes and bases; masked tokens, where the tokenizer is an ordinary one.

    Windows, their order and strands, the encoder and the optimizer are the same for every vocabulary.

    Returns:
        The summary that is also written to `training.json`.

    Raises:
        ValueError: a tokenizer, corpus and model that do not belong together, an unfinished run in the output
            directory, or options that do not fit together.
    """
    started, output = time.time(), Path(arguments.output)
    objective = objective_of(arguments)
    apply_recipe(arguments, objective.recipe)
    corpus = Corpus.load(arguments.corpus)
    objective.read(corpus)
    checkpoint = find_checkpoint(output, arguments.resume, "training.json")
    set_seed(arguments.seed)
    model = objective.build_model()
    set_attention(model, arguments.attn_implementation)
    if arguments.lora:
        model = get_peft_model(model, lora_config(model))
    trainer = _trainer(arguments, objective, model, corpus)
    settings = {**arguments.settings(), **objective.identity}
    check_same_run(output, "run.json", settings, arguments.resume)
    trainer.train(resume_from_checkpoint=checkpoint)
    metrics = eval_scores(trainer.evaluate())
    summary = {
        **objective.identity,
        "eval": metrics | objective.further_scores(model, trainer, metrics),
        "corpus": {"inputs": corpus.manifest.get("inputs"), "window": corpus.manifest.get("window")},
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        **objective.record(model, trainer),
        **_lineage(arguments, objective.fingerprint),
    }
    finish_run(arguments, model, objective.tokenizer, summary, started - trainer.seconds_before)
    return summary


def _trainer(arguments: PretrainArguments, objective: Objective, model, corpus: Corpus) -> PretrainTrainer:
    training = training_arguments(arguments, **speed_arguments(arguments), **objective.training_options)
    num_windows, held_out = arguments.max_steps * windows_per_step(training), corpus.split("validation")
    num_held_out = min(arguments.eval_windows, len(held_out))
    return PretrainTrainer(
        model=model,
        args=training,
        train_dataset=MaskedWindows(
            corpus.split("train"), num_windows, objective.masking, arguments.seed, arguments.random_strand
        ),
        eval_dataset=MaskedWindows(held_out, num_held_out, objective.masking, 0, False),
        callbacks=[ModelCardCallback(at_end=False)] if objective.identity else [],
        objective=objective,
    )


def _lineage(arguments: PretrainArguments, fingerprint: str | None) -> dict[str, dict]:
    """The records of the vocabulary and of the encoder that training started from, as far as there are any."""
    records = {"vocabulary": vocabulary_record(arguments.tokenizer, fingerprint)}
    if arguments.model is not None:
        records["encoder"] = encoder_record(arguments.model, fingerprint)
    return {name: record for name, record in records.items() if record}
