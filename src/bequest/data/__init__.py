"""Data sets of real images: inside packages, downloaded once, or from a folder of one's own.

>>> import bequest.data
>>> bequest.data.load("digits").image_size
(1, 8, 8)

Importing this package imports no torch; what needs it comes when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bequest.data.cache import cache_folder

if TYPE_CHECKING:
    from bequest.data.catalog import names
    from bequest.data.images import ImageData
    from bequest.data.loading import load
    from bequest.data.presence import describe, get
    from bequest.data.public_networks import PUBLIC_NORMALIZATION, public_network

__all__ = [
    "PUBLIC_NORMALIZATION",
    "ImageData",
    "cache_folder",
    "describe",
    "get",
    "load",
    "names",
    "public_network",
]

_LAZY = {
    "PUBLIC_NORMALIZATION": "bequest.data.public_networks",
    "ImageData": "bequest.data.images",
    "describe": "bequest.data.presence",
    "get": "bequest.data.presence",
    "load": "bequest.data.loading",
    "names": "bequest.data.catalog",
    "public_network": "bequest.data.public_networks",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'bequest.data' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)
