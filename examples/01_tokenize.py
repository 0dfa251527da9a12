"""Turn DNA strings into codes and back: ids, tokens, offsets, masked bases, decoding.

    python examples/01_tokenize.py --model small/model ACGTTGCANACGT

Trains: nothing. On: the strings given. Takes: seconds.
"""

import argparse

from transformers import AutoTokenizer

import vqdna_hf  # noqa: F401  registers the classes, so that no remote code is needed


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("sequences", nargs="*", default=["ACGTTGCANACGT", "acguacgu", "TATA[MASK][MASK]AAGGC"])
parser.add_argument("--model", required=True, help="directory or repository of a model or a tokenizer")
args = parser.parse_args()
tokenizer = AutoTokenizer.from_pretrained(args.model)

# one id per base; the network does not see the base at [MASK], N becomes [UNK]
batch = tokenizer(args.sequences, padding=True, return_offsets_mapping=True, return_tensors="pt")
print("input_ids:", tuple(batch["input_ids"].shape), "of a vocabulary of", len(tokenizer))
for sequence, ids, offsets in zip(args.sequences, batch["input_ids"].tolist(), batch["offset_mapping"].tolist()):
    print(f"\n{sequence}")
    for index, (start, end) in zip(ids, offsets):
        if end > start:  # special tokens and padding cover no characters
            print(f"  {start:3d}-{end:<3d} {sequence[start:end]:6s} {tokenizer.convert_ids_to_tokens(index)}")
    print("  decoded:", tokenizer.decode(ids, skip_special_tokens=True))
print("\nVocabulary fingerprint:", tokenizer.vocabulary_fingerprint)
