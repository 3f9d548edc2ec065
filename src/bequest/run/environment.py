"""What a run ran on: versions, device, threads, precision."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib import metadata

import torch

from bequest.errors import InputError

_PACKAGES = ("bequest", "torch", "accelerate", "numpy", "scipy", "scikit-learn", "safetensors")


def environment(device: torch.device, precision: str) -> dict[str, object]:
    """Versions and hardware, as plain values for `environment.json`."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "device": str(device),
        "device_name": name,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "precision": precision,
    }


def peak_memory(device: torch.device) -> int:
    """Largest memory so far in bytes: of this process on `cuda`, else of the process as a whole."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` becomes `bf16` where the hardware multiplies bfloat16 fast, else `fp32`."""
    if precision not in ("auto", "fp32", "bf16"):
        raise InputError(f"precision is '{precision}'; it must be auto, fp32 or bf16.")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    # AMX tiles: without them bfloat16 convolutions on a CPU are emulated and slower than fp32.
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return "bf16" if device.type == "cpu" and has_tiles() else "fp32"
