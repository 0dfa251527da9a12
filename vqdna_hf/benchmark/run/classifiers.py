"""A model with a new head for a task, whatever its architecture, and what the benchmark says of its size."""

from dataclasses import replace

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import set_seed

from ...analysis.info import codec_info
from ...arguments.training import FinetuneArguments
from ...baselines.cnn import OneHotCNNConfig, OneHotCNNForSequenceClassification
from ...baselines.tokenizers import token_usage
from ...metrics import codebook_usage
from ...modeling.configuration_vqdna import NUM_SPECIAL_TOKENS
from ...modeling.modeling_vqdna import unpack_codes
from ...modeling.nucleotides_vqdna import ids_to_bases
from ...training.classifier import add_adapters, load_classifier
from .prepare import PreparedModel
from .tasks import TaskData


LENGTH = 512  # bases of the forward pass whose FLOPs are counted, as in the paper


def build_classifier(prepared: PreparedModel, task: TaskData, arguments: FinetuneArguments):
    """The model with a new head, initialized from the arguments' seed, and adapters in the mode `lora`."""
    set_seed(arguments.seed)
    shared = {**task.label_names, "problem_type": task.problem_type}
    head = {"pooling": arguments.pooling, "pooling_bins": arguments.pooling_bins}
    head["classifier_dropout"] = arguments.dropout
    if prepared.entry.control == "cnn":
        config = OneHotCNNConfig.from_tokenizer(prepared.tokenizer, **shared, **head)
        return OneHotCNNForSequenceClassification(config)
    options = {}
    if prepared.entry.path is not None:
        options = {"revision": prepared.entry.revision, "trust_remote_code": prepared.entry.trust_remote_code}
    # a trainer gives the model both strands; by itself, as where its FLOPs are counted, it reads one
    one_strand = replace(arguments, strand_average=False)
    model = load_classifier(prepared.source, prepared.tokenizer, one_strand, **shared, **options)
    return add_adapters(model, arguments) if arguments.mode == "lora" else model


def count_parameters(model) -> dict[str, int]:
    """`encoder`, with its head; `tokenizer`, a learned one's network and codebooks; `trained`, of both."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    if (codec := _codec_of(model)) is None:
        return {"encoder": total, "tokenizer": 0, "trained": trained}
    inner = sum(p.numel() for p in codec.parameters())
    books = sum(book.embedding.numel() for book in codec.quantizer.codebooks)
    return {"encoder": total - inner, "tokenizer": inner + books, "trained": trained}


def _codec_of(model):
    """The network of a learned vocabulary; None of any other model."""
    return getattr(getattr(model, "base_model", None), "codec", None)


def count_flops(model, prepared: PreparedModel) -> dict:
    """FLOPs of one forward pass over 512 bases; `encoder` is None where they cannot be counted."""
    codec = _codec_of(model)
    tokenizer = 0.0 if codec is None else float(codec_info(codec.config, LENGTH)["flops"])
    random = torch.Generator().manual_seed(0)
    bases = ids_to_bases(torch.randint(0, 4, (LENGTH,), generator=random).numpy())
    ids = prepared.tokenizer(bases, return_tensors="pt")["input_ids"]
    positions = getattr(model.config, "max_position_embeddings", None) or ids.shape[1]
    if ids.shape[1] > positions > 0:  # longer than the model reads, which on some devices is found out too late
        return {"encoder": None, "tokenizer": tokenizer, "length": LENGTH}
    implementation = getattr(model.config, "_attn_implementation", None)
    try:
        # subtle: only plain matrix products are counted on every device, not the fused attention kernels
        model.set_attn_implementation("eager")
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(input_ids=ids.to(model.device), attention_mask=torch.ones_like(ids).to(model.device))
        encoder = float(counter.get_total_flops())
    except (ValueError, RuntimeError, NotImplementedError, IndexError):
        encoder = None
    finally:
        if implementation not in (None, "eager"):
            model.set_attn_implementation(implementation)
    return {"encoder": encoder, "tokenizer": tokenizer, "length": LENGTH}


def describe_tokens(prepared: PreparedModel, task: TaskData, encodings) -> dict:
    """How the vocabulary is used on the training rows: `kind`, `vocab_size`, `usage` per level, `tokens_per_base`.

    Args:
        encodings ([`Encodings`]): has the codes of a learned vocabulary, which cost a pass of its network.
    """
    tokenizer = prepared.tokenizer
    if tokenizer is None:
        return {"kind": "k-mer counts", "vocab_size": None, "usage": [None], "tokens_per_base": None}
    if not prepared.is_vqdna:
        found = token_usage(tokenizer, task.train.sequences)
        return {
            "kind": _tokenizer_name(prepared),
            "vocab_size": len(tokenizer) - len(set(tokenizer.all_special_ids)),
            "usage": [round(found["usage"], 6)],
            "tokens_per_base": round(found["tokens_per_base"], 4),
        }
    config = tokenizer.codec.config
    sizes = list(config.codebook_sizes)
    ids = torch.from_numpy(np.concatenate(encodings.get(prepared, task, "train", False, None))).long()
    codes = unpack_codes(ids[ids >= NUM_SPECIAL_TOKENS], sizes)
    usage = [
        round(codebook_usage(torch.bincount(codes[:, level], minlength=size).numpy()), 6)
        for level, size in enumerate(sizes)
    ]
    return {"kind": config.quantizer, "vocab_size": sizes, "usage": usage, "tokens_per_base": 1.0}


def _tokenizer_name(prepared: PreparedModel) -> str:
    entry = prepared.entry
    if entry.tokenizer is None:
        return "one-hot" if entry.control == "cnn" else type(prepared.tokenizer).__name__
    kind = entry.tokenizer["kind"]
    if kind == "kmer":
        stride = "" if entry.tokenizer.get("overlapping", True) else ", non-overlapping"
        return f"{entry.tokenizer.get('k', 6)}-mer{stride}"
    return {"character": "one-hot", "bpe": "BPE"}[kind]
