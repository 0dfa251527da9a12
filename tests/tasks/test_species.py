"""Species classification: windows are those of the genomes, splits do not share contigs, and the files say how."""

import gzip
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel

from vqdna_hf import VQDNAConfig, VQDNAForMaskedLM, VQDNATokenizer
from vqdna_hf.arguments.training import FinetuneArguments
from vqdna_hf.cli import main
from vqdna_hf.data import read_fasta
from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids, ids_to_bases, reverse_complement
from vqdna_hf.tasks import TaskDataError, load_task, load_task_files
from vqdna_hf.tasks.audit import read_splits, shortcut_scores
from vqdna_hf.tasks.catalogue import class_names
from vqdna_hf.tasks.load import find_task, read_task
from vqdna_hf.tasks.species import plan_species_task, species_task
from vqdna_hf.tasks.species.draw import HYENADNA_DEV_CONTIGS, HYENADNA_TEST_CONTIGS
from vqdna_hf.tasks.species.windows import Contig, scan_genome
from vqdna_hf.training.finetune import finetune


LENGTH = 50
SPLITS = ("train", "dev", "test")


def write_genome(path: Path, lengths: dict[str, int], seed: int = 0, unknown: dict[str, list] | None = None) -> Path:
    """A FASTA file of random contigs; `unknown` runs of some are N."""
    rng, lines = np.random.default_rng(seed), []
    for name, length in lengths.items():
        ids = rng.integers(0, 4, length).astype(np.uint8)
        for start, end in (unknown or {}).get(name, []):
            ids[start:end] = 4
        lines += [f">{name}", ids_to_bases(ids)]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


@pytest.fixture
def genomes(tmp_path) -> dict[str, Path]:
    """Six and five contigs, with some unknown bases, and one contig alone."""
    chromosomes = {f"chr{number}": 900 + 100 * number for number in range(1, 7)}
    runs = {"chr1": [(0, 300), (500, 520)], "chr4": [(600, 610)]}
    bacterium = write_genome(tmp_path / "bacterium.fna.gz", {"NC_1": 4000}, 2, {"NC_1": [(3800, 4000)]})
    return {
        "human": write_genome(tmp_path / "human.fa", chromosomes, 0, runs),
        "mouse": write_genome(tmp_path / "mouse.fa.gz", {name: 1000 for name in "abcde"}, 1),
        "bacterium": bacterium,
    }


def read(genomes: dict[str, Path]) -> dict[tuple[str, str], np.ndarray]:
    return {(species, name): ids for species, path in genomes.items() for name, ids in read_fasta(path)}


def draw(genomes, length=LENGTH, rows=None, **options):
    return species_task(genomes, length, rows or {"train": 40, "dev": 5, "test": 6}, progress=False, **options)


def frames(task) -> dict[str, pd.DataFrame]:
    return {split: rows.to_pandas() for split, rows in task.items()}


@pytest.mark.parametrize("random_strand", [False, True])
def test_every_window_is_what_its_coordinates_say(genomes, random_strand):
    bases, task = read(genomes), draw(genomes, random_strand=random_strand)
    assert list(task) == list(SPLITS)
    strands = set()
    for rows in frames(task).values():
        for row in rows.itertuples():
            ids = bases[row.species, row.contig][row.start : row.end]
            assert row.sequence == ids_to_bases(ids if row.strand == "+" else reverse_complement(ids))
            assert row.end - row.start == len(row.sequence) == LENGTH
            assert row.sequence.count("N") <= 0.05 * LENGTH
            strands.add(row.strand)
    assert strands == ({"+", "-"} if random_strand else {"+"})


def test_classes_are_named_and_balanced_in_every_split(genomes):
    task = draw(genomes)
    for split, count in {"train": 40, "dev": 5, "test": 6}.items():
        assert task[split].features["label"] == ClassLabel(names=["human", "mouse", "bacterium"])
        assert np.bincount(task[split]["label"]).tolist() == [count] * 3
        names = [task[split].features["label"].int2str(label) for label in task[split]["label"]]
        assert names == list(task[split]["species"])
        # rows are mixed: the first of a file are not all of one class
        assert len(set(task[split]["label"][:5])) > 1


def test_no_contig_is_in_two_splits_and_no_bases_where_it_must_be_cut(genomes, caplog):
    with caplog.at_level(logging.WARNING):
        rows = frames(draw(genomes))
    for species in ("human", "mouse"):
        used = {split: set(frame[frame.species == species].contig) for split, frame in rows.items()}
        assert not (used["train"] & used["dev"] or used["train"] & used["test"] or used["dev"] & used["test"])
    assert "Too few contigs of bacterium hold 50 bases" in caplog.text
    spans = {}
    for split, frame in rows.items():
        mine = frame[frame.species == "bacterium"]
        spans[split] = (mine.start.min(), mine.end.max())
    # in the order train, dev, test, with a window's length between
    assert spans["train"][1] + LENGTH <= spans["dev"][0] and spans["dev"][1] + LENGTH <= spans["test"][0]


def test_copies_of_a_contig_in_other_files_are_left_out(genomes, caplog):
    directory = genomes["human"].parent / "folder"
    directory.mkdir()
    content = genomes["human"].read_bytes()
    (directory / "genome.fa").write_bytes(content)  # and, beside it, what it was unpacked from
    (directory / "genome.fa.gz").write_bytes(gzip.compress(content.lower(), mtime=0))
    (directory / "renamed.fa").write_bytes(b">other\n" + content.split(b"\n")[5] + b"\n")
    alone, again = (
        plan_species_task({"a": place, "b": genomes["mouse"]}, LENGTH, {"train": 40, "dev": 5, "test": 6})
        for place in (genomes["human"], directory)
    )
    # nothing is drawn twice, and a contig cannot be in two splits under two names
    assert [*again.info["contigs"]["a"].values()] == [*alone.info["contigs"]["a"].values()]
    places = ["split", "species", "contig", "start"]
    assert again.windows[places].equals(alone.windows[places])
    assert "7 contigs hold the bases of others and are left out: genome.fa.gz:chr1 is genome.fa:chr1, " in caplog.text
    assert "renamed.fa:other is genome.fa:chr3" in caplog.text


def test_the_info_says_how_it_was_split(genomes):
    task = draw(genomes)
    info = json.loads(task["test"].info.description)
    assert info["split_by"] == {"human": "contig", "mouse": "contig", "bacterium": "stretch"}
    for split, frame in frames(task).items():
        assert set(info["contigs"]["mouse"][split]) == set(frame[frame.species == "mouse"].contig)
    assert all(name.startswith("NC_1:") for name in info["contigs"]["bacterium"]["test"])
    assert info["overlapping"] == {"human": [], "mouse": [], "bacterium": []}
    # two contigs of 1000 bases have room for 20 windows each
    assert info["coverage"]["mouse"]["test"] in (round(6 / 20, 3), round(6 / 40, 3))


def test_held_out_windows_do_not_overlap_unless_they_must(genomes, caplog):
    for split, frame in frames(draw(genomes, rows={"train": 40, "dev": 16, "test": 17})).items():
        for _, mine in frame.sort_values("start").groupby(["species", "contig"]):
            if split != "train":
                assert (np.diff(mine.start) >= LENGTH).all()
    few = {"human": genomes["human"], "mouse": genomes["mouse"]}
    with caplog.at_level(logging.WARNING):
        task = draw(few, length=400, rows={"train": 5, "dev": 2, "test": 6})
    info = json.loads(task["test"].info.description)
    assert "test" in info["overlapping"]["mouse"] and "Windows overlap in test of mouse: 6 were asked" in caplog.text
    starts = frames(task)["test"].query("species == 'mouse'")[["contig", "start"]]
    assert len(starts.drop_duplicates()) == 6


def test_a_seed_gives_one_task_and_another_gives_other_windows_of_the_same_contigs(genomes, tmp_path):
    first, again = (frames(draw(genomes, seed=3, cache_dir=tmp_path / name)) for name in ("a", "b"))
    other = frames(draw(genomes, seed=4))
    for split in SPLITS:
        pd.testing.assert_frame_equal(first[split], again[split])
        assert not first[split].sequence.equals(other[split].sequence)
        mouse = [set(rows[split].query("species == 'mouse'").contig) for rows in (first, other)]
        assert mouse[0] == mouse[1] or split == "train"


def test_a_species_windows_do_not_depend_on_the_others(genomes):
    alone = {"mouse": genomes["mouse"], "bacterium": genomes["bacterium"]}
    windows = [plan_species_task(of, LENGTH, 20, progress=False).windows for of in (genomes, alone)]
    mine = [frame[frame.species == "mouse"].drop(columns="label").reset_index(drop=True) for frame in windows]
    pd.testing.assert_frame_equal(*mine)


def test_other_bases_under_the_same_names_are_read_again(genomes):
    before = frames(draw(genomes))
    write_genome(genomes["mouse"], {name: 1000 for name in "abcde"}, seed=9)
    after = frames(draw(genomes))
    assert before["test"].start.equals(after["test"].start)
    assert not before["test"].sequence.equals(after["test"].sequence)


# contigs that are named


def test_named_contigs_are_held_out(genomes):
    mouse = {"human": genomes["human"], "mouse": genomes["mouse"]}
    task = frames(draw(mouse, test_contigs={"human": ["2", "chr5"]}, dev_contigs={"human": ["chr6"], "mouse": ["a"]}))
    used = {split: frame[frame.species == "human"].contig.unique().tolist() for split, frame in task.items()}
    assert sorted(used["test"]) == ["chr2", "chr5"] and used["dev"] == ["chr6"]
    assert set(used["train"]) <= {"chr1", "chr3", "chr4"}
    assert set(task["dev"].query("species == 'mouse'").contig) == {"a"}


def test_a_chromosome_a_file_is_found_by_the_files_name(tmp_path):
    for species in ("human", "pig"):
        for number in range(1, 14):
            path = tmp_path / species / f"chr{number}.fna"
            write_genome(path, {f"NC_0000{number}.1": 300}, seed=number + len(species))
    task = frames(draw(tmp_path, test_contigs=HYENADNA_TEST_CONTIGS, dev_contigs=HYENADNA_DEV_CONTIGS))
    for split, names in {"dev": HYENADNA_DEV_CONTIGS, "test": HYENADNA_TEST_CONTIGS}.items():
        assert set(task[split].contig) <= {f"NC_0000{number}.1" for number in names}
    assert set(task["train"].contig) == {f"NC_0000{number}.1" for number in (2, 4, 6, 8)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_contigs": ["chr9"]}, "human has no contig 'chr9'; it has chr1, chr2"),
        ({"test_contigs": {"rat": ["1"]}}, "Contigs are named for 'rat', which is none of human, mouse, bacterium"),
        ({"test_contigs": {"mouse": "a"}, "dev_contigs": {"mouse": "a"}}, "mouse: a is named for dev and for test"),
        ({"test_contigs": {"mouse": list("abcde")}}, "mouse: no window of 50 bases is left for dev and train"),
    ],
)
def test_wrong_contigs_are_named(genomes, options, message):
    with pytest.raises(TaskDataError, match=message):
        draw(genomes, **options)


# too little


@pytest.mark.parametrize(
    ("length", "rows", "message"),
    [
        (1200, 4, "mouse has no window of 1200 bases .* its longest contig has 1000 bases"),
        (
            950,
            4,
            "human is too short for windows of 950 bases: only 6|bacterium is too short for windows of 950 bases",
        ),
        (50, {"train": 40, "dev": 5, "test": 500}, "test of .* has room for .* windows of 50 bases .* 500 are asked"),
        (
            400,
            {"train": 40_000, "dev": 1, "test": 1},
            "train of .* gives only .* different windows .* 40000 are asked",
        ),
    ],
)
def test_too_short_a_genome_is_named_with_the_numbers(genomes, length, rows, message):
    with pytest.raises(TaskDataError, match=message):
        draw(genomes, length, rows)


def test_a_million_bases_from_a_short_genome(genomes):
    with pytest.raises(TaskDataError, match="human has no window of 1000000 bases .* longest contig has 1500 bases"):
        draw(genomes, 1_000_000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 1_000_001}, "length is 1000001"),
        ({"rows": {"train": 5, "dev": 0, "test": 1}}, "rows_per_class is"),
        ({"rows": {"train": 5, "dev": 1, "validation": 1}}, "rows_per_class is"),
        ({"max_unknown": 1.0}, "max_unknown is 1.0"),
        ({"max_coverage": 0.5}, "max_coverage is 0.5"),
    ],
)
def test_arguments_out_of_range_are_named(genomes, options, message):
    with pytest.raises(ValueError, match=message):
        draw(genomes, **options)


def test_genomes_that_are_not_there_are_named(genomes, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskDataError, match="empty, given for rat, holds no FASTA files"):
        draw({"rat": tmp_path / "empty", "mouse": genomes["mouse"]})
    with pytest.raises(TaskDataError, match="given for human and again for mouse"):
        draw({"human": genomes["human"], "mouse": genomes["human"]})
    with pytest.raises(TaskDataError, match="Only human was given or found"):
        draw({"human": genomes["human"]})
    with pytest.raises(TaskDataError, match="There is no directory"):
        draw(tmp_path / "nowhere")


# unknown bases


def test_unknown_bases_are_counted_as_a_loop_counts_them(tmp_path):
    path = write_genome(tmp_path / "a.fa", {"x": 200, "y": 30}, unknown={"x": [(0, 7), (50, 51), (190, 200)]})
    contigs, _ = scan_genome([path])
    for contig, (_, ids) in zip(contigs, read_fasta(path), strict=True):
        assert isinstance(contig, Contig) and contig.length == ids.size
        positions = np.arange(ids.size + 1)
        assert contig.count_unknown(positions).tolist() == [int((ids[:p] == 4).sum()) for p in positions]


def test_a_contig_of_gaps_gives_windows_where_it_can(tmp_path):
    runs = [(0, 1100), (1200, 2500)]
    gaps = write_genome(tmp_path / "gaps.fa", {name: 3000 for name in "abcdef"}, 1, {name: runs for name in "abcdef"})
    plain = write_genome(tmp_path / "plain.fa", {name: 3000 for name in "abcdef"}, 2)
    task = frames(draw({"gaps": gaps, "plain": plain}, 60, max_unknown=0.0))
    assert not any("N" in sequence for frame in task.values() for sequence in frame.sequence)


# files, the command and the loaders


def run(genomes: dict[str, Path], output: Path, *options: str) -> int:
    fasta = [part for species, path in genomes.items() for part in ("--fasta", f"{species}={path}")]
    rows = ["--train-rows", "20", "--dev-rows", "4", "--test-rows", "4", "--length", "50"]
    return main(["species-task", *fasta, *rows, "--output", str(output), *options])


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_the_command_writes_what_the_loaders_read(genomes, tmp_path, file_format):
    output = tmp_path / "out" / "species"
    assert run(genomes, output, "--format", file_format) == 0
    names = sorted(path.name for path in output.iterdir())
    assert names == sorted([f"{split}.{file_format}" for split in SPLITS] + ["task.json"])
    assert [path.name for path in output.parent.iterdir()] == ["species"]
    dataset, info = load_task_files(output)
    assert (info.num_labels, info.counts) == (3, {"train": 60, "dev": 12, "test": 12})
    assert class_names(output, 3) == ("human", "mouse", "bacterium")
    assert class_names(output, 2) == ()
    for place in (output, output.parent):
        loaded = load_task("species", place)
        assert loaded["test"].features["label"].names == ["human", "mouse", "bacterium"]
        task = read_task(find_task("species"), place)
        assert (task.classes, task.num_labels, task.counts) == (("human", "mouse", "bacterium"), 3, info.counts)
        sequences = [ids_to_bases(np.array(ids, dtype=np.uint8)) for ids in dataset["test"]["nucleotide_ids"]]
        assert list(loaded["test"]["sequence"]) == sequences
    expected = species_task(genomes, 50, {"train": 20, "dev": 4, "test": 4}, progress=False)
    assert list(expected["test"]["sequence"]) == sequences
    table = pd.read_csv(output / "dev.csv") if file_format == "csv" else pd.read_parquet(output / "dev.parquet")
    assert list(table) == ["sequence", "label", "species", "contig", "start", "end", "strand"]


def test_the_command_again_and_with_other_settings(genomes, tmp_path, capsys):
    output = tmp_path / "species"
    assert run(genomes, output) == 0
    written = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in output.iterdir()}
    assert run(genomes, output) == 0
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in output.iterdir()} == written
    assert run(genomes, output, "--seed", "1") == 2
    assert "made with other settings (seed" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert run(genomes, tmp_path / "full") == 2
    assert "is not empty and holds no task.json" in capsys.readouterr().err
    for content, message in (("[]", "task.json cannot be read: it is a list"), ("{}", "made with other settings")):
        (tmp_path / "full" / "task.json").write_text(content)
        assert run(genomes, tmp_path / "full") == 2
        assert message in capsys.readouterr().err


def test_the_command_takes_contigs_for_all_or_by_species(genomes, tmp_path, capsys):
    mouse = ["--test-contigs", "mouse=a", "mouse=b", "--dev-contigs", "mouse=c"]
    assert run(genomes, tmp_path / "species", *mouse) == 0
    test = pd.read_csv(tmp_path / "species" / "test.csv")
    assert set(test[test.species == "mouse"].contig) <= {"a", "b"}
    assert run(genomes, tmp_path / "other", "--test-contigs", "mouse=a", "b") == 2
    assert "give SPECIES=NAME for all of them" in capsys.readouterr().err


def test_the_command_says_what_it_needs(tmp_path, capsys):
    assert main(["species-task", "--output", str(tmp_path / "x")]) == 2
    assert "Name the genomes: --fasta SPECIES=PATH" in capsys.readouterr().err
    assert main(["species-task", "--output", str(tmp_path / "x"), "--fasta", "human.fa"]) == 2
    assert "it must be SPECIES=PATH" in capsys.readouterr().err


def test_load_task_says_what_to_run(tmp_path):
    with pytest.raises(TaskDataError, match="no species task in .* `vqdna species-task --fasta human=PATH"):
        load_task("species", tmp_path)
    with pytest.raises(ValueError, match="species is not on the Hub; .* `vqdna species-task` draws them"):
        load_task("species")


@pytest.mark.parametrize("content", ["{", '{"classes": "human"}', "[]"])
def test_a_broken_task_json_is_named(tmp_path, content):
    (tmp_path / "task.json").write_text(content)
    with pytest.raises(ValueError, match="task.json .*Write the task again"):
        class_names(tmp_path, 2)


def test_a_model_adapted_to_the_task_has_the_species_as_labels(genomes, tmp_path):
    codec_and_encoder = VQDNAForMaskedLM(VQDNAConfig.from_preset("tiny"))
    codec_and_encoder.save_pretrained(tmp_path / "model")
    VQDNATokenizer(codec=codec_and_encoder.codec).save_pretrained(tmp_path / "model")
    assert run(genomes, tmp_path / "task") == 0
    paths = {"data": str(tmp_path / "task"), "model": str(tmp_path / "model"), "output": str(tmp_path / "out")}
    results = finetune(FinetuneArguments(**paths, mode="full", epochs=1, metric="accuracy"))
    assert 0 <= results["test"]["accuracy"] <= 1 and results["counts"]["test"] == 12
    config = VQDNAConfig.from_pretrained(tmp_path / "out")
    assert config.id2label == {0: "human", 1: "mouse", 2: "bacterium"}


# real data


def test_real_genomes(data_dir, tmp_path):
    files = {
        "coli": "escherichia_coli_k12", "plant": "arabidopsis_thaliana_1pct", "worm": "caenorhabditis_elegans_1pct",
        "fly": "drosophila_melanogaster_1pct", "yeast": "saccharomyces_cerevisiae_s288c",
        "human": "homo_sapiens_chr21_5mb",
    }  # fmt: skip
    genomes = {species: data_dir / "genomes" / f"{name}.fa.gz" for species, name in files.items()}
    task = draw(genomes, 1000, {"train": 200, "dev": 20, "test": 50}, cache_dir=tmp_path)
    info = json.loads(task["test"].info.description)
    assert {species for species, kind in info["split_by"].items() if kind == "stretch"} == {"coli", "human"}
    # the shares of the four bases tell the six genomes apart well above chance (1 in 6), which a model has to beat
    assert shortcut_scores(read_splits(task), "accuracy", "single_label_classification")["composition"] > 0.3
    with pytest.raises(TaskDataError, match="plant is too short for windows of 250000 bases: only 2"):
        draw(genomes, 250_000, 2)
    assert bases_to_ids(task["dev"][0]["sequence"]).size == 1000
