"""The classes of the package, known to `AutoTokenizer`, `AutoModel*` and `pipeline` without being imported.

A model class imports most of transformers, which takes seconds. So `import vqdna_hf` imports neither, and the Auto
classes are told of ours when they are imported themselves, whichever comes first. What they are told of is a stand-in
until the class is imported: by whoever uses it first, or through the stand-in.
"""

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from types import ModuleType


_AUTO = "transformers.models.auto"
_PIPELINES = "transformers.pipelines"
_UPLOADS = "transformers.utils.hub"

# class -> module in `modeling/`
CLASSES = {
    "VQDNACodecConfig": "configuration_vqdna",
    "VQDNACodecModel": "modeling_vqdna_codec",
    "VQDNAConfig": "configuration_vqdna",
    "VQDNAConvEncoderConfig": "configuration_vqdna",
    "VQDNAConvEncoderModel": "modeling_conv_vqdna",
    "VQDNAForMaskedLM": "modeling_vqdna",
    "VQDNAForSequenceClassification": "modeling_vqdna",
    "VQDNAForTokenClassification": "modeling_vqdna",
    "VQDNAModel": "modeling_vqdna",
    "VQDNATokenizer": "tokenization_vqdna",
}
_CONFIGS = {
    "vqdna": "VQDNAConfig",
    "vqdna_codec": "VQDNACodecConfig",
    "vqdna_conv_encoder": "VQDNAConvEncoderConfig",
}
_MODELS = (
    ("AutoModel", "VQDNACodecConfig", "VQDNACodecModel"),
    ("AutoModel", "VQDNAConfig", "VQDNAModel"),
    ("AutoModel", "VQDNAConvEncoderConfig", "VQDNAConvEncoderModel"),
    ("AutoModelForMaskedLM", "VQDNAConfig", "VQDNAForMaskedLM"),
    ("AutoModelForSequenceClassification", "VQDNAConfig", "VQDNAForSequenceClassification"),
    ("AutoModelForTokenClassification", "VQDNAConfig", "VQDNAForTokenClassification"),
)


def _module_name(class_name: str) -> str:
    return f"{__package__}.modeling.{CLASSES[class_name]}"


def load_class(class_name: str) -> type:
    """One of `CLASSES`, imported if it is not yet."""
    return getattr(import_module(_module_name(class_name)), class_name)


class _StandIn(type):
    """A class in the place of one of the same name, which is imported when this one is called or asked for more."""

    def __call__(cls, *args, **kwargs):
        return load_class(cls.__name__)(*args, **kwargs)

    def __getattr__(cls, name: str):
        if name.startswith("__"):  # what inspects a class must not import it
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
        return getattr(load_class(cls.__name__), name)

    def __instancecheck__(cls, instance) -> bool:
        return isinstance(instance, load_class(cls.__name__))


# attributes of this module under their own names, so that they can be pickled
_STAND_INS = {name: _StandIn(name, (), {"__module__": __name__}) for name in CLASSES}
globals().update(_STAND_INS)


class _NoModelConfig:
    """What the tokenizer is registered with, so that it is found by its class name and by nothing else."""


def _imported(class_name: str) -> type | None:
    """One of `CLASSES` if it is there, also while the rest of its module is being imported."""
    return getattr(sys.modules.get(_module_name(class_name)), class_name, None)


def _auto_class(module: str, class_name: str):
    return getattr(sys.modules.get(f"{_AUTO}.{module}"), class_name, None)


def _register_with_auto_classes():
    """Tell the Auto classes that are imported of our classes, or of their stand-ins; may be called at any time."""
    if auto_config := _auto_class("configuration_auto", "AutoConfig"):
        for model_type, name in _CONFIGS.items():
            auto_config.register(model_type, _imported(name) or _STAND_INS[name], exist_ok=True)
    if auto_tokenizer := _auto_class("tokenization_auto", "AutoTokenizer"):
        # subtle: a tokenizer registered with a model's own configuration would lose to the remote copy whenever a user
        # passes trust_remote_code=True, and its class would not be the one of this package
        name = "VQDNATokenizer"
        auto_tokenizer.register(_NoModelConfig, _imported(name) or _STAND_INS[name], exist_ok=True)
    for auto_name, config_name, name in _MODELS:
        auto_model, config = _auto_class("modeling_auto", auto_name), _imported(config_name)
        if auto_model is None or config is None:  # models are looked up by a configuration's class
            continue
        _STAND_INS[name].config_class = config
        auto_model.register(config, _imported(name) or _STAND_INS[name], exist_ok=True)


def _register_pipelines():
    from .pipelines import register_pipelines

    register_pipelines()


def _register_uploads():
    from .uploads import register_uploads

    register_uploads(sys.modules[_UPLOADS].hf_api())


_WHEN_IMPORTED: dict[str, Callable[[], None]] = {
    **{f"{_AUTO}.{name}": _register_with_auto_classes for name in ("configuration_auto", "modeling_auto")},
    f"{_AUTO}.tokenization_auto": _register_with_auto_classes,
    **{_module_name(name): _register_with_auto_classes for name in CLASSES},
    _PIPELINES: _register_pipelines,
    _UPLOADS: _register_uploads,
}


class _Watcher(MetaPathFinder):
    """Calls what `_WHEN_IMPORTED` says as the last step of a module's import, before other threads get to see it."""

    def find_spec(self, name: str, path=None, target: ModuleType | None = None):
        if name not in _WHEN_IMPORTED:
            return None
        finders = [finder for finder in sys.meta_path if not isinstance(finder, _Watcher)]
        specs = (finder.find_spec(name, path, target) for finder in finders if hasattr(finder, "find_spec"))
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            # subtle: the loader stays the one that it is, for whoever asks it for source or data
            spec.loader.exec_module = partial(_execute, spec.loader.exec_module, name)
        return spec


def _execute(execute: Callable[[ModuleType], None], name: str, module: ModuleType):
    execute(module)
    if module.__name__ == name:  # some loaders are shared between modules
        _WHEN_IMPORTED[name]()


def register_classes():
    """Make the classes known from now on, in whichever order this package and transformers are imported."""
    if not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher())
    for name, tell in _WHEN_IMPORTED.items():
        if name in sys.modules and not name.startswith(f"{__package__}."):
            import_module(name)  # where another thread is at it, wait for the end
            tell()
