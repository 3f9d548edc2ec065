"""Boxes of videos: the text format, the wheel, the archive, and what is missing."""

from __future__ import annotations

import os
from importlib import metadata, util
from pathlib import Path

import pytest
import torch

from bequest.data.mot import COLLECTED, PETS_TRUTH, load_sequences, read_boxes
from bequest.errors import InputError

FOLDER = Path(os.environ.get("BEQUEST_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_wheel = pytest.mark.skipif(
    util.find_spec("motmetrics") is None, reason="motmetrics is in bequest[matching]"
)


def test_the_text_format():
    frame, identity, boxes = read_boxes("2,1,5,6,7,8,1\n1,3,1.5,2,3,4,0\n", "gt.txt")
    assert frame.tolist() == [1, 2]
    assert identity.tolist() == [3, 1]
    assert boxes.tolist() == [[1.5, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n", "no table of boxes"),
        ("1,1,a,1,1,1\n", "no table of boxes"),
        ("1,1,nan,1,1,1\n", "NaN"),
        ("0,1,1,1,1,1\n", "frames from 1"),
        ("1,1,1,1,0,1\n", "sizes above 0"),
    ],
)
def test_damaged_text_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        read_boxes(text, "gt.txt")


@needs_wheel
def test_the_tracks_of_the_wheel():
    found = load_sequences("tud")
    assert {name: (s.frames, len(s.truth)) for name, s in found.items()} == {
        "TUD-Stadtmitte": (179, 1156),
        "TUD-Campus": (71, 359),
    }
    campus = found["TUD-Campus"]
    thinned = campus.thinned(3)
    assert thinned.frames == 24
    assert torch.equal(thinned.truth[:5], campus.truth[:5])
    part = campus.part(11, 20)
    assert part.truth_frame.unique().tolist() == list(range(1, 11))


@pytest.mark.skipif(
    not all((FOLDER / name).is_file() for name in (COLLECTED, PETS_TRUTH)),
    reason=f"{COLLECTED} and {PETS_TRUTH} are not in the folder BEQUEST_SHARED_DATA",
)
def test_the_files_of_mot15(tmp_path, monkeypatch):
    for name in (COLLECTED, PETS_TRUTH):
        (tmp_path / name).symlink_to(FOLDER / name)
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    found = load_sequences("mot15")
    assert [len(s.detections) for s in found.values()] == [951, 321, 293]
    assert found["PETS09-S2L1"].frames == 69


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=f"no {COLLECTED}"):
        load_sequences("mot15")
    with pytest.raises(InputError, match="set of tracks 'mot'"):
        load_sequences("mot")

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(InputError, match=r"bequest\[matching\]"):
        load_sequences("tud")
