"""The code of the page on decisions runs."""

from __future__ import annotations

import pytest
import torch
from code_blocks import blocks

pytest.importorskip("gymnasium", reason="needs the extra decision")


def test_the_python_code_runs() -> None:
    names: dict[str, object] = {}
    for language, _, code in blocks("decisions.md"):
        if language == "python":
            exec(compile(code, "decisions.md", "exec"), names)
            assert torch.isfinite(names["table"].q).all()
    assert names["table"].q.shape == (1, 17, 4)
