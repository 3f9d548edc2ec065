"""Where a run stops early, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass

from bequest.errors import InputError
from bequest.run.meter import Meter


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Where a run stops early: after so many steps, wall-clock seconds or FLOPs (None: never)."""

    steps: int | None = None
    seconds: float | None = None
    flops: float | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "seconds", "flops"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InputError(f"budget {name} is {value}; it must be above 0.")

    def limit(self, total: int) -> int:
        """The number of steps that a loop of `total` may take."""
        return min(total, self.steps) if self.steps else total

    def exhausted(self, meter: Meter) -> bool:
        """Whether time or FLOPs are used up."""
        return (self.flops is not None and meter.total_flops >= self.flops) or (
            self.seconds is not None and meter.total_seconds >= self.seconds
        )

    def fraction(self, step: int, limit: int, meter: Meter) -> float:
        """The share of the run that is over at `step`, in [0, 1]: of steps, FLOPs or seconds."""
        parts = [step / limit]
        if self.flops is not None:
            parts.append(meter.total_flops / self.flops)
        if self.seconds is not None:
            parts.append(meter.total_seconds / self.seconds)
        return min(max(parts), 1.0)
