"""The code of the page on fair distillation runs."""

from __future__ import annotations

import math

import pytest
from code_blocks import blocks

pytest.importorskip("torch_geometric", reason="needs the extra graphs")


def test_the_python_code_runs() -> None:
    names: dict[str, object] = {}
    for language, _, code in blocks("fair_graphs.md"):
        if language == "python":
            exec(compile(code, "fair_graphs.md", "exec"), names)
    assert math.isfinite(names["figures"]["auc"])
