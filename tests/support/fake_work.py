"""What workers do in tests: fast, without torch. A task's job says what, and where its marks go."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from bequest.claims.runs import Outcome, Task


def work(task: Task) -> Outcome:
    """Does what the job says, and leaves a mark for each entry."""
    folder, what = Path(task.job["folder"]), task.job["what"]
    with (folder / f"{what}.mark").open("a") as file:
        file.write("x")
    if what.startswith("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if what.startswith("wait"):
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            (folder / f"{what}.saved").touch()
            raise
    if what.startswith("slow"):
        time.sleep(0.3)
    found = {
        "what": what,
        "process": os.getpid(),
        "group": os.getpgid(0),
        "threads": os.environ["OMP_NUM_THREADS"],
        "torch": "torch" in sys.modules or "numpy" in sys.modules,
    }
    return Outcome(record=found)
