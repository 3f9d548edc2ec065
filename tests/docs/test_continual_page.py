"""The code of the page on streams runs."""

from __future__ import annotations

from code_blocks import blocks


def test_the_python_code_runs() -> None:
    names: dict[str, object] = {}
    for language, _, code in blocks("continual.md"):
        if language == "python":
            exec(compile(code, "continual.md", "exec"), names)
    assert 0 <= names["result"].metrics["accuracy"] <= 100
    assert names["general"].ends == (5, 10, 20)
    assert len(names["memory"]) == 200
    assert len(names["drawn"]["labels"]) == 32
