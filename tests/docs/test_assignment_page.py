"""The code of the page on assignment runs."""

from __future__ import annotations

import math

from code_blocks import blocks


def test_the_python_code_runs() -> None:
    names: dict[str, object] = {}
    for language, _, code in blocks("assignment.md"):
        if language == "python":
            exec(compile(code, "assignment.md", "exec"), names)
    assert math.isfinite(names["result"].metrics["loss"])
