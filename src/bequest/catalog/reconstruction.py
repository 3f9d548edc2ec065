"""Methods that reconstruct images from measurements."""

from __future__ import annotations

from bequest.catalog.entry import Entry, Paper

ENTRIES = (
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
)
