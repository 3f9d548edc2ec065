"""A run, a claim or a method as a page or a table for people.

>>> from bequest.report import write_claim_report, write_report
>>> path = write_report("runs/ssd-kd-smoke")  # doctest: +SKIP

Importing this package imports neither torch nor matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bequest.report.claim_page import write_claim_report
    from bequest.report.run_page import write_report

__all__ = ["write_claim_report", "write_report"]

_LAZY = {
    "write_claim_report": "bequest.report.claim_page",
    "write_report": "bequest.report.run_page",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'bequest.report' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)
