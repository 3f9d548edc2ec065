"""Robust value iteration: what can be had with the model at hand, true or estimated.

Garud N. Iyengar, "Robust Dynamic Programming", Mathematics of Operations Research 30, 2005; with a
price in place of a ball it is Algorithm 3 of W. Yang et al., arXiv 2302.01248, 2023. The oracle
that model-free learning is measured by, and with `draws` the way round it: estimate the kernel,
keep it, solve it. That stores `states` numbers a pair, where a model-free method keeps two.

Differs: the inner problem is solved exactly, in closed form (a ball by bisection), where the paper
takes gradient steps.
"""

from __future__ import annotations

import torch

from bequest.methods.base import Discount, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.tabular import QTable
from bequest.ops.robust_bellman import Nature, Uncertainty, iterations_needed, robust_backup
from bequest.ops.tabular import TabularModel, empirical_model
from bequest.run import Result, Run
from bequest.synthesis.observer import Monitor


@method
class RobustValueIteration:
    """Exact robust dynamic programming."""

    uncertainty: Uncertainty = "chi2"
    """What nature may do; `none` is ordinary value iteration."""
    penalty: Positive = 1.0
    """lambda, nature's price for a unit of divergence, for `chi2` and `kl`."""
    radius: NonNegative = 0.1
    """Of a ball, or the share of contamination."""
    discount: Discount = 0.9
    """gamma."""
    draws: NonNegativeInt = 0
    """Outcomes of each pair that the kernel is estimated from; 0 takes the true one."""
    tolerance: Positive = 1e-6
    """Largest error of the values at the end."""

    def fit(self, model: TabularModel, *, run: Run, monitor: Monitor | None = None) -> Result:
        """Solves every model.

        Args:
            model: The nominal dynamics.
            run: How to execute.
            monitor: Figures of the table to report at the end.

        Returns:
            A `QTable` and what `monitor` says of it, and `stored_numbers`, the numbers that are
            kept for a model: its action values and its kernel.

        Raises:
            InputError: For a radius that makes no sense.
        """
        nature = Nature(uncertainty=self.uncertainty, penalty=self.penalty, radius=self.radius)
        known = empirical_model(model, self.draws, run.stream("draws")) if self.draws else model
        values = torch.full_like(known.start, 1 / (1 - self.discount))
        q = known.start.new_zeros(known.successors.shape[:3])
        total = iterations_needed(self.discount, self.tolerance)
        for _ in run.steps(total, name="solving", state={"values": values, "q": q}):
            q.copy_(robust_backup(known, values, nature, self.discount))
            run.log(change=(q.amax(-1) - values).abs().max())
            values.copy_(q.amax(-1))
        table = QTable(q)
        stored = (q.numel() + known.stored_numbers) / len(known)
        figures = {} if monitor is None else monitor(table)
        return run.result(table, figures | {"stored_numbers": stored})
