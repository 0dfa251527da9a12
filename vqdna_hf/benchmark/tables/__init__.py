"""The tables and the figure of a benchmark, from its finished cells."""
