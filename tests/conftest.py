"""One thread, set before torch is imported; shared fixtures."""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("ACCELERATE_USE_CPU", "true")

import torch

torch.set_num_threads(1)
