"""A client of the loopback Hub: a process that takes a list of steps and prints what each of them gave, as JSON.

Many steps share one process, because importing transformers takes seconds. Each is announced to the Hub by its name.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from urllib.request import urlopen


ROOT = Path(__file__).resolve().parents[2]
SEQUENCE = "ACGTTGCATTGACCNACGT"
TRUST = {}


def run_client(environment: dict[str, str], folder: Path, steps: dict[str, dict], installed: bool = True) -> dict:
    """Run steps in a fresh process, away from the checkout.

    Args:
        environment: see `LoopbackHub.environment`.
        folder: to work in; made empty.
        steps: name -> keyword arguments of a function of this file, with the function's name as `do`.
        installed: whether the process can import `vqdna_hf`.

    Returns:
        What each step returned, or `{"error": class, "message": ...}`; and the stderr of all as `stderr`.
    """
    from fresh_process import run_python  # which the fresh process, away from the tests, does not find

    folder.mkdir(parents=True)
    environment = environment | ({"PYTHONPATH": str(ROOT)} if installed else {})
    told = json.dumps({"steps": steps, "installed": installed})
    done = run_python("-P", __file__, told, cwd=folder, environment=environment)
    return json.loads(done.stdout.splitlines()[-1]) | {"stderr": done.stderr}


def weights_digest(model) -> str:
    """A name for the exact weights of a model."""
    state, digest = model.state_dict(), hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def table_digest(codec) -> str | None:
    """A name for the table that a codec looks its codes up in."""
    return None if codec.table is None else codec.table.digest


# steps


def load(auto: str, repo_id: str, revision: str = "main", **options) -> dict:
    """What `from_pretrained` gives; with the tokenizer, and the prediction for `SEQUENCE`."""
    import transformers

    model = getattr(transformers, auto).from_pretrained(repo_id, revision=revision, **TRUST, **options)
    tokenizer = transformers.AutoTokenizer.from_pretrained(repo_id, revision=revision, **TRUST, **options)
    result = {"module": type(model).__module__, "class": type(model).__name__, "digest": weights_digest(model)}
    result |= {"tokenizer_module": type(tokenizer).__module__, "ids": tokenizer(SEQUENCE)["input_ids"]}
    result["tables"] = [table_digest(getattr(model, "codec", model)), table_digest(tokenizer.codec)]
    if hasattr(model, "check_tokenizer"):
        model.check_tokenizer(tokenizer)
        values = model(**tokenizer(SEQUENCE, return_tensors="pt"))
        result["numbers"] = values[0][0].flatten().tolist()[:20]
    return result


def load_other_tokenizer(repo_id: str, other: str) -> None:
    """A model with the tokenizer of another repository, which `check_tokenizer` is there to refuse."""
    import transformers

    model = transformers.AutoModel.from_pretrained(repo_id, **TRUST)
    model.check_tokenizer(transformers.AutoTokenizer.from_pretrained(other, **TRUST))


def load_adapter(repo_id: str, revision: str = "main") -> dict:
    """An adapter on the base it names."""
    import transformers
    from peft import AutoPeftModelForSequenceClassification

    model = AutoPeftModelForSequenceClassification.from_pretrained(repo_id, revision=revision, **TRUST).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(repo_id, revision=revision, **TRUST)
    logits = model(**tokenizer(SEQUENCE, return_tensors="pt")).logits
    result = {"base": model.peft_config["default"].base_model_name_or_path, "numbers": logits.flatten().tolist()}
    return result | {"tables": [table_digest(model.get_base_model().codec), table_digest(tokenizer.codec)]}


def command(*, argv: list[str], token: str | None = None) -> dict:
    """The status and the output of `vqdna ...`, with another token on request."""
    from vqdna_hf.cli import main

    before, out, err = os.environ.get("HF_TOKEN"), io.StringIO(), io.StringIO()
    try:
        if token is not None:
            os.environ["HF_TOKEN"] = token
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(argv)
    finally:
        os.environ["HF_TOKEN"] = before or ""
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}


def upload(directory: str, repo_id: str, **options) -> dict:
    """The second half of `publish`, for what has been verified before."""
    from vqdna_hf.hub.publish import upload

    return upload(Path(directory), repo_id, "Another upload", **options)


def tag(repo_id: str, name: str) -> None:
    from huggingface_hub import HfApi

    HfApi().create_tag(repo_id, tag=name)


def unset_token() -> None:
    """From here on nobody is logged in."""
    os.environ.pop("HF_TOKEN", None)


def use_endpoint(url: str) -> None:
    """From here on, what `HF_ENDPOINT` would have done at the start."""
    from huggingface_hub import constants

    constants.ENDPOINT = url


def push(auto: str, place: str, repo_id: str, edited: bool = False, saved: str | None = None, **options) -> None:
    """`push_to_hub`, or `save_pretrained` with it into a folder of its own."""
    import torch
    import transformers

    thing = getattr(transformers, auto).from_pretrained(place, **TRUST)
    if edited:  # other weights than those of before
        with torch.no_grad():
            thing.base_decoder.bias += 1
    if saved is None:
        thing.push_to_hub(repo_id, **options)
    else:
        thing.save_pretrained(saved, push_to_hub=True, repo_id=repo_id, **options)


def adapted(place: str):
    """A classifier with LoRA, whose adapters are not zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(place, num_labels=3, pooling="mean", **TRUST)
    targets = r"(?!.*\bcodec\b)(?:.*\.)?encoder\..*Wqkv"
    model = get_peft_model(model, LoraConfig(r=2, target_modules=targets, task_type="SEQ_CLS"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return model


def push_adapter(place: str, repo_id: str) -> None:
    """A `PeftModel`'s own `push_to_hub`, then its tokenizer's."""
    import transformers

    adapted(place).push_to_hub(repo_id)
    transformers.AutoTokenizer.from_pretrained(place, **TRUST).push_to_hub(repo_id)


def train(place: str, repo_id: str, lora: bool = False, late: bool = False, steps: int = 2, **settings) -> list[str]:
    """A stock `Trainer` of a classifier that pushes; names of the files it leaves.

    Args:
        late: without `push_to_hub` in the arguments, and `trainer.push_to_hub()` at the end.
    """
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(place, **TRUST)
    auto = transformers.AutoModelForSequenceClassification
    model = adapted(place) if lora else auto.from_pretrained(place, num_labels=2, **TRUST)
    rows = [{**tokenizer(SEQUENCE[number:]), "labels": number % 2} for number in range(4)]
    settings |= {"save_steps": 1, "max_steps": steps, "per_device_train_batch_size": 2, "report_to": "none"}
    arguments = transformers.TrainingArguments(
        "output", use_cpu=True, push_to_hub=not late, hub_model_id=repo_id, hub_always_push=True, **settings
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    if late:
        trainer.push_to_hub(tags=["asked-for"])
    else:
        trainer.save_model()
    names = sorted(path.name for path in Path("output").rglob("*") if path.is_file())
    shutil.rmtree("output")
    return names


def push_bert(repo_id: str) -> None:
    """A model of another kind, by the same client."""
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=8, **sizes)).push_to_hub(repo_id)


def encode(repo_id: str, auto: str = "AutoTokenizer") -> dict:
    """A tokenizer's answer, or a configuration's class."""
    import transformers

    thing = getattr(transformers, auto).from_pretrained(repo_id, **TRUST)
    result = {"module": type(thing).__module__, "ids": None}
    if auto == "AutoTokenizer":
        result |= {"ids": thing(SEQUENCE)["input_ids"], "tables": [table_digest(thing.codec)]}
    return result


def _run_step(do: str, arguments: dict):
    try:
        return globals()[do](**arguments)
    except Exception as error:
        traceback.print_exc()
        return {"error": type(error).__name__, "message": str(error)}


def _announce(name: str):
    with contextlib.suppress(OSError):  # some steps are about a Hub that is not there
        urlopen(f"{os.environ['HF_ENDPOINT']}/mark/{name}", timeout=5).read()


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    if task["installed"]:
        import vqdna_hf  # noqa: F401
    else:
        sys.modules["vqdna_hf"] = None
        TRUST["trust_remote_code"] = True
    results = {}
    for name, arguments in task["steps"].items():
        _announce(name)
        results[name] = _run_step(arguments.pop("do"), arguments)
    print(json.dumps(results))
