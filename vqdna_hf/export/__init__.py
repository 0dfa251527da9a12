"""Models and tokenizers as ONNX files."""
