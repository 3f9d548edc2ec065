"""ComiRec against single vectors, MIND and the most popular items, and its own parts switched off.

All trained arms may take the same number of steps on the same users, with the same table of items,
loss and negatives, and keep the weights that were best on the same validation users.
"""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.methods.recommendation.comirec import ComiRec
from bequest.methods.recommendation.most_popular import MostPopular
from bequest.studies.base import Claim, Study
from bequest.studies.recommendation.setting import NOTES, SIZES, execute

# No event occurs twice in any of the sets, so what a user has seen is left out, in every arm. The
# learning rate is the authors' for routing; on few users all arms learn faster with it. Of a small
# catalogue 1,280 negatives would be nearly everything: 256 are a fifth of it.
_SMALL: dict[str, Any] = {
    "dim": 32,
    "negatives": 2,
    "steps": 1500,
    "learning_rate": 5e-3,
    "evaluate_every": 100,
}
_FIELDS: dict[str, dict[str, Any]] = {
    "default": _SMALL,
    "planted": _SMALL,
    "beauty": {"steps": 10_000, "learning_rate": 3e-3, "evaluate_every": 500, "patience": 5},
    "smoke": {"dim": 8, "steps": 60, "batch_size": 32, "evaluate_every": 20},
}
_CONTROL = 0.1


def arms(size: str) -> dict[str, Any]:
    """ComiRec with self-attention; with routing; the baselines; its ablations."""
    ours = ComiRec(exclude_seen=True, **_FIELDS[size])
    return {
        "comirec": ours,
        "comirec-dr": change(ours, extractor="dr"),
        "most-popular": MostPopular(exclude_seen=True),
        "youtube-dnn": change(ours, extractor="mean", interests=1),
        "gru4rec": change(ours, extractor="gru", interests=1),
        "mind": change(ours, extractor="mind"),
        "controlled": change(ours, diversity=_CONTROL),
        "one-interest": change(ours, interests=1),
        "two-interests": change(ours, interests=2),
        "eight-interests": change(ours, interests=8),
        "no-positions": change(ours, positions=False),
        "no-correction": change(ours, log_q_correction=False),
        "uniform-negatives": change(ours, log_uniform=False),
    }


study = Study(
    id="comirec",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    data=NOTES,
    claims=(
        Claim(
            id="beats-most-popular",
            sentence="ComiRec finds more of what users take next than the most popular items do.",
            better="comirec",
            than="most-popular",
            metric="recall_50",
            source="KDD 2020, Table 3",
        ),
        Claim(
            id="beats-youtube-dnn",
            sentence="ComiRec with self-attention beats YouTube DNN, one vector by mean pooling.",
            better="comirec",
            than="youtube-dnn",
            metric="recall_50",
            source="KDD 2020, Table 3",
        ),
        Claim(
            id="beats-gru4rec",
            sentence="ComiRec with self-attention beats GRU4Rec, one vector by a recurrent "
            "network.",
            better="comirec",
            than="gru4rec",
            metric="recall_50",
            source="KDD 2020, Table 3",
        ),
        Claim(
            id="beats-mind",
            sentence="ComiRec with self-attention beats MIND, several vectors by one shared map.",
            better="comirec",
            than="mind",
            metric="recall_50",
            source="KDD 2020, Table 3",
        ),
        Claim(
            id="routing-beats-mind",
            sentence="ComiRec with dynamic routing beats MIND.",
            better="comirec-dr",
            than="mind",
            metric="recall_50",
            source="KDD 2020, Table 3",
        ),
        Claim(
            id="several-interests-help",
            sentence="Four interests find more than one does.",
            better="comirec",
            than="one-interest",
            metric="recall_50",
            source="KDD 2020, ablation over K",
        ),
        Claim(
            id="control-adds-diversity",
            sentence="The controllable aggregation raises the share of pairs of different "
            "categories by at least five points.",
            better="controlled",
            than="comirec",
            metric="diversity_50",
            by=5.0,
            source="KDD 2020, controllable study",
        ),
        Claim(
            id="control-keeps-recall",
            sentence="That costs at most two points of recall.",
            better="controlled",
            than="comirec",
            metric="recall_50",
            by=-2.0,
            source="KDD 2020, controllable study",
        ),
        Claim(
            id="correction-helps",
            sentence="The correction for how likely a negative is to be drawn raises recall.",
            better="comirec",
            than="no-correction",
            metric="recall_50",
        ),
    ),
)
