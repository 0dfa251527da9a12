"""Masked pre-training with the plain transformers `Trainer`: the masking is a data set and a collator.

Trains: an encoder over a frozen vocabulary (stage 2). On: a corpus of `vqdna tokenize`, or a simulated one. Takes: two
minutes on one CPU core as it is; `vqdna pretrain` also logs every level and the neighbours-only predictor.
"""

import argparse
from pathlib import Path

from small_data import new_directory, small_corpus, small_tokenizer
from transformers import AutoTokenizer, Trainer, TrainingArguments

from vqdna_hf import VQDNAConfig, VQDNAForMaskedLM
from vqdna_hf.data import Corpus
from vqdna_hf.training.masking import MaskedWindows, Masking, MaskingCollator, mask_batch


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--corpus", type=Path, help="corpus directory; a simulated one when not given")
parser.add_argument("--tokenizer", type=Path, help="tokenizer directory; a small one is trained when not given")
parser.add_argument("--output", type=Path, help="directory to write; a temporary one when not given")
parser.add_argument("--preset", default="tiny")
parser.add_argument("--masking", default="base", choices=("base", "token", "span"))
parser.add_argument("--max-steps", type=int, default=200)
parser.add_argument("--batch-size", type=int, default=16)
args = parser.parse_args()
output = args.output or new_directory() / "model"
tokenizer = AutoTokenizer.from_pretrained(args.tokenizer or small_tokenizer(output.parent))
corpus = Corpus.load(args.corpus or small_corpus(output.parent))
corpus.check_fingerprint(tokenizer.vocabulary_fingerprint)

config = VQDNAConfig.from_preset(args.preset, codec_config=tokenizer.codec.config)
model = VQDNAForMaskedLM(config)
model.codec.load_state_dict(tokenizer.codec.state_dict())

masking = Masking(args.masking, ratio=0.25, halo=tokenizer.codec.config.halo, num_codes=len(tokenizer) - 5)
collate = MaskingCollator()


def mask(items: list[dict]) -> dict:
    """Pads windows, hides what is to be predicted, and tokenizes with the model's own codec."""
    batch = collate(items)
    batch = {name: values.to(model.device) for name, values in batch.items()}
    return mask_batch(model.vqdna, batch)


trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=str(output),
        max_steps=args.max_steps,
        per_device_train_batch_size=args.batch_size,
        learning_rate=2e-3,
        warmup_steps=0.1,
        lr_scheduler_type="cosine",
        logging_steps=20,
        save_strategy="no",
        remove_unused_columns=False,  # the masking needs columns that `forward` does not know
        dataloader_pin_memory=False,
        label_names=["labels", "base_labels"],
        report_to="none",
    ),
    train_dataset=MaskedWindows(corpus.split("train"), args.max_steps * args.batch_size, masking, seed=0),
    eval_dataset=MaskedWindows(corpus.split("validation"), 64, masking, seed=0, random_strand=False),
    data_collator=mask,
)
trainer.train()
print(trainer.evaluate())
model.save_pretrained(output)
tokenizer.save_pretrained(output)
print(f"The model is in {output}")
