"""Random windows are decided by (seed, index) alone, lie in their contigs and are fairly drawn; stored ones tile
them."""

import time

import numpy as np
import pytest
import torch

from vqdna_hf.data import GenomeBases, NucleotideCollator, WindowDataset, iter_windows
from vqdna_hf.modeling.nucleotides_vqdna import reverse_complement


def genome_of(lengths: list[int], unknown: float = 0.0) -> GenomeBases:
    lengths = np.array(lengths)
    rng = np.random.default_rng(0)
    bases = rng.integers(0, 4, lengths.sum()).astype(np.uint8)
    bases[rng.random(bases.size) < unknown] = 4
    return GenomeBases(bases, [f"contig{i}" for i in range(len(lengths))], np.cumsum(lengths) - lengths, lengths)


def equal(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[key], right[key]) for key in left)


@pytest.fixture
def dataset() -> WindowDataset:
    return WindowDataset(genome_of([1000, 40, 300], unknown=0.1), 500, [(0, 64), (200, 128)], seed=3, mask_ratio=0.25)


def test_an_item_depends_on_its_index_alone(dataset):
    together = dataset.__getitems__(list(range(500)))
    for index in [0, 7, 199, 200, 499]:
        assert equal(dataset[index], together[index])
    shuffled = [499, 3, 200, 3]
    for item, index in zip(dataset.__getitems__(shuffled), shuffled):
        assert equal(item, together[index])


def test_workers_and_resuming_give_the_same_data(dataset):
    alone = [item for item in dataset]
    assert len(alone) == len(dataset) == 500
    loader = torch.utils.data.DataLoader(dataset, batch_size=32, num_workers=2, collate_fn=list)
    assert all(equal(left, right) for left, right in zip([item for batch in loader for item in batch], alone))
    resumed = torch.utils.data.Subset(dataset, range(320, 500))
    assert all(equal(left, right) for left, right in zip(resumed, alone[320:]))


def test_another_seed_gives_other_data(dataset):
    other = WindowDataset(dataset.genome, 500, [(0, 64), (200, 128)], seed=4, mask_ratio=0.25)
    assert sum(equal(left, right) for left, right in zip(dataset, other)) < 5


def test_nothing_is_hidden_from_the_first_clean_window_on(dataset):
    settings = {"seed": 3, "mask_ratio": 0.25, "clean_from": 300}
    partly = WindowDataset(dataset.genome, 500, [(0, 64), (200, 128)], **settings)
    for index in range(0, 500, 7):
        item, all_hidden = partly[index], dataset[index]
        assert np.array_equal(item["labels"], all_hidden["labels"])
        expected = all_hidden["nucleotide_ids"] if index < 300 else all_hidden["labels"]
        assert np.array_equal(item["nucleotide_ids"], expected)


def test_known_windows_stay_the_same():
    # fixed numbers: a change of the generator would change what a stopped run sees when it is resumed
    dataset = WindowDataset(genome_of([1000]), 3, [(0, 8)], seed=0, mask_ratio=0.25)
    assert [item["nucleotide_ids"].tolist() for item in dataset] == [
        [0, 1, 2, 5, 5, 0, 3, 0],
        [0, 3, 2, 1, 5, 5, 2, 1],
        [2, 5, 2, 5, 0, 2, 0, 2],
    ]


def test_lengths_follow_the_schedule(dataset):
    lengths = np.array([len(item["nucleotide_ids"]) for item in dataset])
    assert set(lengths[:200]) == {64, 40} and set(lengths[200:]) == {128, 40}


def test_windows_are_in_the_genome_on_both_strands():
    # every 12-mer of this genome occurs once on one strand only, so that a window tells where it is from
    genome = genome_of([400, 90, 10])
    places = {}
    for index in range(len(genome)):
        contig = genome.contig(index)
        for start in range(contig.size):
            window = contig[start : start + 12]
            if window.size == min(12, contig.size):
                places[window.tobytes()] = (index, start, 0)
                places[reverse_complement(window).tobytes()] = (index, start, 1)
    items = WindowDataset(genome, 20_000, [(0, 12)], seed=1).__getitems__(range(20_000))
    found = np.array([places[item["nucleotide_ids"].tobytes()] for item in items])
    # contigs by length, starts evenly, strands by halves; five standard deviations
    shares = np.bincount(found[:, 0]) / len(found)
    np.testing.assert_allclose(shares, [0.8, 0.18, 0.02], atol=0.015)
    starts = np.bincount(found[found[:, 0] == 0, 1], minlength=389)
    expected = starts.sum() / 389
    assert starts.size == 389 and abs(starts - expected).max() < 6 * expected**0.5
    assert abs(found[:, 2].mean() - 0.5) < 0.02


def test_one_strand_only_when_asked():
    genome = genome_of([300])
    text = genome.bases.tobytes()
    items = WindowDataset(genome, 200, [(0, 40)], seed=1, random_strand=False)
    assert all(item["nucleotide_ids"].tobytes() in text for item in items)


def test_contigs_of_a_split_are_respected():
    genome = genome_of([200, 300, 100])
    _, held_out = genome.split(["contig1"])
    text = genome.contig(1).tobytes()
    items = WindowDataset(held_out, 200, [(0, 50)], seed=1, random_strand=False)
    assert all(item["nucleotide_ids"].tobytes() in text for item in items)


def test_just_so_many_known_bases_are_hidden(dataset):
    masked_at = np.zeros(64)
    for item in dataset.__getitems__(range(200)):
        ids, labels = item["nucleotide_ids"], item["labels"]
        masked = ids == 5
        assert masked.sum() == round(0.25 * len(ids))
        assert (labels[masked] < 4).all()
        assert np.array_equal(ids[~masked], labels[~masked])
        if len(ids) == 64:
            masked_at += masked
    assert masked_at.min() > 20 and masked_at.max() < 85


def test_unknown_bases_are_never_hidden():
    genome = genome_of([64])
    genome.bases[:] = 4
    genome.bases[3] = 0
    item = WindowDataset(genome, 1, [(0, 64)], seed=0, mask_ratio=0.5)[0]
    assert (item["nucleotide_ids"] == 5).sum() == 1


def test_plain_items_have_no_labels():
    item = WindowDataset(genome_of([100]), 1, [(0, 10)], seed=0)[0]
    assert item.keys() == {"nucleotide_ids"} and item["nucleotide_ids"].dtype == np.uint8


@pytest.mark.parametrize("seed", [0, -1, 2**70])
def test_any_integer_is_a_seed(seed):
    assert len(WindowDataset(genome_of([100]), 1, [(0, 10)], seed=seed)[0]["nucleotide_ids"]) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_windows": 0}, "num_windows is 0"),
        ({"mask_ratio": 1.0}, "mask_ratio is 1.0"),
        ({"length_schedule": []}, "length_schedule"),
        ({"length_schedule": [(5, 10)]}, "length_schedule"),
        ({"length_schedule": [(0, 10), (0, 20)]}, "length_schedule"),
        ({"length_schedule": [(0, 0)]}, "length_schedule"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    usual = {"num_windows": 1, "length_schedule": [(0, 10)], "seed": 0}
    with pytest.raises(ValueError, match=message):
        WindowDataset(genome_of([100]), **usual | arguments)


def test_an_empty_genome_and_a_wrong_index_are_refused():
    with pytest.raises(ValueError, match="no bases"):
        WindowDataset(genome_of([100]).split(eval_fraction=0)[1], 1, [(0, 10)], seed=0)
    with pytest.raises(IndexError, match="no window 3: indices go from 0 to 2"):
        WindowDataset(genome_of([100]), 3, [(0, 10)], seed=0)[3]


def test_collator_pads_ids_masks_and_labels():
    items = [
        {"nucleotide_ids": np.array([0, 5, 4], dtype=np.uint8), "labels": np.array([0, 2, 4], dtype=np.uint8)},
        {"nucleotide_ids": np.array([3], dtype=np.uint8), "labels": np.array([3], dtype=np.uint8)},
    ]
    batch = NucleotideCollator()(items)
    assert batch["nucleotide_ids"].tolist() == [[0, 5, 4], [3, 8, 8]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[0, 2, -100], [3, -100, -100]]
    assert all(values.dtype == torch.int64 for values in batch.values())
    assert "labels" not in NucleotideCollator()([{"nucleotide_ids": [0, 1]}])


@pytest.mark.parametrize("min_length", [1, 4, 10])
def test_stored_windows_tile_every_contig(min_length):
    genome = genome_of([25, 10, 3, 14])
    windows = list(iter_windows(genome, 10, min_length))
    for index, name in enumerate(genome.names):
        own = [window for window in windows if window[0] == name]
        contig, end = genome.contig(index), 0
        for _, start, stop, ids in own:
            assert start == end and np.array_equal(ids, contig[start:stop])
            assert min_length <= stop - start <= 10
            end = stop
        assert contig.size - end < min_length


def test_windows_of_mostly_unknown_bases_are_left_out():
    genome = genome_of([40])
    genome.bases[10:15] = 4  # half of the second window: kept
    genome.bases[20:26] = 4  # more than half of the third: left out
    assert [start for _, start, _, _ in iter_windows(genome, 10)] == [0, 10, 30]


@pytest.mark.parametrize(("length", "min_length"), [(10, 11), (10, 0), (0, 0)])
def test_window_lengths_out_of_range_are_refused(length, min_length):
    with pytest.raises(ValueError, match="min_length <= length"):
        list(iter_windows(genome_of([40]), length, min_length))


def test_windows_are_fast():
    dataset = WindowDataset(genome_of([100_000] * 10), 10**9, [(0, 128)], seed=0, mask_ratio=0.25)
    begin = time.perf_counter()
    for first in range(0, 64 * 100, 64):
        dataset.__getitems__(range(first, first + 64))
    # a tenth of what one idle core does
    assert 64 * 100 / (time.perf_counter() - begin) > 10_000
