"""What a PEFT adapter says of the model it was trained on: the vocabulary, and the head it brings along.

PEFT stores an adapter without the base model's configuration. An adapter of another vocabulary would load and predict
nonsense, and one with a head of another shape would not load at all. VQDNA models therefore write both into the
adapter's own configuration, and read them when an adapter is put on.
"""

import copy
import re

from torch import nn


_RECORD = "vqdna"  # key in `auto_mapping`, the one free dictionary of a PEFT configuration
# subtle: PEFT overwrites `auto_mapping` in adapters without a task type, so that these carry the vocabulary as a
# comment in their pattern of target modules, where it matches nothing
_COMMENT = re.compile(r"\(\?#vocabulary ([0-9a-f]+)\)")


def vocabulary_comment(fingerprint: str) -> str:
    """The fingerprint as a comment to put before a regular expression."""
    return f"(?#vocabulary {fingerprint})"


def recorded_vocabulary(config) -> str | None:
    """The fingerprint in a PEFT configuration, or `None`."""
    record = (getattr(config, "auto_mapping", None) or {}).get(_RECORD)
    if record is not None:
        return record["vocabulary_fingerprint"]
    targets = getattr(config, "target_modules", None)
    found = _COMMENT.search(targets) if isinstance(targets, str) else None
    return found.group(1) if found else None


def recorded_head(config: dict) -> dict:
    """What the content of an `adapter_config.json` says of the adapter's head: labels, pooling and so on."""
    return (config.get("auto_mapping") or {}).get(_RECORD, {}).get("head", {})


def is_vqdna_adapter(config: dict) -> bool:
    """Whether the content of an `adapter_config.json` is of an adapter for a VQDNA model."""
    mapping, targets = config.get("auto_mapping") or {}, config.get("target_modules")
    commented = isinstance(targets, str) and _COMMENT.search(targets) is not None
    return _RECORD in mapping or commented or str(mapping.get("base_model_class")).startswith("VQDNA")


class VQDNAAdapterMixin:
    """Checks and completes the configuration of every adapter that is put on the model, whichever way."""

    # fields of the model's configuration that an adapter's head depends on
    adapter_fields: tuple[str, ...] = ()

    @property
    def peft_config(self) -> dict:
        """The adapters' configurations by name; PEFT sets it on the models it changes."""
        if "_peft_config" not in self.__dict__:
            raise AttributeError("no adapter is on this model")
        return self.__dict__["_peft_config"]

    @peft_config.setter
    def peft_config(self, configs: dict):
        self.__dict__.setdefault("_accepted_adapters", [])
        self._accept_all(configs)
        self.__dict__["_peft_config"] = configs

    @peft_config.deleter
    def peft_config(self):
        del self.__dict__["_peft_config"], self.__dict__["_accepted_adapters"]

    # subtle: a second adapter enters PEFT's own dictionary of configurations unseen; its weights do not

    def _load_from_state_dict(self, *args, **kwargs):
        self._accept_all(self.__dict__.get("_peft_config", {}))
        super()._load_from_state_dict(*args, **kwargs)

    def _save_to_state_dict(self, *args, **kwargs):
        self._accept_all(self.__dict__.get("_peft_config", {}))
        super()._save_to_state_dict(*args, **kwargs)

    def get_submodule(self, target: str) -> nn.Module:
        """As `torch.nn.Module.get_submodule`.

        Raises:
            ValueError: PEFT looks for a table of word embeddings, before which prompt tuning, prefix tuning and their
                like would put learned vectors.
        """
        if target == "embeddings.word_embeddings":
            raise ValueError(
                "Prompt tuning, prefix tuning and p-tuning put learned vectors before the embeddings of words, and a "
                "VQDNA model has no such table: its codes are combined from the codebooks. Take LoRA "
                "(vqdna_hf.lora_config(model)) or another adapter of weights."
            )
        return super().get_submodule(target)

    def _accept_all(self, configs: dict):
        """Take the heads of adapters that come with one, and record the model's in all."""
        accepted = self.__dict__.get("_accepted_adapters", [])
        for name, config in list(configs.items()):
            if not any(config is other for other in accepted):
                try:
                    self._accept(name, config)
                except ValueError:
                    del configs[name]  # PEFT has entered it already
                    raise
                accepted.append(config)
            head = {field: copy.deepcopy(getattr(self.config, field)) for field in self.adapter_fields}
            config.auto_mapping[_RECORD]["head"] = head

    def _accept(self, name: str, config):
        """Check where an adapter is put and its vocabulary, and take its head if it brings one.

        Raises:
            ValueError: the adapter changes the codec; or was trained with another vocabulary, names both; or with
                another head than those that the model already carries.
        """
        wrapped = [
            place for place, module in self.codec.named_modules() if type(module).__module__.startswith("peft.")
        ]
        if wrapped:
            raise ValueError(
                f"The adapter {name!r} changes the codec (codec.{wrapped[0]} and others), and with it the meaning of "
                "every code. Load the model again and take vqdna_hf.lora_config(model), or add "
                r"exclude_modules=r'.*\bcodec\b.*' to the adapter's configuration."
            )
        ours, theirs = self.fingerprint(), recorded_vocabulary(config)
        if theirs not in (None, ours):
            raise ValueError(
                f"The adapter {name!r} was trained on a model of the vocabulary {theirs}, but this model's is {ours}: "
                f"its weights mean nothing here. Load it on the model it was trained on"
                f"{_named(config.base_model_name_or_path)}."
            )
        self._take_head(name, config)
        config.auto_mapping = (config.auto_mapping or {}) | {_RECORD: {"vocabulary_fingerprint": ours}}

    def _take_head(self, name: str, config):
        head = recorded_head({"auto_mapping": config.auto_mapping})
        head = {field: head[field] for field in self.adapter_fields if head.get(field) is not None}
        if "id2label" in head:  # JSON has no keys but strings
            head["id2label"] = {int(index): label for index, label in head["id2label"].items()}
        if all(getattr(self.config, field) == value for field, value in head.items()):
            return
        if self.__dict__["_accepted_adapters"]:
            raise ValueError(
                f"The adapter {name!r} has another head than the adapters that this model already carries (labels or "
                "pooling differ). Load it on a model of its own."
            )
        for field, value in head.items():
            setattr(self.config, field, value)
        self.num_labels = self.config.num_labels
        self._replace_head()

    def _replace_head(self):
        """Build the head from scratch, as the configuration now says, also inside PEFT's wrapper around it."""
        before = self.classifier
        self.build_head()
        if not hasattr(before, "modules_to_save"):
            self.classifier = _like(self.classifier, before)
            return
        copies = before.modules_to_save
        for name in copies:
            copies[name] = _like(copy.deepcopy(self.classifier), copies[name])
        before.original_module = _like(self.classifier, before.original_module)
        self.classifier = before


def _like(module: nn.Module, other: nn.Module) -> nn.Module:
    """A module where another one stands: its device, its kind of numbers, training or not."""
    weight = next(other.parameters())
    if next(module.parameters()).is_meta:  # made under PEFT's low_cpu_mem_usage; the adapter's file fills it
        module = module.to_empty(device=weight.device)
    module = module.to(device=weight.device, dtype=weight.dtype).train(other.training)
    return module.requires_grad_(weight.requires_grad)


def _named(base: str | None) -> str:
    return "" if base is None else f" ({base})"


__all__ = ["VQDNAAdapterMixin", "recorded_head", "recorded_vocabulary", "vocabulary_comment"]
