"""Genomes of many species: names are recognized, pieces make contigs again, the Hub gives what a directory does."""

import gzip
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from loopback_hub import Commit, LoopbackHub

from vqdna_hf.data import GenomeBases, write_corpus
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.tasks import list_species
from vqdna_hf.tasks.species import GenomeSourceError, genome_of, multi_species_genomes
from vqdna_hf.tasks.species.names import match_species, own_name, species_of_header, species_of_path


ROOT = Path(__file__).resolve().parents[2]
NCBI = "refseq/fungi/{0}/latest_assembly_versions/GCF_000146045.2_R64/GCF_000146045.2_R64_genomic.fna.gz"


def fasta(seed: int, headers: dict[str, int], unknown: slice = slice(0, 0)) -> tuple[bytes, dict[str, str]]:
    """A FASTA file in lines of 60 bases, and its contigs; `unknown` bases of the first one are N."""
    rng, contigs = np.random.default_rng(seed), {}
    for number, (header, length) in enumerate(headers.items()):
        ids = rng.integers(0, 4, length).astype(np.uint8)
        if number == 0:
            ids[unknown] = 4
        contigs[header] = ids_to_bases(ids)
    lines = []
    for header, bases in contigs.items():
        lines += [f">{header}", *(bases[at : at + 60] for at in range(0, len(bases), 60))]
    return "\n".join([*lines, ""]).encode(), {header.split()[0]: bases for header, bases in contigs.items()}


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


YEAST, YEAST_CONTIGS = fasta(0, {"NC_1.1 Saccharomyces cerevisiae S288C chromosome I": 950, "NC_2.1 x": 400})
VIBRIO, VIBRIO_CONTIGS = fasta(1, {"NZ_1.1 Vibrio sp. 1180_3 chromosome": 700})
COLI, COLI_CONTIGS = fasta(2, {"NC_000913.3 Escherichia coli str. K-12 substr. MG1655, complete genome": 800})
HUMAN, HUMAN_CONTIGS = fasta(3, {"chr1": 1000, "chr2": 130}, slice(192, 512))
FILES = {
    f"genomes/{NCBI.format('Saccharomyces_cerevisiae')}": YEAST,
    "genomes/GCF_000001.1_ASM1_genomic.fna.gz": VIBRIO,
    "genomes/GCF_000913.2_ASM5_genomic.fna.gz": COLI,
    "genomes/Homo_sapiens/hg38.fa": HUMAN,
}
CONTIGS = {
    "Saccharomyces Cerevisiae": YEAST_CONTIGS,
    "Vibrio": VIBRIO_CONTIGS,
    "Escherichia coli": COLI_CONTIGS,
    "Human": HUMAN_CONTIGS,
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("source")
    for path, content in FILES.items():
        write(directory / path, content)
    return directory


def joined(records) -> dict[str, dict[str, str]]:
    """The contigs of each species, N where no piece is."""
    contigs = {}
    for record in records:
        known = contigs.setdefault(record["species"], {}).get(record["contig"], "")
        assert len(record["sequence"]) == record["end"] - record["start"] and record["start"] >= len(known)
        gap = "N" * (record["start"] - len(known))
        contigs[record["species"]][record["contig"]] = known + gap + record["sequence"]
    return contigs


# names


def test_every_printed_name_is_found_however_it_is_written():
    for one in list_species():
        joined_name = one.name.replace(" ", "_")
        for written in (one.name, joined_name, joined_name.lower(), one.name.upper(), f"{one.name} strain ATCC 1234"):
            assert match_species(written) == one.name, written


@pytest.mark.parametrize(
    ("written", "species"),
    [
        ("Saccharomyces_cerevisiae_S288C", "Saccharomyces Cerevisiae"),
        ("Clostridium_sp._CAG:505", "Clostridium Cag 505"),
        ("Vibrio_sp._1180_3", "Vibrio"),
        ("Vibrio", "Vibrio"),
        ("Vibrio_cholerae", None),
        ("Homo sapiens", "Human"),
        ("Mus_musculus.GRCm39", "Mus Musculus"),
        ("Mus_spretus", None),
        ("", None),
    ],
)
def test_strains_and_other_species_of_a_genus(written, species):
    assert match_species(written) == species


def test_paths_and_headers_name_species_and_accessions_do_not():
    assert species_of_path(NCBI.format("Mucor_saturninus")) == "Mucor Saturninus"
    assert species_of_path("GCF_000146045.2_R64_genomic.fna.gz") is None
    assert species_of_header("NC_001133.9 Saccharomyces cerevisiae S288C chromosome I") == "Saccharomyces Cerevisiae"
    assert species_of_header("Saccharomyces") is None
    assert own_name("genomes/GCF_1.1_A_genomic.fna.gz", "NC_1 Escherichia coli str. K-12") == "Escherichia coli"
    assert own_name("x/Danio_rerio/GCF_000002035.6_GRCz11_genomic.fna.gz") == "Danio rerio"


# a directory


@pytest.mark.parametrize("piece_length", [64, 100, 10_000])
def test_pieces_make_the_contigs_again(directory, piece_length):
    records = list(multi_species_genomes(directory, piece_length=piece_length, min_length=1))
    assert max(len(record["sequence"]) for record in records) <= piece_length
    assert joined(records) == CONTIGS
    # pieces that are mostly unknown are left out
    assert all(record["sequence"].count("N") * 2 <= len(record["sequence"]) for record in records)


def test_an_arrow_file_holds_what_the_stream_gives(directory):
    streamed = multi_species_genomes(directory, piece_length=100)
    stored = multi_species_genomes(directory, piece_length=100, streaming=False)
    assert stored[:] == {name: [record[name] for record in streamed] for name in stored.column_names}
    assert stored.features == streamed.features


def test_a_file_is_a_shard(directory):
    stream = multi_species_genomes(directory)
    assert stream.num_shards == len(FILES)
    halves = [list(stream.shard(2, index)) for index in range(2)]
    assert sorted(json.dumps(r) for half in halves for r in half) == sorted(json.dumps(r) for r in stream)


def test_what_is_unmatched_and_missing_is_reported(directory, caplog):
    with caplog.at_level(logging.INFO):
        report = json.loads(multi_species_genomes(directory).info.description)
    assert report["unmatched"] == ["genomes/GCF_000913.2_ASM5_genomic.fna.gz"]
    assert len(report["missing"]) == 122 and "Mus Musculus" in report["missing"]
    assert "1 files" in caplog.text and "122 of the 125 species" in caplog.text
    assert {name: len(paths) for name, paths in report["species"].items()} == dict.fromkeys(CONTIGS, 1)


def test_species_are_chosen_by_name_or_category(directory, caplog):
    def chosen(species):
        return set(joined(multi_species_genomes(directory, species=species)))

    assert chosen("fungi") == {"Saccharomyces Cerevisiae"}
    assert chosen("homo sapiens") == chosen("HUMAN") == {"Human"}
    assert chosen(["Vibrio", "Escherichia coli"]) == {"Vibrio", "Escherichia coli"}
    with caplog.at_level(logging.WARNING):
        assert chosen("Mammalian") == {"Human"}
    assert "6 of 7 species are not in" in caplog.text and "Mus Musculus" in caplog.text
    with pytest.raises(GenomeSourceError, match="None of Danio rerio is in .* It has Escherichia coli, Human, "):
        chosen("Danio rerio")


def test_splits_are_folders_or_parts_of_a_list(tmp_path):
    for split in ("train", "validation"):
        write(tmp_path / "folders" / split / f"species_of_{split}.fa", b">x\n" + b"ACGT" * 30 + b"\n")
    assert set(joined(multi_species_genomes(tmp_path / "folders", split="train"))) == {"species of train"}
    with pytest.raises(GenomeSourceError, match="has no folder test, only"):
        multi_species_genomes(tmp_path / "folders", split="test")
    names = [f"https://example.org/a_{number}/genome_of_{number}.fna.gz" for number in range(120)]
    for number in (3, 19, 20, 69, 70, 119):
        write(tmp_path / "list" / f"genome_of_{number}.fna.gz", b">x\n" + b"ACGT" * 30 + b"\n")
    with pytest.raises(GenomeSourceError, match="does not say what its split test is"):
        multi_species_genomes(tmp_path / "list", split="test")
    (tmp_path / "list" / "genomes.txt").write_text("\n".join(names) + "\n")
    expected = {"train": {3, 19}, "validation": {20, 69}, "test": {70, 119}}
    for split, numbers in expected.items():
        found = set(joined(multi_species_genomes(tmp_path / "list", split=split)))
        assert found == {f"genome of {number}" for number in numbers}


def test_wrong_arguments_and_empty_places_are_named(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(GenomeSourceError, match="has no FASTA files .* It holds: notes.txt"):
        multi_species_genomes(tmp_path)
    with pytest.raises(GenomeSourceError, match="There is no directory .*nowhere"):
        multi_species_genomes(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="split is 'dev'"):
        multi_species_genomes(tmp_path, split="dev")
    with pytest.raises(ValueError, match="min_length is 100, but it must be 1 to 50"):
        multi_species_genomes(tmp_path, piece_length=50, min_length=100)


def test_a_broken_file_is_named(tmp_path):
    packed = gzip.compress(YEAST, mtime=0)
    (tmp_path / "yeast.fa.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match="yeast.fa.gz is a truncated or corrupt gzip"):
        list(multi_species_genomes(tmp_path))


# a genome and a corpus of it


def test_pieces_become_a_genome_and_a_corpus(directory, tmp_path):
    genome = genome_of(multi_species_genomes(directory, piece_length=100, min_length=1))
    expected = {f"{species}:{name}": bases for species, contigs in CONTIGS.items() for name, bases in contigs.items()}
    assert {name: ids_to_bases(genome.contig(i)) for i, name in enumerate(genome.names)} == expected
    assert sum(entry["bases"] for entry in genome.inputs) == genome.total_bases
    train, held_out = genome.split(eval_contigs=["Vibrio:NZ_1.1"])
    corpus = write_corpus(train, held_out, tmp_path / "corpus", window=128, min_length=64, progress=False)
    assert set(corpus.split("validation")["contig"]) == {"Vibrio:NZ_1.1"}


def test_a_genome_can_be_the_beginning_of_a_stream(directory):
    stream = multi_species_genomes(directory, species="Saccharomyces cerevisiae", piece_length=100)
    genome = genome_of(stream, max_bases=250)
    assert genome.total_bases == 300 and ids_to_bases(genome.contig(0)) == YEAST_CONTIGS["NC_1.1"][:300]


def test_overlapping_and_disordered_pieces():
    pieces = [
        {"species": "s", "contig": "c", "start": start, "end": start + 6, "sequence": "ACGTACGTAC"[start : start + 6]}
        for start in (0, 4)
    ]
    genome = genome_of(pieces)
    assert ids_to_bases(genome.bases) == "ACGTACGTAC" and isinstance(genome, GenomeBases)
    with pytest.raises(GenomeSourceError, match="c of s goes back to 4"):
        genome_of([*pieces, pieces[1]])
    # as from a second genome of the species whose contig of that name begins with unknown bases
    other = pieces[0] | {"contig": "d"}
    with pytest.raises(GenomeSourceError, match="c of s comes back at 4.* of several genomes of a species give one"):
        genome_of([*pieces, other, pieces[1]])
    with pytest.raises(GenomeSourceError, match="no pieces"):
        genome_of([])


# the Hub


def parquet(rows: list[dict], path: Path) -> bytes:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def from_hub(tmp_path_factory) -> dict:
    """What a client in its own process got, by step; and the requests of the Hub as `requests`."""
    root = tmp_path_factory.mktemp("hub")
    packed = {path: gzip.compress(c, mtime=0) if path.endswith(".gz") else c for path, c in FILES.items()}
    script = {"multi_species_genomes.py": b"raise SystemExit('a script ran')", "urls.csv": b"https://example.org/x\n"}
    broken = {"Mus_musculus.fna.gz": packed["genomes/GCF_000001.1_ASM1_genomic.fna.gz"][:-40]}
    bases = YEAST_CONTIGS["NC_1.1"]
    rows = [
        {"sequence": bases[at : at + 300], "description": "NC_1.1 Saccharomyces cerevisiae S288C", "start_pos": at}
        for at in (0, 250, 500)
    ] + [{"sequence": "ACGT" * 20, "description": "NC_9 Escherichia coli str. K-12", "start_pos": 0}]
    converted = {"6kbp/partial-train/0000.parquet": parquet(rows, root / "a.parquet"), "README.md": b""}
    steps = {
        "all": {"source": "tester/genomes"},
        "chosen": {"source": "tester/genomes", "species": ["Vibrio", "Fungi"]},
        "often-cut": {"source": "tester/often-cut", "species": ["Fungi", "Human"]},
        "first": {"source": "tester/genomes", "take": 1},
        "cut": {"source": "tester/cut"},
        "gone": {"source": "tester/gone"},
        "broken": {"source": "tester/broken"},
        "script": {"source": "tester/script"},
        "parquet": {"source": "tester/parquet", "split": "train", "min_length": 1},
        "parquet-chosen": {"source": "tester/parquet", "species": "Fungi"},
        "nowhere": {"source": "tester/nowhere"},
    }
    with LoopbackHub() as hub:
        for name, files in {
            "genomes": packed | script,
            "often-cut": packed,
            "cut": {"Mus_musculus.fa": HUMAN},
            "gone": {"Mus_musculus.fa": HUMAN},
            "broken": broken,
            "script": script,
            "parquet": script,
        }.items():
            hub.seed(f"datasets/tester/{name}", files)
        hub.repositories["datasets/tester/parquet"].add("refs/convert/parquet", Commit(converted, "Converted"))
        hub.cut("get", "often-cut/.*Saccharomyces", after=100)
        hub.cut("get", "tester/cut/resolve", after=0)
        hub.fail("get", "often-cut/.*Homo", 503, times=2)
        hub.fail("get", "gone/resolve", 404)
        environment = hub.environment(root / "home") | {
            "PYTHONPATH": str(ROOT),
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        }
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("genomes_client.py")), json.dumps(steps)],
            env=environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1]) | {"requests": [path for _, path, _ in hub.requests]}


def test_the_hub_gives_what_the_directory_gives(from_hub, directory):
    assert "records" in from_hub["all"], from_hub["all"]
    assert sorted(map(json.dumps, from_hub["all"]["records"])) == sorted(
        map(json.dumps, multi_species_genomes(directory))
    )
    # files with nothing but an accession are named by their headers, when they are read
    assert set(joined(from_hub["all"]["records"])) == set(CONTIGS)


def test_only_files_of_the_species_asked_for_are_read_from_the_hub(from_hub):
    assert joined(from_hub["chosen"]["records"]) == {
        "Vibrio": VIBRIO_CONTIGS,
        "Saccharomyces Cerevisiae": YEAST_CONTIGS,
    }
    assert len(from_hub["chosen"]["report"]["missing"]) == 10


def test_reading_goes_on_where_the_connection_broke(from_hub):
    assert "records" in from_hub["often-cut"], from_hub["often-cut"]
    assert joined(from_hub["often-cut"]["records"]) == {
        "Saccharomyces Cerevisiae": YEAST_CONTIGS,
        "Human": HUMAN_CONTIGS,
    }
    assert len([path for path in from_hub["requests"] if "often-cut" in path and "Saccharomyces" in path]) > 2


def test_the_first_piece_takes_the_first_file(from_hub):
    assert len(from_hub["first"]["records"]) == 1


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        ("cut", "ConnectionError", "Mus_musculus.fa of tester/cut could not be read beyond byte 0 of"),
        ("gone", "ConnectionError", "Mus_musculus.fa of tester/gone could not be read beyond byte 0 of"),
        ("broken", "FastaError", "Mus_musculus.fna.gz of tester/broken is a truncated or corrupt gzip file"),
        (
            "script",
            "GenomeSourceError",
            "tester/script holds no FASTA files .* It holds: multi_species_genomes.py, urls",
        ),
        ("nowhere", "GenomeSourceError", "There is no directory tester/nowhere, and no dataset repository"),
    ],
)
def test_what_the_hub_does_not_give_is_named(from_hub, step, error, message):
    assert from_hub[step].get("error") == error, from_hub[step]
    assert re.search(message, from_hub[step]["message"])


def test_scripts_are_neither_run_nor_read(from_hub):
    assert not [path for path in from_hub["requests"] if "resolve" in path and path.endswith(".py")]


def test_converted_parquet_files_are_read(from_hub):
    assert "records" in from_hub["parquet"], from_hub["parquet"]
    genome = genome_of(from_hub["parquet"]["records"])
    assert genome.names == ["Saccharomyces Cerevisiae:NC_1.1", "Escherichia coli:NC_9"]
    assert ids_to_bases(genome.contig(0)) == YEAST_CONTIGS["NC_1.1"][:800]
    assert {record["species"] for record in from_hub["parquet-chosen"]["records"]} == {"Saccharomyces Cerevisiae"}
