"""The table of all objectives. Data only: importing it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bequest.errors import unknown


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One way in which a student follows a teacher, and how it was published.

    The loss of a step is `cross_entropy * CE(student, label) + weight * objective`.

    Attributes:
        id: The name on the command line.
        name: The name in prose.
        paper: Authors, venue and year.
        needs: What it compares: logits, the input of the last linear layer, or feature maps.
        taps: Which of the tapped maps it takes.
        weight: Of the objective.
        cross_entropy: Weight of the cross-entropy to the labels beside it.
        source: Where both weights come from.
        temperature: Published T; None where there is none.
        warmup: Share of the run in which `weight` grows from 0, linearly.
        labels: Whether the objective itself looks at the labels.
        places: Whether it remembers samples by their place in the data.
    """

    id: str
    name: str
    paper: str
    needs: Literal["nothing", "logits", "features", "maps"]
    taps: Literal["none", "middle", "last", "all"] = "none"
    weight: float
    cross_entropy: float = 1.0
    source: str
    temperature: float | None = None
    warmup: float = 0.0
    labels: bool = False
    places: bool = False


_REPDISTILLER = "Tian et al., ICLR 2020, their code (RepDistiller), CIFAR-100"

_ROWS = (
    Objective(
        id="kd",
        name="KD",
        paper="Hinton, Vinyals, Dean, NIPS workshop 2015",
        needs="logits",
        weight=0.9,
        cross_entropy=0.1,
        temperature=4.0,
        source=_REPDISTILLER,
    ),
    Objective(
        id="dkd",
        name="DKD",
        paper="Zhao, Cui, Song, Qiu, Liang, CVPR 2022",
        needs="logits",
        weight=1.0,
        temperature=4.0,
        warmup=20 / 240,
        labels=True,
        source="the authors' code (mdistiller): alpha 1, beta 8 unless a pair of networks has its "
        "own; 20 of 240 epochs of warm-up",
    ),
    Objective(
        id="dist",
        name="DIST",
        paper="Huang, You, Wang, Qian, Xu, NeurIPS 2022",
        needs="logits",
        weight=2.0,
        temperature=4.0,
        source="the paper, beta = gamma = 2, T = 4 for CIFAR-100",
    ),
    Objective(
        id="logit-standardization",
        name="KD on standardised logits",
        paper="Sun, Ren, Li, Wang, Cao, CVPR 2024",
        needs="logits",
        weight=9.0,
        cross_entropy=0.1,
        temperature=2.0,
        source="the authors' code: --base-temp 2 --kd-weight 9, and KD's cross-entropy",
    ),
    Objective(
        id="fitnets",
        name="FitNets",
        paper="Romero, Ballas, Ebrahimi Kahou, Chassang, Gatta, Bengio, ICLR 2015",
        needs="maps",
        taps="middle",
        weight=100.0,
        source=_REPDISTILLER,
    ),
    Objective(
        id="attention",
        name="Attention transfer",
        paper="Zagoruyko, Komodakis, ICLR 2017",
        needs="maps",
        taps="all",
        weight=1000.0,
        source=_REPDISTILLER,
    ),
    Objective(
        id="sp",
        name="Similarity-preserving",
        paper="Tung, Mori, ICCV 2019",
        needs="maps",
        taps="last",
        weight=3000.0,
        source="the paper, gamma = 3000 for CIFAR-10",
    ),
    Objective(
        id="rkd",
        name="RKD",
        paper="Park, Kim, Lu, Cho, CVPR 2019",
        needs="features",
        weight=1.0,
        source="Tian et al., ICLR 2020: distances 25, angles 50, both inside the objective",
    ),
    Objective(
        id="cc",
        name="Correlation congruence",
        paper="Peng, Jin, Liu, Zhou, Wu, Liu, Li, Zhang, ICCV 2019",
        needs="features",
        weight=100.0,
        source="chosen here; RepDistiller's 0.02 belongs to another loss of that name",
    ),
    Objective(
        id="vid",
        name="VID",
        paper="Ahn, Hu, Damianou, Lawrence, Dai, CVPR 2019",
        needs="maps",
        taps="all",
        weight=1.0,
        source=_REPDISTILLER,
    ),
    Objective(
        id="pkt",
        name="PKT",
        paper="Passalis, Tefas, ECCV 2018",
        needs="features",
        weight=30_000.0,
        source=_REPDISTILLER,
    ),
    Objective(
        id="ab",
        name="Activation boundaries",
        paper="Heo, Lee, Yun, Choi, AAAI 2019",
        needs="maps",
        taps="all",
        weight=1.0,
        source=_REPDISTILLER,
    ),
    Objective(
        id="ft",
        name="Factor transfer",
        paper="Kim, Park, Kwak, NeurIPS 2018",
        needs="maps",
        taps="last",
        weight=200.0,
        source=_REPDISTILLER,
    ),
    Objective(
        id="crd",
        name="CRD",
        paper="Tian, Krishnan, Isola, ICLR 2020",
        needs="features",
        weight=0.8,
        labels=True,
        places=True,
        source="the paper, beta = 0.8",
    ),
    Objective(
        id="reviewkd",
        name="ReviewKD",
        paper="Chen, Liu, Zhao, Jia, CVPR 2021",
        needs="maps",
        taps="all",
        weight=1.0,
        warmup=20 / 240,
        source="the authors' code, 0.6 to 8 by pair of networks; 20 of 240 epochs of warm-up",
    ),
    Objective(
        id="simkd",
        name="SimKD",
        paper="Chen, Mei, Zhang, Wang, Feng, Chen, CVPR 2022",
        needs="maps",
        taps="last",
        weight=1.0,
        cross_entropy=0.0,
        source="the paper: the distance of the features is the only term",
    ),
    Objective(
        id="nst",
        name="NST",
        paper="Huang, Wang, 2017, arXiv 1707.01219",
        needs="maps",
        taps="all",
        weight=50.0,
        source=_REPDISTILLER,
    ),
    Objective(
        id="none",
        name="Labels alone",
        paper="",
        needs="nothing",
        weight=0.0,
        source="the control: no teacher is asked",
    ),
)

OBJECTIVES: dict[str, Objective] = {row.id: row for row in _ROWS}
"""All objectives by id."""


def find(id: str) -> Objective:
    """The row of that id; an unknown id gets a suggestion."""
    if id not in OBJECTIVES:
        raise unknown("objective", id, OBJECTIVES)
    return OBJECTIVES[id]
