"""What a user of the Auto classes does, in a process of its own: loads, predicts, saves, loads again; prints JSON."""

import json
import sys
from pathlib import Path

import torch


TEXTS = ["ACGTTGCATTGACCNACGT", "acg[MASK]tttgggca"]
HEADS = {
    "AutoModel": "body",
    "AutoModelForMaskedLM": "masked",
    "AutoModelForSequenceClassification": "sequence",
    "AutoModelForTokenClassification": "token",
}
# task -> repository, input, arguments
PIPELINES = {
    "fill-mask": ("masked", "ACGT[MASK]ACGNN[MASK]T", {}),
    "feature-extraction": ("masked", "acgTNACG[MASK]", {}),
    "text-classification": ("sequence", "ACGTTGCATTGACC", {"top_k": None}),
}
TRUST: dict = {}


def load(auto: str, place: str) -> tuple:
    """The object an Auto class gives, and what it says of `TEXTS`."""
    import transformers

    loaded = getattr(transformers, auto).from_pretrained(place, **TRUST)
    if auto == "AutoConfig":
        fields = loaded.to_dict()
        return loaded, {name: fields[name] for name in ("codec_config", "encoder_config", "vocabulary_fingerprint")}
    tokenizer = loaded
    if auto != "AutoTokenizer":
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, **TRUST)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    if auto == "AutoTokenizer":
        return loaded, {name: values.tolist() for name, values in batch.items()}
    loaded.check_tokenizer(tokenizer)
    with torch.no_grad():
        return loaded, {name: values.tolist() for name, values in loaded.eval()(**batch).items()}


def cell(auto: str, place: str, saved: Path) -> dict:
    """One class, loaded from a place, saved and loaded from there."""
    import transformers

    loaded, first = load(auto, place)
    loaded.save_pretrained(saved)
    if auto.startswith("AutoModel"):
        transformers.AutoTokenizer.from_pretrained(place, **TRUST).save_pretrained(saved)
    _, second = load(auto, str(saved))
    if auto == "AutoModelForMaskedLM":  # parts of a model are models, too
        for part, model in (("body", loaded.base_model), ("codec", loaded.codec)):
            model.save_pretrained(saved.with_name(part))
            transformers.AutoModel.from_pretrained(saved.with_name(part), **TRUST)
    names = sorted(path.name for path in saved.iterdir())
    return {"module": type(loaded).__module__, "first": first, "again": second, "files": names}


def run_pipeline(task: str, place: str) -> dict:
    """What a pipeline answers to one string, and to the same string twice in a batch."""
    from transformers import pipeline

    _, text, options = PIPELINES[task]
    built = pipeline(task, model=place, **TRUST)
    return {
        "class": type(built).__name__,
        "module": type(built).__module__,
        "answer": built(text, **options),
        "batch": built([text, text[3:]], batch_size=2, **options)[0],
    }


def main():
    given = json.loads(sys.argv[1])
    if given["installed"]:
        import vqdna_hf  # noqa: F401
    else:
        sys.modules["vqdna_hf"] = None
        TRUST["trust_remote_code"] = True
    torch.set_num_threads(1)
    results: dict = {}
    for source, prefix in given["sources"].items():
        work = Path(given["work"]) / source
        cells = results[source] = {}
        for auto in ("AutoConfig", "AutoTokenizer", *HEADS):
            cells[auto] = cell(auto, prefix + HEADS.get(auto, "masked"), work / auto)
        for task, (name, _, _) in PIPELINES.items():
            saved = {"masked": "AutoModelForMaskedLM", "sequence": "AutoModelForSequenceClassification"}[name]
            cells[task] = {"first": run_pipeline(task, prefix + name), "again": run_pipeline(task, str(work / saved))}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
