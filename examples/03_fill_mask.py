"""Ask a model which bases stand behind [MASK], and score a variant by what it answers.

    python examples/03_fill_mask.py --model small/model

A variant's score is log P(alt) - log P(ref), in nats: below 0, the model finds the reference base likelier there. The
base is masked before the network sees the sequence, so that the codes around it do not tell which of the two it was.

Trains: nothing. On: the sequences given. Takes: seconds.
"""

import argparse
import math

from transformers import pipeline

import vqdna_hf  # noqa: F401  registers the classes, so that no remote code is needed


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("masked", nargs="*", default=["GCCAGTAT[MASK]AAGGCTCAC", "GCA[MASK]GTGACCGGG[MASK]GGA"])
parser.add_argument("--model", required=True, help="directory or repository of a pre-trained model")
parser.add_argument("--sequence", default="GCCATGTCTATAAAGGCTCACGATTAGC", help="where the variant is")
parser.add_argument("--position", type=int, default=10, help="of the variant in the sequence, 0-based")
args = parser.parse_args()
fill = pipeline("fill-mask", model=args.model)

# several [MASK] give one list of answers each; their probabilities do not know of one another
for text in args.masked:
    answers = fill(text)
    for number, masked in enumerate(answers if text.count("[MASK]") > 1 else [answers], start=1):
        bases = ", ".join(f"{answer['token_str']} {answer['score']:.3f}" for answer in masked)
        print(f"{text} [MASK] {number}: {bases}")

# `targets` chooses what to answer; scores stay the probabilities among all four bases
purine = fill("GCCAGTAT[MASK]AAGGCTCAC", targets="AG", top_k=1)[0]
print(f"The likelier purine gives {purine['sequence']}")


def log_probabilities(sequence: str, position: int) -> dict[str, float]:
    """Base -> log P(base) at a position (0-based) of a sequence, which is masked there."""
    masked = f"{sequence[:position]}[MASK]{sequence[position + 1 :]}"
    return {answer["token_str"]: math.log(answer["score"]) for answer in fill(masked)}


ref = args.sequence[args.position].upper()
scores = log_probabilities(args.sequence, args.position)
print(f"\n{args.sequence}, position {args.position} (0-based): log P({ref}) = {scores[ref]:.3f}")
for alt in sorted(set(scores) - {ref}):
    print(f"  {ref}>{alt}  {scores[alt] - scores[ref]:+.3f}")
