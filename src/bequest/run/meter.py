"""Where the time and the arithmetic of a run go, by section."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


class Meter:
    """Wall-clock, CPU seconds and FLOPs by section name.

    FLOPs are counted by the operators that really run, the first time a section runs (PyTorch's
    own counter, which slows that one pass), and each later pass of the section adds the same
    amount. A section whose cost changes from pass to pass needs two names.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self.flops: dict[str, float] = {}
        self._cost: dict[str, float] = {}
        self._device = device
        self._current: str | None = None
        self._since = (0.0, 0.0)
        self._counter: FlopCounterMode | None = None  # of the innermost pass that is being counted
        self._inside = 0.0  # FLOPs of the sections inside that pass

    @property
    def total_flops(self) -> float:
        """FLOPs of all sections so far but `evaluation`, which a method could do without."""
        return sum(count for name, count in self.flops.items() if name != "evaluation")

    @property
    def total_seconds(self) -> float:
        """Wall-clock seconds of all sections but `evaluation`, the open one included."""
        running = time.perf_counter() - self._since[0] if self._current else 0.0
        done = sum(time for name, time in self.seconds.items() if name != "evaluation")
        return done + (running if self._current != "evaluation" else 0.0)

    def _switch(self, name: str | None) -> str | None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = (time.perf_counter(), time.process_time())
        if self._current is not None:
            for table, start, end in zip((self.seconds, self.cpu_seconds), self._since, now):
                table[self._current] = table.get(self._current, 0.0) + end - start
        previous, self._current, self._since = self._current, name, now
        return previous

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Everything inside counts for `name`, and no longer for the section around it."""
        outer = self._switch(name)
        try:
            with self.counted(name):
                yield
        finally:
            self._switch(outer)

    @contextmanager
    def counted(self, name: str) -> Iterator[None]:
        """One pass of `name` for the FLOPs alone; sections inside count for themselves."""
        outer, outside, before = self._counter, self._inside, self._seen()
        self._inside = 0.0
        try:
            if self.knows(name):
                yield
            else:
                with FlopCounterMode(display=False) as self._counter:
                    yield
                    self._cost[name] = self._seen() - self._inside
            self.add_pass(name)
        finally:
            self._counter = outer
            # What really ran here, which is not always what `name` cost the first time.
            self._inside = outside + self._seen() - before

    def _seen(self) -> float:
        """FLOPs since the pass that is being counted began; 0 where none is."""
        return self._counter.get_total_flops() if self._counter else 0.0

    @property
    def counting(self) -> bool:
        """Whether a pass around this point is being counted."""
        return self._counter is not None

    def knows(self, name: str) -> bool:
        """Whether a pass of `name` was counted before."""
        return name in self._cost

    def add_pass(self, name: str) -> None:
        """Counts a pass of `name` whose cost is known."""
        self.flops[name] = self.flops.get(name, 0.0) + self._cost[name]

    def state_dict(self) -> dict[str, Any]:
        """Totals and unit costs, for a checkpoint; the open section is counted up to now."""
        if self._current is not None:
            self._switch(self._current)
        names = ("seconds", "cpu_seconds", "flops", "_cost")
        return {name: dict(getattr(self, name)) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        for name, table in state.items():
            getattr(self, name).update(table)
