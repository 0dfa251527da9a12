"""The kinds of hand-made tokenizers and of controls that a benchmark file can name, and the options of each."""

# kind -> option -> type
TOKENIZERS = {
    "character": {},
    "kmer": {"k": int, "overlapping": bool},
    "bpe": {"vocab_size": int, "max_bases": int, "file": str | None},
}
CONTROLS = {
    "cnn": {},
    "kmer-regression": {"kmers": list, "strands": str},
}
