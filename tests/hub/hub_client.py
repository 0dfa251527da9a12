"""A client of the loopback Hub: a process that takes a list of steps and prints what each of them gave, as JSON.

Many steps share one process, because importing transformers takes seconds. Each is announced to the Hub by its name.
"""

import contextlib
import hashlib
import io
import json
import os
import subprocess
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
    folder.mkdir(parents=True)
    environment = environment | ({"PYTHONPATH": str(ROOT)} if installed else {})
    done = subprocess.run(
        [sys.executable, "-P", __file__, json.dumps({"steps": steps, "installed": installed})],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1]) | {"stderr": done.stderr}


def weights_digest(model) -> str:
    """A name for the exact weights of a model."""
    state, digest = model.state_dict(), hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


# steps


def load(auto: str, repo_id: str, revision: str = "main", **options) -> dict:
    """What `from_pretrained` gives; with the tokenizer, and the prediction for `SEQUENCE`."""
    import transformers

    model = getattr(transformers, auto).from_pretrained(repo_id, revision=revision, **TRUST, **options)
    tokenizer = transformers.AutoTokenizer.from_pretrained(repo_id, revision=revision, **TRUST, **options)
    result = {"module": type(model).__module__, "class": type(model).__name__, "digest": weights_digest(model)}
    result |= {"tokenizer_module": type(tokenizer).__module__, "ids": tokenizer(SEQUENCE)["input_ids"]}
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


def load_adapter(repo_id: str) -> dict:
    """An adapter on the base it names."""
    import transformers
    from peft import AutoPeftModelForSequenceClassification

    model = AutoPeftModelForSequenceClassification.from_pretrained(repo_id, **TRUST).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(repo_id, **TRUST)
    logits = model(**tokenizer(SEQUENCE, return_tensors="pt")).logits
    return {"base": model.peft_config["default"].base_model_name_or_path, "numbers": logits.flatten().tolist()}


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
