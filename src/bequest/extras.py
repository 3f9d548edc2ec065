"""Libraries that are extras: loaded by name where they are used, with advice where they fail."""

from __future__ import annotations

import importlib
from typing import Any

from bequest.errors import InputError


def load_extra(module: str, *, extra: str, advice: str = "") -> Any:
    """A module of a library that not everybody has.

    Args:
        module: Its full name.
        extra: Of Bequest, that brings the library.
        advice: What else may be wrong.

    Raises:
        InputError: Where it is missing or broken, with the reason and how to get it.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:
        # Any exception: a library that was built for another torch raises RuntimeError.
        raise InputError(
            f"{module.partition('.')[0]} cannot be imported ({type(error).__name__}: {error}). "
            f'Install it with pip install "bequest[{extra}]"{advice or "."}'
        ) from error
