"""One table of all knowledge graphs that have a name. It imports no torch.

`bequest.data.knowledge.load_knowledge_graph` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bequest.data.catalog import RemoteFile


@dataclass(frozen=True, kw_only=True)
class KnowledgeEntry:
    """One knowledge graph: all that is known about it without reading it."""

    name: str
    summary: str
    entities: int
    relations: int
    train: int
    """Training facts."""
    validation: int
    """Validation facts."""
    test: int
    """Test facts."""
    form: Literal["generated", "labels", "numbers"]
    """Made by us; lines `head relation tail` of names; OpenKE's lines `head tail relation` of
    numbers under a line with their count."""
    licence: str
    source: str
    inside: str = ""
    """Folder in PyKEEN's package that has the files, without importing it."""
    archive: str = ""
    """File in the cache folder that has them, in a folder `archive_folder`."""
    archive_folder: str = ""
    files: tuple[RemoteFile, ...] = ()


def _files(base: str, digests: dict[str, str]) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(name=name, urls=(f"{base}/{name}",), digest=f"sha256:{digest}")
        for name, digest in digests.items()
    )


_PYKEEN = "https://raw.githubusercontent.com/pykeen/pykeen/v1.11.1/src/pykeen/datasets"
_OPENKE = (
    "https://raw.githubusercontent.com/thunlp/OpenKE/"
    "64c4ec8157abfc39112772e9825a349091da45f1/benchmarks/FB15K237"
)
_SPLIT = "with the split of TensorLog and ConvE"

_ENTRIES = (
    KnowledgeEntry(
        name="families",
        summary="generated families of three generations, twelve kinds of kin",
        entities=121,
        relations=12,
        train=862,
        validation=107,
        test=107,
        form="generated",
        licence="ours",
        source="generated: names and genealogies are made up, the rules of kinship are not",
    ),
    KnowledgeEntry(
        name="kinships",
        summary="who is what kind of kin to whom among the Alyawarra",
        entities=104,
        relations=25,
        train=8544,
        validation=1068,
        test=1074,
        form="labels",
        licence="MIT, as part of PyKEEN",
        source=f"W. W. Denham: The Detection of Patterns in Alyawarra Nonverbal Behavior, 1973; "
        f"{_SPLIT}",
        inside="datasets/kinships",
        files=_files(
            f"{_PYKEEN}/kinships",
            {
                "train.txt": "738612111a6acf0e39662bde24c7e72a4d1edf20931beea077da367dda689731",
                "valid.txt": "c56f8630a583178b1e569f11a64aa535ae1ce0b0912d8b1e24716be2b37f04da",
                "test.txt": "05e5733265761d55be9c05bfaff5a8d0808df46f9c1e9d66cc3f2fe114e43d88",
            },
        ),
    ),
    KnowledgeEntry(
        name="umls",
        summary="how kinds of medical things relate",
        entities=135,
        relations=46,
        train=5216,
        validation=652,
        test=661,
        form="labels",
        licence="MIT, as part of PyKEEN",
        source=f"A. T. McCray: An Upper-Level Ontology for the Biomedical Domain, 2003; {_SPLIT}",
        inside="datasets/umls",
        files=_files(
            f"{_PYKEEN}/umls",
            {
                "train.txt": "873ef4925516b83e7f6f8cc02b4be51d848828710a7f65a956f0ac4a9e452f35",
                "valid.txt": "025c98f8a4891e2a6582ec5b40ee0d904031edad9c52554522f4b7904820c98e",
                "test.txt": "a7eb529a3d2810fcc96341ccc97c625a5e202f8389673aa6bd317eeebbb79014",
            },
        ),
    ),
    KnowledgeEntry(
        name="fb15k-237",
        summary="facts of Freebase, without those that follow from their reverse",
        entities=14_541,
        relations=237,
        train=272_115,
        validation=17_535,
        test=20_466,
        form="numbers",
        licence="none stated; Freebase is CC BY 2.5",
        source="K. Toutanova, D. Chen: Observed versus latent features for knowledge base and "
        "text inference, CVSC 2015; as numbered by OpenKE",
        archive="fb15k-237.tar.xz",
        archive_folder="FB15k-237",
        files=_files(
            _OPENKE,
            {
                "train2id.txt": "5f44223a02b39b8e398e77a787feb4f06e9ffccf1ae87047bbf38fcc8cc08bd2",
                "valid2id.txt": "7d21e778de4369d5348f5cff23a08dc847ab5fce4b5f07c80113297d2dc60a86",
                "test2id.txt": "6027e649c1716ac9c1ef2f24672a416aa277aff3e14850ef915ac5a21df70417",
                "entity2id.txt": "e4546cfdcd0b9bd0151cc0f6ef2edee29eb2bb55a3d47e668194999c036fba0d",
                "relation2id.txt": "fefd26d6cd5ff9d360efe5360c11bf11"
                "2d019f42b3acf165a5c04aa2b66a42d9",
            },
        ),
    ),
)

KNOWLEDGE_GRAPHS = {entry.name: entry for entry in _ENTRIES}
"""The knowledge graphs by name."""
