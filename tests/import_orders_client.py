"""Imports the package and transformers in several orders, each in a process of its own; prints what each one gets.

What all orders share is imported once, before the processes part: torch, and what of transformers knows nothing of the
Auto classes.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import torch
import transformers.modeling_utils


AUTO = "from transformers import AutoModelForMaskedLM, AutoTokenizer"
ORDERS = {
    "package first": f"import vqdna_hf; {AUTO}",
    "package last": f"{AUTO}, pipeline; import vqdna_hf",
    "class first": f"from vqdna_hf import VQDNAForMaskedLM; {AUTO}",
    "tokenizer first": f"from vqdna_hf import VQDNATokenizer; {AUTO}",
    "configuration alone": "from vqdna_hf.modeling.configuration_vqdna import VQDNAConfig",
    "in the middle of transformers": "import vqdna_hf, transformers.modeling_layers, transformers.pipelines",
    "with PEFT": "import peft, vqdna_hf",
    "in threads": "import transformers",
}


def load(directory: str) -> list:
    """The classes that everyone gets for a directory."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    config = transformers.AutoConfig.from_pretrained(directory)
    model = transformers.AutoModelForMaskedLM.from_pretrained(directory)
    made = transformers.AutoModelForTokenClassification.from_config(config)
    pipeline = transformers.pipeline("fill-mask", model=directory)
    return [type(one) for one in (tokenizer, config, model, made, pipeline)]


def load_in_threads(directory: str) -> list:
    """The same in four threads, which import the package themselves."""

    def one(number: int) -> list:
        if number % 2:
            import vqdna_hf  # noqa: F401
        else:
            from transformers import AutoTokenizer, pipeline  # noqa: F401

            from vqdna_hf import VQDNAModel  # noqa: F401
        return load(directory)

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(one, range(4))
    assert all(other == first for other in others)
    return first


def registered() -> dict:
    """What the registries hold once the classes were used."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

    import vqdna_hf

    return {
        "config": CONFIG_MAPPING["vqdna"] is vqdna_hf.VQDNAConfig,
        "model": MODEL_FOR_MASKED_LM_MAPPING[vqdna_hf.VQDNAConfig] is vqdna_hf.VQDNAForMaskedLM,
    }


def main():
    assert not {"transformers.models.auto.modeling_auto", "vqdna_hf"} & set(sys.modules)
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    for name, imports in ORDERS.items():
        sys.stdout.flush()
        if (child := os.fork()) == 0:
            exec(imports, {})
            found = (load_in_threads if name == "in threads" else load)(sys.argv[1])
            print(json.dumps([name, [f"{one.__module__}.{one.__name__}" for one in found], registered()]), flush=True)
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            sys.exit(f"{name} failed")


if __name__ == "__main__":
    main()
