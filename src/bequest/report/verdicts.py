"""The verdicts of claims as they lie in a folder of results, one JSON file a study and size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bequest.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One claim, measured once.

    Attributes:
        study: Id of the study, which is the method's.
        size: Size of the study.
        claim: Id of the claim within the study.
        sentence: The claim in words.
        verdict: `holds`, `fails` or `undecided`.
        difference: Mean over the seeds, in the metric's unit.
        interval: Its confidence interval.
        seeds: How many pairs of runs were compared.
    """

    study: str
    size: str
    claim: str
    sentence: str
    verdict: str
    difference: float
    interval: tuple[float, float]
    seeds: int

    @property
    def figures(self) -> str:
        """The difference with its interval, as people read it: `+2.1 [+0.4, +3.9]`."""
        low, high = self.interval
        return f"{self.difference:+.1f} [{low:+.1f}, {high:+.1f}]"


def read_verdicts(folder: Path | str) -> list[Measured]:
    """All claims of all files `*.json` in `folder`, by file name, then as the file orders them.

    A folder that does not exist holds none.

    Raises:
        InputError: For a file that is no result of `bequest claim`.
    """
    found: list[Measured] = []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found += [_measured(content, claim) for claim in content["claims"]]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} is no result of `bequest claim` ({type(error).__name__}: {error}). "
                "Measure the claim again, or take the file out of the folder."
            ) from error
    return found


def _measured(content: Mapping[str, Any], claim: Mapping[str, Any]) -> Measured:
    low, high = claim["interval"]
    seeds = claim["seeds"]
    return Measured(
        study=content["study"],
        size=content["size"],
        claim=claim["id"],
        sentence=claim["sentence"],
        verdict=claim["verdict"],
        difference=float(claim["difference"]),
        interval=(float(low), float(high)),
        seeds=seeds if isinstance(seeds, int) else len(seeds),
    )
