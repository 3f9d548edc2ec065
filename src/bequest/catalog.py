"""The table of all methods. Data only: importing it imports no torch.

A method is described by one `Entry`. Other packages add theirs through the entry-point group
`bequest.methods`, where each entry point names an `Entry` in a module that imports no torch.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

from bequest.errors import InputError, unknown


@dataclass(frozen=True, kw_only=True)
class Paper:
    """Where a method was published."""

    title: str
    authors: str
    venue: str
    year: int
    arxiv: str = ""

    def __str__(self) -> str:
        link = f", arXiv {self.arxiv}" if self.arxiv else ""
        return f'{self.authors}, "{self.title}", {self.venue} {self.year}{link}'


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the catalogue.

    Attributes:
        id: The name on the command line, in kebab case.
        name: The name in prose.
        family: The folder under `methods/`.
        summary: One sentence: what goes in, what comes out.
        method: `module:Class` of the frozen dataclass.
        study: `module:attribute` of the `Study`.
        paper: The publication; None for a control.
        extras: Names of the optional dependencies it needs.
    """

    id: str
    name: str
    family: str
    summary: str
    method: str
    study: str
    paper: Paper | None = None
    extras: tuple[str, ...] = ()

    def load_method(self) -> type[Any]:
        """The method's dataclass; imports torch."""
        return _resolve(self.method)

    def load_study(self) -> Any:
        """The method's `Study`; imports torch."""
        return _resolve(self.study)


def _resolve(target: str) -> Any:
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)


def _data_free(id: str, name: str, summary: str, paper: Paper | None, *, title: str) -> Entry:
    module = id.replace("-", "_")
    return Entry(
        id=id,
        name=name,
        family="data_free",
        summary=summary,
        method=f"bequest.methods.data_free.{module}:{title}",
        study=f"bequest.studies.data_free.{module}:study",
        paper=paper,
    )


_BUILT_IN = (
    _data_free(
        "ssd-kd",
        "SSD-KD",
        "A student from a teacher alone, with a small, continually renewed buffer of synthetic "
        "images, replayed by priority.",
        Paper(
            title="Small Scale Data-Free Knowledge Distillation",
            authors="He Liu, Yikai Wang, Huaping Liu, Fuchun Sun, Anbang Yao",
            venue="CVPR",
            year=2024,
            arxiv="2406.07876",
        ),
        title="SSDKD",
    ),
    _data_free(
        "fast",
        "Fast",
        "A student from a teacher alone, with a meta-learnt generator that needs a few steps a "
        "batch and a growing pool.",
        Paper(
            title="Up to 100x Faster Data-Free Knowledge Distillation",
            authors="Gongfan Fang, Kanya Mo, Xinchao Wang, Jie Song, Shitao Bei, Haofei Zhang, "
            "Mingli Song",
            venue="AAAI",
            year=2022,
            arxiv="2112.06253",
        ),
        title="Fast",
    ),
    _data_free(
        "cmi",
        "CMI",
        "A student from a teacher alone, with contrastive inversion for diverse images.",
        Paper(
            title="Contrastive Model Inversion for Data-Free Knowledge Distillation",
            authors="Gongfan Fang, Jie Song, Xinchao Wang, Chengchao Shen, Xingen Wang, Mingli "
            "Song",
            venue="IJCAI",
            year=2021,
            arxiv="2105.08584",
        ),
        title="CMI",
    ),
    _data_free(
        "deep-inversion",
        "DeepInversion",
        "A student from a teacher alone, with images optimised pixel by pixel under the teacher's "
        "BatchNorm statistics.",
        Paper(
            title="Dreaming to Distill: Data-Free Knowledge Transfer via DeepInversion",
            authors="Hongxu Yin, Pavlo Molchanov, Zhizhong Li, Jose M. Alvarez, Arun Mallya, "
            "Derek Hoiem, Niraj K. Jha, Jan Kautz",
            venue="CVPR",
            year=2020,
            arxiv="1912.08795",
        ),
        title="DeepInversion",
    ),
    _data_free(
        "dfq",
        "DFQ",
        "A student from a teacher alone, with an adversarial generator held to the teacher's "
        "statistics.",
        Paper(
            title="Data-Free Network Quantization With Adversarial Knowledge Distillation",
            authors="Yoojin Choi, Jihwan Choi, Mostafa El-Khamy, Jungwon Lee",
            venue="CVPR Workshops",
            year=2020,
            arxiv="2005.04136",
        ),
        title="DFQ",
    ),
    _data_free(
        "zskt",
        "ZSKT",
        "A student from a teacher alone, with a generator that seeks where the two disagree.",
        Paper(
            title="Zero-shot Knowledge Transfer via Adversarial Belief Matching",
            authors="Paul Micaelli, Amos Storkey",
            venue="NeurIPS",
            year=2019,
            arxiv="1905.09768",
        ),
        title="ZSKT",
    ),
    _data_free(
        "dafl",
        "DAFL",
        "A student from a teacher alone, with a generator that makes the teacher sure, active and "
        "balanced.",
        Paper(
            title="Data-Free Learning of Student Networks",
            authors="Hanting Chen, Yunhe Wang, Chang Xu, Zhaohui Yang, Chuanjian Liu, Boxin Shi, "
            "Chunjing Xu, Chao Xu, Qi Tian",
            venue="ICCV",
            year=2019,
            arxiv="1904.01186",
        ),
        title="DAFL",
    ),
    _data_free(
        "uniform-noise",
        "Uniform noise",
        "The lower control: a student that sees the teacher's answers to noise images only.",
        None,
        title="UniformNoise",
    ),
    _data_free(
        "real-data-kd",
        "KD on real data",
        "The upper control: ordinary knowledge distillation on the teacher's training images.",
        Paper(
            title="Distilling the Knowledge in a Neural Network",
            authors="Geoffrey Hinton, Oriol Vinyals, Jeff Dean",
            venue="NIPS Deep Learning Workshop",
            year=2015,
            arxiv="1503.02531",
        ),
        title="RealDataKD",
    ),
    Entry(
        id="kd3",
        name="KD3",
        family="unlabelled",
        summary="A student from a teacher and unlabelled images of other origin, chosen anew in "
        "each epoch, behind the teacher's own classifier.",
        method="bequest.methods.unlabelled.kd3:KD3",
        study="bequest.studies.unlabelled.kd3:study",
        paper=Paper(
            title="Distribution Shift Matters for Knowledge Distillation with Webly Collected "
            "Images",
            authors="Jialiang Tang, Shuo Chen, Gang Niu, Masashi Sugiyama, Chen Gong",
            venue="ICCV",
            year=2023,
            arxiv="2307.11469",
        ),
    ),
    Entry(
        id="ssd-kd-segmentation",
        name="SSD-KD, segmentation",
        family="segmentation",
        summary="A student that labels pixels from such a teacher alone, with a small, continually "
        "renewed buffer of synthetic scenes, replayed by priority.",
        method="bequest.methods.segmentation.ssd_kd_segmentation:SSDKDSegmentation",
        study="bequest.studies.segmentation.ssd_kd_segmentation:study",
        paper=Paper(
            title="Small Scale Data-Free Knowledge Distillation",
            authors="He Liu, Yikai Wang, Huaping Liu, Fuchun Sun, Anbang Yao",
            venue="CVPR",
            year=2024,
            arxiv="2406.07876",
        ),
    ),
    Entry(
        id="dfbf",
        name="DFBF",
        family="compression",
        summary="Your network with a pruned backbone, healed without data under its untouched "
        "head.",
        method="bequest.methods.compression.dfbf:DFBF",
        study="bequest.studies.compression.dfbf:study",
        paper=Paper(
            title="Data-Free Backbone Fine-Tuning for Pruned Neural Networks",
            authors="Adrian Holzbock, Achyut Hegde, Klaus Dietmayer, Vasileios Belagiannis",
            venue="EUSIPCO",
            year=2023,
            arxiv="2306.12881",
        ),
        extras=("compress",),
    ),
    Entry(
        id="gfkd",
        name="GFKD",
        family="graphs",
        summary="A graph classifier from a graph classifier alone: fake graphs whose edges and "
        "features are learnt from the teacher.",
        method="bequest.methods.graphs.gfkd:GFKD",
        study="bequest.studies.graphs.gfkd:study",
        paper=Paper(
            title="Graph-Free Knowledge Distillation for Graph Neural Networks",
            authors="Xiang Deng, Zhongfei Zhang",
            venue="IJCAI",
            year=2021,
            arxiv="2105.07519",
        ),
        extras=("graphs",),
    ),
    Entry(
        id="ote",
        name="GC-OTE",
        family="graphs",
        summary="Missing facts of a knowledge graph by orthogonal transforms of entities, with "
        "what their neighbours say of them.",
        method="bequest.methods.graphs.ote:OTE",
        study="bequest.studies.graphs.ote:study",
        paper=Paper(
            title="Orthogonal Relation Transforms with Graph Context Modeling for Knowledge Graph "
            "Embedding",
            authors="Yun Tang, Jing Huang, Guangtao Wang, Xiaodong He, Bowen Zhou",
            venue="ACL",
            year=2020,
            arxiv="1911.04910",
        ),
    ),
    Entry(
        id="convex-ridge",
        name="Convex ridge",
        family="reconstruction",
        summary="Images from noisy, MRI or CT measurements by a convex regularizer that is learnt "
        "from clean images, with guarantees.",
        method="bequest.methods.reconstruction.convex_ridge:ConvexRidge",
        study="bequest.studies.reconstruction.convex_ridge:study",
        paper=Paper(
            title="A Neural-Network-Based Convex Regularizer for Inverse Problems",
            authors="Alexis Goujon, Sebastian Neumayer, Pakshal Bohra, Stanislas Ducotterd, "
            "Michael Unser",
            venue="IEEE Transactions on Computational Imaging",
            year=2023,
            arxiv="2211.12461",
        ),
    ),
    Entry(
        id="comirec",
        name="ComiRec",
        family="recommendation",
        summary="Items for people from what they did: several vectors a user, and one knob between "
        "accuracy and variety.",
        method="bequest.methods.recommendation.comirec:ComiRec",
        study="bequest.studies.recommendation.comirec:study",
        paper=Paper(
            title="Controllable Multi-Interest Framework for Recommendation",
            authors="Yukuo Cen, Jianwei Zhang, Xu Zou, Chang Zhou, Hongxia Yang, Jie Tang",
            venue="KDD",
            year=2020,
            arxiv="2005.09347",
        ),
    ),
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
    Entry(
        id="glan-lap",
        name="GLAN",
        family="matching",
        summary="A solver of assignment problems as a layer: cost matrices of any sizes in, soft "
        "or hard one-to-one assignments out.",
        method="bequest.methods.matching.glan_lap:GLANLAP",
        study="bequest.studies.matching.glan_lap:study",
        paper=Paper(
            title="GLAN: A Graph-based Linear Assignment Network",
            authors="He Liu, Tao Wang, Congyan Lang, Songhe Feng, Yi Jin, Yidong Li",
            venue="Pattern Recognition",
            year=2024,
            arxiv="2201.02057",
        ),
    ),
    Entry(
        id="kd",
        name="KD with data",
        family="distillation",
        summary="A student from a teacher and labelled images, with any of seventeen published "
        "objectives.",
        method="bequest.methods.distillation.kd:Distillation",
        study="bequest.studies.distillation.kd:study",
        paper=Paper(
            title="Distilling the Knowledge in a Neural Network",
            authors="Geoffrey Hinton, Oriol Vinyals, Jeff Dean",
            venue="NIPS Deep Learning Workshop",
            year=2015,
            arxiv="1503.02531",
        ),
    ),
)


@cache
def methods() -> dict[str, Entry]:
    """All methods by id: ours, then those of installed plug-ins.

    Raises:
        InputError: When a plug-in's entry point cannot be loaded or takes an id that exists.
    """
    table = {entry.id: entry for entry in _BUILT_IN}
    for point in metadata.entry_points(group="bequest.methods"):
        try:
            entry = point.load()
        except Exception as error:
            raise InputError(f"The plug-in '{point.name}' cannot be loaded: {error}") from error
        if not isinstance(entry, Entry):
            raise InputError(f"The plug-in '{point.name}' ({point.value}) is no catalog.Entry.")
        if entry.id in table:
            raise InputError(f"The plug-in '{point.name}' takes the id '{entry.id}', which exists.")
        table[entry.id] = entry
    return table


def find(id: str) -> Entry:
    """The row of that id; an unknown id gets a suggestion."""
    table = methods()
    if id not in table:
        raise unknown("method", id, table)
    return table[id]
