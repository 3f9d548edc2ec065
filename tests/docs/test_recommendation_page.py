"""The code of the page on recommendation runs."""

from __future__ import annotations

from code_blocks import blocks


def test_the_python_code_runs() -> None:
    names: dict[str, object] = {}
    for language, _, code in blocks("recommendation.md"):
        if language == "python":
            exec(compile(code, "recommendation.md", "exec"), names)
    assert 0 <= names["figures"]["recall_3"] <= 100
    assert names["vectors"].shape == (1, 2, 8)
