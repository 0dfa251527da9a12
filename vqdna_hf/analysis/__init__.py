"""What a vocabulary or a model is worth, and a dataset: linear probes, sizes and costs, audits."""
