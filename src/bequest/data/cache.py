"""Where downloaded data sets and what is made from them are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$BEQUEST_CACHE``, else ``$XDG_CACHE_HOME/bequest``, else ``~/.cache/bequest``.

    The folder need not exist; whoever writes creates it. Empty variables count as not set, and
    ``~`` is expanded.
    """
    own = os.environ.get("BEQUEST_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    base = Path(shared).expanduser() if shared else Path.home() / ".cache"
    return base / "bequest"
