"""The code of the page on self-supervised learning runs."""

from __future__ import annotations

import torch
from code_blocks import blocks


def test_the_python_code_runs() -> None:
    names: dict[str, object] = {}
    for language, _, code in blocks("self_supervised.md"):
        if language == "python":
            exec(compile(code, "self_supervised.md", "exec"), names)
    assert "blocks.1.attn.qkv.weight" in names["weights"]
    assert all(torch.isfinite(weight).all() for weight in names["weights"].values())
    assert len(names["small"].network.blocks) == 2
