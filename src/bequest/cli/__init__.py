"""The command line: parses, calls the library, prints. Importing it imports no torch."""

from __future__ import annotations

from bequest.cli.main import main

__all__ = ["main"]
