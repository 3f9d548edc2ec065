"""`bequest data`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Shell

from bequest.data import names
from bequest.data.beyond_images import BEYOND_IMAGES


def test_list_says_what_is_here(shell: Shell) -> None:
    images, beyond = shell("data", "list").out.split("Not images:")
    lines = [line.split() for line in images.splitlines() if line.strip()]
    assert [line[0] for line in lines[1:]] == names()
    assert [line.split()[0] for line in beyond.split("\n") if line[:1].strip()] == [*BEYOND_IMAGES]
    by_name = {line[0]: line for line in lines}
    assert by_name["digits"][1:7] == ["1347", "+", "450", "1x8x8", "10", "yes"]
    # The cache folder of the test is empty.
    assert by_name["cifar10"][1:7] == ["50000", "+", "10000", "3x32x32", "10", "no"]


def test_for_machines(shell: Shell) -> None:
    rows = json.loads(shell("data", "list", "--json").out)
    assert [row["name"] for row in rows] == names()
    assert rows[0] == json.loads(shell("data", "info", rows[0]["name"], "--json").out)


def test_info_says_how_to_get_what_is_missing(shell: Shell) -> None:
    answer = shell("data", "info", "cifar10")
    assert "bequest data get cifar10" in answer.out
    assert "airplane" in answer.out
    assert "0.4914" in answer.out


def test_get_says_where(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bequest.cli.data.get", lambda name: [Path("somewhere", name)])
    assert shell("data", "get", "cifar10").out == "Here: somewhere/cifar10\n"


def test_sets_beyond_images_are_known_too(shell: Shell) -> None:
    out = shell("data", "info", "german").out
    assert "chirag126/nifty" in out
    assert "MIT" in out
    known = json.loads(shell("data", "info", "german", "--json").out)
    assert known["read by"] == "bequest.data.node_graphs:load_node_graph"
    assert "NodeGraphData('biased', 2000 nodes" in shell("data", "get", "biased").out


def test_every_name_is_known_once() -> None:
    assert not set(names()) & set(BEYOND_IMAGES)
