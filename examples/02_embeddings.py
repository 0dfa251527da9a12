"""Embed DNA: one vector per base of a string, and one per window of a FASTA file, in batches.

    python examples/02_embeddings.py --model small/model --fasta small/simulated_genome.fa --output windows.parquet

The table has a row per window: contig, start and end (0-based, half-open), and the mean of the vectors of its bases.

Trains: nothing. On: a FASTA file. Takes: seconds for 200,000 bases with a model as small as this.
"""

import argparse

import pandas as pd
import torch
from transformers import pipeline

import vqdna_hf  # noqa: F401  registers the classes, so that no remote code is needed
from vqdna_hf.data import GenomeBases, iter_windows
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True, help="directory or repository of a model")
parser.add_argument("--fasta", required=True, help="FASTA file, plain or gzip")
parser.add_argument("--output", required=True, help="Parquet file to write")
parser.add_argument("--sequence", default="CGCGTATAAANGC", help="string whose bases to embed")
parser.add_argument("--length", type=int, default=128, help="bases of a window")
parser.add_argument("--batch-size", type=int, default=64, help="windows of a network pass")
args = parser.parse_args()

# one vector per base: the pipeline leaves out [CLS] and [SEP], so that vector i belongs to base i (0-based)
extract = pipeline("feature-extraction", model=args.model)
(vectors,) = extract(args.sequence, return_tensors=True)  # [bases, hidden size]
for position, (base, vector) in enumerate(zip(args.sequence, vectors)):
    print(f"{position:3d} {base}", " ".join(f"{value:6.2f}" for value in vector[:6].tolist()), "...")

# one vector per window
model, tokenizer = extract.model, extract.tokenizer
columns = ("contig", "start", "end", "bases")
table = pd.DataFrame(iter_windows(GenomeBases.from_fasta(args.fasta), args.length), columns=columns)
sequences, embeddings = [ids_to_bases(ids) for ids in table.pop("bases")], []
for first in range(0, len(sequences), args.batch_size):
    rows = sequences[first : first + args.batch_size]
    batch = tokenizer(rows, padding=True, return_special_tokens_mask=True, return_tensors="pt").to(model.device)
    # subtle: the attention mask alone would count [CLS] and [SEP] as bases
    inside = (1 - batch.pop("special_tokens_mask")).unsqueeze(-1)  # [batch, length, 1]
    with torch.no_grad():
        hidden_states = model(**batch).last_hidden_state  # [batch, length, hidden size]
    embeddings.extend(((hidden_states * inside).sum(dim=1) / inside.sum(dim=1)).cpu().numpy())
table["embedding"] = embeddings
table.to_parquet(args.output, index=False)
print(f"{len(table)} windows, {len(embeddings[0])} numbers each, are in {args.output}")
