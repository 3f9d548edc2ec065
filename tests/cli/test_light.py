"""What only informs answers without importing torch."""

from __future__ import annotations

import subprocess
import sys

from bequest.cli.main import COMMANDS

_SCRIPT = """
import sys
from bequest.cli import main

for words in {calls!r}:
    if main(words) != 0:
        sys.exit(f"{{words}} failed")
    if heavy := sorted({{"torch", "scipy", "pandas", "accelerate", "sklearn"}} & set(sys.modules)):
        sys.exit(f"{{words}} imported {{', '.join(heavy)}}")
"""


def test_list_show_data_and_every_help_import_no_torch() -> None:
    helps = [[*name.split(), "--help"] for name in COMMANDS]
    calls = [
        [],
        ["--version"],
        ["list"],
        ["show", "ssd-kd"],
        ["data", "list"],
        ["data", "info", "digits"],
        ["run", "ssd-kd", "--help"],
        ["distill", "--method", "fast", "--help"],
        *helps,
    ]
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(calls=calls)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_python_m_bequest_gives_the_exit_status() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bequest", "show", "nothing"], capture_output=True, text=True
    )
    assert done.returncode == 64
    assert done.stderr.startswith("Error: There is no method 'nothing'.")
