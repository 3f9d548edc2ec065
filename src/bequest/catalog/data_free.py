"""Methods that have a teacher and no data at all."""

from __future__ import annotations

from bequest.catalog.entry import Entry, Paper


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


ENTRIES = (
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
)
