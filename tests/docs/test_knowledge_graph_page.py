"""The code of the page on knowledge graphs runs."""

from __future__ import annotations

from code_blocks import blocks


def test_the_python_code_runs() -> None:
    names: dict[str, object] = {}
    for language, _, code in blocks("knowledge_graphs.md"):
        if language == "python":
            exec(compile(code, "knowledge_graphs.md", "exec"), names)
    assert names["scores"].shape == (1, 121)
    assert 0 < names["figures"]["mrr"] <= 100
