"""`bequest run`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Self

import tyro
from tyro.conf import Positional

from bequest import catalog
from bequest.cli.command import NO_DEFAULT, Command
from bequest.cli.execution import NewExecution, conclude, running
from bequest.cli.hyperparameters import given, with_options
from bequest.errors import InputError

if TYPE_CHECKING:
    from bequest.execute import Job


@dataclass(frozen=True, kw_only=True)
class RunStudy(Command):
    """Runs a method, an ablation or a baseline of its study, on the study's data.

    A study has arms: the method as published (the first), the method with parts switched off, and
    the baselines. Every hyper-parameter of the method is an option: `bequest run METHOD --help`
    lists them. What is not given stays as in the arm.

      In:   nothing; the data is in installed packages, or fetched for the larger sizes
      Out:  a folder with model.safetensors, metrics.jsonl, config.yaml and report.html

    Ctrl-C writes a checkpoint and prints the command that goes on.

    Example:
      $ bequest run ssd-kd --size smoke --arm uniform --seed 1 --gamma 1.0
    """

    method: Positional[str]
    """An id of `bequest list`; comes first."""
    arm: Annotated[str | None, NO_DEFAULT] = None
    """An arm of the study, such as those named by `bequest show METHOD`; the first without it."""
    size: str = "default"
    """How large: default (minutes), smoke (seconds), or a further size of the study."""

    execution: Annotated[NewExecution, tyro.conf.OmitArgPrefixes] = field(
        default_factory=NewExecution
    )

    @classmethod
    def for_words(cls, words: Sequence[str]) -> type[Self]:
        """With the hyper-parameters of the method that the first word names."""
        if not words or words[0] in ("-h", "--help"):
            return cls
        if words[0].startswith("-"):
            raise InputError(f"Name the method first: bequest run METHOD {words[0]} ...")
        return with_options(cls, catalog.find(words[0]), unset="as in the arm of the study")

    def job(self) -> Job:
        """What is to be run."""
        from bequest.execute import Job

        return Job(
            method=self.method,
            arm=self.arm,
            size=self.size,
            fields=given(getattr(self, "hyperparameters", None)),
            seed=self.execution.seed,
            device=self.execution.device,
            precision=self.execution.precision,
            threads=self.execution.threads,
        )

    def execute(self) -> int:
        """Runs it and says what came out."""
        from bequest.execute import execute
        from bequest.methods.base import change

        job = self.job()
        arm, method = catalog.find(job.method).load_study().arm(job.arm, job.size)
        change(method, **job.fields)  # refuses what the method does not take, before all else
        job = replace(job, threads=self.execution.chosen_threads())
        folder = self.execution.new_folder(self.method, arm, self.size, f"s{self.execution.seed}")
        with running(folder, json=self.execution.json):
            execute(
                job,
                folder,
                progress=True,
                trackers=self.execution.trackers,
                checkpoint_seconds=self.execution.checkpoint_seconds,
            )
        conclude(folder, as_json=self.execution.json)
        return 0
