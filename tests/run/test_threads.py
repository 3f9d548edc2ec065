"""The number of threads is measured, and the measuring leaves no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from bequest.run import threads
from bequest.run.threads import calibrated_threads


@pytest.fixture
def many() -> Iterator[int]:
    """As on a machine where PyTorch would take four threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield 4
    torch.set_num_threads(before)


def costs(by_threads: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Lets a step take that many seconds by the number of threads; counts the steps."""
    clock = [0.0]
    steps = []

    def step(network: object, images: object) -> None:
        clock[0] += by_threads[torch.get_num_threads()]
        steps.append(torch.get_num_threads())

    monkeypatch.setattr(threads, "_step", step)
    monkeypatch.setattr(threads.time, "perf_counter", lambda: clock[0])
    return lambda: len(steps)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [({1: 1.0, 4: 0.3}, 4), ({1: 1.0, 4: 6.6}, 1), ({1: 1.0, 4: 0.95}, 1)],
)
def test_the_faster_wins_and_few_win_a_tie(
    many: int, monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], expected: int
) -> None:
    costs(seconds, monkeypatch)
    assert calibrated_threads() == expected
    assert torch.get_num_threads() == many


def test_one_thread_needs_no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    count = costs({1: 1.0}, monkeypatch)
    assert torch.get_num_threads() == 1
    assert calibrated_threads() == 1
    assert count() == 0


def test_random_numbers_go_on_as_before(many: int) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert calibrated_threads() in (1, many)
    assert torch.equal(torch.rand(3), expected)


def test_threads_come_back_after_an_error(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(network: object, images: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(threads, "_step", fail)
    with pytest.raises(RuntimeError):
        calibrated_threads()
    assert torch.get_num_threads() == many
