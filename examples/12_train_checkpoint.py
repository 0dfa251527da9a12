"""Train the checkpoint that comes with the package, from FASTA files to the directory that is shipped.

    VQDNA_DATA=/path/to/data python examples/12_train_checkpoint.py --work runs/checkpoint

Trains: two vocabularies (`hrq` for the checkpoint, `vq` as its sibling) and the encoder over the first. On: the FASTA
files in `$VQDNA_DATA/pretraining`, or those named with `--fasta`. Takes: half an hour for the vocabularies and some
hours for the encoder, on one CPU core; `--scale 0.01` shows every step in minutes. An interrupted run resumes where it
was when the same command is given again.
"""

import argparse
import os
from pathlib import Path

from vqdna_hf import VQDNAForMaskedLM, VQDNATokenizer
from vqdna_hf.arguments.training import PretrainArguments, TokenizeArguments, TrainTokenizerArguments
from vqdna_hf.checkpoints.lineage import without_paths
from vqdna_hf.data import Corpus
from vqdna_hf.runs.files import read_json, write_json
from vqdna_hf.training.pretrain import pretrain
from vqdna_hf.training.tokenize import tokenize
from vqdna_hf.training.train_tokenizer import train_tokenizer


# found on the dev splits alone; the model card says how
VOCABULARY = {"preset": "small", "mask_ratio": 0.0, "word_radius": 3, "learning_rate": 2e-3, "batch_size": 32}
VOCABULARY |= {"max_steps": 4000, "warmup_steps": 400, "warmup_length": 128, "length": 128}
VOCABULARY |= {"eval_steps": 1000, "save_steps": 500}
LEVELS = {"hrq": {}, "vq": {"quantizer": "vq", "codebook_sizes": [384]}}
ENCODER = {"preset": "small-conv", "masking": "base", "mask_ratio": 0.25, "learning_rate": 2e-3, "batch_size": 64}
ENCODER |= {"max_steps": 6000, "warmup_steps": 300, "eval_steps": 1000, "save_steps": 250, "neighbour_steps": 300}
WINDOW = 128


def scaled(options: dict, scale: float) -> dict:
    """Fewer steps, everything else alike."""
    steps = ("max_steps", "warmup_steps", "eval_steps", "save_steps", "neighbour_steps")
    return {name: max(2, round(value * scale)) if name in steps else value for name, value in options.items()}


def is_done(output: Path, options: dict) -> bool:
    """Whether a run is complete; one of another length is none of ours."""
    if not (output / "training.json").is_file():
        return False
    steps = read_json(output / "training.json")["arguments"]["max_steps"]
    if steps != options["max_steps"]:
        parser.error(
            f"{output} holds a run of {steps} steps, this one takes {options['max_steps']}: give --scale as it was "
            "given then, or another --work"
        )
    return True


def learn_vocabulary(quantizer: str):
    """Stage 1, into a directory named like the quantizer."""
    output, options = args.work / quantizer, scaled(VOCABULARY, args.scale) | LEVELS[quantizer]
    if not is_done(output, options):
        train_tokenizer(TrainTokenizerArguments(fasta=args.fasta, output=str(output), resume=True, **options))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--fasta", nargs="+", help="FASTA files; those of $VQDNA_DATA/pretraining when not given")
parser.add_argument("--work", type=Path, required=True, help="directory of the runs")
parser.add_argument("--scale", type=float, default=1.0, help="of the number of steps")
args = parser.parse_args()
if not args.fasta:
    if "VQDNA_DATA" not in os.environ:
        parser.error("name FASTA files with --fasta, or the directory of the data in VQDNA_DATA")
    args.fasta = sorted(map(str, Path(os.environ["VQDNA_DATA"], "pretraining").glob("*.fa.gz")))

learn_vocabulary("hrq")
corpus, encoder = args.work / "corpus", args.work / "encoder"
# finishes what was begun, and does nothing where all is there
tokenize(TokenizeArguments(fasta=args.fasta, output=str(corpus), window=WINDOW))
if not is_done(encoder, scaled(ENCODER, args.scale)):
    pretrain(
        PretrainArguments(
            corpus=str(corpus),
            tokenizer=str(args.work / "hrq"),
            output=str(encoder),
            resume=True,
            **scaled(ENCODER, args.scale),
        )
    )

learn_vocabulary("vq")
names = {"vqdna-hrq-small": encoder, "vqdna-vq-small": args.work / "vq"}
for name, run in names.items():
    VQDNATokenizer.from_pretrained(run).save_pretrained(args.work / name)
    write_json(args.work / name / "training.json", without_paths(read_json(run / "training.json")))
VQDNAForMaskedLM.from_pretrained(encoder).save_pretrained(args.work / "vqdna-hrq-small")
print(f"Trained on {sum(entry['bases'] for entry in Corpus.load(corpus).manifest['inputs']):,} bases.")
print(f"The checkpoint and its sibling are in {' and '.join(str(args.work / name) for name in names)}.")
