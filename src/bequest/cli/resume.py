"""`bequest resume`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from bequest.cli.command import Command, say
from bequest.cli.execution import Execution, conclude, finished, running, tell
from bequest.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Resume(Execution, Command):
    """Goes on with a run of `bequest run`, `distill` or `compress` that was stopped or killed.

    It ends in the same network as a run that was never stopped. A run that was broken off before
    its first checkpoint begins again; one that is finished is left as it is.

      In:   the folder of the run
      Out:  the same folder, finished

    Example:
      $ bequest resume runs/ssd-kd-smoke
    """

    folder: Positional[Path]
    """What `bequest run`, `distill` or `compress` named as its folder."""

    def execute(self) -> int:
        """Goes on and says what came out."""
        from bequest.export import read_config

        config = read_config(self.folder)
        report = self.folder / "report.html"
        if finished(self.folder) is not None:
            say("Finished", "already; nothing to do.", stderr=self.json)
            if report.exists():
                tell(self.folder, report=report, as_json=self.json)
            else:
                conclude(self.folder, as_json=self.json)
            return 0
        with running(self.folder, json=self.json):
            self._go_on(config)
        conclude(self.folder, as_json=self.json)
        return 0

    def _go_on(self, config: dict[str, Any]) -> None:
        match config.get("command"):
            case "run":
                from bequest.execute import execute, job_of

                execute(
                    job_of(config),
                    self.folder,
                    resume=True,
                    progress=True,
                    trackers=self.trackers,
                    checkpoint_seconds=self.checkpoint_seconds,
                )
            case "distill":
                from bequest.cli.distill_job import carry_out, job_of_config, prepare

                carry_out(
                    prepare(job_of_config(config)),
                    self.folder,
                    resume=True,
                    trackers=self.trackers,
                    checkpoint_seconds=self.checkpoint_seconds,
                )
            case "compress":
                from bequest.cli import compress_job

                compress_job.carry_out(
                    compress_job.prepare(compress_job.job_of_config(config)),
                    self.folder,
                    resume=True,
                    trackers=self.trackers,
                    checkpoint_seconds=self.checkpoint_seconds,
                )
            case other:
                raise InputError(
                    f"{self.folder} was written by '{other}', which cannot be resumed so: it must "
                    "be a run of bequest run, distill or compress."
                )
