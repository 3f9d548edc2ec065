"""The way in: overview, help, errors and exit statuses."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from command_line import Shell

import bequest
from bequest.cli import listing
from bequest.cli.main import COMMANDS
from bequest.errors import StoppedError


def test_bequest_alone_names_all_commands_and_three_to_try(shell: Shell) -> None:
    answer = shell()
    assert answer.status == 0
    for name in COMMANDS:
        assert f"bequest {name} " in answer.out
    tries = answer.out.split("Try first")[1].split("Commands")[0]
    assert tries.count("bequest ") == 3


def test_version(shell: Shell) -> None:
    assert shell("--version").out == f"bequest {bequest.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_has_an_example(shell: Shell, name: str) -> None:
    answer = shell(*name.split(), "--help")
    assert answer.status == 0
    assert f"$ bequest {name}" in answer.out
    assert f"usage: bequest {name}" in answer.out


def test_data_alone_lists_its_three_commands(shell: Shell) -> None:
    lines = [line.split()[:3] for line in shell("data").out.splitlines()]
    assert lines == [["bequest", "data", word] for word in ("list", "info", "get")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("distil",), "There is no command 'distil'. Did you mean distill"),
        (("data", "lst"), "There is no command 'data lst'. Did you mean data list"),
        (("run", "ssd-k"), "There is no method 'ssd-k'. Did you mean ssd-kd"),
        (("show", "fats"), "There is no method 'fats'. Did you mean fast"),
        (("claim", "ssdkd"), "There is no method 'ssdkd'. Did you mean ssd-kd"),
        (("run", "--size", "smoke", "fast"), "Name the method first: bequest run METHOD --size"),
        (("data", "info", "cifar"), "There is no data set 'cifar'. Did you mean cifar10"),
        (("resume", "nowhere"), "nowhere is not the folder of a run"),
        (("report", "nowhere"), "There is no folder 'nowhere'"),
        (("export", "nowhere", "--format", "onnx"), "not the folder of a run"),
    ],
)
def test_what_cannot_be_used_is_one_message(
    shell: Shell, words: tuple[str, ...], message: str
) -> None:
    answer = shell(*words)
    assert answer.status == 64
    assert answer.out == ""
    assert answer.err.startswith("Error: ")
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_words_that_the_parser_refuses_are_no_verdict_of_a_claim(shell: Shell) -> None:
    answer = shell("claim", "ssd-kd", "--seeds", "many")
    assert answer.status == 64
    assert "--seeds" in answer.err


def _fails(error: BaseException):
    def execute(self: listing.ListMethods) -> int:
        raise error

    return execute


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (RuntimeError("a defect"), 70, "Traceback"),
        (OSError(errno.ENOENT, "a file of ours"), 70, "Traceback"),
        (OSError(errno.ENOSPC, "No space left on device"), 64, "Error: [Errno"),
        (StoppedError("Stopped. Go on with: bequest resume x"), 130, "bequest resume x"),
        (KeyboardInterrupt(), 130, "Stopped"),
    ],
)
def test_exit_statuses(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    text: str,
) -> None:
    monkeypatch.setattr(listing.ListMethods, "execute", _fails(error))
    answer = shell("list")
    assert answer.status == status
    assert text in answer.err
    assert ("Traceback" in answer.err) == (status == 70)


def test_debug_shows_where_an_error_comes_from(shell: Shell) -> None:
    answer = shell("show", "nothing", "--debug")
    assert answer.status == 64
    assert "Traceback" in answer.err
    assert "There is no method 'nothing'" in answer.err


def test_report_says_where_it_is(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    assert shell("report", "here").out == "Report: here/report.html\n"
