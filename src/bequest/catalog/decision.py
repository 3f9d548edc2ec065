"""Methods that choose actions."""

from __future__ import annotations

from bequest.catalog.entry import Entry, Paper

ENTRIES = (
    Entry(
        id="robust-mdp",
        name="Robust Q-learning",
        family="decision",
        summary="A policy that holds up when the dynamics are worse than those it was learnt from, "
        "with two numbers a state and action and no model.",
        method="bequest.methods.decision.robust_mdp:RobustMDP",
        study="bequest.studies.decision.robust_mdp:study",
        paper=Paper(
            title="Robust Markov Decision Processes without Model Estimation",
            authors="Wenhao Yang, Han Wang, Tadashi Kozuno, Scott M. Jordan, Zhihua Zhang",
            venue="arXiv",
            year=2023,
            arxiv="2302.01248",
        ),
    ),
)
