"""GLAN against Sinkhorn, Gumbel-Sinkhorn, greedy and exact assignment, and without its parts.

On matrices every arm sees the same training and test problems; baselines without weights choose
their temperature on the training problems, which costs them next to nothing: read accuracy beside
`feasible`, `gap` and the seconds. On videos every arm begins with the same cost network, and trains
it for as many steps: through its solver where that lets gradients pass, pair by pair otherwise.
"""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.methods.matching.fixed_solver import FixedSolver
from bequest.methods.matching.glan_lap import GLANLAP
from bequest.studies.base import Claim, Study
from bequest.studies.matching.setting import NOTES, SETTINGS, SIZES, Videos, execute

_FIELDS: dict[str, dict[str, Any]] = {
    "default": {"batch_size": 16, "epochs": 6, "validations": 6},
    "medium": {"epochs": 15},
    "published": {},
    "tud": {"batch_size": 16, "epochs": 25, "validations": 10},
    "mot15": {"batch_size": 16, "epochs": 25, "validations": 10},
    "smoke": {"batch_size": 8, "epochs": 2, "layers": 2, "validations": 2},
}


def arms(size: str) -> dict[str, Any]:
    """GLAN; its ablations; solvers without weights."""
    ours = GLANLAP(**_FIELDS[size])
    # As many steps where a cost network is trained.
    fixed = FixedSolver(epochs=ours.epochs, batch_size=ours.batch_size)
    found = {
        "glan": ours,
        "no-gates": change(ours, gates=False),
        "no-penalties": change(ours, penalty_growth=0.0),
        "batch-statistics": change(ours, statistics="batch"),
        "complete-graph": change(ours, complete=True),
        "both-sides": change(ours, sides="both"),
        "three-layers-less": change(ours, layers=max(1, ours.layers - 3)),
        "cost-loss": change(ours, objective="cost"),
        "exact-finish": change(ours, finish="exact"),
        "sinkhorn": fixed,
        "sinkhorn-five-rounds": change(fixed, scaling_rounds=ours.scaling_rounds),
        "sinkhorn-soft": change(fixed, scaling_rounds=5, temperature=0.1),
        "gumbel-sinkhorn": change(fixed, solver="gumbel-sinkhorn"),
        "greedy": change(fixed, solver="greedy"),
        "hungarian": change(fixed, solver="exact"),
    }
    if isinstance(SETTINGS[size], Videos):
        found["mota-loss"] = change(ours, objective="mota")
    return found


study = Study(
    id="glan-lap",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    data=NOTES,
    claims=(
        Claim(
            id="beats-sinkhorn",
            sentence="The learned solver assigns more rows as the optimum does than Sinkhorn at "
            "its best temperature.",
            better="glan",
            than="sinkhorn",
            source="GLAN, comparison with differentiable solvers",
            sizes=("default", "medium", "published", "smoke"),
        ),
        Claim(
            id="beats-sinkhorn-of-as-many-rounds",
            sentence="With as many rounds of scaling, and a temperature of 0.1, Sinkhorn alone is "
            "behind the learned solver.",
            better="glan",
            than="sinkhorn-soft",
            source="GLAN, comparison with differentiable solvers",
            sizes=("default", "medium", "published", "smoke"),
        ),
        Claim(
            id="beats-greedy",
            sentence="The learned solver assigns more rows as the optimum does than greedy "
            "assignment by cost.",
            better="glan",
            than="greedy",
            sizes=("default", "medium", "published", "smoke"),
        ),
        Claim(
            id="stays-flat",
            sentence="With growing size the learned solver loses less accuracy than Sinkhorn.",
            better="glan",
            than="sinkhorn",
            metric="accuracy_slope",
            source="GLAN, accuracy stays flat as n grows",
            sizes=("default", "medium", "published", "smoke"),
        ),
        Claim(
            id="gates-help",
            sentence="Gating each problem's channels makes the solver more accurate.",
            better="glan",
            than="no-gates",
            sizes=("default", "medium", "published", "smoke"),
        ),
        Claim(
            id="penalties-help",
            sentence="The penalties on sums and norms make the solver more accurate.",
            better="glan",
            than="no-penalties",
            sizes=("default", "medium", "published", "smoke"),
        ),
        Claim(
            id="exact-stays-ahead",
            sentence="An exact solver's assignments cost no more than the learned one's.",
            better="hungarian",
            than="glan",
            metric="score",
            sizes=("default", "medium", "published", "smoke"),
        ),
        Claim(
            id="end-to-end-lifts-identities",
            sentence="Costs learnt through the solver keep identities better (IDF1) than costs "
            "learnt pair by pair before an exact solver.",
            better="glan",
            than="hungarian",
            metric="idf1",
            source="GLAN, tracking",
            sizes=("tud", "mot15"),
        ),
        Claim(
            id="lifts-mota-most",
            sentence="A tracker trained through the learned solver has a higher MOTA than one "
            "trained through Sinkhorn.",
            better="glan",
            than="sinkhorn",
            metric="mota",
            source="GLAN, largest margin among the compared solvers",
            sizes=("tud", "mot15"),
        ),
    ),
)
