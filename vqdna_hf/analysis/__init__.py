"""What a vocabulary or a model is worth: linear probes, sizes and costs."""
