"""How long a tokenizer takes from nothing to its first call, and how much memory, beside BPE and a BERT-base model.

Every row is a fresh process that imports transformers, then (this is measured) loads from files in the page cache and
makes one call on a string of 300 bases. The rows are interleaved and repeated, and the median is printed; ratios are
of one run. Memory is the growth of the process's peak, on Linux. Weights are random, as
loading does not depend on them, but for the compiled vocabulary, which is the one of the package.

    VQDNA_DATA=/path/to/data python benchmarks/load_time.py

With `VQDNA_DATA` (a folder with `baselines/dnabert2_bpe_tokenizer.json`) the BPE of DNABERT-2 is measured, and
otherwise one of its size that is trained here on random DNA. Takes three minutes and 1 GB of temporary files.
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


CHILD = """
import json, sys, time
from pathlib import Path

kind, place, sequence = sys.argv[1:]
import torch
import transformers

# transformers imports these when they are first used, which is no part of loading
from transformers import AutoModel, AutoTokenizer, BertModel, ModernBertModel, PreTrainedTokenizerFast

torch.set_num_threads(1)
if kind.startswith("vqdna"):
    import vqdna_hf


def memory(field):
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


linux = Path("/proc/self/clear_refs").exists()
if linux:
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak counts from here on
    before = memory("VmRSS")
start = time.perf_counter()
if kind == "bpe":
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=place)
    tokenizer(sequence)
elif kind == "vqdna-tokenizer":
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    loaded = time.perf_counter() - start
    tokenizer(sequence)
else:
    model = transformers.AutoModel.from_pretrained(place).eval()
    loaded = time.perf_counter() - start
    with torch.no_grad():
        model(torch.arange(5, 100)[None] % 5)
seconds = time.perf_counter() - start
peak = memory("VmHWM") - before if linux else None
print(json.dumps({"seconds": seconds, "load": loaded if kind != "bpe" else None, "mib": peak}))
"""


def prepare(folder: Path) -> dict[str, tuple[str, str]]:
    """Row -> (kind, place) of what is loaded."""
    from transformers import BertConfig, BertModel

    from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNAConfig, VQDNAModel, VQDNATokenizer
    from vqdna_hf.checkpoints import resolve_checkpoint

    rows = {"BPE-4096 tokenizer.json": ("bpe", str(bpe(folder)))}
    for preset in ("small", "paper-vq", "paper-hrq"):
        tokenizer = VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset(preset)))
        tokenizer.save_pretrained(folder / preset)
        rows[f"VQDNA tokenizer, {preset}"] = ("vqdna-tokenizer", str(folder / preset))
    rows["VQDNA tokenizer, compact, compiled"] = ("vqdna-tokenizer", resolve_checkpoint("vqdna-hrq-compact"))
    VQDNAModel(VQDNAConfig.from_preset("paper")).save_pretrained(folder / "encoder")
    rows["VQDNA encoder, paper (85 M), one pass"] = ("vqdna-model", str(folder / "encoder"))
    BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(folder / "bert")
    rows["BERT-base (110 M), one pass"] = ("model", str(folder / "bert"))
    return rows


def bpe(folder: Path) -> Path:
    """DNABERT-2's tokenizer file, or one of its size."""
    data = os.environ.get("VQDNA_DATA")
    given = Path(data) / "baselines" / "dnabert2_bpe_tokenizer.json" if data else None
    if given is not None and given.is_file():
        return given
    from tokenizers import Tokenizer, models, trainers

    rng = random.Random(0)
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    trainer = trainers.BpeTrainer(vocab_size=4096, special_tokens=["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    tokenizer.train_from_iterator(("".join(rng.choices("ACGT", k=500)) for _ in range(2000)), trainer)
    tokenizer.save(str(folder / "bpe.json"))
    return folder / "bpe.json"


def measure(kind: str, place: str, sequence: str) -> dict:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, kind, place, sequence], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    sequence = "".join(random.Random(1).choices("ACGT", k=300))
    with tempfile.TemporaryDirectory(prefix="vqdna-load-") as folder:
        rows = prepare(Path(folder))
        found = {name: [] for name in rows}
        for _ in range(args.repeats + 1):  # the first fills the page cache
            for name, (kind, place) in rows.items():
                found[name].append(measure(kind, place, sequence))
    medians = {
        name: {key: statistics.median(run[key] or 0 for run in runs[1:]) for key in ("seconds", "load", "mib")}
        for name, runs in found.items()
    }
    bert = medians["BERT-base (110 M), one pass"]
    print("| from files to the first result | seconds | of which loading | peak, MiB | seconds / BERT-base |")
    print("|---|---:|---:|---:|---:|")
    for name, row in medians.items():
        load = f"{row['load']:.2f}" if row["load"] else "-"
        ratio = row["seconds"] / bert["seconds"]
        print(f"| {name} | {row['seconds']:.2f} | {load} | {row['mib'] or math.nan:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
