"""Studies and claims: a method bound to real data, and what its paper promises, made measurable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bequest.errors import unknown
from bequest.run import Budget, Result, Run


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Arm `better` beats arm `than` in `metric` by at least `by`.

    Attributes:
        id: Name within the study, kebab case.
        sentence: The claim in words, as the paper or the issue at hand makes it.
        better: Arm that should be ahead.
        than: Arm that it is compared with.
        metric: Key of `Result.metrics`; larger is better.
        by: Smallest difference that counts, in the metric's unit; negative for "no worse than".
        source: Where the claim comes from.
        sizes: Those of the study at which it is measured, for a claim about certain data; empty
            for all.
    """

    id: str
    sentence: str
    better: str
    than: str
    metric: str = "accuracy"
    by: float = 0.0
    source: str = ""
    sizes: tuple[str, ...] = ()

    def is_about(self, size: str) -> bool:
        """Whether it is measured at that size."""
        return not self.sizes or size in self.sizes


@dataclass(frozen=True, kw_only=True)
class Study:
    """A method with its ablations and baselines on real data, at several sizes.

    Attributes:
        id: The method's id.
        arms: From a size to its arms by name: instances of method dataclasses. The first arm is
            the method as published.
        execute: Runs one arm: `(method, size, run) -> Result`.
        sizes: What `--size` takes; `default` needs no network, `smoke` takes seconds.
        budget: From a size to the budget that every arm gets, so that arms compare at equal cost.
        claims: What is measured.
        data: From a size to one line on the data behind it.
        student: From a size to what rebuilds the network that a run leaves: `student` (a name of
            the zoo), `num_classes`, `image_size`, `mean` and `std`; None where nothing does.
    """

    id: str
    arms: Callable[[str], dict[str, Any]]
    execute: Callable[[Any, str, Run], Result]
    sizes: tuple[str, ...] = ("default", "smoke")
    budget: Callable[[str], Budget] = field(default=lambda size: Budget())
    claims: tuple[Claim, ...] = ()
    data: dict[str, str] = field(default_factory=dict)
    student: Callable[[str], Mapping[str, Any]] | None = None

    def arm(self, name: str | None, size: str) -> tuple[str, Any]:
        """The arm of that name at that size; None is the first. Unknown names get a suggestion."""
        if size not in self.sizes:
            raise unknown(f"size of study {self.id}", size, self.sizes)
        arms = self.arms(size)
        name = name or next(iter(arms))
        if name not in arms:
            raise unknown(f"arm of study {self.id}", name, arms)
        return name, arms[name]
