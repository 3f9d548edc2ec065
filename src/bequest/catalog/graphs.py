"""Methods on graphs."""

from __future__ import annotations

from bequest.catalog.entry import Entry, Paper

ENTRIES = (
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
        id="reliant",
        name="RELIANT",
        family="graphs",
        summary="A small node classifier from a large one, without the bias between two groups: a "
        "penalty on the gap and learnt proxies of bias.",
        method="bequest.methods.graphs.reliant:RELIANT",
        study="bequest.studies.graphs.reliant:study",
        paper=Paper(
            title="RELIANT: Fair Knowledge Distillation for Graph Neural Networks",
            authors="Yushun Dong, Binchi Zhang, Yiling Yuan, Na Zou, Qi Wang, Jundong Li",
            venue="SDM",
            year=2023,
            arxiv="2301.01150",
        ),
        extras=("graphs",),
    ),
)
