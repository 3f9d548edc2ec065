"""What one row of the catalogue says."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Paper:
    """Where a method was published."""

    title: str
    authors: str
    venue: str
    year: int
    arxiv: str = ""

    def __str__(self) -> str:
        link = f", arXiv {self.arxiv}" if self.arxiv else ""
        return f'{self.authors}, "{self.title}", {self.venue} {self.year}{link}'


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the catalogue.

    Attributes:
        id: The name on the command line, in kebab case.
        name: The name in prose.
        family: The folder under `methods/`.
        summary: One sentence: what goes in, what comes out.
        method: `module:Class` of the frozen dataclass.
        study: `module:attribute` of the `Study`.
        paper: The publication; None for a control.
        extras: Names of the optional dependencies it needs.
    """

    id: str
    name: str
    family: str
    summary: str
    method: str
    study: str
    paper: Paper | None = None
    extras: tuple[str, ...] = ()

    def load_method(self) -> type[Any]:
        """The method's dataclass; imports torch."""
        return _resolve(self.method)

    def load_study(self) -> Any:
        """The method's `Study`; imports torch."""
        return _resolve(self.study)


def _resolve(target: str) -> Any:
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)
