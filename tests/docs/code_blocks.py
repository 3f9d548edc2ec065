"""The code of a documentation page."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Language, title (or nothing) and code of each block of `docs/<page>`, in order."""
    return _BLOCK.findall((FOLDER / page).read_text(encoding="utf-8"))
