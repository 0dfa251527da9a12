"""Whether a directory opens for those who will load it: with every class, in fresh processes, with and without us.

This file is also the program of those processes. It is run by its path, and imports nothing of the package, which one
of them must not see.
"""

import importlib.util
import json
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory


SEQUENCES = ["ACGTTGCATTGACCNACGT", "ACGTAC"]
_REASON = "cannot be loaded: "
_HEADS = {
    "VQDNAModel": "AutoModel",
    "VQDNAForMaskedLM": "AutoModelForMaskedLM",
    "VQDNAForSequenceClassification": "AutoModelForSequenceClassification",
    "VQDNAForTokenClassification": "AutoModelForTokenClassification",
}
_TASKS = {
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "FEATURE_EXTRACTION": "AutoModel",
}


def verify(directory: Path, kind: str, base: str | None = None):
    """Load a directory in two fresh processes, offline, and run it on a short sequence.

    One process cannot import `vqdna_hf` and passes `trust_remote_code=True`; the other has the package and passes
    nothing. Each opens the directory with every Auto class, and compares the vocabularies of model and tokenizer.

    Args:
        directory: what is going to be a repository.
        kind: `"model"`, `"vocabulary"` or `"adapter"`.
        base: for an adapter, the directory (with code) or the cached repository of the model it adapts.

    Raises:
        ValueError: gives the reason of the first process that failed.
    """
    package = str(Path(__file__).resolve().parents[1] / "__init__.py")
    tasks = {
        "without the package and with trust_remote_code=True": None,
        "with the package and without trust_remote_code": package,
    }
    with ThreadPoolExecutor(len(tasks)) as pool:
        answers = list(pool.map(lambda where: _run(directory, kind, base, where), tasks.values()))
    for how, reason in zip(tasks, answers):
        if reason is not None:
            raise ValueError(f"The {kind} does not load {how}: {reason}")


def _run(directory: Path, kind: str, base: str | None, package: str | None) -> str | None:
    """Start one process; returns why it failed, or None."""
    task = {"directory": str(directory), "kind": kind, "base": base, "package": package}
    # -P: the folder of this file holds modules of the package, and is no place to import from
    command = [sys.executable, "-P", str(Path(__file__).resolve()), json.dumps(task)]
    with TemporaryDirectory(prefix="vqdna-verify-") as work:  # away from a checkout, and from code loaded before
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(Path(work) / "modules")}
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
    reasons = [line.removeprefix(_REASON) for line in lines if line.startswith(_REASON)]
    return reasons[-1] if reasons else f"its process ended with status {done.returncode}: {lines[-1]}"


# in the fresh process


def main(task: dict) -> int:
    """Open the directory; a line of stderr says why it cannot be opened."""
    if task["package"] is None:
        sys.modules["vqdna_hf"] = None
        trust = {"trust_remote_code": True}
    else:
        import_package(task["package"])
        trust = {}
    import torch

    torch.set_grad_enabled(False)
    try:
        if task["kind"] == "vocabulary":
            check_vocabulary(task["directory"], trust)
        elif task["kind"] == "adapter":
            check_adapter(Path(task["directory"]), task["base"], trust)
        else:
            check_model(task["directory"], trust)
    except Exception as error:
        print(f"{_REASON}{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def import_package(file: str):
    """Import this very copy of `vqdna_hf`, whichever is found first on the path."""
    spec = importlib.util.spec_from_file_location("vqdna_hf", file)
    sys.modules["vqdna_hf"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["vqdna_hf"])


def check_model(directory: str, trust: dict):
    """An encoder: every head loads and predicts; the one that was saved finds all of its weights."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(directory, **trust)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory, **trust)
    saved_as = (config.architectures or [None])[0]
    if saved_as not in _HEADS:
        raise ValueError(f"config.json names the architecture {saved_as!r}, which is not one of {', '.join(_HEADS)}")
    batch = tokenizer(SEQUENCES, padding=True, return_tensors="pt")
    for name, auto in _HEADS.items():
        model, report = getattr(transformers, auto).from_pretrained(directory, output_loading_info=True, **trust)
        if name == saved_as:
            _check_complete(name, report)
            _check_weights(model)
        model.check_tokenizer(tokenizer)
        _check_numbers(name, model(**batch))


def check_vocabulary(directory: str, trust: dict):
    """A codec: it finds all of its weights, and gives the codes of its tokenizer."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(directory, **trust)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory, **trust)
    codec, report = transformers.AutoModel.from_pretrained(directory, output_loading_info=True, **trust)
    _check_complete((config.architectures or [type(codec).__name__])[0], report)
    _check_weights(codec)
    if codec.fingerprint() != tokenizer.vocabulary_fingerprint:
        raise ValueError(
            f"The tokenizer's vocabulary is {tokenizer.vocabulary_fingerprint}, but the model's is "
            f"{codec.fingerprint()}: save the model's own tokenizer with it"
        )
    bases = torch.tensor([["ACGT".index(base) for base in SEQUENCES[1]]])
    codes = tokenizer.vocabulary.ids(codec.encode(bases)[0].numpy()).tolist()
    ids = tokenizer(SEQUENCES[1], add_special_tokens=False)["input_ids"]
    if ids != codes:
        raise ValueError(f"The tokenizer reads {SEQUENCES[1]} as {ids}, but the model as {codes}")


def check_adapter(directory: Path, base: str, trust: dict):
    """A LoRA adapter: it finds its place in its base, and predicts."""
    import transformers
    from peft import PeftConfig, PeftModel

    settings = PeftConfig.from_pretrained(directory)
    head = (settings.auto_mapping or {}).get("base_model_class", "VQDNAForMaskedLM")
    auto = getattr(transformers, _TASKS.get(settings.task_type) or _HEADS[head])
    model = auto.from_pretrained(base, **trust)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Found missing adapter keys")
        model = PeftModel.from_pretrained(model, directory)
    _check_weights(model)
    place = directory if (directory / "tokenizer_config.json").is_file() else base
    tokenizer = transformers.AutoTokenizer.from_pretrained(place, **trust)
    model.get_base_model().check_tokenizer(tokenizer)
    _check_numbers("The adapter", model(**tokenizer(SEQUENCES, padding=True, return_tensors="pt")))


def _check_complete(name: str, report: dict):
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(
            f"The weights lack {len(missing)} of the tensors of {name} ({missing[0]} first): save the model again"
        )


def _check_weights(model):
    """Some of them decide nothing that is tried here, such as those of a codec's decoder."""
    import torch

    for key, value in model.state_dict().items():
        if not torch.isfinite(value).all():
            raise ValueError(f"The weights are not finite ({key}): the training has diverged, or a file is damaged")


def _check_numbers(name: str, outputs):
    import torch

    for key, value in outputs.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} gives numbers that are not finite ({key}) for {SEQUENCES[0]}")


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
