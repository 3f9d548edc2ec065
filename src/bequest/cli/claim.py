"""`bequest claim`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from bequest import catalog
from bequest.cli.command import NO_DEFAULT, Command, console, is_main_process, say

if TYPE_CHECKING:
    from bequest.claims import ArmFigures, ClaimVerdict

_STYLES = {"holds": "bold green", "fails": "bold red", "undecided": "bold yellow"}


@dataclass(frozen=True, kw_only=True)
class CheckClaims(Command):
    """Checks what a method's study claims: arm against arm at equal budget, paired by seed.

    What has run before with the same configuration and code is taken from the cache folder, so
    that a claim that was broken off goes on where it stopped.

      In:   nothing
      Out:  a verdict and a 95 % interval for each claim, and what every arm cost

    Exit status: 0 all hold, 1 one or more fail, 2 none fails but some are undecided.

    Example:
      $ bequest claim ssd-kd --size smoke --seeds 5 --only beats-noise
    """

    method: Positional[str]
    """An id of `bequest list`."""
    seeds: int = 5
    """How many; below 3 every claim is undecided."""
    size: str = "default"
    """How large: default (minutes a run), smoke (seconds), or a further size of the study."""
    only: Annotated[tuple[str, ...], NO_DEFAULT] = ()
    """Ids of claims, see `bequest show METHOD`; all of them without it."""
    arms: Annotated[tuple[str, ...], NO_DEFAULT] = ()
    """Instead of claims, a table of these arms (or METHOD or METHOD/ARM); no verdict."""
    workers: int = 0
    """Processes at a time; 0 takes as many as there are cores."""
    threads: int = 1
    """Of each process."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto is bf16 where the hardware is good at it."""
    folder: Annotated[Path | None, NO_DEFAULT] = None
    """Write METHOD-SIZE.json and a page to read, METHOD-SIZE.html, into this folder."""
    json: Annotated[bool, NO_DEFAULT] = False
    """The whole outcome as one object for machines instead of tables."""

    def execute(self) -> int:
        """Runs, prints the verdicts and gives the worst of them."""
        catalog.find(self.method)
        from bequest.claims import exit_status, run_arms, run_claims, to_json, write_results

        if self.arms:
            report = run_arms(
                self.method,
                self.arms,
                seeds=self.seeds,
                size=self.size,
                workers=self.workers,
                threads=self.threads,
                device=self.device,
                precision=self.precision,
            )
        else:
            report = run_claims(
                self.method,
                claims=self.only or None,
                seeds=self.seeds,
                size=self.size,
                workers=self.workers,
                threads=self.threads,
                device=self.device,
                precision=self.precision,
            )
        if self.json:
            if is_main_process():
                sys.stdout.write(to_json(report))
        else:
            console().print(_arms(report.arms))
            if report.claims:
                console().print(_claims(report.claims))
        if self.folder is not None:
            from bequest.report import write_claim_report

            say("Results:", write_results(report, self.folder), stderr=self.json)
            say("Report: ", write_claim_report(report, self.folder), stderr=self.json)
        return exit_status(report)


def _arms(arms: dict[str, ArmFigures]) -> Table:
    table = Table(box=None, title="[bold]Arms", title_justify="left", pad_edge=False)
    table.add_column("arm", style="cyan")
    for name in ("metric", "mean", "sd", "seeds", "GFLOP", "CPU s", "s"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for name, arm in arms.items():
        ended = sum(value is not None for value in arm.values)
        table.add_row(
            Text(name),
            Text(arm.metric),
            _number(arm.mean, "{:.2f}"),
            _number(arm.sd, "{:.2f}"),
            f"{ended}/{len(arm.values)}",
            _number(arm.flops, "{:.3g}", scale=1e-9),
            _number(arm.cpu_seconds, "{:.1f}"),
            _number(arm.seconds, "{:.1f}"),
        )
        for seed, failure in arm.failures.items():
            table.add_row(Text(f"  seed {seed}: {failure}", style="red"))
    return table


def _claims(claims: list[ClaimVerdict]) -> Table:
    table = Table(box=None, title="[bold]Claims", title_justify="left", pad_edge=False)
    for name in ("verdict", "difference", "95 % interval", "needed", "claim"):
        table.add_column(name)
    for claim in claims:
        interval = (
            "none" if claim.interval is None else "{:+.2f} .. {:+.2f}".format(*claim.interval)
        )
        notes = "".join(f"\n{line}" for line in claim.excluded)
        table.add_row(
            Text(claim.verdict, style=_STYLES[claim.verdict]),
            _number(claim.difference, "{:+.2f}"),
            interval,
            f"{claim.by:+g}",
            Text.assemble((claim.id, "cyan"), f"  {claim.sentence}{notes}"),
        )
    return table


def _number(value: float | None, form: str, *, scale: float = 1.0) -> str:
    return "none" if value is None else form.format(value * scale)
