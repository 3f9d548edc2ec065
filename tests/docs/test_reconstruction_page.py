"""The code of the page on reconstruction runs."""

from __future__ import annotations

import torch
from code_blocks import blocks


def test_the_python_code_runs() -> None:
    names: dict[str, object] = {}
    for language, _, code in blocks("reconstruction.md"):
        if language == "python":
            exec(compile(code, "reconstruction.md", "exec"), names)
    assert names["images"].shape[1:] == (1, 32, 32)
    assert torch.isfinite(names["images"]).all()
