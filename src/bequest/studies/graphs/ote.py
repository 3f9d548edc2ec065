"""GC-OTE against OTE without context, without its parts, and against RotatE and TransE.

Every arm draws the same batches, corrupts as many entities, takes as many steps in both phases and
has entities of the same dimension. Margin, temperature and rate of the default size were chosen on
the validation facts of Kinships, from the same few values for OTE and for RotatE, which came out
with the same ones. A step in context costs more than one without: `ote-longer` spends about the
same CPU time on plain steps.
"""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.methods.graphs.ote import OTE
from bequest.studies.base import Claim, Study
from bequest.studies.graphs.facts import NOTES, SIZES, execute

_FIELDS: dict[str, dict[str, Any]] = {
    "default": {
        "dim": 80,
        "block_size": 8,
        "margin": 6.0,
        "negatives": 64,
        "adversarial_temperature": 1.0,
        "batch_size": 256,
        "steps": 1000,
        "learning_rate": 0.02,
        "decay_every": 250,
        "context_margin": 6.0,
        "context_temperature": 1.0,
        "context_batch_size": 128,
        "context_steps": 300,
        "context_learning_rate": 0.002,
        "context_decay_every": 100,
    },
    "smoke": {
        "dim": 16,
        "block_size": 4,
        "margin": 3.0,
        "negatives": 8,
        "batch_size": 64,
        "steps": 40,
        "learning_rate": 0.02,
        "decay_every": 20,
        "context_margin": 3.0,
        "context_temperature": 0.5,
        "context_batch_size": 64,
        "context_steps": 20,
        "context_learning_rate": 0.005,
        "context_decay_every": 10,
    },
    "fb15k-237": {},
}
_FIELDS["umls"] = _FIELDS["default"]
# RotatE's code has these for FB15k-237, for TransE too.
_BASELINES: dict[str, dict[str, Any]] = {
    "fb15k-237": {
        "margin": 9.0,
        "adversarial_temperature": 1.0,
        "learning_rate": 5e-5,
        "context_learning_rate": 5e-6,
    },
}
# Plain steps that cost as much as the second phase in context.
_LONGER = {"default": 2000, "umls": 2000, "smoke": 30, "fb15k-237": 600_000}


def arms(size: str) -> dict[str, Any]:
    """GC-OTE, OTE alone, the baselines, and GC-OTE without each of its parts."""
    ours = OTE(**_FIELDS[size])
    plain = change(ours, context="none")
    baseline = change(plain, **_BASELINES.get(size, {}))
    return {
        "gc-ote": ours,
        "ote": plain,
        "rotate": change(baseline, transform="rotation"),
        "transe": change(baseline, transform="translation"),
        "ote-longer": change(plain, context_steps=_LONGER[size]),
        "ote-no-scale": change(plain, scale="none"),
        "ote-blocks-of-2": change(plain, block_size=2),
        "ote-blocks-of-4": change(plain, block_size=4),
        "incoming-only": change(ours, context="incoming"),
        "outgoing-only": change(ours, context="outgoing"),
        "context-alone": change(ours, context="alone"),
        "two-way": change(ours, context="two-way"),
        "mean-context": change(ours, aggregator="mean_self"),
        "uniform-negatives": change(ours, adversarial_temperature=0.0, context_temperature=0.0),
    }


study = Study(
    id="ote",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    data=NOTES,
    claims=(
        Claim(
            id="ote-beats-rotate",
            sentence="Orthogonal blocks with scales (OTE) rank missing ends better than RotatE's "
            "rotations of the same dimension.",
            better="ote",
            than="rotate",
            metric="mrr",
            source="ACL 2020, table of results on FB15k-237 and WN18RR",
        ),
        Claim(
            id="ote-beats-rotate-on-n-to-n",
            sentence="OTE's gain over RotatE shows on relations that join many with many.",
            better="ote",
            than="rotate",
            metric="mrr_n_to_n",
            source="ACL 2020, results by kind of relation",
        ),
        Claim(
            id="context-helps",
            sentence="Graph context both ways (GC-OTE) improves on OTE after as many steps.",
            better="gc-ote",
            than="ote",
            metric="mrr",
            source="ACL 2020, table of results",
        ),
        Claim(
            id="context-is-worth-its-time",
            sentence="GC-OTE improves on OTE after about as much CPU time.",
            better="gc-ote",
            than="ote-longer",
            metric="mrr",
        ),
        Claim(
            id="context-beats-two-way",
            sentence="Context adds to scoring by both plain distances.",
            better="gc-ote",
            than="two-way",
            metric="mrr",
            source="ACL 2020, ablation of the four distances",
        ),
        Claim(
            id="scale-helps",
            sentence="The learnt scales improve OTE.",
            better="ote",
            than="ote-no-scale",
            metric="mrr",
            source="ACL 2020, ablation of the scale",
        ),
        Claim(
            id="larger-blocks-help",
            sentence="Blocks of 8 beat blocks of 2 of the same dimension.",
            better="ote",
            than="ote-blocks-of-2",
            metric="mrr",
            source="ACL 2020, results by size of the blocks",
        ),
        Claim(
            id="ote-beats-transe",
            sentence="OTE ranks missing ends better than TransE.",
            better="ote",
            than="transe",
            metric="mrr",
            source="ACL 2020, table of results",
        ),
    ),
)
