"""`bequest run` and `bequest resume`, on a study that trains nothing."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from command_line import Shell

pytestmark = pytest.mark.usefixtures("fakes")


def config_of(folder: Path) -> dict:
    return yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))


def test_run_says_where_what_and_how_long(shell: Shell, tmp_path: Path) -> None:
    answer = shell("run", "fake", "--size", "smoke", "--arm", "bad", "--seed", "2")
    assert answer.status == 0, answer.err
    folder = re.search(r"^Folder: (\S+)$", answer.out, flags=re.MULTILINE).group(1)
    assert re.fullmatch(r"runs/fake-bad-smoke-s2-\d{8}-\d{6}", folder)
    # Level 80, what seed 2 adds to every arm, and what it adds to this one.
    assert re.search(r"^accuracy +76\.30 *$", answer.out, flags=re.MULTILINE)
    assert re.search(r"^training time +\d+\.\d s", answer.out, flags=re.MULTILINE)
    assert f"Report: {folder}/report.html" in answer.out
    assert (tmp_path / folder / "report.html").exists()


def test_what_is_given_overrides_the_arm_and_nothing_else_does(
    shell: Shell, tmp_path: Path
) -> None:
    words = ("--size", "smoke", "--folder", "here", "--threads", "1", "--precision", "fp32")
    assert shell("run", "fake", *words, "--noise", "2.5").status == 0
    config = config_of(tmp_path / "here")
    assert config["fields"] == {"noise": 2.5}
    assert config["arm"] == "good"
    # 90 is the arm's level; the class's own default is 80.
    assert (config["resolved"]["level"], config["resolved"]["noise"]) == (90.0, 2.5)
    assert (config["threads"], config["precision"], config["seed"]) == (1, "fp32", 0)


def test_json_is_alone_on_standard_output(shell: Shell) -> None:
    answer = shell("run", "fake", "--size", "smoke", "--json")
    told = json.loads(answer.out)
    assert told["metrics"]["accuracy"] == 90.0
    assert set(told["seconds"]) == {"training", "evaluation"}
    assert told["report"] == f"{told['folder']}/report.html"
    assert f"Folder: {told['folder']}" in answer.err


def test_two_runs_within_a_second_have_folders_of_their_own(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.strftime", lambda form: "20250131-120000")
    folders = [json.loads(shell("run", "fake", "--size", "smoke", "--json").out)["folder"]]
    folders += [json.loads(shell("run", "fake", "--size", "smoke", "--json").out)["folder"]]
    first = "runs/fake-good-smoke-s0-20250131-120000"
    assert folders == [first, f"{first}-2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", "smok"), "Did you mean smoke"),
        (("--arm", "goood"), "Did you mean good"),
        (("--steps", "0"), "greater than or equal to 1"),
        (("--threads", "-1"), "--threads is -1"),
        (("--device", "cpu", "--precision", "fp16"), "fp16"),
    ],
)
def test_nothing_is_begun_with_what_cannot_work(
    shell: Shell, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    answer = shell("run", "fake", *words, "--folder", "here")
    assert answer.status == 64
    assert message in answer.err
    assert not (tmp_path / "here").exists()


def test_a_folder_that_holds_a_run_is_refused(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "config.yaml").write_text("command: run\n", encoding="utf-8")
    answer = shell("run", "fake", "--size", "smoke", "--folder", "here")
    assert answer.status == 64
    assert "bequest resume here" in answer.err


def test_ctrl_c_keeps_a_checkpoint_and_says_how_to_go_on(shell: Shell, tmp_path: Path) -> None:
    words = ("run", "fake", "--arm", "interrupted", "--seed", "1", "--threads", "1")
    stopped = shell(*words, "--size", "smoke", "--folder", "my run")
    assert stopped.status == 130
    assert "bequest resume" in stopped.err
    assert "Traceback" not in stopped.err
    folder = tmp_path / "my run"
    assert (folder / "checkpoint.safetensors").exists()
    assert not (folder / "result.json").exists()

    resumed = shell("resume", "my run", "--json")
    assert resumed.status == 0, resumed.err
    # The same run, never stopped: the marker file that makes it stop is there now.
    whole = shell(*words, "--size", "smoke", "--folder", "whole", "--json")
    assert json.loads(resumed.out)["metrics"] == json.loads(whole.out)["metrics"]

    again = shell("resume", "my run")
    assert again.status == 0
    assert "Finished already" in again.out
    assert "Folder: my run" in again.out


def test_resume_uses_what_the_run_was_started_with(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--seed", "1", "--threads", "3", "--noise", "0.5", "--folder", "here")
    assert shell("run", "fake", "--arm", "interrupted", *words, "--size", "smoke").status == 130
    seen = []
    monkeypatch.setattr(
        "bequest.execute.execute", lambda job, folder, **how: seen.append((job, how))
    )
    assert shell("resume", "here", "--checkpoint-seconds", "5").status == 0
    job, how = seen[0]
    assert (job.method, job.arm, job.size, job.seed) == ("fake", "interrupted", "smoke", 1)
    assert (job.threads, dict(job.fields)) == (3, {"noise": 0.5})
    assert (how["resume"], how["checkpoint_seconds"]) == (True, 5.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no"),
        ("- a\n- b\n", "holds no configuration"),
        ("a: [", "cannot be read"),
        ("command: claim\n", "cannot be resumed"),
        ("command: distill\nseed: 0\n", "resume=True"),
    ],
)
def test_folders_that_cannot_be_resumed(
    shell: Shell, tmp_path: Path, content: str | None, message: str
) -> None:
    (tmp_path / "here").mkdir()
    if content is not None:
        (tmp_path / "here" / "config.yaml").write_text(content, encoding="utf-8")
    answer = shell("resume", "here")
    assert answer.status == 64
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_only_the_first_process_of_several_speaks(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bequest.execute.execute", lambda job, folder, **how: None)
    monkeypatch.setitem(os.environ, "RANK", "1")
    answer = shell("run", "fake", "--size", "smoke", "--json")
    assert (answer.status, answer.out, answer.err) == (0, "", "")
