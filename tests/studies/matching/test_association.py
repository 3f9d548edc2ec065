"""Association problems and the tracker, on a video of the test's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.data.mot import BoxSequence
from bequest.nn.assignment_solvers import DiscreteSolver
from bequest.ops.assignment import PairBatch
from bequest.studies.matching.association import (
    association_problems,
    detected_identities,
    track,
)


def video(missed=()):
    """Two people who cross at a constant speed, and in frame 4 a false alarm."""
    rows = [(f, 1, 10.0 * f, 0.0) for f in range(1, 9)]
    rows += [(f, 2, 120.0 - 10.0 * f, 60.0) for f in range(1, 9)]
    rows.sort()
    boxes = torch.tensor([[x, y, 20.0, 40.0] for _, _, x, y in rows])
    frame = torch.tensor([row[0] for row in rows])
    identity = torch.tensor([row[1] for row in rows])
    seen = torch.tensor([(int(f), int(i)) not in missed for f, i in zip(frame, identity)])
    found, found_frame = boxes[seen] + 1, frame[seen]
    found = torch.cat([found, torch.tensor([[300.0, 300.0, 20.0, 40.0]])])
    found_frame = torch.cat([found_frame, torch.tensor([4])])
    order = found_frame.argsort(stable=True)
    return BoxSequence(
        name="test",
        truth=boxes,
        truth_frame=frame,
        identity=identity,
        detections=found[order],
        detection_frame=found_frame[order],
    )


class ByDistance(nn.Module):
    def assign(self, problems):
        costs = PairBatch(values=problems.costs, rows=problems.rows, columns=problems.columns)
        return DiscreteSolver("exact", partial=True).assign(costs)


def test_detections_get_the_identity_that_they_overlap():
    identity = detected_identities(video())
    assert sorted(identity.tolist())[0] < -1
    assert (identity > 0).sum() == 16


def test_problems_hold_what_belongs_together():
    problems, found = association_problems(video(missed={(3, 2)}))
    assert len(problems) == 7
    # Frame 2: both go on. Frame 3: one is missed, and found again in frame 4.
    assert (found[0] >= 0).sum() == 2
    assert (found[1] >= 0).sum() == 1
    assert (found[2] >= 0).sum() == 2
    assert problems.columns.tolist() == [2, 1, 3, 2, 2, 2, 2]
    assert problems.rows.tolist() == [2, 2, 2, 3, 3, 3, 2]  # the false alarm lives three frames
    assert problems.values.shape[3] == 8


@pytest.mark.parametrize("missed", [(), {(4, 1), (5, 1)}])
def test_the_tracker_keeps_identities(missed):
    tracked = track(ByDistance(), video(missed))
    assert len(tracked.boxes) == 16 - len(missed)
    assert len(tracked.identity.unique()) == 2  # the false alarm was seen once, and is not told
    assert tracked.frame.min() == 1


def test_a_video_without_detections_gives_no_track():
    empty = video()
    empty = BoxSequence(
        name="empty",
        truth=empty.truth,
        truth_frame=empty.truth_frame,
        identity=empty.identity,
        detections=torch.zeros(0, 4),
        detection_frame=torch.zeros(0, dtype=torch.int64),
    )
    assert len(track(ByDistance(), empty).boxes) == 0
