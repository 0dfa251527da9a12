"""Learn a DNA vocabulary with the library's parts: a configuration, windows of a genome, and the codec's Trainer.

Trains: the codec and its codebooks (stage 1). On: a FASTA file, or 200,000 simulated bases. Takes: a minute on one CPU
core as it is; `vqdna train-tokenizer` does the same and keeps a record.
"""

import argparse
from pathlib import Path

from small_data import new_directory, simulated_genome

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.data import GenomeBases, WindowDataset
from vqdna_hf.training.arguments import TrainTokenizerArguments
from vqdna_hf.training.codec_trainer import VQDNACodecTrainer
from vqdna_hf.training.train_tokenizer import training_arguments


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--fasta", type=Path, help="FASTA file; simulated when not given")
parser.add_argument("--output", type=Path, help="directory to write; a temporary one when not given")
parser.add_argument("--preset", default="tiny")
parser.add_argument("--max-steps", type=int, default=200)
parser.add_argument("--batch-size", type=int, default=16)
args = parser.parse_args()
output = args.output or new_directory() / "tokenizer"
fasta = args.fasta or simulated_genome(output.parent)

# whole contigs are held out, so that no window of the one part overlaps a window of the other
train, held_out = GenomeBases.from_fasta([fasta]).split(eval_fraction=0.05)
config = VQDNACodecConfig.from_preset(args.preset, mask_ratio=0.25)  # a quarter of the bases is hidden: denoising
model = VQDNACodecModel(config)

# AdamW and a cosine, as in the paper; everything else is an ordinary `TrainingArguments`
options = TrainTokenizerArguments(
    output=str(output), max_steps=args.max_steps, batch_size=args.batch_size, warmup_steps=args.max_steps // 4
)
training = training_arguments(options, output, save_strategy="no", learning_rate=2e-3)
# window i follows from (seed, i) alone: short windows during the warm-up, longer ones after it
lengths = [(0, 64), (max(1, options.warmup_steps) * args.batch_size, 128)]
trainer = VQDNACodecTrainer(
    model=model,
    args=training,
    train_dataset=WindowDataset(train, args.max_steps * args.batch_size, lengths, seed=0, mask_ratio=0.25),
    eval_dataset=WindowDataset(held_out, 64, [(0, 128)], seed=0),
    kmeans_steps=(0, options.warmup_steps),
)
trainer.train()
print(trainer.evaluate())

VQDNATokenizer(codec=model).save_pretrained(output)
model.save_pretrained(output)
print(f"The tokenizer is in {output}")
