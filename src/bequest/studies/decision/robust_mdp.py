"""Robust Q-learning against ordinary Q-learning, and both against those who hold the model.

Every learning arm draws equally many outcomes of each pair, or the trajectory's actors make as many
transitions in all, except `fewer-inner-steps`, which keeps the outer iterations, as the paper does.
Policies are judged exactly, under dynamics that nobody trained on. The price was chosen on Garnets
of another seed.
"""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.methods.decision.robust_mdp import RobustMDP
from bequest.methods.decision.robust_value_iteration import RobustValueIteration
from bequest.studies.base import Claim, Study
from bequest.studies.decision.setting import NOTES, SETTINGS, SIZES, execute

# Cold starts from 0 need `penalty * sqrt(inner_steps)` above the largest value: only the chain's
# do, which is the paper's.
_FIELDS: dict[str, dict[str, Any]] = {
    "default": {"penalty": 0.2, "iterations": 500, "inner_steps": 20},
    "smoke": {"penalty": 0.2, "iterations": 30, "inner_steps": 5},
    "chain": {"penalty": 1.0, "iterations": 1000, "inner_steps": 100, "warm_start": False},
    "frozen-lake": {"penalty": 0.1, "iterations": 1000, "inner_steps": 20},
    "cliff-walking": {"penalty": 0.3, "iterations": 1000, "inner_steps": 20},
    "taxi": {"penalty": 0.1, "iterations": 500, "inner_steps": 20},
}
_PAIRS = {
    "default": 100,
    "smoke": 18,
    "chain": 20,
    "frozen-lake": 68,
    "cliff-walking": 196,
    "taxi": 3006,
}
"""States times actions, for trajectories of as many transitions."""
_ACTORS = 256


def arms(size: str) -> dict[str, Any]:
    """Robust Q-learning; its ablations, other natures, its control; with a model at hand."""
    ours = RobustMDP(**({"warm_start": True, "discount": SETTINGS[size].discount} | _FIELDS[size]))
    draws = ours.iterations * (ours.inner_steps + 1)
    problem: dict[str, Any] = {"penalty": ours.penalty, "discount": ours.discount}
    trajectory = change(
        ours,
        sampling="trajectory",
        actors=_ACTORS,
        trajectory_steps=max(1, draws * _PAIRS[size] // _ACTORS),
        dual_rate=5.0,
        dual_exponent=2 / 3,
    )
    return {
        "robust-mdp": ours,
        "q-learning": change(ours, uncertainty="none"),
        "trajectory": trajectory,
        "trajectory-q-learning": change(trajectory, uncertainty="none"),
        "kl": change(ours, uncertainty="kl", penalty=2.5 * ours.penalty),
        "chi2-ball": change(ours, uncertainty="chi2-ball", radius=0.5),
        "kl-ball": change(ours, uncertainty="kl-ball", radius=0.3, penalty=1.0),
        "contamination": change(ours, uncertainty="contamination", radius=0.2),
        "fewer-inner-steps": change(ours, inner_steps=max(1, ours.inner_steps // 4)),
        "other-start": change(ours, warm_start=not ours.warm_start),
        "same-outcome": change(ours, fresh_outcome=False),
        "low-penalty": change(ours, penalty=ours.penalty / 4),
        "high-penalty": change(ours, penalty=ours.penalty * 4),
        "oracle": RobustValueIteration(**problem),
        "value-iteration": RobustValueIteration(**problem, uncertainty="none"),
        "empirical-model": RobustValueIteration(**problem, draws=draws),
    }


study = Study(
    id="robust-mdp",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    data=NOTES,
    claims=(
        Claim(
            id="survives-shift",
            sentence="The robust policy loses less than that of Q-learning from the same samples "
            "when the dynamics shift: its worst return over shifted worlds is higher.",
            better="robust-mdp",
            than="q-learning",
            metric="worst_return",
        ),
        Claim(
            id="stands-nature",
            sentence="Against the worst dynamics in a KL ball, the robust policy's return is at "
            "least half a point above that of Q-learning.",
            better="robust-mdp",
            than="q-learning",
            metric="answered_return",
            by=0.5,
        ),
        Claim(
            id="reaches-the-oracle",
            sentence="Without a model, the policy comes within half a point of that of robust "
            "value iteration on the true model.",
            better="robust-mdp",
            than="oracle",
            metric="answered_return",
            by=-0.5,
            source="arXiv 2302.01248, Theorem 4.2",
        ),
        Claim(
            id="one-trajectory-suffices",
            sentence="Learning along trajectories too, the robust policy stands nature better "
            "than that of Q-learning.",
            better="trajectory",
            than="trajectory-q-learning",
            metric="answered_return",
            source="arXiv 2302.01248, Theorem 5.1",
        ),
        Claim(
            id="no-kernel-needed",
            sentence="From the same samples, the policy is within half a point of robust value "
            "iteration on an estimated kernel.",
            better="robust-mdp",
            than="empirical-model",
            metric="answered_return",
            by=-0.5,
            source="arXiv 2302.01248, Section 6",
        ),
        Claim(
            id="stores-less",
            sentence="It stores fewer numbers than who estimates the kernel.",
            better="robust-mdp",
            than="empirical-model",
            metric="negative_stored_numbers",
            source="arXiv 2302.01248, memory O(|S||A|) instead of O(|S|^2 |A|)",
        ),
        Claim(
            id="inner-steps-lower-the-floor",
            sentence="With a quarter of the inner steps, and as many outer iterations, the error "
            "stays higher.",
            better="robust-mdp",
            than="fewer-inner-steps",
            metric="negative_error",
            source="arXiv 2302.01248, Figure 4",
        ),
        Claim(
            id="outcome-must-be-fresh",
            sentence="Moving Q by the outcome that the dual was just fitted to leaves a larger "
            "error than a fresh one.",
            better="robust-mdp",
            than="same-outcome",
            metric="negative_error",
        ),
        Claim(
            id="penalty-bounds-the-distance",
            sentence="The higher the price, the nearer are robust values to ordinary ones.",
            better="robust-mdp",
            than="high-penalty",
            metric="distance",
            source="arXiv 2302.01248, Section 6.1",
        ),
        Claim(
            id="low-penalty-is-hard",
            sentence="A low price is numerically harder: its error is larger.",
            better="robust-mdp",
            than="low-penalty",
            metric="negative_error",
            source="arXiv 2302.01248, Section 6",
        ),
    ),
)
