"""The teacher's normalisation is asked for, never guessed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bequest.cli.normalization import choose
from bequest.errors import InputError
from bequest.nn.presets import PRESETS


def answers(*lines: str) -> Callable[[], str]:
    waiting = iter(lines)
    return lambda: next(waiting)


def test_presets_and_own_values() -> None:
    assert choose("half", (), (), channels=3, may_ask=False) == ((0.5,), (0.5,))
    assert choose("cifar10", (), (), channels=3, may_ask=False) == PRESETS["cifar10"]
    assert choose(None, (0.1,), (0.2,), channels=3, may_ask=False) == ((0.1,), (0.2,))
    assert choose("own", (), (), channels=3, may_ask=False) is None


@pytest.mark.parametrize(
    ("normalize", "mean", "std", "message"),
    [
        ("imagenette", (), (), "Did you mean imagenet"),
        ("imagenet", (), (), "for 3 channels, but the images have 1"),
        ("half", (0.5,), (0.5,), "either --normalize or --mean"),
        (None, (0.5,), (), "--mean has 1 values and --std has 0"),
        (None, (0.5, 0.5), (0.5, 0.5), "for 2 channels"),
    ],
)
def test_what_does_not_fit(
    normalize: str | None, mean: tuple[float, ...], std: tuple[float, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        choose(normalize, mean, std, channels=1, may_ask=False)


def test_without_an_answer_and_a_terminal_all_choices_are_listed() -> None:
    with pytest.raises(InputError) as caught:
        choose(None, (), (), channels=3, may_ask=False)
    for name in (*PRESETS, "own"):
        assert f"\n  {name} " in str(caught.value)


def test_the_question_takes_a_number_or_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    third = list(PRESETS)[2]
    for given, name in (("3", third), (third, third)):
        chosen = choose(None, (), (), channels=3, may_ask=True, read=answers(given))
        assert chosen == PRESETS[name]
        said = capsys.readouterr()
        assert f"next time: --normalize {name}" in said.err
        assert said.out == ""


def test_the_question_is_asked_until_the_answer_is_a_choice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    last = str(len(PRESETS) + 1)
    read = answers("", "0", str(len(PRESETS) + 2), "-1", "imagenette", last)
    assert choose(None, (), (), channels=3, may_ask=True, read=read) is None
    assert capsys.readouterr().err.count("or a name:") == 6
