"""transformers' common tests of tokenizers, over the one that gives code ids and the one that gives nucleotide ids."""

import re
import unittest
from unittest import mock

from tests.test_tokenization_common import TokenizerTesterMixin

from vqdna_hf import VQDNATokenizer, checkpoint
from vqdna_hf.modeling import tokenization_vqdna


parse_sequence = tokenization_vqdna.parse_sequence


def parse_text(text: str, *args):
    """The mixin's texts are English: every character that is no base and no token is read as one."""
    return parse_sequence(re.sub(r"\[MASK\]|\[UNK\]|[^ACGTN]", _as_base, text), *args)


def _as_base(found: re.Match) -> str:
    return found[0] if len(found[0]) > 1 else "ACGT"[ord(found[0]) % 4]


class TokenizerTests(TokenizerTesterMixin):
    """A subclass says which ids the tokenizer gives."""

    tokenizer_class = VQDNATokenizer
    return_nucleotide_ids = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(mock.patch.object(tokenization_vqdna, "parse_sequence", parse_text))
        # a mapping that computes its items, where the mixin wants a `dict`
        cls.enterClassContext(mock.patch.object(VQDNATokenizer, "get_vocab", lambda self: dict(self.vocabulary)))
        made = VQDNATokenizer.from_pretrained(
            checkpoint("vqdna-vq-small"), return_nucleotide_ids=cls.return_nucleotide_ids
        )
        made.save_pretrained(cls.tmpdirname)

    def get_clean_sequence(self, tokenizer, with_prefix_space=False, max_length=20, min_length=5):
        text = "ACGTTGCAAC"
        return text, tokenizer.encode(text, add_special_tokens=False)


class CodeTokenizerTest(TokenizerTests, unittest.TestCase):
    pass


class NucleotideTokenizerTest(TokenizerTests, unittest.TestCase):
    return_nucleotide_ids = True
