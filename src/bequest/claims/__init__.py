"""Claims: what a paper promises, run over seeds, with an interval and a verdict.

>>> from bequest.claims import exit_status, run_arms, run_claims, write_results
>>> report = run_claims("ssd-kd", seeds=5)  # doctest: +SKIP
>>> path = write_results(report, "results")  # doctest: +SKIP
>>> table = run_arms("ssd-kd", ["ssd-kd", "fast", "dafl"], seeds=5)  # doctest: +SKIP

Method against baseline over seeds as something that software runs goes back to PyKEEN's
experiments, DomainBed and rliable; that each method brings its claims as a part of itself is the
point here. Importing this package imports no torch; `run_claims` and `run_arms` do.

A program that calls them with several workers needs the usual `if __name__ == "__main__":` around
its main part, since workers are started afresh.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bequest.claims.measure import run_arms, run_claims
    from bequest.claims.results import (
        ArmFigures,
        ClaimVerdict,
        Report,
        exit_status,
        read_results,
        results_path,
        to_json,
        write_results,
    )

__all__ = [
    "ArmFigures",
    "ClaimVerdict",
    "Report",
    "exit_status",
    "read_results",
    "results_path",
    "run_arms",
    "run_claims",
    "to_json",
    "write_results",
]

_MEASURING = ("run_arms", "run_claims")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bequest.claims' has no attribute '{name}'")
    module = "measure" if name in _MEASURING else "results"
    return getattr(importlib.import_module(f"bequest.claims.{module}"), name)
