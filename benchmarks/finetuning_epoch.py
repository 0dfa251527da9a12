"""An epoch of fine-tuning on cached codes beside the same encoder on BPE ids, in seconds per token.

Both sides are the encoder of one preset with the same head, trained by one loop (batches of 32, AdamW, random order)
on the same sequences. Tokens are those of the sequences, [CLS] and [SEP] included, padding not. A BPE gives a sequence
fewer tokens than there are bases, so that its rows are shorter; therefore it is also timed on longer sequences, which
it cuts to as many tokens a row as there are codes.

Beside them: the epoch without a cache, in which the codec runs at every step, and the encoding that fills the cache.

    VQDNA_DATA=/path/to/data python benchmarks/finetuning_epoch.py       # two minutes on a CPU
    python benchmarks/finetuning_epoch.py --device cuda --preset paper --rows 4000

With `VQDNA_DATA` (a folder with `GUE/prom/prom_core_tata` and `baselines/dnabert2_bpe_tokenizer.json`) sequences and
BPE are those; otherwise sequences are simulated, and a BPE of 4096 tokens is learned from simulated DNA. Weights are
random: the times do not depend on them.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measuring import Figure, add_arguments, median_seconds, report, synchronize

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNAConfig, VQDNAForSequenceClassification, VQDNATokenizer
from vqdna_hf.baselines import TokenEncoderConfig
from vqdna_hf.baselines.modeling_tokens import TokenEncoderForSequenceClassification
from vqdna_hf.baselines.tokenizers import bpe_tokenizer, bpe_tokenizer_from_file
from vqdna_hf.demo.simulation import simulate_contig, simulate_sequence
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.tasks import load_task_files
from vqdna_hf.training.code_cache import cached_codes
from vqdna_hf.training.encoding import encode_sequences
from vqdna_hf.training.task_rows import TaskCollator, TaskRows


def sequences_and_bpe(rows: int) -> tuple[list[np.ndarray], np.ndarray, object, str]:
    """Nucleotide ids, labels and a BPE tokenizer, real ones if there are, and a word on where they are from."""
    data = os.environ.get("VQDNA_DATA")
    if data:
        split = load_task_files(Path(data, "GUE", "prom", "prom_core_tata"))[0]["train"].select(range(rows))
        bpe = bpe_tokenizer_from_file(Path(data, "baselines", "dnabert2_bpe_tokenizer.json"))
        sequences = [np.asarray(ids, dtype=np.uint8) for ids in split.with_format("numpy")["nucleotide_ids"]]
        return sequences, np.asarray(split["labels"]), bpe, "prom_core_tata, DNABERT-2's BPE"
    rng = np.random.default_rng(0)
    bpe = bpe_tokenizer([ids_to_bases(simulate_contig(rng, 5000)) for _ in range(200)])
    labels = np.arange(rows) % 2
    return [simulate_sequence(rng, bool(one)) for one in labels], labels, bpe, "simulated sequences, a BPE of them"


def long_rows(bpe, sequences: list[np.ndarray], tokens: int) -> list[np.ndarray]:
    """As many rows as sequences: each with those that follow it, cut to `tokens` BPE tokens."""
    whole = [row[1:-1] for row in encode_sequences(bpe, [ids_to_bases(ids) for ids in sequences])]
    cls, sep, rows = [bpe.cls_token_id], [bpe.sep_token_id], []
    for start in range(len(whole)):
        row, number = whole[start], start
        while len(row) < tokens - 2:
            number += 1
            row = np.concatenate([row, whole[number % len(whole)]])
        rows.append(np.concatenate([cls, row[: tokens - 2], sep]).astype(np.int32))
    return rows


def epoch(model, dataset, collator, batch_size: int, device: str):
    """A function that makes one pass over a data set."""
    parameters = [parameter for parameter in model.train().to(device).parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-5)
    loader = torch.utils.data.DataLoader(dataset, batch_size, shuffle=True, collate_fn=collator, drop_last=True)

    def run():
        for batch in loader:
            loss = model(**{name: value.to(device) for name, value in batch.items()}).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return run


def contestants(options: argparse.Namespace) -> tuple[dict, dict[str, int], dict[str, float], str]:
    """The epochs to time, the tokens of each, what was measured once, and where the data are from."""
    sequences, labels, bpe, source = sequences_and_bpe(options.rows)
    torch.manual_seed(0)
    codec = VQDNACodecConfig.from_preset(options.codec)
    tokenizer = VQDNATokenizer(codec=VQDNACodecModel(codec)).to(options.device)
    once = {}
    with tempfile.TemporaryDirectory(prefix="vqdna-codes-") as folder:
        for name in ("encoding", "from the cache"):
            synchronize(options.device)
            start = time.perf_counter()
            codes = cached_codes(tokenizer, sequences, folder)
            once[name] = time.perf_counter() - start
    rows = {
        "codes": codes,
        "bpe": encode_sequences(bpe, [ids_to_bases(ids) for ids in sequences]),
        "long bpe": long_rows(bpe, sequences, max(map(len, codes))),
        "bases": [ids.astype(np.int64) for ids in sequences],
    }

    def ours():
        config = VQDNAConfig.from_preset(options.preset, codec_config=codec, freeze_codec=True)
        return VQDNAForSequenceClassification(config)

    def theirs():
        return TokenEncoderForSequenceClassification(TokenEncoderConfig.from_preset(options.preset, tokenizer=bpe))

    sides = {
        "codes": (ours(), TaskRows, TaskCollator()),
        "bpe": (theirs(), TaskRows, TaskCollator(bpe.pad_token_id)),
        "long bpe": (theirs(), TaskRows, TaskCollator(bpe.pad_token_id)),
        "bases": (ours(), TaskRows.of_bases, TaskCollator()),
    }
    functions = {
        name: epoch(model, kind(rows[name], labels), collator, options.batch, options.device)
        for name, (model, kind, collator) in sides.items()
    }
    tokens = {name: sum(map(len, ids)) for name, ids in rows.items()} | {"bases": sum(map(len, codes))}
    return functions, tokens, once, source


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.set_defaults(rounds=5)
    parser.add_argument("--preset", choices=["paper", "small"], default="small", help="the encoder")
    parser.add_argument("--codec", default="small", help="preset of the vocabulary")
    parser.add_argument("--rows", type=int, default=512, help="sequences of an epoch")
    parser.add_argument("--batch", type=int, default=32, help="sequences a batch")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    functions, tokens, once, source = contestants(options)
    times = median_seconds(functions, options.rounds, device=options.device)
    each = {name: times[name] / tokens[name] for name in times}

    def figure(name: str, first: str, second: str, bar: str = "") -> Figure:
        detail = " / ".join(f"{1e6 * each[side]:.2f} µs" for side in (first, second))
        return Figure(name, each[first] / each[second], bar, detail)

    figures = [
        figure("epoch on cached codes / the same encoder on BPE ids, per token", "codes", "bpe", "<= 1.05"),
        figure("the same, BPE rows with as many tokens as there are codes", "codes", "long bpe", "<= 1.05"),
        figure("epoch without a cache / on cached codes, per token", "bases", "codes"),
        Figure(
            "encoding, once / an epoch on cached codes",
            once["encoding"] / times["codes"],
            detail=f"{once['encoding']:.2f} s / {times['codes']:.2f} s; {once['from the cache']:.3f} s from the cache",
        ),
    ]
    shapes = ", ".join(f"{tokens[name] / options.rows:.1f} ({name})" for name in ("codes", "bpe", "long bpe"))
    notes = [
        f"{source}; {options.rows} rows, encoder `{options.preset}`, vocabulary `{options.codec}`, {options.device}, "
        f"float32; medians of {options.rounds}. Tokens a row: {shapes}."
    ]
    report(f"A fine-tuning epoch ({options.preset})", figures, options, notes)


if __name__ == "__main__":
    main()
