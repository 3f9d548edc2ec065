"""The errors that Bequest raises on purpose. Each message says what was given and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BequestError(Exception):
    """Anything that Bequest refuses or cannot go on with."""


class InputError(BequestError, ValueError):
    """What was handed in cannot be used; raised before any work starts."""


class NotFiniteError(BequestError, ArithmeticError):
    """A quantity became NaN or infinite; the last good checkpoint is kept."""


class StoppedError(BequestError, RuntimeError):
    """A run was stopped from outside (Ctrl-C); its checkpoint was written."""


def unknown(kind: str, given: str, known: Iterable[str]) -> InputError:
    """The error for a name that does not exist, with the nearest names that do."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(near)}?" if near else f" Known: {', '.join(names)}."
    return InputError(f"There is no {kind} '{given}'.{hint}")
