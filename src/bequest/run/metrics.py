"""The metrics table of a run: one JSON object a line, for `pandas.read_json(lines=True)`."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import Tensor

from bequest.errors import NotFiniteError


class Metrics:
    """Collects named numbers and appends rows to `metrics.jsonl`.

    Values logged at each step stay on the device and are averaged into one row every
    `log_every` steps, so that logging never waits for the device.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[dict[str, float | int | str]] = []
        self.latest: dict[str, float] = {}
        self._pending: dict[str, list[Tensor | float]] = {}

    def add(self, values: dict[str, Tensor | float]) -> None:
        """Keeps `values` (scalars) for the next row."""
        for name, value in values.items():
            kept = value.detach() if isinstance(value, Tensor) else value
            if name in self._pending:
                self._pending[name].append(kept)
            else:
                self._pending[name] = [kept]

    def flush(self, phase: str, step: int) -> dict[str, float]:
        """Turns what was kept into one row of means.

        Raises:
            NotFiniteError: With the name of the first quantity that is NaN or infinite.
        """
        means = {name: _mean(values) for name, values in self._pending.items()}
        self._pending.clear()
        for name, value in means.items():
            if not math.isfinite(value):
                raise NotFiniteError(f"'{name}' became {value} at or before step {step} of {phase}")
        if means:
            self.write({"phase": phase, "step": step, **means})
        return means

    def write(self, row: dict[str, float | int | str]) -> None:
        """Appends one row."""
        self.rows.append(row)
        self.latest.update({k: v for k, v in row.items() if isinstance(v, float)})
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def truncate(self, count: int) -> None:
        """Keeps the first `count` rows of the file: those that the checkpoint knows."""
        if self.path is None or not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()[:count]
        self.rows = [json.loads(line) for line in lines]
        self.path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _mean(values: list[Tensor | float]) -> float:
    tensors = [v.float() for v in values if isinstance(v, Tensor)]
    total = torch.stack(tensors).sum().item() if tensors else 0.0
    return (total + sum(v for v in values if not isinstance(v, Tensor))) / len(values)
