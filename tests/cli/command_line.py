"""The command line in this process: words in, exit status and text out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bequest.cli import main


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str


Shell = Callable[..., Answer]


def shell_of(capsys: pytest.CaptureFixture[str]) -> Shell:
    """A function that runs `bequest WORDS`."""

    def call(*words: str) -> Answer:
        capsys.readouterr()
        status = main(words)
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    return call
