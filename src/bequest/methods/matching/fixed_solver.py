"""Assignment by rules without weights: Sinkhorn, Gumbel-Sinkhorn, greedy, exact. The baselines.

On cost matrices nothing is learnt but Sinkhorn's temperature, chosen on the training problems. With
a network that makes costs from features, that network is trained: through Sinkhorn, whose soft
assignment is differentiable; or, before a greedy or an exact solver, pair by pair, because no
gradient comes through those (two stages: learn costs, then assign).

Gonzalo Mena, David Belanger, Scott Linderman, Jasper Snoek, "Learning Latent Permutations with
Gumbel-Sinkhorn Networks", ICLR 2018, for the noise; Harold Kuhn, "The Hungarian Method for the
Assignment Problem", 1955, for the exact solution, by scipy.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from bequest.losses.assignment import focal_assignment_loss
from bequest.memory.epochs import EpochSampler
from bequest.methods.base import Count, NonNegative, Positive, method
from bequest.metrics.assignment import assignment_figures
from bequest.nn.assignment_solvers import CostedSolver, DiscreteSolver, SinkhornSolver
from bequest.ops.assignment import (
    PairBatch,
    assignment_matrix,
    check_assignments,
    exact_assignment,
)
from bequest.run import Result, Run
from bequest.run.update import update
from bequest.synthesis.observer import Monitor

_TEMPERATURES = (0.01, 0.03, 0.1, 0.3, 1.0)


@method
class FixedSolver:
    """A solver without weights, with or without a cost network before it."""

    solver: Literal["sinkhorn", "gumbel-sinkhorn", "greedy", "exact"] = "sinkhorn"
    """Which rule."""
    temperature: NonNegative = 0.0
    """Of Sinkhorn; 0 takes the most accurate of 0.01 to 1 on the training problems, or 0.1 where a
    cost network adapts to it."""
    scaling_rounds: Count = 20
    """Of Sinkhorn, rows and columns."""
    noise: NonNegative = 0.02
    """Scale of Gumbel noise on costs in [0, 1]."""
    samples: Count = 8
    """Draws of Gumbel-Sinkhorn, of which the cheapest assignment is taken."""
    epochs: Count = 10
    """Passes over the problems of the cost network, as GLAN's."""
    batch_size: Count = 32
    """Problems of a step."""
    learning_rate: Positive = 3e-3
    """Of the cost network's RMSprop."""

    def fit(
        self,
        problems: PairBatch,
        assignments: Tensor | None = None,
        *,
        cost_network: nn.Module | None = None,
        partial: bool = False,
        run: Run,
        monitor: Monitor | None = None,
    ) -> Result:
        """Chooses the temperature, or trains `cost_network` in place; see `GLANLAP.fit`.

        Raises:
            InputError: For assignments that are none.
        """
        if assignments is None:
            assignments = exact_assignment(problems)
        check_assignments(assignments, problems, partial=partial)
        problems, assignments = problems.to(run.device), assignments.to(run.device)
        rng = run.stream("noise")
        if cost_network is None:
            model = self._chosen(problems, assignments, partial, rng)
            for _ in run.steps(1, name="training", state={"model": model}):
                pass
            return run.result(model.eval(), {} if monitor is None else monitor(model))
        solver = self._solver(self.temperature or 0.1, partial, rng)
        model = CostedSolver(cost_network, solver).to(run.device)
        optimizer = torch.optim.RMSprop(cost_network.parameters(), lr=self.learning_rate)
        sampler = EpochSampler(len(problems), run.device)
        total = self.epochs * (len(problems) // self.batch_size)
        state = {"model": model, "optimizer": optimizer, "sampler": sampler}
        for step in run.steps(total, name="training", state=state):
            if run.due(times=10) and step and monitor is not None:
                run.record(**monitor(model))
            places = run.share(sampler.draw(self.batch_size, run.stream("batches")))
            batch = problems.take(places)
            chosen = assignments[places, : batch.values.shape[1]]

            with run.autocast():
                soft = model(batch)
            target = assignment_matrix(chosen, soft.shape[2])
            each = focal_assignment_loss(soft, target, batch.mask, batch.columns.clamp_min(2))
            loss = each.mean()
            update(run, loss, optimizer, model)
            run.log(loss=loss)
        return run.result(model.eval(), {} if monitor is None else monitor(model))

    def _solver(self, temperature: float, partial: bool, rng: torch.Generator) -> nn.Module:
        if self.solver in ("greedy", "exact"):
            kind: Literal["greedy", "exact"] = "greedy" if self.solver == "greedy" else "exact"
            return DiscreteSolver(kind, partial=partial)
        return SinkhornSolver(
            temperature=temperature,
            iterations=self.scaling_rounds,
            noise=self.noise if self.solver == "gumbel-sinkhorn" else 0.0,
            samples=self.samples,
            partial=partial,
            rng=rng,
        )

    def _chosen(
        self, problems: PairBatch, assignments: Tensor, partial: bool, rng: torch.Generator
    ) -> CostedSolver:
        """With the temperature that is the most accurate on up to 200 training problems."""
        discrete = self.solver in ("greedy", "exact")
        temperatures = (self.temperature,) if self.temperature or discrete else _TEMPERATURES
        models = [CostedSolver(None, self._solver(t, partial, rng)) for t in temperatures]
        if len(models) == 1:
            return models[0].to(problems.values.device)
        some = problems.take(torch.arange(min(200, len(problems)), device=problems.rows.device))
        wanted = assignments[: len(some), : some.values.shape[1]]
        accuracies = [
            assignment_figures(m.eval().to(some.values.device), some, wanted)["accuracy"]
            for m in models
        ]
        return models[accuracies.index(max(accuracies))]
