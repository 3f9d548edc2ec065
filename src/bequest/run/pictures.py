"""Images as a grid in a PNG file; drawings as images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_grid(images: Tensor, path: Path, *, limit: int = 64) -> None:
    """Writes up to `limit` images `(batch, channels, height, width)` in [0, 1] as one PNG."""
    pixels = (images[:limit].detach().float().clamp(0, 1) * 255).round().byte().cpu().numpy()
    count, channels, height, width = pixels.shape
    if channels not in (1, 3):
        pixels = pixels[:, :1]
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    grid = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, pixels.shape[1]), 255)
    for index, image in enumerate(pixels):
        top, left = (index // columns) * (height + 1) + 1, (index % columns) * (width + 1) + 1
        grid[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(grid.astype(np.uint8).squeeze())
    scale = max(1, 256 // max(height * rows, 1))
    picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST).save(
        path
    )


def drawn(figure: Figure) -> Tensor:
    """A matplotlib figure as an image `(1, 3, height, width)` in [0, 1], for `run.picture`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.array(canvas.buffer_rgba())[..., :3]
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
