"""A benchmark that is killed while a result is being written resumes, and ends like one that was not."""

import json
import shutil

import pytest
import transformers
from tiny_benchmark import MODELS, write_benchmark
from transformers import AutoTokenizer

import vqdna_hf.benchmark.benchmark as command
import vqdna_hf.training.recording as recording
from vqdna_hf import VQDNATokenizer, checkpoint
from vqdna_hf.benchmark.benchmark import BenchmarkArguments, benchmark


def run(path, output, **options):
    return benchmark(BenchmarkArguments(file=str(path), output=str(output), **options))


def without_times(cells):
    return [without(cell, "seconds") for cell in cells]


def without(options, name):
    return {key: value for key, value in options.items() if key != name}


def remove_cells(output):
    shutil.rmtree(output / "cells")
    (output / "cells.parquet").unlink()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The file of a benchmark of two models, and its cells."""
    home = tmp_path_factory.mktemp("restart")
    path = write_benchmark(
        home,
        models={name: MODELS[name] for name in ("learned", "letters")},
        modes={"full": {"learning_rate": 0.003, "epochs": 2, "batch_size": 16}},
        seeds=[1],
    )
    return path, run(path, home / "whole")


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (recording, "write_json", 1),  # the vocabulary is there, but not its record
        (recording, "write_json", 2),  # ... nor that of the encoder over it
        (recording, "write_json", 3),  # ... nor that of the encoder over letters
        (transformers.Trainer, "_save_optimizer_and_scheduler", 2),  # half a checkpoint of an encoder,
        (transformers.Trainer, "_save_optimizer_and_scheduler", 5),  # ... and of a cell
    ],
)
def test_half_a_result_is_written_again(finished, tmp_path, monkeypatch, owner, name, call):
    plain, calls = getattr(owner, name), 0

    def killed(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return plain(*args, **kwargs)

    monkeypatch.setattr(owner, name, killed)
    with pytest.raises(KeyboardInterrupt):
        run(finished[0], tmp_path)
    monkeypatch.setattr(owner, name, plain)

    assert without_times(run(finished[0], tmp_path)) == without_times(finished[1])
    assert json.loads((tmp_path / "tables.json").read_text())["tables"]


def test_a_part_without_the_reference_has_tables_of_what_it_has(finished, tmp_path):
    content = {"models": {"regression": MODELS["regression"], "letters": MODELS["letters"]}, "seeds": [1]}
    path = write_benchmark(finished[0].parent, "parts.yaml", reference="letters", **content)

    assert [cell["model"] for cell in run(path, tmp_path, part="1/2")] == ["regression"]
    assert "Differences" not in (tmp_path / "tables.md").read_text()

    run(path, tmp_path, part="2/2")
    assert "Differences from letters" in (tmp_path / "tables.md").read_text()


def test_studies_alone_make_tables(finished, tmp_path):
    vocabulary = {**MODELS["learned"]["vocabulary"], "quantizer": "vq"}
    study = {"name": "size", "task": "planted", "vocabulary": vocabulary, "neighbour_steps": 1}
    path = write_benchmark(
        finished[0].parent,
        "studies.yaml",
        models=None,
        seeds=[1],
        ablations=[{**study, "variants": [{"codebook_sizes": [8]}]}],
    )

    assert run(path, tmp_path) == []
    assert "Ablation: size" in (tmp_path / "tables.md").read_text()


@pytest.fixture
def copied(finished, tmp_path):
    """The models of a finished benchmark, without its cells."""
    for name in ("models", "corpus"):
        shutil.copytree(finished[0].parent / "whole" / name, tmp_path / "copied" / name)
    return tmp_path / "copied"


def changed(finished, name: str, **parts):
    """A benchmark file with one model changed."""
    model = {**MODELS[name], **parts}
    models = {name: {part: value for part, value in model.items() if value is not None}}
    content = {"models": {**{key: MODELS[key] for key in ("learned", "letters")}, **models}, "seeds": [1]}
    return write_benchmark(finished[0].parent, "changed.yaml", **content)


@pytest.mark.parametrize(
    ("name", "parts", "message"),
    [
        # what the file leaves out has its default value, whatever it was before
        ("letters", {"encoder": without(MODELS["letters"]["encoder"], "batch_size")}, "batch_size: 4 then, 64 now"),
        ("learned", {"encoder": {"preset": "tiny", "max_steps": 0}}, "is pre-trained, .* max_steps: 0"),
        ("letters", {"tokenizer": {"kind": "kmer", "k": 3}}, "kind: .character. then, .kmer. now"),
    ],
)
def test_models_of_other_settings_are_refused_before_any_training(finished, copied, monkeypatch, name, parts, message):
    monkeypatch.setattr(command, "prepare_model", lambda *_: pytest.fail("training began"))
    with pytest.raises(ValueError, match=message):
        run(changed(finished, name, **parts), copied)


def test_models_of_other_genomes_are_refused(finished, copied):
    other = finished[0].parent / "other.fa"
    other.write_text((finished[0].parent / "genome.fa").read_text())
    path = finished[0].with_name("other.yaml")
    path.write_text(finished[0].read_text().replace("genome.fa", "other.fa"))
    with pytest.raises(ValueError, match=r"made from genome.fa, but the file's fasta is other.fa"):
        run(path, copied)


def test_an_encoder_over_a_vocabulary_that_was_made_anew_is_refused(finished, copied):
    shutil.rmtree(copied / "models/learned/tokenizer")
    longer = {**MODELS["learned"]["vocabulary"], "max_steps": 3}
    with pytest.raises(ValueError, match="encoder is over another vocabulary"):
        run(changed(finished, "learned", vocabulary=longer), copied)


def test_an_untrained_encoder_of_another_size_is_refused(finished, tmp_path):
    def path(**options):
        encoder = {"preset": "tiny", "max_steps": 0, "batch_size": 4, **options}
        models = {"letters": {"tokenizer": "character", "encoder": encoder}}
        return write_benchmark(finished[0].parent, "untrained.yaml", models=models, seeds=[1], fasta=[])

    run(path(), tmp_path)
    remove_cells(tmp_path)
    with pytest.raises(ValueError, match="preset: 'tiny' then, 'small' now"):
        run(path(preset="small"), tmp_path)


def test_a_model_may_share_a_vocabulary_that_stands_below_it(finished, tmp_path):
    models = {name: MODELS[name] for name in ("untrained", "learned")}
    path = write_benchmark(finished[0].parent, "below.yaml", models=models, seeds=[1])
    assert [cell["model"] for cell in run(path, tmp_path, part="1/2")] == ["untrained"]


def test_a_vocabulary_that_is_there_is_taken_from_its_place(finished, tmp_path):
    place, learned = tmp_path / "mine", finished[0].parent / "whole/models/learned/tokenizer"
    shutil.copytree(learned, place)
    vocabulary = {"path": str(place)}
    models = {
        "trained": {"vocabulary": vocabulary, "encoder": MODELS["learned"]["encoder"]},
        "untrained": {**MODELS["untrained"], "vocabulary": vocabulary},
    }
    path = write_benchmark(finished[0].parent, "there.yaml", models=models, seeds=[1])
    cells = run(path, tmp_path / "out")

    assert not (tmp_path / "out/models/trained/tokenizer").exists()
    assert [cell["settings"]["model"]["vocabulary"] for cell in cells] == [{"path": "mine"}] * 2
    # the same vocabulary as the one learned in a benchmark, and the same result
    assert cells[0]["weights"] == finished[1][0]["weights"]

    shutil.rmtree(place)
    assert len(run(path, tmp_path / "out", tables_only=True)) == 2  # of the cells alone
    shutil.copytree(checkpoint("vqdna-vq-small"), place)
    (place / "training.json").unlink()  # what `save_pretrained` writes has no record
    with pytest.raises(ValueError, match=r"is over another vocabulary than that in .*mine"):
        run(path, tmp_path / "out")


def test_an_encoder_that_was_begun_over_another_vocabulary_is_refused_before_any_training(
    finished, tmp_path, monkeypatch
):
    place, learned = tmp_path / "mine", finished[0].parent / "whole/models/learned/tokenizer"
    shutil.copytree(learned, place)
    models = {"trained": {"vocabulary": {"path": str(place)}, "encoder": MODELS["learned"]["encoder"]}}
    path = write_benchmark(finished[0].parent, "begun.yaml", models=models, seeds=[1])
    run(path, tmp_path / "out")
    encoder = tmp_path / "out/models/trained/encoder"
    record = json.loads((encoder / "training.json").read_text())
    assert record["arguments"]["tokenizer"] == str(place)
    remove_cells(tmp_path / "out")
    (encoder / "training.json").unlink()  # as if it had been killed before its end
    tokenizer = AutoTokenizer.from_pretrained(checkpoint("vqdna-vq-small"))
    tokenizer.save_pretrained(place)
    monkeypatch.setattr(command, "prepare_model", lambda *_: pytest.fail("training began"))
    with pytest.raises(ValueError, match=r"is over another vocabulary than that in .*mine"):
        run(path, tmp_path / "out")


def test_the_vocabulary_of_a_model_that_reads_both_strands_is_taken(finished, tmp_path):
    learned = AutoTokenizer.from_pretrained(finished[0].parent / "whole/models/learned/tokenizer")
    VQDNATokenizer(codec=learned.codec, return_nucleotide_ids=True).save_pretrained(tmp_path / "mine")
    vocabulary = {"path": str(tmp_path / "mine")}
    models = {
        "trained": {"vocabulary": vocabulary, "encoder": MODELS["learned"]["encoder"]},
        "untrained": {**MODELS["untrained"], "vocabulary": vocabulary},
    }
    path = write_benchmark(finished[0].parent, "strands.yaml", models=models, seeds=[1])
    cells = run(path, tmp_path / "out")
    assert cells[0]["weights"] == finished[1][0]["weights"] and len(cells) == 2


def test_an_untrained_encoder_over_a_checkpoint_needs_no_genomes(finished, tmp_path):
    models = {"untrained": {"vocabulary": {"path": "vqdna-hrq-small"}, "encoder": {"preset": "tiny", "max_steps": 0}}}
    path = write_benchmark(finished[0].parent, "bare.yaml", models=models, seeds=[1], fasta=[])
    (cell,) = run(path, tmp_path)
    assert cell["settings"]["model"]["vocabulary"] == {"path": "vqdna-hrq-small"}
    assert cell["kind"] == "learned vocabulary"


def test_a_named_model_of_other_weights_is_refused_before_any_training(finished, tmp_path, monkeypatch):
    source = finished[0].parent / "whole/models/letters/encoder"
    path = write_benchmark(finished[0].parent, "named.yaml", models={"ours": {"path": str(source)}}, seeds=[1])
    run(path, tmp_path)
    (cell,) = (tmp_path / "cells").glob("*.json")
    cell.write_text(json.dumps({**json.loads(cell.read_text()), "weights": "0" * 16}))
    monkeypatch.setattr(command, "prepare_model", lambda *_: pytest.fail("training began"))
    with pytest.raises(ValueError, match="is of other weights of ours"):
        run(path, tmp_path)
