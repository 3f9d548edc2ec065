"""One thread, set before torch is imported; a cache folder of the test run's own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("ACCELERATE_USE_CPU", "true")
# Teachers trained on the spot are shared by the workers of one test run, and by no other run.
_run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
os.environ["BEQUEST_CACHE"] = str(Path(tempfile.gettempdir()) / f"bequest-tests-{_run}")

import shutil

import pytest
import torch

torch.set_num_threads(1)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the cache; with several workers, the first one to start leaves last."""
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0":
        shutil.rmtree(os.environ["BEQUEST_CACHE"], ignore_errors=True)
