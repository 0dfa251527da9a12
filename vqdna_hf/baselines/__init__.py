"""Controls: what a learned vocabulary is compared with."""

from .one_hot import one_hot_codec


__all__ = ["one_hot_codec"]
