"""What all studies of recommendation share: the data, the split of users, the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bequest.data.interactions import has_movielens, load_interactions, split_users
from bequest.methods.base import change
from bequest.metrics.ranking import ranking_figures
from bequest.ops.sequences import history_and_future
from bequest.run import Result, Run
from bequest.studies.recommendation.pictures import controllability_chart

_AT = (20, 50)
_WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25)
"""The lambdas of the curve; the paper's sweep ends at 0.25."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One size of the studies on recommendation."""

    data: str
    note: str


_SPLIT = "users split 8:1:1 anew for each seed, the last fifth of a test user's events foretold"
_MOVIELENS = "MovieLens-100K out of the installed recbole, 943 users, 1,349 films, 99,287 events"
_PLANTED = "1,000 generated users who follow 2 to 4 of 40 groups of 1,000 items"
_HERE = has_movielens()
SETTINGS = {
    "default": Setting(
        data="ml-100k" if _HERE else "planted",
        note=f"{_MOVIELENS}; {_SPLIT}"
        if _HERE
        else f"{_PLANTED}, because recbole, which holds MovieLens-100K, is not installed "
        f"(pip install --no-deps recbole); {_SPLIT}",
    ),
    "smoke": Setting(data="planted", note=f"{_PLANTED}; seconds"),
    "planted": Setting(data="planted", note=f"{_PLANTED}; {_SPLIT}"),
    "beauty": Setting(
        data="beauty",
        note=f"Amazon Beauty, 22,363 users, 12,101 products, 198,502 reviews; {_SPLIT}",
    ),
}
SIZES = tuple(SETTINGS)
NOTES = {size: setting.note for size, setting in SETTINGS.items()}


def execute(method: Any, size: str, run: Run) -> Result:
    """Trains on eight tenths of the users, evaluates on one tenth that nobody has seen.

    The split depends on the seed and the size alone, so arms are paired. The figures are means
    over test users in percent; `ndcg` has the ideal of all targets, `ndcg_of_hits` that of the
    hits, as in the paper's code.
    """
    data = load_interactions(SETTINGS[size].data)
    users = split_users(data.sequences, seed=run.seed)
    result: Result = method.fit(
        users.train, num_items=data.num_items, validation=users.validation, run=run
    )
    categories = data.categories.to(run.device)
    histories, future = history_and_future(users.test.to(run.device))

    def figures(arm: Any) -> dict[str, float]:
        ranked = arm.recommend(result.model, histories, number=max(_AT), categories=categories)
        return ranking_figures(ranked, future.padded(), at=_AT, categories=categories)

    with run.section("evaluation"):
        result.metrics |= figures(method)
        _curve([figures(change(method, diversity=weight)) for weight in _WEIGHTS], run)
    return result


def _curve(points: list[dict[str, float]], run: Run) -> None:
    """What variety costs, as a table and as a picture."""
    number = max(_AT)
    names = [f"{name}_{number}" for name in ("diversity", "recall", "ndcg", "hit_rate")]
    columns = {name: [point[name] for point in points] for name in names}
    run.table("controllability", {"lambda": list(_WEIGHTS), **columns})
    chart = controllability_chart(columns[names[0]], columns[names[1]], _WEIGHTS, number=number)
    run.picture("controllability", chart)
