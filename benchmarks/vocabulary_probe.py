"""Linear probes of vocabularies on the dev splits of three GUE tasks: the second table of three-tasks.md in docs.

    VQDNA_DATA=/path/to/data python benchmarks/vocabulary_probe.py tokenizer1 tokenizer2 ...

Each argument is a directory that `vqdna train-tokenizer` or `vqdna one-hot-tokenizer` wrote, or names a checkpoint of
the package. Those of that page were made by `--preset small --max-steps 1000 --warmup-steps 200 --batch-size 32
--warmup-length 128 --length 128 --learning-rate 2e-3` on the FASTA files that `learned_vs_one_hot.py` names, with
`--mask-ratio` 0, 0.15, 0.25 and 0.5, and `--quantizer vq --codebook-sizes 512`. About two minutes a vocabulary.

A probe sees pooled code vectors. A bag sees how often each code of each level occurs in a row, whatever its vector is.
"""

import argparse
from pathlib import Path

import numpy as np
from measuring import parse_with_data
from sklearn.metrics import matthews_corrcoef
from sklearn.preprocessing import StandardScaler

from vqdna_hf import VQDNATokenizer
from vqdna_hf.baselines.linear_probe import STRENGTHS, LinearProbe, fit_linear
from vqdna_hf.checkpoints import resolve_checkpoint
from vqdna_hf.metrics import predictions_of
from vqdna_hf.modeling.nucleotides_vqdna import reverse_complement
from vqdna_hf.tasks import load_task_files


# task, pooling, whether both strands are averaged
PROBES = (
    ("mouse/3", "mean", True),
    ("mouse/3", "mean+max", True),
    ("prom/prom_core_tata", "mean", False),
    ("prom/prom_core_tata", "bins", False),
    ("mouse/0", "mean", True),
)
BAGS = (("mouse/3", True), ("prom/prom_core_tata", False), ("mouse/0", True))


def bags(codec, rows: list[np.ndarray], both_strands: bool) -> np.ndarray:
    """The share of each code of each level in each row, `(rows, codes of all levels)`; of both strands, averaged."""
    strands = [rows, [reverse_complement(row) for row in rows]] if both_strands else [rows]
    sizes = codec.config.codebook_sizes
    counts = np.zeros((len(rows), sum(sizes)))
    for strand in strands:
        for count, codes in zip(counts, codec.encode_sequences(strand), strict=True):
            levels = [np.bincount(level, minlength=size) for level, size in zip(codes.T, sizes, strict=True)]
            count += np.concatenate(levels) / len(codes) / len(strands)
    return counts


def bag_score(codec, splits, both_strands: bool, problem_type: str) -> float:
    """MCC x 100 on dev of a linear model on bags of codes, its regularization chosen there, as a probe's is."""
    features, labels = {}, {}
    for split in ("train", "dev"):
        rows = [np.asarray(row, dtype=np.int64) for row in splits[split]["nucleotide_ids"]]
        features[split], labels[split] = bags(codec, rows, both_strands), np.asarray(splits[split]["labels"])
    scaler, scores = StandardScaler().fit(features["train"]), []
    for strength in STRENGTHS:
        weight, bias = fit_linear(scaler, features["train"], labels["train"], problem_type, strength)
        predictions = predictions_of(features["dev"] @ weight.T + bias, problem_type)
        scores.append(matthews_corrcoef(labels["dev"], predictions))
    return 100 * max(scores)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", nargs="+", help="directories or names of checkpoints")
    arguments = parse_with_data(parser)
    titles = [f"{task}, {pooling}" for task, pooling, _ in PROBES]
    titles += ["mean of probes", *(f"{task}, bag" for task, _ in BAGS), "mean of bags"]
    print("| dev MCC x 100 | " + " | ".join(titles) + " |")
    print("|---" * (len(titles) + 1) + "|")
    tasks = {task: load_task_files(Path(arguments.data) / "GUE" / task) for task, _ in BAGS}
    for directory in arguments.tokenizers:
        codec = VQDNATokenizer.from_pretrained(resolve_checkpoint(directory)).codec
        probed, bagged = [], []
        for task, pooling, both_strands in PROBES:
            splits, info = tasks[task]
            options = {"pooling": pooling, "pooling_bins": 8, "strand_average": both_strands}
            probe = LinearProbe.fit(codec, splits["train"], splits["dev"], info, "mcc", **options)
            probed.append(100 * probe.score(splits["dev"])["mcc"])
        for task, both_strands in BAGS:
            splits, info = tasks[task]
            bagged.append(bag_score(codec, splits, both_strands, info.problem_type))
        cells = [f"{score:.1f}" for score in [*probed, np.mean(probed), *bagged, np.mean(bagged)]]
        print(f"| {directory} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
