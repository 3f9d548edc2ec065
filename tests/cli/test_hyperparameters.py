"""Each hyper-parameter of each method goes through the command line and comes out as it went in."""

from __future__ import annotations

import ast
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bequest import catalog
from bequest.catalog import Entry
from bequest.cli.command import parse
from bequest.cli.distill import Distill
from bequest.cli.run import RunStudy
from bequest.declaration import Field, fields
from bequest.methods.base import configure


def another(one: Field) -> Any:
    """A valid value that is not the default."""
    if one.annotation.startswith("Literal["):
        choices = ast.literal_eval(f"({one.annotation[8:-1]},)")
        return next(choice for choice in choices if choice != one.default)
    if isinstance(one.default, bool):
        return not one.default
    if isinstance(one.default, int):
        return one.default + 1
    if isinstance(one.default, float):
        return (one.default + 0.3) / 2 if one.default != 0.3 else 0.7
    if isinstance(one.default, tuple):
        return one.default[::-1]
    if one.annotation.endswith(" | None"):
        return 0.4
    return f"{one.default}x"


@pytest.mark.parametrize("entry", catalog.methods().values(), ids=lambda entry: entry.id)
def test_fields_round_trip(entry: Entry) -> None:
    expected = {one.name: another(one) for one in fields(entry)}
    words = [entry.id]
    for name, value in expected.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    command = parse("run", RunStudy, words)
    assert isinstance(command, RunStudy)
    job = command.job()
    assert job.fields == expected
    assert {name: type(value) for name, value in job.fields.items()} == {
        name: type(value) for name, value in expected.items()
    }
    # Also through the method's own checks: every value was a valid one, and none was lost.
    assert asdict(configure(entry.load_method(), job.fields)) == expected


@pytest.mark.parametrize("entry", catalog.methods().values(), ids=lambda entry: entry.id)
def test_what_is_not_given_is_not_set(entry: Entry) -> None:
    command = parse("run", RunStudy, [entry.id, "--seed", "3"])
    assert isinstance(command, RunStudy)
    assert command.job().fields == {}


def test_a_default_that_is_given_is_set() -> None:
    # The arm's own value may differ from the class's default, so saying the default is no no-op.
    command = parse("run", RunStudy, ["ssd-kd", "--buffer-size", "5000", "--flip", "True"])
    assert isinstance(command, RunStudy)
    assert command.job().fields == {"buffer_size": 5000, "flip": True}


def test_the_fields_follow_the_method_of_distill() -> None:
    base = ["--teacher", "t", "--student", "s", "--image-size", "3x8x8", "--num-classes", "2"]
    for words in (["--method", "fast"], ["--method=fast"]):
        command = parse("distill", Distill, [*base, *words, "--warmup-rounds", "7"])
        assert command.hyperparameters.warmup_rounds == 7  # type: ignore[attr-defined]
    with pytest.raises(SystemExit):
        parse("distill", Distill, [*base, "--warmup-rounds", "7"])


_SOURCE = '''
class Odd:
    seed: int = 3
    """Same name as an option of every run."""
    widths: tuple[int, ...] = (1, 2)
    """No range type."""
    limit: float | None = None
    """May be nothing."""
    label: str = "a"
    """Text."""
    mode: Literal["a", 2] = "a"
    """One of two."""
'''


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    (tmp_path / "odd_method.py").write_text(_SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    entry = Entry(
        id="odd", name="Odd", family="odd", summary="", method="odd_method:Odd", study="none:none"
    )
    monkeypatch.setattr(catalog, "methods", lambda: {"odd": entry})
    return entry


def test_names_that_are_taken_and_types_without_a_range(odd: Entry) -> None:
    words = ["odd", "--seed", "1", "--method-seed", "5", "--widths", "(3, 4)", "--label", "[x]"]
    command = parse("run", RunStudy, [*words, "--limit", "None", "--mode", "2"])
    assert isinstance(command, RunStudy)
    job = command.job()
    assert job.seed == 1
    expected = {"seed": 5, "widths": (3, 4), "limit": None, "label": "[x]", "mode": 2}
    assert job.fields == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--flip", "maybe"], "'maybe' is neither true nor false"),
        (["--weight-scale", "sum"], "'sum' is none of none, mean, max"),
        (["--buffer-size", "1.5"], "--buffer-size"),
        (["--buffer-sise", "10"], "--buffer-size"),
    ],
)
def test_values_and_names_that_cannot_be(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse("run", RunStudy, ["ssd-kd", *words])
    assert message in capsys.readouterr().err


def test_help_shows_the_text_the_range_and_the_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        parse("run", RunStudy, ["ssd-kd", "--help"])
    page = capsys.readouterr().out.split("usage: ")[1]
    for one in fields(catalog.find("ssd-kd")):
        option = f"{one.name.replace('_', '-')} "
        line = next(part for part in page.split("--") if part.startswith(option))
        words = " ".join(line.replace("│", "").split())
        assert " ".join(one.doc.split()) in words
        assert f"(default: {one.default})" in words
    assert "--buffer-size INT>=1" in page
    assert "--beta 0..1" in page


def test_none_is_said_where_it_is_allowed() -> None:
    command = parse("run", RunStudy, ["kd", "--weight", "None", "--warmup", "0.5"])
    assert isinstance(command, RunStudy)
    assert command.job().fields == {"weight": None, "warmup": 0.5}
