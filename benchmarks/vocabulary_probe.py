"""Linear probes of vocabularies on the dev splits of three GUE tasks: the second table of three-tasks.md in docs.

    VQDNA_DATA=/path/to/data python benchmarks/vocabulary_probe.py tokenizer1 tokenizer2 ...

Each argument is a directory that `vqdna train-tokenizer` or `vqdna one-hot-tokenizer` wrote. Those of that page were
made by `--preset small --max-steps 1000 --warmup-steps 200 --batch-size 32 --warmup-length 128 --length 128
--learning-rate 2e-3` on the FASTA files that `learned_vs_one_hot.py` names, with `--mask-ratio` 0, 0.15, 0.25 and 0.5,
and `--quantizer vq --codebook-sizes 512`. About two minutes a vocabulary.
"""

import argparse
from pathlib import Path

from measuring import parse_with_data

from vqdna_hf import VQDNATokenizer
from vqdna_hf.baselines.linear_probe import LinearProbe
from vqdna_hf.tasks import load_task_files


# task, pooling, whether both strands are averaged
PROBES = (
    ("mouse/3", "mean", True),
    ("mouse/3", "mean+max", True),
    ("prom/prom_core_tata", "mean", False),
    ("prom/prom_core_tata", "bins", False),
    ("mouse/0", "mean", True),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", nargs="+", help="tokenizer directories")
    arguments = parse_with_data(parser)
    print("| dev MCC x 100 | " + " | ".join(f"{task}, {pooling}" for task, pooling, _ in PROBES) + " |")
    print("|---" * (len(PROBES) + 1) + "|")
    for directory in arguments.tokenizers:
        codec = VQDNATokenizer.from_pretrained(directory).codec
        cells = []
        for task, pooling, both_strands in PROBES:
            splits, info = load_task_files(Path(arguments.data) / "GUE" / task)
            options = {"pooling": pooling, "pooling_bins": 8, "strand_average": both_strands}
            probe = LinearProbe.fit(codec, splits["train"], splits["dev"], info, "mcc", **options)
            cells.append(f"{100 * probe.score(splits['dev'])['mcc']:.1f}")
        print(f"| {directory} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
