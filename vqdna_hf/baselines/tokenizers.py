"""Hand-made vocabularies, as ordinary fast tokenizers: one token a base, k-mers, byte-pair encoding.

What they save is `tokenizer.json` and `tokenizer_config.json`, which `AutoTokenizer.from_pretrained(directory)` loads
without this package. Lower case is upper-cased and U is read as T. Any other character is [UNK], one a character, or,
with overlapping k-mers, one for every k-mer that it stands in; nothing is dropped.

    character               ACGTACG    -> A C G T A C G             HyenaDNA's
    kmer, non-overlapping   ACGTACG    -> ACG TAC G (k = 3)         the Nucleotide Transformer's
    kmer, overlapping       ACGTACG    -> ACG CGT GTA TAC ACG       DNABERT's
    bpe                     ACGTACG    -> ACG TACG, say             DNABERT-2's
"""

import re
from collections.abc import Iterable
from itertools import islice, product
from os import PathLike
from pathlib import Path
from typing import get_args

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

from ..arguments.data import TokenizerKind
from ..modeling.configuration_vqdna import SPECIAL_TOKENS


logger = logging.get_logger(__name__)

KINDS = get_args(TokenizerKind)
ROLES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
# 4 ** 8 k-mers are 65,536 rows of an embedding table
LARGEST_K = 8
# under this name tokenizer_config.json says which vocabulary it is
_RECORD = "vqdna_vocabulary"
_UPPER = [
    *(normalizers.Replace(base.lower(), base) for base in "ACG"),
    normalizers.Replace(Regex("[tuU]"), "T"),
]


def character_tokenizer() -> PreTrainedTokenizerFast:
    """One token a base: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, A 5, C 6, G 7, T 8."""
    tokenizer = _word_level("ACGT")
    tokenizer.normalizer = normalizers.Sequence(_UPPER)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return _finish(tokenizer, kind="character", k=1, stride=1)


def kmer_tokenizer(k: int, overlapping: bool = True) -> PreTrainedTokenizerFast:
    """Runs of k bases, at every base (stride 1) or side by side (stride k).

    Side by side, a base that no whole k-mer takes in, at the end or in front of an unknown one, is a token of its own.
    Overlapping, token `i` is bases `i` to `i + k` (0-based, half-open), [UNK] if one of them is unknown; a string of
    fewer than k bases becomes single bases. `offset_mapping` then gives the first base of a token alone, `(i, i + 1)`.
    `decode(ids, skip_special_tokens=True)` gives the DNA back in both cases, as far as it is known.

    Args:
        k: bases a token, 2 to 8. The vocabulary has 5 special tokens, 4 bases and 4 ** k k-mers, in this order.
        overlapping: stride 1 instead of k.

    Raises:
        ValueError: k out of range.
    """
    if not isinstance(k, int) or not 2 <= k <= LARGEST_K:
        raise ValueError(f"k is {k}, but k-mers have 2 to {LARGEST_K} bases; for one base a token take `character`.")
    tokenizer = _word_level([*"ACGT", *map("".join, product("ACGT", repeat=k))])
    if overlapping:
        tokenizer.normalizer = _overlap(k)
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[a-z]"), "removed")
        tokenizer.decoder = decoders.Sequence(
            [
                decoders.WordPiece(prefix=" ", cleanup=False),  # puts a space between tokens
                decoders.Fuse(),
                # what a k-mer shares with the one before; without the [UNK] between them, two share nothing
                decoders.Replace(Regex(rf"(?<=([ACGT]{{{k - 1}}})) \1(?=[ACGT])"), ""),
                decoders.Replace(" ", ""),
            ]
        )
    else:
        tokenizer.normalizer = normalizers.Sequence(_UPPER)
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(rf"[ACGT]{{{k}}}|[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
    return _finish(tokenizer, kind="kmer", k=k, stride=1 if overlapping else k)


def _overlap(k: int) -> normalizers.Normalizer:
    """Write the k-mer of every base behind it, with the base itself in lower case: ACGT -> aAC cCG gGT (k = 2).

    The parts of a split cannot overlap, so that the string itself has to hold every base k times. A replacement is a
    constant, so that it takes one for each of the k places and each of the five letters; each is linear in time.
    """
    steps = [normalizers.Lowercase(), normalizers.Replace("u", "t"), normalizers.Replace(Regex("[^acgt]"), "n")]
    steps += [normalizers.Replace(base, base + base.upper()) for base in "acgtn"]
    for place in range(1, k):
        # in front of a base stands the end of the k-mer before: what is needed there is `place - 1` bases on
        between = "[a-z][A-Z]*" * (place - 1)
        steps += [normalizers.Replace(Regex(f"(?={between}{base})"), base.upper()) for base in "acgtn"]
    steps += [
        # in front of the first base no k-mer begins
        normalizers.Replace(Regex(r"\A[A-Z]+"), ""),
        # the k - 1 last bases begin none either
        normalizers.Replace(Regex(rf"(?<=[A-Z]{{{k}}})(?:[a-z][A-Z]{{1,{k - 1}}})+\z"), ""),
    ]
    if k > 2:  # what is still shorter than k is all there is
        steps.append(normalizers.Replace(Regex(rf"(?<=[a-z][A-Z])[A-Z]{{1,{k - 2}}}(?![A-Z])"), ""))
    return normalizers.Sequence(steps)


def bpe_tokenizer(
    sequences: Iterable[str], vocab_size: int = 4096, show_progress: bool = False
) -> PreTrainedTokenizerFast:
    """Byte-pair encoding, learned from strings of bases: the same strings give the same vocabulary.

    Args:
        sequences: any length; a pair that an unknown base separates is no pair.
        vocab_size: tokens, the special ones included.
        show_progress: show the library's progress bars.

    Raises:
        ValueError: fewer tokens than there are special ones and bases, no known base to learn from, or what are no
            strings.
    """
    if isinstance(sequences, str):
        raise ValueError("sequences is one string, but strings are needed: give a list of them.")
    least = len(SPECIAL_TOKENS) + 4
    if not isinstance(vocab_size, int) or vocab_size < least:
        raise ValueError(f"vocab_size is {vocab_size!r}, but special tokens and bases alone are {least}.")
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL_TOKENS[1]))
    tokenizer.normalizer = normalizers.Sequence(_UPPER)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[ACGT]+|[^ACGT]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    upper = str.maketrans("acgtuU", "ACGTTT")
    # without what is unknown, so that it stays out of the alphabet
    known = (run for sequence in sequences for run in re.findall("[ACGT]+", sequence.translate(upper)))
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=list("ACGT"),
        show_progress=show_progress,
    )
    tokenizer.train_from_iterator(known, trainer)
    size = tokenizer.get_vocab_size()
    if size == least:
        raise ValueError("The sequences hold no pair of known bases to learn from: give some DNA.")
    if size < vocab_size:
        logger.warning(f"The sequences hold only enough pairs for {size} tokens, not {vocab_size}: give more DNA.")
    return _finish(tokenizer, kind="bpe", k=None, stride=None)


def bpe_tokenizer_from_file(path: str | PathLike) -> PreTrainedTokenizerFast:
    """A byte-pair encoding from a `tokenizer.json`, such as DNABERT-2's, with the ids it has there.

    Lower case and U are read as everywhere here, which the file itself need not do.

    Raises:
        ValueError: the file is none, or lacks one of the five special tokens.
    """
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more specific
        raise ValueError(f"{path} is no tokenizer.json: {error}.") from error
    if not isinstance(tokenizer.model, models.BPE):
        raise ValueError(f"{path} holds a {type(tokenizer.model).__name__} tokenizer, but a BPE is needed.")
    missing = [token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is None]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; the special tokens are {', '.join(SPECIAL_TOKENS)}.")
    own = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
    tokenizer.normalizer = normalizers.Sequence([*own, *_UPPER])
    tokenizer.decoder = decoders.Fuse()
    return _finish(tokenizer, kind="bpe", k=None, stride=None, file=Path(path).name)


def build_tokenizer(kind: str, k: int = 6, overlapping: bool = True, **bpe) -> PreTrainedTokenizerFast:
    """A tokenizer by the name of its kind: `character`, `kmer` or `bpe`.

    Args:
        k, overlapping: see [`kmer_tokenizer`].
        bpe: arguments of [`bpe_tokenizer`], or `file`, see [`bpe_tokenizer_from_file`].

    Raises:
        ValueError: no kind has that name, or its arguments are out of range.
    """
    if kind == "character":
        return character_tokenizer()
    if kind == "kmer":
        return kmer_tokenizer(k, overlapping)
    if kind == "bpe":
        return bpe_tokenizer_from_file(bpe["file"]) if "file" in bpe else bpe_tokenizer(**bpe)
    raise ValueError(f"There is no kind of tokenizer {kind!r}; choose one of {', '.join(KINDS)}.")


def tokenizer_kind(tokenizer: PreTrainedTokenizerFast) -> dict:
    """What a tokenizer says it is: `kind`, `k` and `stride` in bases, `file` if it was made from one.

    `k` and `stride` are `None` where tokens differ in length. Of a tokenizer made elsewhere the kind is `other`.
    """
    return dict(tokenizer.init_kwargs.get(_RECORD) or {"kind": "other", "k": None, "stride": None})


def token_usage(tokenizer: PreTrainedTokenizerFast, sequences: Iterable[str]) -> dict[str, float]:
    """How a tokenizer covers sequences, without special tokens around them.

    Returns:
        `usage`, the share of the vocabulary (special tokens left out) that occurs; `tokens_per_base`; `unknown`, the
        share of [UNK] among the tokens (0 for a tokenizer without one).

    Raises:
        ValueError: there are no bases, or the tokenizer gives no token for any of them.
    """
    counts, bases, read = np.zeros(len(tokenizer), dtype=np.int64), 0, 0
    sequences = iter(sequences)
    while chunk := list(islice(sequences, 512)):
        encodings = tokenizer(chunk, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        counts += np.bincount(np.concatenate(encodings).astype(np.int64), minlength=len(counts))
        bases += sum(map(len, chunk))
        read += len(chunk)
    if not bases:
        raise ValueError("There are no bases to count tokens of.")
    if not counts.any():
        raise ValueError(
            f"The tokenizer gives no token for {read} sequences of DNA: it is no tokenizer of plain DNA letters."
        )
    ordinary = np.ones(len(counts), dtype=bool)
    ordinary[tokenizer.all_special_ids] = False
    return {
        "usage": float((counts[ordinary] > 0).mean()),
        "tokens_per_base": float(counts.sum() / bases),
        "unknown": 0.0 if tokenizer.unk_token_id is None else float(counts[tokenizer.unk_token_id] / counts.sum()),
    }


def _word_level(words: Iterable[str]) -> Tokenizer:
    vocabulary = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *words])}
    return Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS[1]))


def _finish(tokenizer: Tokenizer, **record) -> PreTrainedTokenizerFast:
    """Put [CLS] and [SEP] around, and wrap for transformers."""
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict(zip(ROLES, SPECIAL_TOKENS)),
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **{_RECORD: record},
    )
