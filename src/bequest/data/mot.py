"""Boxes of people in videos: MOTChallenge text files, from a package or from the cache folder.

A line is `frame,identity,left,top,width,height,confidence,...`; frames count from 1.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bequest.data.archives import unpacked
from bequest.data.cache import cache_folder
from bequest.errors import InputError, unknown

COLLECTED = "mot15_dets_tud_gt.tar.xz"
"""An archive of MOT15's detections and the truth of both TUD sequences, read as it is."""
PETS_TRUTH = "pets09_s2l1_gt_first69.txt"
"""The truth of PETS09-S2L1's first 69 frames."""
_WHEEL = "motmetrics/data"


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxSequence:
    """One video: true boxes with identities, and detected ones.

    Shapes:
        truth, detections: `(boxes, 4)` float32: left, top, width, height in pixels.
        truth_frame, detection_frame: `(boxes,)` int64, ascending, from 1.
        identity: `(true boxes,)` int64.
    """

    name: str
    truth: Tensor
    truth_frame: Tensor
    identity: Tensor
    detections: Tensor
    detection_frame: Tensor

    @property
    def frames(self) -> int:
        """The last frame that has a truth."""
        return int(self.truth_frame[-1])

    @property
    def diagonal(self) -> float:
        """Of the area in which boxes lie, in pixels; the files do not say the picture's size."""
        return float((self.truth[:, :2] + self.truth[:, 2:]).amax(0).norm())

    def part(self, first: int, last: int) -> BoxSequence:
        """The frames `first` to `last`, renumbered from 1."""
        of_truth = (self.truth_frame >= first) & (self.truth_frame <= last)
        of_found = (self.detection_frame >= first) & (self.detection_frame <= last)
        return BoxSequence(
            name=f"{self.name}[{first}:{last}]",
            truth=self.truth[of_truth],
            truth_frame=self.truth_frame[of_truth] - first + 1,
            identity=self.identity[of_truth],
            detections=self.detections[of_found],
            detection_frame=self.detection_frame[of_found] - first + 1,
        )

    def thinned(self, stride: int) -> BoxSequence:
        """Every `stride`-th frame, from the first on, renumbered from 1: a lower frame rate."""
        of_truth = (self.truth_frame - 1) % stride == 0
        of_found = (self.detection_frame - 1) % stride == 0
        return BoxSequence(
            name=f"{self.name}/{stride}",
            truth=self.truth[of_truth],
            truth_frame=(self.truth_frame[of_truth] - 1) // stride + 1,
            identity=self.identity[of_truth],
            detections=self.detections[of_found],
            detection_frame=(self.detection_frame[of_found] - 1) // stride + 1,
        )


def read_boxes(text: str, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Frames, identities and boxes of a MOTChallenge text, ordered by frame.

    Raises:
        InputError: For text that is no such table, frames below 1, sizes that are not above 0.
    """
    try:
        table = np.loadtxt(io.StringIO(text), delimiter=",", usecols=range(6), ndmin=2)
    except ValueError as error:
        raise InputError(f"{name} is no table of boxes ({error}).") from error
    if not len(table) or not np.isfinite(table).all():
        raise InputError(f"{name} holds no boxes, or NaN.")
    if table[:, 0].min() < 1 or table[:, 4:6].min() <= 0:
        raise InputError(f"{name} must count frames from 1 and give sizes above 0.")
    table = table[np.argsort(table[:, 0], kind="stable")]
    whole = torch.from_numpy(table[:, :2].astype(np.int64))
    return whole[:, 0], whole[:, 1], torch.from_numpy(table[:, 2:6].astype(np.float32))


def load_sequences(name: str) -> dict[str, BoxSequence]:
    """Sequences by name: `tud` or `mot15`.

    `tud` is in the wheel of motmetrics: two street scenes, and the boxes of a tracker, whose
    identities are dropped, as detections. `mot15` has both with MOT15's public detections, and the
    first 69 frames of PETS09-S2L1; its two files belong into the cache folder.

    Raises:
        InputError: For another name, or where files are missing, with where to get them.
    """
    if name == "tud":
        read = _wheel_reader()
        parts = {
            sequence: (f"{sequence}/gt.txt", f"{sequence}/test.txt")
            for sequence in ("TUD-Stadtmitte", "TUD-Campus")
        }
    elif name == "mot15":
        parts = {
            sequence: (f"train/{sequence}/gt.txt", f"train/{sequence}/det/det.txt")
            for sequence in ("TUD-Stadtmitte", "TUD-Campus")
        } | {"PETS09-S2L1": (PETS_TRUTH, "train/PETS09-S2L1/det/det.txt")}
        read = _archive_reader(cache_folder(), {file for files in parts.values() for file in files})
    else:
        raise unknown("set of tracks", name, ["tud", "mot15"])
    return {sequence: _sequence(sequence, read, *files) for sequence, files in parts.items()}


def _sequence(name: str, read: Callable[[str], str], truth: str, found: str) -> BoxSequence:
    frame, identity, boxes = read_boxes(read(truth), truth)
    found_frame, _, found_boxes = read_boxes(read(found), found)
    inside = found_frame <= frame[-1]
    return BoxSequence(
        name=name,
        truth=boxes,
        truth_frame=frame,
        identity=identity,
        detections=found_boxes[inside],
        detection_frame=found_frame[inside],
    )


def _wheel_reader() -> Callable[[str], str]:
    try:
        package = metadata.distribution("motmetrics")
    except metadata.PackageNotFoundError as error:
        raise InputError(
            'The tracks are in the package motmetrics: pip install "bequest[matching]"'
        ) from error

    def read(name: str) -> str:
        path = Path(str(package.locate_file(f"{_WHEEL}/{name}")))
        try:
            return path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"motmetrics {package.version} has no readable {path}.") from error

    return read


def _archive_reader(folder: Path, names: set[str]) -> Callable[[str], str]:
    for name in (COLLECTED, PETS_TRUTH):
        if not (folder / name).is_file():
            raise InputError(
                f"There is no {name} in '{folder}'. MOT15 is at https://motchallenge.net; the "
                "detections are also in the repository abewley/sort, the truth of PETS09 in "
                "cheind/py-motmetrics. BEQUEST_CACHE names another folder. The size tud needs "
                "neither."
            )

    # Read at once: an archive that is compressed whole is unpacked from its start for each file.
    content = unpacked(folder / COLLECTED, names - {PETS_TRUTH})

    def read(name: str) -> str:
        try:
            if name == PETS_TRUTH:
                return (folder / name).read_text(encoding="ascii")
            return content[name].decode("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{name} cannot be read in '{folder}' ({error}).") from error

    return read
