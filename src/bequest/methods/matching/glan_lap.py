"""GLAN: a network that solves assignment problems, and lets gradients through.

He Liu, Tao Wang, Congyan Lang, Songhe Feng, Yi Jin, Yidong Li, "GLAN: A Graph-based Linear
Assignment Network", Pattern Recognition 2024, arXiv 2201.02057. A message-passing network on the
sparse bipartite graph of a cost matrix scores pairs; a few rounds of Sinkhorn scaling make rows and
columns sum to 1; a greedy finisher makes a permutation. Labels are exact solutions, so that nothing
but cost matrices is needed; or known matches, with a network that makes costs from features trained
through the solver (tracking).

With scores `s` on the kept pairs, the optimum `Y`, and `k` pairs kept of each row:

    S = scaled(s on kept pairs, 1e-9 elsewhere)             five rounds, rows first
    L = L_bce(S, Y) + r (L_sum + L_sparse)                  r grows by 0.01 an epoch, from 0
    k = 10 + 2 floor(n / 10)

Problems have any sizes, rectangles included, and a batch mixes them. In a rectangle the shorter
side is matched whole; with `partial` anything may stay unmatched, as in tracking.

Differs: statistics of the network's normalisation are those of each problem; the authors take them
over the batch, where a problem is solved differently in other company. `statistics="batch"` is
theirs; for a batch of one both are the same.
Differs: rectangles are scaled with a dummy row or column that takes what is left over, and k counts
the longer side; the authors take squares.
Differs: rows that the greedy finisher leaves without a kept pair are matched by lowest cost at
once; the authors first go on through the pairs outside the graph, whose scores mean nothing.
Trap: the loss is of the scaled matrix, not of the network's scores.
Trap: where an optimal pair is not among the kept ones, no network finds it; studies report the
share that is (`kept_optimal`).
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.losses.assignment import (
    cost_gap_loss,
    focal_assignment_loss,
    sparsity_penalty,
    sum_penalty,
)
from bequest.losses.tracking import soft_mota_loss
from bequest.memory.epochs import EpochSampler
from bequest.methods.base import Count, NonNegative, NonNegativeInt, Positive, method
from bequest.metrics.assignment import assignment_figures
from bequest.nn.assignment_network import PairScorer
from bequest.nn.assignment_solvers import CostedSolver, LearnedSolver, check_unit_costs
from bequest.ops.assignment import (
    PairBatch,
    assignment_matrix,
    check_assignments,
    exact_assignment,
)
from bequest.run import Result, Run
from bequest.run.update import update
from bequest.synthesis.observer import Monitor


@method
class GLANLAP:
    """Graph-based Linear Assignment Network."""

    neighbours: Count = 10
    """k for fewer than ten rows; with more, see `neighbour_step`. At most all columns."""
    neighbour_step: NonNegativeInt = 2
    """How much k grows with every ten rows or columns, whichever are more."""
    complete: bool = False
    """Keeps every pair in place of the cheapest k."""
    sides: Literal["rows", "both"] = "rows"
    """Whether the cheapest rows of each column are kept too; the authors keep those of rows."""
    layers: Count = 5
    """Rounds of messages."""
    edge_width: Count = 16
    """Channels of edges; even."""
    node_width: Count = 8
    """Channels of nodes."""
    gates: bool = True
    """Whether each problem's channels are gated before each layer."""
    statistics: Literal["problem", "batch"] = "problem"
    """Over what the network standardises its channels; the authors: batch."""
    scaling_rounds: NonNegativeInt = 5
    """Rounds of rows and columns after the network."""
    finish: Literal["greedy", "exact"] = "greedy"
    """How a soft assignment becomes a hard one; exact is a Hungarian solver on the soft one."""
    objective: Literal["focal", "cost", "mota"] = "focal"
    """The main term: focal cross-entropy, the squared excess cost (the authors' alternative), or
    DeepMOT's tracking loss, with the first feature as distance."""
    penalty_growth: NonNegative = 0.01
    """By how much r grows with each epoch; 0 switches both penalties off."""
    epochs: Count = 10
    """Passes over the problems."""
    batch_size: Count = 32
    """Problems of a step; the last, incomplete batch of an epoch is left out."""
    learning_rate: Positive = 3e-3
    """Of RMSprop."""
    decay: Positive = 0.95
    """The learning rate is multiplied with it every five epochs, down to 1e-5."""
    validations: Count = 10
    """How often the weights are compared on validation problems; the best are kept. The authors
    compare every 200 steps."""

    def fit(
        self,
        problems: PairBatch,
        assignments: Tensor | None = None,
        *,
        cost_network: nn.Module | None = None,
        partial: bool = False,
        validation: tuple[PairBatch, Tensor] | None = None,
        run: Run,
        monitor: Monitor | None = None,
    ) -> Result:
        """Trains a solver, and with it `cost_network` where there is one.

        Args:
            problems: Costs in [0, 1]; or features, for `cost_network`.
            assignments: The column of each row, `(batch, rows)`; None has costs solved exactly.
            cost_network: Takes `(batch, rows, columns, features)`, gives costs in [0, 1]
                `(batch, rows, columns)`; trained in place.
            partial: Whether rows and columns may stay unmatched.
            validation: Problems and assignments by whose accuracy the weights are chosen; None
                takes the last weights.
            run: How to execute.
            monitor: Figures to report during the run, of a `CostedSolver`.

        Returns:
            A `CostedSolver`, with the last loss and the accuracy on the validation problems.

        Raises:
            InputError: For costs outside [0, 1], assignments that are none, features without a
                network or a network without assignments, or fewer problems than a batch.
        """
        self._check(problems, assignments, cost_network, partial, validation)
        if assignments is None:
            assignments = exact_assignment(problems)
        problems, assignments = problems.to(run.device), assignments.to(run.device)
        if validation is not None:
            validation = validation[0].to(run.device), validation[1].to(run.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            solver = self.solver(partial=partial)
        model = CostedSolver(cost_network, solver).to(run.device)
        kept = copy.deepcopy(model)
        best = torch.full((), -1.0, device=run.device)
        optimizer = torch.optim.RMSprop(model.parameters(), lr=self.learning_rate)
        sampler, rng = EpochSampler(len(problems), run.device), run.stream("batches")
        per_epoch = len(problems) // self.batch_size
        last = torch.zeros((), device=run.device)
        state = {
            **{"model": model, "kept": kept, "best": best},
            **{"optimizer": optimizer, "sampler": sampler, "loss": last},
        }
        for step in run.steps(self.epochs * per_epoch, name="training", state=state):
            if run.due(times=self.validations) and step:
                self._validate(model, kept, best, validation, run, monitor)
            epoch = step // per_epoch
            for group in optimizer.param_groups:
                group["lr"] = max(self.learning_rate * self.decay ** (epoch // 5), 1e-5)
            places = run.share(sampler.draw(self.batch_size, rng))
            batch = problems.take(places)
            chosen = assignments[places, : batch.values.shape[1]]

            with run.autocast():
                loss = self.loss(model, batch, chosen, rate=self.penalty_growth * epoch)
            update(run, loss, optimizer, model)
            last.copy_(loss.detach())
            run.log(loss=loss)
        self._validate(model, kept, best, validation, run, monitor)
        figures = {"loss": last.item()}
        if validation is not None:
            model.load_state_dict(kept.state_dict())
            figures["validation_accuracy"] = best.item()
        return run.result(model.eval(), figures)

    def loss(
        self, model: CostedSolver, problems: PairBatch, assignments: Tensor, *, rate: float
    ) -> Tensor:
        """L of a batch: the main term plus r times both penalties, a mean over problems.

        Args:
            model: With a `LearnedSolver`.
            problems: What `model` takes.
            assignments: `(batch, rows)`.
            rate: r.
        """
        solver = model.solver
        assert isinstance(solver, LearnedSolver)
        costs = model.costs(problems)
        soft, kept = solver.soft_and_kept(costs)
        target = assignment_matrix(assignments, soft.shape[2])
        if self.objective == "focal":
            main = focal_assignment_loss(soft, target, kept, solver.neighbours(costs)).mean()
        elif self.objective == "cost":
            main = cost_gap_loss(soft, target, costs.costs).mean()
        else:
            main = soft_mota_loss(problems, soft, target)
        penalties = sum_penalty(soft, target, problems) + sparsity_penalty(soft, target, problems)
        return main + rate * penalties.mean()

    def solver(self, *, partial: bool = False) -> LearnedSolver:
        """The solver before training, with weights from torch's global generator."""
        if self.edge_width % 2:
            raise InputError(f"edge_width is {self.edge_width}; it must be even.")
        return LearnedSolver(
            PairScorer(
                layers=self.layers,
                edge_width=self.edge_width,
                node_width=self.node_width,
                gates=self.gates,
                statistics=self.statistics,
            ),
            base=self.neighbours,
            step=self.neighbour_step,
            complete=self.complete,
            sides=self.sides,
            iterations=self.scaling_rounds,
            finish=self.finish,
            partial=partial,
        )

    def _check(
        self,
        problems: PairBatch,
        assignments: Tensor | None,
        cost_network: nn.Module | None,
        partial: bool,
        validation: tuple[PairBatch, Tensor] | None,
    ) -> None:
        if cost_network is None:
            if problems.values.ndim != 3:
                raise InputError("Problems hold features: say by which cost_network they cost.")
            check_unit_costs(problems)
        elif assignments is None:
            raise InputError("With a cost_network the assignments must be given: they teach it.")
        if assignments is None and partial:
            raise InputError("With partial=True the assignments must be given.")
        if assignments is not None:
            check_assignments(assignments, problems, partial=partial)
        if validation is not None:
            check_assignments(validation[1], validation[0], partial=partial)
        if len(problems) < self.batch_size:
            raise InputError(
                f"There are {len(problems)} problems, fewer than a batch_size of {self.batch_size}."
            )

    def _validate(
        self,
        model: CostedSolver,
        kept: CostedSolver,
        best: Tensor,
        validation: tuple[PairBatch, Tensor] | None,
        run: Run,
        monitor: Monitor | None,
    ) -> None:
        """Reports figures, and keeps the weights where they are the best so far."""
        with run.section("evaluation"):
            figures = {} if monitor is None else monitor(model)
            if validation is not None:
                accuracy = assignment_figures(model.eval(), *validation)["accuracy"]
                model.train()
                figures["validation_accuracy"] = accuracy
                if accuracy > best:
                    best.fill_(accuracy)
                    kept.load_state_dict(model.state_dict())
        if figures:
            run.record(**figures)
