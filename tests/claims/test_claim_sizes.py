"""A claim about certain data is measured at the sizes that have it, and at no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bequest.claims.plan import chosen_claims
from bequest.errors import InputError
from bequest.studies.base import Claim, Study


def claim(id, **options):
    return Claim(id=id, sentence=f"{id}.", better="a", than="b", **options)


STUDY = Study(
    id="test",
    arms=lambda size: {},
    execute=lambda method, size, run: None,
    sizes=("default", "real", "smoke"),
    claims=(claim("everywhere"), claim("on-real-data", sizes=("real",))),
)


@pytest.mark.parametrize(
    ("size", "ids"), [("default", ["everywhere"]), ("real", ["everywhere", "on-real-data"])]
)
def test_all_claims_are_those_about_the_size(size, ids):
    assert [c.id for c in chosen_claims(STUDY, None, size)] == ids


def test_a_claim_that_is_asked_for_at_another_size_is_refused():
    assert [c.id for c in chosen_claims(STUDY, ["on-real-data"], "real")] == ["on-real-data"]
    with pytest.raises(InputError, match="is about the size real, not default"):
        chosen_claims(STUDY, ["on-real-data"], "default")


def test_a_size_that_no_claim_is_about_is_refused():
    study = replace(STUDY, claims=STUDY.claims[1:])
    with pytest.raises(InputError, match="no claim of the study test is about the size smoke"):
        chosen_claims(study, None, "smoke")
