"""Methods that learn from a stream whose past does not come again."""

from __future__ import annotations

from bequest.catalog.entry import Entry, Paper

ENTRIES = (
    Entry(
        id="coca",
        name="CoCa",
        family="continual",
        summary="A network that learns class after class from a stream without task boundaries, by "
        "replay whose logits and features are kept from drifting.",
        method="bequest.methods.continual.coca:CoCa",
        study="bequest.studies.continual.coca:study",
        paper=Paper(
            title="Complementary Calibration: Boosting General Continual Learning with "
            "Collaborative Distillation and Self-Supervision",
            authors="Zhong Ji, Jin Li, Qiang Wang, Zhongfei Zhang",
            venue="IEEE Transactions on Image Processing",
            year=2023,
            arxiv="2109.02426",
        ),
    ),
)
