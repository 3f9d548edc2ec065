"""Extractors of interests against NumPy on fixed weights, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bequest.nn.interests import (
    MeanVector,
    RecurrentVector,
    RoutedInterests,
    SelfAttentiveInterests,
    squash,
)

DIM, LENGTH, INTERESTS = 6, 5, 3
THERE = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]]).bool()


def layers():
    torch.manual_seed(0)
    return {
        "sa": SelfAttentiveInterests(DIM, INTERESTS, LENGTH),
        "dr": RoutedInterests(DIM, INTERESTS, LENGTH),
        "mind": RoutedInterests(DIM, INTERESTS, LENGTH, shared=True, relu=True),
        "mean": MeanVector(DIM),
        "gru": RecurrentVector(DIM),
    }


def events(seed=1):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(3, LENGTH, DIM, generator=rng) * THERE[:, :, None]


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def squashed(s):
    square = (s**2).sum(-1, keepdims=True)
    return square / (1 + square) * s / np.sqrt(square + 1e-9)


def test_self_attention_is_the_formula():
    layer, inputs = layers()["sa"], events()
    out = layer(inputs, THERE).detach().numpy()
    weight = {name: value.detach().numpy() for name, value in layer.state_dict().items()}
    for user in range(3):
        h = inputs[user].numpy()
        hidden = np.tanh((h + weight["positions"]) @ weight["hidden.weight"].T
                         + weight["hidden.bias"])  # fmt: skip
        logits = hidden @ weight["weights.weight"].T
        logits[~THERE[user].numpy()] = -(2.0**32) + 1
        attention = softmax(logits, axis=0)  # over positions
        assert out[user] == pytest.approx(attention.T @ h, abs=1e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_routing_is_three_rounds_of_agreement(shared):
    torch.manual_seed(3)
    layer = RoutedInterests(DIM, INTERESTS, LENGTH, shared=shared).eval()
    inputs = events()
    out = layer(inputs, THERE).detach().numpy()
    maps = layer.map.detach().numpy()
    start = layer._start(torch.empty(3, INTERESTS, LENGTH, DIM))[0].numpy()
    for user in range(3):
        there = THERE[user].numpy()
        votes = np.zeros((INTERESTS, LENGTH, DIM))
        for interest in range(INTERESTS):
            for place in range(LENGTH):
                own = maps if shared else maps[place, :, interest * DIM : (interest + 1) * DIM]
                votes[interest, place] = inputs[user, place].numpy() @ own
        logits = start.astype(float).copy()
        for _ in range(3):
            coupling = softmax(logits, axis=0) * there  # over interests; padding after it
            capsules = squashed(np.einsum("kn,knd->kd", coupling, votes))
            logits = logits + np.einsum("knd,kd->kn", votes, capsules)
        assert out[user] == pytest.approx(capsules, abs=1e-5)


def test_routing_takes_no_gradient():
    """The gradient is that of the last round with its weights held fixed."""
    layer, inputs = layers()["dr"], events()
    layer(inputs, THERE).square().sum().backward()
    found, layer.map.grad = layer.map.grad, None
    with torch.no_grad():
        votes = layer._votes(inputs)
        logits = torch.zeros(3, INTERESTS, LENGTH)
        for _ in range(2):
            capsules = squash(((logits.softmax(1) * THERE[:, None])[..., None] * votes).sum(2))
            logits = logits + (votes * capsules[:, :, None]).sum(-1)
        weights = logits.softmax(1) * THERE[:, None]
    squash((weights[..., None] * layer._votes(inputs)).sum(2)).square().sum().backward()
    assert torch.allclose(found, layer.map.grad, atol=1e-6)


def test_squash_keeps_directions_and_takes_lengths_below_one():
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-3, 0.0]])
    out = squash(vectors)
    assert out[0].tolist() == pytest.approx([0.6 * 25 / 26, 0.8 * 25 / 26])
    assert out[1].tolist() == [0, 0]
    assert out.norm(dim=1).max() < 1


@pytest.mark.parametrize("name", ["sa", "dr", "mind", "mean", "gru"])
def test_padding_and_other_users_do_not_matter(name):
    layer = layers()[name].eval()
    with torch.no_grad():
        whole = layer(events(), THERE)
        assert whole.shape == (3, INTERESTS if name in ("sa", "dr", "mind") else 1, DIM)
        assert whole.isfinite().all()
        for user in range(3):
            alone = layer(events()[[user]], THERE[[user]])
            assert torch.allclose(alone[0], whole[user], atol=1e-6)
        if name in ("mean", "gru"):  # no weights of places: shorter windows are the same
            assert torch.allclose(layer(events()[1:, :2], THERE[1:, :2]), whole[1:], atol=1e-6)


@pytest.mark.parametrize("name", ["sa", "dr", "mind", "mean", "gru"])
def test_every_weight_gets_a_gradient(name):
    layer = layers()[name]
    layer(events(), THERE).square().sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


def test_only_shared_routing_in_training_is_random():
    for name, layer in layers().items():
        first, second = layer(events(), THERE), layer(events(), THERE)
        assert torch.equal(first, second) is (name != "mind")
    layer = layers()["mind"].eval()
    assert torch.equal(layer(events(), THERE), layer(events(), THERE))


def test_the_recurrent_vector_is_the_state_after_the_last_event():
    layer = layers()["gru"]
    _, last = layer.recurrent(events()[1:2, :2])
    assert torch.allclose(layer(events(), THERE)[1, 0], last[0, 0], atol=1e-6)
