"""True float32 where a last bit decides a code: in what is computed, and in the weights."""

import contextlib

import torch


def _switches() -> list:
    """The places where this PyTorch decides how float32 products are computed; none before it had them."""
    backends = torch.backends
    places = (
        getattr(backends.cuda, "matmul", None),
        getattr(backends.cudnn, "conv", None),
        getattr(backends.mkldnn, "matmul", None),
        getattr(backends.mkldnn, "conv", None),
    )
    return [place for place in places if hasattr(place, "fp32_precision")]


@contextlib.contextmanager
def exact_float32(device_type: str):
    """Compute in true float32: no autocast, no TF32 and no bf16 products, whatever the caller has switched on."""
    switches = _switches()
    # subtle: PyTorch refuses to read the older settings once somebody has used the newer ones
    if switches:
        before = [place.fp32_precision for place in switches]
        for place in switches:
            place.fp32_precision = "ieee"
    else:
        precision, cudnn_tf32 = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        if switches:
            for place, value in zip(switches, before):
                place.fp32_precision = value
        else:
            torch.set_float32_matmul_precision(precision)
            torch.backends.cudnn.allow_tf32 = cudnn_tf32


@contextlib.contextmanager
def float32_weights():
    """Make new weights in float32 where a model is made in 16 bits: of rounded ones, other codes would come."""
    before = torch.get_default_dtype()
    if before in (torch.float16, torch.bfloat16):
        torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


__all__ = ["exact_float32", "float32_weights"]
