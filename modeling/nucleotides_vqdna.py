"""The alphabet: DNA strings to nucleotide ids and back, the reverse complement, and what is done to ids in batches.

Nucleotide ids are the canonical form of a sequence in VQDNA:

    0-3   A, C, G, T
    4     a base that is not known (N and the other IUPAC letters)
    5     a base that is masked ([MASK]): it exists, but the network may not see it
    6-8   [CLS], [SEP], [PAD]: positions of a batch that are no base at all

Corpora store 0-4 only. The network sees ids 4 and 5 as a zero one-hot vector, and ids 6-8 as "outside the sequence".

Not handled here: FASTA files (they are read by the package) and codes (the tokenizer makes those).
"""

import reprlib
import unicodedata
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F


BASES = "ACGT"
UNKNOWN_ID, MASK_NUCLEOTIDE_ID, CLS_NUCLEOTIDE_ID, SEP_NUCLEOTIDE_ID, PAD_NUCLEOTIDE_ID = 4, 5, 6, 7, 8
NUM_NUCLEOTIDE_IDS = 9
IUPAC_UNKNOWN = "NRYSWKMBDHV"
MASK_TOKEN, UNK_TOKEN = "[MASK]", "[UNK]"

_INVALID = 255
_INLINE_TOKENS = {MASK_TOKEN: MASK_NUCLEOTIDE_ID, UNK_TOKEN: UNKNOWN_ID}
_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
# ids 0-3 complement to 3 - id; every other id is its own complement
COMPLEMENT = np.array([3, 2, 1, 0, 4, 5, 6, 7, 8], dtype=np.uint8)


def _lookup_table() -> bytes:
    table = bytearray([_INVALID]) * 256
    for letters, value in [("A", 0), ("C", 1), ("G", 2), ("TU", 3), (IUPAC_UNKNOWN, UNKNOWN_ID)]:
        for letter in letters:
            table[ord(letter)] = table[ord(letter.lower())] = value
    return bytes(table)


_TABLE = _lookup_table()


def bases_to_ids(sequence: str | bytes, where: str = "the sequence", offset: int = 0) -> np.ndarray:
    """Turn plain DNA or RNA letters into nucleotide ids 0-4.

    Lower case is read as upper case, U as T, and every IUPAC letter but A, C, G, T as unknown (4).

    Args:
        sequence: letters only; `[MASK]` is not understood here, see `parse_sequence`.
        where: how an error message names the sequence, for example `"chr1 of genome.fa"`.
        offset: the position, in what `where` names, of the first letter (bases, 0-based).

    Returns:
        `np.ndarray` of `uint8`, shape `(length,)`.

    Raises:
        ValueError: a character that is no nucleotide letter; names it and its 0-based position.

    Example: `bases_to_ids("ACgu")` -> `[0, 1, 2, 3]`
    """
    # subtle: one byte a character ("?" for any beyond Latin-1), so that positions hold whatever the wrong character
    letters = sequence if isinstance(sequence, bytes) else sequence.encode("latin-1", errors="replace")
    ids = bytearray(letters).translate(_TABLE)  # a `bytearray`, so that the ids can be written to
    position = ids.find(_INVALID)
    if position >= 0:
        text = sequence.decode("latin-1") if isinstance(sequence, bytes) else sequence
        _raise_bad_character(text, position, position + offset, where)
    return np.frombuffer(ids, dtype=np.uint8)


def _raise_bad_character(text: str, index: int, position: int, where: str):
    """Raise the error for the character `text[index]`, which stands at `position` of what `where` names."""
    character = text[index]
    if character.isspace():
        kind, remedy = f"white space ({character!r})", _white_space_remedy(text)
    else:
        kind, remedy = repr(character), _character_remedy(text, index)
    raise ValueError(f"{where} has {kind} at position {position} (0-based){remedy}")


def _white_space_remedy(text: str) -> str:
    words = text[:2_000].split()
    words = words if len(text) <= 2_000 else words[:-1]  # which may be cut short
    k = len(words[0]) if words else 0
    overlap = all(len(other) == k and one[1:] == other[:-1] for one, other in zip(words[:-1], words[1:]))
    if overlap and (len(words) - 1) * (k - 1) >= 4:  # letters that chance would hardly repeat
        return (
            f": these are overlapping {k}-mers, which repeat every base {k} times; removing the spaces would ruin the "
            "sequence. Give the sequence itself, which is the first k-mer and the last base of every other: "
            '`words[0] + "".join(word[-1] for word in words[1:])`.'
        )
    return ": a sequence is one unbroken string. Remove spaces and line breaks, or read the file with a FASTA reader."


def _character_remedy(text: str, index: int) -> str:
    """What a character is, and what to do about it."""
    character = text[index]
    if text.startswith(("\ufeff", "\xef\xbb\xbf"), index):
        return ", a byte order mark, which belongs to the file: read it with encoding='utf-8-sig'."
    for token in ("[CLS]", "[SEP]", "[PAD]"):
        if text.startswith(token, index):
            return f": {token} is put there by the tokenizer; in a string only {MASK_TOKEN} and {UNK_TOKEN} may stand."
    if text[index : index + 6].lower() in ("<mask>", "[mask]"):
        return f": a masked base is written {MASK_TOKEN}."
    known = {
        ">": "which begins a record of a FASTA file: read it with a FASTA reader",
        "@": "which begins a record of a FASTQ file: give the bases alone",
        '"': "a quotation mark: remove it",
        "'": "a quotation mark: remove it",
        **dict.fromkeys(",;|", "which separates columns: give the column of sequences alone"),
        **dict.fromkeys("-.*", "which is no nucleotide but a gap or an end: remove it (a gapped alignment?)"),
    }
    if character in known:
        return f", {known[character]}."
    if not character.isprintable():
        return f", {unicodedata.name(character, 'a control character')}, which cannot be seen: remove it."
    name = "" if character.isascii() else f" ({unicodedata.name(character, 'unnamed')})"
    return (
        f"{name}, which is not a nucleotide. Allowed: A, C, G, T, U (read as T), {', '.join(IUPAC_UNKNOWN)} (read as "
        "unknown), in either case. Is this a protein or a gapped alignment?"
    )


def parse_sequence(text: str, where: str = "the sequence") -> tuple[np.ndarray, np.ndarray | None]:
    """Turn a DNA string that may hold `[MASK]` or `[UNK]` into nucleotide ids and the place of each in the string.

    Args:
        text: for example `"ACGT[MASK]ACG"`.
        where: how an error message names the sequence.

    Returns:
        ids (`np.ndarray` of `uint8`, shape `(length,)`) and `starts` (`np.ndarray` of `int64`, shape `(length + 1,)`):
        base `i` is `text[starts[i]:starts[i + 1]]`, 0-based and half-open. `starts` is `None` for a string without
        inline tokens, where base `i` is simply `text[i:i + 1]`.

    Raises:
        ValueError: as `bases_to_ids`, with the position in `text`; or it is no string.

    Example: `parse_sequence("A[MASK]C")` -> `[0, 5, 1]`, `[0, 1, 7, 8]`
    """
    if not isinstance(text, str):
        raise ValueError(
            f"{where} is {type(text).__name__} {reprlib.repr(text)}, but a DNA string is needed{_hint(text)}."
        )
    if "[" not in text:
        return bases_to_ids(text, where), None
    ids, starts, position = [], [], 0
    while position < len(text):
        token = next((token for token in _INLINE_TOKENS if text.startswith(token, position)), None)
        if token is not None:
            ids.append(np.array([_INLINE_TOKENS[token]], dtype=np.uint8))
            starts.append(np.array([position]))
            position += len(token)
            continue
        end = text.find("[", position + 1)
        end = len(text) if end < 0 else end
        ids.append(bases_to_ids(text[position:end], where, offset=position))
        starts.append(np.arange(position, end))
        position = end
    return np.concatenate(ids), np.append(np.concatenate(starts), len(text))


def parse_joined(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """`parse_sequence` for many strings at once, where each is letters alone.

    Args:
        texts: at least one string.

    Returns:
        The ids of all strings behind one another (`np.ndarray` of `uint8`) and the length of each (`np.ndarray` of
        `int64`, shape `(len(texts),)`); `None` where anything is no string, or holds more than nucleotide letters:
        `parse_sequence` reads it, or says what is wrong and where.

    Example: `parse_joined(["AC", "", "gu"])` -> `[0, 1, 2, 3]`, `[2, 0, 2]`
    """
    if not all(isinstance(text, str) for text in texts):
        return None
    # "?", which is no letter, for any character beyond ASCII; `bytearray`, so that the ids can be written to
    letters = bytearray("".join(texts), "ascii", "replace")
    ids = np.frombuffer(letters.translate(_TABLE), dtype=np.uint8)
    if ids.size and ids.max() == _INVALID:
        return None
    return ids, np.array([len(text) for text in texts], dtype=np.int64)


def _hint(value) -> str:
    """What to do about something that is no string."""
    if isinstance(value, (bytes, bytearray)):
        return "; decode it: `sequence.decode()`"
    if isinstance(value, (list, tuple, np.ndarray)):
        return "; the lists are nested too deep"
    if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value):
        return "; a value is missing: leave the row out"
    return ""


def check_nucleotides(
    sequence: np.ndarray, where: str = "the sequence", highest: int = MASK_NUCLEOTIDE_ID
) -> np.ndarray:
    """Refuse what are no nucleotide ids of bases, masked ones included (0-5).

    Args:
        sequence: integers, shape `(length,)`.
        where: how an error message names the sequence.
        highest: the last id that may stand there; `PAD_NUCLEOTIDE_ID` allows what lies outside the bases too.

    Returns:
        The ids as an array.

    Raises:
        ValueError: names the first that is none, and its 0-based position.
    """
    ids = np.asarray(sequence)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(
            f"{where} is {reprlib.repr(sequence)}, but nucleotide ids are a one-dimensional array of whole numbers, 0 "
            f"to {highest} (strings go to the tokenizer itself)."
        )
    if ids.size and (ids.min() < 0 or ids.max() > highest):
        position = int(np.flatnonzero((ids < 0) | (ids > highest))[0])
        raise ValueError(
            f"{where} has {ids[position]} at position {position} (0-based), which is no nucleotide id of a base: 0-3 "
            "are A, C, G and T, 4 is unknown, 5 masked."
        )
    return ids


def join_nucleotides(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Set sequences end to end, each one checked as by `check_nucleotides`, but all at once where all are sound.

    Args:
        sequences: at least one, each of integers 0-5, shape `(length,)`.

    Returns:
        The ids (`np.ndarray` of `uint8`, shape `(bases,)`) and the length of each sequence (`np.ndarray` of `int64`,
        shape `(sequences,)`).

    Raises:
        ValueError: as `check_nucleotides`, of "sequence 0", "sequence 1" and so on.
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    if all(array.ndim == 1 and array.dtype.kind in "iu" for array in arrays):
        joined = np.concatenate(arrays)
        sound = not joined.size or (joined.min() >= 0 and joined.max() <= MASK_NUCLEOTIDE_ID)
    else:
        sound = False
    if not sound:
        arrays = [check_nucleotides(ids, f"sequence {number}") for number, ids in enumerate(sequences)]
        joined = np.concatenate(arrays)
    return joined.astype(np.uint8, copy=False), np.array([len(array) for array in arrays], dtype=np.int64)


def ids_to_bases(ids: np.ndarray) -> str:
    """Turn nucleotide ids 0-4 into letters; 4 becomes `N`. Example: `[0, 1, 4]` -> `"ACN"`"""
    return _LETTERS[np.asarray(ids, dtype=np.uint8)].tobytes().decode("ascii")


def reverse_complement(ids: np.ndarray) -> np.ndarray:
    """Read the other strand: nucleotide ids of shape `(..., length)`, reversed and complemented.

    Example: `[0, 0, 1, 4]` (AACN) -> `[4, 2, 3, 3]` (NGTT)
    """
    return COMPLEMENT[np.asarray(ids)[..., ::-1]]


def reverse_complement_batch(nucleotide_ids: torch.Tensor) -> torch.Tensor:
    """Read the other strand of every row, leaving [CLS], [SEP] and padding where they are.

    Args:
        nucleotide_ids (`torch.LongTensor` of shape `(batch_size, length)`): one run of bases per row.
    """
    inside = nucleotide_ids < CLS_NUCLEOTIDE_ID
    first = inside.long().argmax(dim=1, keepdim=True)
    last = first + inside.sum(dim=1, keepdim=True) - 1
    places = torch.arange(nucleotide_ids.shape[1], device=nucleotide_ids.device).expand_as(nucleotide_ids)
    mirrored = nucleotide_ids.gather(1, torch.where(inside, first + last - places, places))
    return torch.where(mirrored < UNKNOWN_ID, 3 - mirrored, mirrored)


def sequence_mask(nucleotide_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """True for the positions that are bases, known or not; of shape `(b, l)`."""
    mask = nucleotide_ids < CLS_NUCLEOTIDE_ID
    return mask if attention_mask is None else mask & attention_mask.bool()


def base_mask(
    input_ids: torch.Tensor | None, nucleotide_ids: torch.Tensor | None, attention_mask: torch.Tensor | None
) -> torch.Tensor | None:
    """True for the positions that are bases, known or not, of shape `(b, l)`; `None` when nothing tells."""
    if nucleotide_ids is not None:
        return sequence_mask(nucleotide_ids, attention_mask)
    if input_ids is None:
        return None if attention_mask is None else attention_mask.bool()
    outside = (input_ids == 0) | (input_ids == 2) | (input_ids == 3)  # [PAD], [CLS], [SEP]
    return ~outside if attention_mask is None else ~outside & attention_mask.bool()


def nucleotides_to_special_ids(nucleotide_ids: torch.Tensor) -> torch.Tensor:
    """The special token at each position of nucleotide ids, -1 at the bases."""
    ids = torch.full_like(nucleotide_ids, -1, dtype=torch.long)  # bytes would not hold it
    pairs = ((PAD_NUCLEOTIDE_ID, 0), (UNKNOWN_ID, 1), (CLS_NUCLEOTIDE_ID, 2), (SEP_NUCLEOTIDE_ID, 3))
    for nucleotide, token in (*pairs, (MASK_NUCLEOTIDE_ID, 4)):
        ids = ids.masked_fill(nucleotide_ids == nucleotide, token)
    return ids


def fill_padding(nucleotide_ids: torch.Tensor | None, attention_mask: torch.Tensor | None) -> torch.Tensor | None:
    """Nucleotide ids, `(b, l)`, with [PAD] wherever the mask is 0: whatever else stands there would change codes."""
    if nucleotide_ids is None or attention_mask is None:
        return nucleotide_ids
    return nucleotide_ids.masked_fill(attention_mask == 0, PAD_NUCLEOTIDE_ID)


def mask_bases(nucleotide_ids: torch.Tensor, ratio: float, generator: torch.Generator | None = None) -> torch.Tensor:
    """Mask each known base with probability `ratio` (nucleotide id 5): the input of denoising vocabulary learning.

    Args:
        nucleotide_ids (`torch.LongTensor` of shape `(batch_size, length)`).
    """
    draw = torch.rand(nucleotide_ids.shape, generator=generator, device=nucleotide_ids.device)
    return nucleotide_ids.masked_fill((draw < ratio) & (nucleotide_ids < UNKNOWN_ID), MASK_NUCLEOTIDE_ID)


def context_keys(nucleotide_ids: torch.Tensor, mask: torch.Tensor, halo: int) -> torch.Tensor:
    """A hash of the bases each position sees, of shape `(b, l)`: names a latent wherever it stands in a batch."""
    padded = F.pad(torch.where(mask, nucleotide_ids + 1, 0), (halo, halo))
    length = nucleotide_ids.shape[1]
    keys = torch.zeros_like(nucleotide_ids)
    for offset in range(2 * halo + 1):
        keys = keys * 0x5851F42D4C957F2D + padded[:, offset : offset + length] * 0x2545F4914F6CDD1D
    return keys
