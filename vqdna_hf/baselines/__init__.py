"""Controls: what a learned vocabulary is compared with.

Importing it registers the models over ordinary vocabularies, so that `AutoModel` and its like load them.
"""

from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

from .cnn import OneHotCNNConfig, OneHotCNNForSequenceClassification
from .kmer_regression import KmerRegression
from .modeling_tokens import (
    TokenEncoderConfig,
    TokenEncoderForMaskedLM,
    TokenEncoderForSequenceClassification,
    TokenEncoderModel,
)
from .one_hot import one_hot_codec
from .tokenizers import (
    bpe_tokenizer,
    bpe_tokenizer_from_file,
    build_tokenizer,
    character_tokenizer,
    kmer_tokenizer,
    token_usage,
    tokenizer_kind,
)


AutoConfig.register(TokenEncoderConfig.model_type, TokenEncoderConfig, exist_ok=True)
AutoModel.register(TokenEncoderConfig, TokenEncoderModel, exist_ok=True)
AutoModelForMaskedLM.register(TokenEncoderConfig, TokenEncoderForMaskedLM, exist_ok=True)
AutoModelForSequenceClassification.register(TokenEncoderConfig, TokenEncoderForSequenceClassification, exist_ok=True)


__all__ = [
    "KmerRegression",
    "OneHotCNNConfig",
    "OneHotCNNForSequenceClassification",
    "TokenEncoderConfig",
    "TokenEncoderForMaskedLM",
    "TokenEncoderForSequenceClassification",
    "TokenEncoderModel",
    "bpe_tokenizer",
    "bpe_tokenizer_from_file",
    "build_tokenizer",
    "character_tokenizer",
    "kmer_tokenizer",
    "one_hot_codec",
    "token_usage",
    "tokenizer_kind",
]
