"""The code of the page on graph classifiers runs."""

from __future__ import annotations

import math

import pytest
from code_blocks import blocks

pytest.importorskip("torch_geometric", reason="needs the extra graphs")


def test_the_python_code_runs() -> None:
    names: dict[str, object] = {}
    for language, _, code in blocks("graphs.md"):
        if language == "python":
            exec(compile(code, "graphs.md", "exec"), names)
    assert math.isfinite(names["result"].metrics["objective"])
