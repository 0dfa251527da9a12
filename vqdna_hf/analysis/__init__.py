"""What a vocabulary or a model costs, and what is in its codebook."""
