"""Masked pre-training with the plain transformers `Trainer`: the masking is a data set and a collator.

    python examples/08_pretrain_mlm.py --corpus small/corpus --tokenizer small/tokenizer --output encoder

`vqdna pretrain` does the same, with checks, a record and exact resumption, and logs every level of the vocabulary and
the neighbours-only predictor.

Trains: an encoder over a frozen vocabulary (stage 2). On: a corpus of `vqdna tokenize`. Takes: a minute on one CPU
core as it is; real DNA needs more (that of docs/evidence/three-tasks.md:
`--preset small --max-steps 1500 --batch-size 32`).
"""

import argparse

from transformers import AutoTokenizer, Trainer, TrainingArguments, set_seed

from vqdna_hf import VQDNAConfig, VQDNAForMaskedLM
from vqdna_hf.data import Corpus
from vqdna_hf.training.masking import MaskedWindows, Masking, MaskingCollator, mask_batch


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--corpus", required=True, help="directory of a corpus")
parser.add_argument("--tokenizer", required=True, help="directory or repository of a tokenizer")
parser.add_argument("--output", required=True, help="directory to write")
parser.add_argument("--preset", default="tiny", help="encoder: paper, paper-bert, small, tiny")
parser.add_argument("--masking", default="base", choices=("base", "token", "span"))
parser.add_argument("--max-steps", type=int, default=200)
parser.add_argument("--batch-size", type=int, default=16)
args = parser.parse_args()
set_seed(42)

tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
corpus = Corpus.load(args.corpus)
corpus.check_fingerprint(tokenizer.vocabulary_fingerprint)
model = VQDNAForMaskedLM(VQDNAConfig.from_preset(args.preset, codec_config=tokenizer.codec.config))
model.codec.copy_from(tokenizer.codec)

masking = Masking(args.masking, ratio=0.25, halo=tokenizer.codec.config.halo, num_codes=len(tokenizer) - 5)
collate = MaskingCollator()


def mask(items: list[dict]) -> dict:
    """Pads windows, masks what is to be predicted, and tokenizes with the model's own codec."""
    batch = {name: values.to(model.device) for name, values in collate(items).items()}
    return mask_batch(model.vqdna, batch)


trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=args.output,
        max_steps=args.max_steps,
        per_device_train_batch_size=args.batch_size,
        learning_rate=3e-3,
        warmup_steps=0.1,  # of all steps
        lr_scheduler_type="cosine",
        logging_steps=20,
        save_strategy="no",
        remove_unused_columns=False,  # the masking needs columns that `forward` does not know
        dataloader_pin_memory=False,  # batches are on the model's device already
        prediction_loss_only=True,
    ),
    train_dataset=MaskedWindows(corpus.split("train"), args.max_steps * args.batch_size, masking, seed=42),
    eval_dataset=MaskedWindows(corpus.split("validation"), 64, masking, seed=0, random_strand=False),
    data_collator=mask,
)
trainer.train()
print(trainer.evaluate())
model.save_pretrained(args.output)
tokenizer.save_pretrained(args.output)
print(f"The model is in {args.output}")
