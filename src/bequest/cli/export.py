"""`bequest export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from bequest.cli.command import NO_DEFAULT, Command, say


@dataclass(frozen=True, kw_only=True)
class ExportModel(Command):
    """Writes the network of a finished run as one file that other programs open.

      In:   the folder of a run
      Out:  safetensors: the weights alone; torch-export (.pt2): network and weights, opened by
            torch.export.load, or by bequest as a teacher; onnx: the same for ONNX runtimes

    The file's network takes images that are normalised as the teacher's; with --normalized, images
    in [0, 1]. What is written is checked against the network on random images.

    Example:
      $ bequest export runs/distill-ssd-kd-resnet20 --format torch-export --output student.pt2
    """

    folder: Positional[Path]
    """What `bequest distill` or `run` named as its folder."""
    format: Literal["safetensors", "torch-export", "onnx"]
    """onnx needs bequest[onnx]."""
    output: Annotated[Path | None, NO_DEFAULT] = None
    """The file; without it student.safetensors, .pt2 or .onnx in the folder."""
    normalized: Annotated[bool, NO_DEFAULT] = False
    """Let the file's network normalise images in [0, 1] itself; not for safetensors."""

    def execute(self) -> int:
        """Writes the file and says where it is and what it takes."""
        from bequest.export import blueprint, export, read_config

        path = export(
            self.folder, format=self.format, output=self.output, normalized=self.normalized
        )
        plan = blueprint(read_config(self.folder))
        say("Written:", path)
        size = "x".join(map(str, plan.image_size))
        if self.normalized:
            say("Takes:  ", f"images {size} in [0, 1]")
        else:
            mean, std = (" ".join(f"{value:g}" for value in part) for part in (plan.mean, plan.std))
            say("Takes:  ", f"images {size}, normalised: ([0, 1] - {mean}) / {std}")
        return 0
