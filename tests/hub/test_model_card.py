"""Cards of real (tiny) runs: their sections, that their figures are those of the files, and that their code runs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

import vqdna_hf.training.finetune
import vqdna_hf.training.recording
from vqdna_hf.arguments.training import (
    FinetuneArguments,
    PretrainArguments,
    TokenizeArguments,
    TrainTokenizerArguments,
)
from vqdna_hf.baselines.one_hot import OneHotTokenizerArguments, write_one_hot_tokenizer
from vqdna_hf.cards.callback import ModelCardCallback
from vqdna_hf.cards.card import MARKER, render_model_card, sealed, write_model_card
from vqdna_hf.cli import main
from vqdna_hf.demo.simulation import simulate_contig
from vqdna_hf.hub import write_remote_code
from vqdna_hf.lora import lora_config
from vqdna_hf.modeling.nucleotides_vqdna import ids_to_bases
from vqdna_hf.runs.records import check_digests, weight_digests
from vqdna_hf.tasks import load_task_files
from vqdna_hf.training.finetune import finetune
from vqdna_hf.training.pretrain import pretrain
from vqdna_hf.training.task_rows import TaskCollator, TaskRows
from vqdna_hf.training.tokenize import tokenize
from vqdna_hf.training.train_tokenizer import train_tokenizer


# peft 0.21 reads an attribute that transformers has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

KINDS = ("vocabulary", "encoder", "adapted/adapter", "full", "end-to-end", "lora", "linear")
SHORT = {"preset": "tiny", "max_steps": 2, "batch_size": 8, "warmup_steps": 1, "eval_windows": 8}
VOCABULARY = ["How to use", "The vocabulary", "Learned from", "Recipe of the vocabulary"]
END = ["Limitations", "Software", "Citation"]
SECTIONS = {
    "vocabulary": VOCABULARY + END,
    "encoder": [*VOCABULARY, "The encoder", *END],
    "adapted/adapter": [*VOCABULARY, "The encoder", "The adapters", *END],
    "full": [*VOCABULARY, "The encoder", "Evaluation", *END],
    "end-to-end": [*VOCABULARY, "The encoder", "Evaluation", *END],
    "lora": [*VOCABULARY, "The encoder", "The adapters", "Evaluation", *END],
    "linear": [*VOCABULARY, "Evaluation", *END],
}
METADATA = {
    "vocabulary": ("transformers", None, "tokenizer"),
    "encoder": ("transformers", "fill-mask", "fill-mask"),
    "adapted/adapter": ("peft", "fill-mask", "lora"),
    "full": ("transformers", "text-classification", "text-classification"),
    "end-to-end": ("transformers", "text-classification", "text-classification"),
    "lora": ("peft", "text-classification", "lora"),
    "linear": (None, None, "linear-probe"),
}
STRANGER = """
import sys
sys.modules["vqdna_hf"] = None
import torch
torch.set_num_threads(1)
for path in sys.argv[1:]:
    exec(compile(open(path).read(), path, "exec"), {})
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A directory of each kind, made by the functions behind the commands, and simulated data."""
    root = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    contigs = [ids_to_bases(simulate_contig(rng, length)) for length in (4000, 2000)]
    fasta = root / "simulated.fa"
    fasta.write_text("".join(f">c{number}\n{contig}\n" for number, contig in enumerate(contigs, start=1)))
    task = root / "data" / "planted"
    task.mkdir(parents=True)
    for split, rows in (("train", 24), ("dev", 8), ("test", 8)):
        lines = [f"{ids_to_bases(rng.integers(0, 4, 40).astype(np.uint8))},{row % 2}" for row in range(rows)]
        (task / f"{split}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")
    genome = {"fasta": [str(fasta)], "eval_contigs": ["c2"]}
    lengths = {"warmup_length": 32, "length": 48}
    train_tokenizer(TrainTokenizerArguments(output=str(root / "vocabulary"), **genome, **SHORT, **lengths))
    tokenize(TokenizeArguments(output=str(root / "corpus"), window=64, **genome))
    learned = {"corpus": str(root / "corpus"), "tokenizer": str(root / "vocabulary"), "neighbour_steps": 1, **SHORT}
    pretrain(PretrainArguments(output=str(root / "encoder"), **learned))
    pretrain(PretrainArguments(output=str(root / "adapted"), model=str(root / "encoder"), lora=True, **learned))
    for mode in ("lora", "full", "end-to-end", "linear"):
        given = {"data": str(task), "model": str(root / "encoder"), "output": str(root / mode)}
        finetune(FinetuneArguments(mode=mode, epochs=1, batch_size=12, **given))
    return root


def headings(card: str) -> list[str]:
    return re.findall(r"^##+ (.+)$", card, re.MULTILINE)


def programs(card: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)


def read(path: Path) -> dict:
    return json.loads(path.read_text())


# what a card says


@pytest.mark.parametrize("kind", KINDS)
def test_every_run_leaves_a_card_with_its_sections(runs, kind):
    text = (runs / kind / "README.md").read_text()
    assert headings(text) == SECTIONS[kind]
    # the same now as then, when the record that ends the run was not written yet
    assert text == sealed(str(render_model_card(runs / kind)))
    assert not list(runs.rglob("*.partial"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_run_records_the_digests_of_its_weights(runs, kind):
    records = [path for name in ("results.json", "training.json") if (path := runs / kind / name).is_file()]
    assert [read(path)["digests"] for path in records] == [weight_digests(runs / kind)] and weight_digests(runs / kind)
    check_digests(runs / kind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_metadata_parse_back(runs, kind):
    card = ModelCard.load(runs / kind / "README.md")
    library, pipeline, tag = METADATA[kind]
    assert (card.data.library_name, card.data.pipeline_tag, card.data.license) == (library, pipeline, "apache-2.0")
    assert {"biology", "dna", "genomics", "vqdna", tag} <= set(card.data.tags)
    assert card.data.get("base_model") is None  # a directory on this machine is no repository
    assert card.text.lstrip().startswith(MARKER.removesuffix(" -->"))


@pytest.mark.parametrize("kind", ["full", "end-to-end", "lora", "linear"])
def test_the_model_index_holds_the_test_scores(runs, kind):
    results = read(runs / kind / "results.json")
    entries = ModelCard.load(runs / kind / "README.md").data.eval_results
    names = {"matthews_correlation": "mcc", "f1": "f1", "accuracy": "accuracy"}
    assert {names[entry.metric_type]: entry.metric_value for entry in entries} == results["test"]
    for entry in entries:
        assert (entry.task_type, entry.dataset_name, entry.dataset_split) == ("text-classification", "planted", "test")
        assert entry.metric_args == {"mode": results["mode"], "seeds": [42]}
    row = f"| MCC | {results['dev']['mcc']:.3f} | {results['test']['mcc']:.3f} | 1 |"
    assert row in (runs / kind / "README.md").read_text()


def test_no_card_holds_a_path_of_this_machine(runs):
    cards = sorted(runs.rglob("README.md"))
    assert len(cards) == len(KINDS) + 1  # pre-training with adapters leaves the merged model as well
    for card in cards:
        text = card.read_text()
        assert str(runs) not in text and str(runs.name) not in text and str(Path.home()) + "/" not in text
        assert not re.search(r"[\"'`( ](/|~/|\.\./)\w", text), card


def test_a_card_goes_back_to_the_vocabulary(runs):
    learned, trained = read(runs / "vocabulary" / "training.json"), read(runs / "encoder" / "training.json")
    assert trained["vocabulary"]["eval"] == learned["eval"]
    assert trained["vocabulary"]["arguments"]["fasta"] == ["simulated.fa"]
    assert read(runs / "full" / "results.json")["encoder"]["vocabulary"] == trained["vocabulary"]
    assert read(runs / "adapted" / "training.json")["encoder"]["eval"] == trained["eval"]
    for kind in KINDS:
        text = (runs / kind / "README.md").read_text()
        assert f"| 1 | 8 | {round(8 * learned['eval']['usage_1'])} (" in text
        assert f"| {learned['eval']['perplexity_2']:.1f} |" in text
        assert "| `simulated.fa` | 6,000 |" in text and "2,000 of these bases, whole contigs, were held out" in text
        assert "**Trained on simulated DNA**" in text
    for kind in ("encoder", "lora"):
        shares = [trained["eval"][name] for name in ("base_accuracy", "neighbours_base_accuracy")]
        assert all(f"named {100 * share:.1f} %" in (runs / kind / "README.md").read_text() for share in shares)
    assert "this vocabulary is new" in (runs / "end-to-end" / "README.md").read_text()


def test_what_no_file_says_is_left_out(runs, tmp_path):
    for name in ("config.json", "tokenizer_config.json"):
        shutil.copy(runs / "encoder" / name, tmp_path)
    text = str(render_model_card(tmp_path))
    assert headings(text) == ["How to use", "The vocabulary", "The encoder", "Limitations", "Citation"]
    assert "named" not in text and "simulated" not in text and "windows" not in text
    (tmp_path / "tokenizer_config.json").unlink()
    assert "How to use" not in headings(str(render_model_card(tmp_path)))


def test_the_one_hot_control_is_called_one(tmp_path):
    write_one_hot_tokenizer(OneHotTokenizerArguments(output=str(tmp_path)))
    text = str(render_model_card(tmp_path))
    assert "**one-hot control**" in text and "A **learned vocabulary" not in text
    assert headings(text) == ["How to use", "The vocabulary", *[name for name in END if name != "Software"]]


def test_a_repository_is_called_by_its_id(runs):
    card = render_model_card(runs / "linear", repo_id="someone/probe")
    assert "\n# probe\n" in str(card) and 'snapshot_download("someone/probe")' in str(card)
    text = str(render_model_card(runs / "encoder", repo_id="someone/model"))
    assert "hf download someone/model --local-dir model\nvqdna finetune --data TASK --model model " in text


def test_an_adapter_names_the_repository_it_belongs_to(runs, tmp_path):
    adapter = read(runs / "lora" / "adapter_config.json")
    shutil.copy(runs / "lora" / "tokenizer_config.json", tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter | {"base_model_name_or_path": "someone/model"}))
    assert render_model_card(tmp_path).data.base_model == "someone/model"


# the code in a card


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_of_a_card_runs(runs, kind, capsys):
    (program,) = programs((runs / kind / "README.md").read_text())
    name = "adapted/adapter" if kind.startswith("adapted") else kind
    assert f'"{name}"' in program
    exec(compile(program.replace(f'"{name}"', repr(str(runs / kind))), kind, "exec"), {})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("name", ["vqdna-hrq-small", "vqdna-vq-small"])
def test_the_card_of_a_checkpoint_of_the_package_loads_it_from_there(runs, tmp_path, capsys, name):
    shutil.copytree(runs / ("encoder" if "hrq" in name else "vocabulary"), tmp_path / name)
    (tmp_path / name / "README.md").unlink()
    (program,) = programs(str(render_model_card(tmp_path / name)))
    assert f'from_pretrained(vqdna_hf.checkpoint("{name}"))' in program and f'from_pretrained("{name}")' not in program
    exec(compile(program, name, "exec"), {})
    assert capsys.readouterr().out.strip()
    program, *_ = programs(write_model_card(tmp_path / name, repo_id=f"someone/{name}").read_text())
    assert f'from_pretrained("someone/{name}")' in program


def test_the_code_of_a_card_runs_without_the_package(runs, tmp_path):
    """Repositories carry their code; in a fresh process in which `vqdna_hf` cannot be imported."""
    files = []
    for kind in ("vocabulary", "encoder", "full", "lora"):
        repository = tmp_path / kind
        shutil.copytree(runs / kind, repository)
        write_remote_code(repository)
        if kind == "lora":
            adapter = read(repository / "adapter_config.json") | {"base_model_name_or_path": str(tmp_path / "encoder")}
            (repository / "adapter_config.json").write_text(json.dumps(adapter))
        _, program = programs(write_model_card(repository, repo_id=f"someone/{kind}").read_text())
        assert "vqdna_hf" not in program and "trust_remote_code=True" in program
        files.append(tmp_path / f"{kind}.py")
        files[-1].write_text(program.replace(f'"someone/{kind}"', repr(str(repository))))
    done = subprocess.run([sys.executable, "-c", STRANGER, *map(str, files)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


# when cards are written


def test_the_card_is_there_before_the_record_that_ends_the_run(monkeypatch, runs, tmp_path):
    seen = []
    write_json = vqdna_hf.training.recording.write_json

    def look(path, content):
        if path.name in ("results.json", "training.json"):
            seen.append((path.parent.name, path.name, (path.parent / "README.md").is_file()))
        write_json(path, content)

    for module in (vqdna_hf.training.recording, vqdna_hf.training.finetune):
        monkeypatch.setattr(module, "write_json", look)
    given = {"data": str(runs / "data" / "planted"), "model": str(runs / "encoder")}
    finetune(FinetuneArguments(output=str(tmp_path / "probe"), mode="linear", **given))
    genome = {"fasta": [str(runs / "simulated.fa")], "eval_contigs": ["c2"], "warmup_length": 32, "length": 32}
    train_tokenizer(TrainTokenizerArguments(output=str(tmp_path / "vocabulary"), **genome, **SHORT))
    assert seen == [("probe", "results.json", True), ("vocabulary", "training.json", True)]


def test_checkpoints_of_the_commands_have_cards(monkeypatch, runs, tmp_path):
    monkeypatch.setattr(vqdna_hf.training.finetune, "remove_checkpoints", lambda output: None)
    given = {"data": str(runs / "data" / "planted"), "model": str(runs / "encoder"), "output": str(tmp_path / "run")}
    finetune(FinetuneArguments(mode="lora", epochs=1, batch_size=12, **given))
    (card,) = tmp_path.glob("run/checkpoint-*/README.md")
    text = card.read_text()
    assert MARKER.removesuffix(" -->") in text and "\n# run/checkpoint-2\n" in text and "| steps | 2 of 2 |" in text
    assert str(runs) not in text and "More Information Needed" not in text


@pytest.mark.parametrize("adapters", [False, True])
def test_a_plain_trainer_writes_cards(runs, tmp_path, adapters):
    tokenizer = AutoTokenizer.from_pretrained(runs / "encoder")
    model = AutoModelForSequenceClassification.from_pretrained(runs / "encoder", pooling="max")
    if adapters:
        from peft import get_peft_model

        model = get_peft_model(model, lora_config(model))
    options = {"per_device_train_batch_size": 12, "max_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
    splits, _ = load_task_files(runs / "data" / "planted")
    trainer = Trainer(
        model=model,
        args=TrainingArguments(str(tmp_path), save_steps=1, report_to="none", remove_unused_columns=False, **options),
        train_dataset=TaskRows.of_bases(*splits["train"][:].values()),
        eval_dataset=TaskRows.of_bases(*splits["dev"][:].values()),
        data_collator=TaskCollator(),
        processing_class=tokenizer,
        callbacks=[ModelCardCallback()],
    )
    trainer.train()
    checkpoint = (tmp_path / "checkpoint-1" / "README.md").read_text()
    assert "A checkpoint of a training run" in checkpoint and "| last `eval_loss` |" in checkpoint
    trainer.save_model()
    if adapters:
        write_model_card(tmp_path)  # over peft's
    text = (tmp_path / "README.md").read_text()
    assert str(runs) not in text and str(tmp_path) not in text
    if not adapters:
        assert text == sealed(str(render_model_card(tmp_path)))  # the card told what was saved afterwards
        (program,) = programs(text)
        exec(compile(program.replace(f'"{tmp_path.name}"', repr(str(tmp_path))), "card", "exec"), {})


def test_a_card_that_somebody_wrote_is_kept(runs, tmp_path, caplog):
    given = {"data": str(runs / "data" / "planted"), "model": str(runs / "encoder"), "output": str(tmp_path / "run")}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "README.md").write_text("# Mine\n")
    finetune(FinetuneArguments(mode="linear", **given))
    assert (tmp_path / "run" / "results.json").is_file() and "No model card was written" in caplog.text
    with pytest.raises(ValueError, match="written or edited by hand"):
        write_model_card(tmp_path / "run")
    assert (tmp_path / "run" / "README.md").read_text() == "# Mine\n"
    assert main(["card", str(tmp_path / "run"), "--output", str(tmp_path / "card.md")]) == 0
    assert "Evaluation" in headings((tmp_path / "card.md").read_text())
