"""`pipeline("fill-mask", ...)` and its like give VQDNA models the pipelines that answer in bases."""

from transformers import Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from .modeling.pipelines_vqdna import (
    VQDNAFeatureExtractionPipeline,
    VQDNAFillMaskPipeline,
    VQDNATextClassificationPipeline,
)


_PIPELINES = {
    "fill-mask": VQDNAFillMaskPipeline,
    "feature-extraction": VQDNAFeatureExtractionPipeline,
    "text-classification": VQDNATextClassificationPipeline,
}


def _choosing(stock: type[Pipeline], ours: type[Pipeline]) -> type[Pipeline]:
    """A class whose construction gives our pipeline for a VQDNA model, and the stock one for every other model."""

    class Choosing(stock):
        chooses_vqdna = True

        def __new__(cls, *args, **kwargs):
            model = args[0] if args else kwargs["model"]
            # subtle: what is returned is no instance of this class, so that `__init__` is not called a second time
            kind = ours if getattr(model.config, "model_type", None) == "vqdna" else stock
            return kind(*args, **kwargs)

    Choosing.__name__ = Choosing.__qualname__ = stock.__name__
    return Choosing


def register_pipelines():
    """Let `transformers.pipeline` choose by the model; calling it again changes nothing."""
    for task, ours in _PIPELINES.items():
        entry = PIPELINE_REGISTRY.supported_tasks[task]
        before = entry["impl"]
        if getattr(before, "chooses_vqdna", False):
            continue
        # the registry names a class that it has not imported yet; another package may have put in one of its own
        stock = before if isinstance(before, type) else ours.__mro__[2]  # behind our class and the mixin
        PIPELINE_REGISTRY.supported_tasks[task] = {**entry, "impl": _choosing(stock, ours)}
