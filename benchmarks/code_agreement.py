"""Whether codes depend on how they are computed: batches, threads, layouts, pieces; and what bfloat16 does to them.

    VQDNA_DATA=/path/to/data python benchmarks/code_agreement.py --tokenizer DIR

A code that differs is a near-tie where the distances of its two nearest code vectors lie within 1e-5 (|z|^2 + |e|^2)
of each other, on its level or on one before. Without `--tokenizer` weights are random, and without VQDNA_DATA bases.

The last rows are of `vqdna-hrq-compact`, whose codes stand in a table: no near-tie is left out there.
"""

import argparse
import copy
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from measuring import Figure, add_arguments, report

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.checkpoints import checkpoint
from vqdna_hf.modeling.compiled_vqdna import ExactNetwork, verify_table
from vqdna_hf.modeling.configuration_vqdna import NUM_SPECIAL_TOKENS
from vqdna_hf.modeling.nucleotides_vqdna import MASK_NUCLEOTIDE_ID, PAD_NUCLEOTIDE_ID, UNKNOWN_ID, bases_to_ids
from vqdna_hf.modeling.quantization_vqdna import nearest_codes


def dna(bases: int) -> tuple[list[np.ndarray], np.ndarray, str]:
    """Short strings (GUE's, or cut from the contig) and one contig of `bases` bases, as nucleotide ids."""
    data = os.environ.get("VQDNA_DATA")
    if not data:
        contig = np.random.default_rng(0).integers(0, 4, bases).astype(np.uint8)
        return (
            [contig[start : start + 70 + start % 230] for start in range(0, bases - 300, 300)],
            contig,
            "random bases",
        )
    from vqdna_hf.data import read_fasta
    from vqdna_hf.tasks import load_task

    contig = np.zeros(0, dtype=np.uint8)
    for _, ids in read_fasta(Path(data) / "pretraining" / "homo_sapiens_long.fa.gz"):
        contig = ids[:bases] if len(ids) > len(contig) else contig
        if len(contig) == bases:
            break
    strings, total = [], 0
    for task in ("prom/prom_core_tata", "mouse/3", "prom/prom_300_tata"):
        rows = load_task(task, Path(data) / "GUE")["train"]["sequence"][: bases // 450]
        strings += [bases_to_ids(row) for row in rows]
        total += sum(map(len, rows))
    return strings, contig, f"{total:,} bases of GUE and {len(contig):,} of a human contig"


def near_ties(codec: VQDNACodecModel, ids: np.ndarray) -> np.ndarray:
    """Which positions of a sequence have a near-tie on any level, of shape `(length,)`."""
    with torch.no_grad():
        latents = [level.double() for level in codec.latents(torch.from_numpy(ids).long().unsqueeze(0))]
        vectors, close = [], torch.zeros(len(ids), dtype=torch.bool)
        for level, book in enumerate(codec.quantizer.codebooks):
            embedding = book.embedding.double()
            inputs = codec.quantizer.level_input(codec.quantizer.latents_of(latents, level), vectors)[0]
            nearest = torch.cdist(inputs, embedding).pow(2).topk(2, largest=False)
            scale = inputs.pow(2).sum(1) + embedding[nearest.indices[:, 0]].pow(2).sum(1)
            close |= nearest.values[:, 1] - nearest.values[:, 0] < 1e-5 * scale
            vectors.append(embedding[nearest_codes(inputs, embedding)].unsqueeze(0))
    return close.numpy()


def compare(name: str, wanted: list[np.ndarray], found: list[np.ndarray], ties: list[np.ndarray]) -> Figure:
    """Codes that differ at positions that are no near-tie."""
    differ = [(a != b).any(axis=1) for a, b in zip(wanted, found)]
    beyond = sum(int((d & ~t).sum()) for d, t in zip(differ, ties))
    positions = sum(map(len, wanted))
    detail = f"{sum(int(d.sum()) for d in differ)} of {positions:,} positions differ, near-ties included"
    return Figure(f"float32 codes that differ beyond near-ties: {name}", beyond, "= 0", detail)


def in_batches(codec: VQDNACodecModel, strings: list[np.ndarray], size: int) -> list[np.ndarray]:
    """Codes by the network's own modules, padded to the longest of a batch."""
    found = []
    for start in range(0, len(strings), size):
        part = strings[start : start + size]
        rows = np.full((len(part), max(map(len, part))), 8)
        for row, string in zip(rows, part):
            row[: len(string)] = string
        with torch.no_grad():
            codes = codec.quantizer.quantize(codec.latents(torch.from_numpy(rows)))[0].numpy()
        found += [codes[i, : len(string)] for i, string in enumerate(part)]
    return found


def load(directory: str | None) -> tuple[VQDNATokenizer, str]:
    """The tokenizer of a directory, or else one with random weights, and what it is."""
    if directory:
        return VQDNATokenizer.from_pretrained(directory), "a trained vocabulary"
    codec = VQDNACodecModel(VQDNACodecConfig.from_preset("small")).eval()
    return VQDNATokenizer(codec=codec), "`small`, random weights"


def layout_figures(
    codec: VQDNACodecModel, everything: list[np.ndarray], wanted: list[np.ndarray], ties: list[np.ndarray], options
) -> list[Figure]:
    """Float32 codes in other batches, layouts, pieces and threads; the last of the sequences is the contig."""
    strings, contig = everything[:-1], everything[-1]
    of_strings, of_contig = (wanted[:-1], ties[:-1]), (wanted[-1:], ties[-1:])

    def same(name, found, against):
        return compare(name, against[0], found, against[1])

    figures = [
        same("one string at a time", [codec.encode_sequences([s])[0] for s in strings], of_strings),
        same("padded batches of 1, by the modules", in_batches(codec, strings, 1), of_strings),
        same("padded batches of 32, by the modules", in_batches(codec, strings, 32), of_strings),
        same("packed batches of 700 bases", codec.encode_sequences(strings, batch_bases=700), of_strings),
        same("pieces of 500 bases", codec.encode_sequences([contig], chunk_length=500), of_contig),
        same("a packed batch of 65,536 bases", codec.encode_sequences([contig], 65_536, 65_536), of_contig),
        same("the contig as one, by the modules", in_batches(codec, [contig], 1), of_contig),
    ]
    torch.set_num_threads(options.threads + 1)
    figures.append(same("another number of threads", codec.encode_sequences(everything), (wanted, ties)))
    torch.set_num_threads(options.threads)
    if options.compiled:
        compiled = VQDNATokenizer(codec=codec, compile=True)
        compiled.encode_nucleotides([contig])
        found = codec.encode_sequences([contig], network=compiled._network)
        figures.append(same("the compiled network", found, of_contig))
    return figures


def bfloat16_figure(wanted: list[np.ndarray], half: list[np.ndarray], bar: str) -> Figure:
    """How many bases have the same codes in bfloat16."""
    equal = [(a == b) for a, b in zip(wanted, half)]
    share = sum(int(e.all(axis=1).sum()) for e in equal) / sum(map(len, wanted))
    levels = np.concatenate(equal).mean(axis=0)
    detail = "all levels of a base; each level: " + ", ".join(f"{level:.4f}" for level in levels)
    return Figure("bfloat16 codes that equal float32's", share, bar, detail)


def decoded_share(codec: VQDNACodecModel, codes: list[np.ndarray], sequences: list[np.ndarray]) -> float:
    """The share of bases that codes give back; unknown bases never come back."""
    right = [codec.decode_sequence(c, ids < 4) == ids for c, ids in zip(codes, sequences)]
    return np.concatenate(right).mean()


def holed(contig: np.ndarray, bases: int) -> np.ndarray:
    """`bases` bases of a contig, over and over, a tenth of them unknown or masked, one by one and in runs."""
    rng = np.random.default_rng(0)
    ids = np.resize(contig, bases).copy()
    for kind in (UNKNOWN_ID, MASK_NUCLEOTIDE_ID):
        ids[rng.random(bases) < 0.03] = kind
        for start in rng.integers(0, bases - 200, bases // 10_000):
            ids[start : start + rng.integers(1, 200)] = kind
    return ids


def table_figures(strings: list[np.ndarray], contig: np.ndarray, options) -> list[Figure]:
    """Codes of a table, however they are looked up, and those of its network in float64."""
    codec = VQDNATokenizer.from_pretrained(checkpoint("vqdna-hrq-compact")).codec
    network, table, long = ExactNetwork(codec), codec.table, holed(contig, 1_000_000)
    sequences = [*strings, *(long[start : start + 1 + start % 40] for start in range(0, 4_000, 41))]
    joined, lengths = np.concatenate(sequences), np.array(list(map(len, sequences)))
    wanted = codec.encode_joined(joined, lengths)
    rows = np.full((len(sequences), lengths.max() + 3), PAD_NUCLEOTIDE_ID)
    for row, ids in zip(rows, sequences):
        row[2 : 2 + len(ids)] = ids
    batch = codec.encode_products(torch.from_numpy(rows)).numpy()[rows <= MASK_NUCLEOTIDE_ID]
    torch.set_num_threads(options.threads + 1)
    threads = codec.encode_joined(joined, lengths)
    torch.set_num_threads(options.threads)
    half = VQDNATokenizer(codec=codec, precision="bfloat16", batch_bases=700, chunk_length=500)
    ids = np.concatenate(half.encode_nucleotides(sequences))
    with tempfile.TemporaryDirectory() as folder:
        codec.save_pretrained(folder)
        loaded = VQDNACodecModel.from_pretrained(folder).encode_joined(joined, lengths)
    compiled_again = copy.deepcopy(codec).compile_vocabulary(verify=False).codes
    of_long = codec.encode_joined(long, np.array([len(long)]))

    def figure(name: str, differ: int, detail: str) -> Figure:
        return Figure(f"`vqdna-hrq-compact`: codes that differ: {name}", differ, "= 0", detail)

    def differ(found: np.ndarray) -> int:
        return int((found != wanted).sum())

    known, short = joined < UNKNOWN_ID, f"{len(joined):,} bases in {len(sequences):,} sequences of 1 base and more"
    return [
        figure("table and network, every window", verify_table(table, network), f"{len(table.codes):,} windows"),
        figure(
            "table and network, long DNA with holes",
            int((network.products([long])[0] != of_long).sum()),
            f"{len(long):,} bases, {(long >= UNKNOWN_ID).mean():.0%} unknown or masked",
        ),
        figure("table and network, short sequences", differ(np.concatenate(network.products(sequences))), short),
        figure("a padded batch", differ(batch), short),
        figure("another number of threads", differ(threads), short),
        figure("`bfloat16`, other batches and pieces", int((ids - NUM_SPECIAL_TOKENS != wanted)[known].sum()), short),
        figure("saved and loaded", differ(loaded), short),
        figure("compiled again", int((compiled_again != table.codes).sum()), "all windows"),
    ]


def main():
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser).add_argument("--tokenizer", help="directory of a trained vocabulary")
    parser.add_argument("--bases", type=int, default=200_000)
    parser.add_argument("--compiled", action="store_true", help="the compiled network, too (minutes of compilation)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    tokenizer, what = load(options.tokenizer)
    codec = tokenizer.codec
    strings, contig, source = dna(options.bases)
    everything = [*strings, contig]
    wanted = codec.encode_sequences(everything)
    half = codec.encode_sequences(everything, precision="bfloat16")
    ties = [near_ties(codec, ids) for ids in everything]
    figures = layout_figures(codec, everything, wanted, ties, options)
    figures.append(bfloat16_figure(wanted, half, ">= 99%" if options.tokenizer else ""))
    figures += table_figures(strings, contig, options)
    count, positions = sum(int(t.sum()) for t in ties), sum(map(len, wanted))
    decoded = [decoded_share(codec, codes, everything) for codes in (wanted, half)]
    notes = [
        f"On {source}; {what}. {count:,} of {positions:,} positions are near-ties.",
        f"Bases decoded from float32 codes: {decoded[0]:.4%}, from bfloat16 codes: {decoded[1]:.4%}.",
    ]
    report("Codes, however they are computed", figures, options, notes)


if __name__ == "__main__":
    main()
