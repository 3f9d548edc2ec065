"""The whole of ComiRec on tiny data: the loss, what it finds, what stops it, what it refuses."""

from __future__ import annotations

import hashlib
import math

import pytest
import torch
from torch.nn import functional as F

from bequest.data.interactions import from_events
from bequest.data.planted_interests import planted_interests
from bequest.errors import InputError
from bequest.methods.base import change
from bequest.methods.recommendation.comirec import ComiRec, closest
from bequest.methods.recommendation.most_popular import MostPopular
from bequest.metrics.ranking import ranking_figures
from bequest.ops.candidate_sampling import by_frequency
from bequest.ops.sequences import Sequences, history_and_future
from bequest.run import Budget, Run

TINY = ComiRec(
    dim=8, interests=3, max_length=5, negatives=1, steps=12, batch_size=8, evaluate_every=4
)
EXTRACTORS = {"sa": 3, "dr": 3, "mind": 3, "mean": 1, "gru": 1}


def planted(**options):
    options = {"users": 60, "groups": 6, "group_size": 8, "shortest": 6, "longest": 14, **options}
    return from_events(*planted_interests(**options))


DATA = planted()


def fit(method=TINY, *, data=DATA, run=None, **options):
    users = data.sequences
    options = {"validation": users.take(torch.arange(10)), "num_items": data.num_items, **options}
    sequences = options.pop("sequences", users.take(torch.arange(10, len(users))))
    with run or Run(seed=0, device="cpu", precision="fp32") as run:
        return method.fit(sequences, run=run, **options)


def digest(module):
    value = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        value.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return value.hexdigest()


@pytest.mark.parametrize(("extractor", "interests"), EXTRACTORS.items())
def test_every_extractor_trains_and_recommends(extractor, interests):
    method = change(TINY, extractor=extractor, interests=interests, exclude_seen=True)
    result = fit(method)
    assert math.isfinite(result.metrics["validation_recall_50"])
    found = method.recommend(result.model, DATA.sequences, number=5)
    for seen, shown in zip(DATA.sequences.padded().tolist(), found.tolist()):
        assert len(set(shown)) == 5
        assert not set(seen) & set(shown)


@pytest.mark.parametrize("extractor", ["sa", "mind"])
def test_a_run_repeats_to_the_last_bit(extractor):
    method = change(TINY, extractor=extractor)
    assert digest(fit(method).model) == digest(fit(method).model)


def test_the_loss_is_the_formula():
    """With as many negatives as items: minus log softmax of the closest interest, over all."""
    method = change(TINY, negatives=100)
    with Run(seed=0, device="cpu", precision="fp32") as run:
        network = method.fit(DATA.sequences, num_items=DATA.num_items, run=run).model
        histories, targets = method._examples(DATA.sequences, run)
        frequency = by_frequency(torch.bincount(DATA.sequences.items)[1:])
        loss = method._loss(network, histories, targets, frequency, run)
    total = 0.0
    for history, target in zip(histories, targets):
        interests = network(history[None])[0]
        agreement = [(v @ network.items.weight[target]).item() for v in interests]
        logits = network.items.weight[1:] @ interests[agreement.index(max(agreement))]
        total += F.cross_entropy(logits, target - 1).item()
    assert loss.item() == pytest.approx(total / len(targets), rel=1e-5)


def test_examples_are_events_of_a_user_with_what_came_before():
    lists = [[100 * user + place for place in range(1, length + 1)]
             for user, length in enumerate([2, 3, 5, 6, 20])]  # fmt: skip
    sequences = Sequences.of(lists)
    with Run(seed=0, device="cpu") as run:
        examples = [change(TINY, batch_size=200)._examples(sequences, run) for _ in range(3)]
    seen = set()
    for histories, targets in examples:
        for history, target in zip(histories.tolist(), targets.tolist()):
            user, place = divmod(target, 100)
            before = lists[user][max(0, place - 1 - TINY.max_length) : place - 1]
            assert [item for item in history if item] == before
            seen.add((user, place - 1))
    # Four events before the target, or all but one where there are fewer.
    expected = {(0, 1), (1, 2), (2, 4), (3, 4), (3, 5)} | {(4, place) for place in range(4, 20)}
    assert seen == expected


def test_the_closest_interest_is_taken_and_it_alone_learns():
    interests = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 2.0]]],
                             requires_grad=True)  # fmt: skip
    items = torch.tensor([[3.0, 1.0], [1.0, 1.0]])
    found = closest(interests, items)
    assert found.tolist() == [[1.0, 0.0], [0.0, 2.0]]
    found.sum().backward()
    assert interests.grad.any(2).tolist() == [[True, False], [False, True]]


def test_interests_are_the_groups_that_were_planted():
    """Of users with several groups, more groups are among the first ten items of the interests."""
    data = planted(users=400, groups=10, group_size=12, shortest=10, longest=30, noise=0.0)
    test, train = (data.sequences.take(part) for part in torch.arange(400).split([80, 320]))
    histories, future = history_and_future(test)
    recall = {}
    for interests in (1, 4):
        method = ComiRec(
            dim=16, interests=interests, steps=300, batch_size=64, negatives=1,
            learning_rate=0.01, exclude_seen=True,
        )  # fmt: skip
        network = fit(method, data=data, sequences=train, validation=None).model
        ranked = method.recommend(network, histories, number=20)
        recall[interests] = ranking_figures(ranked, future.padded(), at=(20,))["recall_20"]
    assert recall[4] > recall[1] + 3
    # Each interest's nearest items are of one group, mostly.
    with torch.no_grad():
        scores = network(histories.last(20)) @ network.items.weight[1:].T
    groups = data.categories[1:][scores.topk(5, dim=2).indices]
    same = (groups == groups.mode(2, keepdim=True).values).float().mean()
    assert same > 0.7


def test_training_ends_when_validation_no_longer_rises():
    method = change(TINY, steps=10_000, evaluate_every=2, patience=3, learning_rate=1e-12)
    run = Run(seed=0, device="cpu", precision="fp32")
    fit(method, run=run)
    assert run.step == 2 * 4  # one best look and three that are no better


def test_the_weights_of_the_best_look_are_kept():
    method = change(TINY, steps=30, evaluate_every=5, learning_rate=0.05)
    seen = []
    run = Run(seed=0, device="cpu", precision="fp32")
    recorded = run.record
    run.record = lambda **values: (seen.append(values["validation_recall_50"]), recorded(**values))
    assert fit(method, run=run).metrics["validation_recall_50"] == max(seen)


@pytest.mark.parametrize("last", [2, 9])
def test_a_broken_off_run_goes_on_to_the_same_weights(tmp_path, last):
    options = {"seed": 0, "device": "cpu", "precision": "fp32", "checkpoint_seconds": 0.0}
    run = Run(tmp_path, **options)
    logged, seen = run.log, []

    def log(**values):
        if len(seen) == last:
            raise KeyboardInterrupt
        seen.append(values)
        logged(**values)

    run.log = log
    method = change(TINY, extractor="mind")
    with pytest.raises(KeyboardInterrupt):
        fit(method, run=run)
    resumed = fit(method, run=Run(tmp_path, resume=True, **options))
    assert digest(resumed.model) == digest(fit(method).model)


def test_without_validation_the_last_weights_are_kept():
    assert fit(validation=None).metrics == {}
    short = Run(seed=0, device="cpu", precision="fp32", budget=Budget(steps=2))
    assert fit(run=short).metrics == {}  # ended before the first look


def test_more_diversity_gives_more_varied_lists():
    network = fit().model
    ranked = [
        change(TINY, diversity=price).recommend(
            network, DATA.sequences, number=10, categories=DATA.categories
        )
        for price in (0.0, 10.0)
    ]
    wanted = DATA.sequences.padded()
    plain, varied = (
        ranking_figures(r, wanted, at=(10,), categories=DATA.categories)["diversity_10"]
        for r in ranked
    )
    assert varied > plain
    assert varied > 75


def test_what_cannot_work_is_refused_before_any_work():
    for options, message in (
        ({"sequences": Sequences.of([[1, 2], [3]])}, "Sequence 1 of sequences has 1 events"),
        ({"sequences": Sequences.of([])}, "sequences is empty"),
        ({"num_items": 5}, "they must be 1 to num_items = 5"),
        ({"num_items": 1}, "at least 2 items"),
        ({"validation": Sequences.of([[1]])}, "Sequence 0 of validation has 1 events"),
    ):
        with pytest.raises(InputError, match=message):
            fit(**options)
    with pytest.raises(InputError, match="interests must be 1"):
        fit(change(TINY, extractor="gru"))
    with pytest.raises(InputError, match="extractor"):
        change(TINY, extractor="transformer")
    with pytest.raises(InputError, match="diversity"):
        change(TINY, diversity=-1.0)


def test_most_popular_counts():
    method = MostPopular()
    result = fit(method, sequences=Sequences.of([[3, 1, 3], [3, 2, 1]]), num_items=4)
    assert method.recommend(result.model, Sequences.of([[4]]), number=3).tolist() == [[3, 1, 2]]
    with pytest.raises(InputError, match="1 to num_items = 2"):
        fit(method, sequences=Sequences.of([[3]]), num_items=2)
