"""VQDNA: a learned genome vocabulary, native to the Hugging Face libraries."""

__version__ = "0.1.0"
