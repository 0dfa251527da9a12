"""The cells of a benchmark: prepared, run and scored."""
