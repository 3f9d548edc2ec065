"""Bequest moves what a trained network knows to another network, above all without its data.

>>> import bequest
>>> student, result = bequest.distill(
...     teacher, student, image_size=(3, 32, 32), num_classes=10
... )  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bequest.catalog import methods
    from bequest.compression import compress
    from bequest.distillation import distill
    from bequest.nn.load import load_network as load

__version__ = "0.1.0"
__all__ = ["compress", "distill", "load", "methods"]

_LAZY = {
    "compress": ("bequest.compression", "compress"),
    "distill": ("bequest.distillation", "distill"),
    "load": ("bequest.nn.load", "load_network"),
    "methods": ("bequest.catalog", "methods"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'bequest' has no attribute '{name}'")
    module, attribute = _LAZY[name]
    return getattr(importlib.import_module(module), attribute)
