"""Windows, splits and checks of sequences, against lists."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.ops.sequences import Sequences, check_sequences, history_and_future

LISTS = [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3, 5, 8, 9, 7]]
SEQUENCES = Sequences.of(LISTS)


def lists_of(sequences):
    return [sequences.items[a:b].tolist() for a, b in zip(sequences.offsets, sequences.offsets[1:])]


def padded(items, length):
    return items + [0] * (length - len(items))


def test_sequences_are_what_they_were_made_of():
    assert len(SEQUENCES) == 3
    assert lists_of(SEQUENCES) == LISTS
    assert SEQUENCES.padded().tolist() == [padded(items, 7) for items in LISTS]
    assert lists_of(SEQUENCES.take(torch.tensor([2, 0, 2]))) == [LISTS[2], LISTS[0], LISTS[2]]
    assert len(SEQUENCES.take(torch.tensor([], dtype=torch.int64))) == 0


@pytest.mark.parametrize("length", [1, 3, 10])
def test_every_window_is_what_came_before_with_the_oldest_first(length):
    pairs = [(row, end) for row, items in enumerate(LISTS) for end in range(len(items) + 1)]
    rows, ends = torch.tensor(pairs).T
    expected = [padded(LISTS[row][max(0, end - length) : end], length) for row, end in pairs]
    assert SEQUENCES.windows(rows, ends, length).tolist() == expected


def test_four_fifths_are_history_and_both_parts_have_events():
    lists = [list(range(1, number + 1)) for number in range(2, 21)]
    history, future = history_and_future(Sequences.of(lists))
    cuts = [min(max(int(0.8 * len(items)), 1), len(items) - 1) for items in lists]
    assert lists_of(history) == [items[:cut] for items, cut in zip(lists, cuts)]
    assert lists_of(future) == [items[cut:] for items, cut in zip(lists, cuts)]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([], "sequences is empty"),
        ([[1, 2], [3]], "Sequence 1 of sequences has 1 events; each needs at least 2"),
        ([[1, 2], []], "Sequence 1 of sequences has 0 events"),
        ([[1, 0]], "0 is padding"),
        ([[1, 7]], "item ids 1 to 7; they must be 1 to num_items = 6"),
    ],
)
def test_what_cannot_be_used_is_refused(lists, message):
    with pytest.raises(InputError, match=message):
        check_sequences(Sequences.of(lists), num_items=6, shortest=2)


def test_ids_are_whole_numbers():
    with pytest.raises(InputError, match="whole numbers"):
        Sequences.of([[1, 2.5]])
