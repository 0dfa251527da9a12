"""The tokenizer's encoding and decoding: a base is an id, and neither the batch nor the layout changes any."""

import tracemalloc

import numpy as np
import pytest
import torch
from transformers import BatchEncoding

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel, VQDNATokenizer
from vqdna_hf.modeling.nucleotides_vqdna import IUPAC_UNKNOWN, parse_sequence
from vqdna_hf.modeling.tokenization_vqdna import CodeVocabulary


PAD, UNK, CLS, SEP, MASK = range(5)
PAD_NUCLEOTIDE = 8


def random_dna(length: int, seed: int = 0, letters: str = "ACGT") -> str:
    return "".join(np.random.default_rng(seed).choice(list(letters), length))


@pytest.fixture(scope="module")
def tokenizer() -> VQDNATokenizer:
    """A network that has learned nothing: its codes depend on all the bases around, as they should for these tests."""
    torch.manual_seed(0)
    return VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")))


@pytest.fixture(scope="session")
def trained_tokenizer() -> VQDNATokenizer:
    """A network that reconstructs: 200 steps on random DNA."""
    torch.manual_seed(0)
    codec = VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")).train()
    optimizer = torch.optim.AdamW(codec.parameters(), lr=3e-3)
    for _ in range(200):
        codec(torch.randint(4, (16, 48))).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return VQDNATokenizer(codec=codec)


@pytest.fixture(scope="module")
def sequences() -> list[str]:
    lengths = np.random.default_rng(1).integers(0, 301, 24)
    return [random_dna(int(n), seed, "ACGTN") for seed, n in enumerate([0, 1, 2, 300, *lengths])]


# ids


def test_an_id_is_the_number_of_the_codes(tokenizer):
    text = random_dna(60)
    ids = tokenizer(text)["input_ids"]
    assert (ids[0], ids[-1], len(ids)) == (CLS, SEP, 62)
    codes = tokenizer.codec.encode(torch.from_numpy(parse_sequence(text)[0].astype(np.int64))[None])[0]
    assert ids[1:-1] == (5 + codes[:, 0] * 16 + codes[:, 1]).tolist()
    assert len(set(ids)) > 10  # more than the four bases: the codes do read the context
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids[1:-1]
    assert tokenizer.encode(text) == ids
    assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) == ids[1:-1]


def test_special_tokens_have_the_first_ids(tokenizer):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.convert_tokens_to_ids(tokens) == [PAD, UNK, CLS, SEP, MASK]
    assert set(tokenizer.all_special_ids) == set(range(5))
    assert tokenizer("A[MASK]N[UNK]", add_special_tokens=False)["input_ids"][1:] == [MASK, UNK, UNK]


def test_a_batch_gives_the_codes_of_single_strings(tokenizer, sequences):
    together = tokenizer(sequences)
    assert isinstance(together, BatchEncoding)
    for row, text in enumerate(sequences):
        alone = tokenizer(text)
        assert together["input_ids"][row] == alone["input_ids"]
        assert together["attention_mask"][row] == alone["attention_mask"]
        assert len(alone["input_ids"]) == len(text) + 2


def test_pieces_give_the_codes_of_the_whole(tokenizer, sequences):
    pieces = VQDNATokenizer(codec=tokenizer.codec, batch_bases=64, chunk_length=7)
    assert pieces(sequences)["input_ids"] == tokenizer(sequences)["input_ids"]


def test_an_empty_batch_and_an_empty_string(tokenizer):
    assert tokenizer([])["input_ids"] == []
    assert tokenizer("")["input_ids"] == [CLS, SEP]
    assert tokenizer(["", "A"], padding=True)["attention_mask"] == [[1, 1, 0], [1, 1, 1]]


# the input policy


@pytest.mark.parametrize("letters", ["acgt", "ACGU", "acgu", "aCgU"])
def test_lower_case_and_rna_are_read_as_dna(tokenizer, letters):
    text = random_dna(50)
    other = text.translate(str.maketrans("ACGT", letters))
    assert tokenizer(other)["input_ids"] == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("letter", IUPAC_UNKNOWN + IUPAC_UNKNOWN.lower())
def test_ambiguous_letters_are_unknown(tokenizer, letter):
    text = random_dna(50)
    ids = tokenizer(text[:20] + letter + text[21:])["input_ids"]
    assert ids == tokenizer(text[:20] + "N" + text[21:])["input_ids"]
    assert ids[21] == UNK and UNK not in ids[:21] + ids[22:]


@pytest.mark.parametrize("bad", [*" \n\t\u00a0EZ-*0é中[", "[CLS]", "[mask]"])
def test_other_characters_are_refused_with_their_place(tokenizer, bad):
    text = random_dna(30)
    with pytest.raises(ValueError, match=r"the sequence has .* at position 12 \(0-based\)"):
        tokenizer(text[:12] + bad + text[12:])
    with pytest.raises(ValueError, match=r"sequence 2 of the batch has .* at position 7 \(0-based\)"):
        tokenizer([text, text, text[:7] + bad, text])
    with pytest.raises(ValueError, match=r"at position 18 \(0-based\)"):
        tokenizer(text[:12] + "[MASK]" + bad)


def test_protein_and_white_space_messages_tell_what_to_do(tokenizer):
    with pytest.raises(ValueError, match="protein"):
        tokenizer("MEEPQSDPSV")
    with pytest.raises(ValueError, match="FASTA"):
        tokenizer("ACGT\nACGT")
    with pytest.raises(ValueError, match="int 3"):
        tokenizer([3, 4])
    with pytest.raises(ValueError, match="NoneType"):
        tokenizer(["ACGT", None])


@pytest.mark.parametrize("place", [0, 20, 49])
def test_mask_hides_the_base_from_the_codes_around(tokenizer, place):
    text, rows = random_dna(50), []
    for base in "ACGT":
        assert tokenizer(text[:place] + base + text[place + 1 :])["input_ids"][place + 1] != MASK
        rows.append(tokenizer(text[:place] + "[MASK]" + text[place + 1 :])["input_ids"])
    assert rows[0][place + 1] == MASK
    assert rows[0] == rows[1] == rows[2] == rows[3]
    hidden = tokenizer(text[:place] + "N" + text[place + 1 :])["input_ids"]
    assert hidden[: place + 1] + hidden[place + 2 :] == rows[0][: place + 1] + rows[0][place + 2 :]


def test_one_base_changes_codes_within_the_halo_only(tokenizer):
    text, halo = random_dna(60), tokenizer.codec.config.halo
    changed = tokenizer(text[:30] + ("A" if text[30] != "A" else "C") + text[31:])["input_ids"]
    places = np.flatnonzero(np.array(changed) != np.array(tokenizer(text)["input_ids"])) - 1
    assert len(places) > 1 and abs(places - 30).max() <= halo


# layout


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("named_in_call", [True, False])
def test_padding(tokenizer, sequences, side, named_in_call):
    plain = tokenizer(sequences, return_special_tokens_mask=True)
    own = VQDNATokenizer(codec=tokenizer.codec, padding_side="right" if named_in_call else side)
    call = {"padding_side": side} if named_in_call else {}
    padded = own(sequences, padding=True, pad_to_multiple_of=8, return_special_tokens_mask=True, **call)
    for key, fill in (("input_ids", PAD), ("attention_mask", 0), ("special_tokens_mask", 1)):
        for row, whole in zip(plain[key], padded[key]):
            extra = [fill] * (304 - len(row))
            assert whole == (extra + row if side == "left" else row + extra)


def test_padding_to_max_length_and_later(tokenizer):
    ids = tokenizer("ACGT", padding="max_length", max_length=10)["input_ids"]
    assert ids[6:] == [PAD] * 4 and len(ids) == 10
    rows = [tokenizer("ACGT"), tokenizer("ACGTACGT")]
    assert tokenizer.pad(rows)["input_ids"] == tokenizer(["ACGT", "ACGTACGT"], padding=True)["input_ids"]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("special", [True, False])
def test_truncation_cuts_the_full_encoding(tokenizer, sequences, side, special):
    own = VQDNATokenizer(codec=tokenizer.codec, truncation_side=side)
    for max_length in (2, 3, 10, 64, 299, 302, 400):
        cut = own(sequences, truncation=True, max_length=max_length, add_special_tokens=special)["input_ids"]
        for text, row in zip(sequences, cut):
            whole = tokenizer(text, add_special_tokens=False)["input_ids"]
            room = max(max_length - 2 * special, 0)
            kept = whole[max(len(whole) - room, 0) :] if side == "left" else whole[:room]
            assert row == ([CLS, *kept, SEP] if special else kept)


def test_truncation_reads_no_further_than_it_must(tokenizer, monkeypatch):
    seen, encode = [], VQDNATokenizer.encode_joined
    monkeypatch.setattr(
        VQDNATokenizer,
        "encode_joined",
        lambda self, joined, lengths: (seen.extend(lengths.tolist()), encode(self, joined, lengths))[1],
    )
    most = 20 + tokenizer.codec.config.halo + 1
    tokenizer([random_dna(300), "ACGTA", random_dna(200)], truncation=True, max_length=20)
    tokenizer(["[MASK]" * 300], truncation=True, max_length=20)
    assert seen == [most, 5, most, most]


def test_pairs(tokenizer):
    first, second = random_dna(20, 1), random_dna(30, 2)
    a, b = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (first, second))
    expected = [CLS, *a, SEP, *b, SEP]
    assert tokenizer(first, second)["input_ids"] == expected
    assert tokenizer([first], [second])["input_ids"] == [expected]
    assert tokenizer([(first, second)])["input_ids"] == [expected]
    assert tokenizer(first, second, truncation="only_first", max_length=40)["input_ids"] == [CLS, *a[:7], SEP, *b, SEP]
    assert tokenizer(first, second, truncation="only_second", max_length=40)["input_ids"][22:] == [*b[:17], SEP]
    types = tokenizer(first, second, return_token_type_ids=True)["token_type_ids"]
    assert types == [0] * 22 + [1] * 31
    with pytest.raises(ValueError, match="batch of 2"):
        tokenizer([first, first], [second])
    with pytest.raises(ValueError, match="Row 1 of the batch holds 3"):
        tokenizer([[first], [first, first, first]])
    with pytest.raises(ValueError, match="is a pair.*return_nucleotide_ids=False"):
        VQDNATokenizer(codec=tokenizer.codec, return_nucleotide_ids=True)(first, second)


def test_words_are_joined(tokenizer):
    text = random_dna(12)
    words = [text[:5], text[5:]]
    assert tokenizer(words, is_split_into_words=True)["input_ids"] == tokenizer(text)["input_ids"]
    assert tokenizer([words], is_split_into_words=True)["input_ids"] == tokenizer([text])["input_ids"]
    with pytest.raises(ValueError, match="is_split_into_words"):
        tokenizer(words, words, is_split_into_words=True)


@pytest.mark.parametrize("kind", ["pt", "np"])
def test_tensors(tokenizer, kind):
    batch = tokenizer(["ACGT", "AC"], padding=True, return_tensors=kind, return_special_tokens_mask=True)
    plain = tokenizer(["ACGT", "AC"], padding=True, return_special_tokens_mask=True)
    for key, value in batch.items():
        assert isinstance(value, torch.Tensor if kind == "pt" else np.ndarray)
        assert value.shape == (2, 6) and value.tolist() == plain[key]
    assert tokenizer("ACGT", return_tensors=kind)["input_ids"].shape == (1, 6)


def test_masks_and_length(tokenizer):
    batch = tokenizer(["ACN[MASK]", "A"], padding=True, return_special_tokens_mask=True, return_length=True)
    assert batch["attention_mask"] == [[1] * 6, [1, 1, 1, 0, 0, 0]]
    assert batch["special_tokens_mask"] == [[1, 0, 0, 0, 0, 1], [1, 0, 1, 1, 1, 1]]
    assert batch["length"] == [6, 6]
    assert tokenizer("ACGT", return_length=True)["length"] == 6
    assert "attention_mask" not in tokenizer("ACGT", return_attention_mask=False)
    assert "token_type_ids" not in batch


@pytest.mark.parametrize("side", ["left", "right"])
def test_offsets(tokenizer, side):
    texts = ["AC[MASK]gN[UNK]T", "acg"]
    batch = tokenizer(texts, padding=True, padding_side=side, return_offsets_mapping=True)
    tokens = [["A", "C", "[MASK]", "g", "N", "[UNK]", "T"], ["a", "c", "g"]]
    for text, expected, ids, offsets in zip(texts, tokens, batch["input_ids"], batch["offset_mapping"]):
        spans = [text[start:end] for start, end in offsets]
        assert [span for span in spans if span] == expected
        assert [not span for span in spans] == [index in (PAD, CLS, SEP) for index in ids]
    cut = tokenizer(texts[0], truncation=True, max_length=5, return_offsets_mapping=True)
    assert cut["offset_mapping"] == [(0, 0), (0, 1), (1, 2), (2, 8), (0, 0)]
    pair = tokenizer("A[MASK]", "CG", return_offsets_mapping=True)
    assert pair["offset_mapping"] == [(0, 0), (0, 1), (1, 7), (0, 0), (0, 1), (1, 2), (0, 0)]


# the vocabulary


def test_vocabulary_is_a_mapping(tokenizer):
    vocabulary = tokenizer.get_vocab()
    assert len(vocabulary) == len(tokenizer) == tokenizer.vocab_size == 5 + 8 * 16
    assert list(vocabulary.values()) == list(range(133))
    assert dict(vocabulary)["c3.5"] == vocabulary["c3.5"] == 58
    tokens = tokenizer.convert_ids_to_tokens(list(range(133)))
    assert tokens == list(vocabulary) and len(set(tokens)) == 133
    assert tokenizer.convert_tokens_to_ids(tokens) == list(range(133))


NO_TOKENS = ["", "A", "c", "C1.2", "c1", "c1.2.3", "c1.", "c.1", "c8.0", "c0.16", "c-1.2", "c01.2", "c1.٣", "c²"]


@pytest.mark.parametrize("token", [*NO_TOKENS, "c" + "9" * 5000])
def test_unknown_tokens(tokenizer, token):
    assert token not in tokenizer.get_vocab()
    assert tokenizer.convert_tokens_to_ids(token) == UNK


@pytest.mark.parametrize("index", [-1, 133])
def test_ids_outside_the_vocabulary_are_refused(tokenizer, index):
    with pytest.raises(IndexError, match=f"id {index} .* 133"):
        tokenizer.convert_ids_to_tokens([5, index])
    with pytest.raises(ValueError, match="133"):
        tokenizer.decode([CLS, 5, index, SEP])


def test_paper_vocabulary_costs_no_memory():
    tracemalloc.start()
    vocabulary = CodeVocabulary(VQDNACodecConfig.from_preset("paper-hrq").codebook_sizes)
    assert len(vocabulary) == 5 + 768 * 1536
    assert vocabulary["c767.1535"] == len(vocabulary) - 1
    assert vocabulary.token(len(vocabulary) - 1) == "c767.1535"
    assert vocabulary.copy()["[MASK]"] == MASK
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_tokens_cannot_be_added(tokenizer):
    with pytest.raises(ValueError, match="'ACGT'.*learned"):
        tokenizer.add_tokens(["ACGT"])
    with pytest.raises(ValueError, match=r"'\[BOS\]'"):
        tokenizer.add_special_tokens({"bos_token": "[BOS]"})
    assert len(tokenizer) == 133


# decoding


def test_codes_decode_to_the_bases(trained_tokenizer):
    text = random_dna(400, 5)
    ids = trained_tokenizer(text)["input_ids"]
    decoded = trained_tokenizer.decode(ids, skip_special_tokens=True)
    assert len(decoded) == 400 and set(decoded) <= set("ACGT")
    assert np.mean([a == b for a, b in zip(decoded, text)]) > 0.9
    assert trained_tokenizer.decode(ids) == f"[CLS]{decoded}[SEP]"
    assert trained_tokenizer.decode(torch.tensor(ids)) == trained_tokenizer.decode(np.array(ids))
    assert trained_tokenizer.convert_tokens_to_string(trained_tokenizer.tokenize(text)) == decoded
    pieces = VQDNATokenizer(codec=trained_tokenizer.codec, chunk_length=33)
    assert pieces.decode(ids, skip_special_tokens=True) == decoded


def test_special_tokens_decode(trained_tokenizer):
    tokenizer, text = trained_tokenizer, random_dna(30, 6)
    ids = tokenizer(text[:10] + "N" + text[11:20] + "[MASK]" + text[21:])["input_ids"]
    shown, hidden = tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=True)
    assert shown[5:][10] == "N" and shown[25:31] == "[MASK]"
    assert hidden[10] == "N" and len(hidden) == 29
    assert tokenizer.decode([]) == "" and tokenizer.decode(UNK) == "N"
    pair = tokenizer("ACGT", "GGCC", padding="max_length", max_length=13)["input_ids"]
    assert len(tokenizer.decode(pair, skip_special_tokens=True)) == 8
    assert tokenizer.decode(pair).endswith("[SEP][PAD][PAD]")


def test_batch_decode(trained_tokenizer):
    texts = [random_dna(n, n) for n in (1, 17, 60)]
    batch = trained_tokenizer(texts, padding=True, return_tensors="pt")["input_ids"]
    decoded = trained_tokenizer.batch_decode(batch, skip_special_tokens=True)
    assert decoded == [trained_tokenizer.decode(trained_tokenizer.encode(t), skip_special_tokens=True) for t in texts]
    assert [len(text) for text in decoded] == [1, 17, 60]


# nucleotide ids instead of codes


@pytest.mark.parametrize("side", ["left", "right"])
def test_nucleotide_ids(tokenizer, side):
    own = VQDNATokenizer(codec=tokenizer.codec, return_nucleotide_ids=True, padding_side=side)
    batch = own(["ACGTN", "G[MASK]"], padding=True, return_special_tokens_mask=True)
    assert "input_ids" not in batch
    short = [6, 2, 5, 7]
    padding = [PAD_NUCLEOTIDE] * 3
    assert batch["nucleotide_ids"] == [[6, 0, 1, 2, 3, 4, 7], padding + short if side == "left" else short + padding]
    assert batch["attention_mask"][1] == ([0, 0, 0, 1, 1, 1, 1] if side == "left" else [1, 1, 1, 1, 0, 0, 0])
    other = "left" if side == "right" else "right"
    rows = [own("ACGTN"), own("G[MASK]")]
    turned = own.pad(rows, padding_side=other, return_tensors="pt")["nucleotide_ids"].tolist()
    assert turned[1] == (padding + short if other == "left" else short + padding)
    assert own("ACGTACGT", truncation=True, max_length=5)["nucleotide_ids"] == [6, 0, 1, 2, 7]
    assert own("ACGT", return_tensors="pt")["nucleotide_ids"].dtype == torch.int64


def test_nucleotide_ids_need_no_network(tokenizer, monkeypatch):
    own = VQDNATokenizer(codec=tokenizer.codec, return_nucleotide_ids=True)
    monkeypatch.setattr(VQDNACodecModel, "encode", None)
    assert own(["ACGT"])["nucleotide_ids"] == [[6, 0, 1, 2, 3, 7]]


def test_nucleotide_ids_decode_to_their_letters():
    tokenizer = VQDNATokenizer(codec=VQDNACodecModel(VQDNACodecConfig.from_preset("tiny")), return_nucleotide_ids=True)
    ids = tokenizer("ACgN[MASK]u")["nucleotide_ids"]
    assert tokenizer.decode(ids) == "[CLS]ACGN[MASK]T[SEP]"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "ACGNT"
