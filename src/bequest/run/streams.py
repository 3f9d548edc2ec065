"""Random generators by name, so that arms of a study see the same numbers."""

from __future__ import annotations

import zlib
from typing import Any

import torch


class Streams:
    """One generator a name on one device, decided by the seed and the name alone."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed, self._device = seed, device
        self._generators: dict[str, torch.Generator] = {}

    def __getitem__(self, name: str) -> torch.Generator:
        if name not in self._generators:
            seed = zlib.crc32(f"{self._seed}/{name}".encode())
            self._generators[name] = torch.Generator(self._device).manual_seed(seed)
        return self._generators[name]

    def state_dict(self) -> dict[str, Any]:
        """The state of every stream and of PyTorch's global generators."""
        state: dict[str, Any] = {"cpu": torch.get_rng_state()}
        state["streams"] = {name: rng.get_state() for name, rng in self._generators.items()}
        if self._device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self._device)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        for name, value in state["streams"].items():
            self[name].set_state(value)
        torch.set_rng_state(state["cpu"])
        if "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], self._device)
