"""What a method hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import nn


@dataclass(kw_only=True)
class Result:
    """The outcome of one run.

    Attributes:
        model: The network that the method made (the last one, never the best on test data).
        metrics: Final figures by name, for example `{"accuracy": 91.2}`; percentages are 0..100.
        seconds: Wall-clock seconds by section, for example `{"inversion": 40.1}`.
        cpu_seconds: CPU seconds of this process by section.
        flops: Floating-point operations by section, counted on the operators that ran.
        peak_memory_bytes: Largest memory of this process so far; of the GPU where one was used.
        folder: The run's folder, or None for a run that writes nothing.
    """

    model: nn.Module
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    flops: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    folder: Path | None = None
