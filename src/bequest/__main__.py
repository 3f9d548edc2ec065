"""`python -m bequest`, which `accelerate launch -m bequest` needs."""

from __future__ import annotations

import sys

from bequest.cli import main

if __name__ == "__main__":
    sys.exit(main())
