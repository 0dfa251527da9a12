"""The code of a card's "How to use": complete programs, which the tests take out of cards and run."""

from ..checkpoints import list_checkpoints
from ..modeling.repository_vqdna import AUTO_MAPS
from .facts import CardFacts


_READ = 'batch = tokenizer(["ACGTTTGACAACGTACGGAT", "ttgacaNNacgu"], padding=True, return_tensors="pt")'
_AUTO = {place.partition(".")[2]: auto for auto, place in AUTO_MAPS["vqdna"].items()}


def auto_class(facts: CardFacts) -> str:
    """The Auto class that opens a directory with the head it was saved with."""
    if facts.kind == "adapter":
        heads = {"SEQ_CLS": "AutoModelForSequenceClassification", "TOKEN_CLS": "AutoModelForTokenClassification"}
        return heads.get(facts.adapter.get("task_type"), "AutoModelForMaskedLM")
    return _AUTO.get((facts.config.get("architectures") or [None])[0], "AutoModel")


def place_of(facts: CardFacts, trust_remote_code: bool = False) -> str:
    """What `from_pretrained` takes, as source text: the repository or directory, or the checkpoint of the package."""
    if facts.repo_id is None and facts.name in list_checkpoints() and not trust_remote_code:
        return f'vqdna_hf.checkpoint("{facts.name}")'
    return f'"{facts.name}"'


def usage(facts: CardFacts, trust_remote_code: bool = False) -> str:
    """A program that loads the directory and uses it, as a fenced block.

    Args:
        trust_remote_code: do without the package; the repository has to carry the code.
    """
    trust = ", trust_remote_code=True" if trust_remote_code else ""
    if facts.kind == "probe":
        lines = _probe(facts)
    elif facts.kind == "vocabulary":
        lines = _vocabulary(facts, trust)
    elif facts.kind == "adapter" and auto_class(facts) == "AutoModelForMaskedLM":
        lines = _masked_adapter(facts, trust)
    else:
        lines = _model(facts, trust)
    if trust_remote_code:
        lines = [line for line in lines if not line.startswith("import vqdna_hf")]
    return "\n".join(["```python", *lines, "```"])


def _vocabulary(facts: CardFacts, trust: str) -> list[str]:
    return [
        "import vqdna_hf  # registers the classes",
        "from transformers import AutoTokenizer",
        "",
        f"tokenizer = AutoTokenizer.from_pretrained({place_of(facts, bool(trust))}{trust})",
        'ids = tokenizer("ACGTTTGACAACGT")["input_ids"]  # one id per base, between [CLS] and [SEP]',
        "print(ids)",
        "print(tokenizer.decode(ids, skip_special_tokens=True))  # DNA again, by the decoder network",
    ]


def _model(facts: CardFacts, trust: str) -> list[str]:
    auto, place = auto_class(facts), place_of(facts, bool(trust))
    loaded, imports = auto, [f"from transformers import {auto}, AutoTokenizer"]
    if facts.kind == "adapter":
        loaded = auto.replace("AutoModel", "AutoPeftModel")
        imports = [f"from peft import {loaded}", "from transformers import AutoTokenizer"]
    use = {"AutoModelForMaskedLM": _predict_bases, "AutoModel": _embed}.get(auto, _classify)
    return [
        "import torch",
        "import vqdna_hf  # registers the classes",
        *imports,
        "",
        f"tokenizer = AutoTokenizer.from_pretrained({place}{trust})",
        f"model = {loaded}.from_pretrained({place}{trust}).eval()",
        "",
        *use(facts),
    ]


def _predict_bases(facts: CardFacts) -> list[str]:
    return [
        'batch = tokenizer("ACGTTTGA[MASK]AACGTACGGAT", return_tensors="pt")',
        "with torch.no_grad():",
        "    outputs = model(**batch, output_hidden_states=True)",
        'masked = batch["input_ids"] == tokenizer.mask_token_id',
        "print(outputs.base_logits[masked].softmax(-1))  # probabilities of A, C, G and T",
        "print(outputs.hidden_states[-1].shape)  # embeddings: (sequences, [CLS] + bases + [SEP], width)",
    ]


def _embed(facts: CardFacts) -> list[str]:
    return [
        _READ,
        "with torch.no_grad():",
        "    print(model(**batch).last_hidden_state.shape)  # (sequences, [CLS] + bases + [SEP], width)",
    ]


def _classify(facts: CardFacts) -> list[str]:
    result = {
        "regression": "print(logits)  # the predicted values",
        "multi_label_classification": "print(logits.sigmoid())  # a probability for each label",
    }
    return [
        _READ,
        "with torch.no_grad():",
        "    logits = model(**batch).logits",
        result.get(facts.config.get("problem_type"), "print(logits.softmax(-1))  # a probability for each class"),
    ]


def _masked_adapter(facts: CardFacts, trust: str) -> list[str]:
    name = facts.name
    return [
        "import torch",
        "import vqdna_hf  # registers the classes",
        "from peft import PeftConfig, PeftModel",
        "from transformers import AutoModelForMaskedLM, AutoTokenizer",
        "",
        f'base = PeftConfig.from_pretrained("{name}").base_model_name_or_path',
        f"tokenizer = AutoTokenizer.from_pretrained(base{trust})",
        f"model = AutoModelForMaskedLM.from_pretrained(base{trust})",
        f'model = PeftModel.from_pretrained(model, "{name}").eval()',
        "",
        *_predict_bases(facts),
    ]


def _probe(facts: CardFacts) -> list[str]:
    place = f'snapshot_download("{facts.repo_id}")' if facts.repo_id else f'"{facts.name}"'
    return [
        *(["from huggingface_hub import snapshot_download"] if facts.repo_id else []),
        "from vqdna_hf.baselines.linear_probe import LinearProbe",
        "from vqdna_hf.modeling.nucleotides_vqdna import bases_to_ids",
        "",
        f"probe = LinearProbe.from_pretrained({place})",
        'sequences = ["ACGTTTGACAACGTACGGAT", "ttgacaNNacgu"]',
        "print(probe.logits([bases_to_ids(sequence) for sequence in sequences]))",
    ]
