"""The alphabet: DNA strings to nucleotide ids and back, the reverse complement, and what is done to ids in batches.

Nucleotide ids are the canonical form of a sequence in VQDNA:

    0-3   A, C, G, T
    4     a base that is not known (N and the other IUPAC letters)
    5     a base that is hidden ([MASK]): it exists, but the network may not see it
    6-8   [CLS], [SEP], [PAD]: positions of a batch that are no base at all

Corpora store 0-4 only. The network sees ids 4 and 5 as a zero one-hot vector, and ids 6-8 as "outside the sequence".

Not handled here: FASTA files (they are read by the package) and codes (the tokenizer makes those).
"""

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


def _lookup_table() -> np.ndarray:
    table = np.full(256, _INVALID, dtype=np.uint8)
    for letters, value in [("A", 0), ("C", 1), ("G", 2), ("TU", 3), (IUPAC_UNKNOWN, UNKNOWN_ID)]:
        for letter in letters:
            table[ord(letter)] = table[ord(letter.lower())] = value
    return table


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
    ids = _TABLE[np.frombuffer(letters, dtype=np.uint8)]
    bad = np.flatnonzero(ids == _INVALID)
    if bad.size:
        position = int(bad[0])
        character = chr(letters[position]) if isinstance(sequence, bytes) else sequence[position]
        _raise_bad_character(character, position + offset, where)
    return ids


def _raise_bad_character(character: str, position: int, where: str):
    if character.isspace():
        raise ValueError(
            f"{where} has white space ({character!r}) at position {position} (0-based): a sequence is one unbroken "
            "string. Remove spaces and line breaks, or read the file with a FASTA reader."
        )
    raise ValueError(
        f"{where} has {character!r} at position {position} (0-based), which is not a nucleotide. Allowed: A, C, G, T, "
        f"U (read as T), {', '.join(IUPAC_UNKNOWN)} (read as unknown), in either case. Is this a protein or a gapped "
        "alignment?"
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
        ValueError: as `bases_to_ids`, with the position in `text`.

    Example: `parse_sequence("A[MASK]C")` -> `[0, 5, 1]`, `[0, 1, 7, 8]`
    """
    if not isinstance(text, str):
        raise ValueError(f"{where} is {type(text).__name__} {text!r}, but a DNA string is needed.")
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


def ids_to_bases(ids: np.ndarray) -> str:
    """Turn nucleotide ids 0-4 into letters; 4 becomes `N`. Example: `[0, 1, 4]` -> `"ACN"`"""
    return _LETTERS[np.asarray(ids, dtype=np.uint8)].tobytes().decode("ascii")


def reverse_complement(ids: np.ndarray) -> np.ndarray:
    """Read the other strand: nucleotide ids of shape `(..., length)`, reversed and complemented.

    Example: `[0, 0, 1, 4]` (AACN) -> `[4, 2, 3, 3]` (NGTT)
    """
    return COMPLEMENT[np.asarray(ids)[..., ::-1]]


def sequence_mask(nucleotide_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """True for the positions that are bases, known or not; of shape `(b, l)`."""
    mask = nucleotide_ids < CLS_NUCLEOTIDE_ID
    return mask if attention_mask is None else mask & attention_mask.bool()


def hide_padding(nucleotide_ids: torch.Tensor | None, attention_mask: torch.Tensor | None) -> torch.Tensor | None:
    """Nucleotide ids, `(b, l)`, with [PAD] wherever the mask is 0: whatever else stands there would change codes."""
    if nucleotide_ids is None or attention_mask is None:
        return nucleotide_ids
    return nucleotide_ids.masked_fill(attention_mask == 0, PAD_NUCLEOTIDE_ID)


def hide_bases(nucleotide_ids: torch.Tensor, ratio: float, generator: torch.Generator | None = None) -> torch.Tensor:
    """Hide each known base with probability `ratio` (nucleotide id 5): the input of denoising vocabulary learning.

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
