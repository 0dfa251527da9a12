"""The other strand of sequences as text."""

_COMPLEMENT = str.maketrans("ACGTUNRYSWKMBDHVacgtunryswkmbdhv", "TGCAANYRSWMKVHDBtgcaanyrswmkvhdb")


def other_strand(sequence: str) -> str:
    """The reverse complement, IUPAC letters included."""
    return sequence.translate(_COMPLEMENT)[::-1]
