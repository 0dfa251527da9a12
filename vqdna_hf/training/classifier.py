"""A pre-trained model with a new head for sequences, whatever its architecture, and adapters in it."""

import contextlib
import logging
from pathlib import Path

import torch
from peft import LoraConfig, TaskType, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from ..arguments.training import REGRESSION, FinetuneArguments
from ..baselines import modeling_tokens  # noqa: F401, which registers the encoders of hand-made vocabularies
from ..checkpoints.loading import share_table
from ..lora import lora_config
from ..modeling.modeling_vqdna import VQDNAForSequenceClassification
from ..tasks import TaskInfo
from ..tasks.catalogue import class_names
from .finite_weights import check_finite


logger = logging.getLogger(__name__)

# heads of other architectures call their dropout by one of these names
_DROPOUTS = ("classifier_dropout", "cls_dropout", "classifier_dropout_prob", "seq_classif_dropout")
_DROPOUTS += ("summary_last_dropout", "classifier_dropout_rate")
# a field that a model reads and its configuration does not declare
_UNDECLARED = {"deberta": "cls_dropout", "deberta-v2": "cls_dropout"}


def label_maps(classes: tuple[str, ...], num_labels: int) -> dict:
    """`id2label` and `label2id`, or `num_labels` where the classes have no names, as `from_pretrained` takes them."""
    if not classes:
        return {"num_labels": num_labels}
    return {"id2label": dict(enumerate(classes)), "label2id": {name: number for number, name in enumerate(classes)}}


def task_labels(arguments: FinetuneArguments, info: TaskInfo) -> dict:
    """The label maps of the task that a command names, or that its directory says it holds."""
    if info.problem_type == REGRESSION:
        return label_maps((), info.num_labels)
    return label_maps(class_names(arguments.task or Path(arguments.data).resolve(), info.num_labels), info.num_labels)


def load_classifier(source: str, tokenizer, arguments: FinetuneArguments, **options):
    """A pre-trained model with a new head for sequences, and the parts frozen that the mode does not train.

    Args:
        source: directory or repository of the Hub.
        arguments: the mode; `pooling`, `pooling_bins`, `strand_average` and `dropout` of the head, as far as the
            architecture has them.
        options: fields of the configuration; `dtype`, `revision` and `trust_remote_code`.

    Raises:
        ValueError: a dropout is asked for that the head cannot have; weights that are not finite, or of another shape
            than the configuration says; a VQDNA model and a tokenizer of different vocabularies.
    """
    # an adapter records this path, and should find its model from any working directory
    source = str(Path(source).resolve()) if Path(source).is_dir() else source
    code = {name: options.pop(name) for name in ("revision", "trust_remote_code") if name in options}
    weights = {"dtype": options.pop("dtype", torch.float32)}  # a step of an optimizer is lost in a weight of 16 bits
    config = AutoConfig.from_pretrained(source, **code, **options)
    head = {name: getattr(arguments, name) for name in ("pooling", "pooling_bins", "strand_average")}
    head |= {
        "freeze_codec": arguments.mode != "end-to-end",
        **dict.fromkeys(dropout_fields(config), arguments.dropout),
    }
    for name, value in head.items():
        if hasattr(config, name) or name in _UNDECLARED.values():
            setattr(config, name, value)
    with quiet_loading():
        model, report = AutoModelForSequenceClassification.from_pretrained(
            source, config=config, ignore_mismatched_sizes=True, output_loading_info=True, **weights, **code
        )
    _check_shapes(model, source, report["mismatched_keys"])
    _check_dropout(model, arguments)
    check_finite(model, source)
    if isinstance(model, VQDNAForSequenceClassification):
        _check_vqdna(model, tokenizer, source, report["missing_keys"])
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model


def _check_shapes(model, source: str, mismatched):
    """Refuse a network whose weights do not fit; a head of another task is replaced."""
    wrong = sorted(key for key, *_ in mismatched if key.startswith(f"{model.base_model_prefix}."))
    if wrong:
        raise ValueError(
            f"{source} holds weights of other shapes than its config.json says ({wrong[0]}): the two are of different "
            "models. Copy both again."
        )


def _check_vqdna(model: VQDNAForSequenceClassification, tokenizer, source: str, missing):
    missing = sorted(key for key in missing if not key.startswith("classifier."))
    if missing:
        logger.warning("%s has no weights for %s: they begin at random.", source, ", ".join(missing))
    model.config.validate()  # transformers sets fields behind the configuration's own checks
    model.check_tokenizer(tokenizer)
    share_table(model, tokenizer)


def dropout_fields(config) -> list[str]:
    """The fields by which an architecture knows the dropout of its head for sequences; none for some."""
    declared = [name for name in _DROPOUTS if hasattr(config, name)]
    return declared or [name for kind, name in _UNDECLARED.items() if kind == config.model_type]


def head_dropout(model) -> float | None:
    """The dropout that a model's head was built with; None where it has none."""
    inside = {id(module) for module in model.base_model.modules()}
    rates = [module.p for module in model.modules() if isinstance(module, nn.Dropout) and id(module) not in inside]
    return max(rates, default=None)


def _check_dropout(model, arguments: FinetuneArguments):
    """Refuse a dropout that was asked for, and that the head of an architecture cannot have."""
    used, default = head_dropout(model), type(arguments).__dataclass_fields__["dropout"].default
    if arguments.dropout in (used, default):  # an option that still has its default value counts as not given
        return
    there = "no dropout of its own" if used is None else f"a dropout of {used} that is the whole network's"
    raise ValueError(
        f"--dropout {arguments.dropout} cannot be set: the head of {type(model).__name__} has {there}. Leave the "
        "option out."
    )


@contextlib.contextmanager
def quiet_loading():
    """No report of the new head's weights, which are missing from every pre-trained model."""
    library = logging.getLogger("transformers")
    level = library.level
    library.setLevel(logging.ERROR)
    try:
        yield
    finally:
        library.setLevel(level)


def add_adapters(model, arguments: FinetuneArguments):
    """LoRA on every linear layer but the head, which trains as a whole."""
    values = {"r": arguments.lora_r, "lora_alpha": arguments.lora_alpha, "lora_dropout": arguments.lora_dropout}
    if isinstance(model, VQDNAForSequenceClassification):
        return get_peft_model(model, lora_config(model, **values))
    return get_peft_model(model, LoraConfig(task_type=TaskType.SEQ_CLS, target_modules="all-linear", **values))
