"""Masking: what is masked, what is labelled, and that a masked base cannot be seen where it is said not to be."""

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, List, Value

from vqdna_hf import VQDNACodecConfig, VQDNAConfig, VQDNAModel
from vqdna_hf.modeling.modeling_vqdna import unpack_codes
from vqdna_hf.training.masking import (
    KEEP,
    MASK_TOKEN_ID,
    MASKINGS,
    MaskedWindows,
    Masking,
    MaskingCollator,
    mask_batch,
)


HALO, NUM_CODES = 8, 128  # of the tiny codec
MASK, CLS, SEP, PAD = 5, 6, 7, 8  # nucleotide ids


def masking(kind: str, ratio: float = 0.25, **changes) -> Masking:
    return Masking(kind, ratio, HALO, NUM_CODES, **changes)


def random_bases(length: int = 200, seed: int = 0, unknown: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, 4, length)
    bases[rng.choice(length, unknown, replace=False)] = 4
    return bases


def corpus(rows: int = 10, with_codes: bool = False, length: int = 64) -> Dataset:
    columns = {"bases": [random_bases(length, seed) for seed in range(rows)]}
    features = {"bases": List(Value("uint8"))}
    if with_codes:
        columns["codes"] = [np.random.default_rng(seed).integers(5, 133, length) for seed in range(rows)]
        features["codes"] = List(Value("int64"))
    return Dataset.from_dict(columns, features=Features(features))


@pytest.fixture(scope="module")
def encoder() -> VQDNAModel:
    torch.manual_seed(0)
    return VQDNAModel(VQDNAConfig.from_preset("tiny", VQDNACodecConfig.from_preset("tiny"))).eval()


# which positions


@pytest.mark.parametrize("kind", ["base", "token"])
@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.5])
def test_a_fixed_share_of_the_known_bases_is_chosen(kind, ratio):
    bases = random_bases(200, unknown=40)
    masked, labelled = masking(kind, ratio).choose(bases, np.random.default_rng(0))
    assert masked.sum() == round(ratio * 160)
    assert np.array_equal(masked, labelled) and not labelled[bases == 4].any()


def test_every_position_is_chosen_equally_often():
    rng, counts = np.random.default_rng(0), np.zeros(50)
    for _ in range(2000):
        counts += masking("base").choose(random_bases(50), rng)[1]
    expected = 2000 * 12 / 50
    assert abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("span_length", [33, 50])
def test_labels_of_a_span_lie_a_halo_from_its_edges(span_length):
    rng, seen = np.random.default_rng(0), 0
    for length in [70, 200, 333] * 30:
        bases = random_bases(length, unknown=10)
        masked, labelled = masking("span", span_length=span_length).choose(bases, rng)
        assert not labelled[~masked].any() and not labelled[bases == 4].any()
        for place in np.flatnonzero(labelled):
            # nothing within a halo is visible, so that no code that the encoder sees knows the base
            assert masked[max(0, place - HALO) : place + HALO + 1].all()
        seen += labelled.sum()
    assert seen > 0


def test_spans_mask_about_the_ratio():
    rng = np.random.default_rng(0)
    for ratio, length in [(0.15, 512), (0.25, 512), (0.5, 1000)]:
        masked, labelled = masking("span", ratio).choose(random_bases(length), rng)
        assert abs(masked.mean() - ratio) < 0.05
        assert 0.3 < labelled.sum() / masked.sum() < 1


def test_a_window_without_room_around_a_span_is_left_alone():
    spans = masking("span")
    assert spans.min_length == 33 + 2 * HALO
    masked, labelled = spans.choose(random_bases(spans.min_length - 1), np.random.default_rng(0))
    assert not masked.any() and not labelled.any()
    masked, labelled = spans.choose(random_bases(spans.min_length), np.random.default_rng(0))
    assert masked.sum() == 33 and labelled.any()


def runs_of(masked: np.ndarray) -> list[tuple[int, int]]:
    """Half-open intervals of masked bases."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], masked.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


@pytest.mark.parametrize("span_length", [2, 8])
def test_bases_are_masked_in_runs(span_length):
    bases, rng = random_bases(4000, unknown=40), np.random.default_rng(0)
    masked, labelled = masking("base", span_length=span_length).choose(bases, rng)
    assert masked.mean() == pytest.approx(0.25, abs=0.01)
    assert np.array_equal(masked, labelled) and not masked[bases == 4].any()
    places = np.zeros(384)
    for _ in range(4000):
        masked, _ = masking("base", span_length=span_length).choose(bases[bases < 4][:384], rng)
        assert all((end - start) % span_length == 0 for start, end in runs_of(masked))  # two may touch
        places += masked
    assert places.min() > 0 and places[20:-20].mean() / 4000 == pytest.approx(0.25, abs=0.01)


def test_a_run_is_masked_replaced_or_kept_as_a_whole():
    bases = np.zeros(40_000, dtype=np.int64)
    item = masking("base", span_length=8).item(bases, np.random.default_rng(0))
    inputs, kinds = item["masked_nucleotide_ids"], []
    assert np.array_equal(inputs[~item["labelled"]], bases[~item["labelled"]])
    for start, end in runs_of(item["labelled"]):
        for run in inputs[start:end].reshape(-1, 8):
            assert (run == MASK).all() or not (run == MASK).any()
            kinds.append("masked" if run[0] == MASK else "random" if run.any() else "kept")
    assert len(kinds) == 1250
    for kind, share in (("masked", 0.8), ("random", 0.1), ("kept", 0.1)):
        assert kinds.count(kind) / 1250 == pytest.approx(share, abs=0.03)


def test_a_window_that_a_run_would_fill_is_left_alone():
    runs = masking("base", span_length=8)
    assert runs.min_length == 9
    assert not runs.choose(random_bases(8), np.random.default_rng(0))[0].any()
    assert runs.choose(random_bases(9), np.random.default_rng(0))[0].sum() == 8


def test_default_spans_fit_the_halo():
    assert masking("span").span_length == 4 * HALO + 1
    assert Masking("span", 0.25, 0, 4).span_length == 2
    with pytest.raises(ValueError, match="span of 16 bases masks little.* at least 33"):
        masking("span", span_length=16)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="no masking 'codes'; choose one of base, token, span"):
        masking("codes")
    for ratio in (0.0, 1.0, -0.5):
        with pytest.raises(ValueError, match=f"mask ratio is {ratio}"):
            masking("base", ratio)
    for kind in MASKINGS:
        with pytest.raises(ValueError, match="span length is 0"):
            masking(kind, span_length=0)
    with pytest.raises(ValueError, match="span length is 8, but `token` masking"):
        masking("token", span_length=8)


# what replaces them


@pytest.mark.parametrize("kind", ["base", "token"])
def test_masked_replaced_and_kept_shares(kind):
    """80 % masked, 10 % random, 10 % as they are, as in BERT."""
    bases = np.zeros(40_000, dtype=np.int64)
    item = masking(kind).item(bases, np.random.default_rng(0))
    labelled = item["labelled"]
    if kind == "base":
        inputs = item["masked_nucleotide_ids"]
        masked, untouched = inputs == MASK, inputs == bases
        random_share = 0.1 * 3 / 4  # a quarter of the random bases is the base itself
    else:
        inputs = item["replacement_ids"]
        masked, untouched, random_share = inputs == MASK_TOKEN_ID, inputs == KEEP, 0.1
    assert labelled.sum() == 10_000 and untouched[~labelled].all()
    assert masked[labelled].mean() == pytest.approx(0.8, abs=0.02)
    assert (~masked & ~untouched)[labelled].mean() == pytest.approx(random_share, abs=0.02)
    assert np.array_equal(item["nucleotide_ids"], bases)


def test_spans_are_masked_whole():
    item = masking("span").item(random_bases(5000), np.random.default_rng(0))
    assert set(np.unique(item["replacement_ids"])) == {KEEP, MASK_TOKEN_ID}
    assert (item["replacement_ids"][item["labelled"]] == MASK_TOKEN_ID).all()


def test_random_codes_cover_every_level_uniformly():
    item = Masking("token", 0.9, HALO, 8 * 16).item(np.zeros(200_000, dtype=np.int64), np.random.default_rng(0))
    drawn = item["replacement_ids"][item["replacement_ids"] > MASK_TOKEN_ID]
    assert drawn.min() == 5 and drawn.max() == 4 + 8 * 16
    codes = unpack_codes(torch.from_numpy(drawn), [8, 16]).numpy()
    for level, size in enumerate((8, 16)):
        counts, expected = np.bincount(codes[:, level], minlength=size), len(drawn) / size
        assert len(counts) == size and abs(counts - expected).max() < 5 * np.sqrt(expected)
    joint = np.histogram2d(codes[:, 0], codes[:, 1], bins=(8, 16))[0]
    assert abs(joint - len(drawn) / 128).max() < 5 * np.sqrt(len(drawn) / 128)


# the data set


@pytest.mark.parametrize("kind", MASKINGS)
def test_an_item_is_decided_by_seed_and_index(kind):
    windows = MaskedWindows(corpus(), 35, masking(kind), seed=3)
    together = windows.__getitems__(list(range(35)))
    again = MaskedWindows(corpus(), 35, masking(kind), seed=3)
    for index in (34, 0, 12, 9, 10):  # in any order, alone, in another object
        for name, values in again[index].items():
            assert np.array_equal(values, together[index][name]), (index, name)
    other = MaskedWindows(corpus(), 35, masking(kind), seed=4).__getitems__(list(range(35)))
    assert any(not np.array_equal(a["labelled"], b["labelled"]) for a, b in zip(together, other))


def test_every_pass_reads_every_window_in_another_order():
    windows = MaskedWindows(corpus(), 30, masking("base"), seed=0, random_strand=False)
    rows = [windows._row(index) for index in range(30)]
    passes = [rows[:10], rows[10:20], rows[20:]]
    assert all(sorted(order) == list(range(10)) for order in passes)
    assert passes[0] != passes[1] != passes[2]
    first = [windows[index]["nucleotide_ids"].tobytes() for index in range(10)]
    assert len(set(first)) == 10


def test_strands_are_random_unless_codes_are_stored():
    plain = {random_bases(64, seed).tobytes() for seed in range(10)}

    def forward(rows, **options):
        items = MaskedWindows(rows, 200, masking("token"), seed=0, **options).__getitems__(list(range(200)))
        return sum(item["nucleotide_ids"].tobytes() in plain for item in items)

    assert 70 < forward(corpus()) < 130
    assert forward(corpus(), random_strand=False) == 200
    assert forward(corpus(with_codes=True)) == 200


def test_stored_codes_are_used_where_bases_are_not_masked():
    rows = corpus(with_codes=True)
    assert "clean_ids" in MaskedWindows(rows, 1, masking("token"), 0)[0]
    assert "clean_ids" not in MaskedWindows(rows, 1, masking("base"), 0)[0]


# batches


@pytest.mark.parametrize("kind", MASKINGS)
def test_collator_puts_edges_around_the_windows(kind):
    items = [masking(kind).item(random_bases(n), np.random.default_rng(n), np.full(n, 9)) for n in (20, 31)]
    batch = MaskingCollator()(items)
    assert {values.shape for values in batch.values()} == {(2, 33)}
    assert batch["labelled"].dtype == torch.bool
    edges = {"nucleotide_ids": (CLS, SEP, PAD), "masked_nucleotide_ids": (CLS, SEP, PAD), "clean_ids": (2, 3, 0)}
    edges |= {"replacement_ids": (KEEP, KEEP, KEEP), "labelled": (False, False, False)}
    for name, values in batch.items():
        cls, sep, pad = edges[name]
        assert values[0, 0] == cls and values[0, 21] == sep and (values[0, 22:] == pad).all(), name
        assert values[1, 32] == sep
        assert np.array_equal(values[0, 1:21], items[0][name]), name


@pytest.mark.parametrize("kind", MASKINGS)
def test_labels_are_the_codes_of_the_clean_window(encoder, kind):
    batch = MaskingCollator()(MaskedWindows(corpus(), 6, masking(kind), seed=0).__getitems__(list(range(6))))
    inputs = mask_batch(encoder, batch)
    clean = encoder.encode_nucleotides(batch["nucleotide_ids"])
    labelled = batch["labelled"]
    assert torch.equal(inputs["labels"][labelled], clean[labelled])
    assert torch.equal(inputs["base_targets"][labelled], batch["nucleotide_ids"][labelled])
    assert (inputs["labels"][~labelled] == -100).all() and (inputs["base_targets"][~labelled] == -100).all()
    assert torch.equal(inputs["attention_mask"], (batch["nucleotide_ids"] != PAD).long())
    assert ((inputs["input_ids"] == MASK_TOKEN_ID) & labelled).any()
    assert (inputs["input_ids"][:, 0] == 2).all() and not labelled[:, 0].any()


def test_codes_outside_the_mask_stay_in_token_and_span_mode(encoder):
    for kind in ("token", "span"):
        batch = MaskingCollator()(MaskedWindows(corpus(), 4, masking(kind), seed=0).__getitems__(list(range(4))))
        inputs, clean = mask_batch(encoder, batch), encoder.encode_nucleotides(batch["nucleotide_ids"])
        kept = batch["replacement_ids"] == KEEP
        assert torch.equal(inputs["input_ids"][kept], clean[kept])


def test_codes_a_halo_from_a_run_are_those_of_the_clean_window(encoder):
    """The reason for runs: bases masked one by one change nearly all codes, which fine-tuning will never see so."""
    same = {}
    for span_length in (1, 16):
        windows = MaskedWindows(corpus(length=300), 4, masking("base", span_length=span_length), seed=0)
        batch = MaskingCollator()(windows.__getitems__(list(range(4))))
        inputs, clean = mask_batch(encoder, batch)["input_ids"], encoder.encode_nucleotides(batch["nucleotide_ids"])
        near = torch.nn.functional.max_pool1d(batch["labelled"].float(), 2 * HALO + 1, 1, HALO).bool()
        assert torch.equal(inputs[~near], clean[~near])
        visible = ~batch["labelled"]
        same[span_length] = float((inputs == clean)[visible].float().mean())
    assert same[16] > same[1] + 0.2


def changed_at(batch: dict[str, torch.Tensor], place: tuple[int, int]) -> dict[str, torch.Tensor]:
    """The batch with another base at one place of its clean windows; what masks it stays."""
    changed = {name: values.clone() for name, values in batch.items()}
    changed["nucleotide_ids"][place] = (changed["nucleotide_ids"][place] + 1) % 4
    return changed


def visible_places(encoder, batch) -> tuple[int, int]:
    """Of 40 masked and labelled positions, those whose base changes what the encoder gets; and how many were tried."""
    before, changed = mask_batch(encoder, batch)["input_ids"], 0
    masked = batch["labelled"] & (before == MASK_TOKEN_ID)
    places = [tuple(place) for place in masked.nonzero().tolist()][:40]
    for place in places:
        after = mask_batch(encoder, changed_at(batch, place))
        assert int(after["base_targets"][place]) == int(changed_at(batch, place)["nucleotide_ids"][place])
        changed += not torch.equal(after["input_ids"], before)
    return changed, len(places)


def test_what_stands_for_a_masked_base_does_not_depend_on_it():
    bases = random_bases()
    item = masking("base").item(bases, np.random.default_rng(0))
    for place in np.flatnonzero(item["masked_nucleotide_ids"] == MASK):
        other = bases.copy()
        other[place] = (other[place] + 1) % 4
        again = masking("base").item(other, np.random.default_rng(0))
        assert np.array_equal(again["masked_nucleotide_ids"], item["masked_nucleotide_ids"])


@pytest.mark.parametrize(("kind", "changes"), [*((kind, {}) for kind in MASKINGS), ("base", {"span_length": 8})])
def test_masked_bases_show_in_token_mode_only(encoder, kind, changes):
    """The reason for the modes: changing a masked base changes no input of the encoder, except in the paper's."""
    rows = corpus(length=100)
    batch = MaskingCollator()(MaskedWindows(rows, 4, masking(kind, **changes), seed=0).__getitems__(list(range(4))))
    changed, tried = visible_places(encoder, batch)
    assert tried >= 20
    if kind == "token":
        assert changed > 0.9 * tried
    else:
        assert changed == 0


def test_stored_codes_give_the_same_batch(encoder):
    rows = corpus()
    ids = torch.from_numpy(np.stack([random_bases(64, seed) for seed in range(10)]))
    stored = rows.add_column("codes", encoder.encode_nucleotides(ids).tolist())
    for kind in ("token", "span"):
        batches = [
            MaskingCollator()(MaskedWindows(data, 25, masking(kind), 0, False).__getitems__(list(range(25))))
            for data in (rows, stored)
        ]
        assert "clean_ids" not in batches[0] and "clean_ids" in batches[1]
        first, second = (mask_batch(encoder, batch) for batch in batches)
        for name in first:
            assert torch.equal(first[name], second[name]), (kind, name)
