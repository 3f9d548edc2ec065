"""Tracking by association: problems with known answers out of a video, and a tracker around them.

The tracker is the plainest that needs an assignment: a constant speed says where a track should be,
the solver matches tracks to boxes, boxes without a track begin one, tracks that were not seen for
`MAX_LAG` frames end, and a track is reported from its second box on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bequest.data.mot import BoxSequence
from bequest.metrics.tracking import TrackedBoxes
from bequest.nn.assignment_solvers import DiscreteSolver
from bequest.ops.assignment import PairBatch, pad_problems
from bequest.ops.boxes import pair_features, pair_iou, predict_boxes

MAX_LAG = 3
"""For how many frames a track may be out of sight."""
_OVERLAP = 0.5


@dataclass(kw_only=True)
class _Track:
    """What is known of one track: its last two boxes, and when they were."""

    identity: int
    frame: int
    box: Tensor
    previous_frame: int
    previous: Tensor
    hits: int = 1


def association_problems(sequence: BoxSequence) -> tuple[PairBatch, Tensor]:
    """Each frame's tracks and boxes, with what belongs together.

    Tracks are those of a tracker that makes no mistake: detections carry the identity of the truth
    that they overlap; false alarms are tracks too, which never go on.

    Returns:
        Features `(frames, tracks, boxes, features)` and `(frames, tracks)`, the box of each track.
        Frames without tracks or boxes are left out.
    """
    identities = detected_identities(sequence)
    open_tracks: list[_Track] = []
    problems, answers = [], []
    for frame in range(1, sequence.frames + 1):
        here = sequence.detection_frame == frame
        boxes, names = sequence.detections[here], identities[here].tolist()
        open_tracks = [t for t in open_tracks if frame - t.frame <= MAX_LAG]
        if open_tracks and len(boxes):
            problems.append(_features(open_tracks, boxes, frame, sequence.diagonal))
            answers.append([names.index(t.identity) if t.identity in names else -1
                            for t in open_tracks])  # fmt: skip
        known = {t.identity: t for t in open_tracks}
        for name, box in zip(names, boxes):
            if name in known:
                _extend(known[name], frame, box)
            else:
                open_tracks.append(_begin(name, frame, box))
    batch = pad_problems(problems)
    found = torch.full(batch.values.shape[:2], -1, dtype=torch.int64)
    for place, answer in enumerate(answers):
        found[place, : len(answer)] = torch.tensor(answer)
    return batch, found


def detected_identities(sequence: BoxSequence) -> Tensor:
    """The true identity of each detection; false alarms get negative numbers, each its own."""
    identity = -2 - torch.arange(len(sequence.detections))
    matcher = DiscreteSolver("exact", partial=True)
    for frame in range(1, sequence.frames + 1):
        here = (sequence.detection_frame == frame).nonzero()[:, 0]
        true = (sequence.truth_frame == frame).nonzero()[:, 0]
        if not len(here) or not len(true):
            continue
        overlap = pair_iou(sequence.detections[here], sequence.truth[true])
        column = matcher.assign(pad_problems([1 - overlap]))[0]
        identity[here[column >= 0]] = sequence.identity[true[column[column >= 0]]]
    return identity


def track(model: nn.Module, sequence: BoxSequence) -> TrackedBoxes:
    """Runs the tracker over a video, frame by frame, on the CPU.

    Args:
        model: With `assign`, which takes the features of one frame.
        sequence: Only its detections are looked at.
    """
    assign = model.assign
    assert callable(assign)
    device = next((value.device for value in model.parameters()), torch.device("cpu"))
    open_tracks: list[_Track] = []
    begun = 0
    rows: list[tuple[int, int, Tensor]] = []
    for frame in range(1, sequence.frames + 1):
        boxes = sequence.detections[sequence.detection_frame == frame]
        open_tracks = [t for t in open_tracks if frame - t.frame <= MAX_LAG]
        held: set[int] = set()
        if open_tracks and len(boxes):
            features = _features(open_tracks, boxes, frame, sequence.diagonal)
            columns = assign(pad_problems([features]).to(device))[0].tolist()
            for known, column in zip(open_tracks, columns):
                if column < 0:
                    continue
                held.add(column)
                if known.hits == 1:  # only now it is known to be a track
                    rows.append((known.frame, known.identity, known.box))
                _extend(known, frame, boxes[column])
                rows.append((frame, known.identity, known.box))
        for column, box in enumerate(boxes):
            if column not in held:
                begun += 1
                open_tracks.append(_begin(begun, frame, box))
    return TrackedBoxes(
        frame=torch.tensor([row[0] for row in rows], dtype=torch.int64),
        identity=torch.tensor([row[1] for row in rows], dtype=torch.int64),
        boxes=torch.stack([row[2] for row in rows]) if rows else torch.zeros(0, 4),
    )


def _features(tracks: list[_Track], boxes: Tensor, frame: int, diagonal: float) -> Tensor:
    last = torch.stack([t.box for t in tracks])
    previous = torch.stack([t.previous for t in tracks])
    lag = torch.tensor([frame - t.frame for t in tracks])
    gap = torch.tensor([max(1, t.frame - t.previous_frame) for t in tracks])
    return pair_features(predict_boxes(last, previous, lag, gap), last, lag, boxes, diagonal)


def _begin(identity: int, frame: int, box: Tensor) -> _Track:
    return _Track(identity=identity, frame=frame, box=box, previous_frame=frame, previous=box)


def _extend(known: _Track, frame: int, box: Tensor) -> None:
    known.previous_frame, known.previous = known.frame, known.box
    known.frame, known.box, known.hits = frame, box, known.hits + 1
