"""Catalogue rows of the studies in `fake_claims`; imports no torch."""

from __future__ import annotations

from bequest.catalog import Entry


def _entry(id: str, study: str) -> Entry:
    return Entry(
        id=id,
        name=id.replace("-", " ").title(),
        family="fake",
        summary="Numbers from a seed.",
        method="support.fake_claims:Fake",
        study=f"support.fake_claims:{study}",
    )


fake = _entry("fake", "study")
sibling = _entry("fake-sibling", "sibling")
stranger = _entry("fake-stranger", "stranger")
