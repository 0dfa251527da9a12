"""What a VQDNA repository says of itself: the version of its format, the classes that open it, its pipelines.

A directory carries `auto_map` and `custom_pipelines` only together with the code that they name. They are therefore
written by the classes that were downloaded with a repository, and by the package when it prepares one, but dropped
when the package's own classes load and save.
"""

# what is written; a codec with a table of codes (`compiled`) is of the next version, which codes that read the network
# alone must refuse: the table is what decides
FORMAT_VERSION, COMPILED_FORMAT_VERSION = 1, 2

# complete whatever class was saved: transformers itself would write the entry of that class only, and the directory
# of a masked language model could not be opened for classification
AUTO_MAPS = {
    "vqdna": {
        "AutoConfig": "configuration_vqdna.VQDNAConfig",
        "AutoModel": "modeling_vqdna.VQDNAModel",
        "AutoModelForMaskedLM": "modeling_vqdna.VQDNAForMaskedLM",
        "AutoModelForSequenceClassification": "modeling_vqdna.VQDNAForSequenceClassification",
        "AutoModelForTokenClassification": "modeling_vqdna.VQDNAForTokenClassification",
    },
    "vqdna_codec": {
        "AutoConfig": "configuration_vqdna.VQDNACodecConfig",
        "AutoModel": "modeling_vqdna_codec.VQDNACodecModel",
    },
}
# the second entry is the fast (Rust) tokenizer, which there is not
TOKENIZER_AUTO_MAP = {"AutoTokenizer": ["tokenization_vqdna.VQDNATokenizer", None]}


def custom_pipelines(model_type: str) -> dict[str, dict]:
    """Task -> pipeline and Auto class, as `config.json` lists them; a codec has none."""
    if model_type != "vqdna":
        return {}
    return {
        "fill-mask": {"impl": "pipelines_vqdna.VQDNAFillMaskPipeline", "pt": ["AutoModelForMaskedLM"]},
        "feature-extraction": {"impl": "pipelines_vqdna.VQDNAFeatureExtractionPipeline", "pt": ["AutoModel"]},
        "text-classification": {
            "impl": "pipelines_vqdna.VQDNATextClassificationPipeline",
            "pt": ["AutoModelForSequenceClassification"],
        },
    }


def is_downloaded(cls: type) -> bool:
    """Whether a class came with a repository (`trust_remote_code=True`) and not with the package."""
    return cls.__module__.partition(".")[0] == "transformers_modules"


def without_references(cls: type, fields: dict) -> dict:
    """Fields of a loaded configuration, without the names of code that the package's own classes do not need."""
    if is_downloaded(cls):
        return fields
    return {name: value for name, value in fields.items() if name not in ("auto_map", "custom_pipelines")}


def renew_references(config):
    """Before a downloaded configuration is saved: let it name the code that is saved with it.

    What it was loaded with names the repository it came from, and lacks what a pipeline has made of it meanwhile.
    """
    if is_downloaded(type(config)):
        config.auto_map = dict(AUTO_MAPS[config.model_type])
        if pipelines := custom_pipelines(config.model_type):
            config.custom_pipelines = pipelines


def register_downloaded(model):
    """Before a part of a downloaded model is saved: let transformers save its code too, as it does for the whole."""
    cls = type(model)
    if is_downloaded(cls) and cls._auto_class is None:
        autos = AUTO_MAPS[model.config.model_type]
        cls.register_for_auto_class(next(auto for auto, name in autos.items() if name.endswith(f".{cls.__name__}")))


def check_format(model_type: str, version: int):
    """Refuse a directory that a newer version of the format was written in.

    Raises:
        ValueError: names both versions and the remedy.
    """
    if version > COMPILED_FORMAT_VERSION:
        raise ValueError(
            f"This {model_type} configuration has format_version {version}, but the installed code reads up to "
            f"{COMPILED_FORMAT_VERSION}: it was written by a newer vqdna_hf. Upgrade with `pip install -U vqdna-hf`."
        )
