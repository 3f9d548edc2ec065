"""A memory of synthetic images: a batch written and a batch read, beside PNG files on disk.

Public code saves each synthetic image as a PNG file and decodes, crops and flips it one by one
whenever the student draws it. `bequest.memory.pool.ImagePool` is one uint8 tensor on the device.

    python benchmarks/pool.py --json pool.json

Both sides work in one process: no worker processes that would hide the cost on another core. Both
read a batch drawn uniformly with replacement, cropped and flipped, as fp32 in [0, 1].
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import (
    arguments,
    default_device,
    environment,
    interleaved,
    named,
    rows_of,
    show,
    verdict,
    write,
)
from PIL import Image, ImageOps
from rich.console import Console
from torch import Tensor

from bequest.memory.pool import ImagePool
from bequest.memory.replay import to_bytes, to_floats
from bequest.ops.augment import random_crop_flip

TARGET = 5.0
FILES = "PNG files, PIL"
BARE = "bare tensor"
OURS = "ImagePool"


class Files:
    """One PNG file an image, as public code keeps its pool."""

    def __init__(self, folder: Path, *, padding: int = 4) -> None:
        self.folder, self.padding = folder, padding
        self.random = random.Random(0)
        self.paths: list[Path] = []

    def write(self, images: Tensor, *, first: int = 0) -> None:
        """Images `(batch, 3, height, width)` in [0, 1], numbered from `first`."""
        pixels = (images * 255).clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8).numpy()
        for number, image in enumerate(pixels, start=first):
            path = self.folder / f"{number}.png"
            Image.fromarray(image).save(path)
            if number >= len(self.paths):
                self.paths.append(path)

    def read(self, count: int) -> Tensor:
        """`count` images `(count, 3, height, width)`, fp32 in [0, 1], each cropped and flipped."""
        return torch.stack([self._one() for _ in range(count)])

    def _one(self) -> Tensor:
        image = Image.open(self.random.choice(self.paths)).convert("RGB")
        width, height = image.size
        padded = ImageOps.expand(image, border=self.padding)
        left, top = (self.random.randint(0, 2 * self.padding) for _ in range(2))
        image = padded.crop((left, top, left + width, top + height))
        if self.random.random() < 0.5:
            image = ImageOps.mirror(image)
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        return pixels.view(height, width, 3).permute(2, 0, 1).contiguous().float().div(255)


def benchmark(
    *, batch: int = 256, size: int = 32, stored: int = 5000, repeats: int = 7
) -> dict[str, Any]:
    """Times of writing and of reading one batch, with `stored` images in memory."""
    device = default_device()
    rng = torch.Generator(device).manual_seed(0)
    images = torch.rand(batch, 3, size, size, generator=rng, device=device)
    logits = torch.randn(batch, 10, generator=rng, device=device)
    pool = ImagePool(stored)
    for _ in range(-(-stored // batch) + 1):
        pool.add(to_bytes(images), logits)
    bank = to_bytes(torch.rand(stored, 3, size, size, generator=rng, device=device))

    def write_bare() -> None:
        bank[:batch] = to_bytes(images)

    def read_bare() -> Tensor:
        places = torch.randint(stored, (batch,), generator=rng, device=device)
        return to_floats(random_crop_flip(bank[places], rng))

    def write_ours() -> None:
        pool.add(to_bytes(images), logits)

    def read_ours() -> Tensor:
        drawn = pool.training.take(pool.uniform(batch, rng))
        return to_floats(random_crop_flip(drawn["images"], rng))

    on_gpu = device.type == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder))
        for first in range(0, stored, batch):
            files.write(images[: stored - first].cpu(), first=first)
        calls: dict[str, dict[str, Callable[[], Any]]] = {
            "write": {
                FILES: lambda: files.write(images.cpu()),
                BARE: write_bare,
                OURS: write_ours,
            },
            "read": {FILES: lambda: files.read(batch).to(device), BARE: read_bare, OURS: read_ours},
        }
        tables = {
            name: rows_of(interleaved(rows, repeats=repeats, on_gpu=on_gpu), FILES)
            for name, rows in calls.items()
        }
    setting = {"batch": batch, "image": [3, size, size], "stored": stored}
    return setting | {"tables": {name: {"rows": rows} for name, rows in tables.items()}}


def main() -> None:
    parser = arguments(__doc__, repeats=7)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64], help="pixels a side")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    report: dict[str, Any] = {"environment": environment(default_device())}
    report["sizes"] = [benchmark(size=size, repeats=options.repeats) for size in options.sizes]
    for result in report["sizes"]:
        side = result["image"][-1]
        for name, table in result["tables"].items():
            title = f"{name} {result['batch']} images, {side}x{side}, {result['stored']} stored"
            show(console, title, table["rows"])
            console.print(verdict(name, named(table, OURS)["speedup"], TARGET) + "\n")
    write(options.json, report)


if __name__ == "__main__":
    main()
