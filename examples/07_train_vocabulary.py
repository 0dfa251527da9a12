"""Learn a DNA vocabulary with the library's parts: a configuration, windows of a genome, and the codec's Trainer.

    python examples/07_train_vocabulary.py --fasta small/simulated_genome.fa --output vocabulary

`vqdna train-tokenizer` does the same, with checks, a record and exact resumption.

Trains: the codec and its codebooks (stage 1). On: FASTA files. Takes: a minute on one CPU core as it is; real DNA
needs more (the vocabulary of docs/evidence/three-tasks.md: `--max-steps 1000 --batch-size 32 --length 128`).
"""

import argparse

from transformers import TrainingArguments, set_seed

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.data import GenomeBases, WindowDataset
from vqdna_hf.training.codec_trainer import VQDNACodecTrainer


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--fasta", required=True, nargs="+", help="FASTA files, plain or gzip")
parser.add_argument("--output", required=True, help="directory to write")
parser.add_argument("--preset", default="small", help="architecture: paper-vq, paper-hrq, small, tiny")
parser.add_argument("--max-steps", type=int, default=200)
parser.add_argument("--batch-size", type=int, default=16)
parser.add_argument("--length", type=int, default=96, help="bases of a window")
args = parser.parse_args()
set_seed(42)

# whole contigs (or the end of one) are held out, so that no window of one part overlaps a window of the other
train, held_out = GenomeBases.from_fasta(args.fasta).split(eval_fraction=0.05)
# a quarter of the bases is masked, and the network has to name them all: denoising
model = VQDNACodecModel(VQDNACodecConfig.from_preset(args.preset, mask_ratio=0.25))

# window i follows from (seed, i) alone: short windows during the warm-up, longer ones after it
warmup_steps, num_windows = args.max_steps // 4, args.max_steps * args.batch_size
lengths = [(0, args.length // 2), (max(1, warmup_steps) * args.batch_size, args.length)]
trainer = VQDNACodecTrainer(
    model=model,
    args=TrainingArguments(
        output_dir=args.output,
        max_steps=args.max_steps,
        per_device_train_batch_size=args.batch_size,
        learning_rate=2e-3,
        warmup_steps=warmup_steps,
        adam_beta2=0.98,
        lr_scheduler_type="cosine",
        logging_steps=50,
        save_strategy="no",
        train_sampling_strategy="sequential",  # windows are random already, and their order is a schedule of lengths
        prediction_loss_only=True,
        remove_unused_columns=False,
        label_names=["labels"],
    ),
    train_dataset=WindowDataset(train, num_windows, lengths, seed=42, mask_ratio=0.25),
    eval_dataset=WindowDataset(held_out, 64, [(0, args.length)], seed=0),
    kmeans_steps=(0, warmup_steps),  # codebooks start as k-means of the latents, once more after the warm-up
)
trainer.train()
print(trainer.evaluate())

model.save_pretrained(args.output)
VQDNATokenizer(codec=model).save_pretrained(args.output)
print(f"The vocabulary is in {args.output}")
